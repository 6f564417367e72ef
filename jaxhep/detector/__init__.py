"""Detectors as functions of parameters and noise: whole events (`fast`) and tracking layers (`tracking`)."""

from .fast import DetectedTracks, Detection, Detector, DetectorNoise, Towers, lep_like, lhc_like

__all__ = ["DetectedTracks", "Detection", "Detector", "DetectorNoise", "Towers", "lep_like", "lhc_like"]
