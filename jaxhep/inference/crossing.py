"""Where the profile −2 ln L has risen by a given amount along a direction: the root behind intervals and contours."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxhep.inference.layout import Layout
from jaxhep.inference.minimise import Settings, total
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.prediction import Numbers


class Crossing(NamedTuple):
    """θ at the crossing, the rise there, the EDM over the other parameters, and whether all is as it should be."""

    theta: Float[Numbers, "*point free"]
    delta: Float[Numbers, "*point"]
    edm: Float[Numbers, "*point"]
    valid: Bool[Numbers, "*point"]


def find_crossings(
    objective: AbstractObjective,
    layout: Layout,
    best: Float[np.ndarray, " free"],
    covariance: Float[np.ndarray, "free free"],
    minimum: float,
    directions: Float[np.ndarray, "point free"],
    held: Bool[np.ndarray, " free"],
    level: float,
    settings: Settings,
    batch_size: int | None = None,
    *,
    retry: bool = True,
) -> Crossing:
    """Solve −2 ln L = minimum + level together with ∂(−2 ln L)/∂θ_k = 0 for the parameters k that are not held.

    The unknowns are the length ρ along a direction d of the held parameters and the others: one system instead of a
    minimisation within a root search. It is solved by Newton's method (optimistix) in internal coordinates
    u(ρ, q) = û + ρ D + σ q, where D is the displacement d completed by the parabola; for a quadratic −2 ln L the start
    ρ = √level, q = 0 is already the answer. Should Newton's method fail in some direction, the Dogleg method, which
    is the same within a trust region but takes four times as long to compile, tries again.

    Arguments:
        objective, layout: as in the fit.
        best: θ̂ of the free parameters.
        covariance: V over the free parameters.
        minimum: −2 ln L at θ̂.
        directions: d in θ, zero outside the held parameters, of unit length in the metric of their covariance.
        held: the parameters that span the interval (one) or contour (two).
        level: the rise.
        settings: as in the fit.
        batch_size: directions at a time; `None` for all.
        retry: use the Dogleg method where Newton's fails.

    Returns:
        One crossing a direction; `valid` is False where none was found.
    """
    block = covariance[np.ix_(held, held)]
    completed = directions[:, held] @ np.linalg.solve(block, covariance[held, :])
    sigma = np.sqrt(np.diag(covariance))

    def solve(method: str) -> Crossing:
        numbers = (best, sigma, np.float64(minimum), held, np.float64(level))
        if batch_size == 1:
            # One program for any number of directions: interval and contours share it.
            each = [_find_one(objective, layout, *numbers, row, settings, method) for row in completed]
            return jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(each))
        return jax.device_get(_find(objective, layout, *numbers, completed, settings, batch_size, method))

    with jax.enable_x64(True):
        found = solve("newton")
        if np.all(found.valid) or not retry:
            return found
        again = solve("dogleg")
    use = np.asarray(found.valid)
    return Crossing(*(np.where(use[:, None] if a.ndim == 2 else use, a, b) for a, b in zip(found, again, strict=True)))


@eqx.filter_jit
def _find(
    objective: AbstractObjective,
    layout: Layout,
    best: Numbers,
    sigma: Numbers,
    minimum: Any,
    held: Numbers,
    level: Any,
    directions: Numbers,
    settings: Settings,
    batch_size: int | None,
    method: str,
) -> Crossing:
    def one(direction: Array) -> Crossing:
        return _solve(objective, layout, best, sigma, minimum, held, level, direction, settings, method)

    if batch_size is None:
        return jax.vmap(one)(jnp.asarray(directions))
    return jax.lax.map(one, jnp.asarray(directions), batch_size=batch_size)


def _solve(
    objective: AbstractObjective,
    layout: Layout,
    best: Numbers,
    sigma: Numbers,
    minimum: Any,
    held: Numbers,
    level: Any,
    direction: Numbers,
    settings: Settings,
    method: str,
) -> Crossing:
    import optimistix as optx

    # Near the fit du = dθ/(dθ/du); the fit is valid, so it is not on a bound and the slope is not zero.
    internal = layout.internal(jnp.asarray(best))
    slope, _ = layout.slopes(internal)
    unit = sigma / jnp.abs(slope)

    def function(u: Array) -> Array:
        return total(objective, layout, layout.external(u))

    def value_and_gradient(u: Array) -> tuple[Array, Array]:
        if settings.autodiff == "reverse":
            return jax.value_and_grad(function)(u)
        gradient, value = jax.jacfwd(lambda x: (function(x),) * 2, has_aux=True)(u)
        return value, gradient

    step = direction / slope

    def place(y: tuple[Array, Array]) -> Array:
        length, rest = y
        return internal + length * step + unit * jnp.where(held, 0.0, rest)

    def equations(y: Any, args: Any) -> Any:
        value, gradient = value_and_gradient(place(y))
        return value - minimum - level, jnp.where(held, y[1], unit * gradient)

    start = (jnp.sqrt(level), jnp.zeros_like(unit))
    solver = {"newton": optx.Newton, "dogleg": optx.Dogleg}[method](rtol=1e-8, atol=1e-8)
    found: optx.Solution = optx.root_find(equations, solver, start, max_steps=64, throw=False)
    off, slopes = equations(found.value, None)
    theta = layout.external(place(found.value))
    edm = jnp.sum(jnp.where(held, 0.0, slopes) ** 2) / 4
    fine = (jnp.abs(off) < 1e-4 * jnp.maximum(level, 1.0)) & (edm < 1e-4) & (found.value[0] > 0)
    return Crossing(theta, off + level, edm, fine & jnp.all(jnp.isfinite(theta)))


_find_one = eqx.filter_jit(_solve)


__all__ = ["Crossing", "find_crossings"]
