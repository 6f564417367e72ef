"""Closure of the event-shape fit, at a small size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.inference import ChiSquare, Prediction
from jaxhep.inference.templates import EventShapeModel, moved_spectra
from jaxhep.observables import get_observable
from jaxhep.studies import brute_force, closure, fit_event_shapes
from jaxhep.studies.closure import PseudoData
from jaxhep.studies.event_shape_fit import GRID_RANGES


@pytest.fixture(scope="module")
def study():
    return fit_event_shapes(("thrust",), num_events=8192, seed=1)


def test_pseudo_data_fluctuate_around_the_truth_as_data_do():
    truth, data, simulated = np.array([1.0, 5.0]), np.array([[0.04, 0.01], [0.01, 0.09]]), np.diag([0.05, 0.01])
    chi_square = ChiSquare(np.zeros(2), data, lambda p: Prediction(p["a"] * jnp.ones(2), simulated))
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = np.asarray(jax.vmap(lambda key: PseudoData(chi_square, truth).sample({"a": 2.0}, key).data)(keys))
    # Six standard errors of 2 means and 4 (co)variances: false alarm below 2e-8.
    error = np.sqrt(np.diag(data) / len(keys))
    assert np.all(np.abs(drawn.mean(axis=0) - truth) < 6 * error)
    spread = np.sqrt((np.outer(np.diag(data), np.diag(data)) + data**2) / len(keys))
    assert np.all(np.abs(np.cov(drawn.T) - data) < 6 * spread)


def test_toys_of_independent_samples_come_back(study):
    found = closure(study, (0.85, 1.18), 40, num_samples=2, num_events=65_536, coverage=False)
    assert list(found) == pytest.approx([0.85 * study.reference_value, 1.18 * study.reference_value])
    for value, toys in found.items():
        assert toys.num_toys == 40
        assert toys.num_failed < 5
        assert dict(zip(toys.names, toys.truth, strict=True))["lambda_qcd"] == pytest.approx(value)
        for name, common in zip(toys.names, toys.common, strict=True):
            mean = toys.pull_mean(name)
            # Two samples of 8192 events: their common part, to first order, is most of the error.
            assert common < mean.error < 1
            assert abs(mean.value) < 5 * mean.error
            width = toys.pull_width(name)
            assert abs(width.value - 1) < 5 * width.error


def test_interpolated_templates_are_the_moved_ones_as_far_as_toys_reach(study):
    """Same events, same noise: only the interpolation differs. With nodes at 0.8 to 1.25 Λ it was off by 2σ."""
    factors = (0.65, 0.72, 0.9, 1.1, 1.38, 1.54)
    shape = {"thrust": get_observable("thrust").function}
    key = jax.random.key(5)
    arguments = (study.shower, key, 65_536, shape, {"thrust": GRID_RANGES["thrust"]})
    old = study.models["thrust"]
    model = EventShapeModel(moved_spectra(*arguments), "thrust", old.edges, energy=old.energy)
    direct = moved_spectra(*arguments, factors=factors)
    sigma = np.sqrt(np.diag(study.objective.data_covariance))
    with jax.enable_x64(True):
        for number, factor in enumerate(factors):
            at = {"lambda_qcd": jnp.asarray(study.reference_value * factor), "omega_1": jnp.asarray(0.6)}
            spectra = (direct.contents["thrust"][number], direct.squares["thrust"][number])
            off = np.asarray(model(at).values - model.hadronised(*spectra, at["omega_1"]).values) / sigma
            assert np.max(np.abs(off)) < 0.4, factor


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
    with pytest.raises(ValueError, match="cannot be divided"):
        closure(study, (1.0,), 10, num_samples=6)
    with pytest.raises(ValueError, match="at least 5 points"):
        brute_force(study, 3)
    broken = dataclasses.replace(study, result=dataclasses.replace(study.result, reasons=("not converged",)))
    with pytest.raises(RuntimeError, match="not converged"):
        closure(broken)
