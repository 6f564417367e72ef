"""Several densities as one: an ensemble whose average is a density again."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .. import noise as variates
from .._types import Array, Float, Key, Noise, Scalar
from ._arguments import check_condition, check_event
from ._base import AbstractTractableDensity, Condition
from ._fields import CONSTANT


class Mixture(AbstractTractableDensity):
    r"""\(p(x\mid c)=\sum_k w_k\,p_k(x\mid c)\), for members trained with different seeds or of different kinds.

    As \(-\ln\) is convex, \(\mathrm{KL}(p^\ast\Vert p)\le\sum_kw_k\mathrm{KL}(p^\ast\Vert p_k)\): the mixture of an
    ensemble is never worse than its members are on average, and better by what they disagree about.

    **Arguments**

    - `members`: densities with `log_prob`, all of one `dim` and `condition_dim`.
    - `weights`: \(w_k>0\), normalised here; equal ones by default. They are constants: no optimiser moves them.

    `log_prob` costs one call of each member, and so does `sample`, which draws from all and keeps one.

    **Gradients**: `log_prob` in x, c and the members' parameters. `sample` is pathwise in the member that is kept, at
    frozen noise; where the choice would have to depend on a parameter, that is not seen.

    **Raises** `ValueError` for no members, for sizes that differ, or for weights that are not above zero.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import Affine
    >>> from jaxhep.densities.flows import Flow, Normal
    >>> from jaxhep.densities.mixture import Mixture
    >>> wide = Flow(Normal(1), Affine(jnp.zeros(1), jnp.log(jnp.array([2.0]))))
    >>> round(float(jnp.exp(Mixture([Normal(1), wide], [3.0, 1.0]).log_prob(jnp.zeros(1)))), 4)
    0.3491
    """

    members: tuple[AbstractTractableDensity, ...]
    log_weights: Float[Array, " member"] = eqx.field(metadata=CONSTANT)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, members: Sequence[AbstractTractableDensity], weights: Sequence[float] | None = None):
        self.members = tuple(members)
        if not self.members:
            raise ValueError("a mixture needs at least one member")
        for member in self.members:
            if not isinstance(member, AbstractTractableDensity):
                raise TypeError(f"members of a mixture are densities with log_prob, not {type(member).__name__}")
        sizes = {(member.dim, member.condition_dim) for member in self.members}
        if len(sizes) > 1:
            raise ValueError(f"members differ in (dim, condition_dim): {sorted(sizes)}")
        numbers = np.ones(len(self.members)) if weights is None else np.asarray(weights, float)
        if numbers.shape != (len(self.members),) or not np.all((numbers > 0) & np.isfinite(numbers)):
            raise ValueError(f"weights are {len(self.members)} finite numbers above zero, got {numbers.tolist()}")
        self.log_weights = jnp.asarray(np.log(numbers / numbers.sum()))
        ((self.dim, self.condition_dim),) = sizes

    def sample_noise(self, key: Key) -> Noise:
        """One variate for the choice, and the noise of every member."""
        first, *others = jax.random.split(key, 1 + len(self.members))
        drawn = tuple(member.sample_noise(one) for member, one in zip(self.members, others, strict=True))
        return {"which": variates.uniforms(first, ()), "members": drawn}

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        r"""The draw of the first member k with \(u<\sum_{j\le k}w_j\)."""
        check_condition(condition, self.condition_dim)
        drawn = [member.sample(one, condition) for member, one in zip(self.members, noise["members"], strict=True)]
        ends = jnp.cumsum(jnp.exp(jax.lax.stop_gradient(self.log_weights)))[:-1]
        chosen = jnp.sum(noise["which"] >= ends)
        kept = drawn[0]
        for k, other in enumerate(drawn[1:], 1):
            kept = jnp.where(chosen == k, other, kept)
        return kept

    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """The log density in nats; −∞ where all members have none."""
        check_event(x, self.dim)
        check_condition(condition, self.condition_dim)
        logs = jnp.stack([member.log_prob(x, condition) for member in self.members])
        return jax.nn.logsumexp(logs + self.log_weights.astype(logs.dtype))

    def __repr__(self) -> str:
        names = ", ".join(sorted({type(member).__name__ for member in self.members}))
        condition = f", condition_dim={self.condition_dim}" if self.condition_dim else ""
        return f"Mixture({len(self.members)} × {names}, dim={self.dim}{condition})"


__all__ = ["Mixture"]
