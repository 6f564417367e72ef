"""Electromagnetic calorimeters: parametrised showers as functions of geometry and noise, with derivatives."""

from .gun import ParticleGun
from .layers import Layers
from .longitudinal import (
    Profile,
    ProfileMoments,
    draw_profile,
    mean_profile,
    profile_moments,
    spot_number,
    spot_profile,
)
from .presets import calochallenge_dataset_2, hepemshow, homogeneous_calorimeter, sampling_calorimeter
from .radial import RadialProfile, radial_profile
from .readout import Readout
from .response import CalorimeterResponse
from .segmentation import AbstractSegmentation, Axis, Grid, Rings
from .simulator import Calorimeter

__all__ = [
    "AbstractSegmentation",
    "Axis",
    "Calorimeter",
    "CalorimeterResponse",
    "Grid",
    "Layers",
    "ParticleGun",
    "Profile",
    "ProfileMoments",
    "RadialProfile",
    "Readout",
    "Rings",
    "calochallenge_dataset_2",
    "draw_profile",
    "hepemshow",
    "homogeneous_calorimeter",
    "mean_profile",
    "profile_moments",
    "radial_profile",
    "sampling_calorimeter",
    "spot_number",
    "spot_profile",
]
