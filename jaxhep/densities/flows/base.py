"""Base densities: what a flow starts from, drawn from uniform noise through the inverse CDF."""

import math

import equinox as eqx
import jax.numpy as jnp

from ... import noise as variates
from ..._types import Array, Float, Key, Noise, Scalar
from .._arguments import check_sizes
from .._base import AbstractTractableDensity, Condition


class Normal(AbstractTractableDensity):
    r"""The standard normal density in `dim` dimensions, \(z=\sqrt2\,\mathrm{erf}^{-1}(2u-1)\).

    **Arguments**: `dim`.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.flows import Normal
    >>> round(float(Normal(1).log_prob(jnp.zeros(1))), 4)
    -0.9189
    """

    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, dim: int):
        check_sizes(dim=dim)
        self.dim, self.condition_dim = dim, 0

    def sample_noise(self, key: Key) -> Noise:
        """`dim` variates."""
        return variates.uniforms(key, (self.dim,))

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The normal quantiles of the noise."""
        return variates.normal(noise)

    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """−½ Σ (x² + ln 2π)."""
        return -0.5 * jnp.sum(x**2 + math.log(2 * math.pi))


class Uniform(AbstractTractableDensity):
    """The uniform density on the box [low, high]^dim; −∞ outside.

    **Arguments**: `dim`; `low`, `high`, Python numbers with low < high.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.flows import Uniform
    >>> float(Uniform(2).log_prob(jnp.array([0.5, 0.5]))), float(Uniform(2).log_prob(jnp.array([0.5, 1.5])))
    (0.0, -inf)
    """

    dim: int = eqx.field(static=True)
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, dim: int, low: float = 0.0, high: float = 1.0):
        check_sizes(dim=dim)
        if not low < high:
            raise ValueError(f"a uniform density needs low < high, got [{low}, {high}]")
        self.dim, self.condition_dim = dim, 0
        self.low, self.high = float(low), float(high)

    def sample_noise(self, key: Key) -> Noise:
        """`dim` variates."""
        return variates.uniforms(key, (self.dim,))

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The noise, stretched over the box."""
        return self.low + (self.high - self.low) * jnp.asarray(noise)

    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """−dim · ln(high − low) inside."""
        inside = jnp.all((x >= self.low) & (x <= self.high))
        return jnp.where(inside, -self.dim * math.log(self.high - self.low), -jnp.inf).astype(x.dtype)


__all__ = ["Normal", "Uniform"]
