"""Materials of detectors: a table with source, mixtures by mass, and the effective medium of a layered stack."""

from .mixtures import MOLIERE_ENERGY, CriticalEnergy, Medium, Mixture, mixture
from .stacks import effective, layer_depths, sampling_fractions
from .table import MATERIALS, SOURCE, Material, material

__all__ = [
    "MATERIALS",
    "MOLIERE_ENERGY",
    "SOURCE",
    "CriticalEnergy",
    "Material",
    "Medium",
    "Mixture",
    "effective",
    "layer_depths",
    "material",
    "mixture",
    "sampling_fractions",
]
