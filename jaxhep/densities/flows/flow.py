"""A base density carried along an invertible map."""

import equinox as eqx
import jax

from ..._types import Array, Float, Key, Noise, Scalar
from .._arguments import check_condition, check_event
from .._base import AbstractTractableDensity, Condition
from ..bijections import AbstractBijection, common_condition


class Flow(AbstractTractableDensity):
    r"""The density of \(x=f(z;c)\) with z from the base: \(\ln p(x\mid c)=\ln p_0(f^{-1}(x;c))+\ln|\det\partial
    f^{-1}/\partial x|\).

    Make one of the usual kinds with `coupling_flow`, `autoregressive_flow` or `make_flow`, or from any base density and
    bijection of one `dim`.

    **Arguments**: `base`, a tractable density; `bijection`, whose `forward` goes from the base to the data.

    **Gradients**: `log_prob` in x, c and the parameters; `sample` pathwise in c and the parameters, at frozen noise.

    **Raises** `ValueError` if the sizes do not fit.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.densities.bijections import Affine
    >>> from jaxhep.densities.flows import Flow, Normal
    >>> flow = Flow(Normal(1), Affine(jnp.array([3.0]), jnp.log(jnp.array([2.0]))))
    >>> flow.sample(jnp.array([0.5])).tolist(), round(float(flow.log_prob(jnp.array([3.0]))), 4)
    ([3.0], -1.6121)
    """

    base: AbstractTractableDensity
    bijection: AbstractBijection
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, base: AbstractTractableDensity, bijection: AbstractBijection):
        if not isinstance(base, AbstractTractableDensity):
            raise TypeError(f"the base of a flow is a density with log_prob, not a {type(base).__name__}")
        if not isinstance(bijection, AbstractBijection):
            raise TypeError(f"a flow carries its base along a bijection, not a {type(bijection).__name__}")
        if base.dim != bijection.dim:
            raise ValueError(f"the base has {base.dim} columns and the bijection {bijection.dim}")
        self.base, self.bijection = base, bijection
        self.dim = base.dim
        self.condition_dim = common_condition([base.condition_dim, bijection.condition_dim])

    def _conditions(self, condition: Condition) -> tuple[Condition, Condition]:
        check_condition(condition, self.condition_dim)
        return (
            condition if self.base.condition_dim else None,
            condition if self.bijection.condition_dim else None,
        )

    def sample_noise(self, key: Key) -> Noise:
        """The noise of the base."""
        return self.base.sample_noise(key)

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """f(z; c) of the base's draw z."""
        for_base, for_map = self._conditions(condition)
        return self.bijection.forward(self.base.sample(noise, for_base), for_map)[0]

    def latent(self, x: Float[Array, " dim"], condition: Condition = None) -> Float[Array, " dim"]:
        """z = f⁻¹(x; c), distributed as the base where the flow is right: the place for a goodness-of-fit test."""
        check_event(x, self.dim)
        return self.bijection.inverse(x, self._conditions(condition)[1])[0]

    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """The log density in nats."""
        check_event(x, self.dim)
        for_base, for_map = self._conditions(condition)
        z, log_det = self.bijection.inverse(x, for_map)
        return self.base.log_prob(z, for_base) + log_det

    def sample_and_log_prob(self, noise: Noise, condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """Both from one pass of the forward map."""
        for_base, for_map = self._conditions(condition)
        z = self.base.sample(noise, for_base)
        x, log_det = self.bijection.forward(z, for_map)
        return x, self.base.log_prob(z, for_base) - log_det

    def __repr__(self) -> str:
        count = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(self, eqx.is_inexact_array)))
        condition = f", condition_dim={self.condition_dim}" if self.condition_dim else ""
        names = f"{type(self.base).__name__} → {type(self.bijection).__name__}"
        return f"Flow({names}, dim={self.dim}{condition}, {count:,} parameters)"


__all__ = ["Flow"]
