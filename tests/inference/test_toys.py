"""Toys. A linear Gaussian model has exactly normal pulls: every limit below is an exact quantile.

False alarms: each comparison 2e−8 (two sides of 1e−8), eleven comparisons in the file: 2.2e−7 in all.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxhep.inference import ChiSquare, Parameter, fit, toys

TAIL = 1e-8
NUM = 400


@pytest.fixture(scope="module")
def study(line_case):
    return toys(line_case.objective, line_case.result, NUM, jax.random.key(12))


def test_pulls_and_coverage_of_the_linear_model(study):
    assert study.num_failed == 0
    assert study.num_toys == NUM
    assert not jax.config.values["jax_enable_x64"]
    inside = stats.norm.cdf(1) - stats.norm.cdf(-1)
    low, high = stats.binom.ppf([TAIL, 1 - TAIL], NUM, inside) / NUM
    widths = np.sqrt(stats.chi2.ppf([TAIL, 1 - TAIL], NUM - 1) / (NUM - 1))
    for name in ("intercept", "slope"):
        mean, width, coverage = study.pull_mean(name), study.pull_width(name), study.coverage(name)
        assert abs(mean.value) < stats.norm.isf(TAIL) / np.sqrt(NUM)
        assert widths[0] < width.value < widths[1]
        assert low <= coverage.value <= high
        np.testing.assert_allclose(mean.error, width.value / np.sqrt(NUM))
        assert 0.02 < coverage.error < 0.03


def test_coverage_is_the_pull_for_a_linear_model(study):
    """Δ(−2 ln L) at the truth is the squared pull."""
    np.testing.assert_allclose(study.delta[study.valid], study.pulls**2, atol=1e-6)


def test_chi2_of_toys_follows_chi2(study, line_case):
    assert stats.kstest(study.chi2, stats.chi2(line_case.result.ndf).cdf).pvalue > 2 * TAIL


def test_poisson_toys(poisson_case):
    study = toys(poisson_case.objective, poisson_case.result, 60, jax.random.key(3), coverage=False)
    assert study.num_failed == 0
    # Not exactly normal: 6 standard errors leave 2e-9 and room for the bias of order 1/√n.
    for name in study.names:
        assert abs(study.pull_mean(name).value) < 6 * study.pull_mean(name).error
    with pytest.raises(ValueError, match="coverage=True"):
        study.coverage("tau")


def test_failed_toys_are_counted():
    """A bound one standard deviation from the truth stops about one toy in six; they are marked and kept."""
    objective = ChiSquare(np.ones(4), np.full(4, 4.0), lambda p: p["rate"] * jnp.ones(4))
    result = fit(objective, [Parameter("rate", 0.5, lower=0.0)])
    assert result.valid
    study = toys(objective, result, 200, jax.random.key(5), coverage=False)
    low, high = stats.binom.ppf([TAIL, 1 - TAIL], 200, stats.norm.cdf(-1 + 1e-2))
    assert low <= study.num_failed <= high
    assert study.num_failed > 0
    assert study.values.shape == (200, 1)
    assert f"{study.num_failed} failed" in study.table()
    assert study.to_dict()["num_failed"] == study.num_failed
    with pytest.raises(ValueError, match="no free parameter 'x'"):
        study.pull_mean("x")
