"""Conditional densities of every family behind one contract."""

from jaxhep.densities._base import AbstractDensity, AbstractTractableDensity

__all__ = ["AbstractDensity", "AbstractTractableDensity"]
