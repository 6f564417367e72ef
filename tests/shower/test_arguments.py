"""Bad arguments and arrays that are too small."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.shower import DiscreteQCD
from jaxhep.shower._grove import draw_grove
from jaxhep.simulator import get_parameters, with_parameters
from tests.shower.oracles import ENERGY

BAD = [
    ({"lambda_qcd": 0.0}, "lambda_qcd must lie between 0 and the energy"),
    ({"lambda_qcd": -0.1}, "lambda_qcd must lie between 0 and the energy"),
    ({"lambda_qcd": ENERGY}, "lambda_qcd must lie between 0 and the energy"),
    ({"lambda_qcd": 200.0}, "lambda_qcd must lie between 0 and the energy"),
    ({"lambda_qcd": math.nan}, "lambda_qcd must lie between 0 and the energy"),
    ({"lambda_qcd": math.inf}, "lambda_qcd must lie between 0 and the energy"),
    ({"energy": 0.0}, "energy must be a positive number"),
    ({"energy": -91.2}, "energy must be a positive number"),
    ({"energy": math.nan}, "energy must be a positive number"),
    ({"energy": math.inf}, "energy must be a positive number"),
    ({"mode": "lattise"}, "mode must be 'smooth' or 'lattice'"),
    ({"n_f": 7}, "n_f must be a whole number of flavours from 0 to 6"),
    ({"n_f": -1}, "n_f must be a whole number of flavours from 0 to 6"),
    ({"quark_colour": "CF"}, "quark_colour must be 'C_A/2' or 'C_F'"),
    ({"lambda_range": (0.3, 0.1)}, "lambda_range must satisfy"),
    ({"lambda_range": (0.0, 0.3)}, "lambda_range must satisfy"),
    ({"lambda_range": (0.1, 100.0)}, "lambda_range must satisfy"),
    ({"lambda_qcd": 0.1, "lambda_range": (0.15, 0.4)}, "lies outside lambda_range"),
    ({"lambda_qcd": 1e-12}, "raise lambda_qcd or lower the energy"),
    ({"capacity": 0}, "capacity must be a whole number"),
    ({"ordering_scale": 0.0}, "ordering_scale must be a positive number"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda x: str(x))
def test_bad_argument_says_cause_and_cure(arguments, message):
    # Beneath the tests' type checks, which would answer first: what a user without them sees.
    initialise = inspect.unwrap(DiscreteQCD.__init__)
    with pytest.raises(ValueError, match=message):
        initialise(object.__new__(DiscreteQCD), **arguments)


@pytest.mark.parametrize("value", ["0.2", [0.1, 0.2], None, 1j])
def test_lambda_must_be_one_real_number(value):
    with pytest.raises(TypeError, match="lambda_qcd must be one real number"):
        DiscreteQCD(lambda_qcd=value)


def test_traced_lambda_needs_a_range():
    with pytest.raises(ValueError, match="with_parameters"):
        jax.jit(lambda x: DiscreteQCD(lambda_qcd=x).lambda_qcd)(0.2)
    value = jax.jit(lambda x: DiscreteQCD(lambda_qcd=x, lambda_range=(0.1, 0.4)).lambda_qcd)(0.25)
    assert float(value) == pytest.approx(0.25)


def test_noise_of_another_shape_is_refused():
    shower = DiscreteQCD()
    with pytest.raises(ValueError, match=r"noise must have shape .* use sample_noise"):
        shower(jnp.full((shower.layout.num_slots + 1, 3), 0.5))


def test_unknown_parameter_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'lambda_qcd'"):
        with_parameters(DiscreteQCD(), {"lambda_qdc": 0.3})
    assert set(get_parameters(DiscreteQCD())) == {"energy", "lambda_qcd"}


def test_capacity_and_lambda_range_overflows_are_flagged():
    # High Λ: few slots, quick to compile.
    shower = DiscreteQCD(lambda_qcd=1.0, lambda_range=(0.8, 2.0), capacity=1)
    noise = jax.vmap(shower.sample_noise)(jax.random.split(jax.random.key(0), 512))
    run = jax.jit(lambda x, u: jax.vmap(with_parameters(shower, {"lambda_qcd": x}))(u))
    event = run(1.0, noise)
    log_scale = 2 * jnp.log(jnp.asarray(ENERGY))
    draw = jax.jit(jax.vmap(lambda u: jnp.stack(draw_grove(shower.layout, shower.geometry, u, log_scale, None).active)))
    gluons = np.asarray(draw(noise)).sum(axis=1)
    np.testing.assert_array_equal(event.overflow, gluons > 1)
    assert 0.1 < np.mean(gluons > 1) < 0.9
    # What has overflowed still holds the first emissions, on shell and balanced.
    np.testing.assert_allclose(event.momenta.sum(axis=1), np.tile([ENERGY, 0, 0, 0], (512, 1)), atol=1e-4 * ENERGY)
    assert np.asarray(run(0.79, noise).overflow).all()
    assert not np.asarray(run(0.8, noise).overflow).all()


def test_no_phase_space_leaves_two_partons():
    shower = DiscreteQCD(lambda_qcd=80.0, lambda_range=(70.0, 90.0))
    event = shower(shower.sample_noise(jax.random.key(0)))
    np.testing.assert_array_equal(np.flatnonzero(event.mask), [0, 1])
    np.testing.assert_allclose(
        event.momenta[:2], [[ENERGY / 2, 0, 0, ENERGY / 2], [ENERGY / 2, 0, 0, -ENERGY / 2]], rtol=1e-6
    )
    assert float(event.weight) == 1
