"""Binned, extended Poisson likelihood with the Monte Carlo error profiled out."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxhep._types import Key
from jaxhep.inference.checks import check_vector
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.prediction import Model, Numbers, Prediction, predict


class BinnedPoisson(AbstractObjective):
    """Extended binned Poisson likelihood in the form of Baker and Cousins, with a Barlow–Beeston-lite factor.

    −2 ln λ(θ) = Σ_i { 2 [β_i ν_i − n_i + n_i ln(n_i/(β_i ν_i))] + (β_i − 1)²/δ_i² }, where n_i are the counts, ν_i(θ)
    the expected counts and δ_i = √(V_MC,ii)/ν_i the relative Monte Carlo error of bin i. The factor β_i is at its
    minimum: β² + (ν δ² − 1) β − n δ² = 0, and is 1 for an exact model. Correlations of V_MC between bins are not used
    (take `ChiSquare` where they matter).

    Arguments:
        counts: observed counts, ≥ 0, shape `(bins,)`.
        model: `model(parameters) -> Prediction` of expected counts.
        label: name used in messages and plots.

    Raises:
        ValueError: empty, negative or non-finite counts.
        TypeError: the model cannot be called.

    Sources: Baker and Cousins, Nucl. Instrum. Meth. 221 (1984) 437; Barlow and Beeston, Comput. Phys. Commun. 77
    (1993) 219, in the one-factor-a-bin form of Conway, arXiv:1103.0354.

    >>> import numpy as np
    >>> BinnedPoisson([3, 5], lambda p: Prediction(p["rate"] * np.ones(2))).num_data
    2
    """

    counts: Float[Numbers, " bin"]
    model: Model
    label: str = eqx.field(static=True)

    def __init__(self, counts: Any, model: Model, *, label: str = "Poisson"):
        if not callable(model):
            raise TypeError(f"model must be callable: model(parameters) -> Prediction, got {type(model).__name__}")
        self.counts = check_vector(counts, f"counts of {label!r}")
        negative = np.flatnonzero(np.asarray(self.counts) < 0)
        if negative.size:
            raise ValueError(f"counts of {label!r} are negative in bin {negative[0]}: Poisson needs n >= 0")
        self.model = model
        self.label = label

    @property
    def num_data(self) -> int:
        """Number of bins."""
        return self.counts.shape[0]

    def leaves(self) -> tuple[AbstractObjective, ...]:
        """This objective."""
        return (self,)

    def predict(self, parameters: Mapping[str, Any]) -> Prediction:
        """Expected counts."""
        return predict(self.model, parameters)

    def value(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """−2 ln λ(θ); +∞ where an expected count is negative, or is zero with counts in the bin."""
        prediction = self.predict(parameters)
        expected, counts = jnp.asarray(prediction.values), jnp.asarray(self.counts)
        positive = expected > 0
        safe = jnp.where(positive, expected, 1.0)
        if prediction.covariance is None:
            mean, constraint = safe, jnp.zeros_like(safe)
        else:
            relative = jnp.diag(jnp.asarray(prediction.covariance)) / safe**2
            factor = _profiled_factor(counts, safe, relative)
            mean = factor * safe
            has_error = relative > 0
            constraint = jnp.where(has_error, (factor - 1) ** 2 / jnp.where(has_error, relative, 1.0), 0.0)
        terms = 2 * (mean - counts + _n_log_ratio(counts, mean)) + constraint
        # A NaN must stay a NaN: only a true non-positive expectation is the wall.
        wall = jnp.where((expected == 0) & (counts == 0), 0.0, jnp.inf)
        return jnp.sum(jnp.where(positive | jnp.isnan(expected), jnp.where(positive, terms, expected), wall))

    def goodness(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """−2 ln λ(θ): asymptotically χ²."""
        return self.value(parameters)

    def sample(self, parameters: Mapping[str, Any], key: Key) -> "BinnedPoisson":
        """Pseudo-counts: n ~ Poisson(β ν), β ~ N(1, δ) cut at 0 (β = 1 for an exact model)."""
        key_factor, key_counts = jax.random.split(key)
        prediction = self.predict(parameters)
        expected = jnp.asarray(prediction.values)
        if prediction.covariance is not None:
            error = jnp.sqrt(jnp.diag(jnp.asarray(prediction.covariance)))
            noise = jax.random.normal(key_factor, expected.shape, expected.dtype)
            expected = jnp.maximum(expected + error * noise, 0.0)
        counts = jax.random.poisson(key_counts, expected).astype(expected.dtype)
        return eqx.tree_at(lambda tree: tree.counts, self, counts)


def _n_log_ratio(counts: Float[Array, " bin"], mean: Float[Array, " bin"]) -> Float[Array, " bin"]:
    """n ln(n/mean), 0 for n = 0."""
    some = counts > 0
    safe_mean = jnp.where(some, mean, 1.0)
    safe_counts = jnp.where(some, counts, 1.0)
    return jnp.where(some, counts * (jnp.log(safe_counts) - jnp.log(safe_mean)), 0.0)


def _profiled_factor(
    counts: Float[Array, " bin"], expected: Float[Array, " bin"], relative: Float[Array, " bin"]
) -> Float[Array, " bin"]:
    """The non-negative root β of β² + (ν δ² − 1) β − n δ² = 0, in the form without cancellation."""
    linear = 1 - expected * relative
    square = linear**2 + 4 * counts * relative
    root = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    upper = (linear + root) / 2
    below = linear < 0
    lower = 2 * counts * relative / jnp.where(below, root - linear, 1.0)
    return jnp.where(below, lower, upper)


__all__ = ["BinnedPoisson"]
