"""Pieces that the architectures share: activations, the last layer, and the embedding of condition and time."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from .._types import Array
from .embeddings import embed

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "leaky_relu": jax.nn.leaky_relu,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


class Architecture(nn.Module):
    """What every definition has: sizes and choices, all hashable, no array.

    The call takes one event: `(x, condition, time, mask, deterministic)`, where absent inputs are None.
    """

    out_size: int
    width: int = 128
    depth: int = 3
    activation: str = "silu"
    zero_init_last: bool = False
    time_features: int = 0
    time_embedding: str = "fourier"
    dropout: float = 0.0
    dtype_name: str = "float32"

    def dense(self, size: int, **options: Any) -> nn.Dense:
        """A linear layer in the network's own precision."""
        return nn.Dense(size, param_dtype=jnp.dtype(self.dtype_name), **options)

    def last(self, size: int) -> nn.Dense:
        """The last layer: zero at the start if so asked, so that the network starts as the zero function."""
        if not self.zero_init_last:
            return self.dense(size, name="last")
        zeros = nn.initializers.zeros_init()
        return self.dense(size, kernel_init=zeros, bias_init=zeros, name="last")

    def act(self, x: Array) -> Array:
        """The activation function."""
        return ACTIVATIONS[self.activation](x)

    def context(self, condition: Array | None, time: Array | None) -> Array | None:
        """Condition and embedded time side by side; None if there is neither."""
        parts = [] if condition is None else [condition]
        if time is not None:
            parts.append(embed(self.time_embedding, time, self.time_features))
        return jnp.concatenate(parts) if parts else None

    def drop(self, x: Array, deterministic: bool) -> Array:
        """Dropout, if the rate is above zero."""
        return nn.Dropout(self.dropout)(x, deterministic=deterministic) if self.dropout > 0 else x


__all__ = ["ACTIVATIONS", "Architecture"]
