"""New physics learning machine: a likelihood-ratio goodness of fit with a learned alternative."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key, Scalar
from ._measures import check_sample
from ._result import Metric
from .energy import gaussian_kernel, median_bandwidth

Features = Callable[[Array], Array]
_ITERATIONS = 50


class NewPhysicsTest(eqx.Module):
    """The test statistic as a `metric` (floor: mean over the toys), the `toys` (toy,), and the `p_value`, the share of
    toys not below the data, counting the data as one of them."""

    metric: Metric
    toys: Float[Array, " toy"]
    p_value: float = eqx.field(static=True)

    def __repr__(self) -> str:
        return f"NewPhysicsTest(t = {self.metric}, p = {self.p_value:.3g} of {self.toys.shape[0]} toys)"


def kernel_features(
    reference: Float[Array, "event column"], *, key: Key, num_centres: int = 30, bandwidth: float | None = None
) -> Features:
    r"""Gaussian bumps at random reference events, and a constant: the features of a flexible f.

    **Arguments**: `reference`: the events the centres are taken from, never from the data, for then toys and data would
    not be treated alike; `num_centres`; `bandwidth`: width of the bumps, default the median distance of the events.

    **Returns** a function from events (event, column) to features (event, num_centres + 1).
    """
    if not 1 <= num_centres <= reference.shape[0]:
        raise ValueError(f"num_centres must lie between 1 and {reference.shape[0]}, got {num_centres}")
    centres = reference[jax.random.permutation(key, reference.shape[0])[:num_centres]]
    width = median_bandwidth(reference, reference[::-1]) if bandwidth is None else jnp.asarray(bandwidth)

    def features(events: Array) -> Array:
        bumps = gaussian_kernel(events, centres, width)
        return jnp.concatenate([jnp.ones((events.shape[0], 1), events.dtype), bumps], axis=1)

    return features


def nplm_statistic(
    reference_features: Float[Array, "event feature"],
    data_features: Float[Array, "other feature"],
    reference_weights: Float[Array, " event"],
    data_counts: Float[Array, " other"],
    ridge: float | Array = 1e-3,
) -> Scalar:
    r"""\(t=-2\min_\theta L\), \(L=\sum_\mathrm{ref}w(e^f-1)-\sum_\mathrm{data}nf\), for \(f=\theta\cdot\varphi(x)\).

    The minimum of L plus \(\frac\lambda2|\theta|^2\), by Newton steps with halving (L is convex for w ≥ 0); t is that
    of L alone. With a constant feature only, t is the likelihood ratio of the Poisson count; with the indicators of
    bins, that of the histogram.

    **Arguments**: features of reference and data; `reference_weights` w whose sum is the number of events expected;
    `data_counts` n, 1 for each data event; `ridge` λ, which keeps θ finite where there are no data.

    **Returns** t. Written for `vmap` over weights and counts: toys share the features.
    """

    def value(theta: Array) -> tuple[Array, Array]:
        f, g = reference_features @ theta, data_features @ theta
        loss = jnp.sum(reference_weights * jnp.expm1(f)) - jnp.sum(data_counts * g)
        return loss + ridge * jnp.sum(theta**2) / 2, loss

    def step(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        theta, now, count, _ = state
        tilted = reference_weights * jnp.exp(reference_features @ theta)
        gradient = tilted @ reference_features - data_counts @ data_features + ridge * theta
        hessian = (reference_features * tilted[:, None]).T @ reference_features + ridge * jnp.eye(theta.shape[0])
        # No LAPACK in batches (see jaxhep.inference.positive_definite); conjugate gradients, scaled to unit diagonal.
        scale = 1 / jnp.sqrt(jnp.diagonal(hessian))
        matrix = hessian * scale[:, None] * scale
        move = (
            -scale * jax.scipy.sparse.linalg.cg(lambda v: matrix @ v, scale * gradient, maxiter=2 * theta.shape[0])[0]
        )
        lengths = 0.5 ** jnp.arange(12)
        tried = jax.vmap(lambda s: value(theta + s * move)[0])(lengths)
        best = jnp.nanargmin(jnp.where(jnp.isfinite(tried), tried, jnp.inf))
        better = tried[best] < now
        gain = now - jnp.where(better, tried[best], now)
        theta = theta + jnp.where(better, lengths[best], 0.0) * move
        return theta, jnp.minimum(now, tried[best]), count + 1, gain

    start = jnp.zeros(reference_features.shape[1], reference_features.dtype)
    small = jnp.asarray(jnp.finfo(start.dtype).eps, start.dtype) * 10
    first = (start, value(start)[0], jnp.zeros((), int), jnp.asarray(jnp.inf, start.dtype))
    theta, *_ = jax.lax.while_loop(lambda s: (s[2] < _ITERATIONS) & (s[3] > small * (1 + jnp.abs(s[1]))), step, first)
    return -2 * value(theta)[1]


def new_physics_test(
    reference: Float[Array, "event column"],
    data: Float[Array, "other column"],
    reference_weights: Float[Array, " event"] | None = None,
    *,
    key: Key,
    features: Features | None = None,
    ridge: float = 1e-3,
    num_toys: int = 200,
    num_replicas: int = 20,
) -> NewPhysicsTest:
    r"""NPLM: do the data follow the reference, in shape and number, against a learned alternative \(n\,e^{f}\)?

    The statistic is that of R. D'Agnolo, A. Wulzer, arXiv:1806.02350, eq. 8, with f linear in kernel features instead
    of a network (in the spirit of M. Letizia et al., arXiv:2204.02317), whose ridge takes the place of clipped weights;
    the fit is convex and has one answer. The null comes from toys: Poisson counts on the reference events, with the
    reference itself fluctuated (Exp(1) multipliers), so that its finite size is in the null. The reference should be
    several times larger than the data.

    **Arguments**

    - `reference`: events of the hypothesis; `reference_weights`: not negative, their sum the expected number of data
      events; default: that of the data, so that the number is not tested.
    - `data`: unit-weight events, columns scaled as those of the reference, to order one.
    - `features`: default `kernel_features` of the reference.
    - `ridge`: λ; `num_toys`, `num_replicas`: of the null and of the bootstrap of the error.

    **Returns** a `NewPhysicsTest`.

    **Raises** `ValueError` for wrong shapes, NaN, negative weights.

    >>> import jax
    >>> from jaxhep.metrics import new_physics_test
    >>> x, constant = jax.numpy.zeros((9, 1)), lambda events: jax.numpy.ones((len(events), 1))
    >>> new_physics_test(x, x, key=jax.random.key(1), features=constant, num_toys=20).toys.shape
    (20,)
    """
    given = check_sample("reference", reference, reference_weights, columns=True)
    check_sample("data", data, None, columns=True)
    if reference.shape[1] != data.shape[1]:
        raise ValueError(f"reference and data must have the same columns, got {reference.shape[1]} and {data.shape[1]}")
    if np.any(np.asarray(given) < 0):
        raise ValueError("reference weights must not be negative: toys are drawn from them")
    if num_toys < 2 or num_replicas < 2:
        raise ValueError(f"num_toys and num_replicas must be at least 2, got {num_toys} and {num_replicas}")
    first, second = jax.random.split(key)
    phi = kernel_features(reference, key=first) if features is None else features
    expected = data.shape[0] if reference_weights is None else np.sum(np.asarray(reference_weights))
    weights = np.asarray(given) / np.sum(np.asarray(given)) * expected
    # Counts and multipliers are drawn on the host: a Poisson sampler is dear to compile, and nothing differentiates it.
    rng = np.random.default_rng(np.asarray(seeds(second)))
    at_data = phi(data)
    counts = rng.poisson(weights, (num_toys, weights.size))
    rows = weights * rng.exponential(size=counts.shape)
    total = weights.sum() if reference_weights is not None else counts.sum(axis=1, keepdims=True)
    again = rng.exponential(size=(num_replicas, data.shape[0]))
    again = again / again.mean(axis=1, keepdims=True)
    arrays = (weights, rows / rows.sum(axis=1, keepdims=True) * total, counts, again)
    metric, toys = _test(phi(reference), at_data, *(np.asarray(a, at_data.dtype) for a in arrays), ridge)
    p_value = float((1 + np.sum(np.asarray(toys) >= float(metric.value))) / (1 + num_toys))
    return NewPhysicsTest(metric, toys, p_value)


def seeds(key: Key) -> Any:
    """The words of a key, from which NumPy's generator can start."""
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key


