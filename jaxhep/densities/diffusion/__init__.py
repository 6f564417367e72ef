"""Diffusion, flow matching, mean flow and Schrödinger bridges: densities learned by reversing the way to noise."""

from .bridge import SchroedingerBridge
from .density import Diffusion
from .mean_flow import Distillation, MeanFlow
from .pairing import PairedLoss, StratifiedLoss, entropic_pairing, entropic_plan, exact_pairing, transport_cost
from .paths import EDM, AbstractPath, AbstractVariancePreserving, FlowMatching, VariancePreserving
from .samplers import AbstractSampler, AdaptiveODE, DPMSolver, EulerMaruyama, Heun

__all__ = [
    "EDM",
    "AbstractPath",
    "AbstractSampler",
    "AbstractVariancePreserving",
    "AdaptiveODE",
    "DPMSolver",
    "Diffusion",
    "Distillation",
    "EulerMaruyama",
    "FlowMatching",
    "Heun",
    "MeanFlow",
    "PairedLoss",
    "SchroedingerBridge",
    "StratifiedLoss",
    "VariancePreserving",
    "entropic_pairing",
    "entropic_plan",
    "exact_pairing",
    "transport_cost",
]
