"""Schrödinger bridge: a random walk from one distribution to another, the likeliest with given ends."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Key, Noise, Scalar
from ...noise import normal, uniforms
from ...training import constant
from .._base import AbstractDensity, Condition
from .density import check_condition, check_sizes
from .paths import real
from .samplers._base import check_steps


@final
class SchroedingerBridge(AbstractDensity):
    r"""Bridge matching with Brownian bridges of diffusion ε between a start y (t = 1) and the event x (t = 0).

    \(x_t\sim N((1-t)x+ty,\ \varepsilon t(1-t))\). The network gives \((x_t-\hat x)/s_t\) with
    \(s_t^2=2t^2+\varepsilon t(1-t)\), of order one for standardised data. A sample draws, step by step, from the bridge
    between \(\hat x\) and \(x_t\). Two kinds:

    - `start="condition"`: the first `dim` columns of the condition are y, paired with x by the data (an event measured
      and true, say): the bridge of I2SB (G.-H. Liu et al., arXiv:2302.05872) and of unfolding.
    - `start="normal"`: y is standard normal. With noise paired by the entropic plan of the same ε
      (`PairedLoss("entropic", epsilon=ε)`) the walk is the Schrödinger bridge of the two distributions (A. Tong et al.,
      arXiv:2307.03672, proposition 3.1); without pairing it has the right ends, but is not the bridge.

    Only for the coupling of the Schrödinger bridge does the walk keep the joint distribution of its two ends: for
    normals of widths \(s_0,s_1\) that is the covariance
    \(\tfrac12(\sqrt{4s_0^2s_1^2+\varepsilon^2}-\varepsilon)\) (C. Bunne et al., arXiv:2202.05722, eq. 4).
    The covariance is kept exactly for any number of steps N, the variance of the end up to O(ln N/N).

    **Arguments**: `network` as for `Diffusion`; `dim`, `condition_dim`; `diffusion` ε; `num_steps`, one evaluation
    each; `start`.

    **Raises** `ValueError` for a size out of range, an unknown start, or a condition too small to hold it.
    """

    network: Any
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    start: str = eqx.field(static=True)
    diffusion: Scalar = constant()

    def __init__(
        self,
        network: Any,
        dim: int,
        condition_dim: int = 0,
        diffusion: float | Array = 0.1,
        num_steps: int = 50,
        start: str = "normal",
    ):
        check_sizes(dim, condition_dim)
        check_steps(num_steps, 1)
        if start not in ("normal", "condition"):
            raise ValueError(f"start must be 'normal' or 'condition', got {start!r}")
        if start == "condition" and condition_dim < dim:
            raise ValueError(
                f"start='condition' takes the first {dim} columns of the condition, which has {condition_dim}"
            )
        self.network, self.dim, self.condition_dim = network, dim, condition_dim
        self.diffusion, self.num_steps, self.start = real(diffusion), num_steps, start

    def _begin(self, noise: Noise, condition: Condition) -> Array:
        check_condition(condition, self.condition_dim)
        if self.start == "normal" or condition is None:
            return normal(noise["start"])
        return condition[: self.dim]

    def scale(self, t: Scalar) -> Scalar:
        r"""\(s_t=\sqrt{2t^2+\varepsilon t(1-t)}\)."""
        return jnp.sqrt(2 * t**2 + self.diffusion * t * (1 - t))

    def estimate(self, x: Float[Array, " dim"], t: Scalar, condition: Condition = None) -> Float[Array, " dim"]:
        """x̂ = x_t − s_t F, for t > 0."""
        result: Array = x - self.scale(t) * self.network(x, condition, time=t)
        return result

    def sample_noise(self, key: Key) -> Noise:
        """Uniforms: `start` (dim,) and `walk` (num_steps, dim)."""
        first, second = jax.random.split(key)
        return {"start": uniforms(first, (self.dim,)), "walk": uniforms(second, (self.num_steps, self.dim))}

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The end of the walk."""
        return self.walk(self._begin(noise, condition), normal(noise["walk"]), condition)

    def walk(
        self, start: Float[Array, " dim"], normals: Float[Array, "step dim"], condition: Condition = None
    ) -> Float[Array, " dim"]:
        r"""From y to x: \(x_{t'}=\hat x+\tfrac{t'}t(x_t-\hat x)+\sqrt{\varepsilon t'(t-t')/t}\,z\), in equal steps."""
        times = 1 - jnp.arange(self.num_steps + 1, dtype=start.dtype) / self.num_steps

        def step(x: Array, now: tuple[Array, Array, Array]) -> tuple[Array, None]:
            t, later, kick = now
            clean = self.estimate(x, t, condition)
            variance = self.diffusion * later * (t - later) / t
            width = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)
            return clean + later / t * (x - clean) + width * kick, None

        return jax.lax.scan(step, start, (times[:-1], times[1:], normals))[0]

    def num_evaluations(self) -> int:
        """As many as steps."""
        return self.num_steps

    def loss_noise(self, key: Key) -> Noise:
        """Uniforms: `time` (), `start` (dim,) for y and `bridge` (dim,)."""
        u = uniforms(key, (2 * self.dim + 1,))
        return {"time": u[0], "start": u[1 : self.dim + 1], "bridge": u[self.dim + 1 :]}

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """|F − (x_t − x)/s_t|² at one time."""
        t, y = noise["time"], self._begin(noise, condition)
        moved = (1 - t) * x + t * y + jnp.sqrt(self.diffusion * t * (1 - t)) * normal(noise["bridge"])
        target = (moved - x) / self.scale(t)
        return jnp.sum((self.network(moved, condition, time=t) - target) ** 2)


__all__ = ["SchroedingerBridge"]
