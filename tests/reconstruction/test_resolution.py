"""Curves of bias and resolution: their errors against repeated samples, the core against tails, the three terms."""

import numpy as np
import pytest
import scipy.stats

from jaxhep.reconstruction import fit_resolution, gaussian_core, resolution_curve

REPEATS = 200


@pytest.fixture(scope="module")
def repeated():
    rng = np.random.default_rng(1)
    truth = np.full(2000, 10.0)
    return [resolution_curve(truth, truth * (1.01 + 0.05 * rng.standard_normal(2000)), [5.0, 15.0])
            for _ in range(REPEATS)]  # fmt: skip


@pytest.mark.parametrize(("name", "true"), [("bias", 0.01), ("rms", 0.05), ("width68", 0.05), ("core", 0.05)])
def test_numbers_and_their_errors_are_those_of_repeated_samples(repeated, name, true):
    values = np.array([getattr(curve, name)[0] for curve in repeated])
    errors = np.array([getattr(curve, f"{name}_error")[0] for curve in repeated])
    spread = values.std(ddof=1)
    # 5.2 σ; half a per cent for the bias of a quantile and of a window at 2000 events.
    assert abs(values.mean() - true) < 5.2 * spread / np.sqrt(REPEATS) + 0.005 * true
    # The spread of 200 repeats is known to 5 %; 30 % is six of these.
    assert errors.mean() == pytest.approx(spread, rel=0.3)


def test_core_ignores_a_tail_that_rms_does_not():
    rng = np.random.default_rng(2)
    rho = np.concatenate([rng.normal(0, 0.02, 19_000), -rng.exponential(0.2, 1000)])
    curve = resolution_curve(np.full(20_000, 5.0), 5 * (1 + rho), [1.0, 10.0])
    assert curve.core[0] == pytest.approx(0.02, rel=0.05)
    assert curve.rms[0] > 0.04
    assert abs(curve.core_bias[0]) < 0.002
    mean, width, _ = gaussian_core(rng.normal(3, 2, 50_000))
    assert mean == pytest.approx(3, abs=0.06)
    assert width == pytest.approx(2, rel=0.03)


def test_bins_take_their_own_events_and_thin_ones_say_nothing():
    truth = np.concatenate([np.full(50, 2.0), np.full(3, 20.0)])
    curve = resolution_curve(truth, truth * np.tile([0.9, 1.1], 27)[:53], [1.0, 10.0, 100.0])
    assert curve.count.tolist() == [50, 3]
    assert curve.rms[0] == pytest.approx(0.1 * np.sqrt(50 / 49))
    assert np.isnan(curve.rms[1])
    assert curve.to_dict()["rms"][1] is None
    assert "2" in repr(curve)


@pytest.mark.parametrize(
    ("truth", "estimate", "edges", "words"),
    [
        ([1.0, 2.0], [1.0], [0, 3], "one shape"),
        ([1.0, np.nan], [1.0, 1.0], [0, 3], "NaN"),
        ([1.0, -1.0], [1.0, 1.0], [0, 3], "above zero"),
        ([1.0, 2.0], [1.0, 2.0], [3, 0], "growing"),
    ],
)
def test_bad_samples_are_refused(truth, estimate, edges, words):
    with pytest.raises(ValueError, match=words):
        resolution_curve(truth, estimate, edges)


def test_three_terms_have_unit_pulls():
    rng, e = np.random.default_rng(3), np.geomspace(1, 200, 10)
    true = np.sqrt(0.1**2 / e + 0.3**2 / e**2 + 0.01**2)
    error = 0.02 * true
    fits = [fit_resolution(e, true + error * rng.standard_normal(10), error) for _ in range(200)]
    pulls = np.array([(fit.values - [0.1, 0.3, 0.01]) / fit.errors for fit in fits])
    # 200 toys: 5.2 σ in the mean, six of the 5 % in the width.
    assert np.all(np.abs(pulls.mean(axis=0)) < 5.2 / np.sqrt(200))
    np.testing.assert_allclose(pulls.std(axis=0, ddof=1), 1.0, atol=0.3)
    chi2 = np.array([fit.chi2 for fit in fits])
    assert scipy.stats.kstest(chi2, scipy.stats.chi2(7).cdf).pvalue > 1e-6
    np.testing.assert_allclose(fits[0](e) ** 2, (fits[0].values ** 2) @ np.array([1 / e, 1 / e**2, np.ones(10)]))


def test_a_term_that_is_not_there_gets_a_limit():
    e = np.geomspace(2, 100, 8)
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(200):
        s = 0.1 / np.sqrt(e)
        fit = fit_resolution(e, s * (1 + 0.02 * rng.standard_normal(8)), 0.02 * s)
        covered += fit.upper_limits[2] > 0
        if "constant" in fit.at_zero:
            assert fit.values[2] == 0
            assert np.isnan(fit.errors[2])
            assert fit.to_dict()["terms"]["constant"]["error"] is None
            assert "constant <" in repr(fit)
    assert covered == 200
    one = fit_resolution(e, 0.1 / np.sqrt(e), 0.01 / np.sqrt(e), terms=("stochastic",))
    assert one.values[0] == pytest.approx(0.1)
    assert one.errors[1] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [({"terms": ("sampling",)}, "taken from"), ({"energies": [1.0, 2.0]}, "one shape"),
     ({"errors": [0.1, 0.0, 0.1]}, "above zero")],
)  # fmt: skip
def test_bad_curves_are_refused(change, words):
    given = {"energies": [1.0, 2.0, 3.0], "resolution": [0.3, 0.2, 0.1], "errors": [0.1, 0.1, 0.1]} | change
    with pytest.raises(ValueError, match=words):
        fit_resolution(**given)
    with pytest.raises(ValueError, match="at least as many points"):
        fit_resolution([1.0], [0.1], [0.1])
