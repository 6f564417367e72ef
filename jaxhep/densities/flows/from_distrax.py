"""distrax as vocabulary: its distributions as base densities, its bijectors as bijections."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from ... import noise as variates
from ..._types import Array, Float, Key, Noise, Scalar
from .._base import AbstractTractableDensity, Condition
from .._fields import CONSTANT
from ..bijections import AbstractBijection


def _distrax() -> Any:
    try:
        import distrax
    except ImportError as error:
        raise ImportError('distrax distributions and bijectors need distrax: pip install "jaxhep[learn]"') from error
    return distrax


def _quantile(distribution: Any, u: Array) -> Array:
    """The value whose CDF in each coordinate is u; a transformed distribution moves its base's."""
    distrax = _distrax()
    match distribution:
        case distrax.Independent():
            return _quantile(distribution.distribution, u)
        case distrax.Normal():
            return variates.normal(u, distribution.loc, distribution.scale)
        case distrax.Uniform():
            return distribution.low + (distribution.high - distribution.low) * u
        case distrax.Logistic():
            return distribution.loc + distribution.scale * (jnp.log(u) - jnp.log1p(-u))
        case distrax.Gumbel():
            return distribution.loc - distribution.scale * jnp.log(-jnp.log(u))
        case distrax.Laplace():
            side = jnp.where(u < 0.5, jnp.log(2 * u), -jnp.log(2 * (1 - u)))
            return distribution.loc + distribution.scale * side
        case distrax.Transformed():
            # A bijector, not a quantile: the draw is right though a falling map turns the order round.
            return distribution.bijector.forward(_quantile(distribution.distribution, u))
    raise TypeError(
        f"there is no map from uniform noise to distrax.{type(distribution).__name__}; usable are Normal, Uniform, "
        "Logistic, Gumbel, Laplace, multivariate normals, and Independent or Transformed of these"
    )


class DistraxDensity(AbstractTractableDensity):
    """A distrax distribution over vectors as a base density.

    Its array parameters are leaves of this module. Draws come from uniform noise through the inverse CDF, not from
    distrax's own sampler, so that they can be replayed and moved.

    **Arguments**: `distribution`, with event shape (dim,) and no batch: Normal, Uniform, Logistic, Gumbel or Laplace
    within `distrax.Independent`, a multivariate normal, or `Transformed` of these.

    **Raises** `ImportError` without distrax, `TypeError` for another distribution, `ValueError` for another shape.

    >>> import distrax, jax.numpy as jnp
    >>> from jaxhep.densities.flows import DistraxDensity
    >>> base = DistraxDensity(distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.array([1.0, 3.0])))
    >>> base.sample(jnp.array([0.5, 0.5])).tolist()
    [0.0, 0.0]
    """

    distribution: Any = eqx.field(metadata=CONSTANT)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, distribution: Any):
        if len(distribution.event_shape) != 1 or distribution.batch_shape != ():
            raise ValueError(
                f"a base density is over one vector; this distribution has event shape {distribution.event_shape} and "
                f"batch shape {distribution.batch_shape}; wrap it in distrax.Independent"
            )
        self.distribution = distribution
        self.dim, self.condition_dim = int(distribution.event_shape[0]), 0
        _quantile(distribution, jnp.full(self.dim, 0.5))

    def sample_noise(self, key: Key) -> Noise:
        """`dim` variates."""
        return variates.uniforms(key, (self.dim,))

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The quantiles of the noise."""
        return _quantile(self.distribution, noise)

    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """As distrax computes it."""
        return self.distribution.log_prob(x)


class DistraxBijection(AbstractBijection):
    """A distrax bijector over vectors as a bijection.

    **Arguments**: `bijector`, acting on vectors, or on numbers (it is then applied to each column); `dim`.

    **Raises** `ImportError` without distrax, `ValueError` for a bijector of matrices.

    >>> import distrax, jax.numpy as jnp
    >>> from jaxhep.densities.flows import DistraxBijection
    >>> DistraxBijection(distrax.ScalarAffine(1.0, 2.0), 2).forward(jnp.ones(2))[0].tolist()
    [3.0, 3.0]
    """

    bijector: Any = eqx.field(metadata=CONSTANT)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, bijector: Any, dim: int):
        distrax = _distrax()
        bijector = distrax.as_bijector(bijector)
        if bijector.event_ndims_in > 1 or bijector.event_ndims_out > 1:
            raise ValueError(f"a bijection is of vectors; this bijector acts on {bijector.event_ndims_in} dimensions")
        self.bijector = bijector if bijector.event_ndims_in == 1 else distrax.Block(bijector, 1)
        self.dim, self.condition_dim = dim, 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """`forward_and_log_det` of distrax."""
        return self.bijector.forward_and_log_det(x)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """`inverse_and_log_det` of distrax."""
        return self.bijector.inverse_and_log_det(y)


__all__ = ["DistraxBijection", "DistraxDensity"]
