"""`move`, `moved`, `Chain` and parameters by name, on a simulator with closed forms."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.simulator import Chain, get_parameters, move, moved, with_parameters
from tests.simulator.toys import Toy

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def noise():
    return jax.vmap(Toy().sample_noise)(jax.random.split(KEY, 200))


def test_move_is_the_frozen_noise_difference(noise):
    toy = Toy(2.0, 0.4)
    event, tangent = move(toy, noise, {"scale": 1.0, "chance": 0.5})
    # Energies are linear in the scale, and do not know the chance.
    np.testing.assert_allclose(tangent.momenta, event.momenta / 2, rtol=1e-6)
    number = np.asarray(event.mask).sum(axis=1)
    score = np.where(number < 3, -1 / 0.6, 0) + number / 0.4
    np.testing.assert_allclose(tangent.weight, 0.5 * score, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(tangent.mask, event.mask)
    np.testing.assert_array_equal(tangent.pdg_id, event.pdg_id)
    step = 1e-3
    up, down = (moved(toy, noise, {"scale": 2.0 + h, "chance": 0.4 + h / 2}) for h in (step, -step))
    np.testing.assert_allclose((up.weight - down.weight) / (2 * step), tangent.weight, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose((up.momenta - down.momenta) / (2 * step), tangent.momenta, rtol=1e-2, atol=1e-2)


def test_move_accepts_one_event_and_a_simulator_as_direction(noise):
    toy = Toy(2.0, 0.4)
    one, tangent = move(toy, noise[0], Toy(1.0, 0.5))
    batch, batch_tangent = move(toy, noise, {"scale": 1.0, "chance": 0.5})
    np.testing.assert_array_equal(one.momenta, batch.momenta[0])
    np.testing.assert_allclose(tangent.weight, batch_tangent.weight[0], rtol=1e-6)
    with pytest.raises(ValueError, match="direction must be"):
        move(toy, noise[0], Toy(1.0, 0.5, capacity=2))


def test_moved_reweights_by_the_ratio_of_probabilities(noise):
    old, new = Toy(2.0, 0.4), Toy(3.0, 0.5)
    event = moved(old, noise, {"scale": 3.0, "chance": 0.5})
    base = jax.vmap(old)(noise)
    number = np.asarray(base.mask).sum(axis=1)
    ratio = np.asarray(new.probabilities())[number] / np.asarray(old.probabilities())[number]
    np.testing.assert_allclose(event.weight, ratio, rtol=1e-6)
    np.testing.assert_allclose(event.momenta, 1.5 * base.momenta, rtol=1e-6)
    unmoved = moved(old, noise, {})
    np.testing.assert_array_equal(unmoved.weight, 1)
    np.testing.assert_array_equal(unmoved.momenta, base.momenta)


def test_move_in_two_parameters_at_once_is_linear(noise):
    toy = Toy()
    parts = [move(toy, noise, {name: 1.0})[1] for name in ("scale", "chance")]
    both = move(toy, noise, {"scale": 2.0, "chance": -3.0})[1]
    np.testing.assert_allclose(both.weight, 2 * parts[0].weight - 3 * parts[1].weight, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(both.momenta, 2 * parts[0].momenta - 3 * parts[1].momenta, rtol=1e-5, atol=1e-5)


def test_parameters_by_name():
    assert sorted(get_parameters(Toy())) == ["chance", "scale"]
    chain = Chain(Toy(1.0), Toy(2.0))
    names = get_parameters(chain)
    assert sorted(names) == ["stages.0.chance", "stages.0.scale", "stages.1.chance", "stages.1.scale"]
    changed = with_parameters(chain, {"stages.1.scale": 5.0})
    assert float(get_parameters(changed)["stages.0.scale"]) == 1.0
    assert float(get_parameters(changed)["stages.1.scale"]) == 5.0
    gradient = jax.grad(lambda x: with_parameters(Toy(), {"scale": x}).scale ** 2)(3.0)
    assert float(gradient) == 6.0
    assert with_parameters(Toy(), {"scale": 1}).scale.dtype == jnp.float32


def test_chain_gives_each_stage_its_own_noise():
    chain = Chain(Toy(), Toy())
    first, second = chain.sample_noise(KEY)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, Toy().sample_noise(jax.random.fold_in(KEY, 0)))
    np.testing.assert_array_equal(second, Toy().sample_noise(jax.random.fold_in(KEY, 1)))
    with pytest.raises(TypeError, match="a Chain is made of simulators"):
        inspect.unwrap(Chain.__init__)(object.__new__(Chain), 3)
