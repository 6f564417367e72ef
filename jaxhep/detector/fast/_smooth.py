"""Smooth steps of finite width, and a positive variate of given mean and variance."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def smooth_step(x: Float[Array, "..."], centre: Any, half_width: Any) -> Float[Array, "..."]:
    r"""\(\tfrac12+\tfrac34t-\tfrac14t^3\), \(t=(x-x_0)/h\) held within ±1: 0 below \(x_0-h\), 1 above \(x_0+h\), once
    continuously differentiable. It is the distribution function of an Epanechnikov kernel; h = 0 is the hard step."""
    wide = half_width > 0
    t = jnp.clip((x - centre) / jnp.where(wide, half_width, 1), -1, 1)
    return jnp.where(wide, 0.5 + t * (0.75 - 0.25 * t**2), (x > centre).astype(x.dtype))


def log_normal(
    mean: Float[Array, "*n"], variance: Float[Array, "*n"], normal: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    r"""\(\mu\exp(sz-s^2/2)\) with \(s^2=\ln(1+\sigma^2/\mu^2)\): mean μ and variance σ² exactly, never below zero.

    Pathwise in μ, σ² and through z. At μ = 0 it is 0, which is also its limit; at σ = 0 it is μ, and the derivative in
    σ (z, of mean zero) is taken as 0.
    """
    positive = mean > 1e-9
    safe = jnp.where(positive, mean, 1)
    s2 = jnp.log1p(variance / safe**2)
    fluctuates = s2 > jnp.finfo(s2.dtype).tiny
    s = jnp.where(fluctuates, jnp.sqrt(jnp.where(fluctuates, s2, 1)), 0)
    return jnp.where(positive, safe * jnp.exp(s * normal - s2 / 2), 0)


def regions(
    eta: Float[Array, "*n"], edges: tuple[float, ...], half_width: float = 0.05
) -> tuple[Float[Array, "*n"], ...]:
    """Shares of the |η| regions that the edges divide: they sum to one and pass smoothly over each edge."""
    size = jnp.abs(eta)
    above = [jnp.ones_like(size), *(smooth_step(size, edge, half_width) for edge in edges), jnp.zeros_like(size)]
    return tuple(low - high for low, high in pairwise(above))


def leaf(
    name: str,
    value: Any,
    shape: tuple[int, ...],
    cure: str,
    low: float = 0.0,
    high: float = np.inf,
    *,
    open_: bool = False,
) -> Float[Array, "..."]:
    """`value` as a floating array of `shape` (a scalar fills it); ValueError if it is known and not finite or outside
    [low, high] (`open_`: low itself excluded)."""
    if not isinstance(value, jax.core.Tracer):
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "fiu":
            raise TypeError(f"{name} must be a real number or array of them, got {value!r}")
        if numbers.shape not in ((), shape):
            raise ValueError(f"{name} must be a number or have shape {shape}, got shape {numbers.shape}: {cure}")
        bad = ~np.isfinite(numbers) | (numbers < low) | (numbers > high) | (open_ & (numbers <= low))
        if np.any(bad):
            raise ValueError(
                f"{name} = {np.asarray(value)[bad][0] if shape and numbers.shape else value} is not allowed: {cure}"
            )
    array = jnp.asarray(value)
    floating = jnp.issubdtype(array.dtype, jnp.floating) and not array.weak_type
    return jnp.broadcast_to(array if floating else array.astype(jnp.result_type(float)), shape)


def static_edges(name: str, edges: Any) -> tuple[float, ...]:
    """Rising positive |η| edges as a tuple; ValueError otherwise."""
    values = tuple(float(edge) for edge in edges)
    if any(not np.isfinite(v) or v <= 0 for v in values) or any(b <= a for a, b in pairwise(values)):
        raise ValueError(f"{name} = {values}: give positive |η| values, each larger than the one before")
    return values


def whole(name: str, value: Any, least: int, cure: str) -> int:
    """A whole number of at least `least`; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r}: {cure}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}: {cure}")
    return int(value)
