"""Durham clustering of few particles, unrolled: slots are scalars, choices selects, the particles of a jet bits."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxhep.observables._particles import Particles, Vector, unit

# Largest capacity; two sets of particles then fit into one 32-bit integer.
UNROLLED_CLUSTERING = 8

Jet = tuple[Array, Vector, Array]  # energy, momentum, bits of its particles


def measure(energy_a: Array, energy_b: Array, direction_a: Vector, direction_b: Vector) -> Array:
    """2 min(E²)(1 − cosθ), with 1 − cosθ = |n_a − n_b|²/2 so that small angles keep their digits."""
    x, y, z = (p - q for p, q in zip(direction_a, direction_b, strict=True))
    smaller = jnp.minimum(energy_a, energy_b)
    return smaller * smaller * (x * x + y * y + z * z)


def unrolled_pair(event: Particles, step: int) -> Array:
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
                y = measure(jets[i][0], jets[j][0], directions[i], directions[j])
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
