"""Whether predicted probabilities are frequencies: reliability curve and expected calibration error."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key
from ..noise import uniforms
from ._measures import bootstrapped, check_replicas, check_sample, normalised
from ._result import Metric


class Reliability(eqx.Module):
    """A reliability curve and its expected calibration error.

    **Fields**: `edges` of the bins of the predicted probability; in each bin the mean `predicted` probability, the
    `observed` fraction of label one, its binomial `error` under perfect calibration, and the `share` of the events;
    `expected_error`, the ECE as a `Metric`. Empty bins hold NaN.
    """

    edges: Float[np.ndarray, " edge"]
    predicted: Float[Array, " bin"]
    observed: Float[Array, " bin"]
    error: Float[Array, " bin"]
    share: Float[Array, " bin"]
    expected_error: Metric

    def __repr__(self) -> str:
        return f"Reliability({self.predicted.shape[0]} bins, expected error {self.expected_error})"


def reliability(
    probability: Float[Array, " event"],
    label: Float[Array, " event"],
    weights: Float[Array, " event"] | None = None,
    *,
    key: Key,
    bins: int = 10,
    equal_counts: bool = True,
    num_replicas: int = 200,
) -> Reliability:
    r"""The reliability curve of a classifier, and \(\mathrm{ECE}=\sum_bs_b|\bar y_b-\bar p_b|\).

    Each bin of the predicted probability compares the weighted fraction \(\bar y_b\) of events with label one to the
    mean prediction \(\bar p_b\); \(s_b\) is the bin's share (M. Naeini et al., AAAI 2015). Even a perfect classifier
    has a positive ECE: the floor draws labels from the predictions themselves.

    **Arguments**

    - `probability`: predictions in [0, 1]; `label`: 0 or 1; `weights`: signed, of positive sum.
    - `key`: of bootstrap and floor; `num_replicas` their size.
    - `bins`: how many; `equal_counts`: at quantiles of the predictions instead of equal widths.

    **Returns** a `Reliability`.

    **Raises** `ValueError` for wrong shapes, predictions outside [0, 1], labels other than 0 and 1, fewer than 1 bin.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import reliability
    >>> p, y = jnp.full(100, 0.5), jnp.tile(jnp.array([0.0, 1.0]), 50)
    >>> float(reliability(p, y, key=jax.random.key(0), bins=1).expected_error.value)
    0.0
    """
    mass = check_sample("probability", probability, weights)
    check_replicas(num_replicas)
    if label.shape != probability.shape:
        raise ValueError(f"label must have shape {probability.shape}, got {label.shape}")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    p, y = np.asarray(probability, float), np.asarray(label, float)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"probabilities lie between 0 and 1, got {p.min():g} to {p.max():g}; pass sigmoid(logit)")
    if not np.all((y == 0) | (y == 1)):
        raise ValueError("labels are 0 or 1")
    inner = np.quantile(p, np.arange(1, bins) / bins) if equal_counts else np.arange(1, bins) / bins
    edges = np.concatenate([[0.0], inner, [1.0]])
    place = np.searchsorted(inner, p, side="right")
    return Reliability(edges, *_reliability(probability, label, mass, place, key, bins, num_replicas))


@partial(jax.jit, static_argnames=("bins", "num_replicas"))
def _reliability(
    probability: Array, label: Array, weights: Array, place: Array, key: Key, bins: int, num_replicas: int
) -> tuple[Array, Array, Array, Array, Metric]:
    mass = normalised(weights)

    def sums(values: Array) -> Array:
        return jax.ops.segment_sum(values.T, place, bins).T

    def calibration_error(masses: Array, labels: Array) -> Array:
        return jnp.sum(jnp.abs(sums(masses * (labels - probability))), axis=-1)

    first, second = jax.random.split(key)
    replicas = bootstrapped(first, mass, num_replicas)
    drawn = (uniforms(second, replicas.shape, probability.dtype) < probability).astype(mass.dtype)
    value = calibration_error(mass[None], label[None])[0]
    null = calibration_error(jnp.broadcast_to(mass, drawn.shape), drawn)
    error = jnp.std(calibration_error(replicas, label[None]), ddof=1)
    metric = Metric(value, error, jnp.mean(null), jnp.std(null, ddof=1))
    share = sums(mass)
    filled = jnp.where(share == 0, jnp.nan, share)
    spread = jnp.sqrt(sums(mass**2 * probability * (1 - probability))) / jnp.abs(filled)
    return sums(mass * probability) / filled, sums(mass * label) / filled, spread, share, metric


__all__ = ["Reliability", "reliability"]
