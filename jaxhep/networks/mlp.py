"""Networks of a vector: the multi-layer perceptron and its residual form."""

import flax.linen as nn
import jax.numpy as jnp

from .._types import Array
from ._blocks import Architecture


class MLP(Architecture):
    r"""\(x_{l+1}=\phi(W_lx_l+b_l)\), `depth` hidden layers of `width`; condition and time join x at the input."""

    @nn.compact
    def __call__(
        self,
        x: Array,
        condition: Array | None = None,
        time: Array | None = None,
        mask: Array | None = None,
        deterministic: bool = True,
    ) -> Array:
        """One event (in_size,) to (out_size,)."""
        context = self.context(condition, time)
        if context is not None:
            x = jnp.concatenate([x, context])
        for _ in range(self.depth):
            x = self.drop(self.act(self.dense(self.width)(x)), deterministic)
        return self.last(self.out_size)(x)


class ResidualMLP(Architecture):
    r"""\(h\leftarrow h+W_2\phi\big((1+\gamma)\odot\phi(W_1\,\mathrm{norm}(h))+\beta\big)\), `depth` times.

    Scale γ and shift β of each block are linear in the embedded condition and time, and zero at the start
    (FiLM, Perez et al., arXiv:1709.07871); \(W_2\) starts at zero, so that the network starts linear and deep ones
    train as shallow ones do (He et al., arXiv:1603.05027).
    """

    @nn.compact
    def __call__(
        self,
        x: Array,
        condition: Array | None = None,
        time: Array | None = None,
        mask: Array | None = None,
        deterministic: bool = True,
    ) -> Array:
        """One event (in_size,) to (out_size,)."""
        zeros = nn.initializers.zeros_init()
        context = self.context(condition, time)
        if context is not None:
            context = self.act(self.dense(self.width, name="context")(context))
        h = self.dense(self.width, name="first")(x)
        for _ in range(self.depth):
            y = self.act(self.dense(self.width)(nn.LayerNorm(param_dtype=jnp.dtype(self.dtype_name))(h)))
            if context is not None:
                scale, shift = jnp.split(self.dense(2 * self.width, kernel_init=zeros)(context), 2)
                y = self.act((1 + scale) * y + shift)
            h = h + self.dense(self.width, kernel_init=zeros)(self.drop(y, deterministic))
        return self.last(self.out_size)(self.act(h))


__all__ = ["MLP", "ResidualMLP"]
