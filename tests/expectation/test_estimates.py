"""Means, histograms and their derivatives against closed forms; each verdict's false alarm rate is 2e-7 (5.2σ)."""

import inspect
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.expectation import deposit, derivative, histogram, mean
from jaxhep.noise import uniforms

PULL = 5.2
EVENTS = 2**16
THETA = 1.3
EDGES = np.array([0.0, 0.4, 0.8, 1.2, 2.0, 3.0])


def toy(theta, u):
    """x = −θ ln u, accepted with probability a = θ/(1+θ); rejected events get x → x + 1. Returns x and the weight."""
    accept = theta / (1 + theta)
    fixed = jax.lax.stop_gradient(accept)
    yes = u[:, 1] < fixed
    chosen = jnp.where(yes, accept, 1 - accept)
    weight = chosen / jax.lax.stop_gradient(chosen)
    return -theta * jnp.log(u[:, 0]) + jnp.where(yes, 0.0, 1.0), weight


def exact_mean(theta):
    """E[x] = θ + 1/(1+θ), d/dθ = 1 − 1/(1+θ)²."""
    return theta + 1 / (1 + theta), 1 - 1 / (1 + theta) ** 2


def exact_bins(theta, edges=EDGES):
    """Probability of each bin."""
    accept = theta / (1 + theta)
    one = scipy.stats.expon(scale=theta).cdf
    below = accept * one(edges) + (1 - accept) * one(edges - 1)
    return np.diff(below)


def exact_bin_slopes(theta, edges=EDGES, step=1e-5):
    return (exact_bins(theta + step, edges) - exact_bins(theta - step, edges)) / (2 * step)


@pytest.fixture(scope="module")
def sample():
    u = uniforms(jax.random.key(11), (EVENTS, 2))
    (x, w), (dx, dw) = jax.jvp(lambda t: toy(t, u), (THETA,), (1.0,))
    return types.SimpleNamespace(u=u, x=x, w=w, dx=dx, dw=dw)


def test_mean_and_derivative_against_the_closed_form(sample):
    value, slope = exact_mean(THETA)
    estimate = mean(sample.x, sample.w)
    assert abs(estimate.value - value) < PULL * estimate.error
    np.testing.assert_allclose(estimate.error, np.std(np.asarray(sample.x)) / math.sqrt(EVENTS), rtol=1e-3)
    gradient = derivative(sample.x, sample.dx, sample.w, sample.dw)
    assert abs(gradient.value - slope) < PULL * gradient.error
    assert slope > 20 * gradient.error
    by_jax = jax.grad(lambda t: mean(*toy(t, sample.u)).value)(THETA)
    np.testing.assert_allclose(by_jax, gradient.value, rtol=1e-3)
    # The pathwise part alone would be wrong: it is E[−ln u] = 1.
    assert abs(np.mean(np.asarray(sample.dx)) - slope) > 10 * gradient.error


def test_baseline_is_unbiased_and_reduces_the_variance():
    """Many small samples, whose bias would not hide behind the statistics; the observable is far from zero."""
    groups, size, offset = 16384, 4, 5.0
    u = uniforms(jax.random.key(12), (groups, size, 2))

    def slopes(normalised):
        def one(u):
            def at(t):
                x, w = toy(t, u)
                return mean(x + offset, w, normalised=normalised).value

            return jax.jvp(at, (THETA,), (1.0,))[1]

        return np.asarray(jax.vmap(one)(u), float)

    exact = exact_mean(THETA)[1]
    with_baseline, without = slopes(True), slopes(False)
    for values in (with_baseline, without):
        assert abs(values.mean() - exact) < PULL * values.std() / math.sqrt(groups)
    assert without.var() > 5 * with_baseline.var()
    # Without the factor N/(N−1) the score part would be 1/4 too small: a shift the test above can see.
    score = np.mean(with_baseline) - 1
    assert abs(score) / size > PULL * with_baseline.std() / math.sqrt(groups)


