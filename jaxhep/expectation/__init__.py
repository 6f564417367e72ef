"""Means and histograms of weighted events, with unbiased gradients, errors and covariances."""

from ._grid import deposit
from ._histogram import Histogram, histogram
from ._mean import Estimate, derivative, mean

__all__ = ["Estimate", "Histogram", "deposit", "derivative", "histogram", "mean"]
