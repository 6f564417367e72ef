"""The triangular discriminator of two histograms."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key
from ..expectation import histogram
from ._measures import bootstrapped, check_pair, check_replicas, is_concrete, normalised
from ._result import Metric


def triangular_discriminator(
    x: Float[Array, " event"],
    y: Float[Array, " other"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    edges: Any,
    key: Key,
    num_replicas: int = 100,
) -> Metric:
    r"""The triangular discriminator \(\Delta=\frac{10^3}{2}\sum_b(p_b-q_b)^2/(p_b+q_b)\) of two histograms.

    p and q are the fractions of the events in each bin; Δ runs from 0 to 1000. For equal distributions and n filled
    bins its average is \(10^3\frac{n-1}4(1/N_1+1/N_2)\) and its spread that times \(\sqrt{2/(n-1)}\); with weights the
    variances \(\sum w^2(1_b-p_b)^2/(\sum w)^2\) take the place of \(p_b(1-p_b)/N\), and n − 1 is
    \((\sum_bf_b)^2/\sum_bf_b^2\) of the bins' parts f of the floor, which for unit weights is near it. A gradient
    comes through the weights, not through x.

    **Arguments**

    - `x`, `y`, `x_weights`, `y_weights`: as for `wasserstein`.
    - `edges`: bin edges, increasing; what lies outside counts in the normalisation only.
    - `key`, `num_replicas`: of the bootstrap of the error.

    **Returns** a `Metric`.

    **Raises** `ValueError` as `wasserstein`, for bad edges, and for a bin whose two contents sum below zero.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import triangular_discriminator
    >>> x, y = jnp.array([0.1, 0.2]), jnp.array([0.6, 0.7])
    >>> float(triangular_discriminator(x, y, edges=[0.0, 0.5, 1.0], key=jax.random.key(0)).value)
    1000.0
    """
    p, q = check_pair(x, y, x_weights, y_weights)
    check_replicas(num_replicas)
    bounds = tuple(float(e) for e in np.asarray(edges, float).ravel())
    metric, lowest = _triangular(x, y, p, q, key, bounds, num_replicas)
    if is_concrete(lowest) and float(lowest) < 0:
        raise ValueError("a bin holds a negative sum of weights, and Δ divides by it; merge bins until none does")
    return metric


@partial(jax.jit, static_argnames=("edges", "num_replicas"))
def _triangular(
    x: Array, y: Array, x_weights: Array, y_weights: Array, key: Key, edges: tuple[float, ...], num_replicas: int
) -> tuple[Metric, Array]:
    p_mass, q_mass = normalised(x_weights), normalised(y_weights)
    p_bins = histogram(x, p_mass, edges=edges, method="count")
    q_bins = histogram(y, q_mass, edges=edges, method="count")
    contents = p_bins.value + q_bins.value
    first, second = jax.random.split(key)
    bounds = jnp.asarray(p_bins.edges, x.dtype)

    def replicas(own: Key, values: Array, masses: Array) -> Array:
        place = jnp.searchsorted(bounds, values, side="right")
        rows = bootstrapped(own, masses, num_replicas)
        return jnp.zeros((num_replicas, bounds.size + 1), rows.dtype).at[:, place].add(rows)[:, 1:-1]

    def discriminator(p: Array, q: Array) -> Array:
        total = p + q
        filled = total > 0
        return 500 * jnp.sum(jnp.where(filled, (p - q) ** 2 / jnp.where(filled, total, 1.0), 0.0), axis=-1)

    spread = jnp.std(discriminator(replicas(first, x, p_mass), replicas(second, y, q_mass)), ddof=1)
    variances = jnp.diagonal(p_bins.covariance) + jnp.diagonal(q_bins.covariance)
    parts = 500 * jnp.where(contents > 0, variances / jnp.where(contents > 0, contents, 1.0), 0.0)
    # A sum of n − 1 equal squares of normals: mean f, spread f√(2/(n−1)). The bins' parts are correlated by the
    # normalisation, which `(1 − p)` in each of them already counts.
    floor = jnp.sum(parts)
    squares = jnp.sum(parts**2)
    degrees = jnp.where(squares > 0, floor**2 / jnp.where(squares > 0, squares, 1.0), 1.0)
    null = floor * jnp.sqrt(2 / jnp.maximum(degrees - 1, 1.0))
    metric = Metric(discriminator(p_bins.value, q_bins.value), *jax.lax.stop_gradient((spread, floor, null)))
    return metric, jnp.min(contents)


__all__ = ["triangular_discriminator"]
