"""Parton showers."""

from .discrete_qcd import DiscreteQCD

__all__ = ["DiscreteQCD"]
