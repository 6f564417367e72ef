"""The continuous flow: the base carried along an ordinary differential equation."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ... import noise as variates
from ..._types import Array, Float, Key, Noise, Scalar
from .._arguments import check_condition, check_event, check_sizes
from .._base import AbstractTractableDensity, Condition
from .base import Normal

VectorField = Callable[..., Any]
"""Called as field(x, condition, time=t): the velocity, shape (dim,)."""


class ContinuousFlow(AbstractTractableDensity):
    r"""The density that \(\dot x=v(x,t;c)\) makes of its base between t = 0 and t = 1.

    \[\ln p(x_1\mid c)=\ln p_0(x_0)-\int_0^1\nabla\cdot v(x_t,t;c)\,\mathrm dt\]

    (R. Chen et al., arXiv:1806.07366, equation 8). The divergence is exact, the trace of the Jacobian in forward mode
    (dim products), or Hutchinson's estimate \(\varepsilon^T(\partial v/\partial x)\varepsilon\) with one probe ε = ±1
    for the whole solve (W. Grathwohl et al., arXiv:1810.01367), which leaves \(\ln p\) unbiased and makes the loss
    noisy. `log_prob` is exact whatever the loss uses, unless a probe is handed in.

    **Arguments**

    - `field`: v, called as field(x, condition, time=t); a network of `jaxhep.networks` with time features.
    - `dim`, `condition_dim`: sizes of x and c.
    - `base`: tractable density at t = 0; default the standard normal.
    - `divergence`: "exact" or "hutchinson", in the loss.
    - `num_steps`: number of equal steps of Dormand–Prince 5(4); None, the default, chooses steps by the tolerances.
    - `rtol`, `atol`: tolerances of the adaptive steps.
    - `max_steps`: most adaptive steps; more is an error, never a cut-off.
    - `forward_mode`: use an adjoint that `jax.jvp` can pass; reverse mode is cheaper without.

    **Gradients**: of the numerical solution (discretise, then differentiate), in x, c and the parameters.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.densities.flows import ContinuousFlow
    >>> flow = ContinuousFlow(lambda x, condition, time: x, 1)
    >>> round(float(flow.sample(jnp.array([0.8413447]))[0]), 3)  # e times the quantile 1
    2.718
    """

    field: VectorField
    base: AbstractTractableDensity
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    divergence: str = eqx.field(static=True)
    num_steps: int | None = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    forward_mode: bool = eqx.field(static=True)

    def __init__(
        self,
        field: VectorField,
        dim: int,
        condition_dim: int = 0,
        *,
        base: AbstractTractableDensity | None = None,
        divergence: str = "exact",
        num_steps: int | None = None,
        rtol: float = 1e-5,
        atol: float = 1e-6,
        max_steps: int = 1024,
        forward_mode: bool = False,
    ):
        check_sizes(dim=dim, max_steps=max_steps)
        if divergence not in ("exact", "hutchinson"):
            raise ValueError(f"divergence is 'exact' or 'hutchinson', not {divergence!r}")
        if num_steps is not None:
            check_sizes(num_steps=num_steps)
        self.field, self.base = field, Normal(dim) if base is None else base
        if self.base.dim != dim or self.base.condition_dim:
            raise ValueError(f"the base must have {dim} columns and no condition")
        self.dim, self.condition_dim, self.divergence = dim, condition_dim, divergence
        self.num_steps, self.rtol, self.atol, self.max_steps = num_steps, rtol, atol, max_steps
        self.forward_mode = forward_mode

    def _solve(self, rate: Callable[..., Any], start: Any, begin: float, end: float) -> Any:
        import diffrax

        if self.num_steps is None:
            controller: Any = diffrax.PIDController(rtol=self.rtol, atol=self.atol)
            first, most = None, self.max_steps
        else:
            controller, first, most = diffrax.ConstantStepSize(), (end - begin) / self.num_steps, self.num_steps + 1
        adjoint: Any = diffrax.DirectAdjoint() if self.forward_mode else diffrax.RecursiveCheckpointAdjoint()
        # Time in the state's own precision: the solver would otherwise mix types.
        dtype = jax.tree.leaves(start)[0].dtype
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rate), diffrax.Dopri5(), jnp.asarray(begin, dtype), jnp.asarray(end, dtype), first, start,
            stepsize_controller=controller, adjoint=adjoint, max_steps=most,
        )  # fmt: skip
        return jax.tree.map(lambda leaf: leaf[-1], solution.ys)

    def _rate(self, condition: Condition, probe: Array | None) -> Callable[..., Any]:
        """The rates of x and of −∫ div."""

        def rate(t: Array, state: tuple[Array, Array], args: Any) -> tuple[Array, Array]:
            x, _ = state

            def velocity(point: Array) -> Array:
                return self.field(point, condition, time=t)

            if probe is None:
                push = jax.vmap(lambda tangent: jax.jvp(velocity, (x,), (tangent,)))
                values, columns = push(jnp.eye(self.dim, dtype=x.dtype))
                return values[0], -jnp.trace(columns)
            value, change = jax.jvp(velocity, (x,), (probe.astype(x.dtype),))
            return value, -jnp.sum(probe * change).astype(x.dtype)

        return rate

    def sample_noise(self, key: Key) -> Noise:
        """The noise of the base."""
        return self.base.sample_noise(key)

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The point that starts at the base's draw, at t = 1."""
        check_condition(condition, self.condition_dim)
        z = self.base.sample(noise)
        return self._solve(lambda t, x, args: self.field(x, condition, time=t), z, 0.0, 1.0)

    def sample_and_log_prob(self, noise: Noise, condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """Both from one solve, with the exact divergence."""
        check_condition(condition, self.condition_dim)
        z = self.base.sample(noise)
        x, change = self._solve(self._rate(condition, None), (z, jnp.zeros((), z.dtype)), 0.0, 1.0)
        return x, self.base.log_prob(z) + change

    def loss_noise(self, key: Key) -> Noise:
        """`dim` variates of the probe for Hutchinson's divergence, else nothing."""
        return variates.uniforms(key, (self.dim,)) if self.divergence == "hutchinson" else ()

    def log_prob(
        self, x: Float[Array, " dim"], condition: Condition = None, probe: Float[Array, " dim"] | None = None
    ) -> Scalar:
        r"""\(\ln p(x\mid c)\): exact without a probe; with one (mean zero, unit covariance) an unbiased estimate."""
        check_event(x, self.dim)
        check_condition(condition, self.condition_dim)
        z, change = self._solve(self._rate(condition, probe), (x, jnp.zeros((), x.dtype)), 1.0, 0.0)
        # The integral ran from 1 to 0: its sign is turned.
        return self.base.log_prob(z) - change

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        r"""\(-\ln p(x\mid c)\), with Hutchinson's divergence if chosen; the noise is that of `loss_noise`."""
        if self.divergence == "exact":
            return -self.log_prob(x, condition)
        probe = lax.stop_gradient(jnp.where(jnp.asarray(noise) < 0.5, -1.0, 1.0)).astype(x.dtype)
        return -self.log_prob(x, condition, probe)


__all__ = ["ContinuousFlow", "VectorField"]
