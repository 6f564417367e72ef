"""Durham clustering histories: which particles are in the two jets that merge at each wanted step. Not differentiated.

The merging scale is a smooth function of the two jets' momenta, and these are sums of the particles' momenta: so the
search gives only the two sets of particles, and the scale (with its derivative) is computed from them afterwards.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from jaxhep.observables._particles import Column, Particles, Vector, stacked, unit

# Largest capacity that is unrolled into scalars; the two sets then fit into one 32-bit integer.
UNROLLED_CLUSTERING = 8

Jet = tuple[Array, Vector, Array]  # energy, momentum, bits of its particles


def merging_jets(event: Particles, steps: Sequence[int]) -> list[tuple[Column, Column]]:
    """For each m in steps: the members (1 or 0) of the two jets whose scale is y_{m-1,m}.

    That scale is the largest y of all mergings down to m → m−1 jets: above it the event has fewer than m jets. The sets
    are empty where the event has fewer than m particles with energy.
    """
    frozen = Particles(*(tuple(lax.stop_gradient(entry) for entry in column) for column in event))
    num = len(frozen.x)
    # One step only: with several results XLA writes the common history into each of them, and compiling takes minutes.
    if frozen.x[0].ndim == 0 and num <= UNROLLED_CLUSTERING and len(steps) == 1:
        # Barriers: before, so that two observables in one program do not share a history; after, so that one does not
        # repeat it.
        code = lax.optimization_barrier(_unrolled(lax.optimization_barrier(frozen), steps[0]))
        flags = [jnp.where(code & (1 << k) != 0, 1, 0).astype(frozen.x[0].dtype) for k in range(2 * num)]
        return [(tuple(flags[:num]), tuple(flags[num:]))]
    columns = (stacked(frozen.energy), stacked(frozen.x), stacked(frozen.y), stacked(frozen.z))
    members = _looped(*columns, tuple(steps))
    if frozen.x[0].ndim == 1:
        return [((pair[0],), (pair[1],)) for pair in members]
    return [(tuple(pair[0]), tuple(pair[1])) for pair in members]


def _measure(a: Jet, b: Jet, direction_a: Vector, direction_b: Vector) -> Array:
    """min(E²)(1 − cosθ), with 1 − cosθ = |n_a − n_b|²/2 so that small angles keep their digits."""
    x, y, z = (p - q for p, q in zip(direction_a, direction_b, strict=True))
    smaller = jnp.minimum(a[0], b[0])
    return smaller * smaller * (x * x + y * y + z * z)


def _unrolled(event: Particles, step: int) -> Array:
    """Members of jet a in the low bits, of jet b in the next; every slot is a scalar, every choice a select."""
    num = len(event.x)
    jets: list[Jet] = []
    for k, (energy, p) in enumerate(zip(event.energy, event.vectors(), strict=True)):
        jets.append((energy, p, jnp.full(energy.shape, 1 << k, jnp.int32)))
    largest = jnp.full_like(jets[0][0], 0)
    code = jnp.zeros(largest.shape, jnp.int32)
    directions = [unit(jet[1]) for jet in jets]
    while len(jets) >= step:
        last = len(jets) - 1
        # Two indices, not one packed integer: XLA does not fuse the division that unpacking would need.
        smallest, first, second = None, jnp.zeros_like(code), jnp.ones_like(code)
        for j in range(1, last + 1):
            for i in range(j):
                y = _measure(jets[i], jets[j], directions[i], directions[j])
                if smallest is None:
                    smallest = y
                    continue
                closer = y < smallest
                smallest = jnp.where(closer, y, smallest)
                first, second = jnp.where(closer, np.int32(i), first), jnp.where(closer, np.int32(j), second)
        assert smallest is not None
        is_first = [first == k for k in range(last + 1)]
        is_second = [second == k for k in range(last + 1)]
        a, b = _pick(is_first[:-1], jets[:-1]), _pick(is_second[1:], jets[1:])
        larger = smallest > largest
        largest = jnp.where(larger, smallest, largest)
        code = jnp.where(larger, a[2] | b[2] << num, code)
        merged = (a[0] + b[0], (a[1][0] + b[1][0], a[1][1] + b[1][1], a[1][2] + b[1][2]), a[2] | b[2])
        merged_direction = unit(merged[1])
        # The merged jet takes the first place, the last jet moves into the second.
        kept, kept_directions = [], []
        for k in range(last):
            kept.append(_replace(is_first[k], merged, _replace(is_second[k], jets[last], jets[k])))
            moved = _replace_vector(is_second[k], directions[last], directions[k])
            kept_directions.append(_replace_vector(is_first[k], merged_direction, moved))
        jets, directions = kept, kept_directions
    return code


def _pick(chosen: list[Array], jets: list[Jet]) -> Jet:
    result = jets[0]
    for flag, jet in zip(chosen[1:], jets[1:], strict=True):
        result = _replace(flag, jet, result)
    return result


def _replace(flag: Array, new: Jet, old: Jet) -> Jet:
    return (jnp.where(flag, new[0], old[0]), _replace_vector(flag, new[1], old[1]), jnp.where(flag, new[2], old[2]))


def _replace_vector(flag: Array, new: Vector, old: Vector) -> Vector:
    return (jnp.where(flag, new[0], old[0]), jnp.where(flag, new[1], old[1]), jnp.where(flag, new[2], old[2]))


def _looped(energy: Array, x: Array, y: Array, z: Array, steps: tuple[int, ...]) -> Array:
    """Members (step, 2, particle) for large capacities: a loop over mergings with an updated matrix of scales."""
    return _clustering_loop(jnp.stack([energy, x, y, z], axis=-1), steps)


@partial(jax.jit, static_argnums=1)
def _clustering_loop(momenta: Array, steps: tuple[int, ...]) -> Array:
    num = momenta.shape[0]
    slots = jnp.arange(num)
    alive = jnp.any(momenta != 0, axis=-1)

    def row(jet: Array, jets: Array) -> Array:
        own, others = _directions(jet), _directions(jets)
        smaller = jnp.minimum(jet[0], jets[:, 0])
        return smaller * smaller * jnp.sum((own - others) ** 2, axis=-1)

    apart = (slots[:, None] != slots[None, :]) & alive[:, None] & alive[None, :]
    scales = jnp.where(apart, jax.vmap(lambda jet: row(jet, momenta))(momenta), jnp.inf)
    count = jnp.sum(alive)

    def merge(step: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        jets, label, scales, largest, pair, found = state
        place = jnp.argmin(scales)
        i, j = place // num, place % num
        smallest = scales[i, j]
        members = jnp.stack([label == i, label == j]).astype(momenta.dtype)
        larger = smallest > largest
        largest, pair = jnp.where(larger, smallest, largest), jnp.where(larger, members, pair)
        now = jnp.asarray(np.array(steps)) == count - step
        found = jnp.where(now[:, None, None], pair, found)
        jets = jnp.where((slots == i)[:, None], jets[i] + jets[j], jnp.where((slots == j)[:, None], 0, jets))
        label = jnp.where(label == j, i, label)
        fresh = row(jets[i], jets)
        gone = ~jnp.isfinite(scales[i]) | (slots == j)
        fresh = jnp.where(gone, jnp.inf, fresh)
        scales = jnp.where(
            (slots == i)[:, None], fresh[None, :], jnp.where((slots == i)[None, :], fresh[:, None], scales)
        )
        scales = jnp.where((slots == j)[:, None] | (slots == j)[None, :], jnp.inf, scales)
        return jets, label, scales, largest, pair, found

    zero = jnp.zeros((2, num), momenta.dtype)
    start = (momenta, slots, scales, jnp.zeros((), momenta.dtype), zero, jnp.zeros((len(steps), 2, num), momenta.dtype))
    return lax.fori_loop(0, jnp.maximum(count - min(steps) + 1, 0), merge, start)[5]


def _directions(momenta: Array) -> Array:
    size = jnp.sqrt(jnp.sum(momenta[..., 1:] ** 2, axis=-1, keepdims=True))
    return jnp.where(size > 0, momenta[..., 1:] / jnp.where(size > 0, size, 1), 0)
