"""Conditional generative adversarial networks."""

import dataclasses
from typing import Any, ClassVar, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Float, Key, Noise, Scalar
from ...noise import normal, uniforms
from ...training import Objective, constant
from .._base import AbstractDensity, Condition
from ..diffusion.density import check_condition, check_sizes
from ..diffusion.paths import real


@final
class ConditionalGAN(AbstractDensity):
    r"""A generator \(\tilde x=G(z,c)\) against a critic D(x, c).

    - `"r3gan"` (default; N. Huang et al., arXiv:2501.05441): the critic minimises
      \(\mathrm{softplus}(-(D(x)-D(\tilde x)))+\tfrac\gamma2(|\nabla D(x)|^2+|\nabla D(\tilde x)|^2)\), the generator
      the first term with x and x̃ exchanged. Locally convergent; no tricks needed.
    - `"wgan_gp"` (I. Gulrajani et al., arXiv:1704.00028): the critic minimises \(D(\tilde x)-D(x)+\gamma(|\nabla D(
      \hat x)|-1)^2\) at \(\hat x=ux+(1-u)\tilde x\), the generator \(-D(\tilde x)\).

    Each event is paired with one generated for the same condition, and its weight is the pair's: real and generated
    averages run over the same weighted conditions.

    There is no likelihood. `jaxhep.training.fit(gan, gan.objectives(), …, trainable=gan.trainable)` lets the two take
    turns; `loss` is both at once, each term moving its own network only.

    **Arguments**

    - `generator`: network(z, condition) → (dim,); `critic`: network(x, condition) → (1,).
    - `dim`, `latent_dim`, `condition_dim`: sizes of x, z and c; x should be standardised.
    - `game`: which losses; `penalty` γ, default 1 (`r3gan`) or 10 (`wgan_gp`); `on_generated`: whether the `r3gan`
      critic is penalised at x̃, too.

    **Raises** `ValueError` for a size out of range or an unknown game.

    >>> import jax
    >>> from jaxhep.densities.adversarial import ConditionalGAN
    >>> from jaxhep.networks import make_network
    >>> generator, critic = (make_network("mlp", in_size=2, out_size=o, width=8, depth=1, key=jax.random.key(o))
    ...                      for o in (2, 1))
    >>> gan = ConditionalGAN(generator, critic, dim=2, latent_dim=2)
    >>> gan.sample(gan.sample_noise(jax.random.key(1))).shape
    (2,)
    """

    generator: Any
    critic: Any
    dim: int = eqx.field(static=True)
    latent_dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    game: str = eqx.field(static=True)
    on_generated: bool = eqx.field(static=True)
    penalty: Scalar = constant()

    trainable: ClassVar[dict[str, Any]] = {"generator.*": "generator", "critic.*": "critic"}
    """For `fit(…, trainable=…)`: the labels of the two networks."""

    def __init__(
        self,
        generator: Any,
        critic: Any,
        dim: int,
        latent_dim: int,
        condition_dim: int = 0,
        game: str = "r3gan",
        penalty: float | Array | None = None,
        on_generated: bool = True,
    ):
        check_sizes(dim, condition_dim)
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
        if game not in ("r3gan", "wgan_gp"):
            raise ValueError(f"game must be 'r3gan' or 'wgan_gp', got {game!r}")
        self.generator, self.critic = generator, critic
        self.dim, self.latent_dim, self.condition_dim = dim, latent_dim, condition_dim
        self.game, self.on_generated = game, on_generated
        self.penalty = real({"r3gan": 1.0, "wgan_gp": 10.0}[game] if penalty is None else penalty)

    def sample_noise(self, key: Key) -> Noise:
        """Uniforms `latent` (latent_dim,)."""
        return {"latent": uniforms(key, (self.latent_dim,))}

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """G(z, c) of a normal z."""
        check_condition(condition, self.condition_dim)
        result: Array = self.generator(normal(noise["latent"]), condition)
        return result

    def criticise(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """D(x, c)."""
        check_condition(condition, self.condition_dim)
        result: Array = self.critic(x, condition)[0]
        return result

    def loss_noise(self, key: Key) -> Noise:
        """Uniforms: `latent` (latent_dim,) and `between` ()."""
        u = uniforms(key, (self.latent_dim + 1,))
        return {"latent": u[1:], "between": u[0]}

    def critic_loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """What the critic minimises; the generated event is held fixed."""
        fake = lax.stop_gradient(self.sample(noise, condition))
        value_and_slope = jax.value_and_grad(lambda y: self.criticise(y, condition))
        if self.game == "r3gan":
            (real_value, slope), (fake_value, fake_slope) = value_and_slope(x), value_and_slope(fake)
            size = jnp.sum(slope**2) + (jnp.sum(fake_slope**2) if self.on_generated else 0.0)
            return jax.nn.softplus(fake_value - real_value) + self.penalty / 2 * size
        u = noise["between"]
        square = jnp.sum(value_and_slope(u * x + (1 - u) * fake)[1] ** 2)
        # The norm's derivative at a slope of zero is taken as zero.
        norm = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
        return self.criticise(fake, condition) - self.criticise(x, condition) + self.penalty * (norm - 1) ** 2

    def generator_loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """What the generator minimises; the critic's parameters are held fixed."""
        fixed: ConditionalGAN = eqx.tree_at(lambda m: m.critic, self, _held(self.critic))
        fake = fixed.criticise(self.sample(noise, condition), condition)
        if self.game == "wgan_gp":
            return -fake
        return jax.nn.softplus(fixed.criticise(x, condition) - fake)

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """Both losses: the derivative is each player's own."""
        return self.critic_loss(x, condition, noise) + self.generator_loss(x, condition, noise)

    def objectives(self, conditional: bool | None = None, critic_steps: int | None = None) -> list[Objective]:
        """The two losses in turn for `jaxhep.training.fit`: by default 1 critic step (`r3gan`) or 5 (`wgan_gp`)."""
        has_condition = self.condition_dim > 0 if conditional is None else conditional
        steps = (5 if self.game == "wgan_gp" else 1) if critic_steps is None else critic_steps
        return [
            Objective(PlayerLoss("critic", has_condition), ("critic",), steps, name="critic"),
            Objective(PlayerLoss("generator", has_condition), ("generator",), 1, name="generator"),
        ]


@final
@dataclasses.dataclass(frozen=True)
class PlayerLoss:
    """The loss of one player for one event of the data's columns `x` and `c`."""

    player: Literal["critic", "generator"]
    conditional: bool = False

    def __call__(self, model: ConditionalGAN, event: Any, key: Key) -> Scalar:
        """The player's loss with noise from the key."""
        condition = event["c"] if self.conditional else None
        loss = model.critic_loss if self.player == "critic" else model.generator_loss
        return loss(event["x"], condition, model.loss_noise(key))


def _held(tree: Any) -> Any:
    """The tree with its arrays held fixed."""
    return jax.tree.map(lambda leaf: lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, tree)


__all__ = ["ConditionalGAN", "PlayerLoss"]
