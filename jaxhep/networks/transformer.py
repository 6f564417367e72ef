"""The transformer of a set of particles, with masks."""

import flax.linen as nn
import jax.numpy as jnp

from .._types import Array
from ._blocks import Architecture


class Transformer(Architecture):
    r"""Pre-norm blocks of multi-head attention and a two-layer network (Vaswani et al., arXiv:1706.03762).

    There is no position embedding: without `pool` the outputs of the particles permute with the particles, with `pool`
    (`mean`, `sum`, `max`) the one output does not depend on their order. Empty slots are attended to by nobody.
    Condition and time scale and shift each normalisation, with the change zero at the start (adaptive LayerNorm,
    Peebles and Xie, arXiv:2212.09748).
    """

    num_heads: int = 4
    expansion: int = 2
    pool: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Array,
        condition: Array | None = None,
        time: Array | None = None,
        mask: Array | None = None,
        deterministic: bool = True,
    ) -> Array:
        """One event (particle, in_size) and its mask to (particle, out_size), or (out_size,) with `pool`."""
        dtype = jnp.dtype(self.dtype_name)
        there = jnp.ones(x.shape[0], bool) if mask is None else mask
        attends = there[None, None, :]
        context = self.context(condition, time)
        if context is not None:
            context = self.act(self.dense(self.width, name="context")(context))

        def norm(h: Array) -> Array:
            h = nn.LayerNorm(param_dtype=dtype)(h)
            if context is None:
                return h
            zeros = nn.initializers.zeros_init()
            scale, shift = jnp.split(self.dense(2 * self.width, kernel_init=zeros)(context), 2)
            return (1 + scale) * h + shift

        h = self.dense(self.width, name="first")(jnp.where(there[:, None], x, 0))
        for _ in range(self.depth):
            attention = nn.MultiHeadDotProductAttention(self.num_heads, param_dtype=dtype)
            h = h + self.drop(attention(norm(h), mask=attends), deterministic)
            y = self.act(self.dense(self.expansion * self.width)(norm(h)))
            h = h + self.drop(self.dense(self.width)(y), deterministic)
        h = norm(h)
        if self.pool is None:
            return jnp.where(there[:, None], self.last(self.out_size)(h), 0)
        if self.pool == "max":
            h = jnp.where(jnp.any(there), jnp.max(jnp.where(there[:, None], h, -jnp.inf), axis=0), 0)
        else:
            h = jnp.sum(jnp.where(there[:, None], h, 0), axis=0)
            h = h / (jnp.maximum(jnp.sum(there), 1) if self.pool == "mean" else x.shape[0] ** 0.5)
        return self.last(self.out_size)(self.act(self.dense(self.width, name="pooled")(h)))


__all__ = ["Transformer"]
