"""How alike two weighted samples are, and whether predictions are calibrated; each number with error and floor."""

from ._measures import effective_sample_size
from ._result import Metric, metric_table
from .calibration import Reliability, reliability
from .classifier import cross_fitted_scores, fit_classifier, roc_area, two_sample_test
from .coverage import Coverage, Ranks, simulation_based_calibration, tarp
from .energy import energy_distance, kernel_physics_distance, maximum_mean_discrepancy
from .frechet import frechet_gaussian, frechet_physics_distance
from .latent import GoodnessOfFit, kolmogorov_smirnov, latent_test, pearson
from .nplm import NewPhysicsTest, kernel_features, new_physics_test, nplm_statistic
from .triangular import triangular_discriminator
from .wasserstein import sliced_wasserstein, wasserstein

__all__ = [
    "Coverage",
    "GoodnessOfFit",
    "Metric",
    "NewPhysicsTest",
    "Ranks",
    "Reliability",
    "cross_fitted_scores",
    "effective_sample_size",
    "energy_distance",
    "fit_classifier",
    "frechet_gaussian",
    "frechet_physics_distance",
    "kernel_features",
    "kernel_physics_distance",
    "kolmogorov_smirnov",
    "latent_test",
    "maximum_mean_discrepancy",
    "metric_table",
    "new_physics_test",
    "nplm_statistic",
    "pearson",
    "reliability",
    "roc_area",
    "simulation_based_calibration",
    "sliced_wasserstein",
    "tarp",
    "triangular_discriminator",
    "two_sample_test",
    "wasserstein",
]
