"""Checks of what is handed to a plot: each refusal names the argument, the cause and the cure."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

Values = Sequence[Any] | np.ndarray | jax.Array
"""Numbers to draw: a list, a tuple, a NumPy or a JAX array."""


def numbers(name: str, values: Values, length: int | None = None, *, finite: bool = True) -> np.ndarray:
    """`values` as a one-dimensional float64 array; ValueError if it has another shape, or holds NaN or infinity."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, not {type(values).__name__}: {error}") from error
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, but has shape {array.shape}; pass one histogram or curve")
    if array.size == 0:
        raise ValueError(f"{name} is empty; there is nothing to draw")
    if length is not None and array.size != length:
        raise ValueError(f"{name} has {array.size} entries where {length} are needed; check that bins and values agree")
    if finite and not np.all(np.isfinite(array)):
        bad = np.flatnonzero(~np.isfinite(array))
        raise ValueError(f"{name} is not finite at {bad.size} entries (first at index {bad[0]}); remove or repair them")
    return array


def errors(name: str, values: Values, length: int) -> np.ndarray:
    """Standard errors: as `numbers`, and none below zero."""
    array = numbers(name, values, length)
    if np.any(array < 0):
        raise ValueError(f"{name} is negative at index {np.flatnonzero(array < 0)[0]}; pass standard deviations")
    return array


def bin_edges(edges: Values) -> np.ndarray:
    """Bin edges: at least two, strictly increasing."""
    array = numbers("edges", edges)
    if array.size < 2:
        raise ValueError("edges needs at least two entries to make one bin")
    if not np.all(np.diff(array) > 0):
        where = np.flatnonzero(np.diff(array) <= 0)[0]
        raise ValueError(f"edges must increase strictly, but do not after index {where}; sort them and drop doubles")
    return array


def interval_of(name: str, interval: Sequence[Any]) -> tuple[float, float]:
    """A pair (low, high) with low < high."""
    low_high = numbers(name, interval, 2)
    if not low_high[0] < low_high[1]:
        raise ValueError(f"{name} must be (low, high) with low < high, but is {tuple(low_high.tolist())}")
    return float(low_high[0]), float(low_high[1])


def number(name: str, value: Any, *, positive: bool = False) -> float:
    """One finite number, above zero if `positive`."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 0 or not np.isfinite(array):
        raise ValueError(f"{name} must be one finite number, but is {value!r}")
    if positive and array <= 0:
        raise ValueError(f"{name} must be above zero, but is {float(array)}")
    return float(array)
