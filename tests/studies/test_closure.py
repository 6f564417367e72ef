"""Closure of the event-shape fit, at a small size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.inference import ChiSquare, Prediction
from jaxhep.studies import brute_force, closure, fit_event_shapes
from jaxhep.studies.closure import PseudoData


@pytest.fixture(scope="module")
def study():
    return fit_event_shapes(("thrust",), num_events=8192, seed=1)


def test_pseudo_data_fluctuate_around_the_truth_with_both_covariances():
    truth, data, simulated = np.array([1.0, 5.0]), np.array([[0.04, 0.01], [0.01, 0.09]]), np.diag([0.05, 0.01])
    chi_square = ChiSquare(np.zeros(2), data, lambda p: Prediction(p["a"] * jnp.ones(2), simulated))
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = np.asarray(jax.vmap(lambda key: PseudoData(chi_square, truth).sample({"a": 2.0}, key).data)(keys))
    expected = data + simulated
    # Six standard errors of 2 means and 4 (co)variances: false alarm below 2e-8.
    error = np.sqrt(np.diag(expected) / len(keys))
    assert np.all(np.abs(drawn.mean(axis=0) - truth) < 6 * error)
    spread = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / len(keys))
    assert np.all(np.abs(np.cov(drawn.T) - expected) < 6 * spread)


def test_toys_of_an_independent_sample_come_back(study):
    found = closure(study, (1.0,), 40, num_events=65_536, coverage=False)
    ((value, toys),) = found.items()
    assert value == pytest.approx(study.reference_lambda)
    assert toys.num_failed < 5
    assert dict(zip(toys.names, toys.truth, strict=True))["lambda_qcd"] == pytest.approx(value)
    # 8192 events: the templates' own fluctuation moves all toys together by about one standard deviation.
    assert abs(toys.pull_mean("lambda_qcd").value) < 5
    assert 0.4 < toys.pull_width("omega_1").value < 4


def test_brute_force_finds_the_same_minimum(study):
    scan = brute_force(study, 7, 5, num_events=65_536)
    assert scan.lambdas.shape == scan.chi2.shape == (7,)
    assert np.all(np.isfinite(scan.chi2))
    # The small sample behind the fit has a Monte Carlo error as large as the data's, the scan one of its own.
    sigma = np.hypot(scan.error, study.result.errors["lambda_qcd"])
    assert abs(scan.best - scan.fitted) < 5 * sigma
    assert "regenerated samples" in repr(scan)


def test_what_cannot_be_done_is_said(study):
    with pytest.raises(ValueError, match="outside the range of the templates"):
        closure(study, (2.0,))
    with pytest.raises(ValueError, match="at least 5 points"):
        brute_force(study, 3)
    broken = dataclasses.replace(study, result=dataclasses.replace(study.result, reasons=("not converged",)))
    with pytest.raises(RuntimeError, match="not converged"):
        closure(broken)
