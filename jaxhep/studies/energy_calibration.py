r"""Energy of a particle from its layer energies by maximum likelihood, with a conditional flow as the likelihood.

\(\hat E=\arg\max_E\,p(x\mid E)\) does not depend on the spectrum of the training sample, as a regression does
(arXiv:2404.18992). The maximum is found by Newton's method on \(\ln p\), and the interval where \(-2\Delta\ln L=1\).
`python -m jaxhep.studies.energy_calibration calorimeter` runs the study on electrons in a sampling calorimeter of
`jaxhep.detector`; without the word on a calorimeter whose likelihood is known.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._types import Array, Bool, Float, Key, Scalar
from ..densities import AbstractTractableDensity
from ..densities.bijections import Chain, fit_conditional_affine
from ..densities.flows import Flow, autoregressive_flow
from ..densities.preprocessing import fit_preprocessing, positive, preprocess
from ..training import Dataset, TrainingSettings, density_loss, fit
from .calorimeter_response import CalorimeterResponse

LogLikelihood = Callable[[Array, Array], Array]
"""(x, E) → ln p(x | E) of one event, E in GeV."""


class EnergyEstimate(eqx.Module):
    r"""Maximum-likelihood energies in GeV.

    **Fields**, one number an event: `energy`, Ê; `low` and `high`, where \(-2\Delta\ln L=1\), NaN where the likelihood
    does not fall so far within the range; `at_edge`, whether the maximum lies at an end of the range: no estimate then.
    """

    energy: Float[Array, "..."]
    low: Float[Array, "..."]
    high: Float[Array, "..."]
    at_edge: Bool[Array, "..."]


def _newton(function: Callable[[Array], tuple[Array, Array]], low: Array, high: Array, steps: int) -> Array:
    """The zero of a rising function (value, slope) between two points; bisection where Newton leaves them."""

    def step(_: Any, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        at, below, above = state
        value, slope = function(at)
        below, above = jnp.where(value < 0, at, below), jnp.where(value < 0, above, at)
        new = at - value / jnp.where(slope > 0, slope, 1.0)
        # With the ends: a step of zero, at the solution, must not be taken for one that left the bracket.
        inside = (slope > 0) & (new >= below) & (new <= above)
        return jnp.where(inside, new, (below + above) / 2), below, above

    return lax.fori_loop(0, steps, step, ((low + high) / 2, low, high))[0]


def estimate_energy(
    log_likelihood: LogLikelihood, x: Float[Array, " layer"], low: float, high: float, *, num_grid: int = 48,
    steps: int = 10,
) -> EnergyEstimate:  # fmt: skip
    r"""Ê of one event and its interval, in θ = ln E.

    A coarse grid finds the highest maximum; between its neighbours Newton's method solves \(\partial_\theta\ln p=0\),
    with bisection where a step leaves the bracket; then the two solutions of \(-2\Delta\ln L=1\) likewise.

    **Arguments**: `log_likelihood`; `x`, one event; `low`, `high`, range of E in GeV, wider than where estimates are
    wanted; `num_grid` points and `steps` of Newton.

    **Returns** an `EnergyEstimate`. It carries no gradient.

    >>> import jax.numpy as jnp
    >>> from jaxhep.studies.energy_calibration import estimate_energy
    >>> normal = lambda x, energy: -0.5 * ((x[0] - energy) / 2.0) ** 2
    >>> found = estimate_energy(normal, jnp.array([50.0]), 5.0, 100.0)
    >>> round(float(found.energy), 2), round(float(found.low), 2), round(float(found.high), 2)
    (50.0, 48.0, 52.0)
    """
    if not 0 < low < high:
        raise ValueError(f"the range of energies needs 0 < low < high, got [{low}, {high}]")

    def cost(theta: Array) -> Array:
        return -log_likelihood(x, jnp.exp(theta))

    def slope_and_curvature(theta: Array) -> tuple[Array, Array]:
        one = jnp.ones_like(theta)
        return jax.jvp(lambda at: jax.jvp(cost, (at,), (one,))[1], (theta,), (one,))

    grid = jnp.linspace(math.log(low), math.log(high), num_grid).astype(x.dtype)
    costs = lax.map(cost, grid)
    best = jnp.argmin(costs)
    at_edge = (best == 0) | (best == num_grid - 1)
    inner = jnp.clip(best, 1, num_grid - 2)
    theta = _newton(slope_and_curvature, grid[inner - 1], grid[inner + 1], steps)
    least = cost(theta)

    def crossing(side: int) -> Array:
        def excess(distance: Array) -> tuple[Array, Array]:
            value, slope = jax.jvp(cost, (theta + side * distance,), (jnp.full_like(distance, side),))
            return 2 * (value - least) - 1, 2 * slope

        beyond = (side * (grid - theta) > 0) & (2 * (costs - least) > 1)
        far = jnp.min(jnp.where(beyond, side * (grid - theta), jnp.inf))
        found = jnp.isfinite(far)
        distance = _newton(excess, jnp.zeros_like(theta), jnp.where(found, far, 1.0), steps)
        return jnp.where(found & ~at_edge, jnp.exp(theta + side * distance), jnp.nan)

    energy = jnp.where(at_edge, jnp.exp(grid[best]), jnp.exp(theta))
    return EnergyEstimate(energy, crossing(-1), crossing(1), at_edge)


def estimate_energies(
    log_likelihood: LogLikelihood, x: Float[Array, "event layer"], low: float, high: float, chunk: int = 1024
) -> EnergyEstimate:
    """`estimate_energy` of many events, in chunks of one compiled shape.

    **Arguments**: as there, with `x` of shape (event, layer); `chunk`, events a call.
    """
    run = jax.jit(jax.vmap(lambda one: estimate_energy(log_likelihood, one, low, high)))
    parts = []
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        padded = jnp.concatenate([part, jnp.repeat(part[-1:], chunk - len(part), axis=0)])
        parts.append(run(padded))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(x)], *parts)


@dataclasses.dataclass(frozen=True)
class GammaResponse:
    r"""A calorimeter whose likelihood is known: layer i measures \(x_i\sim\Gamma(f_iE/c^2,\ \text{scale }c^2)\).

    The sum has mean E and σ/E = c/√E (the fluctuations of GFLASH, hep-ex/0001020).

    **Fields**: `fractions` f, summing to one; `resolution` c in √GeV.

    >>> from jaxhep.studies.energy_calibration import GammaResponse
    >>> GammaResponse().draw([50.0, 60.0], seed=0).shape
    (2, 3)
    """

    fractions: tuple[float, ...] = (0.25, 0.55, 0.2)
    resolution: float = 0.2

    def draw(self, energies: Any, seed: int) -> np.ndarray:
        """Layer energies in GeV, shape (event, layer)."""
        shape = np.asarray(energies, float)[:, None] * np.asarray(self.fractions) / self.resolution**2
        return np.random.default_rng(seed).gamma(shape, self.resolution**2)

    def log_likelihood(self, x: Float[Array, " layer"], energy: Scalar) -> Scalar:
        """ln p(x | E) of one event."""
        square = self.resolution**2
        shape = energy * jnp.asarray(self.fractions, x.dtype) / square
        return jnp.sum((shape - 1) * jnp.log(x / square) - x / square - lax.lgamma(shape) - math.log(square))


PRIORS = ("uniform", "log-uniform")


def prior_energies(prior: str, num_events: int, low: float, high: float, seed: int) -> np.ndarray:
    """Training energies in GeV: flat in E ("uniform") or in ln E ("log-uniform").

    >>> from jaxhep.studies.energy_calibration import prior_energies
    >>> len(prior_energies("uniform", 3, 1.0, 2.0, seed=0))
    3
    """
    if prior not in PRIORS:
        raise ValueError(f"prior is one of {', '.join(PRIORS)}, not {prior!r}")
    u = np.random.default_rng(seed).uniform(size=num_events)
    return low + (high - low) * u if prior == "uniform" else low * (high / low) ** u


SETTINGS = TrainingSettings(batch_size=512, epochs=30, learning_rate=1e-3, clip_norm=5.0, ema=0.999, warmup_steps=100)
"""Settings of `train_response`."""


def train_response(
    x: Float[np.ndarray, "event layer"],
    energies: Float[np.ndarray, " event"],
    *,
    key: Key,
    settings: TrainingSettings = SETTINGS,
    weights: Float[np.ndarray, " event"] | None = None,
    **flow: Any,
) -> AbstractTractableDensity:
    """A flow p(x | E): logarithms standardised, the linear trend with ln E taken out, then autoregressive splines.

    **Arguments**: `x`, layer energies above zero; `energies`, E in GeV; `key`; `settings`; `weights`, one an event;
    `flow`, arguments of `autoregressive_flow`.

    **Returns** a density of x given the vector (E,).
    """
    condition = np.asarray(energies, float)[:, None]
    events = fit_preprocessing(x, weights, [positive()] * x.shape[1])
    conditions = fit_preprocessing(condition, weights, [positive()])
    trend = fit_conditional_affine(
        jax.vmap(events.inverse)(jnp.asarray(x, jnp.float32))[0],
        jax.vmap(conditions.inverse)(jnp.asarray(condition, jnp.float32))[0],
        weights,
    )
    first, second = jax.random.split(key)
    sizes = {"num_layers": 4, "num_bins": 8, "width": 48, "depth": 2, **flow}
    start = autoregressive_flow(x.shape[1], 1, key=first, **sizes)
    model = preprocess(Flow(start.base, Chain(start.bijection, trend)), events, conditions)
    data = Dataset({"x": np.asarray(x, np.float32), "c": condition.astype(np.float32)}, weights)
    result = fit(model, density_loss(conditional=True), data, key=second, settings=settings)
    trained: AbstractTractableDensity = result.ema if settings.ema else result.model
    return trained


def log_likelihood_of(density: AbstractTractableDensity) -> LogLikelihood:
    """ln p(x | E) of a density whose condition is (E,)."""
    return lambda x, energy: density.log_prob(x, energy[None])


def mode_of(values: Any, *, window: float = 1.3, num_bins: int = 24) -> tuple[float, float]:
    """The mode of a sample and its error: a cubic in the logarithm of a histogram around the peak.

    The window is centred on the mode in three rounds. The error is that of the fit, propagated to the maximum.

    **Arguments**: `values`; `window`, half-width in standard deviations; `num_bins` in it.

    >>> import numpy as np
    >>> from jaxhep.studies.energy_calibration import mode_of
    >>> abs(mode_of(np.random.default_rng(0).normal(1.0, 0.1, 20_000))[0] - 1.0) < 0.005
    True
    """
    values = np.asarray(values, float)
    low, centre, high = np.quantile(values, [0.16, 0.5, 0.84])
    sigma = (high - low) / 2
    error = math.nan
    for _ in range(3):
        edges = np.linspace(centre - window * sigma, centre + window * sigma, num_bins + 1)
        counts = np.histogram(values, edges)[0]
        used = counts > 0
        t = ((edges[1:] + edges[:-1]) / 2 - centre)[used] / sigma
        design = np.stack([t**k for k in range(4)], axis=1)
        weights = counts[used].astype(float)  # 1/Var ln n = n
        covariance = np.linalg.inv(design.T @ (weights[:, None] * design))
        c = covariance @ (design.T @ (weights * np.log(counts[used])))
        roots = np.roots([3 * c[3], 2 * c[2], c[1]])
        roots = roots[np.isreal(roots)].real
        peaks = roots[2 * c[2] + 6 * c[3] * roots < 0]
        if not len(peaks):
            raise ValueError("the histogram has no maximum in the window; use more events or a wider window")
        peak = float(peaks[np.argmin(np.abs(peaks))])
        curvature = 2 * c[2] + 6 * c[3] * peak
        gradient = -np.array([0.0, 1.0, 2 * peak, 3 * peak**2]) / curvature
        error = float(np.sqrt(gradient @ covariance @ gradient) * sigma)
        centre = centre + peak * sigma
    return float(centre), error


@dataclasses.dataclass(frozen=True)
class CalibrationPoint:
    """Ê/E of one likelihood at one energy.

    **Fields**: `likelihood`; `energy` in GeV; `mode`, `mode_error`; `shift`, mean of Ê/Ê_reference − 1 over the same
    events with `shift_error` (NaN without a reference); `width`, half of the central 68 %; `coverage` of the interval.
    """

    likelihood: str
    energy: float
    mode: float
    mode_error: float
    shift: float
    shift_error: float
    width: float
    coverage: float

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.likelihood:>12} {self.energy:5.0f} GeV  mode {self.mode:.4f} ± {self.mode_error:.4f}  to reference "
            f"{100 * self.shift:+.3f} ± {100 * self.shift_error:.3f} %  width {self.width:.4f}  "
            f"coverage {self.coverage:.3f}"
        )


def calibration_points(
    likelihoods: dict[str, LogLikelihood],
    draw: Callable[[np.ndarray, int], np.ndarray],
    energies: Sequence[float],
    num_events: int,
    low: float,
    high: float,
    reference: str | None = None,
    seed: int = 100,
) -> list[CalibrationPoint]:
    """Every likelihood on the same events at each energy.

    **Arguments**: `likelihoods` by name; `draw(energies, seed)` makes events; `energies` in GeV; `num_events` at each;
    `low`, `high`, the range of the maximisation; `reference`, name of the likelihood that
    the others are compared to, or None; `seed`.
    """
    points = []
    for i, energy in enumerate(energies):
        x = jnp.asarray(draw(np.full(num_events, float(energy)), seed + i), jnp.float32)
        found = {name: estimate_energies(one, x, low, high) for name, one in likelihoods.items()}
        for name, estimate in found.items():
            ratio = np.asarray(estimate.energy, float) / energy
            shift = np.full(2, math.nan)
            if reference is not None:
                shift = ratio * energy / np.asarray(found[reference].energy) - 1
            quantiles = np.quantile(ratio, [0.1587, 0.8413])
            covered = (estimate.low <= energy) & (estimate.high >= energy)
            points.append(
                CalibrationPoint(
                    name, float(energy), *mode_of(ratio), float(shift.mean()),
                    float(shift.std(ddof=1) / math.sqrt(len(shift))), float(np.diff(quantiles)[0] / 2),
                    float(covered.mean()),
                )
            )  # fmt: skip
    return points


def main(arguments: Sequence[str] | None = None, show: Callable[[str], Any] = print) -> None:
    """Trains on both priors and compares with the exact likelihood, or with each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("response", nargs="?", choices=("gamma", "calorimeter"), default="gamma")
    parser.add_argument("--train", type=int, default=100_000, help="training events of each prior")
    parser.add_argument("--events", type=int, default=20_000, help="events at each energy")
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--low", type=float, default=5.0, help="lowest training energy in GeV")
    parser.add_argument("--high", type=float, default=120.0, help="highest training energy in GeV")
    options = parser.parse_args(arguments)
    response: Any = CalorimeterResponse() if options.response == "calorimeter" else GammaResponse()
    settings = dataclasses.replace(SETTINGS, epochs=options.epochs)
    likelihoods: dict[str, LogLikelihood] = {}
    if options.response == "gamma":
        likelihoods["exact"] = response.log_likelihood
    for i, prior in enumerate(PRIORS):
        energies = prior_energies(prior, options.train, options.low, options.high, seed=i)
        trained = train_response(response.draw(energies, 10 + i), energies, key=jax.random.key(i), settings=settings)
        likelihoods[prior] = log_likelihood_of(trained)
    points = calibration_points(
        likelihoods,
        response.draw,
        (10, 30, 50, 70, 90),
        options.events,
        options.low,
        options.high,
        reference=next(iter(likelihoods)),
    )
    for point in points:
        show(str(point))


__all__ = [
    "PRIORS",
    "SETTINGS",
    "CalibrationPoint",
    "EnergyEstimate",
    "GammaResponse",
    "LogLikelihood",
    "calibration_points",
    "estimate_energies",
    "estimate_energy",
    "log_likelihood_of",
    "main",
    "mode_of",
    "prior_energies",
    "train_response",
]

if __name__ == "__main__":
    main()