def test_weighted_mean_error_and_shapes():
    generator = np.random.default_rng(0)
    f, w = generator.normal(size=(400, 3)).astype("float32"), generator.uniform(0.5, 2, 400).astype("float32")
    estimate = mean(jnp.asarray(f), jnp.asarray(w))
    expected = np.average(f, axis=0, weights=w)
    np.testing.assert_allclose(estimate.value, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        estimate.error, np.sqrt(np.sum((w[:, None] * (f - expected)) ** 2, axis=0)) / w.sum(), rtol=1e-4
    )
    total = mean(jnp.asarray(f), jnp.asarray(w), normalised=False)
    np.testing.assert_allclose(total.value, np.mean(w[:, None] * f, axis=0), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="leading event axis"):
        _unchecked(mean)(jnp.asarray(1.0))
    with pytest.raises(ValueError, match="at least 2 events"):
        mean(jnp.ones(1))
    with pytest.raises(ValueError, match="weights must have shape"):
        _unchecked(mean)(jnp.ones(4), jnp.ones(3))


def _unchecked(function):
    """Beneath the tests' type checks, which would answer first: what a user without them sees."""
    return inspect.unwrap(function)


def test_second_derivative_is_unbiased():
    """E'' = 2/(1+θ)³, of which the path knows nothing."""
    groups, size = 2048, 64
    u = uniforms(jax.random.key(13), (groups, size, 2))

    def one(u):
        first = lambda t: jax.jvp(lambda s: mean(*toy(s, u), normalised=False).value, (t,), (1.0,))[1]  # noqa: E731
        return jax.jvp(first, (THETA,), (1.0,))[1]

    values = np.asarray(jax.vmap(one)(u), float)
    exact = 2 / (1 + THETA) ** 3
    assert abs(values.mean() - exact) < PULL * values.std() / math.sqrt(groups)
    assert exact > 2 * PULL * values.std() / math.sqrt(groups)


@pytest.mark.parametrize("method", ["flux", "kernel"])
def test_histogram_contents_and_derivative_against_the_density(sample, method):
    edges = EDGES[1:]  # the density jumps at 0 and 1: kernels assume it smooth at the edges
    groups = np.asarray(sample.u).reshape(16, -1, 2)
    run = jax.jit(
        lambda u: jax.jvp(
            lambda t: histogram(*toy(t, u), edges=edges, method=method, bandwidth=0.1).value, (THETA,), (1.0,)
        )
    )
    values, slopes = (np.array(a) for a in zip(*(run(jnp.asarray(u)) for u in groups), strict=True))
    # Student's t with 15 degrees of freedom, false alarm rate 2e-7, times 4 bins.
    limit = scipy.stats.t.isf(1e-7, 15)
    for got, exact in ((values, exact_bins(THETA, edges)), (slopes, exact_bin_slopes(THETA, edges))):
        assert np.all(np.abs(got.mean(axis=0) - exact) < limit * got.std(axis=0, ddof=1) / 4)
    assert np.max(np.abs(exact_bin_slopes(THETA, edges)) / (slopes.std(axis=0, ddof=1) / 4)) > limit


def test_count_lacks_the_flux_and_flux_leaves_the_contents_alone(sample):
    def contents(method):
        return jax.jvp(lambda t: histogram(*toy(t, sample.u), edges=EDGES, method=method).value, (THETA,), (1.0,))

    (count, count_slope), (flux, _) = contents("count"), contents("flux")
    exact = np.histogram(np.asarray(sample.x), EDGES.astype("float32"))[0] / EVENTS
    np.testing.assert_allclose(count, exact, rtol=1e-5)
    np.testing.assert_allclose(flux, exact, rtol=1e-5)
    error = np.sqrt(exact / EVENTS)
    # What the docstring says: only the derivative of the weights. It is that of the accepted fraction at fixed shapes.
    accept_slope = 1 / (1 + THETA) ** 2
    one = scipy.stats.expon(scale=THETA).cdf
    weights_only = accept_slope * np.diff(one(EDGES) - one(EDGES - 1))
    assert np.all(np.abs(count_slope - weights_only) < PULL * 3 * error)
    assert np.max(np.abs(exact_bin_slopes(THETA) - weights_only) / error) > 10 * PULL


