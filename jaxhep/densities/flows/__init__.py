"""Normalising flows: coupling, autoregressive, continuous, augmented; distrax as vocabulary."""

from .augmented import AugmentedFlow
from .base import Normal, Uniform
from .constructors import PRESETS, autoregressive_flow, coupling_flow, make_flow
from .continuous import ContinuousFlow, VectorField
from .flow import Flow
from .from_distrax import DistraxBijection, DistraxDensity

__all__ = [
    "PRESETS",
    "AugmentedFlow",
    "ContinuousFlow",
    "DistraxBijection",
    "DistraxDensity",
    "Flow",
    "Normal",
    "Uniform",
    "VectorField",
    "autoregressive_flow",
    "coupling_flow",
    "make_flow",
]