@jax.jit
def _test(
    at_reference: Array, at_data: Array, weights: Array, rows: Array, counts: Array, again: Array, ridge: Array
) -> tuple[Metric, Array]:
    """Statistic with its error, and the toys'."""
    count, num_replicas = at_data.shape[0], again.shape[0]
    # The data, their replicas and the toys are rows of one problem: reference and data share the list of events.
    both = jnp.concatenate([at_reference, at_data])
    data_rows = jnp.pad(jnp.concatenate([jnp.ones((1, count), at_data.dtype), again]), ((0, 0), (weights.size, 0)))
    counts = jnp.concatenate([data_rows, jnp.pad(counts, ((0, 0), (0, count)))])
    rows = jnp.concatenate([jnp.broadcast_to(weights, (num_replicas + 1, weights.size)), rows])
    values = jax.lax.map(
        lambda row: nplm_statistic(at_reference, both, row[0], row[1], ridge), (rows, counts), batch_size=20
    )
    toys = values[num_replicas + 1 :]
    error = jnp.std(values[1 : num_replicas + 1], ddof=1)
    return Metric(values[0], error, jnp.mean(toys), jnp.std(toys, ddof=1)), toys


__all__ = ["NewPhysicsTest", "kernel_features", "new_physics_test", "nplm_statistic"]
