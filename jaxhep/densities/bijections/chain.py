"""Maps in a row, one map many times over, and a map turned round."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Float, Scalar
from .._base import Condition
from ._base import AbstractBijection, common_condition


class Chain(AbstractBijection):
    r"""\(f_n\circ\dots\circ f_1\): `forward` applies the maps in the order given, log-determinants add.

    **Arguments**: the maps, all of one `dim`; those with a condition share it.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import Affine, Chain, Exp, Invert, Repeat
    >>> Chain(Exp(jnp.zeros(1)), Affine(jnp.ones(1), jnp.zeros(1))).forward(jnp.zeros(1))[0].tolist()
    [2.0]
    """

    bijections: tuple[AbstractBijection, ...]
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, *bijections: AbstractBijection):
        if not bijections:
            raise ValueError("a Chain needs at least one bijection, e.g. Chain(Affine(shift, log_scale))")
        for one in bijections:
            if not isinstance(one, AbstractBijection):
                raise TypeError(f"a Chain is made of bijections, not of {type(one).__name__}")
        sizes = sorted({one.dim for one in bijections})
        if len(sizes) > 1:
            raise ValueError(f"all bijections of a Chain have one dim, got {sizes}")
        self.bijections = bijections
        self.dim = sizes[0]
        self.condition_dim = common_condition([one.condition_dim for one in bijections])

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """All maps from the first to the last."""
        total = jnp.zeros((), x.dtype)
        for one in self.bijections:
            x, log_det = one.forward(x, condition if one.condition_dim else None)
            total = total + log_det
        return x, total

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """All inverses from the last to the first."""
        total = jnp.zeros((), y.dtype)
        for one in reversed(self.bijections):
            y, log_det = one.inverse(y, condition if one.condition_dim else None)
            total = total + log_det
        return y, total


class Repeat(AbstractBijection):
    """Layers of one structure and shape, as one scan over their stacked parameters.

    The program holds one layer whatever their number, so that compilation takes the time of one.

    **Arguments**: `layers`, at least one bijection, all of the same type, static fields and shapes; or one bijection
    whose leaves are stacked already, and their number `length`.

    **Raises** `ValueError` if two layers differ in structure, or a leaf has not `length` rows.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import Affine, Chain, Exp, Invert, Repeat
    >>> halves = [Affine(jnp.zeros(1), jnp.log(jnp.array([0.5]))) for _ in range(3)]
    >>> Repeat(halves).forward(jnp.ones(1))[0].tolist()
    [0.125]
    """

    layers: AbstractBijection
    length: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, layers: Sequence[AbstractBijection] | AbstractBijection, length: int | None = None):
        if isinstance(layers, AbstractBijection):
            rows = {leaf.shape[0] if leaf.ndim else None for leaf in jax.tree.leaves(eqx.filter(layers, eqx.is_array))}
            if rows != {length}:
                raise ValueError(f"the leaves of stacked layers have one row a layer, {length}, but some have {rows}")
            assert length is not None
            self.layers, self.length = layers, length
            self.dim, self.condition_dim = layers.dim, layers.condition_dim
            return
        if not layers:
            raise ValueError("Repeat needs at least one layer")
        parts = [eqx.partition(layer, eqx.is_array) for layer in layers]
        first, rest = parts[0]
        shapes = [leaf.shape for leaf in jax.tree.leaves(first)]
        for i, (arrays, static) in enumerate(parts):
            if not eqx.tree_equal(static, rest) or [leaf.shape for leaf in jax.tree.leaves(arrays)] != shapes:
                raise ValueError(
                    f"layer {i} differs from layer 0 in structure or shapes; put them into a Chain instead"
                )
        self.layers = eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *[part[0] for part in parts]), rest)
        self.length = len(layers)
        self.dim, self.condition_dim = layers[0].dim, layers[0].condition_dim

    def _run(self, x: Array, condition: Condition, backward: bool) -> tuple[Array, Array]:
        arrays, static = eqx.partition(self.layers, eqx.is_array)

        def step(state: tuple[Array, Array], leaves: AbstractBijection) -> tuple[tuple[Array, Array], None]:
            layer = eqx.combine(leaves, static)
            y, log_det = (layer.inverse if backward else layer.forward)(state[0], condition)
            return (y.astype(state[0].dtype), (state[1] + log_det).astype(state[1].dtype)), None

        # The parameters may be wider than x (float64 layers on a float32 event): the state has the wider type.
        floats = [leaf.dtype for leaf in jax.tree.leaves(arrays) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
        inputs = [x.dtype] if condition is None else [x.dtype, condition.dtype]
        dtype = jnp.result_type(*inputs, *floats)
        start = (x.astype(dtype), jnp.zeros((), dtype))
        return lax.scan(step, start, arrays, reverse=backward)[0]

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """All layers from the first to the last."""
        return self._run(x, condition, backward=False)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """All inverses from the last to the first."""
        return self._run(y, condition, backward=True)


class Invert(AbstractBijection):
    """A map turned round: its `forward` is the other's `inverse`.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import Affine, Chain, Exp, Invert, Repeat
    >>> Invert(Exp(jnp.zeros(1))).forward(jnp.ones(1))[0].tolist()
    [0.0]
    """

    bijection: AbstractBijection
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, bijection: AbstractBijection):
        if not isinstance(bijection, AbstractBijection):
            raise TypeError(f"Invert turns a bijection round, not a {type(bijection).__name__}")
        self.bijection = bijection
        self.dim, self.condition_dim = bijection.dim, bijection.condition_dim

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """The inverse of the map inside."""
        return self.bijection.inverse(x, condition)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """The map inside."""
        return self.bijection.forward(y, condition)


__all__ = ["Chain", "Invert", "Repeat"]
