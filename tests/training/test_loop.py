"""The loop itself: what it compiles, how it resumes, how it fails, what it tells."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import chex  # type: ignore[import-untyped]
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.training import (
    CheckpointError,
    Dataset,
    JsonLines,
    NonFiniteLossError,
    ProgressBar,
    TensorBoard,
    TrainingSettings,
    density_loss,
    fit,
)

KEY = jax.random.key(5)


def model():
    return {"w": jnp.linspace(-1.0, 1.0, 3), "scale": jnp.array(1.0), "mass": jnp.array(91.2)}


def data(num=70):
    rng = np.random.default_rng(7)
    return Dataset({"x": rng.normal(size=(num, 3)), "y": rng.normal(size=num)}, rng.normal(1.0, 1.0, num))


def loss(model, event, key):
    noise = 0.1 * jax.random.normal(key)
    return (jnp.tanh(event["x"] @ model["w"]) * model["scale"] - event["y"] + noise) ** 2


SETTINGS = TrainingSettings(batch_size=16, epochs=6, learning_rate=0.05, ema=0.9, steps_per_call=2)
ARGUMENTS: dict[str, Any] = {
    "key": KEY,
    "settings": SETTINGS,
    "trainable": {"w": True, "scale": True},
    "validation": 0.2,
}
CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_loop as t
t.fit(t.model(), t.loss, t.data(), **t.ARGUMENTS, checkpoint=sys.argv[2], checkpoint_steps=3,
      callbacks=[lambda report: os.kill(os.getpid(), signal.SIGKILL) if report.step >= 14 else None])
"""


def same(a, b):
    pairs = zip(jax.tree.leaves((a.model, a.ema)), jax.tree.leaves((b.model, b.ema)), strict=True)
    return all(np.array_equal(u, v) for u, v in pairs)


@pytest.fixture(scope="module")
def whole():
    return fit(model(), loss, data(), **ARGUMENTS)


def test_resume_after_kill_9_is_bit_exact(whole, tmp_path):
    """The child dies between two checkpoints. It has this process's XLA flags: others may sum in another order."""
    folder = tmp_path / "run"
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert child.returncode == -9, child.stderr[-2000:]
    steps = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    assert steps[-1] < 14
    report: list[Any] = []
    resumed = fit(model(), loss, data(), **ARGUMENTS, checkpoint=folder, resume=True, callbacks=[report.append])
    assert report[0].step == steps[-1] > 0
    assert same(resumed, whole)
    assert resumed.train_losses == whole.train_losses
    assert resumed.validation_losses == whole.validation_losses
    assert resumed.num_steps == whole.num_steps == 6 * 4
    with pytest.raises(FileExistsError, match="resume=True"):
        fit(model(), loss, data(), **ARGUMENTS, checkpoint=folder)


