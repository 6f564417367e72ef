"""Density ratios: trained on normals with a known ratio, calibrated, averaged, used as weights, and pulled back."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.densities.bijections import Affine
from jaxhep.densities.classifiers import (
    CalibratedRatio,
    Classifier,
    Ensemble,
    Isotonic,
    effective_size,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    reweight,
    train_classifier,
    two_samples,
)
from jaxhep.densities.flows import Flow, Normal
from jaxhep.densities.laser import LatentRefinement
from jaxhep.networks import make_network
from jaxhep.training import TrainingSettings

PULL = 5.2


class Line:
    """ln r of N(δ, 1) to N(0, 1) in the first column: δ(x − δ/2), times a factor."""

    def __init__(self, delta=1.0, factor=1.0):
        self.delta, self.factor = delta, factor

    def __call__(self, x, condition):
        return self.factor * self.delta * (x[0] - self.delta / 2)


@functools.cache
def trained():
    """p₁ = N(c, 1) with weights against p₀ = N(0, 1), c = ±0.8 the condition; one column."""
    rng = np.random.default_rng(0)
    count = 6000
    c = rng.choice([-0.8, 0.8], size=(2, count, 1))
    x = rng.normal(size=(2, count, 1))
    # p₁ by weights e^{cx − c²/2} on draws of N(0, 1): the classifier must learn from weights alone.
    weights = np.exp(c[0] * x[0] - c[0] ** 2 / 2)[:, 0]
    data = two_samples(x[0], x[1], weights, None, c[0], c[1])
    network = make_network("mlp", in_size=1, out_size=1, condition_size=1, width=16, depth=1, key=jax.random.key(1))
    settings = TrainingSettings(batch_size=500, steps=300, learning_rate=1e-2)
    return train_classifier(Classifier(network), data, key=jax.random.key(2), settings=settings).model


def test_classifier_learns_a_conditional_ratio_from_weights():
    """ln r = cx − c²/2; over the bulk the error of 12 000 events and of a small network stays below 0.15."""
    x = jnp.linspace(-1.5, 1.5, 13)[:, None]
    for c in (-0.8, 0.8):
        got = jax.vmap(lambda one, c=c: trained().log_ratio(one, jnp.array([c])))(x)
        want = c * np.asarray(x)[:, 0] - c**2 / 2
        assert np.sqrt(np.mean((np.asarray(got) - want) ** 2)) < 0.15
        assert np.ptp(want) > 2


def test_reweighting_makes_the_other_sample():
    """N(0, 1) becomes N(1, 1): mean within 5.2 σ, N_eff/N = e^{−δ²} for the exact ratio."""
    x = np.random.default_rng(3).normal(size=(20_000, 1)).astype(np.float32)
    result = reweight(Classifier(Line()), jnp.asarray(x))
    weights = np.asarray(result.weights, float)
    assert weights.sum() == pytest.approx(20_000, rel=1e-5)
    mean = np.average(x[:, 0], weights=weights)
    error = np.sqrt(np.sum((weights * (x[:, 0] - mean)) ** 2)) / weights.sum()
    assert abs(mean - 1) < PULL * error
    assert result.effective_size == pytest.approx(effective_size(weights))
    assert result.effective_size / 20_000 == pytest.approx(np.exp(-1), rel=0.1)
    with pytest.raises(ValueError, match="all weights are zero"):
        effective_size([0.0, 0.0])


@functools.cache
def held_out():
    rng = np.random.default_rng(5)
    labels = np.repeat([1, 0], 20_000)
    x = rng.normal(size=40_000) + labels
    return x - 0.5, labels  # the true logit


def test_calibration_undoes_a_known_distortion():
    """Logits 2.5 ℓ + 0.7: slope 1/2.5 and offset −0.7/2.5 within 5.2 σ of the information matrix."""
    logits, labels = held_out()
    fitted = fit_platt(2.5 * logits + 0.7, labels)
    p = 1 / (1 + np.exp(-logits))
    design = np.stack([2.5 * logits + 0.7, np.ones_like(logits)], axis=1)
    errors = np.sqrt(np.diag(np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)))
    assert abs(float(fitted.slope) - 0.4) < PULL * errors[0]
    assert abs(float(fitted.offset) + 0.28) < PULL * errors[1]
    warm = fit_temperature(2.5 * logits, labels)
    assert abs(float(warm.slope) - 0.4) < PULL * errors[0]
    ratio = CalibratedRatio(Classifier(Line(1.0, 2.5)), warm)
    assert float(ratio.log_ratio(jnp.array([1.0]))) == pytest.approx(0.5, abs=0.02)
    # Weights are replicated events.
    weights = np.random.default_rng(1).integers(1, 4, 500)
    some = slice(19_750, 20_250)
    one = fit_platt(logits[some], labels[some], weights)
    other = fit_platt(np.repeat(logits[some], weights), np.repeat(labels[some], weights))
    assert float(one.slope) == pytest.approx(float(other.slope), rel=1e-6)


def test_isotonic_calibration():
    """A curved distortion is straightened; the pools are those of the min-max formula."""
    logits, labels = held_out()
    fitted = fit_isotonic(np.sinh(logits), labels)
    at = np.linspace(-1.5, 1.5, 7)
    got = np.asarray(jax.vmap(fitted)(jnp.asarray(np.sinh(at), jnp.float32)))
    assert np.max(np.abs(got - at)) < 0.3
    assert np.all(np.diff(np.asarray(fitted.calibrated)) >= 0)
    # min-max formula of isotonic regression: max over starts of the min over ends of the means.
    small, marks = np.arange(7.0), np.array([0, 1, 0, 0, 1, 1, 0])
    means = [max(min(marks[a : b + 1].mean() for b in range(i, 7)) for a in range(i + 1)) for i in range(7)]
    knots = fit_isotonic(small, marks)
    assert isinstance(knots, Isotonic)
    assert len(knots.logits) == len(np.unique(means))


def test_ensemble_has_mean_and_spread():
    members = [Classifier(Line(1.0, factor)) for factor in (0.9, 1.0, 1.1)]
    both = Ensemble(members)
    x = jnp.array([2.5])
    assert float(both.log_ratio(x)) == pytest.approx(2.0, rel=1e-6)
    assert float(both.spread(x)) == pytest.approx(0.2, rel=1e-5)
    assert float(both.probability(x)) == pytest.approx(1 / (1 + np.exp(-2)), rel=1e-6)


def test_refinement_draws_the_corrected_density():
    """A flow N(0, 2²) in the latent N(0, 1), with the ratio to N(1, 1): draws are N(1, 1), R̂ near 1."""

    def ratio(x, condition):
        return -0.5 * (x[0] - 1) ** 2 + 0.5 * (x[0] / 2) ** 2 + jnp.log(2.0)

    flow = Flow(Normal(1), Affine(jnp.zeros(1), jnp.log(jnp.array([2.0]))))
    refined = LatentRefinement(flow, Classifier(ratio)).sample(
        jax.random.key(0), num_chains=8, num_draws=300, num_warm_up=100
    )
    x = np.asarray(refined.x, float)
    assert x.shape == (8, 300, 1)
    assert refined.r_hat < 1.05
    assert refined.num_divergent == 0
    assert refined.effective_size > 200
    error = 1 / np.sqrt(refined.effective_size)
    assert abs(x.mean() - 1) < PULL * error
    assert abs(x.std() - 1) < PULL * error
    thinned = x[:, ::10].ravel()
    assert scipy.stats.kstest(thinned, scipy.stats.norm(1, 1).cdf).pvalue > 1e-7
    np.testing.assert_allclose(x, 2 * np.asarray(refined.latent), rtol=1e-6)


def test_wrong_arguments_are_refused():
    two = np.zeros((2, 1))
    with pytest.raises(ValueError, match="one dim"):
        two_samples(two, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="sum to 0"):
        two_samples(two, two, [1.0, -1.0])
    with pytest.raises(ValueError, match="weights of shape"):
        two_samples(two, two, [1.0])
    with pytest.raises(ValueError, match="for both samples"):
        two_samples(two, two, numerator_conditions=two)
    with pytest.raises(ValueError, match="no weight"):
        fit_platt([0.0, 1.0], [1, 1])
    with pytest.raises(ValueError, match="labels are 0 and 1"):
        fit_platt([0.0, 1.0], [2, 1])
    with pytest.raises(ValueError, match="at least 0"):
        fit_isotonic([0.0, 1.0, 2.0], [1, 0, 1], [1.0, 2.0, -0.5])
    with pytest.raises(ValueError, match="two members"):
        Ensemble([Classifier(Line())])
    flow = Flow(Normal(1), Affine(jnp.zeros(1), jnp.zeros(1)))
    with pytest.raises(ValueError, match="columns lies between"):
        LatentRefinement(flow, Classifier(Line()), columns=2)
    with pytest.raises(ValueError, match="2 chains"):
        LatentRefinement(flow, Classifier(Line())).sample(jax.random.key(0), num_chains=1)
