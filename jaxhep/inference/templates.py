"""Templates of event shapes as smooth functions of Λ and Ω₁, made from one event sample by moving it."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key, Scalar
from ..expectation import deposit
from ..hadronization import ShapeFunction
from ..simulator import AbstractSimulator, default_chunk, get_parameters, with_parameters
from .hermite import HermiteInterpolation
from .moved_events import SharedCount, in_threads, moved_events
from .prediction import Prediction

NUM_BATCHES = 8
NUM_NODES = 1001
"""Points of the fine grid of an observable. Its spacing is far below the width of the shape function."""
FACTORS = (0.64, 0.8, 1.0, 1.25, 1.5625)
"""Where a sample is moved to, in units of its own θ: evenly in ln θ, to six standard deviations of Λ from ALEPH's
thrust, so that toys and scans stay between the nodes. There the interpolated spectrum differs from that of the same
events moved to the place by less than 0.08 standard deviations of the data in any bin (10⁶ events)."""
_CHUNKS_OF_A_PIECE = 4


class MovedSpectra(eqx.Module):
    r"""Parton-level spectra of one sample at several values of a parameter, with their derivatives.

    **Fields**: `log_values` ln θ of the nodes; for each observable the fine `grids`, `contents` and `slopes`
    (node, grid point), the fraction of events and its derivative with respect to ln θ, and `squares`, its variance
    \(\sum_iw_i^2/(\sum_iw_i)^2\) (sum over the events at the point above, over all below); `effective_events` (node)
    \((\sum w)^2/\sum w^2\); `slope_batches`, the slopes at the reference from eight parts of the sample, whose spread
    is their error; `num_overflow`, the events that did not fit their arrays.
    """

    log_values: Float[np.ndarray, " node"]
    grids: dict[str, Float[np.ndarray, " point"]]
    contents: dict[str, Float[np.ndarray, "node point"]]
    slopes: dict[str, Float[np.ndarray, "node point"]]
    squares: dict[str, Float[np.ndarray, "node point"]]
    effective_events: Float[np.ndarray, " node"]
    slope_batches: dict[str, Float[np.ndarray, "batch point"]]
    num_overflow: int = eqx.field(static=True)


def moved_spectra(
    simulator: AbstractSimulator,
    key: Key,
    num_events: int,
    observables: Mapping[str, Callable[[Array, Array], Array]],
    ranges: Mapping[str, tuple[float, float]],
    *,
    parameter: str = "lambda_qcd",
    factors: Sequence[float] = FACTORS,
    at: Mapping[str, Any] | None = None,
    chunk_size: int | None = None,
    on_chunk: Callable[[int], None] | None = None,
) -> MovedSpectra:
    r"""Moves one event sample to several values of a parameter and records the spectra and their derivatives.

    The events are those of `simulator` with `key`; at \(\theta_n=f_n\theta\) they are recomputed with the same noise
    and the same discrete choices, weighted by the ratio of the choices' probabilities, and differentiated (forward
    mode).

    **Arguments**

    - `simulator`: the reference, at θ.
    - `key`, `num_events`, `chunk_size`, `on_chunk`: as for `generate`; `on_chunk` counts events over all nodes.
    - `observables`: names and functions of (momenta, mask); `ranges` their lowest and highest values.
    - `parameter`: name of the parameter; `factors`: f_n, increasing.
    - `at`: other parameters that the events are moved in at every node, by name.

    On a CPU several nodes are made at the same time, in threads: one alone does not fill two cores.

    **Returns** `MovedSpectra`.
    """
    if len(factors) < 2 or not all(a < b for a, b in itertools.pairwise(factors)) or factors[0] <= 0:
        raise ValueError(f"factors must be at least two positive increasing numbers, got {tuple(factors)}")
    centre = get_parameters(simulator)[parameter]
    zeros = {name: jnp.zeros_like(leaf) for name, leaf in get_parameters(simulator).items()}
    contents: dict[str, list[np.ndarray]] = {name: [] for name in observables}
    slopes: dict[str, list[np.ndarray]] = {name: [] for name in observables}
    squares: dict[str, list[np.ndarray]] = {name: [] for name in observables}
    batches: dict[str, np.ndarray] = {}
    effective, overflow = [], 0
    count = SharedCount(on_chunk)

    def run(piece: tuple[float, int]) -> Any:
        factor, first = piece
        value = centre * factor
        there = with_parameters(simulator, {**(at or {}), parameter: value})
        direction = with_parameters(simulator, zeros | {parameter: value})  # d/d ln θ
        number = num_events - first if first == starts[-1] else length
        return moved_events(
            simulator, there, direction, key, number, observables, chunk_size, first, on_chunk=count.sample()
        )

    # Pieces short enough that threads end together, none below a chunk, which would be compiled for its own size. The
    # first one compiles the program that the others then share.
    chunk = default_chunk() if chunk_size is None else chunk_size
    length = _CHUNKS_OF_A_PIECE * chunk
    starts = range(0, max(num_events - chunk + 1, 1), length)
    pieces = [(factor, first) for factor in factors for first in starts]
    found = [run(pieces[0]), *in_threads(run, pieces[1:])]
    for factor in factors:
        events, tangents = jax.tree.map(lambda *parts: jnp.concatenate(parts), *(found.pop(0) for _ in starts))
        overflow = max(overflow, int(jnp.sum(events["overflow"])))
        weight, weight_tangent = events["weight"], tangents["weight"]
        for name in observables:
            shown = (events[name], weight, tangents[name], weight_tangent)
            content, slope = _content_and_slope(shown, *ranges[name])
            contents[name].append(content)
            slopes[name].append(slope)
            squares[name].append(_squares(events[name], weight, *ranges[name]))
            if factor == 1.0:
                parts = [_content_and_slope([a[part] for a in shown], *ranges[name])[1] for part in _parts(num_events)]
                batches[name] = np.stack(parts)
        effective.append(float(jnp.sum(weight)) ** 2 / float(jnp.sum(weight**2)))
    grids = {name: np.linspace(*ranges[name], NUM_NODES) for name in observables}
    return MovedSpectra(
        np.log(float(centre) * np.asarray(factors, float)),
        grids,
        {name: np.stack(rows) for name, rows in contents.items()},
        {name: np.stack(rows) for name, rows in slopes.items()},
        {name: np.stack(rows) for name, rows in squares.items()},
        np.asarray(effective),
        batches,
        overflow,
    )


def _parts(num_events: int) -> list[slice]:
    size = num_events // NUM_BATCHES
    return [slice(i * size, (i + 1) * size) for i in range(NUM_BATCHES)]


def _content_and_slope(events: Sequence[Array], low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of the events on the fine grid, and their derivative d/d ln θ."""
    x, w, dx, dw = events
    (grid, _), (slope, _) = _deposit((x, w), (dx, dw), low, high)
    total, change = float(jnp.sum(w)), float(jnp.sum(dw))
    content = np.asarray(grid, float) / total
    # Quotient rule: the mean weight has derivative 0 only on average; dividing by it is the baseline.
    return content, np.asarray(slope, float) / total - content * change / total