def test_a_checkpoint_restores_on_another_device_count(whole, tmp_path):
    """On four devices the sums over the batch have another order: equal to rounding, not bit for bit."""

    def stop(report):
        return report.step >= 8

    fit(model(), loss, data(), **ARGUMENTS, checkpoint=tmp_path / "run", callbacks=[stop])
    four = ARGUMENTS | {"settings": TrainingSettings(**vars(SETTINGS) | {"devices": 4})}
    resumed = fit(model(), loss, data(), **four, checkpoint=tmp_path / "run", resume=True)
    for a, b in zip(jax.tree.leaves(resumed.model), jax.tree.leaves(whole.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5)


def test_bad_checkpoints_are_refused(tmp_path):
    folder = tmp_path / "run"

    def interrupt(report):
        if report.step >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stop:
        fit(model(), loss, data(), **ARGUMENTS, checkpoint=folder, checkpoint_steps=4, callbacks=[interrupt])
    assert "step 6 is safe" in stop.value.__notes__[0]

    def resume(**changes):
        fit(model(), loss, data(), **ARGUMENTS | changes, checkpoint=folder, resume=True)

    with pytest.raises(CheckpointError, match="another training"):
        resume(key=jax.random.key(6))
    with pytest.raises(CheckpointError, match=r"learning_rate was 0.05, now 0.1"):
        resume(settings=TrainingSettings(**vars(SETTINGS) | {"learning_rate": 0.1}))
    meta = folder / "6" / "progress" / "metadata"
    text = meta.read_text()
    meta.write_text(text.replace('"version": 1', '"version": 99'))
    with pytest.raises(CheckpointError, match=r"version 99 of the layout.*update jaxhep"):
        resume()
    meta.write_text(text[: len(text) // 2])
    with pytest.raises(CheckpointError, match=r"cut short: remove .* to resume from step 4"):
        resume()
    meta.write_text(text)
    for path in (folder / "6" / "state").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        resume()


def test_one_compilation_for_all_epochs_remainders_and_rates():
    count = 0

    def counted(model, event, key):
        nonlocal count
        count += 1
        return loss(model, event, key)

    settings = TrainingSettings(batch_size=16, epochs=1, steps_per_call=3)
    arguments: dict[str, Any] = {"key": KEY, "trainable": "all", "validation": 0.2}
    fit(model(), counted, data(), settings=settings, **arguments)
    # As many traces as one epoch makes, and the loss of the last batch is one of 56 = 3·16 + 8 events.
    limited = chex.assert_max_traces(loss, n=count)
    chex.clear_trace_counter()
    for rate, epochs in ((1e-3, 4), (1e-2, 3)):
        settings = TrainingSettings(batch_size=16, epochs=epochs, steps_per_call=3, learning_rate=rate, patience=9)
        result = fit(model(), limited, data(), settings=settings, **arguments)
        assert result.num_steps == epochs * 4
    with pytest.raises(AssertionError, match="traced"):
        fit(model(), limited, data(80), settings=settings, **arguments)


def test_sharding_over_devices_changes_nothing_but_rounding(whole):
    four = ARGUMENTS | {"settings": TrainingSettings(**vars(SETTINGS) | {"devices": 4})}
    sharded = fit(model(), loss, data(), **four)
    for a, b in zip(jax.tree.leaves(sharded.ema), jax.tree.leaves(whole.ema), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5)


def test_data_too_large_for_the_device_give_the_same(whole):
    chunks = ARGUMENTS | {"settings": TrainingSettings(**vars(SETTINGS) | {"resident_bytes": 0})}
    assert same(fit(model(), loss, data(), **chunks), whole)


def test_a_loss_that_is_not_finite_names_step_row_and_leaf():
    x = np.linspace(1.0, 2.0, 40)
    x[13] = -1.0

    def log_loss(model, event, key):
        return model["a"] * jnp.log(event["x"]) + model["b"] ** 2

    start = {"a": jnp.array(1.0), "b": jnp.array(2.0)}
    settings = TrainingSettings(batch_size=8, epochs=2, steps_per_call=4)
    with pytest.raises(NonFiniteLossError, match=r"leaf|gradients that are not finite: a") as failure:
        fit(start, log_loss, Dataset({"x": x}), key=KEY, settings=settings, trainable="all")
    error = failure.value
    assert list(error.bad_rows) == [13]
    assert error.gradients == ("a",)
    assert (error.leaves, error.columns) == ((), ())
    assert error.epoch == 0
    assert error.step < 5
    assert 13 in error.rows
    assert np.all(np.isfinite(jax.tree.leaves(error.model)))
    moved = float(error.model["b"]) != 2.0
    assert moved == (error.step > 0)


def test_a_validation_loss_that_is_not_finite_stops():
    def log_loss(model, event, key):
        return -jnp.log(event["x"]) + model["b"] ** 2

    held = Dataset({"x": np.array([1.0, 0.0])})
    settings = TrainingSettings(batch_size=8, epochs=2)
    with pytest.raises(NonFiniteLossError, match="validation loss is inf after epoch 0") as failure:
        fit(
            {"b": jnp.array(1.0)}, log_loss, Dataset({"x": np.ones(8)}), key=KEY, settings=settings, trainable="all",
            validation=held,
        )  # fmt: skip
    assert float(failure.value.model["b"]) != 1.0


def test_a_training_out_of_patience_is_over(tmp_path):
    """Also when it is resumed: nothing more is trained."""
    settings = TrainingSettings(**vars(SETTINGS) | {"patience": 1, "epochs": 50, "learning_rate": 0.5})
    arguments = ARGUMENTS | {"settings": settings, "checkpoint": tmp_path / "run"}
    ended = fit(model(), loss, data(), **arguments)
    again = fit(model(), loss, data(), **arguments, resume=True)
    assert (ended.stopped, again.stopped) == ("patience", "patience")
    assert ended.num_steps == again.num_steps < 50 * 4
    assert same(ended, again)


def test_callbacks_log_and_stop(whole, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 999}\n')  # of an epoch that an earlier, killed process had trained beyond its checkpoint
    bar = ProgressBar()
    result = fit(model(), loss, data(), **ARGUMENTS, callbacks=[JsonLines(path), bar])
    assert same(result, whole)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["train"]["loss"] for line in lines] == result.train_losses["loss"]
    assert [line["validation"] for line in lines] == result.validation_losses
    assert bar.bar.finished
    assert json.loads(result.to_json())["history"][-1]["step"] == 24
    for text in (repr(result), result._repr_html_()):
        assert "validation loss" in text
    stopped = fit(model(), loss, data(), **ARGUMENTS, callbacks=[lambda report: report.kind == "epoch"])
    assert (stopped.stopped, len(stopped.history)) == ("callback", 1)
    with pytest.raises(ImportError, match="tensorboardX"):
        TensorBoard(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        JsonLines(tmp_path / "no" / "log.jsonl")


class Gaussian:
    """What `density_loss` asks of a density."""

    def __init__(self):
        self.seen = []

    def loss_noise(self, key):
        return jax.random.uniform(key)

    def loss(self, x, condition, noise):
        return jnp.sum(x) + (0 if condition is None else jnp.sum(condition)) + noise


def test_the_loss_of_a_density():
    event = {"x": jnp.ones(2), "c": jnp.full(3, 10.0)}
    noise = jax.random.uniform(KEY)
    assert density_loss()(Gaussian(), event, KEY) == 2 + noise
    assert density_loss(conditional=True)(Gaussian(), event, KEY) == 32 + noise
    assert density_loss(True) == density_loss(True)
    assert hash(density_loss()) == hash(density_loss())
