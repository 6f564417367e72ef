"""Preprocessing as part of the model: standardised, logarithmic, bounded and discrete columns with exact Jacobians."""

from .columns import Column, bounded, discrete, positive, real
from .density import PreprocessedDensity, PreprocessedTractableDensity, preprocess
from .standardise import Preprocessing, fit_preprocessing

__all__ = [
    "Column",
    "PreprocessedDensity",
    "PreprocessedTractableDensity",
    "Preprocessing",
    "bounded",
    "discrete",
    "fit_preprocessing",
    "positive",
    "preprocess",
    "real",
]
