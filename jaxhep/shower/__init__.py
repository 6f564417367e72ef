"""Parton showers."""

from .dipole import DipoleShower
from .discrete_qcd import DiscreteQCD

__all__ = ["DipoleShower", "DiscreteQCD"]
