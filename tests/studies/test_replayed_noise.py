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
from jaxhep.studies.replayed_noise import RECIPES, MapLoss, defended, learn_map, main, replay, replayed_latents
from jaxhep.training import TrainingSettings

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "nabu"
SMALL: dict[str, Any] = {**RECIPES["wet"].flow, "width": 16, "depth": 2}


def test_the_noise_does_not_depend_on_the_layout_of_the_session():
    want = replayed_latents(7)
    for layout in (True, False):
        with jax.threefry_partitionable(layout):
            np.testing.assert_array_equal(replayed_latents(7), want)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference samples are not here")
@pytest.mark.parametrize("name", ["wet", "atlas"])
def test_the_noise_is_that_of_the_published_draws(name):
    """Correlations that other noise would not have (0.005 each); those of ATLAS single out the recipe's pairing."""
    x, log_p = read_published(REFERENCE, name)
    z = replayed_latents(len(x))
    correlations = np.abs(np.corrcoef(x.T, z.T)[:5, 5:])
    assert correlations.max() > 0.9
    assert np.corrcoef((z**2).sum(1), log_p)[0, 1] < -0.4
    if name == "atlas":
        np.testing.assert_array_equal(np.argmax(correlations, axis=0), RECIPES[name].order)


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
    recipe = RECIPES["wet"]._replace(order=(1, 2, 0), flow=SMALL, settings=settings)
    # The k-th latent that is given is the one of the column that the recipe names.
    model = learn_map(x[:4000], z[:4000, [1, 2, 0]], log_p[:4000], jax.random.key(0), recipe)
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
    with pytest.raises(ValueError, match="names each column once"):
        learn_map(x[:10], z[:10], log_p[:10], jax.random.key(0))


def test_the_loss_of_the_exact_map():
    """Nothing for a flow with its own latents and ln p; a latent of another column costs the square of the distance."""
    identity = autoregressive_flow(3, key=jax.random.key(0), **SMALL)
    x = np.random.default_rng(0).normal(size=(100, 3)) @ np.diag([1.0, 2.0, 3.0])
    model, key = preprocess(identity, fit_preprocessing(x)), jax.random.key(0)
    row = jnp.array([0.3, -1.0, 2.0])
    latent = model.events.inverse(row)[0]
    event = {"x": row, "z": latent[jnp.array([2, 0, 1])], "log_p": model.log_prob(row)}
    assert float(MapLoss((2, 0, 1), 0.5)(model, event, key)) == pytest.approx(0, abs=1e-6)
    wrong = float(jnp.sum((latent - event["z"]) ** 2))
    assert float(MapLoss((0, 1, 2))(model, event, key)) == pytest.approx(wrong, rel=1e-5)
    off = event | {"log_p": event["log_p"] - 2}
    assert float(MapLoss((2, 0, 1), 0.5)(model, off, key)) == pytest.approx(np.sqrt(5) - 2, rel=1e-4)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference samples are not here")
def test_the_command(monkeypatch):
    """Fewer draws and epochs by options; the score counts only held-out draws; bad input is refused."""
    for name in RECIPES:
        recipe = RECIPES[name]
        small = recipe._replace(flow={**recipe.flow, "width": 8, "depth": 1, "num_layers": 2})
        monkeypatch.setitem(RECIPES, name, small)
    shown: list[str] = []
    options = ["--folder", str(REFERENCE), "--train", "2000", "--epochs", "8", "--members", "1"]
    main(["wet", "atlas", *options], shown.append)
    assert [line.split(":")[0] for line in shown] == ["wet from its noise", "atlas from its noise"]
    assert all("on 8,000 events not used" in line for line in shown)
    with pytest.raises(ValueError, match="num_train is 1 … 32000"):
        replay(REFERENCE, "wet", num_train=32_001)
    with pytest.raises(SystemExit):
        main(["lhcb"])


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
