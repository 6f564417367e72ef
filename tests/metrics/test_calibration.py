"""Calibration, coverage, goodness of fit and NPLM against closed forms and SciPy."""

import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.metrics import (
    kernel_features,
    kolmogorov_smirnov,
    latent_test,
    new_physics_test,
    nplm_statistic,
    pearson,
    reliability,
    simulation_based_calibration,
    tarp,
)
from tests.metrics.samples import EVENTS, PULL, normals

KEY = jax.random.key(2)
LEAST_P = 1e-6
SAMPLES = 40


def test_reliability_of_a_calibrated_and_of_an_overconfident_classifier():
    rng = np.random.default_rng(1)
    p = rng.uniform(size=EVENTS)
    y = (rng.uniform(size=EVENTS) < p).astype("float32")
    right = reliability(jnp.asarray(p, jnp.float32), jnp.asarray(y), key=KEY)
    assert abs(right.expected_error.significance) < PULL
    assert np.all(np.abs(np.asarray(right.observed - right.predicted)) < PULL * np.asarray(right.error))
    np.testing.assert_allclose(np.sum(right.share), 1, rtol=1e-5)
    # Predictions pushed to 0 or 1 as p³/(p³ + (1−p)³): their error is ∫|p̂ − p| dp in fine bins.
    pushed = p**3 / (p**3 + (1 - p) ** 3)
    wrong = reliability(jnp.asarray(pushed, jnp.float32), jnp.asarray(y), key=KEY)
    exact = np.mean(np.abs(pushed - p))
    assert abs(wrong.expected_error.value - exact) < PULL * wrong.expected_error.error
    assert wrong.expected_error.significance > PULL


def test_reliability_weighted_is_replicated_and_bad_input():
    rng = np.random.default_rng(2)
    p, y = rng.uniform(size=80).astype("float32"), rng.integers(0, 2, 80).astype("float32")
    w = rng.integers(1, 4, 80)
    options: dict[str, Any] = {"key": KEY, "bins": 4, "equal_counts": False, "num_replicas": 2}
    weighted = reliability(jnp.asarray(p), jnp.asarray(y), jnp.asarray(w, jnp.float32), **options)
    again = reliability(jnp.asarray(np.repeat(p, w)), jnp.asarray(np.repeat(y, w)), **options)
    np.testing.assert_allclose(weighted.observed, again.observed, rtol=1e-4)
    np.testing.assert_allclose(weighted.expected_error.value, again.expected_error.value, rtol=1e-4)
    with pytest.raises(ValueError, match="pass sigmoid"):
        reliability(jnp.asarray([0.5, 1.5]), jnp.zeros(2), key=KEY)
    with pytest.raises(ValueError, match="labels are 0 or 1"):
        reliability(jnp.asarray([0.5, 0.5]), jnp.full(2, 0.5), key=KEY)


def test_kolmogorov_and_pearson_against_scipy():
    u = np.random.default_rng(3).uniform(size=300) ** 1.1
    ours, theirs = kolmogorov_smirnov(jnp.asarray(u, jnp.float32)), scipy.stats.kstest(u, "uniform")
    np.testing.assert_allclose(ours.statistic, theirs.statistic, rtol=1e-3)
    np.testing.assert_allclose(ours.p_value, theirs.pvalue, rtol=0.05)
    chi = pearson(jnp.asarray(u, jnp.float32))
    expected = scipy.stats.chisquare(np.histogram(u, 10, (0, 1))[0])
    np.testing.assert_allclose([float(chi.statistic), chi.p_value], expected, rtol=1e-3)


def test_weighted_p_values_are_uniform():
    """Many weighted samples of the hypothesis: p-values of both tests are uniform."""
    rng = np.random.default_rng(4)
    ps = []
    for _ in range(150):
        u, w = rng.uniform(size=300).astype("float32"), rng.uniform(0.2, 2, 300).astype("float32")
        ps.append([t(jnp.asarray(u), jnp.asarray(w)).p_value for t in (kolmogorov_smirnov, pearson)])
    for column in np.array(ps).T:
        assert scipy.stats.kstest(column, "uniform").pvalue > LEAST_P


def test_latent_test():
    good = latent_test(normals(5, columns=3))
    assert min(t.p_value for t in good) > LEAST_P
    bad = latent_test(normals(5, 0.0, 1.2, columns=3))
    assert max(t.p_value for t in bad) < LEAST_P


