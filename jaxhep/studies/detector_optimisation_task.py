"""A detector design as an optimisation problem: showers of photons and neutral pions, statistics, objectives."""

import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._types import Array, Key, Noise, Scalar
from ..design import Budget, Problem, Variable
from ..detector.calorimeter import Calorimeter, Grid, Layers, Readout, spot_number
from ..event import Event
from ..noise import normal, uniforms
from ..reconstruction import best_weights, solve
from .detector_optimisation_document import AREA, FREE, OBJECTIVES, DetectorDesign

HIGGS_PHOTON = 62.6
"""Energy in GeV of the photons of a Higgs boson of 125.2 GeV that decays at rest."""
_PION = 0.13498
_WIDTH_FLOOR = 0.05
"""Added to a squared width in cm² before its logarithm: an empty layer has a finite one."""
_SPOTS = 512


class DetectorTask:
    r"""What a design is judged by, as statistics of one event and functions of their means.

    An event holds a photon of 5 to 100 GeV and one of 62.6 GeV, whose layer signals give x/E; a photon and a π⁰ of
    40 GeV, of whose cells the logarithm of the squared width in each layer is kept. The objectives:

    - `resolution`: σ/E of the best linear calibration over the spectrum (`jaxhep.reconstruction.best_weights`);
    - `bias`: absolute difference of its mean response between the upper and the lower half of the spectrum;
    - `separation`: \(\Phi(-d'/2)\), the share of photons and pions on the wrong side of the best linear cut, with
      \(d'^2=\Delta\mu^T\bar\Sigma^{-1}\Delta\mu\) (exact for Gaussian widths of one covariance);
    - `mass`: \(\sigma_m/m=\sigma_E/\sqrt2E\) of H → γγ from the energies (vertex known), with the same calibration;
    - `price`, of the design alone.

    During the optimisation cells hold the exact expected fractions of a layer with the Gaussian limit of the spots'
    fluctuation, and a smooth threshold; `hard` takes spots, each in one cell, and a hard threshold. The energies of the
    calibration are the same in both.

    Arguments:
        document: the design.
        hard: see above.
    """

    def __init__(self, document: DetectorDesign, *, hard: bool = False):
        self.document = document
        self.hard = hard
        self.num_layers = document.num_layers
        self.window = int(document.physics.window)
        # Programs are the same for documents that differ in the numbers of free rows or in weights.
        self._mark = json.dumps(_skeleton(document), sort_keys=True)
        start = {name: jnp.asarray(value, float) for name, value in document.values().items()}
        self._energy_noise = self._energy_meter(self.layers(start), start, jnp.asarray(50.0)).sample_noise
        self._image_noise = self._imager(self.layers(start), start).sample_noise

    def __hash__(self) -> int:
        return hash((self._mark, self.hard))

    def __eq__(self, other: object) -> bool:
        """Whether compiled programs can be shared."""
        return isinstance(other, DetectorTask) and (self._mark, self.hard) == (other._mark, other.hard)

    def layers(self, design: Mapping[str, Array]) -> Layers:
        """The stack of a design."""
        return Layers(
            self.document.active, design["active_thickness"], self.document.passive, design["passive_thickness"]
        )

    def _energy_meter(self, layers: Layers, design: Mapping[str, Array], energy: Scalar) -> Calorimeter:
        """Layer energies of a photon: each layer the sum over a cluster of cells, whose noise adds in squares."""
        physics = self.document.physics
        cells = physics.cluster_side / design["cell_size"]
        noise = physics.noise * cells / layers.sampling_fractions
        return Calorimeter(
            layers,
            readout=Readout(noise=noise),
            sampling_term=physics.sampling_coefficient,
            sampling_law="thickness",
            energy=energy,
            pdg_id=22,
        )

    def _imager(self, layers: Layers, design: Mapping[str, Array]) -> Calorimeter:
        """Cells around the axis for one or two photons."""
        physics = self.document.physics
        size = jnp.stack([design["cell_size"]] * 2, axis=-1)
        grid = Grid(size, self.window, self.window, sharing="hard" if self.hard else "linear")
        return Calorimeter(
            layers,
            grid,
            transverse="spots" if self.hard else "expected",
            # The widths do not feel them; spots need the term for their number.
            sampling_term=physics.sampling_coefficient if self.hard else None,
            sampling_law="thickness",
            pdg_id=22,
            distance=physics.distance,
            max_particles=2,
            spot_capacity=_SPOTS,
        )

    def noise(self, key: Key) -> Noise:
        """Of one event."""
        keys = [jax.random.fold_in(key, i) for i in range(6)]
        cells = (2, self.num_layers, self.window, self.window)
        return {
            "energy": uniforms(keys[0], ()),
            "photons": jax.vmap(self._energy_noise)(jax.random.split(keys[1])),
            "images": jax.vmap(self._image_noise)(jax.random.split(keys[3])),
            "decay": uniforms(keys[4], (8,)),
            "cells": uniforms(keys[5], cells),
        }

    def signals(self, design: Mapping[str, Array], energy: Scalar, noise: Noise) -> Float[Array, " layer"]:
        """Layer signals of one photon, as they are calibrated."""
        return self._energy_meter(self.layers(design), design, energy)(noise).layers

    def widths(
        self, design: Mapping[str, Array], event: Event, noise: Noise, cells_noise: Float[Array, "layer a b"]
    ) -> Float[Array, " layer"]:
        """ln of the squared width in cm² of what the cells of each layer hold."""
        physics = self.document.physics
        layers = self.layers(design)
        response = self._imager(layers, design)(noise, event)
        spread = (physics.noise / layers.sampling_fractions)[:, None, None]
        if self.hard:
            cells = response.cells + spread * normal(cells_noise)
            cells = jnp.where(cells > physics.threshold, cells, 0.0)
        else:
            energy = response.incident_energy
            term = jnp.mean(layers.sampling_terms(jnp.asarray(physics.sampling_coefficient), "thickness"))
            spot = energy / spot_number(layers.medium, energy, term)
            sigma = jnp.sqrt(jnp.maximum(response.cells, 0.0) * spot + spread**2)
            cells = response.cells + sigma * normal(cells_noise)
            cells = jnp.maximum(cells, 0.0) * jax.nn.sigmoid((cells - physics.threshold) / physics.threshold_width)
        place = (jnp.arange(self.window) - (self.window - 1) / 2) * design["cell_size"][:, None]
        total = jnp.sum(cells, axis=(1, 2)) + physics.threshold
        square = jnp.zeros(self.num_layers)
        for axis in (1, 2):
            along = jnp.sum(cells, axis=3 - axis)
            mean = jnp.sum(along * place, axis=1) / total
            square = square + jnp.sum(along * (place - mean[:, None]) ** 2, axis=1) / total
        return jnp.log(square + _WIDTH_FLOOR)

    def _events(self, u: Float[Array, "8"]) -> tuple[Event, Event]:
        """A photon and a π⁰ → γγ that point to the same place."""
        physics = self.document.physics
        energy, distance = physics.pion_energy, physics.distance
        place = 2 * u[:2] - 1
        share = 0.05 + 0.9 * u[2]
        opening = _PION / (energy * jnp.sqrt(share * (1 - share)))
        turn = 2 * jnp.pi * u[3]
        direction = jnp.stack([jnp.cos(turn), jnp.sin(turn)]) * opening
        other = 2 * u[4:6] - 1

        def event(energies: list[Any], slopes: list[Array], count: int) -> Event:
            slope, e = jnp.stack(slopes), jnp.stack([jnp.asarray(x, u.dtype) for x in energies])
            cosine = 1 / jnp.sqrt(1 + jnp.sum(slope**2, axis=1))
            momenta = jnp.stack([e, e * cosine * slope[:, 0], e * cosine * slope[:, 1], e * cosine], axis=1)
            return Event(momenta, jnp.arange(2) < count, jnp.full(2, 22), jnp.ones((), u.dtype), jnp.zeros((), bool))

        pion = event(
            [energy * share, energy * (1 - share)],
            [place / distance + direction * (1 - share), place / distance - direction * share],
            2,
        )
        return event([energy, energy], [other / distance, other / distance], 1), pion

    def simulate(self, design: dict[str, Array], noise: Noise) -> Float[Array, " stat"]:
        """The statistics of one event; `unpack` names their means."""
        physics = self.document.physics
        energy = physics.lowest * (physics.highest / physics.lowest) ** noise["energy"]
        energies = jnp.stack([energy, jnp.full_like(energy, HIGGS_PHOTON)])
        # Two photons, and two images, by one program each: half the compilation.
        signals = jax.vmap(lambda e, u: self.signals(design, e, u))(energies, noise["photons"])
        first, second = signals / energies[:, None]
        upper = jnp.where(noise["energy"] > 0.5, 2.0, 0.0) * first
        events = jax.tree.map(lambda *pair: jnp.stack(pair), *self._events(noise["decay"]))
        images = jax.vmap(lambda event, u, cells: self.widths(design, event, u, cells))(
            events, noise["images"], noise["cells"]
        )
        parts = [upper]
        for row in (first, second, *images):
            parts += [row, jnp.outer(row, row)[jnp.triu_indices(self.num_layers)]]
        return jnp.concatenate(parts)

    def unpack(self, means: Array) -> tuple[Array, list[tuple[Array, Array]]]:
        """Means of x/E in the upper half; then mean and second moments of x/E, of that at 62.6 GeV, of both widths."""
        size = self.num_layers
        rows, columns = np.triu_indices(size)
        upper, moments, at = means[:size], [], size
        for _ in range(4):
            mean = means[at : at + size]
            packed = means[at + size : at + size + rows.size]
            full = jnp.zeros((size, size), means.dtype).at[rows, columns].set(packed)
            moments.append((mean, full + full.T - jnp.diag(jnp.diagonal(full))))
            at += size + rows.size
        return upper, moments

    def calibration(self, means: Array) -> Float[Array, " layer"]:
        """The layer weights of the best linear calibration."""
        _, moments = self.unpack(means)
        return best_weights(*moments[0], ridge=1e-5)

    def objectives(self) -> dict[str, Any]:
        """O by name, functions of (means, design)."""

        def resolution(means: Array, design: dict[str, Array]) -> Array:
            return _relative_width(self.calibration(means), *self.unpack(means)[1][0])

        def bias(means: Array, design: dict[str, Array]) -> Array:
            upper, moments = self.unpack(means)
            # The lower half's mean is 2m − m_upper.
            return jnp.sqrt((2 * self.calibration(means) @ (upper - moments[0][0])) ** 2 + 1e-8)

        def separation(means: Array, design: dict[str, Array]) -> Array:
            (photon, photons), (pion, pions) = self.unpack(means)[1][2:]
            difference = pion - photon
            covariance = (photons - jnp.outer(photon, photon) + pions - jnp.outer(pion, pion)) / 2
            covariance = covariance + 1e-3 * jnp.diag(jnp.diagonal(covariance)) + 1e-6 * jnp.eye(self.num_layers)
            square = difference @ solve(covariance, difference)
            return jax.scipy.stats.norm.cdf(-jnp.sqrt(square + 1e-8) / 2)

        def mass(means: Array, design: dict[str, Array]) -> Array:
            return _relative_width(self.calibration(means), *self.unpack(means)[1][1]) / jnp.sqrt(2.0)

        def price(means: Array, design: dict[str, Array]) -> Array:
            return self.price(design)

        functions = (resolution, bias, separation, mass, price)
        return dict(zip(OBJECTIVES, functions, strict=True))

    def price(self, design: Mapping[str, Array]) -> Array:
        """Of a front face of 1 m²."""
        prices = self.document.prices
        volume = AREA * (
            prices.passive * jnp.sum(design["passive_thickness"]) + prices.active * jnp.sum(design["active_thickness"])
        )
        return volume + prices.channel * channels(design)

    def budgets(self) -> list[Budget]:
        """The limits of the document."""
        costs: dict[str, tuple[Any, str]] = {
            "depth": (lambda d: jnp.sum(d["passive_thickness"]) + jnp.sum(d["active_thickness"]), "cm"),
            "channels": (channels, ""),
            "price": (self.price, ""),
            "radiation_lengths": (lambda d: self.layers(d).depth_edges[-1], "X0"),
        }
        return [
            Budget(name, costs[name][0], limit, unit=costs[name][1]) for name, limit in self.document.budgets.items()
        ]

    def problem(self, scales: Mapping[str, float] | None = None) -> Problem:
        """The problem of the design; `scales` are the values of the objectives that count as 1."""
        document = self.document
        variables = []
        for name in FREE:
            free = name in document.free
            low, high = document.bounds[name] if free else (None, None)
            variables.append(Variable(name, list(getattr(document, name)), low, high, free=free, unit="cm"))
        weights = {name: float(document.weights.get(name, 0.0)) for name in OBJECTIVES}
        if scales is not None:
            weights = {name: w / scales[name] if w else 0.0 for name, w in weights.items()}
        return Problem(
            variables,
            self.simulate,
            self.noise,
            objectives=self.objectives(),
            weights=weights,
            budgets=self.budgets(),
            same_as=self,
        )


def _skeleton(document: DetectorDesign) -> dict[str, Any]:
    """What of a document its programs depend on."""
    content = document.to_dict()
    rows = {name: len(content[name]) if name in document.free else content[name] for name in FREE}
    return {name: value for name, value in (content | rows).items() if name != "weights"}


def channels(design: Mapping[str, Array]) -> Array:
    """Cells of all layers of a front face of 1 m²."""
    return jnp.sum(AREA / design["cell_size"] ** 2)


def _relative_width(weights: Array, mean: Array, second: Array) -> Array:
    """√Var(w·r)/E[w·r]."""
    covariance = second - jnp.outer(mean, mean)
    variance = weights @ covariance @ weights
    return jnp.sqrt(jnp.maximum(variance, 1e-12)) / (weights @ mean)


__all__ = ["HIGGS_PHOTON", "DetectorTask", "channels"]
