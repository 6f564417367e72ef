"""The network of an autoregressive map: output block i sees the inputs before i, and the condition."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float, Key
from .._arguments import check_sizes
from .._base import Condition
from .._fields import LEARNED

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu, "silu": jax.nn.silu, "gelu": jax.nn.gelu, "tanh": jnp.tanh,
}  # fmt: skip


def _masks(dim: int, condition_dim: int, width: int, depth: int, block: int) -> list[np.ndarray]:
    """Masks (out, in) of the layers. A unit of degree k sees the inputs 1 … k; condition columns have degree 0."""
    inputs = np.concatenate([np.arange(1, dim + 1), np.zeros(condition_dim, int)])
    # Degree d would see all inputs and feed no output. Without condition, degree 0 would see nothing.
    least = 0 if condition_dim or dim == 1 else 1
    hidden = least + np.arange(width) % max(dim - least, 1)
    outputs = np.repeat(np.arange(1, dim + 1), block)
    masks = [hidden[:, None] >= inputs[None, :]]
    masks += [hidden[:, None] >= hidden[None, :]] * (depth - 1)
    return [*masks, outputs[:, None] > hidden[None, :]]


class MaskedNetwork(eqx.Module):
    r"""A perceptron whose output block i depends on \(x_1,\dots,x_{i-1}\) and c only.

    M. Germain et al., arXiv:1502.03509: a weight is cut where it would let a later input through. The cuts are made
    when the network is called, from the static sizes, so that no optimiser can undo them. Hidden layers of equal width
    are joined by a residual sum.

    **Arguments**

    - `dim`, `condition_dim`: sizes of x and c.
    - `block`: outputs for each column of x.
    - `width`, `depth`: units in a hidden layer, and number of hidden layers.
    - `activation`: "relu", "silu", "gelu" or "tanh".
    - `key`: random key of the weights (Gaussian, variance 1/(number of uncut inputs)); the last layer starts at zero.

    **Returns**, when called as `network(x, condition)`, an array (dim, block).

    >>> import jax, jax.numpy as jnp
    >>> network = MaskedNetwork(3, 0, 2, width=8, depth=1, key=jax.random.key(0))
    >>> network(jnp.ones(3)).shape
    (3, 2)
    """

    weights: tuple[Float[Array, "..."], ...] = eqx.field(metadata=LEARNED)
    biases: tuple[Float[Array, "..."], ...] = eqx.field(metadata=LEARNED)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    block: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self, dim: int, condition_dim: int, block: int, *, width: int = 64, depth: int = 2, activation: str = "silu",
        key: Key,
    ):  # fmt: skip
        check_sizes(dim=dim, block=block, width=width, depth=depth)
        if activation not in ACTIVATIONS:
            raise ValueError(f"there is no activation {activation!r}; known are {', '.join(ACTIVATIONS)}")
        self.dim, self.condition_dim, self.block = dim, condition_dim, block
        self.width, self.depth, self.activation = width, depth, activation
        masks = _masks(dim, condition_dim, width, depth, block)
        keys = jax.random.split(key, depth)
        self.weights = (
            *(
                jax.random.normal(one, mask.shape)
                / np.sqrt(np.maximum(mask.sum(1, keepdims=True), 1)).astype(np.float32)
                for one, mask in zip(keys, masks[:-1], strict=True)
            ),
            jnp.zeros(masks[-1].shape),
        )
        self.biases = tuple(jnp.zeros(mask.shape[0]) for mask in masks)

    def __call__(self, x: Float[Array, " dim"], condition: Condition = None) -> Float[Array, "dim block"]:
        """The parameters of each column."""
        act = ACTIVATIONS[self.activation]
        masks = _masks(self.dim, self.condition_dim, self.width, self.depth, self.block)
        state = x if condition is None else jnp.concatenate([x, condition])
        for i, (weight, bias, mask) in enumerate(zip(self.weights, self.biases, masks, strict=True)):
            new = jnp.where(mask, weight, 0.0) @ state + bias
            last = i == self.depth
            state = new if last else act(new) + (state if i > 0 else 0.0)
        return state.reshape(self.dim, self.block)


__all__ = ["MaskedNetwork"]
