"""A flow taught from the noise behind its events: the right noise, the map that is found, tails that are bounded."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.densities.flows import autoregressive_flow
from jaxhep.densities.preprocessing import fit_preprocessing, preprocess
from jaxhep.studies.known_densities import compare, log_probs, read_published
from jaxhep.studies.replayed_noise import SHAPE, defended, learn_map, replayed_latents
from jaxhep.training import TrainingSettings

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "nabu"
SMALL: dict[str, Any] = {**SHAPE, "width": 16, "depth": 2}


def test_the_noise_does_not_depend_on_the_layout_of_the_session():
    want = replayed_latents(7)
    for layout in (True, False):
        with jax.threefry_partitionable(layout):
            np.testing.assert_array_equal(replayed_latents(7), want)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference samples are not here")
def test_the_noise_is_that_of_the_published_draws():
    """One latent follows one column closely; of other noise the largest of 25 correlations would be 0.02."""
    x, log_p = read_published(REFERENCE, "wet")
    z = replayed_latents(len(x))
    assert np.abs(np.corrcoef(x.T, z.T)[:5, 5:]).max() > 0.9
    assert np.corrcoef((z**2).sum(1), log_p)[0, 1] < -0.8


def test_a_map_is_learned_from_its_noise():
    """Taught by the draws of another flow of its kind, it agrees with it on other draws, in density and in latent."""
    teacher = autoregressive_flow(3, key=jax.random.key(1), **SMALL)
    leaves, tree = jax.tree.flatten(eqx.filter(teacher, eqx.is_inexact_array))
    rng = np.random.default_rng(2)
    moved = [leaf + 0.15 * rng.normal(size=leaf.shape) for leaf in leaves]
    teacher = eqx.combine(jax.tree.unflatten(tree, [jnp.asarray(leaf, jnp.float32) for leaf in moved]), teacher)
    z = rng.normal(size=(6000, 3)).astype(np.float32)
    x, logs = jax.jit(jax.vmap(teacher.bijection.forward))(z)
    x, log_p = np.asarray(x, float), np.asarray(-0.5 * (z**2).sum(1) - 1.5 * np.log(2 * np.pi) - logs, float)
    settings = TrainingSettings(batch_size=250, epochs=120, learning_rate=1e-2, ema=0.99)
    arguments = x[:4000], z[:4000, ::-1], log_p[:4000], jax.random.key(0), settings
    model = learn_map(*arguments, **SMALL)
    normal = preprocess(autoregressive_flow(3, key=jax.random.key(0), **SMALL), fit_preprocessing(x[:4000]))
    before, after = (np.mean(log_p[4000:] - log_probs(one, x[4000:])) for one in (normal, model))
    flow: Any = model.density
    inner = jax.vmap(lambda row: model.events.inverse(row)[0])(jnp.asarray(x[4000:], jnp.float32))
    latents = jax.vmap(flow.latent)(inner)
    assert before > 0.1
    assert after < 0.02
    assert np.mean((np.asarray(latents) - z[4000:]) ** 2) < 0.02
    with pytest.raises(ValueError, match="needs its latent"):
        learn_map(x[:10], z[:9], log_p[:10], jax.random.key(0))


def test_a_defended_density_is_bounded_far_out():
    x = np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 0.01]
    model = preprocess(autoregressive_flow(2, key=jax.random.key(0), **SMALL), fit_preprocessing(x))
    safe = defended([model], 1e-3)
    far = np.array([1.0, 0.3], np.float32)
    assert float(model.log_prob(jnp.asarray(far))) < -400
    broad = (
        -np.log(1e3)
        - 2 * np.log(1.5)
        - 0.5 * np.sum((far / x.std(0)) ** 2) / 1.5**2
        - np.log(2 * np.pi * x.std(0).prod())
    )
    assert float(safe.log_prob(jnp.asarray(far))) == pytest.approx(broad, rel=0.05)
    near = jnp.array([0.1, 0.002], jnp.float32)
    assert 0 < float(model.log_prob(near) - safe.log_prob(near)) < 1.01e-3
    score = compare("safe", safe, x, np.asarray(jax.vmap(model.log_prob)(jnp.asarray(x, jnp.float32)), float), 400, 0.0)
    assert 0 < score.loss_nats < 1.01e-3
    assert score.num_events == 100
