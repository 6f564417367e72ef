"""Detectors as deterministic functions of their geometry and of noise drawn beforehand."""

from . import calorimeter, materials
from .calorimeter import Calorimeter, CalorimeterResponse, ParticleGun
from .materials import Material, Medium, Mixture, material, mixture

__all__ = [
    "Calorimeter",
    "CalorimeterResponse",
    "Material",
    "Medium",
    "Mixture",
    "ParticleGun",
    "calorimeter",
    "material",
    "materials",
    "mixture",
]
