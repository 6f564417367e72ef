"""Hadronisation: from parton-level to hadron-level event shapes."""

from ._gamma import inverse_gamma_cdf
from .shape_function import COEFFICIENTS, ShapeFunction

__all__ = ["COEFFICIENTS", "ShapeFunction", "inverse_gamma_cdf"]
