"""Latent variational diffusion: encoder, decoder, denoiser and noise schedule trained together."""

from typing import Any, ClassVar, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Float, Key, Noise, Scalar
from ...noise import normal, uniforms
from ...training import learned
from .._base import AbstractDensity, Condition
from ..diffusion.density import check_condition, check_sizes
from ..diffusion.paths import AbstractVariancePreserving
from ..diffusion.samplers import AbstractSampler, DPMSolver


@final
class LearnedSchedule(AbstractVariancePreserving):
    r"""A learned monotone noise schedule.

    \(\gamma(t)=\gamma_\min+(\gamma_\max-\gamma_\min)\frac{h(t)-h(0)}{h(1)-h(0)}\) with
    \(h(t)=t+\sum_ke^{a_k}\,\mathrm{sigmoid}(e^{b_k}(t-c_k))\), increasing for any numbers (in the manner of D. Kingma
    et al., arXiv:2107.00630, appendix H). The network of a path with a learned schedule sees the share of γ, not t.

    **Arguments**: `limits` \((\gamma_\min,\gamma_\max)\), learned with the loss; `shape` (3, unit), the rows a, b, c,
    for an optimiser of its own (label `schedule` of `LatentDiffusion.trainable`).
    """

    limits: Float[Array, "2"] = learned()
    shape: Float[Array, "3 unit"] = learned()
    ends_clean: ClassVar[bool] = False

    def __init__(self, limits: Array | None = None, shape: Array | None = None, num_units: int = 16):
        self.limits = jnp.array([-13.3, 5.0]) if limits is None else limits
        if shape is None:
            centres = (jnp.arange(num_units) + 0.5) / num_units
            shape = jnp.stack([jnp.full(num_units, -5.0), jnp.full(num_units, 1.5), centres])
        self.shape = shape

    def share(self, t: Scalar) -> Scalar:
        """(h(t) − h(0))/(h(1) − h(0)), from 0 to 1."""
        size, slope, centre = self.shape

        def h(s: Array) -> Array:
            return s + jnp.sum(jnp.exp(size) * jax.nn.sigmoid(jnp.exp(slope) * (s - centre)))

        low, high = h(jnp.zeros_like(t)), h(jnp.ones_like(t))
        return (h(t) - low) / (high - low)

    def gamma(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """γ(t) and its slope."""
        share, slope = jax.jvp(self.share, (t,), (jnp.ones_like(t),))
        width = self.limits[1] - self.limits[0]
        return self.limits[0] + width * share, width * slope

    def network_input(self, x: Float[Array, " dim"], t: Scalar) -> tuple[Float[Array, " dim"], Scalar]:
        """x and the share of γ."""
        return x, self.share(t)


@final
class LatentDiffusion(AbstractDensity):
    r"""Diffusion in a latent space learned with it (A. Shmakov et al., arXiv:2305.10399).

    With the code z = enc(x) and three independent normals ε the loss of one event is

    \[|x-\mathrm{dec}(z+e^{\gamma_0/2}\varepsilon_1,c)|^2+\tfrac12\dot\gamma(t)\,\omega(\gamma)|\hat\varepsilon(
    \alpha_tz+\sigma_t\varepsilon_2,c)-\varepsilon_2|^2+\tfrac12\sum[\alpha_1^2z^2+\sigma_1^2-\ln\sigma_1^2-1]\]

    with \(\omega=\mathrm{sigmoid}(\gamma+2)\), or 1. With ω = 1 the middle term's mean does not depend on the shape of
    γ(t), its variance does: the shape follows the gradient of the squared middle term, which minimises that variance,
    everything else that of the loss. Both are in `loss` at once; `trainable` gives the shape a label and so a learning
    rate of its own. `jaxhep.densities.diffusion.StratifiedLoss` spreads t over the batch.

    **Arguments**

    - `encoder`: network(x, None) → (latent_dim,); `decoder`: network(z, condition) → (dim,); `denoiser`: network(z,
      condition, time=share of γ) → (latent_dim,).
    - `dim`, `latent_dim`, `condition_dim`: sizes; x should be standardised.
    - `schedule`: default `LearnedSchedule()`; `sampler`: default `DPMSolver(50)`; `weighting`: `"sigmoid"` or `"none"`.

    **Raises** `ValueError` for a size out of range or an unknown weighting.
    """

    encoder: Any
    decoder: Any
    denoiser: Any
    schedule: LearnedSchedule
    dim: int = eqx.field(static=True)
    latent_dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    sampler: AbstractSampler
    weighting: Literal["sigmoid", "none"] = eqx.field(static=True)

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        denoiser: Any,
        dim: int,
        latent_dim: int,
        condition_dim: int = 0,
        schedule: LearnedSchedule | None = None,
        sampler: AbstractSampler | None = None,
        weighting: Literal["sigmoid", "none"] = "sigmoid",
    ):
        check_sizes(dim, condition_dim)
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
        if weighting not in ("sigmoid", "none"):
            raise ValueError(f"weighting must be 'sigmoid' or 'none', got {weighting!r}")
        self.encoder, self.decoder, self.denoiser = encoder, decoder, denoiser
        self.dim, self.latent_dim, self.condition_dim = dim, latent_dim, condition_dim
        self.schedule = LearnedSchedule() if schedule is None else schedule
        self.sampler = DPMSolver(num_steps=50) if sampler is None else sampler
        self.weighting = weighting

    @staticmethod
    def trainable(path: str, leaf: Any) -> str | bool:
        """For `fit(…, trainable=…)`: the label `schedule` for the shape of γ, `default` for the rest."""
        return "schedule" if path == "schedule.shape" else not path.startswith("sampler")

    def sample_noise(self, key: Key) -> Noise:
        """Uniforms: `start` (latent_dim,) and `walk` (row, latent_dim)."""
        first, second = jax.random.split(key)
        walk = self.sampler.walk_noise(second, self.latent_dim)
        return {"start": uniforms(first, (self.latent_dim,)), "walk": walk}

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The decoder at the end of the sampler's way in the latent space."""
        check_condition(condition, self.condition_dim)

        def field(z: Array, t: Array) -> tuple[Array, Array]:
            own, clock = self.schedule.network_input(z, t)
            return self.schedule.estimates(self.denoiser(own, condition, time=clock), z, t)

        z = self.sampler(field, self.schedule, normal(noise["start"]), normal(noise["walk"]))
        result: Array = self.decoder(z, condition)
        return result

    def loss_noise(self, key: Key) -> Noise:
        """Uniforms: `time` (), `code` and `start` (latent_dim,)."""
        u = uniforms(key, (2 * self.latent_dim + 1,))
        return {"time": u[0], "code": u[1 : self.latent_dim + 1], "start": u[self.latent_dim + 1 :]}

    def diffusion_loss(self, code: Float[Array, " latent"], condition: Condition, noise: Noise) -> Scalar:
        """The middle term."""
        t, eps = noise["time"], normal(noise["start"])
        gamma, slope = self.schedule.gamma(t)
        alpha, sigma = jnp.sqrt(jax.nn.sigmoid(-gamma)), jnp.sqrt(jax.nn.sigmoid(gamma))
        z, clock = self.schedule.network_input(alpha * code + sigma * eps, t)
        weight = jax.nn.sigmoid(gamma + 2) if self.weighting == "sigmoid" else 1.0
        return slope / 2 * weight * jnp.sum((self.denoiser(z, condition, time=clock) - eps) ** 2)

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """The three terms; the derivative with respect to the schedule's shape is that of the squared second one."""
        check_condition(condition, self.condition_dim)
        code = self.encoder(x, None)
        fixed_shape = eqx.tree_at(lambda m: m.schedule.shape, self, lax.stop_gradient(self.schedule.shape))
        low, high = self.schedule.limits[0], self.schedule.limits[1]
        seen = code + jnp.exp(low / 2) * normal(noise["code"])
        reconstruction = jnp.sum((x - self.decoder(seen, condition)) ** 2)
        alpha2, sigma2 = jax.nn.sigmoid(-high), jax.nn.sigmoid(high)
        prior = jnp.sum(alpha2 * code**2 + sigma2 - jnp.log(sigma2) - 1) / 2
        value = reconstruction + fixed_shape.diffusion_loss(code, condition, noise) + prior
        # Equal to zero; its derivative is that of the square with respect to the shape only.
        frozen: LatentDiffusion = jax.tree.map(lax.stop_gradient, self)
        only_shape = eqx.tree_at(lambda m: m.schedule.shape, frozen, self.schedule.shape)
        square = only_shape.diffusion_loss(lax.stop_gradient(code), condition, noise) ** 2
        return value + square - lax.stop_gradient(square)


__all__ = ["LatentDiffusion", "LearnedSchedule"]
