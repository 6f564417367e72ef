"""Pictures of fits, gradients and showers; each takes and returns axes, and leaves matplotlib's settings alone."""

from jaxhep.plots._save import save_figure
from jaxhep.plots.benchmark import benchmark_bars
from jaxhep.plots.comparison import data_mc_ratio, moved_vs_regenerated
from jaxhep.plots.corner import corner
from jaxhep.plots.fits import contour_plot, profile_scan
from jaxhep.plots.gradients import gradient_check, template_derivative
from jaxhep.plots.lund import lund_plane
from jaxhep.plots.statistics import correlation_matrix, pull_histogram
from jaxhep.plots.training import loss_curves

__all__ = [
    "benchmark_bars",
    "contour_plot",
    "corner",
    "correlation_matrix",
    "data_mc_ratio",
    "gradient_check",
    "loss_curves",
    "lund_plane",
    "moved_vs_regenerated",
    "profile_scan",
    "pull_histogram",
    "save_figure",
    "template_derivative",
]
