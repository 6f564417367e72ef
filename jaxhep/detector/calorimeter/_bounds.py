"""Smooth bounds for fitted formulas: the formula itself inside its range, a continuation with finite slope outside."""

import jax.numpy as jnp

from ..._types import Array, Float


def floored(x: Float[Array, "..."], start: float, least: float = 0.0) -> Float[Array, "..."]:
    r"""x where x ≥ s, and \(m+(s-m)/(1-u+u^2)\), \(u=(x-s)/(s-m)\), below: above m everywhere, increasing, and twice
    continuously differentiable.

    **Arguments**: `start` s, `least` m < s.
    """
    width = start - least
    below = jnp.minimum(x - start, 0) / width
    return jnp.where(x >= start, x, least + width / (1 - below + below**2))


def capped(x: Float[Array, "..."], start: float, most: float) -> Float[Array, "..."]:
    """x where x ≤ `start`, a continuation that stays below `most` > `start` above; as `floored`."""
    return most - floored(most - x, most - start)


def probability(x: Float[Array, "..."], lowest: float = 0.005, highest: float = 0.98) -> Float[Array, "..."]:
    """x where lowest ≤ x ≤ highest, continued within (0, 1)."""
    return jnp.where(x < 0.5, floored(x, lowest), 1 - floored(1 - x, 1 - highest))


__all__ = ["capped", "floored", "probability"]
