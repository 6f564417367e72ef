"""A parametrised general-purpose detector for whole events: tracks, towers, energy flow, missing momentum."""

from .detector import Detector
from .particles import Kind, Properties, classify
from .presets import lep_like, lhc_like
from .result import DetectedTracks, Detection, DetectorNoise, Towers
from .solenoid import Solenoid
from .towers import TowerLayer
from .tracks import TrackResponse

__all__ = [
    "DetectedTracks",
    "Detection",
    "Detector",
    "DetectorNoise",
    "Kind",
    "Properties",
    "Solenoid",
    "TowerLayer",
    "Towers",
    "TrackResponse",
    "classify",
    "lep_like",
    "lhc_like",
]
