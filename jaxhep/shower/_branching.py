r"""From a grove to momenta: gluons are inserted one by one between their colour neighbours.

For a gluon c between the neighbours a (towards the quark) and b, the distances along the folded baseline, at the height
of c, from c to the two edges of the range where it may sit are

    D_a = X_a − η_a + η_c − X_c,      D_b = X_b + η_b − η_c − X_c        (X in rapidity units, κ/2),

and Y(κ_c) ± η_c at the quark and at the antiquark. They fix y = (D_a − D_b)/2 and, with the mass of the dipole as it is
after all recoils, k⊥ = √s_ab / (2 cosh((D_a + D_b)/2)). Every gluon is therefore inside its dipole's phase space, none
is dropped, the map is smooth, and it tends to k⊥ = Λ e^{κ/2} when the emissions are strongly ordered; for the first
gluon
of the smooth mode that relation is exact.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._fence import hidden_one
from .._types import Array, Bool, Float, Int, Scalar
from ..event import Emissions
from ._antenna import ariadne_coefficients, invariant_fractions
from ._grove import Geometry, Grove

UNROLLED_CAPACITY = 4
"""Up to so many gluons everything is written out, slot by slot and gluon by gluon: the round of most events."""
_SEPARATE_ROWS = 8
"""Capacity beyond which the particles are one array: few events have so many, and the program becomes short."""
SOFTENING = 0.05
"""Distance, in rapidity, below which the distance to a gluon's tip is kept positive: D → (D + √(D² + 4ε²))/2."""


class Gluon(NamedTuple):
    """What the insertion of one gluon needs."""

    there: Bool[Array, ""]
    rank: Scalar
    """Place along the colour line among all slots."""
    height: Scalar
    """X in rapidity units, κ/2."""
    position: Scalar
    azimuth: Scalar


Keys = list[Scalar] | Float[Array, " slot"]


def order_keys(grove: Grove, rank: tuple[int, ...]) -> Keys:
    """Numbers that sort like `grove.order`, are all different, and end in the rank; −1 for empty slots.

    The lowest bits of the mantissa give way to the rank, which breaks ties and lets one maximum return both the gluon
    and its place.
    """
    bits = _rank_bits(rank)

    def key_of(order: Array, active: Array, place: Any) -> Array:
        key = lax.bitcast_convert_type(lax.stop_gradient(order), _integer(order.dtype))
        return jnp.where(active, lax.bitcast_convert_type((key >> bits << bits) | place, order.dtype), -1)

    if isinstance(grove.order, tuple):
        return [key_of(*slot) for slot in zip(grove.order, grove.active, rank, strict=True)]
    order = jnp.asarray(grove.order)
    return key_of(order, jnp.asarray(grove.active), np.array(rank, _integer(order.dtype)))


def _integer(dtype: Any) -> Any:
    return jnp.int64 if dtype == jnp.float64 else jnp.int32


def _rank_bits(rank: tuple[int, ...]) -> int:
    return max(len(rank) - 1, 1).bit_length()


def next_gluon(grove: Grove, keys: Keys, rank: tuple[int, ...], delta: float, one: Scalar) -> tuple[Gluon, Keys]:
    """The gluon that is first in order, and the keys without it."""
    properties = (grove.height, grove.position, grove.azimuth)
    if isinstance(keys, list):
        best = functools.reduce(jnp.maximum, keys) / one
        height, position, azimuth = (values[0] for values in properties)
        rest: Keys = [jnp.where(key == best, -1, key) / one for key in keys]
        for i, key in enumerate(keys[1:], start=1):
            chosen = key == best
            height = jnp.where(chosen, grove.height[i], height)
            position = jnp.where(chosen, grove.position[i], position)
            azimuth = jnp.where(chosen, grove.azimuth[i], azimuth)
    else:
        first = jnp.argmax(keys)
        best = keys[first]
        rest = jnp.where(keys == best, -1, keys)
        height, position, azimuth = (jnp.asarray(values)[first] for values in properties)
    place = lax.bitcast_convert_type(best, _integer(best.dtype)) & ((1 << _rank_bits(rank)) - 1)
    there = best > 0
    return Gluon(there, place.astype(best.dtype) / one, height * delta / one, position / one, azimuth / one), rest


class Row(NamedTuple):
    """One particle during the shower, or all of them in arrays."""

    spinor: tuple[Float[Array, "*particle"], ...]
    """Real and imaginary parts of the two components."""
    place: Float[Array, "*particle"]
    """Place along the colour line: −1 the quark, number of slots the antiquark, one more what is not yet there."""
    tip: Float[Array, "*particle"]
    position: Float[Array, "*particle"]


Rows = list[Row] | Row


