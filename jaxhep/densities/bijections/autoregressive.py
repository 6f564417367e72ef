"""The autoregressive map: each column through a map that the columns before it choose."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Float, Key, Scalar
from .._base import Condition
from ._base import AbstractBijection
from .masked_network import MaskedNetwork
from .transformers import AbstractTransformer


class MaskedAutoregressive(AbstractBijection):
    r"""\(x_i=\tau^{-1}(y_i;\phi_i(x_1,\dots,x_{i-1},c))\), that is \(y_i=\tau(x_i;\phi_i)\).

    Here the **inverse** is the sequential one: dim passes of the network. `forward` takes one pass. To make a density
    fast (a masked autoregressive flow, G. Papamakarios et al., arXiv:1705.07057), put it behind `Invert`, as
    `autoregressive_flow` does; without it, draws are fast (an inverse autoregressive flow).

    **Arguments**

    - `dim`, `condition_dim`: sizes of x and c.
    - `transformer`: τ, the monotone map of one column.
    - `width`, `depth`, `activation`, `key`: of the `MaskedNetwork`, which starts at the identity.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.densities.bijections import AffineTransformer, MaskedAutoregressive
    >>> layer = MaskedAutoregressive(2, 0, AffineTransformer(), width=4, depth=1, key=jax.random.key(0))
    >>> layer.forward(jnp.array([1.0, 2.0]))[0].tolist()
    [1.0, 2.0]
    """

    transformer: AbstractTransformer
    network: MaskedNetwork
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(
        self, dim: int, condition_dim: int, transformer: AbstractTransformer, *, width: int = 64, depth: int = 2,
        activation: str = "silu", key: Key,
    ):  # fmt: skip
        self.transformer = transformer
        self.network = MaskedNetwork(
            dim, condition_dim, transformer.num_parameters, width=width, depth=depth, activation=activation, key=key
        )
        self.dim, self.condition_dim = dim, condition_dim

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """All columns at once."""
        y, logs = jax.vmap(self.transformer.forward)(x, self.network(x, condition))
        return y, jnp.sum(logs)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """Column by column."""

        def step(x: Array, i: Array) -> tuple[Array, Array]:
            value, log = self.transformer.inverse(y[i], self.network(x, condition)[i])
            return x.at[i].set(value.astype(x.dtype)), log

        dtype = jnp.result_type(y, *self.network.weights, *([] if condition is None else [condition]))
        x, logs = lax.scan(step, jnp.zeros(self.dim, dtype), jnp.arange(self.dim))
        return x, jnp.sum(logs)


__all__ = ["MaskedAutoregressive"]
