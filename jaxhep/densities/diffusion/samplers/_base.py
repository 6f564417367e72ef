"""What a sampler is: from noise at the latest time to an event."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp

from ...._types import Array, Float, Key, Scalar
from ....noise import uniforms
from ..paths import AbstractPath

Field = Callable[[Array, Array], tuple[Array, Array]]
"""(x, t) ↦ (x̂, ε̂) for one event."""


class AbstractSampler(eqx.Module):
    """A way from the noise of a path to its data.

    **Fields**: `num_steps`, static; `denoise`, whether the last step, on a path that does not end clean, takes x̂.
    """

    num_steps: eqx.AbstractVar[int]
    denoise: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def __call__(
        self,
        field: Field,
        path: AbstractPath,
        start: Float[Array, " dim"],
        normals: Float[Array, "step dim"] | None = None,
    ) -> Float[Array, " dim"]:
        """The event at the end of the way that begins at `start`; `normals` are those of a random walk, if any."""

    @abc.abstractmethod
    def num_evaluations(self, path: AbstractPath) -> int | None:
        """How often the network is called for one event; None if that depends on the event."""

    @property
    def num_normals(self) -> int:
        """Rows of standard normals that one event needs on the way."""
        return 0

    def walk_noise(self, key: Key, dim: int) -> Float[Array, "step dim"]:
        """Uniforms of `num_normals` rows; none for a sampler without a random walk."""
        return uniforms(key, (self.num_normals, dim)) if self.num_normals else jnp.zeros((0, dim))

    def times(self, path: AbstractPath) -> Float[Array, " point"]:
        """The grid: `num_steps` steps, of which the last one is x̂ on a path that does not end clean."""
        return path.grid(self.num_steps + 1 if path.ends_clean else self.num_steps)


def check_steps(num_steps: int, least: int = 2) -> None:
    """Refuses too few steps."""
    if num_steps < least:
        raise ValueError(f"num_steps must be at least {least}, got {num_steps}")


def velocity(field: Field, path: AbstractPath, x: Array, t: Scalar) -> Array:
    r"""The probability flow \(\dot\alpha\hat x+\dot\sigma\hat\varepsilon\)."""
    clean, noise = field(x, t)
    a, s = path.rates(t)
    return a * clean + s * noise


__all__ = ["AbstractSampler", "Field", "check_steps", "velocity"]
