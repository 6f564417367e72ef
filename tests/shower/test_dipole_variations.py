"""Weights of one sample at other scales and couplings: against samples made there; the band's errors."""

import inspect
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.expectation import band
from jaxhep.observables import multiplicity, one_minus_thrust
from jaxhep.shower import DipoleShower
from jaxhep.simulator import generate_variations, with_parameters
from tests.shower.oracles import PULL, check_pull

EVENTS = 2**14
EDGES = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.5])
OBSERVABLES = {"tau": one_minus_thrust, "n": multiplicity}
VARIATIONS = {
    "f = 1/2": {"scale_factor": 0.5},
    "f = 2": {"scale_factor": 2.0},
    "up": {"alpha_s": 0.121},
    "both": {"alpha_s": 0.112, "scale_factor": 0.5},
}


@pytest.fixture(scope="module")
def shower():
    return DipoleShower(cutoff=6.0, capacity=6, trials=16, matrix_element=True)


@pytest.fixture(scope="module")
def sample(shower):
    """(simulator, seed) → its events with the weights of `VARIATIONS`; one program for all simulators."""

    def run(simulator, seed):
        return generate_variations(
            simulator, jax.random.key(seed), EVENTS, VARIATIONS, observables=OBSERVABLES, chunk_size=EVENTS
        )

    return run


@pytest.fixture(scope="module")
def reference(sample, shower):
    return sample(shower, 1)


@pytest.mark.parametrize("name", VARIATIONS)
def test_weights_give_the_sample_that_would_be_made_there(name, sample, shower, reference):
    there = sample(with_parameters(shower, VARIATIONS[name]), 2 + list(VARIATIONS).index(name))
    np.testing.assert_allclose(there["weight"], 1, atol=5e-6)
    assert np.mean(reference["overflow"] | there["overflow"]) < 1e-3
    weights = np.asarray(reference["weights"][name], float)
    check_pull(weights.mean(), weights.std() / np.sqrt(EVENTS), 1.0)
    moved = 0.0
    for observable in OBSERVABLES:
        ours = band(reference[observable], {name: reference["weights"][name]})
        theirs = band(there[observable], {"itself": there["weight"]})
        change = float(ours.varied[name] - ours.value)
        # The shift has its own small error, and the sample that it starts from is independent of the other one.
        check_pull(ours.varied[name], np.hypot(ours.error, ours.shift_error[name]), theirs.value, theirs.error)
        moved = max(moved, abs(change) / float(ours.shift_error[name]))
    histogram = band(reference["tau"], {name: reference["weights"][name]}, edges=EDGES)
    wanted = band(there["tau"], {"itself": there["weight"]}, edges=EDGES)
    for k in range(EDGES.size - 1):
        spread = np.hypot(histogram.error[k], histogram.shift_error[name][k])
        check_pull(histogram.varied[name][k], spread, wanted.value[k], wanted.error[k])
    # The test has power: a weight of 1 would fail it.
    assert moved > PULL
    assert 0.1 < float(histogram.effective[name]) < 1


def test_errors_of_the_band_are_those_of_its_terms():
    rng = np.random.default_rng(4)
    x, w, v = rng.uniform(0, 0.5, 4000) ** 2, rng.uniform(0.5, 1.5, 4000), rng.uniform(-0.5, 3, 4000)
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in (x, v, w)]
        mean = band(arrays[0], {"v": arrays[1]}, arrays[2])
        bins = band(arrays[0], {"v": arrays[1]}, arrays[2], edges=EDGES, density=True)
        lowest, highest = (np.asarray(side) for side in bins.envelope())
        shown = repr(mean)
    functions: list[tuple[Any, Any, float, Any]] = [(x, mean, 1.0, ...)]
    for k, (low, high) in enumerate(itertools.pairwise(EDGES)):
        functions.append((((x >= low) & (x < high)) * 1.0, bins, 1 / (high - low), k))
    for f, found, unit, k in functions:
        terms = [weight * (f - np.average(f, weights=weight)) / weight.sum() for weight in (w, v)]
        assert np.asarray(found.value)[k] == pytest.approx(unit * np.average(f, weights=w), rel=1e-12)
        assert np.asarray(found.varied["v"])[k] == pytest.approx(unit * np.average(f, weights=v), rel=1e-12)
        assert np.asarray(found.error)[k] == pytest.approx(unit * np.sqrt(np.sum(terms[0] ** 2)), rel=1e-9)
        shift = np.sqrt(np.sum((terms[1] - terms[0]) ** 2))
        assert np.asarray(found.shift_error["v"])[k] == pytest.approx(unit * shift, rel=1e-9)
    assert float(mean.effective["v"]) == pytest.approx(v.sum() ** 2 / np.sum(v**2) / v.size)
    assert np.all(lowest <= np.asarray(bins.value))
    assert np.all(highest >= np.asarray(bins.varied["v"]))
    assert "worth of the events under v" in shown


def test_what_cannot_be_varied_is_said():
    key = jax.random.key(0)
    shower = DipoleShower(cutoff=3.0, capacity=3, trials=1)

    def run(simulator, variations, **more):
        return generate_variations(
            simulator, key, 10, variations, **{"observables": {"energy": lambda momenta, mask: momenta[0, 0]}, **more}
        )

    with pytest.raises(ValueError, match="variations is empty"):
        run(shower, {})
    with pytest.raises(ValueError, match="did you mean 'alpha_s'"):
        run(shower, {"a": {"alpha": 0.12}})
    with pytest.raises(ValueError, match=r"cutoff: .*events move with what is varied"):
        run(shower, {"a": {"cutoff": 4.0}})
    with pytest.raises(ValueError, match=r"alpha_s: .*events move with what is varied"):
        run(DipoleShower(cutoff=3.0, capacity=3, trials=1, gradient="pathwise"), {"a": {"alpha_s": 0.12}})
    with pytest.raises(ValueError, match="'weight' is that of a part of the result"):
        run(shower, {"a": {"alpha_s": 0.12}}, observables={"weight": one_minus_thrust})
    ones = jnp.ones(4)
    with pytest.raises(ValueError, match="variations is empty"):
        band(ones, {})
    # Beneath the tests' type checks, which would answer first.
    with pytest.raises(ValueError, match="add up to -4"):
        band(ones, {"v": -ones})
    with pytest.raises(ValueError, match="weights must have shape"):
        inspect.unwrap(band)(ones, {"v": jnp.ones(3)})
    with pytest.raises(ValueError, match="no variation 'w'"):
        band(ones, {"v": ones}).envelope(["w"])
