"""Latent-space refinement of a flow by Hamiltonian Monte Carlo."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key, Scalar
from ._base import Condition
from .classifiers import AbstractDensityRatio
from .flows import Flow


class Refined(eqx.Module):
    """What the chains drew.

    **Fields**: `x`, shape (chain, draw, column), the events; `latent`, the same in the latent space; `acceptance`, mean
    acceptance of each chain; `num_divergent`, divergent transitions in all; `r_hat`, the largest split-R̂ of a latent
    column (1 for chains that agree); `effective_size`, the smallest effective number of draws of a latent column.
    """

    x: Float[Array, "chain draw column"]
    latent: Float[Array, "chain draw column"]
    acceptance: Float[Array, " chain"]
    num_divergent: int = eqx.field(static=True)
    r_hat: float = eqx.field(static=True)
    effective_size: float = eqx.field(static=True)

    def __repr__(self) -> str:
        chains, draws, columns = self.x.shape
        return (
            f"Refined({chains} chains × {draws} draws of {columns} columns, acceptance "
            f"{float(self.acceptance.mean()):.2f}, {self.num_divergent} divergent, R̂ {self.r_hat:.3f}, N_eff "
            f"{self.effective_size:,.0f})"
        )


class LatentRefinement(eqx.Module):
    r"""The density \(q(x)\,r(x)/Z\) of a flow q and a density ratio r, sampled in the flow's latent space.

    With x = f(z), the latent density is \(p_0(z)\,r(f(z))/Z\): the Jacobians of the flow cancel, and the potential is
    \(U(z)=-\ln p_0(z)-\ln r(f(z))\) (LASER; arXiv:2305.07696, here with the full Jacobian of every map in the
    chain, since it is the flow's own). It is smooth and nearly normal, so that few steps decorrelate.

    **Arguments**

    - `flow`: a `Flow`; with extra columns of an augmented flow, the ratio sees the first `columns`.
    - `ratio`: ln r(x; c), trained on data against draws of the flow.
    - `columns`: data columns; default all of the flow.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import Affine
    >>> from jaxhep.densities.classifiers import Classifier
    >>> from jaxhep.densities.flows import Flow, Normal
    >>> from jaxhep.densities.laser import LatentRefinement
    >>> flow = Flow(Normal(1), Affine(jnp.zeros(1), jnp.zeros(1)))
    >>> refined = LatentRefinement(flow, Classifier(lambda x, c: x))
    >>> round(float(refined.potential(jnp.array([1.0]))), 4)  # ½ + ½ ln 2π − 1
    0.4189
    """

    flow: Flow
    ratio: AbstractDensityRatio
    columns: int = eqx.field(static=True)

    def __init__(self, flow: Flow, ratio: AbstractDensityRatio, columns: int | None = None):
        self.flow, self.ratio = flow, ratio
        self.columns = flow.dim if columns is None else columns
        if not 1 <= self.columns <= flow.dim:
            raise ValueError(f"columns lies between 1 and {flow.dim}, the flow's, got {columns}")

    def event(self, latent: Float[Array, " dim"], condition: Condition = None) -> Float[Array, " column"]:
        """x = f(z), without the extra columns."""
        for_map = condition if self.flow.bijection.condition_dim else None
        return self.flow.bijection.forward(latent, for_map)[0][: self.columns]

    def potential(self, latent: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """U(z), up to ln Z."""
        for_base = condition if self.flow.base.condition_dim else None
        x = self.event(latent, condition)
        return -self.flow.base.log_prob(latent, for_base) - self.ratio.log_ratio(x, condition)

    def sample(
        self,
        key: Key,
        condition: Condition = None,
        *,
        num_chains: int = 16,
        num_draws: int = 256,
        num_warm_up: int = 256,
        target_acceptance: float = 0.8,
    ) -> Refined:
        """Draws by the no-U-turn sampler of blackjax, one program for all chains.

        Each chain starts at a draw of the base and adapts its own step and widths in the warm-up, whose draws are
        dropped; then they are fixed.

        **Arguments**: `key`; `condition`, one for all chains; `num_chains`, at least 2, for R̂; `num_draws` and
        `num_warm_up` of each chain; `target_acceptance`, 0 to 1.

        **Returns** a `Refined`.
        """
        if num_chains < 2 or num_draws < 4 or num_warm_up < 20:
            raise ValueError(
                f"refinement needs 2 chains, 4 draws and 20 steps of warm-up at least, got {num_chains}, {num_draws} "
                f"and {num_warm_up}"
            )
        if not 0 < target_acceptance < 1:
            raise ValueError(f"target_acceptance lies between 0 and 1, got {target_acceptance}")
        keys = jax.random.split(key, num_chains)
        latent, accepted, divergent = _chains(self, keys, condition, num_draws, num_warm_up, target_acceptance)
        x = eqx.filter_jit(jax.vmap(jax.vmap(lambda z: self.event(z, condition))))(latent)
        host = np.asarray(latent, float)
        r_hat, effective = _diagnose(host)
        return Refined(x, latent, accepted, int(np.asarray(divergent).sum()), r_hat, effective)


@eqx.filter_jit
def _chains(
    refinement: LatentRefinement, keys: Array, condition: Condition, num_draws: int, num_warm_up: int, target: float
) -> tuple[Array, Array, Array]:
    import blackjax

    def log_density(z: Array) -> Scalar:
        return -refinement.potential(z, condition)

    def chain(key: Array) -> tuple[Array, Array, Array]:
        key_start, key_warm, key_run = jax.random.split(key, 3)
        start = refinement.flow.base.sample(refinement.flow.base.sample_noise(key_start))
        warm_up = blackjax.window_adaptation(blackjax.nuts, log_density, target_acceptance_rate=target)
        (state, parameters), _ = warm_up.run(key_warm, start, num_warm_up)
        kernel = blackjax.nuts(log_density, **parameters)

        def step(state: Any, key: Array) -> tuple[Any, tuple[Array, Array, Array]]:
            state, info = kernel.step(key, state)
            return state, (state.position, info.acceptance_rate, info.is_divergent)

        _, (latent, rate, divergent) = jax.lax.scan(step, state, jax.random.split(key_run, num_draws))
        return latent, jnp.mean(rate), jnp.sum(divergent)

    return jax.vmap(chain)(keys)


def _diagnose(latent: np.ndarray) -> tuple[float, float]:
    """Largest split-R̂ and smallest effective size of the columns, by blackjax."""
    from blackjax.diagnostics import effective_sample_size, potential_scale_reduction

    half = latent.shape[1] // 2
    halves = np.concatenate([latent[:, :half], latent[:, -half:]])
    r_hat = np.asarray(potential_scale_reduction(jnp.asarray(halves)))
    return float(r_hat.max()), float(np.asarray(effective_sample_size(jnp.asarray(latent))).min())


__all__ = ["LatentRefinement", "Refined"]
