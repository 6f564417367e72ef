"""Profile scans: −2 ln L along one parameter, minimised over the others at each point."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxhep.inference.fit import make_settings
from jaxhep.inference.layout import Layout, make_layout
from jaxhep.inference.minimise import Minimum, Settings, jitted_minimise, minimise
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.prediction import Numbers
from jaxhep.inference.result import FitResult


@dataclass(frozen=True, eq=False)
class ProfileScan:
    """A profile scan.

    Arguments:
        name: the scanned parameter.
        points: its values, shape `(point,)`.
        delta: rise of the minimised −2 ln L above the fit, NaN where the minimisation failed, shape `(point,)`.
        parabola: ((θ − θ̂)/σ)², what a quadratic −2 ln L would give, shape `(point,)`.
        others: best values of all free parameters at each point, by name, each of shape `(point,)`.
        valid: True where the minimisation over the others converged, shape `(point,)`.
        reasons: what is wrong with the scan as a whole; empty if nothing is.
    """

    name: str
    points: Float[np.ndarray, " point"]
    delta: Float[np.ndarray, " point"]
    parabola: Float[np.ndarray, " point"]
    others: dict[str, Float[np.ndarray, " point"]]
    valid: Bool[np.ndarray, " point"]
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Lists and strings for JSON; NaN becomes `None`."""

        def plain(array: np.ndarray) -> list:
            return [float(x) if np.isfinite(x) else None for x in array]

        return {
            "name": self.name,
            "points": plain(self.points),
            "delta": plain(self.delta),
            "parabola": plain(self.parabola),
            "others": {name: plain(array) for name, array in self.others.items()},
            "valid": self.valid.tolist(),
            "reasons": list(self.reasons),
        }


def profile(
    objective: AbstractObjective,
    result: FitResult,
    name: str,
    *,
    num_points: int = 21,
    num_sigma: float | int = 3.0,
    points: Any = None,
    batch_size: int | None = None,
    autodiff: str = "forward",
) -> ProfileScan:
    """Δ(θ_j) = min over the others of −2 ln L − its minimum, on a grid of θ_j.

    Each point starts from the parabola through the fit, θ_k = θ̂_k + V_kj/V_jj (θ_j − θ̂_j), and all points are
    minimised at once (vmap) or in batches.

    Arguments:
        objective: the objective of the fit.
        result: a valid fit (with explicit `points` any fit).
        name: a free parameter.
        num_points: number of points, evenly spaced over θ̂ ± `num_sigma` σ, cut at the bounds.
        num_sigma: half range in standard deviations.
        points: the values of θ_j instead.
        batch_size: points at a time; `None` for all, 1 for the least memory.
        autodiff: as in `fit`.

    Returns:
        The scan. A lower minimum than the fit's is reported in `reasons`.

    Raises:
        ValueError: unknown or fixed name, too few points, a point outside the bounds.
        InvalidFitError: the fit is not valid and no points were given.
    """
    layout, index, center = locate(result, name)
    sigma = result.errors[name]
    if points is None:
        result.raise_if_invalid()
        if num_points < 2 or not num_sigma > 0:
            raise ValueError(f"a scan needs num_points >= 2 and num_sigma > 0, got {num_points} and {num_sigma}")
        low = max(center[index] - num_sigma * sigma, float(layout.lower[index]))
        high = min(center[index] + num_sigma * sigma, float(layout.upper[index]))
        points = np.linspace(low, high, num_points)
    grid = np.atleast_1d(np.asarray(points, np.float64))
    if not np.all(np.isfinite(grid)) or np.any(grid < layout.lower[index]) or np.any(grid > layout.upper[index]):
        raise ValueError(f"scan points of {name!r} must be finite and within its bounds")
    covariance = free_covariance(result, layout)
    slope = np.nan_to_num(covariance[:, index] / covariance[index, index])
    slope[index] = 1.0
    starts = center + (grid - center[index])[:, None] * slope
    settings = make_settings(autodiff)
    held = np.arange(len(layout.free)) == index
    minimum = minimise_held(objective, layout, starts, held, curvature(covariance), settings, batch_size)
    valid = np.isfinite(minimum.value) & (np.asarray(minimum.edm) <= 1e3 * settings.tolerance)
    delta = np.where(valid, minimum.value - result.objective_value, np.nan)
    reasons = []
    if not np.all(valid):
        reasons.append(f"the minimisation failed at {int(np.sum(~valid))} of {grid.size} points")
    if np.any(delta < -1e-3):
        k = int(np.nanargmin(delta))
        where = f"{name} = {grid[k]:.6g} (Δ = {delta[k]:.3g})"
        reasons.append(f"a lower minimum than the fit's lies near {where}: fit again")
    return ProfileScan(
        name,
        grid,
        delta,
        ((grid - center[index]) / sigma) ** 2,
        {free: np.asarray(minimum.theta)[:, k] for k, free in enumerate(layout.free_names)},
        valid,
        tuple(reasons),
    )


