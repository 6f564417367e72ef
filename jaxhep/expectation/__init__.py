"""Means and histograms of weighted events, with unbiased gradients, errors and covariances."""

from ._band import Band, band
from ._grid import deposit
from ._histogram import Histogram, histogram
from ._mean import Estimate, derivative, mean

__all__ = ["Band", "Estimate", "Histogram", "band", "deposit", "derivative", "histogram", "mean"]
