r"""Partons in the order of their colour lines, and what a branching does to them.

Slots 0 … n − 1 hold the partons from the quark to the antiquark; neighbours s, s + 1 are the ends of dipole s, unless
slot s holds an antiquark, where a line ends and the next slot, a quark, begins another one. Each branching of dipole s,
gluon emission by either end or g → q q̄, replaces its two ends by three partons in slots s, s + 1, s + 2 and shifts
those behind by one: no search, no table of colours, and in arrays of events only selections.

Momenta are spinors, \(p^\mu\sigma_\mu=\lambda\lambda^\dagger\), \(2p_a\cdot p_b=|\langle ab\rangle|^2\)
(`_antenna.py`). In them the Catani–Seymour map is linear with orthonormal real columns,

    λ_i = √z λ_e + √(yv) e^{iφ} λ_s,   λ_j = √v λ_e − √(yz) e^{iφ} λ_s,   λ_k = √(1 − y) λ_s,     v = 1 − z,

so that four-momentum is conserved and every parton stays massless whatever the rounding.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp

from .._types import Array, Bool, Int, Scalar
from ._kernels import Splitting

Spinor = tuple[Scalar, Scalar, Scalar, Scalar]
"""Real and imaginary part of the two components, √GeV."""


def pair_mass2(a: Spinor, b: Spinor) -> Scalar:
    """m² = |⟨ab⟩|² of two partons, GeV²."""
    re = a[0] * b[2] - a[1] * b[3] - a[2] * b[0] + a[3] * b[1]
    im = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] - a[3] * b[0]
    return re * re + im * im


def chosen(flags: Sequence[Bool[Array, ""]], values: Sequence[Array]) -> Array:
    """The value whose flag is up; the first one if none is."""
    result = values[0]
    for flag, value in zip(flags[1:], values[1:], strict=True):
        result = jnp.where(flag, value, result)
    return result


def chosen_spinor(flags: Sequence[Bool[Array, ""]], spinors: Sequence[Spinor]) -> Spinor:
    """The spinor whose flag is up."""
    a, b, c, d = (chosen(flags, [spinor[i] for spinor in spinors]) for i in range(4))
    return a, b, c, d


def split(
    left: Spinor, right: Spinor, splitting: Splitting, right_emits: Bool[Array, ""], turn: Scalar
) -> tuple[Spinor, ...]:
    """The three spinors in the order of the line; `turn` is φ/2π."""
    v, y = splitting.v, splitting.y
    z = 1 - v
    emitter: list[Scalar] = [jnp.where(right_emits, b, a) for a, b in zip(left, right, strict=True)]
    spectator: list[Scalar] = [jnp.where(right_emits, a, b) for a, b in zip(left, right, strict=True)]
    cos, sin = jnp.cos(2 * math.pi * turn), jnp.sin(2 * math.pi * turn)
    re1, im1, re2, im2 = spectator
    turned = (re1 * cos - im1 * sin, re1 * sin + im1 * cos, re2 * cos - im2 * sin, re2 * sin + im2 * cos)
    root_z, root_v, root_y = jnp.sqrt(z), jnp.sqrt(v), jnp.sqrt(y)
    stays = [root_z * e + root_y * root_v * s for e, s in zip(emitter, turned, strict=True)]
    middle = [root_v * e - root_y * root_z * s for e, s in zip(emitter, turned, strict=True)]
    recoils = [jnp.sqrt(1 - y) * s for s in spectator]
    first = [jnp.where(right_emits, k, i) for i, k in zip(stays, recoils, strict=True)]
    last = [jnp.where(right_emits, i, k) for i, k in zip(stays, recoils, strict=True)]
    return (
        (first[0], first[1], first[2], first[3]),
        (middle[0], middle[1], middle[2], middle[3]),
        (last[0], last[1], last[2], last[3]),
    )


def insert(old: Sequence[Array], new: Sequence[Array], flags: Sequence[Bool[Array, ""]]) -> list[Array]:
    """`old` with the three values of `new` from the flagged slot on, the rest shifted by one; `old` where no flag is
    up.

    There is one flag a dipole, one less than slots. What is shifted out of the last slot is lost.
    """
    result = []
    behind = None
    for r in range(len(old)):
        value = old[r]
        if r >= 3:
            behind = flags[r - 3] if behind is None else behind | flags[r - 3]
            value = jnp.where(behind, old[r - 1], value)
        if r >= 2:
            value = jnp.where(flags[r - 2], new[2], value)
        if 1 <= r <= len(flags):
            value = jnp.where(flags[r - 1], new[1], value)
        if r < len(flags):
            value = jnp.where(flags[r], new[0], value)
        result.append(value)
    return result


def new_flavours(
    left: Int[Array, ""],
    right: Int[Array, ""],
    gluon_emission: Bool[Array, ""],
    right_emits: Bool[Array, ""],
    flavour: Int[Array, ""],
) -> tuple[Array, Array, Array]:
    """PDG numbers of the three partons. A gluon becomes (q̄, q): its anticolour stays with what lies before it in the
    line."""
    first = jnp.where(gluon_emission | right_emits, left, -flavour)
    middle = jnp.where(gluon_emission, 21, jnp.where(right_emits, -flavour, flavour))
    last = jnp.where(gluon_emission | ~right_emits, right, flavour)
    return first, middle, last
