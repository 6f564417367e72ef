"""A small simulator with everything a shower has: padding, overflow, rounds, a score weight; quick to compile."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxhep._types import Array
from jaxhep.event import Event
from jaxhep.noise import categorical, exponential, uniforms
from jaxhep.simulator import AbstractSimulator


class Toy(AbstractSimulator):
    """0, 1, 2 or 3 particles (probability of each more: `chance`); particle i has energy −scale·ln(1 − u_i)."""

    scale: Array
    chance: Array
    capacity: int = eqx.field(static=True)

    def __init__(self, scale: Any = 2.0, chance: Any = 0.4, capacity: int = 3):
        self.scale, self.chance = jnp.asarray(scale, float), jnp.asarray(chance, float)
        self.capacity = capacity

    def sample_noise(self, key: Array, dtype: Any = None) -> Array:
        return uniforms(key, (4,), dtype)

    def probabilities(self) -> Array:
        c = self.chance
        return jnp.stack([1 - c, c * (1 - c), c**2 * (1 - c), c**3])

    def __call__(self, noise: Array, event: Event | None = None, *, reference: Any = None) -> Event:
        number, weight = categorical(
            noise[0], self.probabilities(), None if reference is None else reference.probabilities()
        )
        mask = jnp.arange(self.capacity) < number
        energy = jnp.where(mask, exponential(noise[1 : 1 + self.capacity], self.scale), 0).astype(noise.dtype)
        momenta = jnp.stack([energy, jnp.zeros_like(energy), jnp.zeros_like(energy), energy], axis=-1)
        return Event(momenta, mask, jnp.where(mask, 22, 0), weight.astype(noise.dtype), number > self.capacity)

    def rounds(self) -> "tuple[Toy, ...]":
        return tuple(Toy(self.scale, self.chance, n) for n in range(1, self.capacity + 1))


def total_energy(momenta: Array, mask: Array) -> Array:
    return jnp.sum(jnp.where(mask, momenta[:, 0], 0))


def direct(simulator, key, first, count):
    """What `generate` promises, without chunks and rounds."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(first, first + count, dtype=jnp.uint32))
    return jax.vmap(lambda k: simulator(simulator.sample_noise(k)))(keys)
