"""What every metric of two samples obeys; floors and errors against many independent samples."""

import inspect
import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.metrics import Metric, effective_sample_size, metric_table, wasserstein
from tests.metrics.samples import ONE_COLUMN, PULL, normals

KEY = jax.random.key(0)
# Those without the pairs of an event with itself see a replicated event as two alike, a weight as one.
REPLICABLE = [name for name in ONE_COLUMN if name not in ("mmd", "kpd", "fpd")]
PAIRS, SMALL = 256, 128


@pytest.mark.parametrize("name", REPLICABLE)
def test_weighted_is_replicated_and_negative_weights_cancel(name):
    """All in one shape, for one compilation: 100 events of weight 3; each thrice; and with ghosts of weight ±1."""
    x, ghosts = np.asarray(normals(1, count=100)), np.asarray(normals(4, 3.0, count=100))
    y = normals(2, 0.4, count=200)
    cases = [
        (np.concatenate([x, ghosts, ghosts]), [3.0, 0.0, 0.0]),
        (np.concatenate([x, x, x]), [1.0, 1.0, 1.0]),
        (np.concatenate([x, ghosts, ghosts]), [7.0, 1.0, -1.0]),
    ]
    values = [
        ONE_COLUMN[name](jnp.asarray(a), y, jnp.asarray(np.repeat(w, 100), jnp.float32), key=KEY, num_replicas=2).value
        for a, w in cases
    ]
    np.testing.assert_allclose(values[1:], values[0], rtol=2e-4, atol=1e-6)


@cache
def compiled(name: str):
    """The metric over many pairs of samples."""
    metric = ONE_COLUMN[name]
    return jax.jit(lambda parts: jax.lax.map(lambda p: metric(*p[:3], key=p[3], num_replicas=40), parts))


@cache
def many(name: str, shift: float) -> tuple[np.ndarray, ...]:
    """Value, error, floor and spread of the metric for many independent pairs of samples."""
    rng = np.random.default_rng(5)
    x, y = (jnp.asarray(rng.normal(m, 1, (PAIRS, SMALL)), jnp.float32) for m in (0.0, shift))
    w = jnp.asarray(rng.uniform(0.5, 1.5, (PAIRS, SMALL)), jnp.float32)
    result = compiled(name)((x, y, w, jax.random.split(KEY, PAIRS)))
    return tuple(np.asarray(getattr(result, part), float) for part in ("value", "error", "floor", "floor_spread"))


@pytest.mark.parametrize("name", ONE_COLUMN)
def test_floor_is_what_equal_samples_give(name):
    value, _, floor, spread = many(name, 0.0)
    # The floor is known to O(1/N); its own fluctuation is in the standard deviation of the difference.
    gap = value - floor
    bias = 2 * abs(floor.mean()) / SMALL
    assert abs(gap.mean()) < PULL * gap.std() / np.sqrt(PAIRS) + bias
    # The relative error of a standard deviation from PAIRS values of kurtosis up to 9 is √((9 − 1)/4/PAIRS).
    ratio = value.std() / np.sqrt(np.mean(spread**2))
    assert abs(ratio - 1) < PULL * np.sqrt(2 / PAIRS)
    # False alarms at five of its own standard deviations, one in 3 million for a normal null, stay rare.
    assert np.mean(gap > 5 * spread) < 0.05


@pytest.mark.parametrize("name", ONE_COLUMN)
def test_error_is_the_spread_of_unequal_samples(name):
    value, error, floor, spread = many(name, 1.5)
    ratio = value.std() / np.sqrt(np.mean(error**2))
    assert abs(ratio - 1) < PULL / np.sqrt(PAIRS)
    assert np.mean(np.abs(value - floor) > 3 * spread) > 0.99


def test_metric_shows_itself():
    metric = Metric(*(jnp.asarray(a) for a in (0.5, 0.02, 0.1, 0.04)))
    assert metric.significance == pytest.approx(10)
    assert json.loads(json.dumps(metric.to_dict()))["floor"] == pytest.approx(0.1)
    assert metric_table({"a": metric}).count("\n") == 2
    assert float(effective_sample_size(jnp.array([1.0, -1.0]))) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": jnp.ones(1)}, "at least 2 events"),
        ({"x": jnp.array([0.0, jnp.nan])}, "NaN or infinity"),
        ({"x_weights": jnp.ones(3)}, "must have shape"),
        ({"x_weights": jnp.array([1.0, -1.0])}, "positive sum"),
        ({"y_weights": jnp.array([1.0, jnp.inf])}, "hold NaN or infinity"),
        ({"num_replicas": 1}, "at least 2"),
    ],
    ids=lambda a: str(a)[:20],
)
def test_bad_input_is_said_before_anything_compiles(change, message):
    given = {"x": jnp.zeros(2), "y": jnp.zeros(2), "x_weights": None, "y_weights": None, "num_replicas": 3} | change
    arguments = [given.pop(k) for k in ("x", "y", "x_weights", "y_weights")]
    with pytest.raises(ValueError, match=message):
        # Beneath the tests' type checks, which would answer first.
        inspect.unwrap(wasserstein)(*arguments, key=KEY, **given)
