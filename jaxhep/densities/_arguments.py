"""Checks of events and conditions whose sentences every family of densities shares."""

from typing import Any

import jax.numpy as jnp


def check_event(x: Any, dim: int, name: str = "x") -> None:
    """Raises `ValueError` unless `x` is one event of `dim` columns."""
    shape = jnp.shape(x)
    if shape != (dim,):
        hint = "; map a batch with jax.vmap" if len(shape) == 2 else ""
        raise ValueError(f"{name} is one event of shape ({dim},), got shape {shape}{hint}")


def check_condition(condition: Any, condition_dim: int) -> None:
    """Raises `ValueError` unless `condition` has `condition_dim` columns (None where there are none)."""
    if condition_dim == 0:
        if condition is not None and jnp.size(condition) > 0:
            raise ValueError(
                f"this density has no condition, got one of shape {jnp.shape(condition)}; leave it out, or build the "
                "density with condition_dim"
            )
        return
    if condition is None:
        raise ValueError(f"this density is conditional: pass a condition of shape ({condition_dim},)")
    shape = jnp.shape(condition)
    if shape != (condition_dim,):
        hint = "; map a batch with jax.vmap" if len(shape) == 2 else ""
        raise ValueError(f"the condition has shape ({condition_dim},), got shape {shape}{hint}")


def check_sizes(**sizes: int) -> None:
    """Raises `ValueError` for a size that is not a whole number above zero."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} is a whole number above zero, got {size!r}")


__all__ = ["check_condition", "check_event", "check_sizes"]
