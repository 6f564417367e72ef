"""Non-linear models against iminuit on an objective written again in NumPy where that is short."""

import numpy as np
import pytest

from jaxhep.inference import BinnedPoisson, Parameter, contour, fit, interval, profile, to_iminuit

iminuit = pytest.importorskip("iminuit")

X = np.linspace(0.0, 1.0, 10)


def numpy_poisson(case):
    """−2 ln λ of the Poisson case in plain NumPy, with the Monte Carlo factor by the quadratic formula."""
    counts = np.asarray(case.objective.counts)

    def value(number, tau, background):
        expected = number * np.exp(-X / tau) + background
        relative = 0.1 * expected / expected**2
        half = (1 - expected * relative) / 2
        factor = half + np.sqrt(half**2 + counts * relative)
        mean = factor * expected
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(counts > 0, counts * np.log(counts / mean), 0.0)
        return np.sum(2 * (mean - counts + logs) + (factor - 1) ** 2 / relative) + ((background - 5) / 3) ** 2

    return value


def numpy_chi2(case):
    """Gaussian −2 ln L of the χ² case, diagonal covariance."""
    data = np.asarray(case.objective.data)

    def value(number, tau, background):
        expected = number * np.exp(-X / tau) + background
        variance = 9.0 + 0.2 * expected
        return np.sum((data - expected) ** 2 / variance + np.log(variance / 9.0))

    return value


@pytest.fixture(scope="module", params=["poisson", "chi2"])
def pair(request, poisson_case, chi2_case):
    """A case and an independent Minuit of the same function."""
    case, value = {
        "poisson": (poisson_case, numpy_poisson(poisson_case)),
        "chi2": (chi2_case, numpy_chi2(chi2_case)),
    }[request.param]
    minuit = iminuit.Minuit(value, **{entry.name: entry.value for entry in case.parameters})
    minuit.errordef, minuit.tol, minuit.strategy = 1, 1e-5, 2
    minuit.limits["tau"] = (0.01, 5.0)
    minuit.migrad()
    minuit.hesse()
    assert minuit.valid
    return case, minuit, value


def test_values_and_errors(pair):
    case, minuit, _ = pair
    result = case.result
    assert result.valid, result.reasons
    for name in result.names:
        assert abs(result.values[name] - minuit.values[name]) < 1e-3 * minuit.errors[name]
        np.testing.assert_allclose(result.errors[name], minuit.errors[name], rtol=2e-3)
    np.testing.assert_allclose(result.objective_value, minuit.fval, atol=1e-6)
    np.testing.assert_allclose(result.covariance, np.asarray(minuit.covariance), rtol=0.01)


def test_asymmetric_intervals(pair):
    case, minuit, _ = pair
    minuit.minos()
    for name in case.result.names:
        found = interval(case.objective, case.result, name)
        assert found.valid, found.reasons
        np.testing.assert_allclose(found.lower_error, minuit.merrors[name].lower, rtol=5e-3)
        np.testing.assert_allclose(found.upper_error, minuit.merrors[name].upper, rtol=5e-3)


def test_contour_points_have_the_right_rise(pair):
    """At each of our points Minuit, minimising over the third parameter, finds the rise; so do MINOS extremes."""
    case, minuit, value = pair
    line = contour(case.objective, case.result, "number", "tau", 0.68, num_points=24)
    assert line.valid.all()
    best = minuit.fval
    for number, tau in line.points[::6]:
        held = iminuit.Minuit(value, **minuit.values.to_dict())
        held.errordef, held.tol = 1, 1e-5
        held.values["number"], held.values["tau"] = number, tau
        held.fixed["number"] = held.fixed["tau"] = True
        held.migrad()
        np.testing.assert_allclose(held.fval - best, line.delta, rtol=1e-4)
    theirs = minuit.mncontour("number", "tau", cl=0.68, size=12)
    spread = np.ptp(line.points, axis=0)
    for point in theirs[:-1]:
        distance = _distance_to_polygon(point / spread, line.points / spread)
        assert distance < 0.01


