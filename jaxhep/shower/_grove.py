r"""From uniform variates to a grove: which columns hold a gluon, and where.

Lengths are in units of the effective gluon width δ = 11/6 − n_f/9: a gluon at height X has κ = ln(k⊥²/Λ²) = 2δX and
opens a fold of length δX on each side. The cut-off is X = 1.

Every discrete choice is made with the parameters of `reference`, and the ratio of the probabilities of that choice at
the parameters and at the reference goes into the weight (`physics/gradients.md`: score weight). Everything continuous
moves
with the parameters.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from .._types import Array, Bool, Float, Int, Scalar
from ._layout import Layout

_LOG_TWO = math.log(2)
OPENING = 0.5
"""Range of X, above X = k, over which column k of a fold opens in the smooth mode."""
Slots = Float[Array, "*slot"]
"""A scalar of one slot, or an array of a level."""
Column = int | np.ndarray
UNROLLED_SLOTS = 64
"""Layouts with more slots are always computed a level at a time."""


class Grove(NamedTuple):
    """The gluons of one event: a tuple of scalars, one a slot of the layout, for each property, or an array.

    Scalars where most events are made: under `vmap` each becomes one vector over events, which the compiler turns into
    vector instructions whatever the number of slots. The time of tracing and compiling grows with their number, so that
    large layouts, and rounds for few events, have arrays of all slots.
    """

    active: Sequence[Bool[Array, ""]] | Bool[Array, " slot"]
    height: Sequence[Scalar] | Float[Array, " slot"]
    """X = κ/2δ."""
    position: Sequence[Scalar] | Float[Array, " slot"]
    """η, the rapidity-like place of the gluon on the folded baseline."""
    azimuth: Sequence[Scalar] | Float[Array, " slot"]
    """In turns, in (0, 1)."""
    order: Sequence[Scalar] | Float[Array, " slot"]
    """Ordering variable: gluons are emitted from its largest value down."""
    log_scale: Scalar
    """L = ln(s/Λ²)."""
    weight: Scalar

    @property
    def num_gluons(self) -> Int[Array, ""]:
        """How many slots are filled."""
        if isinstance(self.active, tuple):
            return jnp.asarray(sum(a.astype(jnp.int32) for a in self.active))
        return jnp.sum(jnp.asarray(self.active), dtype=jnp.int32)


def log_two_cosh(y: Array) -> Array:
    """ln(2 cosh y) without overflow."""
    magnitude = jnp.abs(y)
    return magnitude + jnp.log1p(jnp.exp(-2 * magnitude))


def hyperbola_edge(log_two_cosh_edge: Array) -> Array:
    """Y ≥ 0 with ln(2 cosh Y) given; 0 (with derivative 0) where it is below ln 2."""
    x = log_two_cosh_edge
    inside = x > _LOG_TWO
    x = jnp.where(inside, x, 1.0)
    return jnp.where(inside, x + jnp.log1p(jnp.sqrt(-jnp.expm1(2 * _LOG_TWO - 2 * x))) - _LOG_TWO, 0.0)


def smooth_step(t: Array) -> Array:
    """3t² − 2t³ on [0, 1], constant outside: it opens quadratically, so that the score has a finite variance."""
    t = jnp.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _clipped(value: Any, edge: float) -> Any:
    """Within ±edge; a Python number remains one."""
    return np.clip(value, -edge, edge) if isinstance(value, np.ndarray) else min(max(value, -edge), edge)


class Geometry(NamedTuple):
    """How the two modes differ: the shape of the primary region and the opening of the folds."""

    smooth: bool
    delta: float
    thinning: float
    """Probability with which a primary gluon is kept: C_F/(C_A/2) or 1."""
    ordering_log_scale: float
    """L at which the ordering variable of the smooth mode is computed."""

    def primary_top(
        self, column: Column, turn: Slots, log_scale: Scalar, edge: Scalar | None
    ) -> tuple[Any, Slots, Any]:
        """Rapidity, largest height and covered fraction of a primary slice; `edge` is Y where h = 1 (smooth)."""
        if edge is None:
            count: Any = jnp.floor(log_scale / (2 * self.delta))
            return column * self.delta, count - abs(column), 1.0
        low = jnp.maximum((column - 0.5) * self.delta, -edge)
        high = jnp.minimum((column + 0.5) * self.delta, edge)
        width = jnp.maximum(high - low, 0)
        y = low + turn * width
        return y, (log_scale - 2 * log_two_cosh(y)) / (2 * self.delta), width / self.delta

    def primary_edge(self, log_scale: Scalar) -> Scalar | None:
        """Rapidity beyond which a column is shorter than the cut-off."""
        return hyperbola_edge(log_scale / 2 - self.delta) if self.smooth else None

    def primary_place(self, column: Column, turn: Slots, y: Any, height: Slots, log_scale: Scalar) -> Slots:
        """Rapidity of a primary gluon; on the lattice it is spread over the part of the slice inside the triangle."""
        if self.smooth:
            return y
        edge = log_scale / 2 - self.delta * height
        low = jnp.maximum((column - 0.5) * self.delta, -edge)
        high = jnp.minimum((column + 0.5) * self.delta, edge)
        return low + turn * (high - low)

    def primary_order(self, column: Column, turn: Slots, share: Slots, height: Slots) -> Slots:
        """Height at the fixed ordering scale, with ln(2 cosh y) ≈ √(y² + ln²2): a function of the noise alone."""
        if not self.smooth:
            return lax.stop_gradient(height)
        half = self.ordering_log_scale / 2
        edge = max(half - self.delta, 0.0)
        low, high = (_clipped((column + side) * self.delta, edge) for side in (-0.5, 0.5))
        y = low + turn * (high - low)
        return 1 + share * jnp.maximum((half - jnp.sqrt(y * y + _LOG_TWO**2)) / self.delta - 1, 0)

    def edge(self, height: Scalar, log_scale: Scalar) -> Scalar:
        """Half the rapidity range of the quark–antiquark dipole at a height."""
        x = log_scale / 2 - self.delta * height
        return hyperbola_edge(x) if self.smooth else x

    def opening(self, height: Slots, column: Column) -> Slots:
        """Probability that column k of a fold of the given height is there."""
        if self.smooth:
            return smooth_step((height - column) / OPENING)
        return (height >= column).astype(height.dtype)


def draw_grove(
    layout: Layout,
    geometry: Geometry,
    noise: Float[Array, "slot 3"],
    log_scale: Scalar,
    reference_log_scale: Scalar | None,
    unrolled: bool = True,
) -> Grove:
    """Fills the slots, parents first; `noise` holds (choice and height, place, azimuth) for each slot.

    `reference_log_scale` is L of the reference, None for the parameters themselves with their derivative stopped.
    `unrolled`: a slot at a time if there are no more than `UNROLLED_SLOTS`, else a level at a time.
    """
    unrolled = unrolled and layout.num_slots <= UNROLLED_SLOTS
    same = reference_log_scale is None
    edge = geometry.primary_edge(log_scale)
    ref_scale = log_scale if reference_log_scale is None else reference_log_scale
    ref_edge = edge if same else geometry.primary_edge(ref_scale)
    active: list[Any] = []
    height: list[Any] = []
    ref_height: list[Any] = []
    place: list[Any] = []
    order: list[Any] = []
    weight = jnp.ones((), noise.dtype)
    for where, parent, column, side in _blocks(layout, noise.dtype, unrolled):
        choice, turn = noise[where, 0], noise[where, 1]
        if parent is None:
            y, top, covered = geometry.primary_top(column, turn, log_scale, edge)
            probability = _emission(top) * (covered * geometry.thinning)
            if same:
                ref_top, ref_probability = lax.stop_gradient(top), lax.stop_gradient(probability)
            else:
                _, ref_top, ref_covered = geometry.primary_top(column, turn, ref_scale, ref_edge)
                ref_probability = _emission(ref_top) * (ref_covered * geometry.thinning)
            emit = choice < ref_probability
            share = choice / jnp.where(emit, ref_probability, 1)
            x = 1 + share * jnp.maximum(top - 1, 0)
            ref_height.append(lax.stop_gradient(x) if same else 1 + share * jnp.maximum(ref_top - 1, 0))
            place.append(geometry.primary_place(column, turn, y, x, log_scale))
            order.append(geometry.primary_order(column, turn, share, x))
            ratio = _ratio(emit, probability, ref_probability)
        else:
            above = parent(height)
            keep = (column - 1) / column
            probability = geometry.opening(above, column) * keep
            ref_probability = (
                lax.stop_gradient(probability) if same else geometry.opening(parent(ref_height), column) * keep
            )
            opened = parent(active)
            emit = opened & (choice < ref_probability)
            share = choice / jnp.where(emit, ref_probability, 1)
            x = 1 + share * (column - 1)
            ref_height.append(x)
            low = jnp.maximum(column - 0.5, x)
            high = jnp.maximum(jnp.minimum(column + 0.5, above), low)
            place.append(parent(place) + (side * geometry.delta) * (above - low - turn * (high - low)))
            # A child comes after its parent whatever the two ordering variables say.
            order.append(jnp.minimum(x, parent(order) * (1 - 1e-4)))
            ratio = jnp.where(opened, _ratio(emit, probability, ref_probability), 1)
        weight = weight * (ratio if ratio.ndim == 0 else jnp.prod(ratio))
        active.append(emit)
        height.append(x)
    if not unrolled:
        joined = [jnp.concatenate(blocks) for blocks in (active, height, place, order)]
        return Grove(joined[0], joined[1], joined[2], noise[:, 2], joined[3], log_scale, weight)
    azimuth = tuple(noise[i, 2] for i in range(layout.num_slots))
    return Grove(tuple(active), tuple(height), tuple(place), azimuth, tuple(order), log_scale, weight)


def _blocks(
    layout: Layout, dtype: Any, unrolled: bool
) -> list[tuple[Any, Callable[[list[Any]], Any] | None, Any, Any]]:
    """What is computed together: a slot, or a level.

    Of each: its place in the noise; what finds the parents' values among those of the blocks before (None for primary
    slices); column and side.
    """
    slots, found, before = layout.slots, [], 0
    if unrolled:
        return [(i, _finder(slot.parent), slot.column, slot.side) for i, slot in enumerate(slots)]
    for start, stop in layout.levels:
        parents = np.array([slot.parent - before for slot in slots[start:stop]])
        # NumPy arrays of the noise's type, so that no double precision enters.
        column, side = (np.array([slot[k] for slot in slots[start:stop]], dtype) for k in (1, 2))
        found.append((slice(start, stop), _finder(-1 if start == 0 else parents), column, side))
        before = start
    return found


def _finder(parent: int | np.ndarray) -> Callable[[list[Any]], Any] | None:
    if isinstance(parent, np.ndarray):
        return lambda values: values[-1][parent]
    return None if parent < 0 else lambda values: values[parent]


def _ratio(emit: Array, probability: Array, reference: Array) -> Array:
    """Probability of the choice made, divided by its probability at the reference."""
    chosen = jnp.where(emit, probability, 1 - probability)
    return chosen / jnp.where(emit, reference, 1 - reference)


def _emission(top: Array) -> Array:
    """1 − 1/h above the cut-off: the part of the column that holds a gluon."""
    above = top > 1
    return jnp.where(above, 1 - 1 / jnp.where(above, top, 2.0), 0.0)