def branch(
    grove: Grove, geometry: Geometry, rank: tuple[int, ...], start: Float[Array, "4 2"], capacity: int
) -> tuple[Float[Array, "4 particle"], Bool[Array, " gluon"], Emissions, Scalar]:
    """Spinors of quark, antiquark and up to `capacity` gluons in the order of emission.

    `start` holds the two spinors before the shower. Also returned: which gluons exist, the record of the branchings,
    and (x_1² + x_3²)/2 of the first branching (1 if there was none).
    """
    last = len(rank)
    zero = jnp.zeros((), start.dtype)
    each = []
    for i in range(capacity + 2):
        spinor = tuple(start[c, i] if i < 2 else zero for c in range(4))
        place = jnp.asarray((-1, last)[i] if i < 2 else last + 1, start.dtype)
        each.append(Row(spinor, place, zero, zero))
    rows: Rows = each if capacity <= _SEPARATE_ROWS else _stacked(each)
    one = hidden_one(grove.azimuth[0])
    keys = jax.tree.map(lambda key: key / one, order_keys(grove, rank))

    def step(carry: tuple[Rows, Keys], i: int | Array) -> tuple[tuple[Rows, Keys], Any]:
        rows, keys = carry
        gluon, keys = next_gluon(grove, keys, rank, geometry.delta, one)
        rows, record = insert(rows, gluon, geometry, grove.log_scale, last, i, one)
        return (rows, keys), (gluon, record)

    if capacity <= UNROLLED_CAPACITY:
        carry, steps = (rows, keys), []
        for i in range(capacity):
            carry, out = step(carry, i)
            steps.append(out)
        gluons, records = jax.tree.map(lambda *leaves: jnp.stack(leaves), *steps)
    else:
        carry, (gluons, records) = lax.scan(step, (rows, keys), jnp.arange(capacity, dtype=jnp.int32))
    rows = carry[0]
    mask = gluons.there
    earlier = mask[None, :] & (gluons.rank[None, :] < gluons.rank[:, None])
    emissions = Emissions(
        kt=jnp.where(mask, records.kt, 0),
        rapidity=jnp.where(mask, records.rapidity, 0),
        azimuth=jnp.where(mask, 2 * math.pi * gluons.azimuth, 0),
        dipole_mass=jnp.where(mask, records.dipole_mass, 0),
        emitters=jnp.where(mask[:, None], jnp.stack([records.left, records.right], axis=1), -1),
        colour=jnp.where(mask, jnp.sum(earlier, axis=1) + 1, 0),
        mask=mask,
    )
    first = jnp.where(mask[0], (records.x1[0] ** 2 + records.x3[0] ** 2) / 2, 1)
    spinors = jnp.stack((rows if isinstance(rows, Row) else _stacked(rows)).spinor)
    return spinors, mask, emissions, first


def _stacked(rows: list[Row]) -> Row:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


class Record(NamedTuple):
    """What a branching leaves behind."""

    kt: Scalar
    rapidity: Scalar
    dipole_mass: Scalar
    left: Int[Array, ""]
    right: Int[Array, ""]
    x1: Scalar
    x3: Scalar


