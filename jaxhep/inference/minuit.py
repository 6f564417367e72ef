"""Hand-over to iminuit: a second opinion on the same objective with the same gradient."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxhep.inference.fit import check_start, make_settings
from jaxhep.inference.layout import Layout, make_layout
from jaxhep.inference.minimise import total
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.parameters import Parameter, check_parameters
from jaxhep.inference.prediction import Numbers

if TYPE_CHECKING:
    from iminuit import Minuit


def to_iminuit(objective: AbstractObjective, parameters: Sequence[Parameter], *, autodiff: str = "forward") -> "Minuit":
    """An `iminuit.Minuit` of −2 ln L with priors: values, bounds, fixed flags and gradient set, `errordef` 1.

    Arguments:
        objective: the objective.
        parameters: as for `fit`.
        autodiff: `"forward"` or `"reverse"`, for the gradient.

    Returns:
        The `Minuit` object; call `migrad()`, `hesse()`, `minos()`.

    Raises:
        ImportError: iminuit is not installed.
        ValueError: as `fit`.

    >>> from jaxhep.inference import ChiSquare, Prediction
    >>> objective = ChiSquare([1.0, 2.0], [0.1, 0.1], lambda p: Prediction(p["a"] * np.ones(2)))
    >>> round(to_iminuit(objective, [Parameter("a", 0.5)]).migrad().values["a"], 6)
    1.5
    """
    try:
        from iminuit import Minuit
    except ImportError as error:
        raise ImportError("to_iminuit needs iminuit: pip install 'jaxhep[fit]'") from error
    parameters = check_parameters(parameters)
    settings = make_settings(autodiff)
    mode = settings.autodiff
    # All parameters are free in the layout, so that fixed flags can be changed within Minuit.
    layout = make_layout([entry.replaced(fixed=False) for entry in parameters])
    # A prior on a parameter that is fixed adds a constant only; `fit` leaves it out, and so does this.
    unconstrained = np.array([entry.fixed for entry in parameters])
    layout = eqx.tree_at(lambda tree: tree.prior_width, layout, np.where(unconstrained, np.inf, layout.prior_width))
    with jax.enable_x64(True):
        check_start(objective, layout, np.asarray(layout.values, np.float64), settings)

    def value(theta: Float[np.ndarray, " parameter"]) -> float:
        with jax.enable_x64(True):
            return float(_value(objective, layout, np.asarray(theta, np.float64)))

    def gradient(theta: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " parameter"]:
        with jax.enable_x64(True):
            return np.asarray(_gradient(objective, layout, np.asarray(theta, np.float64), mode))

    minuit = Minuit(value, np.asarray(layout.values), grad=gradient, name=layout.names)
    minuit.errordef = Minuit.LEAST_SQUARES
    minuit.limits = [(entry.lower, entry.upper) for entry in parameters]
    minuit.fixed = [entry.fixed for entry in parameters]
    return minuit


@eqx.filter_jit
def _value(objective: AbstractObjective, layout: Layout, theta: Numbers) -> Array:
    return total(objective, layout, jnp.asarray(theta))


@eqx.filter_jit
def _gradient(objective: AbstractObjective, layout: Layout, theta: Numbers, mode: str) -> Array:
    differentiate = jax.grad if mode == "reverse" else jax.jacfwd
    return differentiate(lambda x: total(objective, layout, x))(jnp.asarray(theta))


__all__ = ["to_iminuit"]
