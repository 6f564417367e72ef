"""The variational autoencoder, with the bounds and counts that tell whether it works."""

import dataclasses
from collections.abc import Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Int, Key, Noise, Scalar
from ...noise import normal, uniforms
from ...training import TrainingSettings, constant, density_loss, fit, learned
from .._base import AbstractDensity, Condition
from ..diffusion.density import check_condition, check_sizes
from ..diffusion.paths import real

_LOG_2PI = 1.8378770664093453


def gaussian_divergence(
    mean: Float[Array, " latent"], log_variance: Float[Array, " latent"]
) -> Float[Array, " latent"]:
    r"""\(\mathrm{KL}(N(\mu,\sigma^2)\|N(0,1))=\tfrac12(\mu^2+\sigma^2-1-\ln\sigma^2)\), column by column, in nats."""
    return (mean**2 + jnp.exp(log_variance) - 1 - log_variance) / 2


@final
class VAE(AbstractDensity):
    r"""A variational autoencoder (D. Kingma, M. Welling, arXiv:1312.6114) with a learned decoder variance.

    \(\ell=-E_{q(z|x,c)}\ln p(x\mid z,c)+\beta\sum_j\max(\mathrm{KL}_j,\lambda)\), with normal encoder
    \(q=N(\mu(x,c),\sigma^2(x,c))\), prior N(0,1) and decoder \(N(\hat x(z,c),s^2)\). A fixed s would be a hidden β, so
    s is learned, one number a column. With β = 1 and λ = 0 −ℓ is a bound on the log-likelihood.

    **Arguments**

    - `encoder`: network(x, condition) → (2·latent_dim,), μ and ln σ².
    - `decoder`: network(z, condition) → (dim,).
    - `dim`, `latent_dim`, `condition_dim`: sizes; x should be standardised.
    - `log_variance`: ln s² at the start, default zeros.
    - `beta`: β; above 1 for a code of few independent columns. `free_bits` λ in nats, below which a column's KL is not
      pushed: against collapse. `train_with_warm_up` raises β in stages.

    **Raises** `ValueError` for a size out of range.

    >>> import jax
    >>> from jaxhep.densities.autoencoders import VAE
    >>> from jaxhep.networks import make_network
    >>> encoder, decoder = (make_network("mlp", in_size=i, out_size=o, width=8, depth=1, key=jax.random.key(0))
    ...                     for i, o in ((3, 4), (2, 3)))
    >>> vae = VAE(encoder, decoder, dim=3, latent_dim=2)
    >>> vae.sample(vae.sample_noise(jax.random.key(1))).shape
    (3,)
    """

    encoder: Any
    decoder: Any
    dim: int = eqx.field(static=True)
    latent_dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    log_variance: Float[Array, " dim"] = learned()
    beta: Scalar = constant()
    free_bits: Scalar = constant()

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        dim: int,
        latent_dim: int,
        condition_dim: int = 0,
        log_variance: Array | None = None,
        beta: float | Array = 1.0,
        free_bits: float | Array = 0.0,
    ):
        check_sizes(dim, condition_dim)
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
        self.encoder, self.decoder = encoder, decoder
        self.dim, self.latent_dim, self.condition_dim = dim, latent_dim, condition_dim
        self.log_variance = jnp.zeros(dim) if log_variance is None else log_variance
        self.beta, self.free_bits = real(beta), real(free_bits)

    def encode(
        self, x: Float[Array, " dim"], condition: Condition = None
    ) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """μ and ln σ² of the encoder."""
        check_condition(condition, self.condition_dim)
        out = self.encoder(x, condition)
        return out[: self.latent_dim], out[self.latent_dim :]

    def decode(self, latent: Float[Array, " latent"], condition: Condition = None) -> Float[Array, " dim"]:
        """x̂(z, c)."""
        check_condition(condition, self.condition_dim)
        result: Array = self.decoder(latent, condition)
        return result

    def _log_likelihood(self, x: Array, latent: Array, condition: Condition) -> Array:
        square = (x - self.decode(latent, condition)) ** 2 * jnp.exp(-self.log_variance)
        return -jnp.sum(square + self.log_variance + _LOG_2PI) / 2

    def sample_noise(self, key: Key) -> Noise:
        """Uniforms: `latent` (latent_dim,) and `event` (dim,)."""
        u = uniforms(key, (self.latent_dim + self.dim,))
        return {"latent": u[: self.latent_dim], "event": u[self.latent_dim :]}

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """x̂ of a normal z, with noise of the decoder's variance."""
        mean = self.decode(normal(noise["latent"]), condition)
        return mean + jnp.exp(self.log_variance / 2) * normal(noise["event"])

    def loss_noise(self, key: Key) -> Noise:
        """Uniforms `latent` (latent_dim,)."""
        return {"latent": uniforms(key, (self.latent_dim,))}

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """Reconstruction at one z of q, plus β times the KL."""
        mean, log_variance = self.encode(x, condition)
        latent = normal(noise["latent"], mean, jnp.exp(log_variance / 2))
        divergence = jnp.maximum(gaussian_divergence(mean, log_variance), self.free_bits)
        return self.beta * jnp.sum(divergence) - self._log_likelihood(x, latent, condition)

    def importance_bound(
        self, x: Float[Array, " dim"], condition: Condition = None, *, key: Key, num_draws: int = 64
    ) -> Scalar:
        r"""\(\ln\frac1K\sum_k p(x\mid z_k)p(z_k)/q(z_k\mid x)\), z of q: a bound on \(\ln p(x\mid c)\), tighter for
        larger K.

        Y. Burda et al., arXiv:1509.00519, eq. 8; K = 1 is the ELBO, whatever β and λ of the training.
        """
        mean, log_variance = self.encode(x, condition)
        eps = normal(uniforms(key, (num_draws, self.latent_dim), x.dtype))

        def weight(e: Array) -> Array:
            z = mean + jnp.exp(log_variance / 2) * e
            return self._log_likelihood(x, z, condition) + jnp.sum(e**2 - z**2 + log_variance) / 2

        return jax.nn.logsumexp(jax.vmap(weight)(eps)) - jnp.log(num_draws)


