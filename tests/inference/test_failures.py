"""Failure is a sentence before compilation, or a flag with a reason; never a result."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.inference import (
    BinnedPoisson,
    ChiSquare,
    CombinedObjective,
    FitResult,
    Gaussian,
    InvalidFitError,
    Parameter,
    Prediction,
    add_systematics,
    contour,
    fit,
    interval,
    profile,
    to_iminuit,
    toys,
)

X = np.linspace(0.0, 1.0, 10)
LINE = ChiSquare(1 + 2 * X, np.full(X.size, 0.01), lambda p: p["a"] + p["b"] * jnp.asarray(X))
# Of type Any: wrong on purpose.
ABS: Any = abs
NO_MODEL: Any = 3


def test_degenerate_direction_is_named():
    flat = ChiSquare(2 * X, np.full(X.size, 0.01), lambda p: (p["a"] + p["b"]) * jnp.asarray(X))
    result = fit(flat, [Parameter("a", 0.0), Parameter("b", 1.0)])
    assert not result.valid
    assert not result.positive_definite
    assert "·a" in result.reasons[0]
    assert "·b" in result.reasons[0]
    assert np.isnan(result.errors["a"])
    with pytest.raises(InvalidFitError, match="not positive definite"):
        result.raise_if_invalid()
    for use in (
        lambda: interval(flat, result, "a"),
        lambda: profile(flat, result, "a"),
        lambda: contour(flat, result, "a", "b"),
        lambda: toys(flat, result, 5, jax.random.key(0)),
    ):
        with pytest.raises(InvalidFitError):
            use()
    again = FitResult.from_json(result.to_json())
    assert not again.valid
    assert again.reasons == result.reasons


def test_unused_parameter_is_named():
    result = fit(LINE, [Parameter("a", 0.0), Parameter("b", 1.0), Parameter("unused", 1.0)])
    assert not result.valid
    assert "'unused'" in " ".join(result.reasons)


def test_minimum_on_a_bound_is_not_valid():
    result = fit(LINE, [Parameter("a", 3.0, lower=2.0), Parameter("b", 1.0)])
    assert not result.valid
    assert result.at_bound == ("a",)
    assert result.converged
    assert "lower bound 2" in result.reasons[0]
    np.testing.assert_allclose(result.values["a"], 2.0, atol=1e-6)


def test_too_few_steps_is_not_converged():
    curved = ChiSquare(np.exp(3 * X), np.full(X.size, 1e-6), lambda p: p["a"] * jnp.exp(p["b"] * jnp.asarray(X)))
    parameters = [Parameter("a", 30.0), Parameter("b", -3.0)]
    short = fit(curved, parameters, max_steps=1, tolerance=1e-300)
    assert not short.valid
    assert not short.converged
    assert any("not converged" in reason for reason in short.reasons)


def test_nan_at_the_start_names_bin_and_parameters():
    bad = ChiSquare(X, np.ones(X.size), lambda p: jnp.log(p["a"] - jnp.asarray(X)))
    with pytest.raises(ValueError, match=r"not finite in bin 5 .*a = 0\.5"):
        fit(bad, [Parameter("a", 0.5)])
    with pytest.raises(ValueError, match=r"a = 0\.5"):
        to_iminuit(bad, [Parameter("a", 0.5)])


def test_nan_away_from_the_start_is_avoided_or_reported():
    """NaN beyond a wall: the line search backs off and finds the minimum before it."""
    wall = ChiSquare(np.full(X.size, 0.5), np.full(X.size, 0.01), lambda p: jnp.sqrt(p["a"]) * jnp.ones(X.size))
    result = fit(wall, [Parameter("a", 9.0)])
    assert result.valid, result.reasons
    np.testing.assert_allclose(result.values["a"], 0.25, rtol=1e-6)


def test_no_positive_expectation():
    objective = BinnedPoisson(np.ones(X.size), lambda p: p["a"] * jnp.ones(X.size))
    with pytest.raises(ValueError, match="expected count is not above 0"):
        fit(objective, [Parameter("a", -1.0)])


def test_shapes_are_compared_before_compilation():
    short = ChiSquare(X, np.ones(X.size), lambda p: p["a"] * jnp.ones(3))
    with pytest.raises(ValueError, match=r"predicts shape \(3,\), the data have shape \(10,\)"):
        fit(short, [Parameter("a", 1.0)])
    wrong = ChiSquare(X, np.ones(X.size), lambda p: Prediction(p["a"] * jnp.ones(X.size), jnp.eye(3)))
    # The shape checks of the tests (beartype) may speak first.
    with pytest.raises((ValueError, TypeError), match="covariance"):
        fit(wrong, [Parameter("a", 1.0)])
    with pytest.raises(ValueError, match="asks for a parameter 'b'"):
        fit(LINE, [Parameter("a", 1.0)])
    with pytest.raises(TypeError, match="returned dict"):
        fit(ChiSquare(X, np.ones(X.size), lambda p: {}), [Parameter("a", 1.0)])


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.ones(3), r"shape \(3, 3\), the data have 10 bins"),
        (np.r_[np.ones(9), 0.0], "variance 0 in bin.s. 9"),
        (np.ones((10, 10)), "eigenvalue .* in bin"),
        (np.eye(10) + np.eye(10, k=3) * 0.5, "not symmetric"),
        (np.diag(np.r_[np.nan, np.ones(9)]), r"not finite at \[0, 0\]"),
    ],
)
def test_bad_covariances(covariance, message):
    with pytest.raises(ValueError, match=message):
        ChiSquare(X, covariance, lambda p: p["a"])


def test_negative_eigenvalue_names_the_bins():
    covariance = np.eye(10)
    covariance[3, 7] = covariance[7, 3] = 1.2
    with pytest.raises(ValueError, match=r"eigenvalue -0\.2, mostly in bin\(s\) .*3.*7"):
        ChiSquare(X, covariance, lambda p: p["a"])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ChiSquare([], [], ABS), ValueError, "is empty"),
        (lambda: ChiSquare([1.0, np.nan], np.ones(2), ABS), ValueError, r"not finite in bin\(s\) 1"),
        (lambda: ChiSquare(np.ones((2, 2)), np.ones(2), ABS), ValueError, r"shape \(bins,\)"),
        (lambda: ChiSquare([1.0], [1.0], NO_MODEL), TypeError, "model"),
        (lambda: ChiSquare([1.0], [1.0], ABS, normalise="area"), ValueError, "'none' or 'shape'"),
        (lambda: ChiSquare([1.0], [1.0], ABS, normalise="shape"), ValueError, "two bins"),
        (lambda: ChiSquare([1.0, -1.0], [1.0, 1.0], ABS, normalise="shape"), ValueError, "no shape"),
        (lambda: ChiSquare([1.0], [1.0], ABS, widths=[-1.0]), ValueError, "widths"),
        (lambda: BinnedPoisson([1.0, -1.0], ABS), ValueError, "negative in bin 1"),
        (lambda: BinnedPoisson([1.0], NO_MODEL), TypeError, "model"),
        (lambda: CombinedObjective([]), ValueError, "at least one"),
        (lambda: CombinedObjective([NO_MODEL]), TypeError, "objectives"),
        (lambda: Gaussian(0.0, 0.0), ValueError, "above 0"),
        (lambda: Gaussian(np.nan, 1.0), ValueError, "finite"),
        (lambda: Parameter("", 1.0), ValueError, "name"),
        (lambda: Parameter("a", np.nan), ValueError, "'a': start value nan"),
        (lambda: Parameter("a", 1.0, lower=2.0), ValueError, "outside its bounds"),
        (lambda: Parameter("a", 1.0, lower=2.0, upper=1.0), ValueError, "not below upper"),
        (lambda: Parameter("a", 1.0, lower=np.nan), ValueError, "NaN"),
        (lambda: fit(LINE, [Parameter("a", 1.0), Parameter("a", 2.0)]), ValueError, "given twice: a"),
        (lambda: fit(LINE, []), ValueError, "no free parameter"),
        (lambda: fit(LINE, [Parameter("a", 1.0, fixed=True)]), ValueError, "no free parameter"),
        (lambda: fit(LINE, [NO_MODEL]), TypeError, "Parameter"),
        (lambda: fit(ABS, [Parameter("a", 1.0)]), TypeError, "objective"),
        (lambda: fit(LINE, [Parameter("a", 1.0)], autodiff="sideways"), ValueError, "'forward' or 'reverse'"),
        (lambda: fit(LINE, [Parameter("a", 1.0)], tolerance=0.0), ValueError, "above 0"),
        (lambda: add_systematics(ABS, [], {}), ValueError, "at least one source"),
        (lambda: add_systematics(ABS, [], {"s": [1.0], "t": [1.0, 2.0]}), ValueError, "different numbers"),
    ],
)
def test_bad_input_is_a_sentence(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_bad_arguments_of_the_scans(line_case):
    objective, result = line_case.objective, line_case.result
    for call, message in (
        (lambda: interval(objective, result, "nothing"), "no parameter 'nothing'"),
        (lambda: interval(objective, result, "slope", delta=0.0), "above 0"),
        (lambda: profile(objective, result, "slope", num_points=1), "num_points"),
        (lambda: profile(objective, result, "slope", points=[np.nan]), "finite"),
        (lambda: contour(objective, result, "slope", "slope"), "two different"),
        (lambda: contour(objective, result, "slope", "intercept", 68), "0.68"),
        (lambda: contour(objective, result, "slope", "intercept", num_points=2), "at least 3"),
        (lambda: toys(objective, result, 1, jax.random.key(0)), "num_toys"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
