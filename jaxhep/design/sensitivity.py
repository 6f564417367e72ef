"""How the objective answers to each number of a design: elasticities, second derivatives, tolerances, with errors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._types import Array, Key
from .evaluation import batch_objectives
from .problem import Problem
from .variables import Values


@dataclass(frozen=True, eq=False)
class Sensitivity:
    r"""First and second derivatives of the objective at a design; budgets are not part of them.

    Arguments:
        labels: of the free entries.
        values: θ.
        objective: L and its error.
        gradient, gradient_error: ∂L/∂θ, shape (free,).
        hessian, hessian_error: ∂²L/∂θ∂θ, shape (free, free).
        objective_gradients: ∂O_k/∂θ and errors by name of the objective.
    """

    labels: tuple[str, ...]
    values: Float[np.ndarray, " free"]
    objective: tuple[float, float]
    gradient: Float[np.ndarray, " free"]
    gradient_error: Float[np.ndarray, " free"]
    hessian: Float[np.ndarray, "free free"]
    hessian_error: Float[np.ndarray, "free free"]
    objective_gradients: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def elasticity(self) -> Float[np.ndarray, " free"]:
        """∂ln|L|/∂ln|θ|: per cent of L for a per cent of θ."""
        return self.values / self.objective[0] * self.gradient

    @property
    def elasticity_error(self) -> Float[np.ndarray, " free"]:
        """Standard error of `elasticity` from that of the gradient (L itself is known far better)."""
        return np.abs(self.values / self.objective[0]) * self.gradient_error

    @property
    def tolerance(self) -> Float[np.ndarray, " free"]:
        r"""\(\sqrt{2\cdot0.01\,|L|/H_{ii}}\): the change of θ_i alone that costs 1 % at a minimum.

        NaN where \(H_{ii}\) is not above two of its standard errors: nothing is known then.
        """
        curvature, error = np.diag(self.hessian), np.diag(self.hessian_error)
        known = curvature > 2 * error
        return np.sqrt(np.where(known, 0.02 * abs(self.objective[0]) / np.where(known, curvature, 1.0), np.nan))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; what is not known is None."""
        tolerance = [float(x) if np.isfinite(x) else None for x in self.tolerance]
        return {
            "labels": list(self.labels),
            "values": self.values.tolist(),
            "objective": {"value": self.objective[0], "error": self.objective[1]},
            "gradient": self.gradient.tolist(),
            "gradient_error": self.gradient_error.tolist(),
            "elasticity": self.elasticity.tolist(),
            "elasticity_error": self.elasticity_error.tolist(),
            "hessian": self.hessian.tolist(),
            "hessian_error": self.hessian_error.tolist(),
            "tolerance_of_one_percent": tolerance,
            "objectives": {
                name: {"gradient": g.tolist(), "error": e.tolist()} for name, (g, e) in self.objective_gradients.items()
            },
        }

    def __repr__(self) -> str:
        lines = [f"objective {self.objective[0]:.6g} ± {self.objective[1]:.2g}"]
        numbers = (self.labels, self.elasticity, self.elasticity_error, self.tolerance)
        for name, value, error, tolerance in zip(*numbers, strict=True):
            known = f"{tolerance:.3g}" if np.isfinite(tolerance) else "not known"
            lines.append(f"{name}: dlnL/dlnθ = {value:.3g} ± {error:.2g}, 1 % for Δθ = {known}")
        return "\n".join(lines)


_RELATIVE_STEP = 0.02


@partial(jax.jit, static_argnames=("problem", "size", "second"))
def _derivatives(
    problem: Problem, share: Array, theta: Array, key: Key, number: Array, size: int, second: bool
) -> tuple[Array, Array, Array]:
    noise = problem.draw(jax.random.fold_in(key, number), size)

    def values(at: Array) -> Array:
        return batch_objectives(problem, problem.space.unflatten(at), noise).value

    slopes = jax.jacrev(values)(theta)
    hessian = jnp.zeros((theta.size, theta.size), theta.dtype)
    if second:
        # One row after the other: batched over rows, the memory of all of them would be held at once.
        gradient = jax.grad(lambda at: share @ values(at))
        hessian = jax.lax.map(
            lambda row: jax.jvp(gradient, (theta,), (row,))[1], jnp.eye(theta.size, dtype=theta.dtype)
        )
    return values(theta), slopes, hessian


def sensitivity(
    problem: Problem,
    design: Values,
    key: Key,
    *,
    num_batches: int = 16,
    batch_size: int = 1024,
    second: Literal["autodiff", "difference", "none"] = "autodiff",
    on_batch: Callable[[int], None] | None = None,
) -> Sensitivity:
    """Derivatives of the objective with errors, from independent batches.

    Arguments:
        problem: whose objective.
        design: where.
        key: of fresh noise.
        num_batches: at least 4; the errors are those of their mean.
        batch_size: events of a batch.
        second: the Hessian, by `"autodiff"`; by `"difference"`, central differences of the gradient on the same noise
            with steps of 2 % of θ (no further program is compiled; exact up to the square of the step); or `"none"`.
            Either is as many times dearer than the gradient as there are free entries.
        on_batch: called with the number of batches done.

    Returns:
        `Sensitivity`.

    Raises:
        ValueError: fewer than four batches, an unknown `second`.
    """
    if second not in ("autodiff", "difference", "none"):
        raise ValueError(f"second must be 'autodiff', 'difference' or 'none', not {second!r}")
    if num_batches < 4:
        raise ValueError(f"errors from the spread of batches need at least 4 of them, got {num_batches}")
    theta = problem.space.flatten({name: jnp.asarray(value, float) for name, value in design.items()})
    share = problem.weights
    weights = jnp.asarray(share, theta.dtype)
    parts = []
    for number in range(num_batches):
        rest = (key, jnp.asarray(number, jnp.uint32), batch_size, second == "autodiff")
        found = [np.asarray(x, np.float64) for x in _derivatives(problem, weights, theta, *rest)]
        if second == "difference":
            for i in range(theta.size):
                step = _RELATIVE_STEP * float(abs(theta[i]) if theta[i] else 1.0)
                up, down = (
                    share @ np.asarray(_derivatives(problem, weights, theta.at[i].add(h), *rest)[1], np.float64)
                    for h in (step, -step)
                )
                found[2][i] = (up - down) / (2 * step)
        parts.append(found)
        if on_batch is not None:
            on_batch(number + 1)
    values, slopes, hessians = (np.stack([part[i] for part in parts]) for i in range(3))

    def with_error(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(sample.mean(axis=0)), np.asarray(sample.std(axis=0, ddof=1) / np.sqrt(num_batches))

    total, total_error = with_error(values @ share)
    gradient, gradient_error = with_error(np.einsum("k,bki->bi", share, slopes))
    hessian, hessian_error = with_error(hessians)
    named = {name: with_error(slopes[:, k]) for k, name in enumerate(problem.objective_names)}
    return Sensitivity(
        problem.space.labels,
        np.asarray(theta, np.float64),
        (float(total), float(total_error)),
        gradient,
        gradient_error,
        (hessian + hessian.T) / 2,
        hessian_error,
        named,
    )


__all__ = ["Sensitivity", "sensitivity"]
