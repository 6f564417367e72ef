r"""Maps of each column by itself: affine, and the ways between the real line and a bounded or half-bounded interval.

Each of them keeps its precision in float32 at the far ends: the log-determinants are written with `softplus` and
`log1p`, never as the logarithm of a difference that rounds to zero.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Scalar
from .._arguments import check_sizes
from .._base import Condition
from .._fields import CONSTANT, LEARNED
from ._base import AbstractBijection


class Affine(AbstractBijection):
    r"""\(y_i=\mu_i+\mathrm e^{\lambda_i}x_i\), both vectors learned.

    **Arguments**: `shift` μ and `log_scale` λ, shape (dim,).

    >>> import jax.numpy as jnp
    >>> y, log_det = Affine(jnp.array([1.0, 2.0]), jnp.log(jnp.array([2.0, 0.5]))).forward(jnp.ones(2))
    >>> y.tolist(), float(log_det)
    ([3.0, 2.5], 0.0)
    """

    shift: Float[Array, " dim"] = eqx.field(metadata=LEARNED)
    log_scale: Float[Array, " dim"] = eqx.field(metadata=LEARNED)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, shift: Float[Array, " dim"], log_scale: Float[Array, " dim"]):
        self.shift, self.log_scale = jnp.asarray(shift), jnp.asarray(log_scale)
        if self.shift.ndim != 1 or self.shift.shape != self.log_scale.shape:
            raise ValueError(
                f"shift and log_scale are vectors of one length, got {self.shift.shape} and {self.log_scale.shape}"
            )
        self.dim, self.condition_dim = self.shift.shape[0], 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """μ + e^λ x and Σλ."""
        return self.shift + jnp.exp(self.log_scale) * x, jnp.sum(self.log_scale)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """(y − μ) e^(−λ) and −Σλ."""
        return (y - self.shift) * jnp.exp(-self.log_scale), -jnp.sum(self.log_scale)


class Tanh(AbstractBijection):
    r"""\(y=\tanh x\), from the real line to (−1, 1); \(\ln y'=2(\ln2-x-\mathrm{softplus}(-2x))\).

    **Arguments**: `dim`.

    >>> import jax.numpy as jnp
    >>> float(Tanh(1).forward(jnp.zeros(1))[1])
    0.0
    """

    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, dim: int):
        check_sizes(dim=dim)
        self.dim, self.condition_dim = dim, 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """tanh x and its log-determinant."""
        return jnp.tanh(x), jnp.sum(2 * (math.log(2) - x - jax.nn.softplus(-2 * x)))

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """artanh y and −Σ[ln(1−y) + ln(1+y)]; infinite at ±1."""
        below, above = jnp.log1p(-y), jnp.log1p(y)
        return (above - below) / 2, -jnp.sum(below + above)


class Sigmoid(AbstractBijection):
    r"""\(y=a+(b-a)/(1+\mathrm e^{-x})\), from the real line to (a, b); its inverse is the logit.

    **Arguments**: `low` a and `high` b, shape (dim,), with a < b.

    >>> import jax.numpy as jnp
    >>> Sigmoid(jnp.zeros(1), jnp.array([2.0])).forward(jnp.zeros(1))[0].tolist()
    [1.0]
    """

    low: Float[Array, " dim"] = eqx.field(metadata=CONSTANT)
    high: Float[Array, " dim"] = eqx.field(metadata=CONSTANT)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, low: Float[Array, " dim"], high: Float[Array, " dim"]):
        self.low, self.high = jnp.asarray(low), jnp.asarray(high)
        if self.low.ndim != 1 or self.low.shape != self.high.shape:
            raise ValueError(f"low and high are vectors of one length, got {self.low.shape} and {self.high.shape}")
        self.dim, self.condition_dim = self.low.shape[0], 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """The point between a and b; Σ[ln(b−a) − softplus(x) − softplus(−x)]."""
        width = self.high - self.low
        log_det = jnp.sum(jnp.log(width) - jax.nn.softplus(x) - jax.nn.softplus(-x))
        # From the nearer end: close to b the distance to b is what has to be right.
        near_low = self.low + width * jax.nn.sigmoid(x)
        near_high = self.high - width * jax.nn.sigmoid(-x)
        return jnp.where(x < 0, near_low, near_high), log_det

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """ln((y−a)/(b−y)) and Σ[ln(b−a) − ln(y−a) − ln(b−y)]; infinite at a and b."""
        below, above = jnp.log(y - self.low), jnp.log(self.high - y)
        return below - above, jnp.sum(jnp.log(self.high - self.low) - below - above)


class Softplus(AbstractBijection):
    r"""\(y=\ln(1+\mathrm e^x)\), from the real line to (0, ∞), linear for large x.

    **Arguments**: `dim`.

    >>> import jax.numpy as jnp
    >>> round(float(Softplus(1).forward(jnp.zeros(1))[0][0]), 4)
    0.6931
    """

    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, dim: int):
        check_sizes(dim=dim)
        self.dim, self.condition_dim = dim, 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """softplus(x) and −Σ softplus(−x)."""
        return jax.nn.softplus(x), -jnp.sum(jax.nn.softplus(-x))

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """x = y + ln(1 − e^(−y)) and −Σ ln(1 − e^(−y)); infinite at 0."""
        rest = jnp.log(-jnp.expm1(-y))
        return y + rest, -jnp.sum(rest)


class Exp(AbstractBijection):
    r"""\(y=a+\mathrm e^x\), from the real line to (a, ∞); its inverse is the logarithm.

    **Arguments**: `low` a, shape (dim,).

    >>> import jax.numpy as jnp
    >>> Exp(jnp.zeros(1)).inverse(jnp.ones(1))[0].tolist()
    [0.0]
    """

    low: Float[Array, " dim"] = eqx.field(metadata=CONSTANT)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, low: Float[Array, " dim"]):
        self.low = jnp.asarray(low)
        if self.low.ndim != 1:
            raise ValueError(f"low is a vector, got shape {self.low.shape}")
        self.dim, self.condition_dim = self.low.shape[0], 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """a + e^x and Σx."""
        return self.low + jnp.exp(x), jnp.sum(x)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """ln(y − a) and −Σ ln(y − a); infinite at a."""
        x = jnp.log(y - self.low)
        return x, -jnp.sum(x)


__all__ = ["Affine", "Exp", "Sigmoid", "Softplus", "Tanh"]
