"""Values against closed forms of normal samples, and against SciPy."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.metrics import (
    energy_distance,
    fit_classifier,
    frechet_gaussian,
    frechet_physics_distance,
    kernel_physics_distance,
    maximum_mean_discrepancy,
    roc_area,
    sliced_wasserstein,
    triangular_discriminator,
    two_sample_test,
    wasserstein,
)
from tests.metrics.samples import EVENTS, OTHERS, PULL, normals

KEY = jax.random.key(1)
EDGES = [-8.0, -1.0, 0.0, 1.0, 2.0, 10.0]


@pytest.mark.parametrize(
    ("mean", "width", "exact"), [(2.0, 1.0, 2.0), (0.0, 2.5, 1.5 * math.sqrt(2 / math.pi))], ids=["shift", "width"]
)
def test_wasserstein_of_normals(mean, width, exact):
    """Equal widths: |Δm|; equal means: |Δs|√(2/π)."""
    result = wasserstein(normals(1), normals(2, mean, width, count=OTHERS), key=KEY)
    assert abs(float(result.value) - exact) < PULL * float(result.error)
    assert exact > 2 * PULL * float(result.error)


def test_wasserstein_and_energy_against_scipy_with_weights():
    x, y = np.asarray(normals(1)), np.asarray(normals(2, 0.7, 1.4, count=OTHERS))
    rng = np.random.default_rng(3)
    v, w = (rng.uniform(0.2, 3, n).astype("float32") for n in (EVENTS, OTHERS))
    arrays = [jnp.asarray(a) for a in (x, y, v, w)]
    expected = scipy.stats.wasserstein_distance(x, y, v, w)
    np.testing.assert_allclose(wasserstein(*arrays, key=KEY).value, expected, rtol=1e-4)
    ours = energy_distance(arrays[0][:, None], arrays[1][:, None], *arrays[2:], key=KEY)
    np.testing.assert_allclose(ours.value, scipy.stats.energy_distance(x, y, v, w), rtol=1e-3)


def test_wasserstein_gradient_is_that_of_the_plan():
    """x all below y, equal numbers: W1 = ȳ − x̄; and coincident points have finite gradients."""
    x, y = normals(1, -9.0), normals(2, 9.0)
    slope = jax.grad(lambda a: wasserstein(a, y, key=KEY).value)(x)
    np.testing.assert_allclose(slope, -1 / EVENTS, rtol=1e-4)
    alike = jnp.zeros((40, 2))
    for metric in (energy_distance, maximum_mean_discrepancy):
        gradient = jax.grad(lambda a, m=metric: m(a, alike, key=KEY, num_replicas=2).value)(alike)
        assert np.all(np.isfinite(np.asarray(gradient)))


def test_sliced_wasserstein_of_a_shift():
    """Along θ the distance is |m·θ|, on average |m| Γ(d/2)/(√π Γ((d+1)/2)); its variance is |m|²(1/d − mean²/|m|²)."""
    d, size, directions = 3, 6.0, 64
    x = normals(1, columns=d)
    y = normals(2, columns=d, count=OTHERS) + jnp.array([size, 0, 0])
    result = sliced_wasserstein(x, y, key=KEY, num_directions=directions)
    mean = math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))
    spread = size * math.sqrt((1 / d - mean**2) / directions)
    assert abs(float(result.value) - size * mean) < PULL * math.hypot(spread, result.error)
    assert size * mean > 2 * PULL * spread


def test_energy_distance_of_normals():
    """E|X−Y| = S√(2/π)e^{−δ²/2S²} + δ(1 − 2Φ(−δ/S)); the pairs of an event with itself take (1 − 1/N) of E|X−X'|."""
    delta, s = 1.0, 1.5

    def apart(shift, total):
        normal = total * math.sqrt(2 / math.pi) * math.exp(-(shift**2) / (2 * total**2))
        return normal + shift * (1 - 2 * scipy.stats.norm.cdf(-shift / total))

    result = energy_distance(normals(1)[:, None], normals(2, delta, s, count=OTHERS)[:, None], key=KEY)
    within = (1 - 1 / EVENTS) * apart(0, math.sqrt(2)) + (1 - 1 / OTHERS) * apart(0, s * math.sqrt(2))
    exact = math.sqrt(2 * apart(delta, math.hypot(1, s)) - within)
    assert abs(float(result.value) - exact) < PULL * float(result.error)
    assert exact > 2 * PULL * float(result.error)


def test_discrepancy_of_normals():
    """E k(X,Y) = h/√(h²+2) e^{−δ²/2(h²+2)} for unit widths."""
    delta, h = 1.0, 0.8
    result = maximum_mean_discrepancy(
        normals(1)[:, None], normals(2, delta, count=OTHERS)[:, None], key=KEY, bandwidth=h
    )
    exact = 2 * h / math.sqrt(h**2 + 2) * (1 - math.exp(-(delta**2) / (2 * (h**2 + 2))))
    assert abs(float(result.value) - exact) < PULL * float(result.error)
    assert exact > PULL * float(result.error)


