"""Positions and directions: closed forms, the logarithm's linearity, finite gradients where nothing was recorded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.reconstruction import barycentre, direction, shower_line

PLACES = jnp.asarray(np.stack(np.meshgrid(np.arange(9.0) - 4, np.arange(9.0) - 4, indexing="ij"), -1).reshape(-1, 2))


def shower_at(x, y):
    """Energies of an exponential profile, integrated over the cells along each axis."""

    def along(c):
        edges = np.arange(10) - 4.5
        cumulative = np.where(edges < c, 0.5 * np.exp((edges - c) / 0.2), 1 - 0.5 * np.exp(-(edges - c) / 0.2))
        return np.diff(cumulative)

    return jnp.asarray(np.outer(along(x), along(y)).ravel(), jnp.float32)


def test_logarithm_is_nearer_to_the_truth_than_linear_weights():
    offsets = np.linspace(-0.4, 0.4, 9)
    linear = [abs(float(barycentre(shower_at(x, 0.0), PLACES, cut=None)[0]) - x) for x in offsets]
    logarithmic = [abs(float(barycentre(shower_at(x, 0.0), PLACES)[0]) - x) for x in offsets]
    assert max(logarithmic) < 0.5 * max(linear)


def test_moved_cells_move_the_place_and_a_common_factor_does_not():
    e = shower_at(0.2, -0.3)
    np.testing.assert_allclose(barycentre(3 * e, PLACES), barycentre(e, PLACES), atol=1e-6)
    np.testing.assert_allclose(barycentre(e, PLACES + 1.5), barycentre(e, PLACES) + 1.5, atol=1e-5)


@pytest.mark.parametrize("cut", [None, 4.0])
def test_nothing_recorded_has_a_finite_gradient(cut):
    for energies in (jnp.zeros(81), jnp.zeros(81).at[3].set(1.0)):
        value, slope = jax.value_and_grad(lambda e: jnp.sum(barycentre(e, PLACES, cut=cut)))(energies)
        assert np.isfinite(value)
        assert np.all(np.isfinite(slope))


def test_line_is_the_weighted_least_squares_of_numpy():
    rng = np.random.default_rng(1)
    depths, weights = np.sort(rng.uniform(0, 30, 8)), rng.uniform(0.1, 2, 8)
    places = 0.3 + 0.1 * depths[:, None] * [1, -2] + rng.normal(0, 0.2, (8, 2))
    with jax.enable_x64(True):
        start, slope = shower_line(jnp.asarray(weights), jnp.asarray(places), jnp.asarray(depths))
    expected = np.polyfit(depths, places, 1, w=np.sqrt(weights))
    np.testing.assert_allclose(slope, expected[0], rtol=1e-9)
    np.testing.assert_allclose(start, expected[1], rtol=1e-9)


def test_one_layer_has_no_slope_and_finite_gradients():
    energies = jnp.zeros(4).at[1].set(2.0)
    places, depths = jnp.ones((4, 2)), jnp.arange(4.0)
    start, slope = shower_line(energies, places, depths)
    assert slope.tolist() == [0.0, 0.0]
    assert start.tolist() == [1.0, 1.0]
    gradient = jax.grad(lambda e: jnp.sum(shower_line(e, places, depths)[1]))(energies)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_allclose(direction(jnp.array([0.0, 1.0])), [0, np.sqrt(0.5), np.sqrt(0.5)], rtol=1e-6)
