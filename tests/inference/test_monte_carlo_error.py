"""Templates with Monte Carlo errors that change with the parameter: no bias, neither in reality nor in toys."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.inference import ChiSquare, Parameter, Prediction, fit, toys

EDGES = np.linspace(0, 4, 17)
TRUTH = 0.7
EVENTS, SAMPLES = 400, 500


class Reweighted(eqx.Module):
    """Fractions of events in bins. Events of density e^(−x) weighted to θ e^(−θx): at θ < 1 the weights vary."""

    values: jax.Array

    def __call__(self, parameters):
        rate = parameters["rate"]
        weights = rate * jnp.exp((1 - rate) * self.values)
        inside = (self.values[:, None] >= EDGES[:-1]) & (self.values[:, None] < EDGES[1:])
        share = weights / jnp.sum(weights)
        contents = share @ inside
        terms = share[:, None] * (inside - contents)
        return Prediction(contents, terms.T @ terms)


def exact(rate):
    return np.diff(-np.exp(-rate * EDGES))


def objective(values, data=None, log_det=False):
    covariance = np.diag(exact(TRUTH) / EVENTS)
    return ChiSquare(exact(TRUTH) if data is None else data, covariance, Reweighted(values), log_det=log_det)


def best_rates(log_det):
    """θ̂ and its error, from parabolas, for independent templates, each with independent data around the exact ones."""
    grid = np.arange(0.4, 1.1, 0.02)

    def values(key):
        key_values, key_data = jax.random.split(key)
        noise = jax.random.normal(key_data, (EDGES.size - 1,)) * np.sqrt(exact(TRUTH) / EVENTS)
        chosen = objective(jax.random.exponential(key_values, (EVENTS,)), np.zeros(EDGES.size - 1), log_det)
        drawn = eqx.tree_at(lambda tree: tree.data, chosen, exact(TRUTH) + noise)
        return jax.lax.map(lambda rate: drawn.value({"rate": rate}), grid)

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(11), SAMPLES)
        found = np.asarray(jax.jit(lambda keys: jax.lax.map(values, keys, batch_size=50))(keys))
    at = np.argmin(found, axis=1)
    assert np.all((at > 0) & (at < grid.size - 1))
    below, here, above = (np.take_along_axis(found, at[:, None] + k, 1)[:, 0] for k in (-1, 0, 1))
    curvature = below - 2 * here + above
    return grid[at] + 0.02 * (below - above) / (2 * curvature), 0.02 * np.sqrt(2 / curvature)


def test_independent_samples_give_the_true_parameter_back():
    rates, errors = best_rates(log_det=False)
    # 5.2 standard errors of the mean: false alarm 2e-7.
    assert abs(np.mean(rates) - TRUTH) < 5.2 * np.std(rates) / np.sqrt(SAMPLES)
    assert np.std((rates - TRUTH) / errors) == pytest.approx(1, abs=0.2)
    shifted, _ = best_rates(log_det=True)
    # The normalisation of a Gaussian, which this objective had: the test has the power to see it.
    assert np.mean(shifted - rates) > 8 * np.std(rates) / np.sqrt(SAMPLES)


def test_toys_come_back():
    """Toys have the fluctuation of the template that χ² assumes, not one of the data instead."""
    values = np.random.default_rng(3).exponential(size=4 * EVENTS)
    chosen = objective(values)
    result = fit(chosen, [Parameter("rate", TRUTH, 0.05, 3.0)])
    study = toys(chosen, result, 300, jax.random.key(2), coverage=False, batch_size=50)
    assert study.num_failed == 0
    mean, width = study.pull_mean("rate"), study.pull_width("rate")
    assert abs(np.mean(study.values[:, 0]) - study.truth[0]) < 5.2 * np.std(study.values[:, 0]) / np.sqrt(300)
    assert abs(mean.value) < 0.4
    assert abs(width.value - 1) < 5.2 * width.error
