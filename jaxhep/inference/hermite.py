"""Polynomials through values and slopes at nodes, continued smoothly beyond them."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Scalar

_LEVEL = 0.1
"""Where the logarithms level off beyond the nodes, in half widths."""


class HermiteInterpolation(eqx.Module):
    r"""Interpolation through values and slopes at n nodes: the polynomial p of degree 2n−1 with \(p(x_i)=f_i\) and
    \(p'(x_i)=f'_i\).

    A polynomial of high degree runs away outside its nodes: there the parabola that touches it at the outermost node
    continues it, with two continuous derivatives, which a minimiser needs.

    **Arguments**: `nodes`: at least two different numbers, increasing.

    >>> import jax.numpy as jnp
    >>> line = HermiteInterpolation([0.0, 1.0])
    >>> print(line(jnp.asarray(1.0)).round(3))  # weights of both values, then of both slopes
    [0. 1. 0. 0.]
    """

    centre: Float[np.ndarray, ""]
    half: Float[np.ndarray, ""]
    basis: Float[np.ndarray, "power value"]
    lagrange: Float[np.ndarray, "node node"]

    def __init__(self, nodes: Float[np.ndarray, " node"] | list[float]):
        nodes = np.asarray(nodes, np.float64)
        if nodes.ndim != 1 or nodes.size < 2 or np.any(np.diff(nodes) <= 0):
            raise ValueError(f"an interpolation needs at least two increasing nodes, got {nodes.tolist()}")
        self.centre, self.half = np.asarray((nodes[0] + nodes[-1]) / 2), np.asarray((nodes[-1] - nodes[0]) / 2)
        t, k = ((nodes - self.centre) / self.half)[:, None], np.arange(2 * nodes.size)
        slopes = k * t ** np.maximum(k - 1, 0) / self.half
        self.basis = np.linalg.inv(np.concatenate([t**k, slopes]))
        self.lagrange = np.linalg.inv(t ** k[: nodes.size])

    def __call__(self, x: Scalar) -> Float[Array, " value"]:
        """Weights of the values at the nodes, then of the slopes, in p(x)."""
        t = (x - self.centre) / self.half
        k = np.arange(self.basis.shape[0])
        up = 1 + k * (t - 1) + k * (k - 1) / 2 * (t - 1) ** 2
        down = (-1.0) ** k * (1 - k * (t + 1) + k * (k - 1) / 2 * (t + 1) ** 2)
        return jnp.where(t > 1, up, jnp.where(t < -1, down, _powers(t, k.size))) @ jnp.asarray(self.basis)

    def node_weights(self, x: Scalar) -> Float[Array, " node"]:
        """Positive, smooth weights that sum to 1, and at a node are 1 for it: squared Lagrange polynomials."""
        squares = (_powers((x - self.centre) / self.half, self.lagrange.shape[0]) @ jnp.asarray(self.lagrange)) ** 2
        return squares / jnp.sum(squares)

    def of_logarithms(self, x: Scalar) -> Float[Array, " node"]:
        """Weights of the logarithms of a positive quantity at the nodes, a Lagrange polynomial; beyond the nodes it
        levels off, with two continuous derivatives, so that its exponential cannot run away."""
        t = (x - self.centre) / self.half
        # tanh has no second derivative at 0.
        beyond = jnp.sign(t) * (1 + _LEVEL * jnp.tanh((jnp.abs(t) - 1) / _LEVEL))
        return _powers(jnp.where(jnp.abs(t) > 1, beyond, t), self.lagrange.shape[0]) @ jnp.asarray(self.lagrange)


def _powers(t: Scalar, count: int) -> Float[Array, " power"]:
    """t⁰ … t^(count−1)."""
    powers = [jnp.ones_like(t)]
    for _ in range(count - 1):
        powers.append(powers[-1] * t)
    return jnp.stack(powers)


__all__ = ["HermiteInterpolation"]
