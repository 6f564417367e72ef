"""Networks of a set of particles that do not depend on their order: deep sets and the energy-flow network."""

import flax.linen as nn
import jax.numpy as jnp

from .._types import Array
from ._blocks import Architecture


class DeepSets(Architecture):
    r"""\(F\big(\sum_i\Phi(p_i)\big/\sqrt n\big)\), which does not depend on the order of the particles.

    Zaheer et al., arXiv:1703.06114; Komiske et al., arXiv:1810.05165, eq. 1.1. Φ and F have `depth` hidden layers of
    `width`; `pool` is how the set is summed: `sum` (over \(\sqrt n\) of the padded size n, a constant that keeps the
    numbers of order one), `mean` over the particles there are, or `max`. With `energy_weighted` the first column is
    \(z_i\) and the sum \(\sum_iz_i\Phi(\hat p_i)\) over the other columns: the energy-flow network, infrared and
    collinear safe (arXiv:1810.05165, eq. 1.2). Condition and time join at F.
    """

    pool: str = "sum"
    energy_weighted: bool = False

    @nn.compact
    def __call__(
        self,
        x: Array,
        condition: Array | None = None,
        time: Array | None = None,
        mask: Array | None = None,
        deterministic: bool = True,
    ) -> Array:
        """One event (particle, in_size) and its mask to (out_size,)."""
        there = jnp.ones(x.shape[0], bool) if mask is None else mask
        h = jnp.where(there[:, None], x, 0)  # what stands in empty slots must not matter, not even if it is NaN
        share = there.astype(h.dtype)
        if self.energy_weighted:
            share, h = h[:, 0], h[:, 1:]
        for _ in range(self.depth):
            h = self.act(self.dense(self.width)(h))
        h = self.dense(self.width, name="latent")(h)
        if self.pool == "max":
            h = jnp.max(jnp.where(there[:, None], h, -jnp.inf), axis=0)
            h = jnp.where(jnp.any(there), h, 0)
        elif self.pool == "mean":
            h = share @ h / jnp.maximum(jnp.sum(there), 1)
        else:
            h = share @ h / (1.0 if self.energy_weighted else x.shape[0] ** 0.5)
        context = self.context(condition, time)
        if context is not None:
            h = jnp.concatenate([h, context])
        for _ in range(self.depth):
            h = self.drop(self.act(self.dense(self.width)(h)), deterministic)
        return self.last(self.out_size)(h)


__all__ = ["DeepSets"]
