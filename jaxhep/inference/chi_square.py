"""χ² with the covariance of the data and of the Monte Carlo prediction."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxhep._types import Key
from jaxhep.inference.checks import check_covariance, check_vector
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.positive_definite import inverse_and_log_det
from jaxhep.inference.prediction import Model, Numbers, Prediction, predict


class ChiSquare(AbstractObjective):
    r"""Gaussian objective: χ²(θ) = rᵀ V⁻¹ r with r = data − prediction(θ) and V = V_data + V_MC(θ).

    V_MC is the covariance of the error that the prediction has at θ, not of a fluctuation that the data would have had
    at θ. Then r has the covariance V(θ) about its mean Δ(θ) at *every* θ, so that
    \(\langle\chi^2\rangle=n+\Delta^TV^{-1}\Delta\) is smallest at the truth, and a θ with a larger Monte Carlo error
    gains nothing by it. The Gaussian normalisation, ln det V(θ), has no such place here: it would shift a parameter by
    \(-\tfrac12\sigma^2\,\mathrm{tr}(V^{-1}\partial V_{MC})\), away from where the sample's weights vary. So does a V
    held fixed: the errors of a prediction and of its slope are correlated, by half the slope of V_MC. With
    `log_det=True` the term is added, for data that were drawn from N(prediction(θ), V(θ)) with a prediction without
    error; only then is χ² + ln det V − ln det V_data their −2 ln L.

    With `normalise="shape"` data and prediction are both divided by their integral Σ values·width over the bins
    given, their covariances are propagated through the division, and the last bin, which then follows from the
    others, is dropped (χ² does not depend on which one is dropped). Use it when only the shape within the fit range
    is to be compared; data published as normalised over their whole range and fitted in a part of it need nothing,
    if the model normalises in the same way.

    Arguments:
        data: measured values, shape `(bins,)`.
        data_covariance: their covariance, shape `(bins, bins)`, or variances `(bins,)`.
        model: `model(parameters) -> Prediction`.
        log_det: add ln det V(θ) − ln det V_data; see above for when that is right.
        normalise: `"none"` or `"shape"`.
        widths: bin widths for `normalise="shape"`, shape `(bins,)`; default 1 (values are contents, not densities).
        label: name used in messages and plots.

    Raises:
        ValueError: empty or non-finite data, wrong shape, covariance not positive definite (names the bins).
        TypeError: the model cannot be called.

    >>> import numpy as np
    >>> objective = ChiSquare(np.ones(3), np.full(3, 0.01), lambda p: Prediction(p["a"] * np.ones(3)))
    >>> objective.num_data
    3
    """

    data: Float[Numbers, " bin"]
    data_covariance: Float[Numbers, "bin bin"]
    model: Model
    widths: Float[Numbers, " bin"]
    log_det: bool = eqx.field(static=True)
    normalise: str = eqx.field(static=True)
    label: str = eqx.field(static=True)

    def __init__(
        self,
        data: Any,
        data_covariance: Any,
        model: Model,
        *,
        log_det: bool = False,
        normalise: str = "none",
        widths: Any = None,
        label: str = "chi-square",
    ):
        if not callable(model):
            raise TypeError(f"model must be callable: model(parameters) -> Prediction, got {type(model).__name__}")
        if normalise not in ("none", "shape"):
            raise ValueError(f"normalise must be 'none' or 'shape', got {normalise!r}")
        self.data = check_vector(data, f"data of {label!r}")
        size = self.data.shape[0]
        self.data_covariance = check_covariance(data_covariance, size, f"data covariance of {label!r}")
        self.widths = np.ones(size) if widths is None else check_vector(widths, f"widths of {label!r}")
        if self.widths.shape != self.data.shape or np.any(np.asarray(self.widths) <= 0):
            raise ValueError(f"widths of {label!r} must be {size} numbers above 0")
        if normalise == "shape" and size < 2:
            raise ValueError(f"{label!r}: a shape comparison needs at least two bins")
        if normalise == "shape" and float(np.sum(self.data * self.widths)) <= 0:
            raise ValueError(f"{label!r}: the data have no positive integral, so no shape")
        self.model = model
        self.log_det = bool(log_det)
        self.normalise = normalise
        self.label = label

    @property
    def num_data(self) -> int:
        """Number of bins, one fewer in a shape comparison."""
        return self.data.shape[0] - (self.normalise == "shape")

    def leaves(self) -> tuple[AbstractObjective, ...]:
        """This objective."""
        return (self,)

    def predict(self, parameters: Mapping[str, Any]) -> Prediction:
        """The model's prediction in all bins, before any normalisation."""
        return predict(self.model, parameters)

    def residual(
        self, parameters: Mapping[str, Any]
    ) -> tuple[Float[Array, " kept"], Float[Array, "kept kept"], Float[Array, "kept kept"]]:
        """r = data − prediction, its covariance V(θ), and V_data alone.

        Arguments:
            parameters: values by name.

        Returns:
            `(r, V, V_data)` over the compared bins.
        """
        prediction = self.predict(parameters)
        values, data = jnp.asarray(prediction.values), jnp.asarray(self.data)
        data_covariance = jnp.asarray(self.data_covariance)
        covariance = jnp.zeros_like(data_covariance) if prediction.covariance is None else prediction.covariance
        if self.normalise == "shape":
            widths = jnp.asarray(self.widths)
            values, covariance = _to_shape(values, jnp.asarray(covariance), widths)
            data, data_covariance = _to_shape(data, data_covariance, widths)
        return data - values, data_covariance + covariance, data_covariance

    def goodness(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """χ²(θ)."""
        residual, covariance, _ = self.residual(parameters)
        return residual @ inverse_and_log_det(covariance)[0] @ residual

    def value(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """χ²(θ), plus ln det V(θ) − ln det V_data if `log_det`."""
        residual, covariance, data_covariance = self.residual(parameters)
        inverse, log_det = inverse_and_log_det(covariance)
        chi2 = residual @ inverse @ residual
        return chi2 + log_det - inverse_and_log_det(data_covariance)[1] if self.log_det else chi2

    def sample(self, parameters: Mapping[str, Any], key: Key) -> "ChiSquare":
        """Pseudo-data in which the residual has at every θ the covariance that χ² assumes.

        The data are drawn from N(prediction, V_data); the model gets the error that a prediction has, drawn from
        N(0, V_MC) and growing and shrinking with its standard deviations at other θ. With `log_det` the model stays and
        the data have both.
        """
        prediction = self.predict(parameters)
        covariance = jnp.asarray(self.data_covariance)
        if prediction.covariance is not None and self.log_det:
            covariance = covariance + prediction.covariance
        values = jnp.asarray(prediction.values)
        noise = jax.random.normal(key, values.shape, values.dtype)
        drawn = eqx.tree_at(lambda tree: tree.data, self, values + jnp.linalg.cholesky(covariance) @ noise)
        if prediction.covariance is None or self.log_det:
            return drawn
        simulated = jnp.asarray(prediction.covariance)
        eigenvalues, vectors = jnp.linalg.eigh(simulated)
        error = vectors @ (
            jnp.sqrt(jnp.maximum(eigenvalues, 0)) * jax.random.normal(jax.random.fold_in(key, 1), values.shape)
        )
        return eqx.tree_at(lambda tree: tree.model, drawn, _Fluctuated(self.model, error, jnp.diag(simulated)))


class _Fluctuated(eqx.Module):
    """A model with an error of its own: drawn at one θ, where its variances were `variances`."""

    model: Model
    error: Float[Array, " bin"]
    variances: Float[Array, " bin"]

    def __call__(self, parameters: Mapping[str, Any]) -> Prediction:
        prediction = predict(self.model, parameters)
        here = jnp.diag(jnp.asarray(prediction.covariance))
        real = (here > 0) & (self.variances > 0)
        growth = jnp.sqrt(jnp.where(real, here, 1) / jnp.where(real, self.variances, 1))
        return Prediction(prediction.values + jnp.where(real, growth, 1) * self.error, prediction.covariance)


def _to_shape(
    values: Float[Array, " bin"], covariance: Float[Array, "bin bin"], widths: Float[Array, " bin"]
) -> tuple[Float[Array, " kept"], Float[Array, "kept kept"]]:
    """values/Σ values·width without the last bin, and its covariance J V Jᵀ with J = (1 − shape widthᵀ)/integral."""
    integral = jnp.sum(values * widths)
    shape = values / integral
    jacobian = (jnp.eye(values.shape[0]) - jnp.outer(shape, widths)) / integral
    return shape[:-1], (jacobian @ covariance @ jacobian.T)[:-1, :-1]


__all__ = ["ChiSquare"]
