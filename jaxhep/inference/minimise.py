"""The minimiser as one pure function: whitened BFGS (optimistix), then Newton steps until the EDM is small."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxhep.inference.layout import Layout
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.prediction import Numbers


class Settings(NamedTuple):
    """How to minimise; hashable, so that it can be static.

    Arguments:
        autodiff: `"forward"` (memory does not grow with the length of the program, works through `while_loop`; cost
            grows with the number of free parameters) or `"reverse"` (for many parameters).
        tolerance: largest estimated distance to the minimum, in units of −2 ln L.
        max_steps: largest number of BFGS steps.
        max_newton: largest number of Newton steps after them.
    """

    autodiff: str = "forward"
    tolerance: float = 1e-8
    max_steps: int = 256
    max_newton: int = 12


class Derivatives(NamedTuple):
    """−2 ln L with priors at a point, and its first two derivatives with respect to the free parameters θ."""

    value: Float[Array, ""]
    gradient: Float[Array, " free"]
    hessian: Float[Array, "free free"]


class Minimum(NamedTuple):
    """Where the minimiser stopped: θ, u, derivatives with respect to θ, EDM, and the evaluations it took."""

    theta: Float[Array, " free"]
    internal: Float[Array, " free"]
    value: Float[Array, ""]
    gradient: Float[Array, " free"]
    hessian: Float[Array, "free free"]
    edm: Float[Array, ""]
    num_evaluations: Int[Array, ""]


def total(objective: AbstractObjective, layout: Layout, theta: Float[Array, " free"]) -> Float[Array, ""]:
    """−2 ln L(θ) of the objective plus the Gaussian priors: the minimised function."""
    return objective.value(layout.as_dict(theta)) + layout.penalty(theta)


def derivatives(
    objective: AbstractObjective, layout: Layout, theta: Float[Array, " free"], autodiff: str
) -> Derivatives:
    """Value, gradient and Hessian in one pass (forward over forward, or forward over reverse)."""

    def function(x: Array) -> Array:
        return total(objective, layout, x)

    def gradient_and_value(x: Array) -> tuple[Array, tuple[Array, Array]]:
        if autodiff == "reverse":
            value, gradient = jax.value_and_grad(function)(x)
        else:
            gradient, value = jax.jacfwd(lambda y: (function(y),) * 2, has_aux=True)(x)
        return gradient, (value, gradient)

    hessian, (value, gradient) = jax.jacfwd(gradient_and_value, has_aux=True)(theta)
    return Derivatives(value, gradient, (hessian + hessian.T) / 2)


def to_internal(
    layout: Layout, at: Derivatives, internal: Float[Array, " free"]
) -> tuple[Float[Array, " free"], Float[Array, "free free"]]:
    """Gradient and Hessian with respect to u from those with respect to θ (chain rule, θ_i depends on u_i alone)."""
    first, second = layout.slopes(internal)
    return first * at.gradient, first[:, None] * at.hessian * first[None, :] + jnp.diag(second * at.gradient)


def whitening(hessian: Float[Array, "free free"], held: Bool[Array, " free"]) -> Float[Array, "free free"]:
    """W with Wᵀ|H|W = 1: in z = W⁻¹(u − u₀) the function is ½|z|² near u₀, whatever the units and correlations.

    |H| has the absolute eigenvalues of the Hessian scaled to unit diagonal (a saddle point is left, not approached),
    not below 1e−10. Rows of held parameters are zero: z does not move them.
    """
    active = ~held
    scale = jnp.sqrt(jnp.abs(jnp.diag(hessian)))
    scale = jnp.where(active & (scale > 0) & jnp.isfinite(scale), scale, 1.0)
    scaled = jnp.where(active[:, None] & active[None, :], hessian / (scale[:, None] * scale[None, :]), 0.0)
    scaled = jnp.where(jnp.isfinite(scaled), scaled, 0.0) + jnp.diag(jnp.where(active, 0.0, 1.0))
    eigenvalues, vectors = jnp.linalg.eigh(scaled)
    size = jnp.abs(eigenvalues)
    size = jnp.where(size > 1e-10, size, 1.0)  # a flat direction: step in units of the parameter
    return jnp.where(active[:, None], vectors / scale[:, None], 0.0) / jnp.sqrt(size)[None, :]


def minimise(
    objective: AbstractObjective,
    layout: Layout,
    start: Float[Array, " free"],
    held: Bool[Array, " free"],
    curvature: Float[Array, "free free"],
    settings: Settings,
) -> Minimum:
    """Minimise −2 ln L over the free parameters that are not held.

    BFGS is the choice because one method serves χ², Poisson and their sums (Levenberg–Marquardt needs residuals,
    which −2 ln L with log-determinants has not). It works in coordinates whitened by the Hessian `curvature`, where a
    linear model takes one step; Newton steps with the exact Hessian then bring the estimated distance to the minimum,
    EDM = ½ gᵀ|H|⁻¹g in internal coordinates, below the tolerance. Pure: it can be jitted, vmapped and scanned.

    Arguments:
        objective: what is minimised.
        layout: the parameters as arrays.
        start: start values of the free parameters.
        held: True where a free parameter is kept at its start value.
        curvature: Hessian of −2 ln L with respect to θ at the start, or near the minimum (scales and correlations).
        settings: static choices.

    Returns:
        The point reached. Nothing is promised about it: look at `edm`, the Hessian and finiteness.
    """
    import optimistix as optx

    start = jnp.asarray(start)
    u_start = layout.internal(start)

    def theta_of(u: Array) -> Array:
        return jnp.where(held, start, layout.external(u))

    def evaluate(u: Array) -> tuple[Derivatives, Array, Array]:
        """Derivatives at u, the Newton step, the EDM."""
        at = derivatives(objective, layout, theta_of(u), settings.autodiff)
        gradient, hessian = to_internal(layout, at, u)
        whiten = whitening(hessian, held)
        slope = whiten.T @ gradient
        return at, -whiten @ slope, jnp.sum(slope**2) / 2

    slope_start, _ = layout.slopes(u_start)
    curvature = jnp.asarray(curvature)
    whiten = whitening(slope_start[:, None] * curvature * slope_start[None, :], held)

    def function(z: Array, args: None) -> Array:
        return total(objective, layout, theta_of(u_start + whiten @ z))

    solution: optx.Solution = optx.minimise(
        function,
        optx.BFGS(rtol=1e-4, atol=1e-3),
        jnp.zeros_like(u_start),
        options={"autodiff_mode": "fwd" if settings.autodiff == "forward" else "bwd"},
        max_steps=settings.max_steps,
        throw=False,
    )
    u_first = u_start + whiten @ solution.value
    u_first = jnp.where(jnp.isfinite(u_first), u_first, u_start)

    # Newton: the loop body holds the only copy of the second derivatives; its first turn evaluates BFGS's point.
    empty = Derivatives(jnp.array(jnp.inf), jnp.full_like(start, jnp.nan), jnp.full_like(curvature, jnp.nan))
    first = (u_first, empty, jnp.zeros_like(start), jnp.array(jnp.inf), jnp.array(1.0), jnp.array(0))

    def unfinished(state: tuple) -> Array:
        _, _, step, edm, length, count = state
        can_move = (count == 0) | ((length > 1e-3) & jnp.all(jnp.isfinite(step)))
        return (count <= settings.max_newton) & ~(edm <= settings.tolerance) & can_move

    def newton(state: tuple) -> tuple:
        u_best, best, step, edm, length, count = state
        u_new = u_best + length * step
        new, new_step, new_edm = evaluate(u_new)
        # A step may raise the value by rounding only, and must bring the gradient closer to zero.
        better = (new.value <= best.value + edm) & (new_edm < edm) | (count == 0)
        ahead, back = (u_new, new, new_step, new_edm, jnp.array(1.0)), (u_best, best, step, edm, length / 4)
        kept = jax.tree.map(lambda a, b: jnp.where(better, a, b), ahead, back)
        return (*kept, count + 1)

    u_best, best, _, edm, _, count = jax.lax.while_loop(unfinished, newton, first)
    steps = jnp.asarray(solution.stats["num_steps"])
    return Minimum(
        theta_of(u_best), u_best, best.value, best.gradient, best.hessian, edm, (steps + count + 1).astype(count.dtype)
    )


@eqx.filter_jit
def jitted_minimise(
    objective: AbstractObjective, layout: Layout, start: Numbers, held: Numbers, curvature: Numbers, settings: Settings
) -> Minimum:
    """`minimise`, compiled once for each kind of objective (new data or start values do not recompile)."""
    return minimise(objective, layout, jnp.asarray(start), jnp.asarray(held), jnp.asarray(curvature), settings)


__all__ = [
    "Derivatives",
    "Minimum",
    "Settings",
    "derivatives",
    "jitted_minimise",
    "minimise",
    "to_internal",
    "total",
    "whitening",
]
