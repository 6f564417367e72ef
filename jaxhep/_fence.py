"""Keeping XLA from computing one thing many times.

XLA on CPUs fuses elementwise operations and copies what is cheap into every consumer: a step that ends in fifty arrays
is then computed fifty times. A division is not copied; by a one that the compiler does not know to be one, it makes its
result a stored array.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ._types import Array, Scalar

Tree = TypeVar("Tree")


def hidden_one(u: Scalar) -> Scalar:
    """1, for a variate u in (0, 1)."""
    return jnp.maximum(u, 1)


def fence(tree: Tree, one: Scalar) -> Tree:
    """The same values, stored; Booleans by way of a number."""

    def keep(x: Array) -> Array:
        # Of the shape of x: the division by one number for all elements would become a multiplication.
        divisor = jnp.maximum(one, np.linspace(0, 1, x.size, dtype=one.dtype).reshape(x.shape)) if x.shape else one
        if x.dtype == jnp.bool_:
            return jnp.where(x, divisor, 0) / divisor > 0.5
        if jnp.issubdtype(x.dtype, jnp.integer):
            return (x.astype(one.dtype) / divisor).astype(x.dtype)
        return x / divisor

    return jax.tree.map(keep, tree)
