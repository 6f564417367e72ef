"""Pairing of noise and events: exact and entropic plans against SciPy and closed forms, and its two traps."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxhep.densities.diffusion import (
    Diffusion,
    FlowMatching,
    PairedLoss,
    StratifiedLoss,
    entropic_plan,
    exact_pairing,
    transport_cost,
)
from tests.densities.gaussians import PULL, ExactField

EVENTS = 256
KEY = jax.random.key(5)
RNG = np.random.default_rng(7)
CONDITION = RNG.integers(0, 2, (EVENTS, 1)).astype("float32")
X = (2 * CONDITION - 1 + 0.3 * RNG.normal(size=(EVENTS, 1))).astype("float32")
EPS = RNG.normal(size=(EVENTS, 1)).astype("float32")


def test_exact_pairing_is_the_assignment_of_least_cost():
    cost = transport_cost(jnp.asarray(X), jnp.asarray(EPS))
    rows, columns = scipy.optimize.linear_sum_assignment(np.asarray(cost))
    ours = np.asarray(jax.jit(exact_pairing)(cost))
    assert sorted(ours) == list(range(EVENTS))
    assert np.asarray(cost)[rows, ours].sum() == pytest.approx(np.asarray(cost)[rows, columns].sum(), rel=1e-5)
    # In one dimension it is the order of both.
    assert np.all(np.argsort(EPS[ours, 0])[:10] == np.argsort(X[:, 0])[:10])


@pytest.mark.parametrize("method", ["exact", "entropic"])
def test_pairing_across_conditions_would_bias_and_is_not_done(method):
    """Noise that knows the condition makes p(x|c) wrong, for a sample starts from noise that does not."""
    loss = PairedLoss(method, epsilon=0.05, conditional=True)
    pair = jax.jit(lambda c: loss.pair(KEY, jnp.asarray(X), jnp.asarray(EPS), c, jnp.ones(EVENTS)))
    blind, right = (np.asarray(pair(c)) for c in (None, jnp.asarray(CONDITION)))
    one = CONDITION[:, 0] == 1
    gap = [EPS[p, 0][one].mean() - EPS[p, 0][~one].mean() for p in (blind, right)]
    own = EPS[one, 0].mean() - EPS[~one, 0].mean()
    assert gap[0] > 1
    if method == "exact":  # only exchanged within each condition
        assert np.all(CONDITION[right] == CONDITION)
        assert gap[1] == pytest.approx(own, abs=1e-5)
    assert abs(gap[1]) < PULL * 2 / math.sqrt(EVENTS) * math.sqrt(2)
    # And paths are shorter: it pairs at all.
    assert np.mean(np.abs(X - EPS[right])) < 0.9 * np.mean(np.abs(X - EPS))


def test_weighted_noise_stays_normal_with_the_entropic_plan_only():
    weights = np.exp(1.5 * X[:, 0]).astype("float32")
    weights /= weights.sum()
    x, eps, w = (jnp.asarray(a) for a in (X, EPS, weights))
    places = [
        np.asarray(PairedLoss(method, epsilon=0.1).pair(KEY, x, eps, None, w)) for method in ("exact", "entropic")
    ]
    means = [float(np.sum(weights * EPS[p, 0])) for p in places]
    error = math.sqrt(np.sum(weights**2))
    assert means[0] > 0.5
    assert abs(means[1] - EPS.mean()) < PULL * error
    plan = entropic_plan(transport_cost(x, eps), 0.1, w, 200)
    np.testing.assert_allclose(jnp.sum(plan, axis=0), 1 / EVENTS, rtol=1e-3)
    np.testing.assert_allclose(jnp.sum(plan, axis=1), weights, rtol=0.02, atol=1e-5)


def test_entropic_plan_of_normals_has_the_covariance_of_the_bridge():
    """½(√(4s²+ε²) − ε) for widths s and 1, on quantiles."""
    with jax.enable_x64(True):
        n, s, epsilon = 300, 1.5, 0.6
        import scipy.stats

        z = scipy.stats.norm.ppf((np.arange(n) + 0.5) / n)
        x, y = s * z[:, None], z[:, None]
        plan = np.asarray(entropic_plan(transport_cost(jnp.asarray(x), jnp.asarray(y)), epsilon, num_iterations=300))
        found, unit = x[:, 0] @ plan @ y[:, 0], np.mean(z**2)
    exact = (math.sqrt(4 * s**2 + epsilon**2) - epsilon) / 2
    # The quantiles' variance is a little below one.
    assert found == pytest.approx(exact, rel=2 * (1 - unit))
    assert abs(exact - s) > 5 * exact * (1 - unit)


def test_losses_of_a_batch():
    """Paired and stratified losses estimate Σwℓ; rows of weight zero count for nothing; times are even."""
    density = Diffusion(ExactField(FlowMatching(), jnp.zeros(1), jnp.ones(1)), dim=1)
    batch = {"x": jnp.asarray(X)}
    weights = jnp.full(EVENTS, 1 / EVENTS)
    stratified = jax.jit(lambda *inputs: StratifiedLoss()(density, *inputs))
    plain = np.mean([float(stratified(batch, weights, k)) for k in jax.random.split(KEY, 2)])
    # E|v − (ε − x)|² of independent ends at the field of N(0,1): v = x_t(2t − 1)/(t² + (1−t)²).
    rng = np.random.default_rng(1)
    t, e, x = rng.uniform(size=(40_000, 1)), rng.normal(size=(40_000, 1)), X[rng.integers(0, EVENTS, 40_000)]
    v = ((1 - t) * x + t * e) * (2 * t - 1) / (t**2 + (1 - t) ** 2)
    square = ((v - (e - x)) ** 2)[:, 0]
    assert abs(plain - square.mean()) < PULL * square.std() * math.sqrt(1 / (2 * EVENTS) + 1 / 40_000)
    paired = float(jax.jit(lambda *inputs: PairedLoss()(density, *inputs))(batch, weights, KEY))
    assert paired < 0.8 * plain
    with pytest.raises(ValueError, match="'exact' or 'entropic'"):
        PairedLoss("greedy")
