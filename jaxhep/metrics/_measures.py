r"""Weighted samples as measures: checks, effective sizes, and the bootstrap that gives errors and floors.

A metric is a functional T(p, q) of two normalised weighted samples \(p=\sum_iw_i\delta_{x_i}/\sum_iw_i\). Its error is
the spread of \(T(p^*,q^*)\), where \(p^*\) has the weights \(w_i\xi_i\) with independent \(\xi_i\sim\mathrm{Exp}(1)\)
(the Bayesian bootstrap: D. Rubin, Ann. Statist. 9 (1981) 130). A functional of the difference p − q alone has its floor
from \(T\) of \((p^*-p)-(q^*-q)\): the multipliers' fluctuation of each sample about itself, which holds for weighted
and
signed events, where a permutation of the pooled events would not, for the weights may depend on x.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key, Scalar
from ..noise import uniforms
from ._result import Metric

_LEAST_EVENTS = 2


def effective_sample_size(weights: Float[Array, " event"]) -> Scalar:
    r"""\(N_\mathrm{eff}=(\sum_iw_i)^2/\sum_iw_i^2\), the number of unit-weight events of the same relative error.

    **Arguments**: `weights`: shape (event,), any sign, not all zero. **Returns** a number from 0 (weights that cancel)
    to the number of events; differentiable.

    >>> import jax.numpy as jnp
    >>> from jaxhep.metrics import effective_sample_size
    >>> float(effective_sample_size(jnp.array([1.0, 1.0, 2.0])))
    2.6666667
    """
    square = jnp.sum(weights**2)
    return jnp.sum(weights) ** 2 / jnp.where(square > 0, square, 1.0)


def is_concrete(*arrays: object) -> bool:
    """Whether values, not only shapes, can be looked at."""
    return not any(isinstance(a, jax.core.Tracer) for a in arrays)


def check_sample(name: str, values: Array, weights: Array | None, columns: bool = False) -> Any:
    """Checks one sample and returns its weights, ones where there are none; `normalised` makes masses of them.

    **Raises** `ValueError` for a missing event axis, fewer than two events, weights of another length, NaN, or weights
    whose sum is not positive.
    """
    form = "(event, column)" if columns else "(event,)"
    if values.ndim != (2 if columns else 1):
        raise ValueError(f"{name} must have shape {form}, got {values.shape}")
    count = values.shape[0]
    if count < _LEAST_EVENTS:
        raise ValueError(f"{name} needs at least {_LEAST_EVENTS} events, got {count}")
    if is_concrete(values) and not np.all(np.isfinite(np.asarray(values))):
        raise ValueError(f"{name} holds NaN or infinity; remove these events, they are at no distance from anything")
    if weights is None:
        return np.ones(count, values.dtype)
    if weights.shape != (count,):
        raise ValueError(f"the weights of {name} must have shape ({count},), one an event, got {weights.shape}")
    if is_concrete(weights):
        total = np.asarray(weights, float)
        if not np.all(np.isfinite(total)):
            raise ValueError(f"the weights of {name} hold NaN or infinity")
        if not total.sum() > 0:
            raise ValueError(f"the weights of {name} sum to {total.sum():g}; a sample needs a positive sum of weights")
    return weights


def normalised(weights: Float[Array, " event"]) -> Float[Array, " event"]:
    """Weights of sum one."""
    return weights / jnp.sum(weights)


def check_pair(
    x: Array, y: Array, x_weights: Array | None, y_weights: Array | None, columns: bool = False
) -> tuple[Any, Any]:
    """Checks two samples of the same columns and returns their weights."""
    p, q = check_sample("x", x, x_weights, columns), check_sample("y", y, y_weights, columns)
    if columns and x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must have the same columns, got {x.shape[1]} and {y.shape[1]}")
    return p, q


def check_replicas(num_replicas: int) -> None:
    """A spread needs two."""
    if num_replicas < 2:
        raise ValueError(f"num_replicas must be at least 2 to have a spread, got {num_replicas}")


def bootstrapped(key: Key, masses: Float[Array, " event"], num_replicas: int) -> Float[Array, "replica event"]:
    """Rows of masses of bootstrap replicas, each normalised to one."""
    xi = -jnp.log(uniforms(key, (num_replicas, masses.shape[0]), masses.dtype))
    rows = masses * xi
    return rows / jnp.sum(rows, axis=1, keepdims=True)


def with_replicas(
    key: Key, x_weights: Float[Array, " event"], y_weights: Float[Array, " other"], num_replicas: int
) -> tuple[Float[Array, "row event"], Float[Array, "row other"]]:
    """Rows of the masses (p, q), then of replicas, then of the replicas' differences from (p, q): value, error and
    floor in one pass."""
    p, q = normalised(x_weights), normalised(y_weights)
    first, second = jax.random.split(key)
    p_star, q_star = bootstrapped(first, p, num_replicas), bootstrapped(second, q, num_replicas)
    return jnp.concatenate([p[None], p_star, p_star - p]), jnp.concatenate([q[None], q_star, q_star - q])


def summary(rows: Float[Array, " row"]) -> Metric:
    """A `Metric` from the values of the rows of `with_replicas`."""
    count = (rows.shape[0] - 1) // 2
    error, null = rows[1 : count + 1], rows[count + 1 :]
    fixed = jax.lax.stop_gradient(jnp.stack([jnp.std(error, ddof=1), jnp.mean(null), jnp.std(null, ddof=1)]))
    return Metric(rows[0], fixed[0], fixed[1], fixed[2])


def quadratic_form(
    kernel: Callable[[Array, Array], Array],
    x: Float[Array, "event column"],
    y: Float[Array, "other column"],
    left: Float[Array, "row event"],
    right: Float[Array, "row other"],
    block: int = 512,
) -> Float[Array, " row"]:
    r"""\(\sum_{ij}a_{ri}\,k(x_i,y_j)\,b_{rj}\) for every row r, in blocks of x, so that memory stays small.

    **Arguments**: `kernel`, of a block (b, column) and (other, column) to (b, other); the points; the masses.
    """
    count, rows = x.shape[0], left.shape[0]
    block = min(block, count)
    padding = -count % block
    points = jnp.pad(x, ((0, padding), (0, 0)), mode="edge").reshape(-1, block, x.shape[1])
    masses = jnp.pad(left, ((0, 0), (0, padding))).reshape(rows, -1, block).transpose(1, 0, 2)

    def step(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        some, mass = part
        return total + jnp.sum(mass * (right @ kernel(some, y).T), axis=1), None

    start = jnp.zeros(rows, jnp.result_type(left, right))
    return jax.lax.scan(jax.checkpoint(step), start, (points, masses))[0]


__all__ = [
    "bootstrapped",
    "check_pair",
    "check_replicas",
    "check_sample",
    "effective_sample_size",
    "is_concrete",
    "normalised",
    "quadratic_form",
    "summary",
    "with_replicas",
]