def locate(result: FitResult, name: str) -> tuple[Layout, int, Float[np.ndarray, " free"]]:
    """The layout at the fit, the position of a free parameter in it, and the best values.

    Raises:
        ValueError: unknown or fixed name.
    """
    if name not in result.names:
        raise ValueError(f"no parameter {name!r}; the fit has: {', '.join(result.names)}")
    if name not in result.free_names:
        raise ValueError(f"parameter {name!r} was fixed in the fit; free are: {', '.join(result.free_names)}")
    layout = make_layout(result.parameters)
    values = np.array([result.values[entry] for entry in layout.free_names], np.float64)
    return layout, layout.free_names.index(name), values


def free_covariance(result: FitResult, layout: Layout) -> Float[np.ndarray, "free free"]:
    """Covariance over the free parameters."""
    return np.asarray(result.covariance)[np.ix_(layout.free, layout.free)]


def curvature(covariance: Float[np.ndarray, "free free"]) -> Float[np.ndarray, "free free"]:
    """The Hessian 2 V⁻¹ behind a covariance; the unit matrix if the fit had none."""
    if not np.all(np.isfinite(covariance)):
        return np.eye(covariance.shape[0])
    return 2 * np.linalg.inv(covariance)


def minimise_held(
    objective: AbstractObjective,
    layout: Layout,
    starts: Float[np.ndarray, "point free"],
    held: Bool[np.ndarray, " free"],
    hessian: Float[np.ndarray, "free free"],
    settings: Settings,
    batch_size: int | None = None,
) -> Minimum:
    """Minimise from each start with the held parameters kept there; arrays gain a leading axis `point`."""
    inside = np.clip(starts, layout.lower, layout.upper)
    # A start on a bound has no slope to leave it: move the free ones inside.
    both = np.isfinite(layout.lower) & np.isfinite(layout.upper)
    room = np.where(both, 1e-3 * (layout.upper - layout.lower), 1e-3 * np.asarray(layout.scale))
    starts = np.where(held, inside, np.clip(inside, layout.lower + room, layout.upper - room))
    with jax.enable_x64(True):
        if batch_size == 1:
            # The program of `fit` itself, which is compiled already, instead of one more with a loop around it.
            each = [jitted_minimise(objective, layout, start, held, hessian, settings) for start in starts]
            return jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(each))
        return jax.device_get(_minimise_all(objective, layout, starts, held, hessian, settings, batch_size))


@eqx.filter_jit
def _minimise_all(
    objective: AbstractObjective,
    layout: Layout,
    starts: Numbers,
    held: Numbers,
    hessian: Numbers,
    settings: Settings,
    batch_size: int | None,
) -> Minimum:
    def one(start: Array) -> Minimum:
        return minimise(objective, layout, start, jnp.asarray(held), jnp.asarray(hessian), settings)

    if batch_size is None:
        return jax.vmap(one)(jnp.asarray(starts))
    return jax.lax.map(one, jnp.asarray(starts), batch_size=batch_size)


__all__ = ["ProfileScan", "curvature", "free_covariance", "locate", "minimise_held", "profile"]
