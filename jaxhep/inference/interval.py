"""Asymmetric Δ(−2 ln L) = 1 intervals, in the manner of MINOS."""

from dataclasses import dataclass

import numpy as np

from jaxhep.inference.crossing import find_crossings
from jaxhep.inference.fit import make_settings
from jaxhep.inference.minimise import Settings
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.profile import curvature, free_covariance, locate, minimise_held
from jaxhep.inference.result import FitResult, Interval


def interval(
    objective: AbstractObjective,
    result: FitResult,
    name: str,
    *,
    delta: float | int = 1.0,
    batch_size: int | None = None,
    autodiff: str = "forward",
) -> Interval:
    """Both θ_j at which −2 ln L, minimised over the other parameters, has risen by `delta`.

    An end beyond a bound of the parameter is put on the bound, and the interval is then marked not valid with the
    reason. Where the direct solution fails, the end is bracketed and bisected on the profile.

    Arguments:
        objective: the objective of the fit.
        result: a valid fit.
        name: a free parameter.
        delta: the rise, > 0: 1 for 68.3 %, 3.84 for 95 % (one parameter).
        batch_size: 1 solves the two ends one after the other.
        autodiff: as in `fit`.

    Returns:
        The interval; `FitResult.with_interval` stores it in the result.

    Raises:
        ValueError: unknown or fixed name, `delta` not positive.
        InvalidFitError: the fit is not valid.
    """
    if not delta > 0:
        raise ValueError(f"delta must be above 0, got {delta}")
    result.raise_if_invalid()
    layout, index, best = locate(result, name)
    covariance = free_covariance(result, layout)
    held = np.arange(best.size) == index
    sigma = float(np.sqrt(covariance[index, index]))
    directions = np.array([-1.0, 1.0])[:, None] * sigma * held
    settings = make_settings(autodiff)
    found = find_crossings(
        objective,
        layout,
        best,
        covariance,
        result.objective_value,
        directions,
        held,
        delta,
        settings,
        batch_size,
        retry=False,
    )
    ends, reasons = [float(x) for x in found.theta[:, index]], []
    search = _Search(objective, result, index, delta, settings)
    for side, sign in ((0, -1), (1, 1)):
        if not found.valid[side]:
            ends[side], reason = search.end(sign, sigma)
            if reason:
                reasons.append(f"{'lower' if sign < 0 else 'upper'} end of {name!r}: {reason}")
    return Interval(name, ends[0], ends[1], float(best[index]), float(delta), not reasons, tuple(reasons))


@dataclass(frozen=True)
class _Search:
    """The slow and safe way: widen until the profile is above, then cut into eight parts, again and again."""

    objective: AbstractObjective
    result: FitResult
    index: int
    delta: float
    settings: Settings

    def end(self, sign: int, sigma: float) -> tuple[float, str]:
        """The end on one side, and what is wrong with it."""
        layout, index, best = locate(self.result, self.result.free_names[self.index])
        bound = float(layout.lower[index] if sign < 0 else layout.upper[index])
        inner = float(best[index])
        outer = inner + sign * sigma * np.sqrt(self.delta) * np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0])
        outer = np.minimum(outer, bound) if sign > 0 else np.maximum(outer, bound)
        for _ in range(12):
            rise = self._rise(outer)
            if not np.all(np.isfinite(rise)):
                return float("nan"), "the minimisation over the other parameters failed"
            above = np.flatnonzero(rise >= self.delta)
            if not above.size:
                if outer[-1] == bound:
                    return bound, f"the bound {bound:g} comes before the crossing"
                return float("nan"), f"no crossing within {8 * np.sqrt(self.delta):.3g} standard deviations"
            first = int(above[0])
            inner, edge = (inner if first == 0 else float(outer[first - 1])), float(outer[first])
            if abs(edge - inner) < 1e-5 * sigma:
                return (inner + edge) / 2, ""
            outer = np.linspace(inner, edge, 9)[1:]
        return (inner + float(outer[0])) / 2, ""

    def _rise(self, points: np.ndarray) -> np.ndarray:
        layout, index, best = locate(self.result, self.result.free_names[self.index])
        starts = np.tile(best, (points.size, 1))
        starts[:, index] = points
        held = np.arange(best.size) == index
        hessian = curvature(free_covariance(self.result, layout))
        minimum = minimise_held(self.objective, layout, starts, held, hessian, self.settings)
        good = np.isfinite(minimum.value) & (minimum.edm < 1e-4)
        return np.where(good, minimum.value - self.result.objective_value, np.nan)


__all__ = ["interval"]
