"""Fréchet distance of Gaussians fitted to features: FPD."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Array, Float, Key, Scalar
from ._measures import bootstrapped, check_pair, check_replicas, normalised
from ._result import Metric
from .energy import scaled_features


def moments(x: Array, masses: Array) -> tuple[Array, Array]:
    """Mean and covariance, the latter with the factor that makes it unbiased; masses need not be normalised."""
    p = masses / jnp.sum(masses)
    mean = p @ x
    centred = x - mean
    return mean, (centred * p[:, None]).T @ centred / (1 - jnp.sum(p**2))


def _root(matrix: Array) -> Array:
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))) @ vectors.T


def frechet_gaussian(
    x_mean: Float[Array, " column"],
    x_covariance: Float[Array, "column column"],
    y_mean: Float[Array, " column"],
    y_covariance: Float[Array, "column column"],
) -> Scalar:
    r"""\(|m_x-m_y|^2+\mathrm{tr}(C_x+C_y-2(C_x^{1/2}C_yC_x^{1/2})^{1/2})\): the squared Wasserstein-2 distance of two
    Gaussians (D. Dowson, B. Landau, J. Multivar. Anal. 12 (1982) 450).

    **Arguments**: means (column,) and covariances (column, column), which may be singular. No gradient is to be taken
    where eigenvalues coincide.

    >>> import jax.numpy as jnp
    >>> from jaxhep.metrics import frechet_gaussian
    >>> one = jnp.eye(1)
    >>> round(float(frechet_gaussian(jnp.zeros(1), one, jnp.ones(1), 4 * one)), 5)
    2.0
    """
    root = _root(x_covariance)
    middle = jnp.linalg.eigvalsh(root @ y_covariance @ root)
    cross = jnp.sum(jnp.sqrt(jnp.maximum(middle, 0.0)))
    return jnp.sum((x_mean - y_mean) ** 2) + jnp.trace(x_covariance) + jnp.trace(y_covariance) - 2 * cross


_PARTS = (1, 2, 4)


def _split(place: Array, masses: Array) -> Array:
    """Rows of masses: whole, in two and in four disjoint parts, for events in the random order `place`."""
    rows = [jnp.where(place % k == i, masses, 0.0) for k in _PARTS for i in range(k)]
    return jnp.stack(rows)


def _extrapolated(rows: Array) -> Array:
    r"""Intercept of a line through the means at k = 1, 2, 4 parts, where 1/N is k times that of the whole sample."""
    levels = jnp.stack([rows[..., 0], jnp.mean(rows[..., 1:3], axis=-1), jnp.mean(rows[..., 3:7], axis=-1)], axis=-1)
    k = jnp.asarray(_PARTS, levels.dtype)
    centred = k - jnp.mean(k)
    return levels @ (1 / 3 - jnp.mean(k) * centred / jnp.sum(centred**2))


def frechet_physics_distance(
    x: Float[Array, "event column"],
    y: Float[Array, "other column"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    key: Key,
    scale: bool = True,
    num_replicas: int = 50,
) -> Metric:
    r"""FPD: the Fréchet distance of scaled features, extrapolated to infinitely many events (R. Kansal et al.,
    arXiv:2211.10295).

    The distance of finite samples is too large by a/N. It is taken from both samples whole, from halves and from
    quarters (disjoint, averaged), and \(a/N+b\) is fitted; b is the value and may come out negative. For equal
    distributions it is 0 ± the spread of `floor_spread`, found by dividing the pooled events at random; that is exact
    for unit weights and else assumes weights that do not depend on the features.

    **Arguments**: `x`: features of the real events, whose largest absolute value scales each column of both samples
    (`scale=False`: as they are); `y`: those of the generated ones; weights as for `wasserstein`, not negative;
    `num_replicas`: of bootstrap and of null.

    **Returns** a `Metric`.

    **Raises** `ValueError` for wrong shapes, NaN, weights whose sum is not positive, or fewer than 16 events.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import frechet_physics_distance
    >>> x, y = jnp.full((50, 2), 2.0), jnp.zeros((50, 2))
    >>> round(float(frechet_physics_distance(x, y, key=jax.random.key(0)).value), 4)
    2.0
    """
    p, q = check_pair(x, y, x_weights, y_weights, columns=True)
    if min(x.shape[0], y.shape[0]) < 16:
        raise ValueError(f"FPD needs at least 16 events in each sample, got {x.shape[0]} and {y.shape[0]}")
    check_replicas(num_replicas)
    return _physics_distance(x, y, p, q, key, scale, num_replicas)


@partial(jax.jit, static_argnames="num_replicas")
def _physics_distance(
    x: Array, y: Array, x_weights: Array, y_weights: Array, key: Key, scale: Any, num_replicas: int
) -> Metric:
    p, q = normalised(x_weights), normalised(y_weights)
    x, y = scaled_features(x, y, scale)
    keys, count = jax.random.split(key, 5), x.shape[0]
    points = jnp.concatenate([x, y])
    p, q = jnp.pad(p, (0, y.shape[0])), jnp.pad(q, (count, 0))
    order = jnp.concatenate([jax.random.permutation(k, a.shape[0]) for k, a in ((keys[0], x), (keys[1], y))])
    pooled = p * count + q * y.shape[0]

    def divided(own: Key) -> tuple[Array, Array]:
        place = jax.random.permutation(own, points.shape[0])
        first = place < count
        return _split(place, jnp.where(first, pooled, 0.0)), _split(place, jnp.where(first, 0.0, pooled))

    null_p, null_q = jax.lax.map(divided, jax.random.split(keys[2], num_replicas))
    left = [_split(order, p), bootstrapped(keys[3], p, num_replicas), null_p.reshape(-1, points.shape[0])]
    right = [_split(order, q), bootstrapped(keys[4], q, num_replicas), null_q.reshape(-1, points.shape[0])]
    # One after the other: batched eigenvalue problems on the CPU can wait for each other for ever.
    values = jax.lax.map(
        lambda rows: frechet_gaussian(*moments(points, rows[0]), *moments(points, rows[1])),
        (jnp.concatenate(left), jnp.concatenate(right)),
    )
    value, again, null = values[:7], values[7 : 7 + num_replicas], values[7 + num_replicas :]
    spread = jnp.std(_extrapolated(null.reshape(num_replicas, 7)), ddof=1)
    return Metric(_extrapolated(value), jnp.std(again, ddof=1), jnp.zeros_like(spread), spread)


__all__ = ["frechet_gaussian", "frechet_physics_distance"]
