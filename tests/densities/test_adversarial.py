"""The Dirac-GAN, whose dynamics are known, and a few steps of the two players in turn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.densities.adversarial import ConditionalGAN
from jaxhep.networks import make_network
from jaxhep.training import Dataset, TrainingSettings, fit

KEY = jax.random.key(11)


class Point(eqx.Module):
    place: jnp.ndarray

    def __call__(self, z, condition=None):
        return self.place


class Slope(eqx.Module):
    slope: jnp.ndarray

    def __call__(self, x, condition=None):
        return self.slope * x


def dynamics(game, penalty, on_generated=True):
    """Eigenvalues of the players' gradient flow at the equilibrium: data at 0, G = θ, D = φx (L. Mescheder et al.,
    arXiv:1801.04406)."""
    noise = {"latent": jnp.array([0.5]), "between": jnp.asarray(0.5)}

    h = 1e-4

    @jax.jit
    def flow(state):
        gan = ConditionalGAN(
            Point(state[:1]), Slope(state[1:]), 1, 1, game=game, penalty=penalty, on_generated=on_generated
        )
        gradient = eqx.filter_grad(lambda m: m.loss(jnp.zeros(1), None, noise))(gan)
        return -jnp.concatenate([gradient.generator.place, gradient.critic.slope])

    # By differences, for a derivative stops where one player holds the other fixed.
    columns = [(flow(h * jnp.eye(2)[i]) - flow(-h * jnp.eye(2)[i])) / (2 * h) for i in range(2)]
    return np.linalg.eigvals(np.stack([np.asarray(c) for c in columns], axis=1))


@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_dirac_gan(gamma):
    """−γ/2 ± √(γ²/4 − f′(0)²), f′(0) = 1/2, with the penalty on data; twice the γ with both; at γ = 0 it cycles."""
    with jax.enable_x64(True):
        for on_generated, effective in ((False, gamma), (True, 2 * gamma)):
            exact = np.roots([1, effective, 0.25])
            found = dynamics("r3gan", gamma, on_generated)
            np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(exact), atol=1e-7)
            assert (np.max(found.real) < -1e-3) == (gamma > 0)
        # A Wasserstein critic without penalty cycles at unit speed.
        np.testing.assert_allclose(np.sort_complex(dynamics("wgan_gp", 0.0)), [-1j, 1j], atol=1e-7)


def test_gradient_penalty_is_on_the_slope_between():
    with jax.enable_x64(True):
        gan = ConditionalGAN(Point(jnp.array([2.0])), Slope(jnp.array([3.0])), 1, 1, game="wgan_gp")
        noise = {"latent": jnp.array([0.5]), "between": jnp.asarray(0.25)}
        # D(x̃) − D(x) + 10(|3| − 1)² at x = 1, x̃ = 2.
        assert float(gan.critic_loss(jnp.ones(1), None, noise)) == pytest.approx(6 - 3 + 10 * 4)
        assert float(gan.generator_loss(jnp.ones(1), None, noise)) == pytest.approx(-6)
        flat = ConditionalGAN(Point(jnp.array([2.0])), Slope(jnp.array([0.0])), 1, 1, game="wgan_gp")
        slope = eqx.filter_grad(lambda m: m.critic_loss(jnp.ones(1), None, noise))(flat)
        assert np.isfinite(float(slope.critic.slope[0]))
    with pytest.raises(ValueError, match="game must be"):
        ConditionalGAN(None, None, 1, 1, game="lsgan")


def test_players_take_turns_in_fit_and_weights_move_the_generator():
    """Data at −1 and +1 whose weights are 1 and 3: the generated mean goes to the weighted one, 0.5."""
    generator = make_network("mlp", in_size=2, out_size=1, width=16, depth=1, key=KEY)
    critic = make_network("mlp", in_size=1, out_size=1, width=16, depth=1, key=KEY)
    gan = ConditionalGAN(generator, critic, dim=1, latent_dim=2)
    x = np.tile([[-1.0], [1.0]], (128, 1)) + 0.1 * np.random.default_rng(12).normal(size=(256, 1))
    data = Dataset({"x": x}, np.tile([1.0, 3.0], 128))
    settings = TrainingSettings(batch_size=128, steps=600, learning_rate=4e-3, betas=(0.0, 0.9), schedule="constant")
    result = fit(gan, gan.objectives(), data, key=KEY, settings=settings, trainable=gan.trainable)
    draw = jax.jit(jax.vmap(lambda k: result.model.sample(result.model.sample_noise(k))))
    mean = float(jnp.mean(draw(jax.random.split(KEY, 1000))))
    assert 0.2 < mean < 0.8
