"""Exact search for the largest |Σ_k s_k p_k| over the signs s_k = ±1, the core of thrust.

At the maximum V = Σ s_k p_k every particle obeys s_k p_k·V ≥ |p_k|² (else flipping its sign would lengthen V). So the
partition is cut out by a plane through the origin, and can be read back from V as s_k = sign(p_k·V).

Two searches, chosen by capacity: all 2^(n-1) partitions (four at a time) while that is cheap, and beyond it the
partitions cut by the planes through pairs of particles. A separating plane can be turned, without a particle changing
side, until it holds
two of them; these two then take either sign. Three particles in one plane, or collinear ones, would leave signs to
rounding:
planes and sides come from momenta moved by a relative η, lengths from the true ones. By s_k p_k·V ≥ |p_k|² this loses
no partition
unless it differs by particles with |p_k| < η|V|, so T is exact up to that.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add, or_

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from jaxhep.observables._particles import Column, Particles, Vector, cross, dot

# Largest capacity for which all partitions are tried (measured: beyond it the planes through pairs are faster and
# compile sooner).
SUBSET_CAPACITY = 8


def hemispheres(event: Particles) -> Column:
    """Signs ±1 of the thrust partition, one column; not differentiated."""
    frozen = Particles(*(tuple(lax.stop_gradient(entry) for entry in column) for column in event))
    if frozen.x[0].ndim == 1:
        return (_over_planes(frozen.x[0], frozen.y[0], frozen.z[0]),)
    if len(frozen.x) <= SUBSET_CAPACITY:
        bits = _over_subsets(list(frozen.vectors()))
    else:
        bits = _over_pairs(jnp.stack(frozen.x), jnp.stack(frozen.y), jnp.stack(frozen.z))
    # One integer an event, kept behind a barrier: XLA would otherwise repeat the search for each of its uses.
    bits = lax.optimization_barrier(bits)
    return tuple(jnp.where(bits & (1 << k) != 0, 1, -1).astype(x.dtype) for k, x in enumerate(frozen.x))


@jax.jit
def _over_subsets(vectors: list[Vector]) -> Array:
    """Try every sign of all particles but the last two, whose best signs have a closed form; returns the signs as bits.

    For a partial sum v and the last two momenta a, b, the longest v ± a ± b is
    |v|² + a² + b² + 2 max(|v·a + v·b| + a·b, |v·a − v·b| − a·b).
    """
    zero = jnp.zeros_like(vectors[0][0])
    no_bits = jnp.zeros(zero.shape, jnp.int32)
    num = len(vectors)
    if num == 1:
        return no_bits + 1
    a, b = vectors[-2:]
    bit_a, bit_b = np.int32(1 << (num - 2)), np.int32(1 << (num - 1))
    if num == 2:
        return jnp.where(dot(a, b) >= 0, bit_a | bit_b, no_bits | bit_a)
    a_dot_b = dot(a, b)
    best: tuple[Array, Array] | None = None
    stack = [(vectors[0], 1, 1)]
    while stack:  # depth first, so that few partial sums are alive at any time
        v, pattern, depth = stack.pop()
        if depth < num - 2:
            p = vectors[depth]
            stack.append(((v[0] - p[0], v[1] - p[1], v[2] - p[2]), pattern, depth + 1))
            stack.append(((v[0] + p[0], v[1] + p[1], v[2] + p[2]), pattern | 1 << depth, depth + 1))
            continue
        va, vb = dot(v, a), dot(v, b)
        size = dot(v, v) + 2 * jnp.maximum(jnp.abs(va + vb) + a_dot_b, jnp.abs(va - vb) - a_dot_b)
        if best is None:
            best = (size, no_bits | pattern)
        else:
            better = size > best[0]
            best = (jnp.where(better, size, best[0]), jnp.where(better, pattern, best[1]))
    assert best is not None
    bits = best[1]
    v = _sum_of(bits, vectors[:-2])
    return bits | _end_bits(v, a, b, bit_a, bit_b)


def _sum_of(bits: Array, vectors: list[Vector]) -> Vector:
    """Σ_k ±p_k with the signs in the bits."""
    plus = [bits & (1 << k) != 0 for k in range(len(vectors))]
    x, y, z = (reduce(add, (jnp.where(s, v[c], -v[c]) for s, v in zip(plus, vectors, strict=True))) for c in range(3))
    return x, y, z


def _end_bits(v: Vector, a: Vector, b: Vector, bit_a: Array | np.int32, bit_b: Array | np.int32) -> Array:
    """Bits of the signs of a and b that make v ± a ± b longest."""
    va, vb, ab = dot(v, a), dot(v, b), dot(a, b)
    same = jnp.abs(va + vb) + ab >= jnp.abs(va - vb) - ab
    plus_a = jnp.where(same, va + vb, va - vb) >= 0
    no_bit = np.int32(0)
    return jnp.where(plus_a, bit_a, no_bit) | jnp.where(plus_a == same, bit_b, no_bit)


@jax.custom_batching.custom_vmap
def _over_pairs(x: Array, y: Array, z: Array) -> Array:
    """Planes through pairs for columns (particle, *batch): a loop over pairs, unrolled over particles; returns bits."""
    return _pair_loop(x, y, z)


@_over_pairs.def_vmap
def _over_pairs_batched(size: int, batched: list[bool], *columns: Array) -> tuple[Array, bool]:
    # vmap would put the batch first; last, it is contiguous and every step below is a plain vector operation.
    last = (
        jnp.moveaxis(c, 0, -1) if is_batched else jnp.broadcast_to(c[..., None], (*c.shape, size))
        for c, is_batched in zip(columns, batched, strict=True)
    )
    return jnp.moveaxis(_over_pairs(*last), -1, 0), True


@jax.jit
def _pair_loop(x: Array, y: Array, z: Array) -> Array:
    num = x.shape[0]
    length = jnp.sqrt(x * x + y * y + z * z)
    jitter = jnp.asarray(_jitter(num, x.dtype))
    moved = [c + jitter[:, i].reshape(-1, *(1,) * (x.ndim - 1)) * length for i, c in enumerate((x, y, z))]
    moved = lax.optimization_barrier(moved)
    vectors = [(x[k], y[k], z[k]) for k in range(num)]
    second, first = np.tril_indices(num, -1)  # ordered by the later particle: pairs among the first m come first
    first_index, second_index = jnp.asarray(first, jnp.int32), jnp.asarray(second, jnp.int32)

    def try_pair(t: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
        i, j = first_index[t], second_index[t]
        normal = cross(_take(moved, i), _take(moved, j))
        sides = (
            jnp.where(dot(normal, (moved[0][k], moved[1][k], moved[2][k])) >= 0, np.int32(1 << k), np.int32(0))
            for k in range(num)
        )
        bit_i, bit_j = jnp.left_shift(np.int32(1), i), jnp.left_shift(np.int32(1), j)
        # Barriers: each quantity that several later ones use is computed once.
        bits = lax.optimization_barrier(reduce(or_, sides) & ~(bit_i | bit_j))
        a, b = _take((x, y, z), i), _take((x, y, z), j)
        v = _sum_of(bits, vectors)
        v = lax.optimization_barrier((v[0] + a[0] + b[0], v[1] + a[1] + b[1], v[2] + a[2] + b[2]))
        va, vb, ab = dot(v, a), dot(v, b), dot(a, b)
        size = dot(v, v) + dot(a, a) + dot(b, b) + 2 * jnp.maximum(jnp.abs(va + vb) + ab, jnp.abs(va - vb) - ab)
        better = size > best[0]
        return jnp.maximum(size, best[0]), jnp.where(better, bits | _end_bits(v, a, b, bit_i, bit_j), best[1])

    used = used_slots(length)
    start = (jnp.full(x.shape[1:], -1, x.dtype), jnp.zeros(x.shape[1:], jnp.int32))
    return lax.fori_loop(0, used * (used - 1) // 2, try_pair, start)[1]


def _take(columns: Sequence[Array], index: Array) -> Vector:
    x, y, z = (lax.dynamic_index_in_dim(c, index, keepdims=False, allow_negative_indices=False) for c in columns)
    return x, y, z


@jax.jit
def _over_planes(x: Array, y: Array, z: Array) -> Array:
    """Planes through pairs for large events: one particle of the pair at a time, as matrix products."""
    momenta = jnp.stack([x, y, z], axis=-1)
    ends_of = plane_ends(momenta)

    def try_particle(i: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
        ends = ends_of(i)
        sizes = jnp.sum(ends * ends, axis=-1)
        winner = jnp.argmax(sizes)
        better = sizes[winner] > best[0]
        return jnp.where(better, sizes[winner], best[0]), jnp.where(better, ends[winner], best[1])

    start = (jnp.asarray(-1, momenta.dtype), jnp.zeros(3, momenta.dtype))
    lengths = jnp.sqrt(jnp.sum(momenta * momenta, axis=-1))
    best = lax.fori_loop(0, used_slots(lengths), try_particle, start)[1]
    return jnp.where(momenta @ best >= 0, 1, -1).astype(momenta.dtype)


def plane_ends(momenta: Array) -> Callable[[Array], Array]:
    """Σ s_k p_k, (4·particle, 3), of the partitions by the planes through particle i and each other one."""
    num = momenta.shape[0]
    length = jnp.sqrt(jnp.sum(momenta * momenta, axis=-1))
    moved = momenta + jnp.asarray(_jitter(num, momenta.dtype)) * length[:, None]
    place = jnp.arange(num)

    def ends_of(i: Array) -> Array:
        heights = jnp.matmul(jnp.cross(moved[i], moved), moved.T, precision=lax.Precision.HIGHEST)
        own = (place[None, :] == place[:, None]) | (place[None, :] == i)
        signs = jnp.where(own, 0, jnp.where(heights >= 0, 1, -1)).astype(momenta.dtype)
        rest = jnp.matmul(signs, momenta, precision=lax.Precision.HIGHEST)
        near, far = rest + momenta[i], rest - momenta[i]
        ends = jnp.concatenate([near + momenta, near - momenta, far + momenta, far - momenta])
        # A particle is no pair with itself: that would count it twice.
        return jnp.where(jnp.tile(place == i, 4)[:, None], 0, ends)

    return ends_of


def used_slots(length: Array) -> Array:
    """One more than the last slot with a momentum, over the batch, and at least 2."""
    used = jnp.any(length > 0, axis=tuple(range(1, length.ndim)))
    return jnp.max(jnp.where(used, jnp.arange(1, length.shape[0] + 1), 2))


def _jitter(num: int, dtype: jnp.dtype) -> np.ndarray:
    """Fixed displacements of relative size η, one a particle, in general position."""
    eta = 3e-5 if jnp.finfo(dtype).bits <= 32 else 1e-9
    directions = np.random.default_rng(num).uniform(-1, 1, size=(num, 3))
    return (eta / math.sqrt(3) * directions).astype(dtype)


def in_plane_ends(x: Array, y: Array, z: Array, axis: Array) -> Array:
    """Σ s_k q_k, (2·particle, 3), for vectors across an axis: the partitions by lines through one of them."""
    q = jnp.stack([x, y, z], axis=-1)
    num = q.shape[0]
    moved = q + jnp.asarray(_jitter(num, q.dtype)) * jnp.sqrt(jnp.sum(q * q, axis=-1, keepdims=True))
    heights = jnp.matmul(jnp.cross(axis, moved), moved.T, precision=lax.Precision.HIGHEST)
    signs = jnp.where(np.eye(num, dtype=bool), 0, jnp.where(heights >= 0, 1, -1)).astype(q.dtype)
    rest = jnp.matmul(signs, q, precision=lax.Precision.HIGHEST)
    return jnp.concatenate([rest + q, rest - q])
