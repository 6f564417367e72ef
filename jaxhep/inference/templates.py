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
from ..simulator import AbstractSimulator, generate, get_parameters, with_parameters
from .prediction import Prediction

NUM_BATCHES = 8
NUM_NODES = 1001
"""Points of the fine grid of an observable. Its spacing is far below the width of the shape function."""


class MovedSpectra(eqx.Module):
    r"""Parton-level spectra of one sample at several values of a parameter, with their derivatives.

    **Fields**: `log_values` ln θ of the nodes; for each observable the fine `grids`, and `contents` and `slopes`
    (node, grid point): the fraction of events and its derivative with respect to ln θ; `effective_events`
    (node) \((\sum w)^2/\sum w^2\); `slope_batches`, the slopes at the reference from eight parts of the sample, whose
    spread is their error; `num_overflow`, the events that did not fit their arrays.
    """

    log_values: Float[np.ndarray, " node"]
    grids: dict[str, Float[np.ndarray, " point"]]
    contents: dict[str, Float[np.ndarray, "node point"]]
    slopes: dict[str, Float[np.ndarray, "node point"]]
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
    factors: Sequence[float] = (0.8, 1.0, 1.25),
    chunk_size: int = 65_536,
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

    **Returns** `MovedSpectra`.
    """
    if len(factors) < 2 or not all(a < b for a, b in itertools.pairwise(factors)) or factors[0] <= 0:
        raise ValueError(f"factors must be at least two positive increasing numbers, got {tuple(factors)}")
    centre = get_parameters(simulator)[parameter]
    zeros = {name: jnp.zeros_like(leaf) for name, leaf in get_parameters(simulator).items()}
    contents: dict[str, list[np.ndarray]] = {name: [] for name in observables}
    slopes: dict[str, list[np.ndarray]] = {name: [] for name in observables}
    batches: dict[str, np.ndarray] = {}
    effective, overflow = [], 0
    for number, factor in enumerate(factors):
        value = centre * factor
        at = with_parameters(simulator, {parameter: value})
        direction = with_parameters(simulator, zeros | {parameter: value})  # d/d ln θ

        def run(sim: AbstractSimulator, number: int = number) -> dict[str, Array]:
            report = None if on_chunk is None else (lambda done: on_chunk(number * num_events + done))
            return generate(
                sim,
                key,
                num_events,
                observables=observables,
                reference=simulator,
                chunk_size=chunk_size,
                on_chunk=report,
            )

        events, tangents = jax.jvp(run, (at,), (direction,))
        overflow = max(overflow, int(jnp.sum(events["overflow"])))
        weight, weight_tangent = events["weight"], tangents["weight"]
        for name in observables:
            shown = (events[name], weight, tangents[name], weight_tangent)
            content, slope = _content_and_slope(shown, *ranges[name])
            contents[name].append(content)
            slopes[name].append(slope)
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


@eqx.filter_jit
def _deposit(primal: Any, tangent: Any, low: float, high: float) -> Any:
    return jax.jvp(lambda values, weights: deposit(values, weights, low, high, NUM_NODES), primal, tangent)


def hermite_basis(
    nodes: Float[Array | np.ndarray, " node"], x: Scalar
) -> tuple[Float[Array, " node"], Float[Array, " node"]]:
    r"""Weights of values and slopes in the polynomial through both at all nodes (degree 2n−1).

    \(p(x)=\sum_n[1-2(x-x_n)\ell_n'(x_n)]\ell_n(x)^2f_n+(x-x_n)\ell_n(x)^2f_n'\) with the Lagrange polynomials ℓ_n.

    >>> import jax.numpy as jnp, numpy as np
    >>> a, b = hermite_basis(np.array([0.0, 1.0]), jnp.asarray(1.0))
    >>> a.tolist(), b.tolist()
    ([0.0, 1.0], [0.0, 0.0])
    """
    lagrange = _lagrange(nodes, x)
    count = nodes.shape[0]
    values, slopes = [], []
    for n in range(count):
        inner = sum(1 / (nodes[n] - nodes[m]) for m in range(count) if m != n)
        values.append((1 - 2 * (x - nodes[n]) * inner) * lagrange[n] ** 2)
        slopes.append((x - nodes[n]) * lagrange[n] ** 2)
    return jnp.stack(values), jnp.stack(slopes)


def _lagrange(nodes: Float[Array | np.ndarray, " node"], x: Scalar) -> Float[Array, " node"]:
    """The Lagrange polynomials of the nodes at x; smooth, since kinks stop a minimiser."""
    count = nodes.shape[0]
    others = [jnp.asarray([nodes[m] for m in range(count) if m != n]) for n in range(count)]
    return jnp.stack([jnp.prod((x - o) / (nodes[n] - o)) for n, o in enumerate(others)])


class EventShapeModel(eqx.Module):
    r"""Binned, hadronised event shape: `model({"lambda_qcd": …, "omega_1": …}) -> Prediction`.

    The parton-level spectrum at Λ is the Hermite polynomial in ln Λ through moved spectra and their exact derivatives;
    the shape function then acts as a matrix, \(t_b=\sum_kM_{bk}(\Omega_1)\,g_k(\Lambda)/\Delta_b\). The Monte Carlo
    covariance is that of a multinomial seen through M, \((M\,\mathrm{diag}(h)M^T-Mh(Mh)^T)/N_\mathrm{eff}\), with h
    the spectrum averaged over the nodes near Λ and
    \(1/N_\mathrm{eff}\) interpolated between the nodes.

    **Arguments**: `spectra`; `observable` its name; `edges` of the measured bins; `energy` √s in GeV; `shape` of the
    shape function; `parameter` the name of Λ.
    """

    log_values: Float[np.ndarray, " node"]
    grid: Float[np.ndarray, " point"]
    contents: Float[np.ndarray, "node point"]
    slopes: Float[np.ndarray, "node point"]
    edges: Float[np.ndarray, " edge"]
    effective_events: Float[np.ndarray, " node"]
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
        self.log_values, self.grid = spectra.log_values, spectra.grids[observable]
        self.contents, self.slopes = spectra.contents[observable], spectra.slopes[observable]
        self.edges = np.asarray(edges, float)
        self.effective_events = spectra.effective_events
        self.energy, self.shape = float(energy), float(shape)
        self.observable, self.parameter = observable, parameter

    def parton_level(self, log_value: Scalar) -> Float[Array, " point"]:
        """Parton-level fractions on the fine grid at ln Λ."""
        values, slopes = hermite_basis(self.log_values, log_value)
        return values @ jnp.asarray(self.contents) + slopes @ jnp.asarray(self.slopes)

    def __call__(self, parameters: Mapping[str, Any]) -> Prediction:
        """Densities in the measured bins and their Monte Carlo covariance."""
        log_value = jnp.log(parameters[self.parameter])
        spectrum = self.parton_level(log_value)
        # The weights of moved events fluctuate more the further they were moved.
        inverse_count = jnp.exp(-_lagrange(self.log_values, log_value) @ jnp.log(jnp.asarray(self.effective_events)))
        # Where few events fall the polynomial may dip below zero, so its covariance is taken from the nodes' contents,
        # averaged with squared Lagrange polynomials: positive and smooth weights.
        squares = _lagrange(self.log_values, log_value) ** 2
        average = squares @ jnp.asarray(self.contents)
        return self.hadronised(spectrum, average / jnp.sum(average), inverse_count, parameters["omega_1"])

    def hadronised(
        self,
        spectrum: Float[Array | np.ndarray, " point"],
        occupation: Float[Array | np.ndarray, " point"],
        inverse_count: Any,
        omega_1: Any,
    ) -> Prediction:
        """A parton-level spectrum in the measured bins; `occupation`: its positive form, for the covariance."""
        shape_function = ShapeFunction(omega_1, self.energy, self.shape)
        matrix = shape_function.smearing_matrix(jnp.asarray(self.edges), jnp.asarray(self.grid), self.observable)
        widths = jnp.diff(jnp.asarray(self.edges))
        mean = matrix @ occupation
        covariance = ((matrix * occupation) @ matrix.T - jnp.outer(mean, mean)) * inverse_count
        return Prediction(matrix @ spectrum / widths, covariance / jnp.outer(widths, widths))


class SampledShape(eqx.Module):
    """Binned, hadronised event shape of one sample: a function of `omega_1` alone.

    **Arguments**: `model`: how to bin and hadronise; `values` and `weights` (event) of the sample.
    """

    model: EventShapeModel
    spectrum: Float[np.ndarray, " point"]
    inverse_count: Float[np.ndarray, ""]

    def __init__(self, model: EventShapeModel, values: Float[Array, " event"], weights: Float[Array, " event"]):
        low, high = float(model.grid[0]), float(model.grid[-1])
        grid, squares = deposit(values, weights, low, high, model.grid.shape[0])
        content = np.asarray(grid, float)
        self.model, self.spectrum = model, content / content.sum()
        self.inverse_count = np.asarray(float(squares) / float(jnp.sum(weights)) ** 2)

    def __call__(self, parameters: Mapping[str, Any]) -> Prediction:
        """Densities in the measured bins and their Monte Carlo covariance."""
        return self.model.hadronised(self.spectrum, self.spectrum, self.inverse_count, parameters["omega_1"])


__all__ = ["EventShapeModel", "MovedSpectra", "SampledShape", "hermite_basis", "moved_spectra"]