def test_published_numbers_of_fpd_and_kpd():
    """All-2 against all-0 in two dimensions: FPD 2 of scaled features, KPD 624 unscaled."""
    x, y = jnp.full((60, 2), 2.0), jnp.zeros((60, 2))
    np.testing.assert_allclose(frechet_physics_distance(x, y, key=KEY).value, 2, rtol=1e-4)
    np.testing.assert_allclose(kernel_physics_distance(x, y, key=KEY, scale=False).value, 624, rtol=1e-4)


def test_frechet_distance_of_normals():
    """In one dimension Δm² + Δs²; in more against the matrix root of SciPy; extrapolated, without the bias of N."""
    rng = np.random.default_rng(4)
    a, b = (m @ m.T for m in rng.normal(size=(2, 3, 3)))
    means = rng.normal(size=(2, 3))
    with jax.enable_x64(True):
        ours = frechet_gaussian(*(jnp.asarray(v) for v in (means[0], a, means[1], b)))
    cross = np.trace(scipy.linalg.sqrtm(a @ b)).real
    np.testing.assert_allclose(ours, np.sum((means[0] - means[1]) ** 2) + np.trace(a + b) - 2 * cross, rtol=1e-9)
    result = frechet_physics_distance(
        normals(1)[:, None], normals(2, 1.0, 2.0, count=OTHERS)[:, None], key=KEY, scale=False
    )
    assert abs(float(result.value) - 2) < PULL * float(result.error)
    assert 2 * PULL * float(result.error) < 2


def test_area_under_the_curve():
    """Φ(δ/√2) for scores of unit width; Mann and Whitney's U of SciPy, with ties; weights as replicas elsewhere."""
    x, y = normals(1, 1.0), normals(2, count=OTHERS)
    result = roc_area(x, y, key=KEY)
    assert abs(float(result.value) - scipy.stats.norm.cdf(1 / math.sqrt(2))) < PULL * float(result.error)
    x, y = jnp.round(x), jnp.round(y)
    u = scipy.stats.mannwhitneyu(np.asarray(x), np.asarray(y)).statistic / (EVENTS * OTHERS)
    np.testing.assert_allclose(roc_area(x, y, key=KEY).value, u, rtol=1e-4)


def test_triangular_discriminator_by_hand():
    x, y = normals(1), normals(2, 1.0, count=OTHERS)
    result = triangular_discriminator(x, y, edges=EDGES, key=KEY)
    p, q = (np.histogram(np.asarray(a), EDGES)[0] / a.size for a in (x, y))
    np.testing.assert_allclose(result.value, 500 * np.sum((p - q) ** 2 / (p + q)), rtol=1e-4)
    alike = triangular_discriminator(x, x[:OTHERS], edges=EDGES, key=KEY)
    formula = 1000 * (len(p) - 1) / 4 * (1 / EVENTS + 1 / OTHERS)
    np.testing.assert_allclose(alike.floor, formula, rtol=0.02)
    np.testing.assert_allclose(alike.floor_spread / alike.floor, math.sqrt(2 / (len(p) - 1)), rtol=0.2)
    weights = jnp.where(x > 2, -0.5, 1.0)
    with pytest.raises(ValueError, match="merge bins"):
        triangular_discriminator(x, y - 9, weights, edges=EDGES, key=KEY)


def test_two_sample_test_is_cross_fitted():
    """A classifier that remembers its events learns nothing of held-out ones; one that knows the direction finds
    Φ(δ/√2)."""
    x, y = normals(1, 0.8, columns=2), normals(2, 0.0, columns=2, count=OTHERS)

    def nearest(events, labels, weights, key):
        assert events.shape[0] == labels.shape[0] == weights.shape[0]
        ours, theirs = (np.asarray(weights)[np.asarray(labels) == k].sum() for k in (1, 0))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
        points, marks = np.asarray(events), np.asarray(labels)

        def score(held):
            place = np.argmin(np.sum((np.asarray(held)[:, None] - points) ** 2, axis=-1), axis=1)
            return jnp.asarray(marks[place])

        return score

    alike = two_sample_test(normals(5, columns=2), normals(6, columns=2, count=OTHERS), fit=nearest, key=KEY)
    assert abs(alike.significance) < PULL
    found = two_sample_test(
        x, y, fit=lambda events, labels, weights, key: lambda held: held[:, 0] + held[:, 1], key=KEY, folds=3
    )
    assert abs(float(found.value) - scipy.stats.norm.cdf(0.8)) < PULL * float(found.error)
    assert found.significance > 3 * PULL


def test_two_sample_test_with_the_networks_of_this_package():
    """Near the best area, Φ(δ/√2), for shifted samples, of which one carries weights; 1/2 for the weighted alike."""
    x, y = normals(7, 1.0, columns=2, count=800), normals(8, columns=2, count=800)
    # Weights that undo the shift of both columns: N(1,1) e^{1/2 − x} = N(0,1).
    undo = jnp.exp(1 - x[:, 0] - x[:, 1])
    small = partial(fit_classifier, width=16)
    found = two_sample_test(x, y, key=KEY, fit=small)
    value, error, best = float(found.value), float(found.error), scipy.stats.norm.cdf(1)
    assert best - PULL * error - 0.03 < value < best + PULL * error
    alike = two_sample_test(x, y, undo, key=KEY, fit=small)
    assert abs(float(alike.value) - 0.5) < PULL * float(alike.error)
