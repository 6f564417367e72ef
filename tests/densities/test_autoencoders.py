"""Autoencoders at closed forms: probabilistic principal components, transport costs, the schedule's own gradient."""

import math
import sys
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.densities.autoencoders import (
    VAE,
    LatentDiffusion,
    LearnedSchedule,
    ParametrisedVAE,
    SinkhornDistance,
    active_units,
    sinkhorn_cost,
    train_with_warm_up,
)
from jaxhep.training import TrainingSettings

DIM, LATENT, EVENTS = 4, 2, 64
KEY = jax.random.key(8)


class Linear(eqx.Module):
    matrix: jnp.ndarray
    shift: jnp.ndarray

    def __call__(self, x, condition=None, *, time=None):
        return self.matrix @ x + self.shift


def components():
    """Data, and the VAE at the maximum of its likelihood in closed form (M. Tipping, C. Bishop, J. R. Stat. Soc. B 61
    (1999) 611): W = U(Λ − s²)^½, s² the mean of the eigenvalues left out; the posterior is N(M⁻¹Wᵀx, s²M⁻¹)."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(EVENTS, DIM)) @ rng.normal(size=(DIM, DIM))
    x -= x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x / EVENTS)
    s2 = values[: DIM - LATENT].mean()
    w = vectors[:, DIM - LATENT :] * np.sqrt(values[DIM - LATENT :] - s2)
    inner = np.diag(w.T @ w) + s2
    encoder = Linear(
        jnp.asarray(np.concatenate([(w / inner).T, np.zeros((LATENT, DIM))])),
        jnp.asarray(np.concatenate([np.zeros(LATENT), np.log(s2 / inner)])),
    )
    decoder = Linear(jnp.asarray(w), jnp.zeros(DIM))
    model = VAE(encoder, decoder, DIM, LATENT, log_variance=jnp.full(DIM, math.log(s2)))
    return jnp.asarray(x), model, w @ w.T + s2 * np.eye(DIM)


def mean_loss(model, x):
    """The loss averaged over events and, exactly, over the normal code: it is quadratic in it, so that the points
    ±√L along each axis have the right mean."""
    points = math.sqrt(LATENT) * np.concatenate([np.eye(LATENT), -np.eye(LATENT)])
    noise = {"latent": jnp.asarray(scipy.stats.norm.cdf(points))}
    return jnp.mean(jax.vmap(lambda e: jnp.mean(jax.vmap(lambda n: model.loss(e, None, n))(noise)))(x))


def test_linear_vae_is_principal_components():
    with jax.enable_x64(True):
        x, model, covariance = components()
        value, gradient = jax.jit(jax.value_and_grad(mean_loss))(model, x)
        density = scipy.stats.multivariate_normal(np.zeros(DIM), covariance).logpdf(np.asarray(x))
        np.testing.assert_allclose(value, -density.mean(), rtol=1e-9)
        for leaf in jax.tree.leaves((gradient.encoder, gradient.decoder)):
            np.testing.assert_allclose(leaf, 0, atol=1e-9)
        # One variance for all columns is the model of the closed form: the sum over columns is at its optimum.
        np.testing.assert_allclose(jnp.sum(gradient.log_variance), 0, atol=1e-9)
        # The encoder is the exact posterior: each importance weight is the likelihood.
        bound = jax.jit(lambda e: model.importance_bound(e, key=KEY, num_draws=3))(x[0])
        np.testing.assert_allclose(bound, density[0], rtol=1e-9)
        # With a worse encoder the bound grows with K from the ELBO towards the likelihood.
        worse = eqx.tree_at(lambda m: m.encoder.shift, model, model.encoder.shift + jnp.array([0.7, -0.7, 0.3, 0.3]))
        keys = jax.random.split(KEY, EVENTS)
        first, many = (
            np.asarray(jax.jit(jax.vmap(lambda e, k, n=n: worse.importance_bound(e, key=k, num_draws=n)))(x, keys))
            for n in (1, 64)
        )
        assert first.mean() < many.mean() - 0.1
        gap = many - density  # negative on average, by about half the variance of the weights over 64
        assert abs(gap.mean()) < 5.2 * gap.std() / math.sqrt(EVENTS) + 0.1


def test_beta_free_bits_and_active_units():
    with jax.enable_x64(True):
        x, model, _ = components()
        noise = {"latent": jnp.full(LATENT, 0.4)}
        run = eqx.filter_jit(lambda own: own.loss(x[0], None, noise))

        def loss(beta, free_bits):
            own = eqx.tree_at(lambda m: (m.beta, m.free_bits), model, (jnp.asarray(beta), jnp.asarray(free_bits)))
            return float(run(own))

        mean, log_variance = model.encode(x[0])
        kl = np.asarray((mean**2 + jnp.exp(log_variance) - 1 - log_variance) / 2)
        assert loss(3.0, 0.0) - loss(1.0, 0.0) == pytest.approx(2 * kl.sum())
        level = float(kl.mean())
        assert loss(1.0, level) - loss(1.0, 0.0) == pytest.approx(np.maximum(level - kl, 0).sum())
        assert int(active_units(model, x)) == LATENT
        silent = eqx.tree_at(lambda m: m.encoder.matrix, model, model.encoder.matrix.at[0].set(0.0))
        assert int(active_units(silent, x)) == LATENT - 1
        with pytest.raises(ValueError, match="latent_dim must be at least 1"):
            VAE(model.encoder, model.decoder, DIM, 0)


def test_warm_up_raises_beta_in_stages(monkeypatch):
    seen = []

    def fit(model, loss, data, *, key, settings, **options):
        seen.append((float(model.beta), settings.steps))
        return SimpleNamespace(model=model)

    monkeypatch.setattr(sys.modules[VAE.__module__], "fit", fit)
    model = VAE(Linear(jnp.ones((2, 1)), jnp.zeros(2)), Linear(jnp.ones((1, 1)), jnp.zeros(1)), 1, 1, beta=2.0)
    result = train_with_warm_up(model, None, key=KEY, settings=TrainingSettings(steps=40), shares=(0.0, 0.5, 1.0))
    assert seen == [(0.0, 13), (1.0, 13), (2.0, 13)]
    assert float(result.model.beta) == 2
    with pytest.raises(ValueError, match="steps="):
        train_with_warm_up(model, None, key=KEY, settings=TrainingSettings(epochs=1))
    with pytest.raises(ValueError, match="must be 1"):
        train_with_warm_up(model, None, key=KEY, settings=TrainingSettings(steps=9), shares=(0.5,))


def test_parametrised_vae_is_a_vae_of_width_beta():
    with jax.enable_x64(True):
        x, model, _ = components()

        class Told(eqx.Module):
            inner: Linear

            def __call__(self, y, context):
                assert context.shape == (1,)
                return self.inner(y)

        family = ParametrisedVAE(Told(model.encoder), Told(model.decoder), DIM, LATENT, beta_min=0.1, beta_max=2.0)
        noise = {"beta": jnp.asarray(0.3), "latent": jnp.full(LATENT, 0.4)}
        beta = 0.1 * 20**0.3
        one = eqx.tree_at(lambda m: m.log_variance, model, jnp.full(DIM, 2 * math.log(beta)))
        constants = DIM * (math.log(beta) + math.log(2 * math.pi) / 2)
        np.testing.assert_allclose(family.loss(x[0], None, noise) + constants, one.loss(x[0], None, noise), rtol=1e-9)
    with pytest.raises(ValueError, match="in order"):
        ParametrisedVAE(None, None, 1, 1, beta_min=2.0, beta_max=1.0)


def test_sinkhorn_against_exact_transport():
    """In one dimension W2² is the mean square of the sorted differences; small ε comes near, from the debiased side."""
    rng = np.random.default_rng(10)
    a, b = rng.normal(size=5), 0.5 + rng.normal(size=5)
    distance = SinkhornDistance(num_particles=6, epsilon=0.01, num_iterations=300)

    def event(places, order):
        table = np.zeros((6, 2))
        table[order] = np.stack([np.full(5, 0.4), places], axis=1)
        return jnp.asarray(table.ravel())

    with jax.enable_x64(True):
        value = jax.jit(jax.value_and_grad(distance, argnums=(0, 1)))
        first, second = event(a, [0, 1, 2, 3, 4]), event(b, [5, 3, 1, 0, 2])
        found, slopes = value(first, second)
        exact = np.mean((np.sort(a) - np.sort(b)) ** 2)
        assert found == pytest.approx(exact, rel=1e-3)
        alike, _ = value(first, event(a, [5, 2, 4, 1, 0]))
        assert abs(alike) < 1e-9
        for slope in slopes:
            assert np.all(np.isfinite(slope))
        # Moving all particles of the second event by δ changes W2² by 2δ(b̄ − ā).
        shift = jnp.tile(jnp.array([0.0, 1.0]), 6)
        assert float(slopes[1] @ shift) == pytest.approx(2 * (b.mean() - a.mean()), rel=5e-3)
        heavier, _ = value(first, first.at[0].add(0.5))
        assert heavier > 0.25
        point = sinkhorn_cost(jnp.full((1, 1), 3.0), jnp.ones(1), jnp.ones(1), 0.1)
        np.testing.assert_allclose(point, 3.0, rtol=1e-9)
    with pytest.raises(ValueError, match="no table of 6 particles"):
        distance(jnp.zeros(7), jnp.zeros(7))


class ExactDenoiser(eqx.Module):
    """ε̂ for codes of N(0, s²), from the share of γ."""

    schedule: LearnedSchedule
    width: jnp.ndarray

    def __call__(self, z, condition=None, *, time):
        gamma = self.schedule.limits[0] + (self.schedule.limits[1] - self.schedule.limits[0]) * time
        alpha2, sigma2 = jax.nn.sigmoid(-gamma), jax.nn.sigmoid(gamma)
        return jnp.sqrt(sigma2) / (alpha2 * self.width**2 + sigma2) * z


def latent_diffusion(shape, weighting="none", width=0.7):
    schedule = LearnedSchedule(jnp.array([-6.0, 4.0]), jnp.asarray(shape))
    identity = Linear(jnp.eye(1), jnp.zeros(1))
    denoiser = ExactDenoiser(schedule, jnp.asarray(width))
    return LatentDiffusion(identity, identity, denoiser, 1, 1, schedule=schedule, weighting=weighting)


FLAT = np.array([[-20.0], [0.0], [0.5]])
BENT = np.array([[0.5, 1.0], [2.0, 1.0], [0.2, 0.8]])


def test_mean_of_the_diffusion_loss_does_not_see_the_schedules_shape():
    """½∫γ̇ E|ε̂ − ε|² dt = ½∫E|ε̂ − ε|² dγ, by Gauss–Legendre in t and Gauss–Hermite in code and ε; the variance does."""
    with jax.enable_x64(True):
        t, wt = np.polynomial.legendre.leggauss(60)
        e, we = np.polynomial.hermite_e.hermegauss(8)
        t, wt, we = (t + 1) / 2, wt / 2, we / we.sum()
        grid = np.meshgrid(t, e, e, indexing="ij")
        weight = (wt[:, None, None] * we[:, None] * we).ravel()
        times, codes, eps = (jnp.asarray(g.ravel()) for g in grid)

        @jax.jit
        def moments(model):
            def one(t, z, u):
                return model.diffusion_loss(0.7 * z[None], None, {"time": t, "start": u[None]})

            values = jax.vmap(one)(times, codes, jax.scipy.stats.norm.cdf(eps))
            return weight @ values, weight @ values**2

        flat, bent = (moments(latent_diffusion(s)) for s in (np.repeat(FLAT, 2, axis=1), BENT))
        gamma = np.linspace(-6, 4, 20001)
        alpha2 = 1 / (1 + np.exp(gamma))
        left = np.trapezoid(alpha2 * 0.49 / (alpha2 * 0.49 + 1 - alpha2), gamma) / 2
        np.testing.assert_allclose([float(flat[0]), float(bent[0])], left, rtol=1e-5)
        assert abs(flat[1] - bent[1]) > 0.1
        share = jax.jit(jax.vmap(latent_diffusion(BENT).schedule.share))(jnp.linspace(0, 1, 101))
        assert float(share[0]) == 0
        assert float(share[-1]) == pytest.approx(1)
        assert np.all(np.diff(share) > 0)


def test_the_shape_follows_the_squared_loss_and_all_else_the_loss():
    with jax.enable_x64(True):
        model = latent_diffusion(BENT, "sigmoid")
        x, noise = jnp.array([0.8]), {"time": jnp.asarray(0.4), "code": jnp.array([0.3]), "start": jnp.array([0.9])}
        code = model.encoder(x)

        @eqx.filter_jit
        def gradients(model):
            losses = (
                lambda m: m.loss(x, None, noise),
                lambda m: m.diffusion_loss(code, None, noise) ** 2,
                lambda m: m.diffusion_loss(m.encoder(x), None, noise),
                lambda m: _ends_terms(m, x, noise),
            )
            return [eqx.filter_grad(loss)(model) for loss in losses]

        gradient, square, plain, ends = gradients(model)
        np.testing.assert_allclose(gradient.schedule.shape, square.schedule.shape, rtol=1e-9)
        assert np.any(np.abs(np.asarray(square.schedule.shape - plain.schedule.shape)) > 1e-3)
        np.testing.assert_allclose(gradient.denoiser.width, plain.denoiser.width, rtol=1e-9)
        np.testing.assert_allclose(gradient.schedule.limits, plain.schedule.limits + ends.schedule.limits, rtol=1e-9)


def _ends_terms(model, x, noise):
    """Reconstruction and prior, written again."""
    low, high = model.schedule.limits
    seen = x + jnp.exp(low / 2) * jax.scipy.special.ndtri(noise["code"])
    alpha2, sigma2 = jax.nn.sigmoid(-high), jax.nn.sigmoid(high)
    return jnp.sum((x - seen) ** 2) + jnp.sum(alpha2 * x**2 + sigma2 - jnp.log(sigma2) - 1) / 2
