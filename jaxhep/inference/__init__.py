"""Fits: parameters with priors, χ² and Poisson objectives, a float64 minimiser, profiles, contours, toys.

Nothing here knows of showers: a model is any callable `model(parameters) -> Prediction`.
"""

from jaxhep.inference.chi_square import ChiSquare
from jaxhep.inference.contour import Contour, contour, level_to_delta
from jaxhep.inference.fit import fit
from jaxhep.inference.interval import interval
from jaxhep.inference.minuit import to_iminuit
from jaxhep.inference.nuisances import (
    NormalisedModel,
    ShiftedModel,
    add_normalisation,
    add_systematics,
)
from jaxhep.inference.objectives import AbstractObjective, CombinedObjective, combine
from jaxhep.inference.parameters import Parameter
from jaxhep.inference.poisson import BinnedPoisson
from jaxhep.inference.prediction import Model, Prediction
from jaxhep.inference.priors import Gaussian
from jaxhep.inference.profile import ProfileScan, profile
from jaxhep.inference.result import FitResult, Interval, InvalidFitError
from jaxhep.inference.toys import Measured, ToyStudy, toys

__all__ = [
    "AbstractObjective",
    "BinnedPoisson",
    "ChiSquare",
    "CombinedObjective",
    "Contour",
    "FitResult",
    "Gaussian",
    "Interval",
    "InvalidFitError",
    "Measured",
    "Model",
    "NormalisedModel",
    "Parameter",
    "Prediction",
    "ProfileScan",
    "ShiftedModel",
    "ToyStudy",
    "add_normalisation",
    "add_systematics",
    "combine",
    "contour",
    "fit",
    "interval",
    "level_to_delta",
    "profile",
    "to_iminuit",
    "toys",
]
