"""Inverse and log-determinant of a positive definite matrix: from the ground floor."""

from .._positive_definite import inverse_and_log_det

__all__ = ["inverse_and_log_det"]
