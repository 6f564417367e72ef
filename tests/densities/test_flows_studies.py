"""The studies of flows in small: a known density, paired scores, and energies by maximum likelihood."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from jaxhep.densities.mixture import Mixture
from jaxhep.studies.cross_validation import cross_validate, paired
from jaxhep.studies.energy_calibration import (
    GammaResponse,
    estimate_energies,
    estimate_energy,
    mode_of,
    prior_energies,
)
from jaxhep.studies.known_densities import TARGETS, ValueLoss, published, score, target
from jaxhep.training import TrainingSettings

PULL = 5.2


@pytest.mark.parametrize("name", TARGETS)
def test_targets_know_their_density(name):
    """Histogram of the events against the density at their cells: E[ln p] by events and by a histogram agree."""
    x, log_p = target(name, 200_000, 3)
    counts, *edges = np.histogram2d(x[:, 0], x[:, 1], bins=60)
    cell = np.prod([edge[1] - edge[0] for edge in edges])
    index = [
        np.clip(np.searchsorted(edge, column, side="right") - 1, 0, 59) for edge, column in zip(edges, x.T, strict=True)
    ]
    local = counts[index[0], index[1]]
    full = local > 200
    ratio = local[full] / (len(x) * cell) / np.exp(log_p[full])
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    with pytest.raises(ValueError, match="there is no target"):
        target("moons", 3, 0)


def test_flow_recovers_a_known_density():
    """Less than 0.01 nats on events not used; the affine autoregressive flow contains the banana."""
    x, log_p = target("banana", 24_000, 1)
    settings = TrainingSettings(batch_size=1000, steps=400, learning_rate=1e-2, ema=0.98)
    sizes: dict[str, Any] = {
        "transformer": "affine", "num_layers": 2, "width": 12, "depth": 1, "permutation": "reverse",
    }  # fmt: skip
    result, model = score("banana", x, log_p, 16_000, jax.random.key(0), settings, validation=None, **sizes)
    assert result.loss_nats < 0.01
    assert result.loss_nats > -PULL * result.error
    assert result.num_parameters < 400
    assert "not used" in str(result)
    # Few events: maximum likelihood fits their fluctuations, too (ln q above ln p on them), exact values have none.
    few = x[:9600], log_p[:9600], 1600, jax.random.key(0), dataclasses.replace(settings, steps=800)
    exact, _ = score("values", *few, values=True, validation=None, **sizes)
    places, _ = score("places", *few, validation=None, **sizes)
    assert places.train_nats < -0.001
    assert abs(exact.train_nats) < 0.001
    assert exact.loss_nats < 0.003
    assert model.dim == 2
    # Two flows: better than the same two alone are on average.
    short = dataclasses.replace(settings, steps=60)

    def trained(key, members):
        return score(
            "few", x[:9600], log_p[:9600], 1600, key, short, values=True, members=members, likelihood=0.1,
            validation=None, **sizes,
        )  # fmt: skip

    pair, both = trained(jax.random.key(0), 2)
    alone = [trained(key, 1)[0] for key in jax.random.split(jax.random.key(0), 2)]
    assert pair.loss_nats < sum(one.loss_nats for one in alone) / 2
    assert pair.num_parameters == 2 * alone[0].num_parameters
    assert isinstance(both, Mixture)
    with pytest.raises(ValueError, match="likelihood is in"):
        ValueLoss(1.0)
    with pytest.raises(ValueError, match="give values=True"):
        score("places", *few, validation=None, likelihood=0.1, **sizes)
    with pytest.raises(ValueError, match="members"):
        trained(jax.random.key(0), 0)


def test_cross_validation_scores_each_event_once():
    """Uniform events in the unit box have ln p = 0: the flows may not find more than noise."""
    x = np.random.default_rng(0).uniform(size=(90, 2))
    settings = TrainingSettings(batch_size=64, epochs=2, learning_rate=1e-3, patience=1)
    scores = cross_validate(
        x, jax.random.key(0), num_folds=2, num_members=2, settings=settings, num_layers=1, width=4, depth=1
    )
    assert scores.shape == (90,)
    assert np.all(np.isfinite(scores))
    result = paired("uniform", scores, np.zeros(90))
    assert abs(result.difference) < 0.2
    assert result.num_events == 90
    with pytest.raises(ValueError, match="num_folds"):
        cross_validate(x, jax.random.key(0), num_folds=1)
    with pytest.raises(ValueError, match="same events"):
        paired("a", np.zeros(2), np.zeros(3))


def by_scipy(response, x):
    """Maximum and both ends of the interval of one event."""

    def cost(energy):
        shapes = [energy * f / 0.04 for f in response.fractions]
        return -sum(scipy.stats.gamma(a, scale=0.04).logpdf(one) for a, one in zip(shapes, x, strict=True))

    best = scipy.optimize.minimize_scalar(cost, bounds=(5, 120), method="bounded", options={"xatol": 1e-8}).x
    ends = [scipy.optimize.brentq(lambda e: 2 * (cost(e) - cost(best)) - 1, *pair) for pair in ((5, best), (best, 120))]
    return [best, *ends]


def test_maximum_likelihood_energy_equals_scipy():
    response = GammaResponse()
    x = response.draw([12.0, 40.0, 85.0], seed=1)
    with jax.enable_x64(True):
        found = estimate_energies(response.log_likelihood, jnp.asarray(x), 5.0, 120.0, chunk=4)
    got = np.stack([found.energy, found.low, found.high], axis=1)
    np.testing.assert_allclose(got, [by_scipy(response, one) for one in x], rtol=1e-6)
    assert not np.any(found.at_edge)


def test_intervals_cover_and_edges_are_flagged():
    """68.27 % of 4000 intervals hold the truth, within 5.2 binomial σ and the 1 % that σ/E allows the asymptotics."""
    response = GammaResponse()
    x = jnp.asarray(response.draw(np.full(4000, 50.0), seed=2), jnp.float32)
    found = estimate_energies(response.log_likelihood, x, 5.0, 120.0, chunk=4000)
    covered = np.mean((found.low <= 50) & (found.high >= 50))
    assert abs(covered - 0.6827) < PULL * np.sqrt(0.6827 * 0.3173 / 4000) + 0.01
    mode, error = mode_of(found.energy / 50)
    assert abs(mode - 1) < PULL * error + 0.04 / 50  # the mode lies below the mean by c²/2E
    edge = estimate_energy(response.log_likelihood, x[0], 100.0, 120.0)
    assert bool(edge.at_edge)
    assert np.isnan(float(edge.low))
    assert np.isnan(float(edge.high))


def test_priors_and_refusals():
    flat, log = (prior_energies(prior, 20_000, 5.0, 100.0, seed=0) for prior in ("uniform", "log-uniform"))
    assert scipy.stats.kstest(flat, scipy.stats.uniform(5, 95).cdf).pvalue > 1e-7
    assert scipy.stats.kstest(log, scipy.stats.loguniform(5, 100).cdf).pvalue > 1e-7
    with pytest.raises(ValueError, match="prior is one of"):
        prior_energies("flat", 3, 1.0, 2.0, seed=0)
    with pytest.raises(ValueError, match="0 < low < high"):
        estimate_energy(lambda x, energy: energy, jnp.ones(1), 5.0, 1.0)
    with pytest.raises(ValueError, match="published densities are"):
        published(".", "cms")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        published("/nowhere", "wet")
