"""Learned likelihoods as files: validated on unseen events, readable without training code, refused if damaged."""

from .encoding import PublishedFileError, published_classes
from .file import PublishedDensity, publish, read_density
from .nabu import NabuFlow, read_nabu
from .report import ValidationReport, validate

__all__ = [
    "NabuFlow",
    "PublishedDensity",
    "PublishedFileError",
    "ValidationReport",
    "publish",
    "published_classes",
    "read_density",
    "read_nabu",
    "validate",
]
