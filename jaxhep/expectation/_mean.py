"""Weighted means whose derivative is that of the expectation."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._types import Array, Float


class Estimate(eqx.Module):
    """A Monte Carlo estimate and its standard error."""

    value: Float[Array, "..."]
    error: Float[Array, "..."]

    def __repr__(self) -> str:
        value, error = np.asarray(self.value), np.asarray(self.error)
        if value.ndim == 0:
            return f"Estimate({value:.6g} ± {error:.2g})"
        return f"Estimate(value={value}, error={error})"


def check_events(values: Array, weights: Array | None) -> Array:
    """Checks the event axis and returns the weights."""
    if values.ndim == 0:
        raise ValueError("values must have a leading event axis, got a scalar")
    if values.shape[0] < 2:
        raise ValueError(f"an estimate with an error needs at least 2 events, got {values.shape[0]}")
    if weights is None:
        return jnp.ones(values.shape[0], values.dtype)
    if weights.shape != values.shape[:1]:
        raise ValueError(f"weights must have shape {values.shape[:1]}, one an event, got {weights.shape}")
    return weights


def mean(
    values: Float[Array, "event ..."], weights: Float[Array, " event"] | None = None, *, normalised: bool = True
) -> Estimate:
    r"""The expectation of an observable from weighted events.

    \(\hat E=\sum_i w_if_i/\sum_iw_i\) (or \(\frac1N\sum_iw_if_i\) with `normalised=False`, for cross sections). Its
    derivative has two parts, \(\langle\partial f\rangle\) along the path and \(\langle(f-b_i)\,\partial w\rangle\) for
    the discrete
    choices, where \(b_i\) is the mean over the other events. The baseline leaves the expectation alone, because the
    choices of event i
    do not enter \(b_i\), and removes most of the variance (W. Kool et al., "Buy 4 REINFORCE samples, get a baseline for
    free",
    2019). With \(b_i\) written out it is the derivative of the ratio of sums times N/(N−1).

    **Arguments**

    - `values`: f, shape (event, …); differentiable.
    - `weights`: w, shape (event,), as in `Event.weight`; default 1.
    - `normalised`: divide by the sum of weights; without it there is no baseline.

    **Returns** an `Estimate` with shape `values.shape[1:]`; the error is \(\sqrt{\sum w^2(f-\hat E)^2}/\sum w\) and
    carries no derivative.

    **Raises** `ValueError` if the shapes do not fit.

    >>> import jax.numpy as jnp
    >>> from jaxhep.expectation import mean
    >>> mean(jnp.array([1.0, 2.0, 3.0]))
    Estimate(2 ± 0.47)
    """
    weights = check_events(values, weights)
    count = values.shape[0]
    w = weights.reshape(count, *([1] * (values.ndim - 1)))
    fixed = lax.stop_gradient(w)
    if normalised:
        total = jnp.sum(fixed)
        path = jnp.sum(fixed * values, axis=0) / total
        ratio = jnp.sum(w * values, axis=0) / jnp.sum(w)
        factor = count / (count - 1)
        # Equal in value to `path`; the second term has the derivative of the choices only.
        value = path + factor * (ratio - path)
    else:
        total = jnp.asarray(count, values.dtype)
        value = jnp.sum(w * values, axis=0) / total
    centre = lax.stop_gradient(value) if normalised else 0.0
    spread = lax.stop_gradient(fixed * (values - centre))
    if not normalised:
        spread = spread - jnp.mean(spread, axis=0)
    return Estimate(value, jnp.sqrt(jnp.sum(spread**2, axis=0)) / total)


def derivative(
    values: Float[Array, "event ..."],
    tangents: Float[Array, "event ..."],
    weights: Float[Array, " event"],
    weight_tangents: Float[Array, " event"],
) -> Estimate:
    r"""The derivative of an expectation from events and their derivatives, with its Monte Carlo error.

    \(\partial E=\langle\partial f\rangle+\langle(f-b)\,\partial w\rangle\), the same number as the derivative of
    `mean`; each event contributes \(w\,\partial f+(f-b)\,\partial w\), whose spread gives the error.

    **Arguments**: f, ∂f with shape (event, …) and w, ∂w with shape (event,), as `jax.jvp` of `generate` or `move` give
    them.

    **Returns** an `Estimate`.
    """
    weights = check_events(values, weights)
    count = values.shape[0]
    shape = (count, *([1] * (values.ndim - 1)))
    w, dw = weights.reshape(shape), weight_tangents.reshape(shape)
    total = jnp.sum(w)
    centre = jnp.sum(w * values, axis=0) / total
    terms = (w * tangents + count / (count - 1) * (values - centre) * dw) * (count / total)
    value = jnp.mean(terms, axis=0)
    return Estimate(value, jnp.sqrt(jnp.mean((terms - value) ** 2, axis=0) / (count - 1)))
