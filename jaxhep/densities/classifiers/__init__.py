"""Classifiers as density ratios: trained, calibrated, in ensembles, and as weights."""

from .calibration import (
    AbstractCalibration,
    CalibratedRatio,
    Isotonic,
    Platt,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)
from .classifier import AbstractDensityRatio, Classifier, train_classifier, two_samples
from .ensemble import Ensemble, Reweighted, effective_size, reweight

__all__ = [
    "AbstractCalibration",
    "AbstractDensityRatio",
    "CalibratedRatio",
    "Classifier",
    "Ensemble",
    "Isotonic",
    "Platt",
    "Reweighted",
    "effective_size",
    "fit_isotonic",
    "fit_platt",
    "fit_temperature",
    "reweight",
    "train_classifier",
    "two_samples",
]
