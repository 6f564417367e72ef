"""Trainings whose end is known: linear losses, least squares, recursions written out by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.training import Dataset, Objective, TrainingSettings, constant, fit, learned, trainable_labels
from jaxhep.training._optimiser import hyper_of, schedule_factor

KEY = jax.random.key(0)
PLAIN = {"optimiser": "sgd", "betas": (0.0, 0.0), "schedule": "constant"}


def slope(model, event, key):
    """A loss that is linear in θ: the gradient of an event is g, and one epoch of plain descent is a sum."""
    return model["theta"] @ event["g"]


def noisy_slope(model, event, key):
    return model["theta"] @ event["g"] * (1 + jax.random.normal(key))


def square(model, event, key):
    return (event["x"] @ model["w"] - event["y"]) ** 2


def sample(num=96, seed=0):
    rng = np.random.default_rng(seed)
    weights = np.where(np.arange(num) % 4 == 0, -1.0, 1.0) * rng.uniform(0.5, 1.5, num)
    return rng.normal(size=(num, 3)).astype(np.float32), weights


def test_an_epoch_of_batches_sums_to_the_weighted_mean_gradient():
    """Negative weights cancel within batches (one has a sum below zero), and yet no batch is weighted otherwise."""
    g, weights = sample()
    settings = TrainingSettings(batch_size=8, epochs=1, learning_rate=0.1, **PLAIN)
    result = fit(
        {"theta": jnp.zeros(3)}, slope, Dataset({"g": g}, weights), key=KEY, settings=settings, trainable="all"
    )
    want = -0.1 * (96 / 8) * (weights @ g) / weights.sum()
    np.testing.assert_allclose(result.model["theta"], want, rtol=2e-5, atol=1e-6)


def test_the_key_of_an_event_does_not_depend_on_the_batch_size():
    g, weights = sample()
    ends = []
    for size in (8, 24):
        settings = TrainingSettings(batch_size=size, epochs=1, learning_rate=0.01 * size, **PLAIN)
        data = Dataset({"g": g}, weights)
        result = fit({"theta": jnp.zeros(3)}, noisy_slope, data, key=KEY, settings=settings, trainable="all")
        ends.append(result.model["theta"])
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4)


def test_weighted_least_squares_has_the_closed_form():
    x, weights = sample(64, 1)
    y = (x @ [1.0, -2.0, 0.5] + np.random.default_rng(2).normal(size=64)).astype(np.float32)
    settings = TrainingSettings(batch_size=64, epochs=1000, learning_rate=0.1, **PLAIN)
    data = Dataset({"x": x, "y": y}, weights)
    result = fit({"w": jnp.zeros(3)}, square, data, key=KEY, settings=settings, trainable="all")
    want = np.linalg.solve((x * weights[:, None]).T @ x, (x * weights[:, None]).T @ y)
    np.testing.assert_allclose(result.model["w"], want, rtol=1e-3)
    residual = weights @ (x @ want - y) ** 2 / weights.sum()
    assert result.history[-1]["train"]["loss"] == pytest.approx(residual, rel=1e-3)


def test_a_weight_of_two_is_two_events():
    x, _ = sample(32, 3)
    y, weights = x.sum(1), np.repeat([1.0, 2.0], 16)
    twice = np.concatenate([np.arange(32), np.arange(16, 32)])
    ends = []
    for rows, w in ((np.arange(32), weights), (twice, None)):
        settings = TrainingSettings(batch_size=len(rows), epochs=5, learning_rate=0.05)
        data = Dataset({"x": x[rows], "y": y[rows]}, w)
        result = fit({"w": jnp.zeros(3)}, square, data, key=KEY, settings=settings, trainable="all")
        ends.append(result.model["w"])
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4)


class Physical(eqx.Module):
    """A model with a constant of nature in it."""

    theta: jax.Array = learned()
    mass: jax.Array = constant()
    count: int = eqx.field(static=True, default=3)


def physical_loss(model, event, key):
    return (model.theta @ event["g"] - jnp.sum(model.mass)) ** 2


def test_a_constant_never_moves_and_the_optimiser_does_not_know_it():
    """AdamW would move it through weight decay even where the gradient is stopped."""
    g, _ = sample(32)
    mass = jnp.array([91.1876, 80.379, 0.000511, 1.0, 2.0])
    model = Physical(jnp.ones(3), mass)
    settings = TrainingSettings(batch_size=16, epochs=3, learning_rate=0.1, weight_decay=0.5, ema=0.9)
    result = fit(model, physical_loss, Dataset({"g": g}), key=KEY, settings=settings)
    assert np.array_equal(result.model.mass, mass)
    assert np.array_equal(result.ema.mass, mass)
    assert not np.any(result.model.theta == 1)
    assert trainable_labels(model) == ["default", None]
    assert result.num_trained == 3
    still = fit(model, physical_loss, Dataset({"g": g}), key=KEY, settings=settings, trainable={"theta": True})
    assert np.array_equal(still.model.theta, result.model.theta)


def zero(model, event, key):
    return 0.0 * jnp.sum(model["slow"]) + 0.0 * jnp.sum(model["fast"])


def test_rates_and_decay_go_by_label():
    """Without a gradient only the decoupled decay is left: θ ← (1 − ηλ)θ in each step."""
    model = {"slow": jnp.ones(2), "fast": jnp.ones(2), "off": jnp.ones(2)}
    settings = TrainingSettings(
        batch_size=4, steps=5, learning_rate={"a": 0.1, "b": 0.2}, weight_decay={"a": 0.5, "default": 1.0},
        optimiser={"a": "adam", "b": "sgd"}, schedule="constant",
    )  # fmt: skip
    result = fit(
        model, zero, Dataset({"g": np.ones(8)}), key=KEY, settings=settings, trainable={"slow": "a", "fast": "b"}
    )
    np.testing.assert_allclose(result.model["slow"], (1 - 0.05) ** 5, rtol=1e-6)
    np.testing.assert_allclose(result.model["fast"], (1 - 0.2) ** 5, rtol=1e-6)
    assert np.array_equal(result.model["off"], np.ones(2))


def test_clipping_and_averaging_follow_their_formulas():
    """A constant gradient of norm 5, cut to 1: θ_n = −0.1 n g/5, and the average by its recursion."""
    data = Dataset({"g": np.tile(np.float32([3.0, 0.0, 4.0]), (8, 1))})
    settings = TrainingSettings(batch_size=8, steps=20, learning_rate=0.1, clip_norm=1.0, ema=0.8, **PLAIN)
    result = fit({"theta": jnp.zeros(3)}, slope, data, key=KEY, settings=settings, trainable="all")
    unit = np.array([0.6, 0.0, 0.8])
    np.testing.assert_allclose(result.model["theta"], -0.1 * 20 * unit, rtol=1e-5)
    average = 0.0
    for n in range(1, 21):
        decay = min(0.8, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * n
    np.testing.assert_allclose(result.ema["theta"], -0.1 * average * unit, rtol=1e-5)
    assert result.history[0]["gradient_norm"] == pytest.approx(5.0, rel=1e-6)


@pytest.mark.parametrize(
    ("schedule", "want"),
    [
        ("constant", lambda t: np.ones_like(t)),
        ("linear", lambda t: 1 - 0.9 * t),
        ("cosine", lambda t: 0.1 + 0.9 * (1 + np.cos(np.pi * t)) / 2),
        ("exponential", lambda t: 0.1**t),
        ("one_cycle", lambda t: np.where(t < 0.3, 0.1 + 3 * t, 0.1 + 0.45 * (1 + np.cos(np.pi * (t - 0.3) / 0.7)))),
        (lambda t: 1 - t**2, lambda t: 1 - t**2),
    ],
)
def test_schedules(schedule, want):
    settings = TrainingSettings(schedule=schedule, final_factor=0.1, warmup_steps=10)
    hyper = hyper_of(settings, {"default"})
    step = np.arange(0, 111)
    factor = schedule_factor(settings, hyper, jnp.asarray(step), 110.0)
    rise = np.clip((step + 1) / 11, 0, 1)
    np.testing.assert_allclose(factor, rise * want(np.clip((step - 10) / 100, 0, 1)), rtol=1e-5, atol=1e-6)


def climb(model, batch, weights, key):
    return jnp.sum(weights * batch["g"]) * model["critic"]["a"]


def fall(model, batch, weights, key):
    return -jnp.sum(weights * batch["g"]) * model["generator"]


def test_objectives_take_turns_over_their_own_leaves():
    """Two steps of the critic, then one of the generator, each by its own leaf; 12 steps are 8 and 4."""
    model = {"critic": {"a": jnp.array(0.0)}, "generator": jnp.array(0.0), "world": jnp.array(7.0)}
    objectives = [(climb, "c", 2), Objective(fall, ("g",), batch_loss=True, name="generator")]
    settings = TrainingSettings(batch_size=4, steps=12, learning_rate={"c": 0.1, "g": 1.0}, **PLAIN)
    result = fit(
        model, objectives, Dataset({"g": np.ones(8)}), key=KEY, settings=settings, batch_loss=True,
        trainable={"critic.*": "c", "generator": "g"},
    )  # fmt: skip
    np.testing.assert_allclose(result.model["critic"]["a"], -0.8, rtol=1e-5)
    np.testing.assert_allclose(result.model["generator"], 4.0, rtol=1e-5)
    assert float(result.model["world"]) == 7.0
    assert set(result.train_losses) == {"loss 1", "generator"}


def test_the_best_epoch_of_the_validation_set_is_kept():
    """The training set pulls θ from 0 to 4, the validation set wants 1: the loss falls, rises, and patience ends it."""
    data, held = Dataset({"x": np.full(16, 4.0)}), Dataset({"x": np.full(8, 1.0)})

    def loss(model, event, key):
        return (model["m"] - event["x"]) ** 2

    settings = TrainingSettings(batch_size=16, epochs=100, learning_rate=0.02, patience=4, **PLAIN)
    result = fit({"m": jnp.array(0.0)}, loss, data, key=KEY, settings=settings, validation=held, trainable="all")
    path = 4 * (1 - 0.96 ** np.arange(1, 101))
    best = int(np.argmin((path - 1) ** 2))
    assert (result.stopped, result.best_epoch, len(result.history)) == ("patience", best, best + 5)
    assert float(result.model["m"]) == pytest.approx(path[best], rel=1e-4)
    np.testing.assert_allclose(result.validation_losses, (path[: best + 5] - 1) ** 2, rtol=1e-3, atol=1e-6)
