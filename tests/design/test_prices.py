"""The prices of budgets from noisy gradients: closed forms, the spread of repeats, a design that is no optimum."""

import numpy as np
import pytest

from jaxhep.design import least_squares_multipliers

SLOPES = np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 2.0, -1.0, 1.0], [5.0, 0.0, 0.0, 0.0]])
TRUE = np.array([2.0, 0.7, 0.0])
BINDING = np.array([True, True, False])


def noisy(rng, count=24, spread=0.3):
    """Gradients at an optimum: −Σ λ∇c, and noise."""
    return -TRUE @ SLOPES + spread * rng.standard_normal((count, 4))


def test_exact_gradients_give_the_exact_multipliers():
    found = least_squares_multipliers(noisy(np.random.default_rng(0), spread=0.0), SLOPES, BINDING)
    np.testing.assert_allclose(found.value, TRUE, atol=1e-12)
    assert np.all(found.error < 1e-7)
    assert found.residual < 1e-7


def test_error_is_the_spread_of_repeats():
    rng = np.random.default_rng(1)
    runs = [least_squares_multipliers(noisy(rng), SLOPES, BINDING) for _ in range(400)]
    values, errors = (np.array([getattr(run, name)[:2] for run in runs]) for name in ("value", "error"))
    # The spread of 400 repeats is known to 3.5 %; what the residual adds by chance is a few per cent.
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), values.std(axis=0, ddof=1), rtol=0.25)
    pull = (values.mean(axis=0) - TRUE[:2]) / (values.std(axis=0, ddof=1) / 20)
    assert np.all(np.abs(pull) < 5.2)
    assert all(run.value[2] == run.error[2] == 0 for run in runs)


def test_a_design_that_is_no_optimum_has_a_larger_error():
    rng = np.random.default_rng(2)
    # Away from the span of the two slopes that bind.
    off = np.array([0.5, -0.1, -0.4, -0.2])
    np.testing.assert_allclose(SLOPES[:2] @ off, 0.0, atol=1e-12)
    good = least_squares_multipliers(noisy(rng), SLOPES, BINDING)
    bad = least_squares_multipliers(noisy(rng) + off, SLOPES, BINDING)
    assert bad.residual > 2 * good.residual
    assert np.all(bad.error[:2] > 2 * good.error[:2])
    assert np.all(np.abs(bad.value - TRUE)[:2] < 5.2 * bad.error[:2])


def test_nothing_binds_or_one_batch():
    none = least_squares_multipliers(noisy(np.random.default_rng(3)), SLOPES, np.zeros(3, bool))
    assert none.value.tolist() == none.error.tolist() == [0.0, 0.0, 0.0]
    assert none.residual == pytest.approx(1.0)
    with pytest.raises(ValueError, match="at least two"):
        least_squares_multipliers(np.ones((1, 4)), SLOPES, BINDING)
