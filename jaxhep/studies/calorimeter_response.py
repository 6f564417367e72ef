"""Events for the energy calibration: segments of a sampling calorimeter, whose likelihood has no closed form."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float
from ..detector.calorimeter import Calorimeter, Layers


def _detector() -> Calorimeter:
    """The default calorimeter."""
    layers = Layers("LAr", jnp.full(24, 0.4), "Pb", jnp.full(24, 0.6))
    return Calorimeter(layers, sampling_term=0.1, energy=50.0, pdg_id=11)


@dataclasses.dataclass(frozen=True)
class CalorimeterResponse:
    """Electrons in `jaxhep.detector.calorimeter`, read out in longitudinal segments.

    By default 24 layers of 6 mm lead and 4 mm liquid argon, 26 radiation lengths, in segments of 4, 8 and 12 layers;
    10 %·√(E/GeV) sampling, fluctuations of the shower's shape and leakage behind.

    **Fields**: `make`, which makes the detector; `segments`, layers in each.

    >>> from jaxhep.studies.calorimeter_response import CalorimeterResponse
    >>> CalorimeterResponse().draw([50.0, 60.0], seed=0).shape
    (2, 3)
    """

    make: Callable[[], Calorimeter] = _detector
    segments: tuple[int, ...] = (4, 8, 12)

    def draw(self, energies: Any, seed: int, chunk: int = 4096) -> Float[np.ndarray, "event segment"]:
        """Segment energies in GeV of one electron for each of the energies; event i has the key `fold_in(k, i)`."""
        detector = self.make()
        key = jax.random.key(seed)
        starts = np.cumsum((0, *self.segments[:-1]))

        @jax.jit
        def run(numbers: Array, energy: Array) -> Array:
            def one(number: Array, e: Array) -> Array:
                noise = detector.sample_noise(jax.random.fold_in(key, number))
                return eqx.tree_at(lambda d: d.energy, detector, e)(noise).layers

            return jax.vmap(one)(numbers, energy)

        wanted = np.asarray(energies, np.float32)
        parts = []
        for first in range(0, len(wanted), chunk):
            part = wanted[first : first + chunk]
            padded = np.concatenate([part, np.repeat(part[-1:], min(chunk, len(wanted)) - len(part))])
            layers = run(first + jnp.arange(len(padded), dtype=jnp.uint32), jnp.asarray(padded))
            parts.append(np.asarray(layers, float)[: len(part)])
        return np.add.reduceat(np.concatenate(parts), starts, axis=1)


__all__ = ["CalorimeterResponse"]
