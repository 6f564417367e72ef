"""Bad arguments of the dipole shower, and arrays that are too small."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.event import Event
from jaxhep.shower import DipoleShower, DiscreteQCD
from jaxhep.simulator import get_parameters, with_parameters

BAD = [
    ({"energy": 0.0}, "energy must be a positive number"),
    ({"energy": math.nan}, "energy must be a positive number"),
    ({"energy": -91.2}, "energy must be a positive number"),
    ({"alpha_s": -0.118}, "alpha_s must be a positive number"),
    ({"alpha_s": math.inf}, "alpha_s must be a positive number"),
    ({"cutoff": -1.0}, "cutoff must be a positive number"),
    ({"cutoff": math.nan}, "cutoff must be a positive number"),
    ({"cutoff": 100.0}, "leaves no room.*lower the cutoff"),
    ({"cutoff": 45.6}, "leaves no room.*lower the cutoff"),
    ({"cutoff": 0.2}, "Landau pole at or above 0.2 GeV: raise the lowest scale"),
    ({"alpha_s": 0.2}, "Landau pole at or above 1 GeV"),
    ({"scale_factor": 0.2}, "Landau pole at or above 0.2 GeV"),
    ({"scale_factor": 0.0}, "scale_factor must be a positive number"),
    ({"loops": 7}, "loops must be 1, 2, 3 or 4"),
    ({"flavours": 7}, "flavours must be a whole number from 0 to 6"),
    ({"gradient": "score"}, "gradient must be 'pathwise' or 'weight'"),
    ({"headroom": 0.5}, "headroom must be at least 1"),
    ({"headroom": math.nan}, "headroom must be at least 1"),
    ({"capacity": 2}, "capacity must be a whole number of at least 3"),
    ({"trials": 0}, "trials must be a whole number of at least 1"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda x: str(x))
def test_bad_argument_says_cause_and_cure(arguments, message):
    # Beneath the tests' type checks, which would answer first: what a user without them sees.
    initialise = inspect.unwrap(DipoleShower.__init__)
    with pytest.raises(ValueError, match=message):
        initialise(object.__new__(DipoleShower), **arguments)


@pytest.mark.parametrize("value", ["0.118", [0.1, 0.2], None, 1j])
def test_alpha_s_must_be_one_real_number(value):
    with pytest.raises(TypeError, match="alpha_s must be one real number"):
        DipoleShower(alpha_s=value)


def test_noise_and_reference_of_another_simulator_are_refused():
    shower = DipoleShower()
    with pytest.raises(ValueError, match=r"noise must have shape .* use sample_noise"):
        shower(jnp.full((shower.trials - 1, 4), 0.5))
    with pytest.raises(TypeError, match="reference of a DipoleShower is a DipoleShower"):
        shower(shower.sample_noise(jax.random.key(0)), reference=DiscreteQCD())


def test_parameters_are_four_arrays():
    assert set(get_parameters(DipoleShower())) == {"energy", "alpha_s", "cutoff", "scale_factor"}
    with pytest.raises(ValueError, match="did you mean 'alpha_s'"):
        with_parameters(DipoleShower(), {"alpha": 0.12})


def test_a_longer_noise_begins_with_the_shorter_one():
    key = jax.random.key(3)
    short, long = (DipoleShower(trials=n).sample_noise(key) for n in (5, 40))
    np.testing.assert_array_equal(short, long[:5])
    with jax.enable_x64(True):
        short, long = (DipoleShower(trials=n).sample_noise(key, jnp.float64) for n in (5, 40))
        np.testing.assert_array_equal(short, long[:5])
        assert len(np.unique(long)) == 160


def test_too_few_partons_or_trials_are_flagged():
    keys = jax.random.split(jax.random.key(0), 2048)
    counts = {}
    for capacity, trials in ((4, 16), (7, 4), (7, 16)):
        shower = DipoleShower(cutoff=3.0, headroom=1.0, capacity=capacity, trials=trials)
        event = jax.jit(jax.vmap(lambda k, s=shower: s(s.sample_noise(k))))(keys)
        counts[capacity, trials] = np.asarray(event.mask.sum(axis=1)), np.asarray(event.overflow)
        # What has overflowed still holds the first branchings, on shell and balanced.
        np.testing.assert_allclose(event.momenta.sum(axis=1), np.tile([91.1876, 0, 0, 0], (2048, 1)), atol=1e-4)
    full, rare = counts[7, 16]
    assert rare.mean() < 0.05
    small, flagged = counts[4, 16]
    np.testing.assert_array_equal(flagged[~rare], full[~rare] > 4)
    np.testing.assert_array_equal(small[~rare], np.minimum(full, 4)[~rare])
    assert 0.02 < flagged.mean() < 0.95
    few, late = counts[7, 4]
    assert 0.05 < late.mean() < 0.95
    np.testing.assert_array_equal(few[~late], full[~late])


def test_traced_values_out_of_range_are_flagged():
    shower = DipoleShower(cutoff=4.0, capacity=4, trials=8)
    noise = shower.sample_noise(jax.random.key(1))
    run = jax.jit(lambda a, s: with_parameters(shower, {"alpha_s": a})(noise, s).overflow)

    def start(energy):
        momenta = jnp.array([[1.0, 0, 0, 1.0], [1.0, 0, 0, -1.0]]) * energy / 2
        return Event(momenta, jnp.ones(2, bool), jnp.array([2, -2]), jnp.ones(()), jnp.asarray(False))

    assert bool(run(1.0, start(91.1876)))
    assert bool(run(0.118, start(300.0)))
    quiet = noise.at[0, 0].set(1 - 1e-6)
    assert not bool(with_parameters(shower, {"alpha_s": 0.118})(quiet, start(91.1876)).overflow)
