"""The check of gradients itself: its sums against `expectation`, its flux against `histogram`, and that it can fail."""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.expectation import derivative, histogram, mean
from jaxhep.studies._accumulator import GradientSums
from jaxhep.studies.gradient_check import (
    check_arguments,
    check_gradients,
    chi_square,
    flux_columns,
    reference_edges,
)


def sample(count: int, quantities: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    f = rng.normal(3.0, 1.0, (count, quantities))
    return f, f * 0.3 + rng.normal(size=f.shape), rng.uniform(0.5, 1.5, count), rng.normal(0.2, 1.0, count)


def filled(f: np.ndarray, df: np.ndarray, w: np.ndarray, dw: np.ndarray) -> GradientSums:
    sums = GradientSums(f.shape[1])
    sums.add(f, df, w, dw)
    return sums


def test_sums_are_those_of_expectation():
    arrays = sample(500, 3)
    sums = filled(*arrays)
    with jax.enable_x64(True):
        f, df, w, dw = (jnp.asarray(a) for a in arrays)
        gradient, value = derivative(f, df, w, dw), mean(f, w)
        np.testing.assert_allclose(sums.derivative()[0], gradient.value, rtol=1e-12)
        np.testing.assert_allclose(np.sqrt(np.diag(sums.derivative()[1])), gradient.error, rtol=2e-3)
        np.testing.assert_allclose(sums.mean()[0], value.value, rtol=1e-12)
        np.testing.assert_allclose(np.sqrt(np.diag(sums.mean()[1])), value.error, rtol=1e-10)


def test_covariance_is_that_of_the_terms():
    f, df, w, dw = arrays = sample(400, 4)
    centre = (w @ f) / w.sum()
    terms = (w[:, None] * df + 400 / 399 * (f - centre) * dw[:, None]) * 400 / w.sum()
    np.testing.assert_allclose(filled(*arrays).derivative()[1], np.cov(terms.T) / 400, rtol=1e-9, atol=1e-12)


def test_sums_add_up_over_chunks():
    arrays = sample(300, 2)
    whole, parts = filled(*arrays), GradientSums(2)
    for part in (slice(0, 7), slice(7, 120), slice(120, 300)):
        parts = parts.merge(filled(*(a[part] for a in arrays)))
    for one, two in zip((*whole.derivative(), *whole.mean()), (*parts.derivative(), *parts.mean()), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-14)
    assert parts.events == 300
    parts.add_values(arrays[0][:5], arrays[2][:5])
    assert parts.events == 305
    with pytest.raises(ValueError, match="only 300 of 305 events have derivatives"):
        parts.derivative()
    with pytest.raises(ValueError, match="do not add up"):
        whole.merge(GradientSums(3))


def test_not_finite_is_refused():
    f, df, w, dw = sample(10, 2)
    df[3, 1] = np.nan
    with pytest.raises(FloatingPointError, match="1 derivatives"):
        filled(f, df, w, dw)


def test_flux_is_that_of_the_histogram():
    edges = np.array([0.2, 0.3, 0.45, 0.6, 0.8])
    rng = np.random.default_rng(3)
    x, dx = rng.uniform(0, 1, 200), rng.normal(size=200)
    inside, flux = flux_columns(x, dx, edges, 0.04)
    with jax.enable_x64(True):
        ones = jnp.ones(200)

        def contents(values):
            return histogram(values, ones, edges=edges, bandwidth=0.04).value

        value, tangent = jax.jvp(contents, (jnp.asarray(x),), (jnp.asarray(dx),))
    np.testing.assert_allclose(inside.mean(0), value, rtol=1e-12)
    np.testing.assert_allclose(flux.mean(0), tangent, rtol=1e-5, atol=1e-7)  # what lies beyond 6 widths is left out


def test_upper_end_of_the_range_is_inside_and_has_no_flux():
    inside, flux = flux_columns(np.array([1.0, 0.999]), np.array([0.0, 1.0]), np.array([0.5, 0.9, 1.0]), 0.01)
    assert inside.tolist() == [[0, 1], [0, 1]]
    assert np.all(
        flux[:, 1] == flux_columns(np.array([1.0, 0.999]), np.array([0.0, 1.0]), np.array([0.9, 3.0]), 0.01)[1][:, 0]
    )


def test_chi_square_counts_each_information_once():
    rng = np.random.default_rng(5)
    root = rng.normal(size=(4, 4))
    covariance = root @ root.T
    residual = root @ np.array([1.0, -2.0, 0.5, 1.5])
    expected, ndf = chi_square(residual, covariance, cut=0.0)
    assert ndf == 4
    assert expected == pytest.approx(1 + 4 + 0.25 + 2.25, rel=1e-6)
    # The first quantity twice, with the other sign (T and 1 − T), and one that never varies.
    copy = np.vstack([np.eye(4), -np.eye(4)[:1], np.zeros((1, 4))])
    again, count = chi_square(copy @ residual, copy @ covariance @ copy.T, cut=1e-9)
    assert count == 4
    assert again == pytest.approx(expected, rel=1e-6)


@pytest.fixture(scope="module")
def result():
    """A tiny shower (few gluons fit above Λ = 2 GeV), so that compiling takes seconds.

    Of the outer samples' three chunks only the first is differentiated.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[check_gradients.__module__], "_SLOPE_EVENTS", 10_000)
        return check_gradients(
            [2.0], 40_000, observables=["thrust", "multiplicity"], step=0.05, chunk_size=16_384, seed=3
        )


def test_gradients_of_the_shower_agree(result):
    # False-alarm rate: the 44 pulls are below 6 but for 1e-7.
    assert result.max_pull < 6
    assert result.p_value > 1e-6
    assert result.names[:2] == ("thrust", "multiplicity")
    assert result.autodiff[0, 1] < -10 * result.autodiff_error[0, 1]
    assert result.overflow == 0
    # The bias of the difference is small beside the errors, and so is what is known of it.
    assert np.all(result.bias_error[0, :2] > 0)
    assert np.all(np.abs(result.bias[0, :2]) < 6 * result.bias_error[0, :2])
    assert np.all(result.bias_error[0, :2] < result.autodiff_error[0, :2])


def test_a_wrong_gradient_is_found(result):
    wrong = dataclasses.replace(
        result, autodiff=result.autodiff * np.where(np.arange(result.autodiff.shape[1]) == 1, 3, 1)
    )
    assert wrong.max_pull > 5
    assert not wrong.passed
    assert "DISAGREE" in wrong.verdict()


def test_result_shows_itself(result):
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert record["scales"][0]["quantities"]["thrust"]["autodiff"] == pytest.approx(result.autodiff[0, 0])
    assert record["passed"] == result.passed
    assert "multiplicity" in repr(result)
    assert result.table(bins=True).count("\n") == len(result.names)
    assert result._repr_html_().startswith("<pre>")
    assert any("bias of O(h²)" in note for note in result.notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lambdas": []}, "lambdas is empty"),
        ({"lambdas": [0.0]}, "between 0 and the energy"),
        ({"lambdas": [float("nan")]}, "between 0 and the energy"),
        ({"lambdas": [200.0]}, "between 0 and the energy"),
        ({"lambdas": [90.0]}, "too near the energy"),
        ({"num_events": 1}, "at least 2"),
        ({"observables": ["thrus"]}, "did you mean 'thrust'"),
        ({"bins": "aplanarity"}, "no published binning"),
        ({"step": 0.0}, "between 0 and 1"),
        ({"step": float("nan")}, "between 0 and 1"),
        ({"bandwidth": -1.0}, "bandwidth must be positive"),
        ({"observables": [], "bins": None}, "nothing to check"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_arguments(**({"lambdas": [0.2], "num_events": 10} | arguments))


def test_reference_edges_are_those_of_aleph():
    edges = reference_edges("thrust")
    assert edges.size == 43
    assert edges[0] == 0.58
    assert edges[-1] == 1.0
