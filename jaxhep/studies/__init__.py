"""Whole studies, each a short script over the floors below."""

from jaxhep.studies.closure import BruteForce, ClosureToys, brute_force, closure
from jaxhep.studies.detector_optimisation import DetectorStudy, optimise_detector
from jaxhep.studies.detector_optimisation_document import DesignError, DetectorDesign, read_design
from jaxhep.studies.dipole_run import DipoleRun
from jaxhep.studies.event_run import AbstractEventRun, EventRun
from jaxhep.studies.event_shape_fit import EventShapeFit, fit_event_shapes
from jaxhep.studies.gradient_check import GradientCheck, check_gradients
from jaxhep.studies.moved_run import MovedHistograms, StoredRun, moved_histograms, open_run
from jaxhep.studies.stability import StabilityRow, stability
from jaxhep.studies.uncertainties import ScaleVariation, Uncertainties, uncertainties

__all__ = [
    "AbstractEventRun",
    "BruteForce",
    "ClosureToys",
    "DesignError",
    "DetectorDesign",
    "DetectorStudy",
    "DipoleRun",
    "EventRun",
    "EventShapeFit",
    "GradientCheck",
    "MovedHistograms",
    "ScaleVariation",
    "StabilityRow",
    "StoredRun",
    "Uncertainties",
    "brute_force",
    "check_gradients",
    "closure",
    "fit_event_shapes",
    "moved_histograms",
    "open_run",
    "optimise_detector",
    "read_design",
    "stability",
    "uncertainties",
]