def insert(
    rows: Rows, gluon: Gluon, geometry: Geometry, log_scale: Scalar, last: int, number: int | Array, one: Scalar
) -> tuple[Rows, Record]:
    """Puts one gluon between its colour neighbours; `number` counts gluons from 0 and may be traced."""
    # With a fixed number only the rows that can be occupied are looked at.
    present = rows[: number + 2] if isinstance(rows, list) and isinstance(number, int) else rows
    places = [row.place for row in present] if isinstance(present, list) else present.place
    left_place = _largest(places, lambda place: jnp.where(place < gluon.rank, place, -1)) / one
    right_place = -_largest(places, lambda place: -jnp.where(place > gluon.rank, place, last)) / one
    left, right = _equal(places, left_place), _equal(places, right_place)

    def at(flags: Flags, values: Callable[[Row], Array]) -> Array:
        return _flagged(flags, [values(row) for row in present] if isinstance(present, list) else values(present))

    old_i, old_k = ([at(flags, _component(c)) for c in range(4)] for flags in (left, right))
    old_i, old_k = [p / one for p in old_i], [p / one for p in old_k]
    x, eta = gluon.height, gluon.position
    edge = geometry.edge(x / geometry.delta, log_scale)
    gap_i = _soften(at(left, lambda row: row.tip) - at(left, lambda row: row.position) + eta - x)
    gap_k = _soften(at(right, lambda row: row.tip) + at(right, lambda row: row.position) - eta - x)
    distance_i = jnp.where(left_place < 0, jnp.maximum(edge + eta, 0), gap_i) / one
    distance_k = jnp.where(right_place == last, jnp.maximum(edge - eta, 0), gap_k) / one
    wi, wj, wk = invariant_fractions(distance_i, distance_k)
    coefficients = [(a / one, b / one) for a, b in ariadne_coefficients(wi, wj, wk, one)]
    angle = 2 * math.pi * gluon.azimuth
    cos, sin = jnp.cos(angle) / one, jnp.sin(angle) / one
    re1, im1, re2, im2 = old_k
    turned = (re1 * cos - im1 * sin, re1 * sin + im1 * cos, re2 * cos - im2 * sin, re2 * sin + im2 * cos)
    new_i, new_j, new_k = (tuple(a * p + b * q for p, q in zip(old_i, turned, strict=True)) for a, b in coefficients)
    new_i, new_j, new_k = (tuple(p / one for p in new) for new in (new_i, new_j, new_k))
    made = (new_i, new_j, new_k)
    if isinstance(rows, Row):
        here = jnp.arange(rows.place.shape[0]) == number + 2
        neighbours = [jnp.asarray(flags) & gluon.there for flags in (left, right)]
        result: Rows = _changed(rows, made, neighbours[0], neighbours[1], here & gluon.there, gluon)
    else:
        result = []
        for r, row in enumerate(rows):
            is_left, is_right = (flags[r] & gluon.there if r < len(places) else None for flags in (left, right))
            is_new = None
            if not isinstance(number, int) or r == number + 2:
                is_new = gluon.there & (jnp.asarray(r) == number + 2)
            result.append(_changed(row, made, is_left, is_right, is_new, gluon))
    mass = safe_hypot(*_bracket(old_i, old_k))
    numbers = np.arange(len(places), dtype=np.int32)
    record = Record(
        kt=mass * wi * wk,
        rapidity=(distance_i - distance_k) / 2,
        dipole_mass=mass,
        left=_flagged(left, numbers),
        right=_flagged(right, numbers),
        x1=1 - wi * wi,
        x3=1 - wk * wk,
    )
    return result, record


def _component(index: int) -> Callable[[Row], Array]:
    return lambda row: row.spinor[index]


Flags = list[Bool[Array, ""]] | Bool[Array, " particle"]


def _largest(places: list[Scalar] | Float[Array, " particle"], value: Callable[[Array], Array]) -> Scalar:
    if isinstance(places, list):
        return functools.reduce(jnp.maximum, map(value, places))
    return jnp.max(value(places))


def _equal(places: list[Scalar] | Float[Array, " particle"], place: Scalar) -> Flags:
    return [each == place for each in places] if isinstance(places, list) else places == place


def _flagged(flags: Flags, values: Any) -> Array:
    """The value of the particle whose flag is up."""
    if isinstance(flags, list):
        result = jnp.asarray(values[0])
        for flag, value in zip(flags[1:], values[1:], strict=True):
            result = jnp.where(flag, value, result)
        return result
    return jnp.sum(jnp.where(flags, values, 0), dtype=values.dtype)


def _changed(
    row: Row, made: tuple[Any, ...], is_left: Array | None, is_right: Array | None, is_new: Array | None, gluon: Gluon
) -> Row:
    """A row (or all) after a branching: `made` has the spinors of left neighbour, gluon and right neighbour.

    None: that cannot be.
    """
    spinor, place, tip, position = row
    new_i, new_j, new_k = made
    if is_left is not None and is_right is not None:
        spinor = tuple(
            jnp.where(is_left, i, jnp.where(is_right, k, old)) for i, k, old in zip(new_i, new_k, spinor, strict=True)
        )
    if is_new is not None:
        spinor = tuple(jnp.where(is_new, j, old) for j, old in zip(new_j, spinor, strict=True))
        place = jnp.where(is_new, gluon.rank, place)
        tip, position = jnp.where(is_new, gluon.height, tip), jnp.where(is_new, gluon.position, position)
    return Row(spinor, place, tip, position)


def _soften(distance: Array) -> Array:
    """A positive distance: the identity up to ε²/D for D ≫ ε."""
    return (distance + jnp.sqrt(distance * distance + 4 * SOFTENING**2)) / 2


def _bracket(left: list[Scalar], right: list[Scalar]) -> tuple[Scalar, Scalar]:
    """Real and imaginary part of ⟨ab⟩ = a₁b₂ − a₂b₁."""
    a1, a1i, a2, a2i = left
    b1, b1i, b2, b2i = right
    return a1 * b2 - a1i * b2i - a2 * b1 + a2i * b1i, a1 * b2i + a1i * b2 - a2 * b1i - a2i * b1


def safe_hypot(a: Scalar, b: Scalar) -> Scalar:
    """√(a² + b²) with derivative 0 at the origin."""
    square = a * a + b * b
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
