"""Optimising a design by gradients: problems with budgets, the optimiser, sensitivities, information, trade-offs."""

from .evaluation import Measured, Sample, batch_objectives, compare, evaluate
from .information import (
    counts_information,
    cramer_rao,
    criteria,
    density_information,
    gaussian_information,
    profiled_information,
)
from .lagrangian import InfeasibleError
from .optimise import Progress, Settings, optimise
from .pareto import FrontPoint, hypervolume, non_dominated, optimum_slope, trace_front
from .prices import Multipliers, least_squares_multipliers
from .problem import Budget, Problem, black_box
from .result import DesignResult, Spent
from .sensitivity import Sensitivity, sensitivity
from .state import CheckpointError
from .variables import Space, Variable

__all__ = [
    "Budget",
    "CheckpointError",
    "DesignResult",
    "FrontPoint",
    "InfeasibleError",
    "Measured",
    "Multipliers",
    "Problem",
    "Progress",
    "Sample",
    "Sensitivity",
    "Settings",
    "Space",
    "Spent",
    "Variable",
    "batch_objectives",
    "black_box",
    "compare",
    "counts_information",
    "cramer_rao",
    "criteria",
    "density_information",
    "evaluate",
    "gaussian_information",
    "hypervolume",
    "least_squares_multipliers",
    "non_dominated",
    "optimise",
    "optimum_slope",
    "profiled_information",
    "sensitivity",
    "trace_front",
]
