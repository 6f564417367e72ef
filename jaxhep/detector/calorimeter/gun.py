"""A source of single particles."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Float, Key, Scalar
from ...event import Event
from ...noise import uniforms
from ...simulator import AbstractSimulator
from ._checks import one_of, positive, real


class ParticleGun(AbstractSimulator):
    r"""One electron, positron or photon an event, along +z within a range of slopes: the first stage of a `Chain`.

    \(E=E_1(E_2/E_1)^u\) ("log", uniform in ln E) or \(E_1+(E_2-E_1)u\) ("linear"); the slopes \(p_x/p_z\),
    \(p_y/p_z\) are uniform in ± their range. Masses are neglected.

    **Arguments** (leaves unless static)

    - `lowest`, `highest`: E₁ ≤ E₂ in GeV, positive; equal for one energy.
    - `slope`: centre of the slopes, (2,). `slope_range`: half width of their distribution, (2,), not negative.
    - `spectrum`: "log" or "linear", static.
    - `pdg_id`: 11, −11 or 22, static.

    **Raises** `ValueError` for E₁ > E₂ or another particle.

    >>> import jax
    >>> from jaxhep.detector.calorimeter import ParticleGun
    >>> gun = ParticleGun(1.0, 1000.0)
    >>> event = gun(gun.sample_noise(jax.random.key(0)))
    """

    lowest: Scalar
    highest: Scalar
    slope: Float[jax.Array, "2"]
    slope_range: Float[jax.Array, "2"]
    spectrum: Literal["log", "linear"] = eqx.field(static=True)
    pdg_id: int = eqx.field(static=True)

    def __init__(
        self,
        lowest: Any,
        highest: Any = None,
        *,
        spectrum: Literal["log", "linear"] = "log",
        slope: Any = (0.0, 0.0),
        slope_range: Any = (0.0, 0.0),
        pdg_id: int = 11,
    ):
        one_of("spectrum", spectrum, ("log", "linear"))
        self.lowest = positive("lowest", lowest, "GeV")
        self.highest = self.lowest if highest is None else positive("highest", highest, "GeV")
        for one in (self.lowest, self.highest):
            if isinstance(one, jax.core.Tracer):
                break
        else:
            if not math.inf > float(self.highest) >= float(self.lowest):
                raise ValueError(f"lowest must not exceed highest, got {lowest} and {highest} GeV")
        self.slope, self.slope_range = real("slope", slope, ((2,),)), real("slope_range", slope_range, ((2,),))
        if pdg_id not in (11, -11, 22):
            raise ValueError(f"pdg_id must be 11, -11 or 22 (electron, positron, photon), got {pdg_id!r}")
        self.spectrum, self.pdg_id = spectrum, pdg_id

    def sample_noise(self, key: Key, dtype: Any = None) -> Float[jax.Array, "3"]:
        """Three variates: energy and slopes."""
        return uniforms(key, (3,), dtype)

    def __call__(
        self,
        noise: Float[jax.Array, "3"],
        event: Event | None = None,
        *,
        reference: AbstractSimulator | None = None,
    ) -> Event:
        """One particle; `event` must be None, a gun is the first stage."""
        if event is not None:
            raise ValueError("a ParticleGun makes its own event: put it first in the Chain")
        dtype = noise.dtype
        low, high = self.lowest.astype(dtype), self.highest.astype(dtype)
        if self.spectrum == "log":
            energy = low * jnp.exp(jnp.log(high / low) * noise[0])
        else:
            energy = low + (high - low) * noise[0]
        slope = (self.slope + self.slope_range * (2 * noise[1:] - 1)).astype(dtype)
        direction = jnp.concatenate([slope, jnp.ones(1, dtype)])
        momentum = energy * direction / jnp.sqrt(1 + jnp.sum(slope**2))
        return Event(
            momenta=jnp.concatenate([energy[None], momentum])[None],
            mask=jnp.ones(1, bool),
            pdg_id=jnp.full(1, self.pdg_id),
            weight=jnp.ones((), dtype),
            overflow=jnp.asarray(False),
        )


__all__ = ["ParticleGun"]