def test_covariance_is_multinomial(sample):
    result = histogram(sample.x, edges=EDGES)
    p = np.asarray(result.value, float)
    np.testing.assert_allclose(result.covariance, (np.diag(p) - np.outer(p, p)) / EVENTS, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(result.error, np.sqrt(p * (1 - p) / EVENTS), rtol=1e-3)
    dense = histogram(sample.x, edges=EDGES, density=True)
    np.testing.assert_allclose(dense.value, p / np.diff(EDGES), rtol=1e-5)
    np.testing.assert_allclose(dense.error, np.asarray(result.error) / np.diff(EDGES), rtol=1e-4)
    # Weighted: Σw²(1_b − P_b)(1_c − P_c)/(Σw)², by brute force.
    x, w = np.asarray(sample.x[:5000], float), np.random.default_rng(1).uniform(0.2, 2, 5000)
    weighted = histogram(sample.x[:5000], jnp.asarray(w, jnp.float32), edges=EDGES, method="count")
    inside = (x[:, None] >= EDGES[:-1]) & (x[:, None] < EDGES[1:])
    shares = w @ inside / w.sum()
    np.testing.assert_allclose(weighted.value, shares, rtol=1e-4)
    residual = w[:, None] * (inside - shares)
    np.testing.assert_allclose(weighted.covariance, residual.T @ residual / w.sum() ** 2, rtol=1e-3, atol=1e-9)


def test_to_hist_and_repr(sample):
    result = histogram(sample.x, edges=EDGES)
    converted = result.to_hist("x")
    np.testing.assert_allclose(converted.axes[0].edges, EDGES, rtol=1e-6)
    np.testing.assert_allclose(converted.values(), result.value, rtol=1e-6)
    np.testing.assert_allclose(converted.variances(), np.asarray(result.error) ** 2, rtol=1e-5)
    np.testing.assert_allclose(result.centres, (EDGES[1:] + EDGES[:-1]) / 2, rtol=1e-6)
    assert repr(result) == "Histogram(5 bins in [0, 3], method='flux', density=False)"
    assert "±" in repr(mean(sample.x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"edges": [1.0]}, ValueError, "at least two numbers"),
        ({"edges": [0.0, 1.0, 1.0]}, ValueError, "grow from bin to bin"),
        ({"edges": [0.0, math.nan]}, ValueError, "must be finite"),
        ({"edges": EDGES, "bandwidth": 0.0}, ValueError, "bandwidth must be positive"),
        ({"edges": EDGES, "method": "flow"}, ValueError, "method must be 'flux', 'kernel' or 'count'"),
    ],
    ids=lambda x: str(x),
)
def test_bad_histogram_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        _unchecked(histogram)(jnp.ones(5), **arguments)


def test_deposit_keeps_linear_functions_exactly(sample):
    low, high, nodes = 0.0, 40.0, 161
    x, w = sample.x[:2000], sample.w[:2000] * 0.5
    grid, squares = deposit(x, w, low, high, nodes)
    places = np.linspace(low, high, nodes)
    np.testing.assert_allclose(squares, 500, rtol=1e-5)
    for response in (lambda t: np.ones_like(t), lambda t: 3 - 0.7 * t):
        np.testing.assert_allclose(
            np.asarray(grid, float) @ response(places), np.asarray(w, float) @ response(np.asarray(x, float)), rtol=1e-5
        )

    # Its derivative is pathwise: that of Σ w x is Σ w.
    def moved(shift):
        return deposit(x + shift, w, low, high, nodes)[0] @ jnp.asarray(places, jnp.float32)

    np.testing.assert_allclose(jax.grad(moved)(0.013), 1000, rtol=1e-4)
    np.testing.assert_allclose(
        jax.grad(lambda s: jnp.sum(deposit(x, s * w, low, high, nodes)[0]))(1.0), 1000, rtol=1e-4
    )
    # Values outside go to the end nodes.
    outside = deposit(jnp.asarray([-5.0, 99.0]), jnp.ones(2), low, high, nodes)[0]
    assert float(outside[0]) == float(outside[-1]) == 1
    with pytest.raises(ValueError, match="at least two nodes"):
        deposit(x, w, 1.0, 0.0, 5)
