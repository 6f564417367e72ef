"""Inverse and log-determinant of a positive definite matrix; they live on the ground floor, the track fit needs them, too."""

from .._positive_definite import inverse_and_log_det

__all__ = ["inverse_and_log_det"]
