"""From what a detector records to what went in: energy, position, direction; and how well, as curves with errors."""

from .energy import EnergyScale, best_weights, fit_energy_scale, squared_resolution
from .network import EnergyNetwork, fit_energy_network
from .position import barycentre, direction, shower_line
from .resolution import ResolutionCurve, gaussian_core, resolution_curve
from .resolution_fit import ResolutionFit, fit_resolution
from .solve import inverse, solve

__all__ = [
    "EnergyNetwork",
    "EnergyScale",
    "ResolutionCurve",
    "ResolutionFit",
    "barycentre",
    "best_weights",
    "direction",
    "fit_energy_network",
    "fit_energy_scale",
    "fit_resolution",
    "gaussian_core",
    "inverse",
    "resolution_curve",
    "shower_line",
    "solve",
    "squared_resolution",
]
