"""Linear models: everything has a closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from jaxhep.inference import (
    BinnedPoisson,
    ChiSquare,
    CombinedObjective,
    Gaussian,
    Parameter,
    Prediction,
    add_normalisation,
    add_systematics,
    contour,
    fit,
    interval,
    level_to_delta,
    profile,
)

X = np.linspace(0.0, 1.0, 10)
DESIGN = np.stack([np.ones(X.size), X], axis=1)


def least_squares(design, data, covariance, prior_mean=None, prior_weight=None):
    """Generalised least squares with Gaussian priors: estimate, covariance, χ²."""
    weight = np.linalg.inv(covariance)
    size = design.shape[1]
    prior_mean = np.zeros(size) if prior_mean is None else prior_mean
    prior = np.zeros((size, size)) if prior_weight is None else np.diag(prior_weight)
    spread = np.linalg.inv(design.T @ weight @ design + prior)
    best = spread @ (design.T @ weight @ data + prior @ prior_mean)
    residual, pull = data - design @ best, best - prior_mean
    return best, spread, residual @ weight @ residual + pull @ prior @ pull


def closed_form(case):
    covariance = np.asarray(case.objective.data_covariance) + 0.004 * np.eye(X.size)
    return least_squares(DESIGN, case.objective.data, covariance, np.array([0.0, 2.2]), np.array([0.0, 1 / 0.09]))


def test_value_covariance_chi2_equal_least_squares(line_case):
    best, spread, chi2 = closed_form(line_case)
    result = line_case.result
    assert result.valid, result.reasons
    np.testing.assert_allclose([result.values["intercept"], result.values["slope"]], best, rtol=1e-8)
    np.testing.assert_allclose(result.covariance, spread, rtol=1e-10)
    np.testing.assert_allclose(result.chi2, chi2, rtol=1e-10)
    assert result.ndf == X.size + 1 - 2
    np.testing.assert_allclose(result.p_value, stats.chi2.sf(chi2, 9), rtol=1e-9)
    np.testing.assert_allclose(result.correlation[0, 1], spread[0, 1] / np.sqrt(spread[0, 0] * spread[1, 1]))


def test_monte_carlo_covariance_enters(line_case):
    without = eqx.tree_at(lambda o: o.model.variance, line_case.objective, np.zeros(X.size))
    result = fit(without, line_case.parameters)
    _, spread, _ = least_squares(
        DESIGN, without.data, np.asarray(without.data_covariance), np.array([0, 2.2]), np.array([0, 1 / 0.09])
    )
    np.testing.assert_allclose(result.covariance, spread, rtol=1e-10)
    assert result.errors["intercept"] < line_case.result.errors["intercept"]


def test_intervals_are_symmetric_and_profile_is_the_parabola(line_case):
    result = line_case.result
    for name in ("intercept", "slope"):
        found = interval(line_case.objective, result, name)
        assert found.valid
        np.testing.assert_allclose(found.upper_error, result.errors[name], rtol=1e-6)
        np.testing.assert_allclose(found.lower_error, -result.errors[name], rtol=1e-6)
    scan = profile(line_case.objective, result, "slope", num_points=8)
    assert scan.valid.all()
    assert not scan.reasons
    np.testing.assert_allclose(scan.delta, scan.parabola, atol=1e-7)
    conditional = result.covariance[0, 1] / result.covariance[1, 1]
    expected = result.values["intercept"] + conditional * (scan.points - result.values["slope"])
    np.testing.assert_allclose(scan.others["intercept"], expected, rtol=1e-6)


def test_contour_is_the_ellipse(line_case):
    for level, delta in ((0.68, 2.2789), (0.95, 5.9915)):
        line = contour(line_case.objective, line_case.result, "intercept", "slope", level, num_points=8)
        assert line.valid.all()
        assert not line.reasons
        np.testing.assert_allclose(level_to_delta(level), delta, atol=1e-4)
        offset = line.points - np.array([line_case.result.values[n] for n in ("intercept", "slope")])
        weight = np.linalg.inv(line_case.result.covariance)
        np.testing.assert_allclose(np.einsum("pi,ij,pj->p", offset, weight, offset), line.delta, rtol=1e-6)


def test_combined_shares_parameters_by_name(line_case):
    """Two halves of uncorrelated data together are the whole."""

    class Half(eqx.Module):
        x: np.ndarray

        def __call__(self, p):
            return p["intercept"] + p["slope"] * jnp.asarray(self.x)

    data, variance = np.asarray(line_case.objective.data), np.linspace(0.01, 0.02, X.size)
    halves = [ChiSquare(data[part], variance[part], Half(X[part])) for part in (slice(0, 5), slice(5, 10))]
    result = fit(CombinedObjective(halves), [Parameter("intercept", 0.5), Parameter("slope", 0.5)])
    best, spread, chi2 = least_squares(DESIGN, data, np.diag(variance))
    np.testing.assert_allclose([result.values["intercept"], result.values["slope"]], best, rtol=1e-7)
    np.testing.assert_allclose(result.covariance, spread, rtol=1e-9)
    np.testing.assert_allclose(result.chi2, chi2, rtol=1e-9)
    assert result.num_data == 10
    assert result.ndf == 8


def test_systematic_nuisances_equal_the_marginal_covariance():
    """χ² minimised over N(0,1) shifts equals χ² with V + Σ s sᵀ: value, error, profile."""
    rng = np.random.default_rng(8)
    shapes = {"tracking": 0.1 * np.ones(X.size), "energy_scale": 0.15 * (X - 0.4)}
    variance = np.linspace(0.01, 0.02, X.size)
    data = 1 + 2 * X + rng.normal(size=X.size) * 0.2
    line = lambda p: p["slope"] * jnp.asarray(X) + 1.0  # noqa: E731
    model, parameters = add_systematics(line, [Parameter("slope", 1.0)], shapes)
    objective = ChiSquare(data, variance, model)
    result = fit(objective, parameters)
    marginal = np.diag(variance) + sum(np.outer(s, s) for s in shapes.values())
    best, spread, chi2 = least_squares(X[:, None], data - 1.0, marginal)
    np.testing.assert_allclose(result.values["slope"], best[0], rtol=1e-8)
    np.testing.assert_allclose(result.errors["slope"], np.sqrt(spread[0, 0]), rtol=1e-10)
    np.testing.assert_allclose(result.chi2, chi2, rtol=1e-9)
    assert result.ndf == X.size - 1
    scan = profile(objective, result, "slope", num_points=3, num_sigma=2.0)
    np.testing.assert_allclose(scan.delta, [4.0, 0.0, 4.0], atol=1e-7)
    again = add_systematics(line, parameters, {"tracking": shapes["tracking"]})[1]
    assert [entry.name for entry in again] == ["slope", "tracking", "energy_scale"]


def test_normalisation_scales_values_and_covariance():
    model, parameters = add_normalisation(
        lambda p: Prediction(jnp.asarray([2.0, 3.0]), 0.1 * jnp.eye(2)), [], width=0.02, name="lumi"
    )
    assert parameters[0].prior == Gaussian(1.0, 0.02)
    prediction = model({"lumi": 2.0})
    np.testing.assert_allclose(prediction.values, [4.0, 6.0])
    np.testing.assert_allclose(np.asarray(prediction.covariance), 0.4 * np.eye(2), rtol=1e-6)


def test_chi_square_value_is_the_normal_density(chi2_case):
    """value(θ) = −2 ln N(data | prediction, V_data + V_MC) up to a constant, against SciPy; goodness is χ² alone."""
    values, chi2s, expected = [], [], []
    with jax.enable_x64(True):
        for number, tau in ((90.0, 0.4), (120.0, 0.5)):
            p = {"number": number, "tau": tau, "background": 4.0}
            prediction = chi2_case.objective.predict(p)
            covariance = np.asarray(chi2_case.objective.data_covariance) + np.asarray(prediction.covariance)
            density = stats.multivariate_normal(np.asarray(prediction.values), covariance)
            expected.append(-2 * density.logpdf(chi2_case.objective.data))
            values.append(float(chi2_case.objective.value(p)))
            chi2s.append(float(chi2_case.objective.goodness(p)))
            residual = np.asarray(chi2_case.objective.data - prediction.values)
            np.testing.assert_allclose(chi2s[-1], residual @ np.linalg.solve(covariance, residual), rtol=1e-12)
        plain = ChiSquare(
            chi2_case.objective.data, chi2_case.objective.data_covariance, chi2_case.objective.model, log_det=False
        )
        last = {"number": 120.0, "tau": 0.5, "background": 4.0}
        np.testing.assert_allclose(float(plain.value(last)), chi2s[-1], rtol=1e-12)
    np.testing.assert_allclose(values[1] - values[0], expected[1] - expected[0], rtol=1e-10)


def test_shape_comparison_ignores_the_norm_and_the_dropped_bin():
    rng = np.random.default_rng(4)
    data, widths = 5 + 3 * X + rng.normal(size=X.size) * 0.1, np.linspace(0.5, 1.5, X.size)
    covariance = np.diag(np.full(X.size, 0.01))
    order = rng.permutation(X.size)
    mc = 0.001 * np.eye(X.size)

    def value(scale, order):
        model = lambda p: Prediction(scale * (p["a"] + jnp.asarray(X[order])), scale**2 * jnp.asarray(mc))  # noqa: E731
        objective = ChiSquare(
            data[order], covariance[np.ix_(order, order)], model, normalise="shape", widths=widths[order], log_det=False
        )
        assert objective.num_data == X.size - 1
        with jax.enable_x64(True):
            return float(objective.value({"a": 1.7}))

    plain = value(1.0, np.arange(X.size))
    np.testing.assert_allclose(value(7.0, np.arange(X.size)), plain, rtol=1e-10)
    np.testing.assert_allclose(value(1.0, order), plain, rtol=1e-8)


def test_poisson_value_is_the_likelihood_ratio():
    """Baker–Cousins against SciPy; the Barlow–Beeston factor against a numerical minimum."""
    counts = np.array([0.0, 3.0, 12.0, 0.0, 7.0, 0.0])
    expected = np.array([0.5, 2.0, 15.0, 4.0, 7.0, 0.0])
    with jax.enable_x64(True):
        exact = BinnedPoisson(counts, lambda p: jnp.asarray(expected))
        ratio = -2 * np.sum(stats.poisson.logpmf(counts, expected) - stats.poisson.logpmf(counts, counts))
        np.testing.assert_allclose(float(exact.value({})), ratio, rtol=1e-12)
        for variance in (np.array([0.01, 1.0, 4.0, 40.0, 0.0, 0.0]), np.full(6, 1e-12)):
            fixed = Prediction(jnp.asarray(expected), jnp.diag(jnp.asarray(variance)))
            smeared = BinnedPoisson(counts, lambda p, fixed=fixed: fixed)  # type: ignore[misc]
            profiled = sum(_profiled_bin(n, e, v) for n, e, v in zip(counts, expected, variance, strict=True))
            np.testing.assert_allclose(float(smeared.value({})), profiled, rtol=1e-7)
        wall = BinnedPoisson([1.0], lambda p: jnp.zeros(1))
        assert float(wall.value({})) == np.inf


def _profiled_bin(n, expected, variance):
    if expected == 0:
        return 0.0

    def value(factor):
        mean = factor * expected
        deviance = 2 * (mean - n + (n * np.log(n / mean) if n else 0.0))
        return deviance + (0.0 if variance == 0 else (factor - 1) ** 2 * expected**2 / variance)

    if variance == 0:
        return value(1.0)
    return optimize.minimize_scalar(value, bounds=(0.0, 5.0), method="bounded", options={"xatol": 1e-12}).fun


@pytest.mark.parametrize("autodiff", ["forward", "reverse"])
def test_float64_although_the_global_flag_is_off(line_case, autodiff):
    assert not jax.config.values["jax_enable_x64"]
    result = fit(line_case.objective, line_case.parameters, autodiff=autodiff)
    assert not jax.config.values["jax_enable_x64"]
    best, _, _ = closed_form(line_case)
    np.testing.assert_allclose(result.values["slope"], best[1], rtol=1e-9)
    assert np.asarray(jnp.ones(1)).dtype == np.float32


def test_compiled_once_whatever_the_numbers():
    """New data, covariance, start, bounds and prior: the model is traced again for the shape check only."""
    traces = []

    class Counted(eqx.Module):
        x: np.ndarray

        def __call__(self, p):
            traces.append(1)
            return p["a"] * jnp.asarray(self.x)

    fit(ChiSquare(2 * X + 1, np.ones(X.size), Counted(X)), [Parameter("a", 1.0)])
    first = len(traces)
    for shift in (1.0, 2.0):
        parameter = Parameter("a", 0.5 + shift, lower=-shift, upper=9.0, prior=Gaussian(shift, 2.0))
        result = fit(ChiSquare(shift * X, np.full(X.size, shift), Counted(X + 0.1)), [parameter])
        assert result.valid
    assert len(traces) - first == 2
    assert first < 15
