"""Tracking layers: charged particles with multiple scattering, and a differentiable track fit."""

from .fit import TrackFit, expected_covariance, fit_track, pt_resolution
from .layers import Hits, Tracker, TrackNoise
from .propagation import TrackState, curvature_of
from .scattering import highland_angle

__all__ = [
    "Hits",
    "TrackFit",
    "TrackNoise",
    "TrackState",
    "Tracker",
    "curvature_of",
    "expected_covariance",
    "fit_track",
    "highland_angle",
    "pt_resolution",
]
