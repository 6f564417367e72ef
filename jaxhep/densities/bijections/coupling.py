"""The coupling map: half of the columns through maps that the other half chooses."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Scalar
from .._arguments import check_sizes
from .._base import Condition
from ._base import AbstractBijection
from .transformers import AbstractTransformer

Subnet = Callable[..., Any]
"""Called as network(kept, condition): a vector with the parameters of all moved columns, one column after another."""


class Coupling(AbstractBijection):
    r"""\(y_{1\dots k}=x_{1\dots k}\), \(y_i=\tau(x_i;\phi_i(x_{1\dots k},c))\) for i > k.

    Both directions take one pass of the network (L. Dinh et al., arXiv:1605.08803). Permute between layers, so that
    each column is moved. With k = 0 the network sees the condition alone.

    **Arguments**

    - `dim`, `condition_dim`: sizes of x and c.
    - `kept`: k, from 0 to dim − 1; 0 needs a condition.
    - `transformer`: τ, the monotone map of one column.
    - `network`: φ, called as network(kept, condition), with (dim − k) · num_parameters outputs; for k = 0 it is called
      as network(condition, None).

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import AffineTransformer, Coupling
    >>> layer = Coupling(2, 0, 1, AffineTransformer(), lambda kept, c: jnp.stack([kept[0], 0.0 * kept[0]]))
    >>> layer.forward(jnp.array([1.0, 2.0]))[0].tolist()
    [1.0, 3.0]
    """

    transformer: AbstractTransformer
    network: Subnet
    kept: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, dim: int, condition_dim: int, kept: int, transformer: AbstractTransformer, network: Subnet):
        check_sizes(dim=dim)
        if not 0 <= kept < dim or (kept == 0 and condition_dim == 0):
            raise ValueError(
                f"a coupling of {dim} columns keeps 1 to {dim - 1} of them (or 0, with a condition), not {kept}; one "
                "column without condition needs an autoregressive or elementwise map"
            )
        self.transformer, self.network, self.kept = transformer, network, kept
        self.dim, self.condition_dim = dim, condition_dim

    def _parameters(self, fixed: Any, condition: Condition) -> Any:
        out = self.network(fixed, condition) if self.kept else self.network(condition, None)
        moved = self.dim - self.kept
        if out.size != moved * self.transformer.num_parameters:
            raise ValueError(
                f"the network of this coupling must have {moved} × {self.transformer.num_parameters} outputs, it has "
                f"{out.size}"
            )
        return out.reshape(moved, self.transformer.num_parameters)

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """The moved columns through τ."""
        fixed, moved = x[: self.kept], x[self.kept :]
        moved, logs = jax.vmap(self.transformer.forward)(moved, self._parameters(fixed, condition))
        return jnp.concatenate([fixed, moved]), jnp.sum(logs)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """The moved columns through τ⁻¹."""
        fixed, moved = y[: self.kept], y[self.kept :]
        moved, logs = jax.vmap(self.transformer.inverse)(moved, self._parameters(fixed, condition))
        return jnp.concatenate([fixed, moved]), jnp.sum(logs)


__all__ = ["Coupling", "Subnet"]
