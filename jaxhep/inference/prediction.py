"""What a model says about the data: bin values and their Monte Carlo covariance."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Model = Callable[[Mapping[str, Any]], Any]
"""`model(parameters) -> Prediction`: parameters by name, each a float64 scalar; written in JAX."""

Numbers = Array | np.ndarray
"""An array of either library: data rest in NumPy (float64 whatever the JAX flag), traced values in JAX."""


class Prediction(eqx.Module):
    """Predicted bin values with the covariance of their Monte Carlo error.

    Arguments:
        values: predicted content of each bin, shape `(bin,)`, in the unit of the data.
        covariance: covariance of the Monte Carlo estimate `values`, shape `(bin, bin)`, in the unit squared;
            `None` for an exact model.

    The gradient of both with respect to the parameters is the model's; objectives use both.

    >>> import numpy as np
    >>> Prediction(np.array([1.0, 2.0])).values.shape
    (2,)
    """

    values: Float[Numbers, " bin"]
    covariance: Float[Numbers, "bin bin"] | None = None


def predict(model: Model, parameters: Mapping[str, Any]) -> Prediction:
    """Call the model; a plain array becomes an exact prediction, everything becomes the default float dtype.

    Arguments:
        model: the callable.
        parameters: values by name, scalars.

    Returns:
        The prediction, float64 inside the entry points of this package.

    Raises:
        TypeError: the model returned neither a `Prediction` nor an array.
    """
    answer = model(parameters)
    if isinstance(answer, (jnp.ndarray, np.ndarray)):
        answer = Prediction(jnp.asarray(answer))
    if not (hasattr(answer, "values") and hasattr(answer, "covariance")):
        raise TypeError(
            f"the model returned {type(answer).__name__}; return Prediction(values, covariance) or an array"
        )
    dtype = jnp.result_type(float)
    covariance = None if answer.covariance is None else jnp.asarray(answer.covariance, dtype)
    return Prediction(jnp.asarray(answer.values, dtype), covariance)


__all__ = ["Model", "Numbers", "Prediction", "predict"]
