"""A flow on more columns than the data has."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from ... import noise as variates
from ..._types import Array, Float, Key, Noise, Scalar
from .._arguments import check_condition, check_event
from .._base import AbstractDensity, AbstractTractableDensity, Condition


class AugmentedFlow(AbstractDensity):
    r"""A density of x as the margin of a flow over (x, ε), with ε of `extra` normal columns beside the data.

    A map of the plane cannot tear a connected base into separate regions; with extra columns the regions can be joined
    outside of the data's space (C.-W. Huang et al., arXiv:2002.07101; D. Nielsen et al., arXiv:2007.02731). The loss is
    an upper bound of \(-\ln p(x)\):

    \[\ell=-\ln p(x,\varepsilon\mid c)+\ln\mathcal N(\varepsilon),\qquad \varepsilon\sim\mathcal N(0,1)\]

    **Arguments**: `flow`, a tractable density over dim + extra columns, the data first; `extra`.

    **Raises** `ValueError` if the flow has no column left for the data.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.densities.flows import AugmentedFlow, Normal
    >>> density = AugmentedFlow(Normal(3), extra=1)
    >>> round(float(density.loss(jnp.zeros(2), None, density.loss_noise(jax.random.key(0)))), 4)
    1.8379
    """

    flow: AbstractTractableDensity
    extra: int = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, flow: AbstractTractableDensity, extra: int):
        if not 1 <= extra < flow.dim:
            raise ValueError(f"extra lies between 1 and {flow.dim - 1} for a flow of {flow.dim} columns, got {extra}")
        self.flow, self.extra = flow, extra
        self.dim, self.condition_dim = flow.dim - extra, flow.condition_dim

    def sample_noise(self, key: Key) -> Noise:
        """The noise of the flow."""
        return self.flow.sample_noise(key)

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """A draw of the flow without its extra columns."""
        return self.flow.sample(noise, condition)[: self.dim]

    def loss_noise(self, key: Key) -> Noise:
        """`extra` variates."""
        return variates.uniforms(key, (self.extra,))

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """The bound with one draw of ε."""
        check_event(x, self.dim)
        check_condition(condition, self.condition_dim)
        beside = variates.normal(jnp.asarray(noise)).astype(x.dtype)
        log_normal = -0.5 * jnp.sum(beside**2 + math.log(2 * math.pi))
        return log_normal - self.flow.log_prob(jnp.concatenate([x, beside]), condition)

    def log_prob_bound(
        self, x: Float[Array, " dim"], condition: Condition, noise: Float[Array, "draw extra"]
    ) -> Scalar:
        r"""The importance-weighted bound \(\ln\frac1K\sum_k\mathrm e^{-\ell_k}\le\ln p(x\mid c)\) in expectation.

        It tightens with the number K of rows of `noise` (Y. Burda et al., arXiv:1509.00519).
        """
        losses = jax.vmap(lambda u: self.loss(x, condition, u))(noise)
        return jax.nn.logsumexp(-losses) - math.log(noise.shape[0])


__all__ = ["AugmentedFlow"]
