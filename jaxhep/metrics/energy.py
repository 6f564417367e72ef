"""Distances from pairs of events: energy distance and maximum mean discrepancy."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Array, Float, Key, Scalar
from ._measures import check_pair, check_replicas, quadratic_form, summary, with_replicas
from ._result import Metric


def _squared_distances(a: Array, b: Array) -> Array:
    """|a_i − b_j|², from differences: the expansion a² + b² − 2ab would lose small distances in float32."""
    return jnp.sum((a[:, None, :] - b[None, :, :]) ** 2, axis=-1)


def _minus_distance(a: Array, b: Array) -> Array:
    square = _squared_distances(a, b)
    apart = square > 0
    return -jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)


@partial(jax.jit, static_argnames="num_replicas")
def _energy(x: Array, y: Array, p: Array, q: Array, key: Key, num_replicas: int) -> Metric:
    p_rows, q_rows = with_replicas(key, p, q, num_replicas)
    z, masses = jnp.concatenate([x, y]), jnp.concatenate([p_rows, -q_rows], axis=1)
    square = quadratic_form(_minus_distance, z, z, masses, masses)
    positive = square > 0
    return summary(jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0))


def energy_distance(
    x: Float[Array, "event column"],
    y: Float[Array, "other column"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    key: Key,
    num_replicas: int = 100,
) -> Metric:
    r"""The energy distance \(\sqrt{2E|X-Y|-E|X-X'|-E|Y-Y'|}\) of two weighted samples.

    The averages run over all pairs, an event with itself among them (as in `scipy.stats.energy_distance`), so that the
    value has a floor of order \(N^{-1/2}\) (G. Székely, M. Rizzo, J. Stat. Plan. Inference 143 (2013) 1249). Columns
    should be scaled alike beforehand. Cost: (event + other)².

    **Arguments**: as for `sliced_wasserstein`. **Returns** a `Metric`; differentiable in the points.

    **Raises** `ValueError` for wrong shapes, NaN, or weights whose sum is not positive.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import energy_distance
    >>> float(energy_distance(jnp.zeros((4, 1)), jnp.ones((4, 1)), key=jax.random.key(0)).value)
    1.4142135
    """
    p, q = check_pair(x, y, x_weights, y_weights, columns=True)
    check_replicas(num_replicas)
    return _energy(x, y, p, q, key, num_replicas)


def gaussian_kernel(a: Array, b: Array, bandwidth: Array) -> Array:
    r"""\(e^{-|a-b|^2/2h^2}\) of all pairs."""
    return jnp.exp(-_squared_distances(a, b) / (2 * bandwidth**2))


def polynomial_kernel(a: Array, b: Array, degree: int) -> Array:
    r"""\((a\cdot b/d+1)^n\) of all pairs."""
    return (a @ b.T / a.shape[1] + 1) ** degree


def unbiased_mmd(
    kernel: Callable[[Array, Array], Array], x: Array, y: Array, p: Array, q: Array, key: Key, num_replicas: int
) -> Metric:
    """MMD² without the pairs of an event with itself."""
    p_rows, q_rows = with_replicas(key, p, q, num_replicas)

    def within(points: Array, masses: Array) -> Array:
        own = jax.vmap(lambda one: kernel(one[None], one[None])[0, 0])(points)
        pairs = quadratic_form(kernel, points, points, masses, masses) - masses**2 @ own
        # The floor's rows sum to zero; their expectation is zero without this factor.
        total = jnp.sum(masses, axis=1) ** 2
        return pairs / jnp.where(total > 0.5, total - jnp.sum(masses**2, axis=1), 1.0)

    found = summary(within(x, p_rows) + within(y, q_rows) - 2 * quadratic_form(kernel, x, y, p_rows, q_rows))
    # Without bias the floor is zero; that of the multipliers is off by their common normalisation.
    return Metric(found.value, found.error, jnp.zeros_like(found.floor), found.floor_spread)


@partial(jax.jit, static_argnames="num_replicas")
def _gaussian(x: Array, y: Array, p: Array, q: Array, key: Key, width: Any, num_replicas: int) -> Metric:
    width = median_bandwidth(x, y) if width is None else width
    kernel = partial(gaussian_kernel, bandwidth=jnp.where(width > 0, width, 1.0))
    return unbiased_mmd(kernel, x, y, p, q, key, num_replicas)


@partial(jax.jit, static_argnames="num_replicas")
def _polynomial(x: Array, y: Array, p: Array, q: Array, key: Key, scale: Any, num_replicas: int) -> Metric:
    x, y = scaled_features(x, y, scale)
    return unbiased_mmd(partial(polynomial_kernel, degree=4), x, y, p, q, key, num_replicas)


def median_bandwidth(x: Float[Array, "event column"], y: Float[Array, "other column"]) -> Scalar:
    """The median distance between the first thousand events of each sample, the usual width; held fixed."""
    square = jax.lax.stop_gradient(_squared_distances(x[:1000], y[:1000]))
    return jnp.sqrt(jnp.median(square))


def maximum_mean_discrepancy(
    x: Float[Array, "event column"],
    y: Float[Array, "other column"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    key: Key,
    bandwidth: float | None = None,
    num_replicas: int = 100,
) -> Metric:
    r"""The squared maximum mean discrepancy with a Gaussian kernel, without bias.

    \(\mathrm{MMD}^2=E\,k(X,X')+E\,k(Y,Y')-2E\,k(X,Y)\), \(k=e^{-|a-b|^2/2h^2}\), pairs of an event with itself left
    out (A. Gretton et al., JMLR 13 (2012) 723, eq. 3, with weights): it may be negative, and its floor is zero on
    average; the spread of the floor says what equal samples give. Cost: (event + other)².

    **Arguments**: as for `sliced_wasserstein`; `bandwidth` h, by default `median_bandwidth`.

    **Returns** a `Metric`; differentiable in the points.

    **Raises** `ValueError` for wrong shapes, NaN, weights whose sum is not positive, or a bandwidth that is not.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import maximum_mean_discrepancy
    >>> x = jnp.zeros((4, 1))
    >>> float(maximum_mean_discrepancy(x, x, key=jax.random.key(0), bandwidth=1.0).value)
    0.0
    """
    p, q = check_pair(x, y, x_weights, y_weights, columns=True)
    if bandwidth is not None and not bandwidth > 0:
        raise ValueError(f"bandwidth must be positive, got {bandwidth}")
    check_replicas(num_replicas)
    return _gaussian(x, y, p, q, key, bandwidth, num_replicas)


def kernel_physics_distance(
    x: Float[Array, "event column"],
    y: Float[Array, "other column"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    key: Key,
    scale: bool = True,
    num_replicas: int = 100,
) -> Metric:
    r"""KPD: the unbiased MMD² with the kernel \((a\cdot b/d+1)^4\) on scaled features (R. Kansal et al.,
    arXiv:2211.10295).

    **Arguments**: `x`: features of the real events, whose largest absolute value scales each column of both samples
    (`scale=False`: as they are); `y`: those of the generated ones; else as for `maximum_mean_discrepancy`. The paper
    takes the median over batches; here all pairs enter and the error is bootstrapped.

    **Returns** a `Metric`. **Raises** as `maximum_mean_discrepancy`.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import kernel_physics_distance
    >>> x, y = jnp.full((50, 2), 2.0), jnp.zeros((50, 2))
    >>> round(float(kernel_physics_distance(x, y, key=jax.random.key(0)).value), 3)
    15.0
    """
    p, q = check_pair(x, y, x_weights, y_weights, columns=True)
    check_replicas(num_replicas)
    return _polynomial(x, y, p, q, key, scale, num_replicas)


def scaled_features(x: Array, y: Array, scale: Any) -> tuple[Array, Array]:
    """Both samples divided, column by column, by the largest absolute value in x, where `scale` is true."""
    largest = jnp.max(jnp.abs(x), axis=0)
    largest = jnp.where((largest > 0) & scale, largest, 1.0)
    return x / largest, y / largest


__all__ = ["energy_distance", "kernel_physics_distance", "maximum_mean_discrepancy", "median_bandwidth"]
