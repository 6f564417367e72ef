"""Pictures of fits, gradients and showers; each takes and returns axes, and leaves matplotlib's settings alone."""

from jaxhep.plots._save import save_figure
from jaxhep.plots.band import uncertainty_band
from jaxhep.plots.benchmark import benchmark_bars
from jaxhep.plots.calorimeter import longitudinal_profile, shower_picture
from jaxhep.plots.comparison import data_mc_ratio, moved_vs_regenerated
from jaxhep.plots.design import (
    design_trajectory,
    detector_drawing,
    pareto_front,
    resolution_curves,
    sensitivity_profile,
)
from jaxhep.plots.fits import contour_plot, profile_scan
from jaxhep.plots.gradients import gradient_check, template_derivative
from jaxhep.plots.lund import lund_plane
from jaxhep.plots.statistics import correlation_matrix, pull_histogram

__all__ = [
    "benchmark_bars",
    "contour_plot",
    "correlation_matrix",
    "data_mc_ratio",
    "design_trajectory",
    "detector_drawing",
    "gradient_check",
    "longitudinal_profile",
    "lund_plane",
    "moved_vs_regenerated",
    "pareto_front",
    "profile_scan",
    "pull_histogram",
    "resolution_curves",
    "save_figure",
    "sensitivity_profile",
    "shower_picture",
    "template_derivative",
    "uncertainty_band",
]
