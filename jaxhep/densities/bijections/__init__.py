"""Invertible maps with their log-determinants: what flows are made of, and what preprocessing is."""

from ._base import AbstractBijection, common_condition
from .autoregressive import MaskedAutoregressive
from .chain import Chain, Invert, Repeat
from .conditional import ConditionalAffine, fit_conditional_affine
from .coupling import Coupling
from .elementwise import Affine, Exp, Sigmoid, Softplus, Tanh
from .linear import LULinear, Permutation
from .masked_network import MaskedNetwork
from .spline import inverse_rational_quadratic, rational_quadratic, spline_parameters
from .transformers import (
    AbstractTransformer,
    AffineSplineTransformer,
    AffineTransformer,
    Elementwise,
    SoftplusAffineTransformer,
    SplineTransformer,
)

__all__ = [
    "AbstractBijection",
    "AbstractTransformer",
    "Affine",
    "AffineSplineTransformer",
    "AffineTransformer",
    "Chain",
    "ConditionalAffine",
    "Coupling",
    "Elementwise",
    "Exp",
    "Invert",
    "LULinear",
    "MaskedAutoregressive",
    "MaskedNetwork",
    "Permutation",
    "Repeat",
    "Sigmoid",
    "Softplus",
    "SoftplusAffineTransformer",
    "SplineTransformer",
    "Tanh",
    "common_condition",
    "fit_conditional_affine",
    "inverse_rational_quadratic",
    "rational_quadratic",
    "spline_parameters",
]
