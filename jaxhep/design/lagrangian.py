"""Budgets as an augmented Lagrangian, and the search for a point that meets them."""

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Scalar
from .problem import Problem
from .variables import Values

FEASIBLE = 1e-3
"""Largest relative excess over a budget that counts as met."""


class InfeasibleError(ValueError):
    """No design within the bounds meets the budgets; the message names them and the nearest cost that was found."""


def penalty(problem: Problem, excess: Array, multipliers: Array, stiffness: Scalar) -> Scalar:
    r"""The terms that the budgets add to the objective.

    With the relative excess \(c=(\mathrm{cost}-B)/|B|\): \(\lambda c+\tfrac\mu2c^2\) for an exact budget, and
    \([\max(0,\lambda+\mu c)^2-\lambda^2]/2\mu\) for a limit (M. Hestenes, J. Optim. Theory Appl. 4 (1969) 303;
    R. T. Rockafellar, J. Optim. Theory Appl. 12 (1973) 555).

    Arguments:
        problem: for which budgets are exact.
        excess: c, shape (budget,).
        multipliers: λ, shape (budget,).
        stiffness: μ > 0.

    Returns:
        A scalar, differentiable in c.
    """
    if not problem.budgets:
        return jnp.zeros_like(stiffness)
    exact = jnp.asarray([budget.exact for budget in problem.budgets])
    equal = multipliers * excess + stiffness * excess**2 / 2
    limit = (jnp.maximum(multipliers + stiffness * excess, 0.0) ** 2 - multipliers**2) / (2 * stiffness)
    return jnp.sum(jnp.where(exact, equal, limit))


def updated(problem: Problem, excess: Array, multipliers: Array, stiffness: Scalar) -> Array:
    """The next multipliers, λ + μc, not below 0 for a limit. At the optimum λ/|B| = −dL*/dB, the price."""
    if not problem.budgets:
        return multipliers
    exact = jnp.asarray([budget.exact for budget in problem.budgets])
    new = multipliers + stiffness * excess
    return jnp.where(exact, new, jnp.maximum(new, 0.0))


def violation(problem: Problem, excess: Array) -> Array:
    """How far each budget is missed, relative; 0 where it is met."""
    if not problem.budgets:
        return jnp.zeros(0, excess.dtype)
    exact = jnp.asarray([budget.exact for budget in problem.budgets])
    return jnp.where(exact, jnp.abs(excess), jnp.maximum(excess, 0.0))


def feasible(problem: Problem, design: Values, num_steps: int = 600) -> dict[str, np.ndarray]:
    """A design that meets the budgets, found downhill from the given one; the given one if it meets them.

    Arguments:
        problem: with its budgets.
        design: where to begin.
        num_steps: of Adam on the squared excess.

    Returns:
        Arrays by name.

    Raises:
        InfeasibleError: none was found.
    """
    import optax

    given = {name: np.asarray(value, np.float64) for name, value in design.items()}
    if not problem.budgets:
        return given
    start = problem.space.internal(given)

    def miss(u: Array) -> Array:
        # A little inside of a limit, so that the search ends within it and not on it.
        excess = problem.excess(problem.space.external(u))
        exact = jnp.asarray([budget.exact for budget in problem.budgets])
        return jnp.sum(jnp.where(exact, excess, jnp.maximum(excess + FEASIBLE, 0.0)) ** 2)

    # A short memory for the squares: slopes fall by orders of magnitude towards a bound.
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, num_steps), b2=0.9)

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        u, inner = state
        change, inner = optimiser.update(jax.grad(miss)(u), inner, u)
        return (u + change, inner), None

    @jax.jit
    def search(u: Array) -> tuple[Array, Array, Array]:
        before = problem.excess(problem.space.external(u))
        (u, _), _ = jax.lax.scan(step, (u, optimiser.init(u)), None, length=num_steps)
        return u, before, problem.excess(problem.space.external(u))

    found, before, after = search(start)
    if float(jnp.max(violation(problem, before))) <= FEASIBLE / 10:
        return given
    missed = np.asarray(violation(problem, after))
    if not np.all(np.isfinite(missed)) or missed.max() > FEASIBLE:
        words = []
        for budget, miss_of_it, share in zip(problem.budgets, missed, np.asarray(after), strict=True):
            if not miss_of_it <= FEASIBLE:
                nearest = budget.limit + float(share) * abs(budget.limit)
                unit = f" {budget.unit}" if budget.unit else ""
                sign = "=" if budget.exact else "≤"
                words.append(f"{budget.name} {sign} {budget.limit:g}{unit} (nearest found {nearest:.6g}{unit})")
        raise InfeasibleError(
            f"no design within the bounds meets {' and '.join(words)}; raise the budget or widen the bounds"
        )
    return {name: np.asarray(value, np.float64) for name, value in problem.space.external(found).items()}


__all__ = ["FEASIBLE", "InfeasibleError", "feasible", "penalty", "updated", "violation"]
