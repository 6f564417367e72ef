"""The reverse diffusion as a random walk."""

from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp

from ...._types import Array, Float, Scalar
from ....training import constant
from ..paths import AbstractPath, real
from ._base import AbstractSampler, Field, check_steps


@final
class EulerMaruyama(AbstractSampler):
    r"""Euler–Maruyama for a reverse-time diffusion with the marginals of the path.

    \(\mathrm dx=(v+\kappa\dot\sigma\hat\varepsilon)\,\mathrm dt+\sqrt{2\kappa\sigma\dot\sigma}\,\mathrm d\bar W\): for
    any κ ≥ 0 its distributions at all times are those of the probability flow (Y. Song et al., arXiv:2011.13456,
    appendix D.1, with \(g^2\to2\kappa\sigma\dot\sigma\)); κ = 1 on `EDM` is the reverse of the forward diffusion, κ = 0
    the flow by Euler's method. Weak order one. The fresh noise corrects errors of the field made before.

    **Arguments**: `num_steps`; `churn` κ; `denoise`.
    """

    num_steps: int = eqx.field(static=True)
    denoise: bool = eqx.field(static=True)
    churn: Scalar = constant()

    def __init__(self, num_steps: int = 100, churn: float | Array = 1.0, denoise: bool = True):
        check_steps(num_steps)
        self.num_steps, self.churn, self.denoise = num_steps, real(churn), denoise

    def __call__(
        self,
        field: Field,
        path: AbstractPath,
        start: Float[Array, " dim"],
        normals: Float[Array, "step dim"] | None = None,
    ) -> Float[Array, " dim"]:
        """See `AbstractSampler`."""
        times = self.times(path)
        if normals is None:
            raise ValueError("EulerMaruyama needs the normals of its walk; draw noise with the density's sample_noise")

        def step(x: Array, now: tuple[Array, Array, Array]) -> tuple[Array, None]:
            t, later, kick = now
            sigma, (fade, rate) = path.levels(t)[1], path.rates(t)
            clean, noise = field(x, t)
            drift = fade * clean + (1 + self.churn) * rate * noise
            # σ may be zero at the clean end, never at the time where a step begins.
            width = jnp.sqrt(2 * self.churn * sigma * rate * (t - later))
            return x + (later - t) * drift + width * kick, None

        count = times.shape[0] - 1
        x, _ = jax.lax.scan(step, start, (times[:-1], times[1:], normals[:count]))
        return field(x, times[-1])[0] if self.denoise and not path.ends_clean else x

    def num_evaluations(self, path: AbstractPath) -> int:
        """N."""
        return self.num_steps if path.ends_clean or self.denoise else self.num_steps - 1

    @property
    def num_normals(self) -> int:
        """N."""
        return self.num_steps


__all__ = ["EulerMaruyama"]
