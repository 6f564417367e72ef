"""Ways from noise to data along a path: deterministic, adaptive, random."""

from ._base import AbstractSampler
from .adaptive import AdaptiveODE
from .dpm import DPMSolver
from .heun import Heun
from .stochastic import EulerMaruyama

__all__ = ["AbstractSampler", "AdaptiveODE", "DPMSolver", "EulerMaruyama", "Heun"]
