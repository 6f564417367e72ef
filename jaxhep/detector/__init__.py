"""Detectors as functions of parameters and of noise drawn beforehand.

Electromagnetic calorimeters (`calorimeter`), whole events (`fast`) and tracking layers (`tracking`).
"""

from . import calorimeter, materials, tracking
from .calorimeter import Calorimeter, CalorimeterResponse, ParticleGun
from .fast import DetectedTracks, Detection, Detector, DetectorNoise, Towers, lep_like, lhc_like
from .materials import Material, Medium, Mixture, material, mixture

__all__ = [
    "Calorimeter",
    "CalorimeterResponse",
    "DetectedTracks",
    "Detection",
    "Detector",
    "DetectorNoise",
    "Material",
    "Medium",
    "Mixture",
    "ParticleGun",
    "Towers",
    "calorimeter",
    "lep_like",
    "lhc_like",
    "material",
    "materials",
    "mixture",
    "tracking",
]
