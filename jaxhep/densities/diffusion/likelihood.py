"""Log-likelihood along the probability flow."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..._types import Array, Float, Scalar

EXACT_DIM = 20
"""Up to this dimension the divergence is a sum of derivatives; beyond, Hutchinson's estimate."""

Velocity = Callable[[Array, Array], Array]


def divergence(velocity: Velocity, x: Float[Array, " dim"], t: Scalar) -> tuple[Float[Array, " dim"], Scalar]:
    """v and its exact divergence, by one derivative a column."""
    eye = jnp.eye(x.shape[0], dtype=x.dtype)
    value, along = jax.linearize(lambda y: velocity(y, t), x)
    return value, jnp.trace(jax.vmap(along)(eye))


def hutchinson(
    velocity: Velocity, x: Float[Array, " dim"], t: Scalar, probe: Float[Array, " dim"]
) -> tuple[Float[Array, " dim"], Scalar]:
    r"""v and \(r\cdot\partial v\,r\), whose mean over probes r of unit covariance is the divergence (M. Hutchinson,
    Commun. Stat. Simul. 18 (1989) 1059)."""
    value, slope = jax.jvp(lambda y: velocity(y, t), (x,), (probe,))
    return value, slope @ probe


def flow_log_likelihood(
    velocity: Velocity,
    x: Float[Array, " dim"],
    early: Scalar,
    late: Scalar,
    base_width: Scalar,
    *,
    rtol: Scalar,
    atol: Scalar,
    probe: Float[Array, " dim"] | None = None,
    max_steps: int = 4096,
) -> Scalar:
    r"""\(\log p(x)=\log N(x_T;0,w^2)+\int_{t_0}^T\nabla\cdot v\,\mathrm dt\) along \(\dot x=v(x,t)\).

    R. Chen et al., arXiv:1806.07366, eq. 8; by diffrax's `Dopri5`.

    **Arguments**: `velocity` v; `x` at the time `early`; `late` T; `base_width` w; tolerances; `probe`: for
    Hutchinson's estimate, one probe for the whole way; None for the exact divergence.

    **Returns** log p in nats; differentiable in reverse mode.
    """
    import diffrax

    def slope(t: Any, state: tuple[Array, Array], _: None) -> tuple[Array, Array]:
        if probe is None:
            return divergence(velocity, state[0], t)
        return hutchinson(velocity, state[0], t, probe)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(slope),
        diffrax.Dopri5(),
        early,
        late,
        None,
        (x, jnp.zeros((), x.dtype)),
        stepsize_controller=diffrax.PIDController(rtol, atol),
        max_steps=max_steps,
    )
    end, gain = solution.ys[0][0], solution.ys[1][0]
    base = -jnp.sum((end / base_width) ** 2) / 2 - x.shape[0] * jnp.log(base_width * jnp.sqrt(2 * jnp.pi))
    return base + gain


__all__ = ["EXACT_DIM", "divergence", "flow_log_likelihood", "hutchinson"]
