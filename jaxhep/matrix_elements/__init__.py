"""Hard processes: the first stage of a chain of simulators."""

from .electroweak import ElectroweakQQbar, HardNoise
from .frames import align_with_quark, rotation_to

__all__ = ["ElectroweakQQbar", "HardNoise", "align_with_quark", "rotation_to"]
