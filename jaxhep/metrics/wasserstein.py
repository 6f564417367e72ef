"""Wasserstein-1 distance: exact in one dimension, sliced in more."""

from functools import partial

import jax
import jax.numpy as jnp

from .._types import Array, Float, Key
from ..noise import normal, uniforms
from ._measures import check_pair, check_replicas, summary, with_replicas
from ._result import Metric


def _distances(
    x: Float[Array, " event"],
    y: Float[Array, " other"],
    p_rows: Float[Array, "row event"],
    q_rows: Float[Array, "row other"],
) -> Float[Array, " row"]:
    """∫|F − G| of every row of masses: one sort, then sums."""
    points = jnp.concatenate([x, y])
    order = jnp.argsort(jax.lax.stop_gradient(points))
    gaps = jnp.diff(points[order])
    masses = jnp.concatenate([p_rows, -q_rows], axis=1)[:, order]
    return jnp.sum(jnp.abs(jnp.cumsum(masses, axis=1)[:, :-1]) * gaps, axis=1)


@partial(jax.jit, static_argnames="num_replicas")
def _exact(x: Array, y: Array, p: Array, q: Array, key: Key, num_replicas: int) -> Metric:
    return summary(_distances(x, y, *with_replicas(key, p, q, num_replicas)))


@partial(jax.jit, static_argnames=("num_directions", "num_replicas"))
def _sliced(x: Array, y: Array, p: Array, q: Array, key: Key, num_directions: int, num_replicas: int) -> Metric:
    first, second = jax.random.split(key)
    directions = normal(uniforms(first, (num_directions, x.shape[1]), x.dtype))
    directions = directions / jnp.sqrt(jnp.sum(directions**2, axis=1, keepdims=True))
    p_rows, q_rows = with_replicas(second, p, q, num_replicas)
    rows = jax.lax.map(lambda d: _distances(x @ d, y @ d, p_rows, q_rows), directions)
    return summary(jnp.mean(rows, axis=0))


def wasserstein(
    x: Float[Array, " event"],
    y: Float[Array, " other"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    key: Key,
    num_replicas: int = 100,
) -> Metric:
    r"""The Wasserstein-1 distance of two weighted samples of one quantity, in the units of that quantity.

    \(W_1=\int|F(t)-G(t)|\,\mathrm dt\) with the weighted empirical distribution functions, exact for the samples. With
    negative weights it stays the integral above, a distance of the two functions. Papers in the field often print ten
    times this number.

    **Arguments**

    - `x`, `y`: shapes (event,) and (other,).
    - `x_weights`, `y_weights`: signed weights with positive sum; default 1.
    - `key`: random key of the bootstrap; `num_replicas` its size.

    **Returns** a `Metric`. The gradient of `value` with respect to x and y is that of the optimal plan.

    **Raises** `ValueError` for wrong shapes, NaN, or weights whose sum is not positive.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import wasserstein
    >>> float(wasserstein(jnp.array([0.0, 1.0]), jnp.array([0.5, 1.5]), key=jax.random.key(0)).value)
    0.5
    """
    p, q = check_pair(x, y, x_weights, y_weights)
    check_replicas(num_replicas)
    return _exact(x, y, p, q, key, num_replicas)


def sliced_wasserstein(
    x: Float[Array, "event column"],
    y: Float[Array, "other column"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    key: Key,
    num_directions: int = 64,
    num_replicas: int = 100,
) -> Metric:
    r"""The mean Wasserstein-1 distance of the two samples seen along random directions.

    \(\mathrm{SW}_1=\langle W_1(\theta\cdot x,\theta\cdot y)\rangle_\theta\), θ uniform on the unit sphere (N. Bonneel
    et al., J. Math. Imaging Vis. 51 (2015) 22). It is a metric; columns should be scaled alike beforehand. In one
    dimension it is `wasserstein`.

    **Arguments**: as for `wasserstein`, with columns; `num_directions`: how many θ. The error is that of the events for
    these directions; give several samples the same `key` to compare them along the same ones.

    **Returns** a `Metric`. **Raises** as `wasserstein`.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import sliced_wasserstein
    >>> x = jnp.array([[0.0, 0.0], [1.0, 2.0]])
    >>> float(sliced_wasserstein(x, x, key=jax.random.key(0)).value)
    0.0
    """
    p, q = check_pair(x, y, x_weights, y_weights, columns=True)
    if num_directions < 1:
        raise ValueError(f"num_directions must be at least 1, got {num_directions}")
    check_replicas(num_replicas)
    return _sliced(x, y, p, q, key, num_directions, num_replicas)


__all__ = ["sliced_wasserstein", "wasserstein"]
