"""The one place where a Flax definition and its parameters become an Equinox module."""

from typing import Any, final

import equinox as eqx
import jax
import numpy as np

from .._types import Array, Key
from ._blocks import Architecture


@final
class Network(eqx.Module):
    r"""A network \(f_\theta\) of one event: a static, hashable Flax Linen definition, and its parameters θ as leaves.

    Make one with `make_network`. Two networks of one definition have one compiled program.

    **Fields**: `parameters`, a nested dict of arrays, the only leaves; `definition`; `preset`, the name it was made
    with; `in_size`, `out_size`, `condition_size`; `time_features`, 0 for a network without time.

    The call takes **one** event; `jax.vmap` makes the batch. The gradient with respect to x, condition, time and
    parameters is that of the function.
    """

    parameters: Any = eqx.field(metadata={"trainable": True})
    definition: Architecture = eqx.field(static=True)
    preset: str = eqx.field(static=True)
    in_size: int = eqx.field(static=True)
    out_size: int = eqx.field(static=True)
    condition_size: int = eqx.field(static=True)

    @property
    def time_features(self) -> int:
        """Size of the embedded time; 0 for a network without time."""
        return self.definition.time_features

    def __call__(
        self,
        x: Array,
        condition: Array | None = None,
        *,
        mask: Array | None = None,
        time: Array | float | None = None,
        dropout_key: Key | None = None,
    ) -> Array:
        """The output for one event.

        **Arguments**

        - `x`: (in_size,) for a vector network, (particle, in_size) for a set, (*space, in_size) for a picture.
        - `condition`: (condition_size,), or None where `condition_size` is 0.
        - `mask`: True where a particle or pixel is; None for all.
        - `time`: a number, for a network with `time_features`.
        - `dropout_key`: key of the dropout; without it nothing is dropped.

        **Raises** `ValueError` for an input of the wrong size, or one too many or too few.
        """
        x = jax.numpy.asarray(x)
        if x.ndim == 0 or x.shape[-1] != self.in_size:
            raise ValueError(
                f"the network {self.preset!r} takes x with {self.in_size} columns, got shape {x.shape}; it acts on one "
                "event, use jax.vmap for a batch"
            )
        given = 0 if condition is None else int(np.prod(np.shape(condition)))
        if given != self.condition_size or (condition is not None and np.ndim(condition) != 1):
            got = "none" if condition is None else f"shape {np.shape(condition)}"
            raise ValueError(
                f"the network {self.preset!r} was made with condition_size={self.condition_size}, got {got}; pass "
                f"condition of shape ({self.condition_size},)" + (" or None" if self.condition_size == 0 else "")
            )
        if (time is not None) != (self.time_features > 0):
            raise ValueError(
                f"the network {self.preset!r} has time_features={self.time_features} and "
                + ("needs time=" if time is None else "takes no time; make it with time_features=32")
            )
        condition = None if given == 0 else condition
        clock = None if time is None else jax.numpy.asarray(time, x.dtype)
        rngs = None if dropout_key is None else {"dropout": dropout_key}
        result: Any = self.definition.apply(
            {"params": self.parameters}, x, condition, clock, mask, dropout_key is None, rngs=rngs
        )
        return result

    def summary(self) -> str:
        """One line a parameter: path, shape, type and number; then the sum."""
        leaves = jax.tree_util.tree_leaves_with_path(self.parameters)
        rows = [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]
        width = max((len(name) for name, _ in rows), default=0)
        lines = [f"{name:<{width}}  {leaf.dtype.name} {leaf.shape!s:<14} {leaf.size:>10,}" for name, leaf in rows]
        return "\n".join([*lines, f"{'sum':<{width}}  {count_parameters(self):,} parameters"])

    def __repr__(self) -> str:
        """Name, sizes, number of parameters, and the shapes of the first and the last."""
        sizes = f"{self.in_size} → {self.out_size}"
        sizes += f", condition {self.condition_size}" if self.condition_size else ""
        sizes += f", time {self.time_features}" if self.time_features else ""
        leaves = [leaf for leaf in jax.tree.leaves(self.parameters) if hasattr(leaf, "shape")]
        shapes = ", ".join("×".join(str(n) for n in leaf.shape) for leaf in leaves if leaf.ndim > 1)
        shapes = shapes if len(shapes) <= 160 else shapes[:78] + " … " + shapes[-78:]
        d = self.definition
        return (
            f"Network({self.preset!r}: {sizes}; width {d.width}, depth {d.depth}, {d.activation}; "
            f"{count_parameters(self):,} parameters: {shapes})"
        )


def count_parameters(tree: Any) -> int:
    """The number of numbers in the floating-point leaves of a network or any other pytree.

    >>> import jax.numpy as jnp
    >>> from jaxhep.networks import count_parameters
    >>> count_parameters({"kernel": jnp.zeros((3, 4)), "bias": jnp.zeros(4)})
    16
    """
    return sum(int(leaf.size) for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf))


__all__ = ["Network", "count_parameters"]
