"""Two-parameter contours of the profile −2 ln L."""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from jaxhep.inference.crossing import find_crossings
from jaxhep.inference.fit import make_settings
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.profile import free_covariance, locate
from jaxhep.inference.result import FitResult


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed line in the plane of two parameters.

    Arguments:
        name_x, name_y: the parameters.
        level: confidence level for two parameters, in (0, 1).
        delta: the rise of −2 ln L on the line.
        points: the line, first point not repeated, NaN where no crossing was found, shape `(point, 2)`.
        valid: True where a crossing was found, shape `(point,)`.
        reasons: what is wrong with the line; empty if nothing is.
    """

    name_x: str
    name_y: str
    level: float
    delta: float
    points: Float[np.ndarray, "point 2"]
    valid: Bool[np.ndarray, " point"]
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Lists and strings for JSON; NaN becomes `None`."""
        points = [[float(x) if np.isfinite(x) else None for x in row] for row in self.points]
        return {
            "name_x": self.name_x,
            "name_y": self.name_y,
            "level": self.level,
            "delta": self.delta,
            "points": points,
            "valid": self.valid.tolist(),
            "reasons": list(self.reasons),
        }


def level_to_delta(level: float | int) -> float:
    """Δ(−2 ln L) that holds two parameters at a confidence level: −2 ln(1 − level), the χ² quantile for 2 degrees.

    Arguments:
        level: in (0, 1).

    Returns:
        The rise: 2.28 for 0.68, 5.99 for 0.95.

    Raises:
        ValueError: `level` outside (0, 1).

    >>> round(level_to_delta(0.95), 3)
    5.991
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, got {level}; for 68 % write 0.68")
    return -2 * log(1 - level)


def contour(
    objective: AbstractObjective,
    result: FitResult,
    name_x: str,
    name_y: str,
    level: float | int = 0.68,
    *,
    num_points: int = 48,
    batch_size: int | None = None,
    autodiff: str = "forward",
) -> Contour:
    """The line on which −2 ln L, minimised over all other parameters, has risen by −2 ln(1 − level).

    Points lie on rays from the minimum, evenly spaced in the angle of the covariance ellipse.

    Arguments:
        objective: the objective of the fit.
        result: a valid fit.
        name_x, name_y: two different free parameters.
        level: confidence level for two parameters: 0.68, 0.95, …
        num_points: points on the line.
        batch_size: points at a time; `None` for all.
        autodiff: as in `fit`.

    Returns:
        The contour; points that could not be found are NaN and counted in `reasons`.

    Raises:
        ValueError: unknown, fixed or equal names, a level outside (0, 1), fewer than 3 points.
        InvalidFitError: the fit is not valid.
    """
    delta = level_to_delta(level)
    if name_x == name_y:
        raise ValueError(f"a contour needs two different parameters, got {name_x!r} twice")
    if num_points < 3:
        raise ValueError(f"a contour needs at least 3 points, got {num_points}")
    result.raise_if_invalid()
    layout, x, best = locate(result, name_x)
    y = locate(result, name_y)[1]
    covariance = free_covariance(result, layout)
    factor = np.linalg.cholesky(covariance[np.ix_([x, y], [x, y])])
    angle = 2 * np.pi * np.arange(num_points) / num_points
    directions = np.zeros((num_points, best.size))
    directions[:, [x, y]] = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ factor.T
    held = np.isin(np.arange(best.size), [x, y])
    found = find_crossings(
        objective,
        layout,
        best,
        covariance,
        result.objective_value,
        directions,
        held,
        delta,
        make_settings(autodiff),
        batch_size,
    )
    valid = np.asarray(found.valid)
    points = np.where(valid[:, None], np.asarray(found.theta)[:, [x, y]], np.nan)
    missing = int(np.sum(~valid))
    reasons = (f"no crossing found for {missing} of {num_points} directions (a bound may be in the way)",)
    return Contour(name_x, name_y, float(level), delta, points, valid, reasons if missing else ())


__all__ = ["Contour", "contour", "level_to_delta"]
