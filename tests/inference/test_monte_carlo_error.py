"""Templates with Monte Carlo errors that change with the parameter: no bias, neither in reality nor in toys."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.inference import ChiSquare, Parameter, Prediction, fit, toys
from jaxhep.inference.fit import make_settings
from jaxhep.inference.layout import make_layout
from jaxhep.inference.minimise import minimise

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
    """θ̂ and its error for independent templates, each with independent data drawn around the exact contents."""
    layout, settings = make_layout((Parameter("rate", TRUTH, 0.05, 3.0),)), make_settings()

    @jax.jit
    def run(key):
        key_values, key_data = jax.random.split(key)
        noise = jax.random.normal(key_data, (EDGES.size - 1,)) * np.sqrt(exact(TRUTH) / EVENTS)
        chosen = objective(jax.random.exponential(key_values, (EVENTS,)), np.zeros(EDGES.size - 1), log_det)
        drawn = eqx.tree_at(lambda tree: tree.data, chosen, exact(TRUTH) + noise)
        start, held = jnp.array([TRUTH]), jnp.zeros(1, bool)
        minimum = minimise(drawn, layout, start, held, jnp.array([[200.0]]), settings)
        return minimum.theta[0], jnp.sqrt(2 / minimum.hessian[0, 0]), minimum.edm

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(11), SAMPLES)
        rates, errors, edm = jax.device_get(jax.lax.map(run, keys, batch_size=50))
    assert np.max(edm) < 1e-6
    return rates, errors


def test_independent_samples_give_the_true_parameter_back():
    rates, errors = best_rates(log_det=False)
    # 5.2 standard errors of the mean: false alarm 2e-7.
    assert abs(np.mean(rates) - TRUTH) < 5.2 * np.std(rates) / np.sqrt(SAMPLES)
    assert np.std((rates - TRUTH) / errors) == pytest.approx(1, abs=0.2)
    shifted, _ = best_rates(log_det=True)
    # The normalisation of a Gaussian, which this objective had: the test has the power to see it.
    assert np.mean(shifted - rates) > 8 * np.std(rates) / np.sqrt(SAMPLES)


@pytest.mark.parametrize("log_det", [False, True])
def test_toys_come_back_with_either_objective(log_det):
    """Each kind of toy has the fluctuation that its own objective assumes."""
    values = np.random.default_rng(3).exponential(size=4 * EVENTS)
    chosen = objective(values, log_det=log_det)
    result = fit(chosen, [Parameter("rate", TRUTH, 0.05, 3.0)])
    study = toys(chosen, result, 400, jax.random.key(2), coverage=False, batch_size=50)
    assert study.num_failed == 0
    mean, width = study.pull_mean("rate"), study.pull_width("rate")
    assert abs(np.mean(study.values[:, 0]) - study.truth[0]) < 5.2 * np.std(study.values[:, 0]) / np.sqrt(400)
    assert abs(mean.value) < 0.4
    assert abs(width.value - 1) < 5.2 * width.error