def _squares(x: Array, w: Array, low: float, high: float) -> np.ndarray:
    """Variances of the grid's contents, (Σ w²)/(Σ w)² point by point."""
    return np.asarray(_deposit_only(x, w**2, low, high), float) / float(jnp.sum(w)) ** 2


@eqx.filter_jit
def _deposit_only(values: Array, weights: Array, low: float, high: float) -> Array:
    return deposit(values, weights, low, high, NUM_NODES)[0]


@eqx.filter_jit
def _deposit(primal: Any, tangent: Any, low: float, high: float) -> Any:
    return jax.jvp(lambda values, weights: deposit(values, weights, low, high, NUM_NODES), primal, tangent)


class EventShapeModel(eqx.Module):
    r"""Binned, hadronised event shape: `model({"lambda_qcd": …, "omega_1": …}) -> Prediction`.

    The parton-level spectrum at Λ is the Hermite polynomial in ln Λ through moved spectra and their exact derivatives
    (`HermiteInterpolation`); the shape function then acts as a matrix,
    \(t_b=\sum_kM_{bk}(\Omega_1)\,g_k(\Lambda)/\Delta_b\). The Monte Carlo covariance is that of a sum of weighted
    events divided by the sum of their weights, \(\sum_kq_k(M_{bk}-p_b)(M_{ck}-p_c)\) with \(p=Mg\) and q the squared
    weights at a grid point. Its correlations are an average over the nodes near Λ; the logarithms of its variances
    follow a polynomial through the nodes.

    **Arguments**: `spectra`; `observable` its name; `edges` of the measured bins; `energy` √s in GeV; `shape` of the
    shape function; `parameter` the name of Λ.
    """

    interpolation: HermiteInterpolation
    grid: Float[np.ndarray, " point"]
    nodes: Float[np.ndarray, "value point"]
    squares: Float[np.ndarray, "node point"]
    edges: Float[np.ndarray, " edge"]
    energy: float = eqx.field(static=True)
    shape: float = eqx.field(static=True)
    observable: str = eqx.field(static=True)
    parameter: str = eqx.field(static=True)

    def __init__(
        self,
        spectra: MovedSpectra,
        observable: str,
        edges: Any,
        *,
        energy: float,
        shape: float = 3.0,
        parameter: str = "lambda_qcd",
    ):
        self.interpolation, self.grid = HermiteInterpolation(spectra.log_values), spectra.grids[observable]
        self.nodes = np.concatenate([spectra.contents[observable], spectra.slopes[observable]])
        self.squares = spectra.squares[observable]
        self.edges = np.asarray(edges, float)
        self.energy, self.shape = float(energy), float(shape)
        self.observable, self.parameter = observable, parameter

    def like(self, spectra: MovedSpectra, shape: float | None = None) -> "EventShapeModel":
        """The same observable, bins, √s and parameter with other spectra, or another exponent of the shape function."""
        exponent = self.shape if shape is None else shape
        return EventShapeModel(
            spectra, self.observable, self.edges, energy=self.energy, shape=exponent, parameter=self.parameter
        )

    def parton_level(self, log_value: Scalar) -> Float[Array, " point"]:
        """Parton-level fractions on the fine grid at ln Λ."""
        return self.interpolation(log_value) @ jnp.asarray(self.nodes)

    def __call__(self, parameters: Mapping[str, Any]) -> Prediction:
        """Densities in the measured bins and their Monte Carlo covariance."""
        log_value = jnp.log(parameters[self.parameter])
        squares = self.interpolation.node_weights(log_value) @ jnp.asarray(self.squares)
        found = self.hadronised(self.parton_level(log_value), squares, parameters["omega_1"])
        # The average is between the variances of its neighbours, but climbs from one to the other in steps: χ² needs
        # the slope, too (see `ChiSquare`), which the logarithms have.
        matrix, widths = self.smearing_matrix(parameters["omega_1"]), jnp.diff(jnp.asarray(self.edges))
        contents = found.values * widths
        nodes = jnp.asarray(self.squares) @ ((matrix - contents[:, None]) ** 2).T / widths**2
        covariance = jnp.asarray(found.covariance)
        here = jnp.diag(covariance)
        real = jnp.all(nodes > 0, axis=0) & (here > 0)
        logs = jnp.log(jnp.where(real, nodes, 1))
        variances = jnp.exp(self.interpolation.of_logarithms(log_value) @ logs)
        growth = jnp.sqrt(jnp.where(real, variances, 1) / jnp.where(real, here, 1))
        return Prediction(found.values, covariance * jnp.outer(growth, growth))

    def smearing_matrix(self, omega_1: Any) -> Float[Array, "bin point"]:
        """Probability that a parton-level value at a point of the grid ends in a bin."""
        edges, grid = jnp.asarray(self.edges), jnp.asarray(self.grid)
        whole = int(self.shape) if self.shape in range(2, 101) else None
        return ShapeFunction(omega_1, self.energy, self.shape).smearing_matrix(
            edges, grid, self.observable, order=whole
        )

    def hadronised(
        self, spectrum: Float[Array | np.ndarray, " point"], squares: Float[Array | np.ndarray, " point"], omega_1: Any
    ) -> Prediction:
        """A parton-level spectrum in the measured bins; `squares`: see `MovedSpectra`."""
        matrix = self.smearing_matrix(omega_1)
        widths = jnp.diff(jnp.asarray(self.edges))
        values = matrix @ spectrum
        # Positive whatever the spectrum, whose polynomial may dip below zero where few events fall.
        centred = matrix - values[:, None]
        covariance = (centred * squares) @ centred.T
        return Prediction(values / widths, covariance / jnp.outer(widths, widths))


class SampledShape(eqx.Module):
    """Binned, hadronised event shape of one sample: a function of `omega_1` alone.

    **Arguments**: `model`: how to bin and hadronise; `values` and `weights` (event) of the sample.
    """

    model: EventShapeModel
    spectrum: Float[np.ndarray, " point"]
    squares: Float[np.ndarray, " point"]

    def __init__(self, model: EventShapeModel, values: Float[Array, " event"], weights: Float[Array, " event"]):
        low, high = float(model.grid[0]), float(model.grid[-1])
        content = np.asarray(_deposit_only(values, weights, low, high), float)
        self.model, self.spectrum = model, content / content.sum()
        self.squares = _squares(values, weights, low, high)

    def __call__(self, parameters: Mapping[str, Any]) -> Prediction:
        """Densities in the measured bins and their Monte Carlo covariance."""
        return self.model.hadronised(self.spectrum, self.squares, parameters["omega_1"])


__all__ = ["EventShapeModel", "MovedSpectra", "SampledShape", "moved_spectra"]
