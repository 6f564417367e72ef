"""Monotone maps of one number whose parameters a network gives."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Scalar
from .._arguments import check_sizes
from .._base import Condition
from .._fields import LEARNED
from ._base import AbstractBijection
from .spline import inverse_rational_quadratic, rational_quadratic, spline_parameters


class AbstractTransformer(eqx.Module):
    """A monotone map of one number with `num_parameters` parameters; zeros give the identity."""

    @property
    @abc.abstractmethod
    def num_parameters(self) -> int:
        """Length of the parameter vector of one number."""

    @abc.abstractmethod
    def forward(self, x: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """y and ln dy/dx."""

    @abc.abstractmethod
    def inverse(self, y: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """x and ln dx/dy."""


class AffineTransformer(AbstractTransformer):
    r"""\(y=t+\mathrm e^{\lambda}x\) with \(\lambda=m\tanh(\lambda_0/m)\), so that one event cannot overflow.

    **Arguments**: `max_log_scale` m, above 0.

    >>> import jax.numpy as jnp
    >>> float(AffineTransformer().forward(jnp.array(2.0), jnp.array([1.0, 0.0]))[0])
    3.0
    """

    max_log_scale: float = eqx.field(static=True, default=5.0)

    def __check_init__(self) -> None:
        if not self.max_log_scale > 0:
            raise ValueError(f"max_log_scale must be above 0, got {self.max_log_scale}")

    @property
    def num_parameters(self) -> int:
        """2: shift and logarithm of the scale."""
        return 2

    def _log_scale(self, raw: Array) -> Array:
        return self.max_log_scale * jnp.tanh(raw[1] / self.max_log_scale)

    def forward(self, x: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """t + e^λ x and λ."""
        log_scale = self._log_scale(raw)
        return raw[0] + jnp.exp(log_scale) * x, log_scale

    def inverse(self, y: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """(y − t) e^(−λ) and −λ."""
        log_scale = self._log_scale(raw)
        return (y - raw[0]) * jnp.exp(-log_scale), -log_scale


class SoftplusAffineTransformer(AbstractTransformer):
    r"""\(y=t+sx\) with \(s=s_0+\ln(1+\mathrm e^{\sigma+o})\), the offset o such that σ = 0 is s = 1.

    Behind a network of straight pieces (relu) the width is straight in pieces, too, where `AffineTransformer` makes it
    exponential. It is the affine map of the flows published with nabu (arXiv:2502.09494, there with s₀ = 0.01).

    **Arguments**: `least` s₀, in (0, 1).

    >>> import jax.numpy as jnp
    >>> round(float(SoftplusAffineTransformer().forward(jnp.array(2.0), jnp.array([1.0, 0.0]))[0]), 6)
    3.0
    """

    least: float = eqx.field(static=True, default=0.01)

    def __check_init__(self) -> None:
        if not 0 < self.least < 1:
            raise ValueError(f"least must lie in (0, 1), got {self.least}")

    @property
    def num_parameters(self) -> int:
        """2: shift and raw width."""
        return 2

    def _scale(self, raw: Array) -> Array:
        return self.least + jax.nn.softplus(raw[1] + math.log(math.expm1(1 - self.least)))

    def forward(self, x: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """t + s x and ln s."""
        scale = self._scale(raw)
        return raw[0] + scale * x, jnp.log(scale)

    def inverse(self, y: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """(y − t)/s and −ln s."""
        scale = self._scale(raw)
        return (y - raw[0]) / scale, -jnp.log(scale)


class SplineTransformer(AbstractTransformer):
    """`rational_quadratic` on an interval, with the identity (or straight lines) outside.

    **Arguments**: `num_bins` K; `low` and `high`, the interval; `free_ends` and `least` as for `rational_quadratic`.

    >>> SplineTransformer(8).num_parameters
    23
    """

    num_bins: int = eqx.field(static=True, default=8)
    low: float = eqx.field(static=True, default=-5.0)
    high: float = eqx.field(static=True, default=5.0)
    free_ends: bool = eqx.field(static=True, default=False)
    least: float = eqx.field(static=True, default=1e-3)

    def __check_init__(self) -> None:
        check_sizes(num_bins=self.num_bins)
        if not self.low < self.high:
            raise ValueError(f"the spline's interval needs low < high, got [{self.low}, {self.high}]")
        if not 0 < self.least * self.num_bins < 1:
            raise ValueError(
                f"{self.num_bins} bins of at least {self.least} do not fit into the interval; use fewer bins or a "
                "smaller floor `least`"
            )

    @property
    def num_parameters(self) -> int:
        """3K − 1, or 3K + 1 with free ends."""
        return spline_parameters(self.num_bins, self.free_ends)

    def forward(self, x: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """The spline and the logarithm of its derivative."""
        return rational_quadratic(x, raw, self.low, self.high, free_ends=self.free_ends, least=self.least)

    def inverse(self, y: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """The inverse spline and the logarithm of its derivative."""
        return inverse_rational_quadratic(y, raw, self.low, self.high, free_ends=self.free_ends, least=self.least)


class AffineSplineTransformer(AbstractTransformer):
    """A spline behind an affine map: location and width by two numbers, the shape by the spline.

    Where a column follows another closely, a spline alone would need narrow bins that move.

    **Arguments**: `affine`, an `AffineTransformer` or a `SoftplusAffineTransformer`, applied first; `spline`, a
    `SplineTransformer`.

    >>> AffineSplineTransformer().num_parameters
    25
    """

    affine: AbstractTransformer = AffineTransformer()
    spline: SplineTransformer = SplineTransformer()

    @property
    def num_parameters(self) -> int:
        """2 + 3K − 1."""
        return self.affine.num_parameters + self.spline.num_parameters

    def forward(self, x: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """Affine, then spline; the logarithms add."""
        cut = self.affine.num_parameters
        x, first = self.affine.forward(x, raw[:cut])
        y, second = self.spline.forward(x, raw[cut:])
        return y, first + second

    def inverse(self, y: Scalar, raw: Float[Array, " parameter"]) -> tuple[Scalar, Scalar]:
        """Spline back, then affine back."""
        cut = self.affine.num_parameters
        y, first = self.spline.inverse(y, raw[cut:])
        x, second = self.affine.inverse(y, raw[:cut])
        return x, first + second


class Elementwise(AbstractBijection):
    """One transformer on each column, with learned parameters of its own; no column sees another.

    **Arguments**: `transformer` and `raw`, shape (dim, num_parameters); zeros are the identity.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import Elementwise, SplineTransformer
    >>> spline = Elementwise(SplineTransformer(4), jnp.zeros((2, 11)))
    >>> spline.dim
    2
    """

    transformer: AbstractTransformer
    raw: Float[Array, "dim parameter"] = eqx.field(metadata=LEARNED)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, transformer: AbstractTransformer, raw: Float[Array, "dim parameter"]):
        self.transformer, self.raw = transformer, jnp.asarray(raw)
        if self.raw.ndim != 2 or self.raw.shape[1] != transformer.num_parameters:
            raise ValueError(
                f"{type(transformer).__name__} needs raw parameters of shape (dim, {transformer.num_parameters}), got "
                f"{self.raw.shape}"
            )
        self.dim, self.condition_dim = self.raw.shape[0], 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """Each column through its map; the log-derivatives add."""
        y, logs = jax.vmap(self.transformer.forward)(x, self.raw)
        return y, jnp.sum(logs)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """Each column back; the log-derivatives add."""
        x, logs = jax.vmap(self.transformer.inverse)(y, self.raw)
        return x, jnp.sum(logs)


__all__ = [
    "AbstractTransformer",
    "AffineSplineTransformer",
    "AffineTransformer",
    "Elementwise",
    "SoftplusAffineTransformer",
    "SplineTransformer",
]
