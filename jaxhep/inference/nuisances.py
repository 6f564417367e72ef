"""Nuisance parameters: normalisation, and correlated systematics as shifts by their published one-σ shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxhep.inference.checks import check_vector
from jaxhep.inference.parameters import Parameter
from jaxhep.inference.prediction import Model, Numbers, Prediction, predict
from jaxhep.inference.priors import Gaussian


class NormalisedModel(eqx.Module):
    """A model times one parameter: values → n·values, Monte Carlo covariance → n²·covariance.

    Arguments:
        model: the model.
        name: name of the normalisation parameter n.

    >>> model = NormalisedModel(lambda p: Prediction(np.ones(2)), "norm")
    >>> model({"norm": 2.0}).values.tolist()
    [2.0, 2.0]
    """

    model: Model
    name: str = eqx.field(static=True)

    def __call__(self, parameters: Mapping[str, Any]) -> Prediction:
        """The scaled prediction."""
        prediction, factor = predict(self.model, parameters), parameters[self.name]
        covariance = None if prediction.covariance is None else factor**2 * prediction.covariance
        return Prediction(factor * prediction.values, covariance)


class ShiftedModel(eqx.Module):
    """A model plus shifts: values + Σ_k ν_k s_k, with s_k the one-σ shape of source k and ν_k its parameter.

    With N(0, 1) priors on the ν_k and minimised over them, this χ² equals the one with V_data + Σ_k s_k s_kᵀ.

    Arguments:
        model: the model.
        shapes: one-σ shifts, in the unit of the data, with sign, shape `(source, bin)`.
        names: names of the parameters ν_k.
    """

    model: Model
    shapes: Float[Numbers, "source bin"]
    names: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, parameters: Mapping[str, Any]) -> Prediction:
        """The shifted prediction."""
        prediction = predict(self.model, parameters)
        pulls = jnp.stack([jnp.asarray(parameters[name]) for name in self.names])
        return Prediction(prediction.values + pulls @ jnp.asarray(self.shapes), prediction.covariance)


def add_normalisation(
    model: Model,
    parameters: Sequence[Parameter],
    *,
    width: float | int,
    name: str = "normalisation",
    mean: float | int = 1.0,
) -> tuple[NormalisedModel, tuple[Parameter, ...]]:
    """The model times a normalisation with a Gaussian prior, and the parameters with it.

    Arguments:
        model: the model.
        parameters: the parameters so far.
        width: relative uncertainty of the normalisation, > 0.
        name: its name.
        mean: its expected value.

    Returns:
        `(model, parameters)`.

    >>> _, parameters = add_normalisation(lambda p: Prediction(np.ones(2)), [], width=0.02)
    >>> parameters[0].prior
    Gaussian(mean=1.0, width=0.02)
    """
    extra = Parameter(name, mean, prior=Gaussian(mean, width))
    return NormalisedModel(model, name), (*parameters, extra)


def add_systematics(
    model: Model, parameters: Sequence[Parameter], shapes: Mapping[str, Any]
) -> tuple[ShiftedModel, tuple[Parameter, ...]]:
    """One nuisance parameter N(0, 1) for each systematic source of the data, and the model shifted by them.

    A positive ν_k means that the data came out high by ν_k standard deviations of source k: the prediction is shifted
    to follow. The data covariance must then not contain these sources again. Two objectives that share a source use
    the same name; the parameter is then added once.

    Arguments:
        model: the model.
        parameters: the parameters so far.
        shapes: name of the source → its one-σ shift in every bin, shape `(bins,)`, with sign, in the unit of the data.

    Returns:
        `(model, parameters)`.

    Raises:
        ValueError: no source, shapes of different lengths, or not finite.

    >>> _, parameters = add_systematics(lambda p: Prediction(np.ones(2)), [], {"tracking": [0.1, -0.1]})
    >>> parameters[0].name, parameters[0].prior.width
    ('tracking', 1.0)
    """
    if not shapes:
        raise ValueError("add_systematics needs at least one source")
    arrays = {name: check_vector(shape, f"systematic {name!r}") for name, shape in shapes.items()}
    lengths = {name: array.size for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"systematic shapes have different numbers of bins: {lengths}")
    present = {entry.name for entry in parameters}
    extra = [Parameter(name, 0.0, prior=Gaussian(0.0, 1.0)) for name in arrays if name not in present]
    return ShiftedModel(model, np.stack(list(arrays.values())), tuple(arrays)), (*parameters, *extra)


__all__ = ["NormalisedModel", "ShiftedModel", "add_normalisation", "add_systematics"]
