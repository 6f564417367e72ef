"""Checks of what a calorimeter is built from; each refusal names cause and cure."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array


def concrete(value: Any) -> np.ndarray | None:
    """The value as a NumPy array of floats, None for a traced one."""
    if isinstance(value, jax.core.Tracer):
        return None
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError, jax.errors.TracerArrayConversionError):
        return None


def real(name: str, value: Any, shapes: tuple[tuple[int | None, ...], ...] = ((),)) -> Array:
    """The value as a floating-point array of one of the shapes (None: any length); finite."""
    if isinstance(value, str | bool) or value is None:
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}")
    array = jnp.asarray(value, float)
    fits = any(
        len(shape) == array.ndim and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
        for shape in shapes
    )
    if not fits:
        wanted = " or ".join(str(tuple("n" if n is None else n for n in shape)) for shape in shapes)
        raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
    numbers = concrete(value)
    if numbers is not None and not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name} must be finite, got {numbers}")
    return array


def not_negative(name: str, value: Any, unit: str, shapes: tuple[tuple[int | None, ...], ...] = ((),)) -> Array:
    """As `real`, and nothing below zero."""
    array = real(name, value, shapes)
    numbers = concrete(value)
    if numbers is not None and np.any(numbers < 0):
        where = f" at index {int(np.flatnonzero(numbers < 0)[0])}" if numbers.ndim == 1 else ""
        raise ValueError(f"{name} must not be negative, got {float(numbers.min()):g} {unit}{where}")
    return array


def positive(name: str, value: Any, unit: str, shapes: tuple[tuple[int | None, ...], ...] = ((),)) -> Array:
    """As `real`, and everything above zero."""
    array = real(name, value, shapes)
    numbers = concrete(value)
    if numbers is not None and np.any(numbers <= 0):
        raise ValueError(f"{name} must be above zero, got {float(numbers.min()):g} {unit}")
    return array


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raises `ValueError` unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


__all__ = ["concrete", "not_negative", "one_of", "positive", "real", "whole"]
