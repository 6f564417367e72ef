"""Maps of a classifier's logit that make its probabilities right on held-out events."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float, Scalar
from .._base import Condition
from .._fields import CONSTANT
from .classifier import AbstractDensityRatio


class AbstractCalibration(eqx.Module):
    """A monotone map of the logit."""

    @abc.abstractmethod
    def __call__(self, logit: Scalar) -> Scalar:
        """The calibrated logit."""


class Platt(AbstractCalibration):
    r"""\(\ell'=a\ell+b\) (J. Platt, 1999); with b = 0 and a = 1/T it is temperature scaling (arXiv:1706.04599).

    **Arguments**: `slope` a and `offset` b. Make one with `fit_platt` or `fit_temperature`.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.classifiers import Platt
    >>> float(Platt(jnp.array(2.0), jnp.array(1.0))(jnp.array(3.0)))
    7.0
    """

    slope: Scalar = eqx.field(metadata=CONSTANT)
    offset: Scalar = eqx.field(metadata=CONSTANT)

    def __call__(self, logit: Scalar) -> Scalar:
        """aℓ + b."""
        return self.slope * logit + self.offset


class Isotonic(AbstractCalibration):
    r"""The monotone map of the logit that fits best, linear between its knots and constant beyond them.

    **Arguments**: `logits`, rising, and `calibrated`, not falling, shape (knot,). Make one with `fit_isotonic`.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.classifiers import Isotonic
    >>> float(Isotonic(jnp.array([0.0, 1.0]), jnp.array([2.0, 4.0]))(jnp.array(0.5)))
    3.0
    """

    logits: Float[Array, " knot"] = eqx.field(metadata=CONSTANT)
    calibrated: Float[Array, " knot"] = eqx.field(metadata=CONSTANT)

    def __call__(self, logit: Scalar) -> Scalar:
        """Linear interpolation."""
        return jnp.interp(logit, self.logits, self.calibrated)


class CalibratedRatio(AbstractDensityRatio):
    """A density ratio behind a calibration.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.classifiers import CalibratedRatio, Classifier, Platt
    >>> one = CalibratedRatio(Classifier(lambda x, c: x), Platt(jnp.array(0.5), jnp.array(0.0)))
    >>> float(one.log_ratio(jnp.array([3.0])))
    1.5
    """

    ratio: AbstractDensityRatio
    calibration: AbstractCalibration

    def log_ratio(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """The calibrated logit."""
        return self.calibration(self.ratio.log_ratio(x, condition))


def _check(logits: Any, labels: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    logits, labels = np.asarray(logits, float), np.asarray(labels, float)
    weights = np.ones(logits.shape) if weights is None else np.asarray(weights, float)
    if logits.ndim != 1 or logits.shape != labels.shape or weights.shape != logits.shape:
        raise ValueError(
            f"logits, labels and weights have one number an event, got {logits.shape}, {labels.shape}, {weights.shape}"
        )
    if not np.all(np.isfinite(logits)) or not np.all(np.isfinite(weights)):
        raise ValueError("logits and weights must be finite")
    if not np.all((labels == 0) | (labels == 1)):
        raise ValueError("labels are 0 and 1")
    for label in (0, 1):
        if not weights[labels == label].sum() > 0:
            raise ValueError(f"the events of label {label} have no weight: a calibration needs both samples")
    return logits, labels, weights


def _newton(columns: np.ndarray, labels: np.ndarray, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Logistic regression on a few columns: Newton's steps, halved until the loss falls."""

    def loss(parameters: np.ndarray) -> float:
        logits = columns @ parameters
        return float(weights @ (np.logaddexp(0, logits) - labels * logits))

    parameters = start
    for _ in range(100):
        probability = 1 / (1 + np.exp(-np.clip(columns @ parameters, -500, 500)))
        gradient = columns.T @ (weights * (probability - labels))
        hessian = (columns * (weights * probability * (1 - probability))[:, None]).T @ columns
        hessian = hessian + 1e-12 * np.trace(hessian) * np.eye(len(start))
        step, before = -np.linalg.solve(hessian, gradient), loss(parameters)
        size = 1.0
        while loss(parameters + size * step) > before and size > 1e-6:
            size /= 2
        parameters = parameters + size * step
        if np.max(np.abs(size * step)) < 1e-10 * (1 + np.max(np.abs(parameters))):
            return parameters
    raise ValueError("the calibration did not converge: are the samples perfectly separated by the logit?")


def fit_platt(logits: Any, labels: Any, weights: Any = None) -> Platt:
    """Slope and offset with the least weighted cross entropy, on events that the classifier was not trained on.

    **Arguments**: logits, labels (0 or 1) and weights, shape (event,).

    **Raises** `ValueError` for unfit shapes, a sample without weight, or separable samples.

    >>> import numpy as np
    >>> from jaxhep.densities.classifiers import fit_platt
    >>> fitted = fit_platt([-1.0, -1.0, 1.0, 1.0], [0, 1, 0, 1])
    >>> abs(round(float(fitted.slope), 6))
    0.0
    """
    logits, labels, weights = _check(logits, labels, weights)
    columns = np.stack([logits, np.ones_like(logits)], axis=1)
    slope, offset = _newton(columns, labels, weights, np.array([1.0, 0.0]))
    return Platt(jnp.asarray(slope), jnp.asarray(offset))


def fit_temperature(logits: Any, labels: Any, weights: Any = None) -> Platt:
    """As `fit_platt`, with the offset zero: 1/T alone.

    >>> from jaxhep.densities.classifiers import fit_temperature
    >>> abs(round(float(fit_temperature([-1.0, -1.0, 1.0, 1.0], [0, 1, 0, 1]).slope), 6))
    0.0
    """
    logits, labels, weights = _check(logits, labels, weights)
    slope = _newton(logits[:, None], labels, weights, np.array([1.0]))[0]
    return Platt(jnp.asarray(slope), jnp.asarray(0.0))


def fit_isotonic(logits: Any, labels: Any, weights: Any = None) -> Isotonic:
    r"""The not-falling probability with the least weighted squared error, by pooling adjacent violators.

    Each pool of events has one probability, its weighted share of label 1, held half an event away from 0 and 1, so
    that the logit stays finite; a pool becomes a knot at its mean logit.

    **Arguments**: logits, labels (0 or 1) and weights, shape (event,); here weights must not be negative.

    **Raises** `ValueError` as `fit_platt`, or for a negative weight.

    >>> from jaxhep.densities.classifiers import fit_isotonic
    >>> fit_isotonic([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1]).logits.tolist()
    [0.0, 1.5, 3.0]
    """
    logits, labels, weights = _check(logits, labels, weights)
    if np.any(weights < 0):
        raise ValueError("isotonic calibration needs weights of at least 0; use fit_platt with negative weights")
    keep = weights > 0
    order = np.argsort(logits[keep], kind="stable")
    pools: list[list[float]] = []  # weight, share, mean logit, events
    for at, label, weight in zip(logits[keep][order], labels[keep][order], weights[keep][order], strict=True):
        pools.append([weight, label, at, 1.0])
        while len(pools) > 1 and (pools[-2][1] >= pools[-1][1] or pools[-2][2] == pools[-1][2]):
            w2, p2, x2, n2 = pools.pop()
            w1, p1, x1, n1 = pools.pop()
            total = w1 + w2
            pools.append([total, (w1 * p1 + w2 * p2) / total, (w1 * x1 + w2 * x2) / total, n1 + n2])
    _, share, at, events = np.array(pools).T
    share = np.clip(share, 0.5 / (events + 1), 1 - 0.5 / (events + 1))
    calibrated = np.maximum.accumulate(np.log(share) - np.log1p(-share))
    return Isotonic(jnp.asarray(at), jnp.asarray(calibrated))


__all__ = [
    "AbstractCalibration", "CalibratedRatio", "Isotonic", "Platt", "fit_isotonic", "fit_platt", "fit_temperature",
]  # fmt: skip