def _distance_to_polygon(point, corners):
    begin, end = corners, np.roll(corners, -1, axis=0)
    along = np.clip(np.sum((point - begin) * (end - begin), axis=1) / np.sum((end - begin) ** 2, axis=1), 0, 1)
    return np.min(np.linalg.norm(point - begin - along[:, None] * (end - begin), axis=1))


def test_hand_over_to_iminuit(poisson_case):
    minuit = to_iminuit(poisson_case.objective, poisson_case.parameters)
    assert minuit.limits["tau"] == (0.01, 5.0)
    minuit.migrad()
    assert minuit.valid
    for name in poisson_case.result.names:
        assert abs(minuit.values[name] - poisson_case.result.values[name]) < 0.01 * minuit.errors[name]
    held = to_iminuit(
        poisson_case.objective, [entry.replaced(fixed=entry.name == "tau") for entry in poisson_case.parameters]
    )
    assert held.fixed["tau"]
    assert not held.fixed["number"]


def test_interval_ends_at_a_bound(poisson_case):
    """A bound between the minimum and the crossing is reported, not passed over."""
    bound = poisson_case.result.values["tau"] + 0.5 * poisson_case.result.errors["tau"]
    parameters = [e.replaced(upper=bound, value=0.2) if e.name == "tau" else e for e in poisson_case.parameters]
    result = fit(poisson_case.objective, parameters)
    assert result.valid
    assert any("tau" in text for text in result.warnings)
    found = interval(poisson_case.objective, result, "tau")
    assert not found.valid
    assert "bound" in found.reasons[0]
    assert found.upper == pytest.approx(bound)
    free = interval(poisson_case.objective, poisson_case.result, "tau")
    assert found.lower == pytest.approx(free.lower, rel=1e-4)


def test_profile_reports_a_lower_minimum(poisson_case):
    """A scan far from a result with wrong numbers says so."""
    from dataclasses import replace

    wrong = replace(poisson_case.result, objective_value=poisson_case.result.objective_value + 1.0)
    scan = profile(poisson_case.objective, wrong, "tau", num_points=8)
    assert scan.reasons
    assert "lower minimum" in scan.reasons[0]
    in_batches = profile(poisson_case.objective, poisson_case.result, "tau", num_points=8, batch_size=1)
    np.testing.assert_allclose(scan.delta + 1.0, in_batches.delta, atol=1e-6)


def test_far_start_and_walls_are_survived(poisson_case):
    """Starts where the first steps meet negative expectations or far tails still reach the same minimum."""
    objective = BinnedPoisson(poisson_case.objective.counts, poisson_case.objective.model)
    for number, tau, background in ((1.0, 4.9, 0.1), (3000.0, 0.05, 40.0)):
        start = {"number": number, "tau": tau, "background": background}
        result = fit(objective, [entry.replaced(value=start[entry.name]) for entry in poisson_case.parameters])
        assert result.valid, result.reasons
        assert result.values["tau"] == pytest.approx(poisson_case.result.values["tau"], rel=1e-5)


def test_fixed_parameter_is_kept(poisson_case):
    parameters = [e.replaced(fixed=True, value=0.5) if e.name == "tau" else e for e in poisson_case.parameters]
    result = fit(poisson_case.objective, parameters)
    assert result.values["tau"] == 0.5
    assert result.errors["tau"] == 0.0
    assert result.ndf == X.size + 1 - 2
    scan = profile(poisson_case.objective, poisson_case.result, "tau", points=np.full(8, 0.5))
    np.testing.assert_allclose(result.objective_value - poisson_case.result.objective_value, scan.delta[0], atol=1e-6)
    with pytest.raises(ValueError, match="was fixed"):
        interval(poisson_case.objective, result, "tau")


def test_parameters_given_as_integers_are_numbers():
    assert Parameter("a", 1).value == 1.0
    assert isinstance(Parameter("a", 1.0).value, float)
