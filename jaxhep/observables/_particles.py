"""How the observables hold an event: four tuples of columns that XLA fuses over a trailing batch axis."""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

# Up to this capacity a column is a tuple of scalars (one a particle), above it a tuple with one array. Scalars under
# vmap are contiguous vectors over the batch, so the whole observable becomes one fused loop without a transposition or
# a gather.
UNROLL_CAPACITY = 24

Column = tuple[Array, ...]
Vector = tuple[Array, Array, Array]


class Particles(NamedTuple):
    """Columns of energies and momentum components; masked particles hold zeros."""

    energy: Column
    x: Column
    y: Column
    z: Column

    def vectors(self) -> Iterable[Vector]:
        """Three-momenta, column entry by column entry."""
        return zip(self.x, self.y, self.z, strict=True)


def particles(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Particles:
    """Split an event into columns, with zeros where the mask is False."""
    check_event(momenta, mask)
    capacity = momenta.shape[0]
    if capacity > UNROLL_CAPACITY:
        clean = jnp.where(mask[:, None], momenta, 0)
        return Particles(*((clean[:, c],) for c in range(4)))
    present = [lax.index_in_dim(mask, k, keepdims=False) for k in range(capacity)]
    columns = []
    for c in range(4):
        column = lax.index_in_dim(momenta, c, axis=1, keepdims=False)
        entries = (lax.index_in_dim(column, k, keepdims=False) for k in range(capacity))
        columns.append(tuple(jnp.where(keep, entry, 0) for keep, entry in zip(present, entries, strict=True)))
    return Particles(*columns)


def check_event(momenta: Array, mask: Array) -> None:
    """Raise a clear error for arrays that are not one event."""
    if getattr(momenta, "ndim", None) != 2 or momenta.shape[-1] != 4:
        raise ValueError(
            f"momenta must have shape (particle, 4) as (E, px, py, pz), "
            f"got {getattr(momenta, 'shape', type(momenta))}; "
            "an observable acts on one event: use jax.vmap for a batch"
        )
    if getattr(mask, "shape", None) != momenta.shape[:1]:
        raise ValueError(
            f"mask must have shape ({momenta.shape[0]},) to match momenta {momenta.shape}, "
            f"got {getattr(mask, 'shape', type(mask))}"
        )
    if momenta.shape[0] == 0:
        raise ValueError("the event has capacity 0: pad it with at least one masked particle")
    if not jnp.issubdtype(momenta.dtype, jnp.floating):
        raise TypeError(f"momenta must be floating point, got {momenta.dtype}: use momenta.astype(float)")
    if mask.dtype != jnp.bool_:
        raise TypeError(f"mask must be Boolean, got {mask.dtype}: use mask.astype(bool)")


def total(column: Iterable[Array]) -> Array:
    """Sum over all particles."""
    return reduce(add, (entry if entry.ndim == 0 else jnp.sum(entry) for entry in column))


def each(function: Callable[..., Array], *columns: Sequence[Array]) -> Column:
    """Apply a function particle by particle."""
    return tuple(function(*entries) for entries in zip(*columns, strict=True))


def safe_sqrt(square: Array) -> Array:
    """sqrt(max(x, 0)) whose derivative at x <= 0 (below the smallest normal number) is 0 instead of infinite."""
    positive = square > jnp.finfo(square.dtype).tiny
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def safe_divide(numerator: Array, denominator: Array, otherwise: float | int = 0) -> Array:
    """numerator/denominator for a positive denominator, else a constant (with derivative 0)."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1), otherwise)


def dot(a: Vector, b: Vector) -> Array:
    """a·b."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """a × b."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def scale(factor: Array, a: Vector) -> Vector:
    """factor · a."""
    return (factor * a[0], factor * a[1], factor * a[2])


def norm(a: Vector) -> Array:
    """|a|, derivative 0 at a = 0."""
    return safe_sqrt(dot(a, a))


def unit(a: Vector) -> Vector:
    """a/|a|, or the zero vector (with derivative 0) at a = 0."""
    length = norm(a)
    return (safe_divide(a[0], length), safe_divide(a[1], length), safe_divide(a[2], length))


def stacked(column: Column) -> Float[Array, " particle"]:
    """A column as one array."""
    return jnp.stack(column) if column[0].ndim == 0 else column[0]


def clipped(value: Array, low: float | int | None, high: float | int | None) -> Array:
    """Remove rounding beyond the bounds from the value, and leave its derivative alone."""
    return value + lax.stop_gradient(jnp.clip(value, low, high) - value)


def magnitudes(event: Particles) -> Column:
    """|p_k| of every particle."""
    return tuple(norm(p) for p in event.vectors())


def signed_sum(signs: Iterable[Array], event: Particles) -> Vector:
    """Σ_k s_k p_k."""
    signs = tuple(signs)
    x, y, z = (total(each(jnp.multiply, signs, column)) for column in (event.x, event.y, event.z))
    return x, y, z