def active_units(
    model: Any, x: Float[Array, "event dim"], condition: Float[Array, "event condition"] | None = None
) -> Int[Array, ""]:
    """Latent columns that are used: those whose μ varies over the events by more than 0.01 (Y. Burda et al.,
    arXiv:1509.00519, section 5.2). Fewer than `latent_dim` means collapse, or a latent space larger than the data."""
    axes = (0, None if condition is None else 0)
    means, _ = jax.vmap(model.encode, in_axes=axes)(x, condition)
    return jnp.sum(jnp.var(means, axis=0) > 0.01)


def train_with_warm_up(
    model: VAE,
    data: Any,
    *,
    key: Key,
    settings: TrainingSettings,
    shares: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    conditional: bool = False,
    **options: Any,
) -> Any:
    """Trains with β raised in stages, `shares` of its final value, and the settings' length divided evenly over them.

    Without the warm-up a decoder may learn to do without the code before the code says anything. β is a number in the
    program, not part of it: the stages share one compilation. Each has the schedule of the settings and its own
    optimiser state.

    **Arguments**: `model`, `data`, `key`, `settings` with `steps`; `options` as for `jaxhep.training.fit`.

    **Returns** the `TrainingResult` of the last stage.

    **Raises** `ValueError` if `settings.steps` is None or the last share is not one.
    """
    if settings.steps is None:
        raise ValueError("the warm-up divides a number of steps: give the settings steps=, not epochs=")
    if not shares or shares[-1] != 1:
        raise ValueError(f"the last share of β must be 1, got {tuple(shares)}")
    stage = dataclasses.replace(settings, steps=max(1, settings.steps // len(shares)))
    final, result = model.beta, None
    for i, share in enumerate(shares):
        model = eqx.tree_at(lambda m: m.beta, model, final * share)
        own = jax.random.fold_in(key, i)
        result = fit(model, density_loss(conditional), data, key=own, settings=stage, **options)
        model = result.model
    return result


__all__ = ["VAE", "active_units", "gaussian_divergence", "train_with_warm_up"]
