"""What every metric of two samples obeys; floors and errors against many independent samples."""

import inspect
import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.metrics import Metric, effective_sample_size, metric_table
from tests.metrics.samples import ONE_COLUMN, PULL, normals

KEY = jax.random.key(0)
# Those without the pairs of an event with itself see a replicated event as two alike, a weight as one.
REPLICABLE = [name for name in ONE_COLUMN if name not in ("mmd", "kpd", "fpd")]
PAIRS, SMALL = 256, 128


@pytest.mark.parametrize("name", REPLICABLE)
def test_weighted_is_replicated(name):
    x, y = normals(1, count=200), normals(2, 0.4, count=200)
    repeats = np.random.default_rng(3).integers(1, 4, 200)
    weights = jnp.asarray(repeats, jnp.float32)
    metric = ONE_COLUMN[name]
    weighted = metric(x, y, weights, key=KEY, num_replicas=2).value
    replicated = metric(jnp.repeat(x, repeats), y, key=KEY, num_replicas=2).value
    np.testing.assert_allclose(weighted, replicated, rtol=2e-4)


@pytest.mark.parametrize("name", [name for name in ONE_COLUMN if name != "fpd"])
def test_negative_weights_cancel_events(name):
    """Events added with weights +1 and −1 change nothing, and the scale of the weights is free."""
    x, y, ghosts = normals(1, count=150), normals(2, 0.4, count=200), normals(4, 3.0, count=25)
    weights = jnp.concatenate([jnp.ones(150), jnp.ones(25), -jnp.ones(25)])
    metric = ONE_COLUMN[name]
    own = jnp.concatenate([x, ghosts, ghosts])
    # The reference gives the ghosts no weight: the same shapes, one compilation.
    nothing = jnp.concatenate([jnp.full(150, 3.0), jnp.zeros(50)])
    with_ghosts, without = (metric(own, y, w, key=KEY, num_replicas=2).value for w in (weights, nothing))
    if name in ("mmd", "kpd"):  # self-pairs of ghosts are left out: w² does not cancel
        pytest.skip("an unbiased estimate has no exact cancellation")
    np.testing.assert_allclose(with_ghosts, without, rtol=2e-4, atol=1e-6)


@cache
def many(name: str, shift: float) -> tuple[np.ndarray, ...]:
    """Value, error, floor and spread of the metric for many independent pairs of samples."""
    rng = np.random.default_rng(5)
    x, y = (jnp.asarray(rng.normal(m, 1, (PAIRS, SMALL)), jnp.float32) for m in (0.0, shift))
    w = jnp.asarray(rng.uniform(0.5, 1.5, (PAIRS, SMALL)), jnp.float32)
    metric = ONE_COLUMN[name]

    @jax.jit
    def run(parts):
        a, b, v, k = parts
        return metric(a, b, v, key=k, num_replicas=40)

    result = jax.lax.map(run, (x, y, w, jax.random.split(KEY, PAIRS)))
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
    assert np.mean(value - floor > 3 * spread) > 0.99


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
@pytest.mark.parametrize("name", ["wasserstein", "energy", "triangular", "roc_area"])
def test_bad_input_is_said_before_anything_compiles(name, change, message):
    given = {"x": jnp.zeros(2), "y": jnp.zeros(2), "x_weights": None, "y_weights": None, "num_replicas": 3} | change
    arguments = [given.pop(k) for k in ("x", "y", "x_weights", "y_weights")]
    with pytest.raises(ValueError, match=message):
        _unchecked(ONE_COLUMN[name])(*arguments, key=KEY, **given)


def _unchecked(function):
    """Beneath the tests' type checks, which would answer first."""
    return inspect.unwrap(function)
