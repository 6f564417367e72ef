r"""Classifiers as density ratios: \(p_1(x\mid c)/p_0(x\mid c)=D/(1-D)=\mathrm e^{\text{logit}}\)."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float, Key, Scalar
from ...training import Dataset, TrainingResult, TrainingSettings, fit
from .._base import Condition
from ..preprocessing import Preprocessing


class AbstractDensityRatio(eqx.Module):
    r"""An estimate of \(\ln r(x\mid c)\), r = p₁/p₀, of one event."""

    @abc.abstractmethod
    def log_ratio(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        r"""\(\ln p_1(x\mid c)-\ln p_0(x\mid c)\)."""

    def probability(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """D = r/(1 + r), the probability of sample 1 where both are as large."""
        return jax.nn.sigmoid(self.log_ratio(x, condition))


class Classifier(AbstractDensityRatio):
    r"""A network whose output, trained by binary cross entropy on samples of equal total weight, is \(\ln r\).

    **Arguments**

    - `network`: called as network(x, condition), with one output (`jaxhep.networks.make_network`).
    - `events`, `conditions`: `Preprocessing` of x and c, or None.

    Train one with `train_classifier`.

    **Gradients**: of the logit, in x, c and the network's parameters.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.classifiers import Classifier
    >>> float(Classifier(lambda x, condition: x).probability(jnp.zeros(1)))
    0.5
    """

    network: Callable[..., Any]
    events: Preprocessing | None = None
    conditions: Preprocessing | None = None

    def log_ratio(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """The logit."""
        if self.events is not None:
            x = self.events.inverse(x)[0]
        if self.conditions is not None and condition is not None:
            condition = self.conditions.inverse(condition)[0]
        return jnp.asarray(self.network(x, condition)).reshape(())

    def loss(self, x: Float[Array, " dim"], label: Scalar, condition: Condition = None) -> Scalar:
        r"""\(-y\ln D-(1-y)\ln(1-D)\) of one event with label y."""
        logit = self.log_ratio(x, condition)
        return jax.nn.softplus(logit) - label * logit


def _cross_entropy(model: Any, event: Any, key: Key) -> Scalar:
    loss: Scalar = model.loss(event["x"], event["label"], event.get("c"))
    return loss


def two_samples(
    numerator: Any,
    denominator: Any,
    numerator_weights: Any = None,
    denominator_weights: Any = None,
    numerator_conditions: Any = None,
    denominator_conditions: Any = None,
) -> Dataset:
    """The data set of a classifier: both samples with labels 1 and 0, each scaled to half of the total weight.

    With equal totals the logit is ln p₁ − ln p₀, without an offset for the sizes of the samples.

    **Arguments**: events (event, dim) of p₁ and p₀; their weights (event,), negative ones allowed; their conditions
    (event, condition), for both or for none.

    **Raises** `ValueError` for columns that do not fit or a weight sum that is not above zero.

    >>> import numpy as np
    >>> from jaxhep.densities.classifiers import two_samples
    >>> two_samples(np.zeros((3, 2)), np.ones((1, 2))).weights.tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    """
    samples = [np.asarray(numerator), np.asarray(denominator)]
    if any(part.ndim != 2 for part in samples) or samples[0].shape[1] != samples[1].shape[1]:
        raise ValueError(
            f"both samples have shape (event, dim) with one dim, got {samples[0].shape} and {samples[1].shape}"
        )
    if (numerator_conditions is None) != (denominator_conditions is None):
        raise ValueError("give conditions for both samples or for none")
    lengths = [len(part) for part in samples]
    weights = []
    for given, length, name in zip(
        (numerator_weights, denominator_weights), lengths, ("numerator", "denominator"), strict=True
    ):
        one = np.ones(length) if given is None else np.asarray(given, float)
        if one.shape != (length,):
            raise ValueError(f"the {name} has {length} events but weights of shape {one.shape}")
        if not one.sum() > 0:
            raise ValueError(f"the weights of the {name} sum to {one.sum():g}; a density needs a sum above zero")
        weights.append(one * (sum(lengths) / 2 / one.sum()))
    columns = {"x": np.concatenate(samples), "label": np.repeat([1.0, 0.0], lengths)}
    if numerator_conditions is not None:
        columns["c"] = np.concatenate([np.asarray(numerator_conditions), np.asarray(denominator_conditions)])
    return Dataset(columns, np.concatenate(weights))


def train_classifier(
    classifier: Classifier,
    data: Dataset,
    *,
    key: Key,
    settings: TrainingSettings | None = None,
    validation: Any = None,
    **options: Any,
) -> TrainingResult:
    """Trains a classifier on the data of `two_samples` by weighted binary cross entropy.

    **Arguments**: `classifier`; `data`; all others as for `jaxhep.training.fit`.

    **Returns** its `TrainingResult`, whose `model` is the trained classifier.

    >>> import jax, numpy as np
    >>> from jaxhep.densities.classifiers import Classifier, train_classifier, two_samples
    >>> data = two_samples(np.zeros((2, 1)), np.ones((2, 1)))
    >>> train_classifier(Classifier(lambda x, c: x), data, key=jax.random.key(0))
    Traceback (most recent call last):
    ValueError: nothing is trained...
    """
    return fit(classifier, _cross_entropy, data, key=key, settings=settings, validation=validation, **options)


__all__ = ["AbstractDensityRatio", "Classifier", "train_classifier", "two_samples"]