def test_ranks_and_coverage_of_right_and_wrong_posteriors():
    """θ ~ N(0,1), x = θ + N(0,1): the posterior is N(x/2, 1/2). One half as wide covers by Φ(sΦ⁻¹(t))."""
    rng = np.random.default_rng(6)
    theta = rng.normal(size=(EVENTS, 2)).astype("float32")
    x = theta + rng.normal(size=theta.shape).astype("float32")
    draws = rng.normal(size=(EVENTS, SAMPLES, 2)).astype("float32")
    truth = jnp.asarray(theta)

    def posterior(width):
        return jnp.asarray(x[:, None] / 2 + width * math.sqrt(0.5) * draws)

    right, wrong = (simulation_based_calibration(truth, posterior(s), key=KEY) for s in (1.0, 0.5))
    assert min(t.p_value for t in right.tests) > LEAST_P
    assert max(t.p_value for t in wrong.tests) < LEAST_P
    t = np.linspace(0, 1, 2001)[1:-1]
    exact = np.max(np.abs(scipy.stats.norm.cdf(0.5 * scipy.stats.norm.ppf(t)) - t))
    for test in wrong.tests:  # up to the finite number of samples, 1/(S + 1)
        assert abs(test.statistic - exact) < PULL * 0.5 / math.sqrt(EVENTS) + 1 / (SAMPLES + 1)
    references = jnp.asarray(x + rng.normal(size=x.shape), jnp.float32)
    good, bad = (tarp(truth, posterior(s), key=KEY, references=references) for s in (1.0, 0.5))
    assert good.test.p_value > LEAST_P > bad.test.p_value
    assert abs(good.distance.significance) < PULL < bad.distance.significance
    assert np.all(np.abs(np.asarray(good.coverage - good.credibility)) < PULL * np.asarray(good.error))
    with pytest.raises(ValueError, match="samples"):
        inspect.unwrap(tarp)(truth, posterior(1.0)[:-1], key=KEY)


def test_nplm_of_bins_is_the_likelihood_ratio():
    """Indicators of bins: t = 2Σ n ln(n/m) − n + m, for m expected; a constant: the same with one bin."""
    with jax.enable_x64(True):
        bins = jnp.eye(4)
        m, n = jnp.array([10.0, 20.0, 5.0, 8.0]), jnp.array([14.0, 15.0, 5.0, 1.0])
        ours = jax.jit(nplm_statistic)(bins, bins, m, n, 1e-12)
        constant = jnp.pad(jnp.ones((4, 1)), ((0, 0), (0, 3)))
        one = jax.jit(nplm_statistic)(constant, constant, m, n, 1e-12)
    expected, seen = np.asarray(m), np.asarray(n)
    exact = 2 * np.sum(seen * np.log(seen / expected) - seen + expected)
    np.testing.assert_allclose(ours, exact, rtol=1e-8)
    np.testing.assert_allclose(one, 2 * (35 * math.log(35 / 43) + 8), rtol=1e-8)


def test_nplm_toys_and_signal():
    """With a constant only, toys follow χ²(1); a bump in the data is found, no bump is not."""
    rng = np.random.default_rng(7)
    reference = normals(8, columns=1)
    weights = jnp.full(EVENTS, 0.25)
    data = jnp.asarray(rng.normal(size=(300, 1)), jnp.float32)
    # As wide as the features below, for one compilation; a column of zeros changes nothing.
    constant = lambda events: jnp.pad(jnp.ones((events.shape[0], 1)), ((0, 0), (0, 8)))  # noqa: E731
    options: dict[str, Any] = {"key": KEY, "num_toys": 200, "num_replicas": 5}
    counting = new_physics_test(reference, data, weights, features=constant, ridge=1e-9, **options)
    assert scipy.stats.kstest(np.asarray(counting.toys), scipy.stats.chi2(1).cdf).pvalue > LEAST_P
    phi = kernel_features(reference, key=KEY, num_centres=8)
    nothing = new_physics_test(reference, data, weights, features=phi, **options)
    assert nothing.p_value > 1e-2
    bump = data.at[:45].set(2.2 + 0.1 * data[:45])
    found = new_physics_test(reference, bump, weights, features=phi, **options)
    assert found.p_value == pytest.approx(1 / 201)
    assert found.metric.significance > PULL
    with pytest.raises(ValueError, match="must not be negative"):
        new_physics_test(reference, data, weights.at[0].set(-0.1), key=KEY)
