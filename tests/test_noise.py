"""Uniform variates and the maps from them. False alarm rate of each statistical verdict: 2e-7 or less."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.noise import categorical, exponential, normal, sobol, stream, uniforms

FALSE_ALARM = 2e-7


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_uniforms_fill_the_open_interval_evenly(impl):
    key = jax.random.key(1, impl=impl)
    values = np.asarray(uniforms(key, (2**17, 2)), float)
    assert values.min() > 0
    assert values.max() < 1
    pairs = np.histogram2d(values[:, 0], values[:, 1], bins=16, range=[(0, 1), (0, 1)])[0]
    expected = 2**17 / 256
    chi2 = np.sum((pairs - expected) ** 2 / expected)
    assert scipy.stats.chi2.isf(1 - FALSE_ALARM, 255) < chi2 < scipy.stats.chi2.isf(FALSE_ALARM, 255)


def test_uniforms_in_float64_use_all_bits():
    with jax.enable_x64(True):
        values = np.asarray(uniforms(jax.random.key(2), (2**16,), jnp.float64))
        assert values.dtype == np.float64
        assert scipy.stats.kstest(values, "uniform").pvalue > FALSE_ALARM
        # The low bits are uniform, too; a float32 in disguise would have none.
        low = np.modf(values * 2.0**30)[0]
        assert scipy.stats.kstest(low, "uniform").pvalue > FALSE_ALARM
        assert uniforms(jax.random.key(2), (3,), jnp.float32).dtype == jnp.float32


def test_uniforms_depend_on_the_key_alone():
    a, raw = uniforms(jax.random.key(5), (7, 3)), uniforms(jax.random.PRNGKey(5), (7, 3))
    np.testing.assert_array_equal(a, raw)
    np.testing.assert_array_equal(a, jax.jit(lambda k: uniforms(k, (7, 3)))(jax.random.key(5)))
    keys = jax.random.split(jax.random.key(0), 5)
    batch = jax.vmap(lambda k: uniforms(k, (7, 3)))(keys)
    np.testing.assert_array_equal(batch[3], uniforms(keys[3], (7, 3)))
    assert len(np.unique(batch)) == batch.size
    with pytest.raises(TypeError, match="float32 or float64"):
        uniforms(jax.random.key(0), (2,), jnp.float16)


def test_sobol_points():
    points = sobol(4096, 5, seed=3)
    assert points.shape == (4096, 5)
    assert points.dtype == np.float32
    assert points.min() > 0
    assert points.max() < 1
    # A net: each dyadic interval of length 2^-10 holds 4 points, in each coordinate.
    for column in points.T:
        np.testing.assert_array_equal(np.bincount((column * 1024).astype(int), minlength=1024), 4)
    np.testing.assert_array_equal(points, sobol(4096, 5, seed=3))
    assert not np.array_equal(points, sobol(4096, 5, seed=4))
    assert sobol(100, 2, seed=0, dtype=np.float64).shape == (100, 2)
    with pytest.raises(ValueError, match="noise='random'"):
        sobol(8, 30_000, seed=0)


def test_continuous_maps_and_their_gradients():
    u = uniforms(jax.random.key(7), (2**15,))
    assert scipy.stats.kstest(np.asarray(normal(u, 1.5, 2.0)), scipy.stats.norm(1.5, 2.0).cdf).pvalue > FALSE_ALARM
    assert scipy.stats.kstest(np.asarray(exponential(u, 3.0)), scipy.stats.expon(scale=3.0).cdf).pvalue > FALSE_ALARM
    grid = jnp.asarray([0.01, 0.3, 0.5, 0.9, 0.999])
    np.testing.assert_allclose(normal(grid), scipy.stats.norm.ppf(np.asarray(grid, float)), rtol=1e-4, atol=1e-6)
    z = normal(grid)
    np.testing.assert_allclose(jax.vmap(jax.grad(normal, argnums=1), (0, None, None))(grid, 0.3, 2.0), 1)
    np.testing.assert_allclose(jax.vmap(jax.grad(normal, argnums=2), (0, None, None))(grid, 0.3, 2.0), z, atol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(jax.grad(exponential, argnums=1), (0, None))(grid, 2.0), -np.log1p(-np.asarray(grid)), rtol=1e-5
    )


def test_categorical_draws_and_score():
    p = jnp.asarray([0.1, 0.0, 0.5, 0.4])
    u = uniforms(jax.random.key(8), (2**15,))
    outcome, weight = jax.vmap(lambda v: categorical(v, p))(u)
    counts = np.bincount(np.asarray(outcome), minlength=4)
    assert counts[1] == 0
    expected = 2**15 * np.asarray(p, float)[[0, 2, 3]]
    assert np.sum((counts[[0, 2, 3]] - expected) ** 2 / expected) < scipy.stats.chi2.isf(FALSE_ALARM, 2)
    np.testing.assert_array_equal(weight, 1)
    # d log p_k / dp_k.
    score = jax.grad(lambda q: categorical(jnp.asarray(0.3), q)[1])(p)
    np.testing.assert_allclose(score, [0, 0, 1 / 0.5, 0], rtol=1e-6)
    # An explicit reference decides; the weight is the ratio, in every derivative.
    chosen, ratio = categorical(jnp.asarray(0.05), p, jnp.asarray([0.01, 0.04, 0.05, 0.9]))
    assert int(chosen) == 2
    assert math.isclose(float(ratio), 10, rel_tol=1e-5)
    # Rounding of the cumulative sum never gives an outcome that does not exist.
    assert int(categorical(jnp.asarray(1.0), jnp.asarray([0.3, 0.3, 0.3]))[0]) == 2


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_stream_is_uniform_and_its_first_rows_do_not_depend_on_the_length(impl):
    key = jax.random.key(5, impl=impl)
    rows = np.asarray(stream(key, 4096, 5))
    np.testing.assert_array_equal(rows[:7], stream(key, 7, 5))
    assert rows.min() > 0
    assert rows.max() < 1
    # 20480 variates; false alarm rate 2e-7 each.
    for column in rows.T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 2e-7
    correlation = np.corrcoef(rows.T) - np.eye(5)
    assert np.abs(correlation).max() < 6 / np.sqrt(4096)
    with pytest.raises(TypeError, match="float32 or float64"):
        stream(key, 3, 4, jnp.int32)
