"""A family of autoencoders, one for each resolution β, in one network."""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp

from ..._types import Array, Float, Key, Noise, Scalar
from ...noise import normal, uniforms
from ...training import constant
from .._base import AbstractDensity, Condition
from ..diffusion.density import check_condition, check_sizes
from ..diffusion.paths import real
from .transport import AbstractReconstruction, SquaredError
from .vae import gaussian_divergence


@final
class ParametrisedVAE(AbstractDensity):
    r"""An autoencoder whose networks are told the resolution β, so that one training gives the codes of all β.

    \(\ell=D(x,\hat x)/2\beta^2+\mathrm{KL}(q(z\mid x,c,\beta)\|N(0,1))\), β log-uniform between `beta_min` and
    `beta_max` and drawn anew for each event (J. Collins et al., arXiv:2210.11489; the loss of arXiv:2109.10919). With
    D = |x − x̂|² the decoder is normal of width β. How the KL grows as β falls counts the dimensions of the data:
    \(-\mathrm d\,\mathrm{KL}/\mathrm d\ln\beta\).

    **Arguments**

    - `encoder`: network(x, condition) → (2·latent_dim,), `decoder`: network(z, condition) → (dim,), both with
      `condition_size=condition_dim + 1`: the last column is ln β scaled to [−1, 1].
    - `dim`, `latent_dim`, `condition_dim`: sizes.
    - `distance`: D, `SquaredError()` (default) or `SinkhornDistance(num_particles)` for sets of particles.
    - `beta_min`, `beta_max`: range of β in the units of x (or of the coordinates of particles); `sample_beta`: β of
      `sample`, default `beta_min`.

    **Raises** `ValueError` for a size or a range out of order.
    """

    encoder: Any
    decoder: Any
    dim: int = eqx.field(static=True)
    latent_dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    distance: AbstractReconstruction
    beta_min: Scalar = constant()
    beta_max: Scalar = constant()
    sample_beta: Scalar = constant()

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        dim: int,
        latent_dim: int,
        condition_dim: int = 0,
        distance: AbstractReconstruction | None = None,
        beta_min: float = 0.03,
        beta_max: float = 3.0,
        sample_beta: float | None = None,
    ):
        check_sizes(dim, condition_dim)
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
        if not 0 < beta_min < beta_max:
            raise ValueError(f"beta_min and beta_max must be positive and in order, got {beta_min} and {beta_max}")
        self.encoder, self.decoder = encoder, decoder
        self.dim, self.latent_dim, self.condition_dim = dim, latent_dim, condition_dim
        self.distance = SquaredError() if distance is None else distance
        self.beta_min, self.beta_max = real(beta_min), real(beta_max)
        self.sample_beta = real(beta_min if sample_beta is None else sample_beta)

    def _context(self, condition: Condition, beta: Array) -> Array:
        check_condition(condition, self.condition_dim)
        share = jnp.log(beta / self.beta_min) / jnp.log(self.beta_max / self.beta_min)
        own = jnp.reshape(2 * share - 1, (1,))
        return own if condition is None else jnp.concatenate([condition, own])

    def encode_at(
        self, x: Float[Array, " dim"], beta: Scalar, condition: Condition = None
    ) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """μ and ln σ² of the encoder at β."""
        out = self.encoder(x, self._context(condition, beta))
        return out[: self.latent_dim], out[self.latent_dim :]

    def encode(
        self, x: Float[Array, " dim"], condition: Condition = None
    ) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """`encode_at` at `sample_beta`."""
        return self.encode_at(x, self.sample_beta, condition)

    def decode_at(
        self, latent: Float[Array, " latent"], beta: Scalar, condition: Condition = None
    ) -> Float[Array, " dim"]:
        """x̂(z, c) at β."""
        result: Array = self.decoder(latent, self._context(condition, beta))
        return result

    def sample_noise(self, key: Key) -> Noise:
        """Uniforms: `latent` (latent_dim,) and `event` (dim,)."""
        u = uniforms(key, (self.latent_dim + self.dim,))
        return {"latent": u[: self.latent_dim], "event": u[self.latent_dim :]}

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """x̂ of a normal z at `sample_beta`; with `SquaredError` plus the decoder's noise of width β."""
        mean = self.decode_at(normal(noise["latent"]), self.sample_beta, condition)
        if isinstance(self.distance, SquaredError):
            return mean + self.sample_beta * normal(noise["event"])
        return mean

    def loss_noise(self, key: Key) -> Noise:
        """Uniforms: `beta` () and `latent` (latent_dim,)."""
        u = uniforms(key, (self.latent_dim + 1,))
        return {"beta": u[0], "latent": u[1:]}

    def loss_parts(
        self, x: Float[Array, " dim"], beta: Scalar, condition: Condition = None, noise: Noise = ()
    ) -> tuple[Scalar, Scalar]:
        """D(x, x̂) at one z of q, and the KL in nats."""
        mean, log_variance = self.encode_at(x, beta, condition)
        latent = normal(noise["latent"], mean, jnp.exp(log_variance / 2))
        distance = self.distance(x, self.decode_at(latent, beta, condition))
        return distance, jnp.sum(gaussian_divergence(mean, log_variance))

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """D/2β² + KL at one β."""
        beta = self.beta_min * (self.beta_max / self.beta_min) ** noise["beta"]
        distance, divergence = self.loss_parts(x, beta, condition, noise)
        return distance / (2 * beta**2) + divergence


__all__ = ["ParametrisedVAE"]
