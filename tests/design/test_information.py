"""Fisher information against closed forms and samples, the Cramér–Rao bound, fronts and hypervolumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import polygamma

from jaxhep.design import (
    counts_information,
    cramer_rao,
    criteria,
    density_information,
    gaussian_information,
    hypervolume,
    non_dominated,
    profiled_information,
)


def gamma_log_density(signal, theta):
    """E′ ~ Gamma(E/c², 1/c²) with θ = (E,), c = 0.1: the visible energy of a sampling calorimeter."""
    shape, rate = theta[0] / 0.01, 100.0
    return shape * jnp.log(rate) + (shape - 1) * jnp.log(signal) - rate * signal - jax.scipy.special.gammaln(shape)


@pytest.mark.parametrize(
    ("energy", "c", "bound", "naive"), [(1.0, 0.1, 0.0997501, 0.1), (0.1, 0.17, 0.0499525, 0.0537587)]
)
def test_gamma_bound_of_the_note(energy, c, bound, naive):
    """I(E) = ψ₁(E/c²)/c⁴, whose bound lies below the spread c√E of the signal itself."""
    information = polygamma(1, energy / c**2) / c**4
    assert float(cramer_rao(jnp.asarray(information))) == pytest.approx(bound, rel=1e-5)
    assert c * np.sqrt(energy) == pytest.approx(naive, rel=1e-5)


def test_information_of_samples_is_that_of_the_gamma_distribution():
    sample = np.random.default_rng(1).gamma(100.0, 0.01, 50_000)
    with jax.enable_x64(True):
        found = density_information(gamma_log_density, jnp.array([1.0]), jnp.asarray(sample))
    exact = polygamma(1, 100.0) * 1e4
    assert abs(float(found.value[0, 0]) - exact) < 5.2 * float(found.error[0, 0])
    assert float(found.error[0, 0]) < 0.02 * exact


def test_gaussian_information_of_mean_and_width():
    """N(μ, σ²) with θ = (μ, σ): diag(1/σ², 2/σ²); and the trace term in several dimensions against samples."""
    sigma = 0.3
    found = gaussian_information(jnp.array([[1.0, 0.0]]), jnp.array([[sigma**2]]), jnp.array([[[0.0, 2 * sigma]]]))
    np.testing.assert_allclose(found, np.diag([1 / sigma**2, 2 / sigma**2]), rtol=1e-5)
    rng = np.random.default_rng(2)
    a = rng.normal(size=(3, 3))
    base, slopes = a @ a.T + np.eye(3), rng.normal(size=(3, 3))
    slopes = slopes + slopes.T
    direction = rng.normal(size=3)

    def log_density(x, theta):
        covariance = jnp.asarray(base) + theta[0] * jnp.asarray(slopes)
        d = x - theta[0] * jnp.asarray(direction)
        return -0.5 * (d @ jnp.linalg.solve(covariance, d) + jnp.linalg.slogdet(covariance)[1])

    with jax.enable_x64(True):
        exact = gaussian_information(
            jnp.asarray(direction)[:, None], jnp.asarray(base), jnp.asarray(slopes)[:, :, None]
        )
        sample = rng.multivariate_normal(np.zeros(3), base, 20_000)
        score = np.asarray(
            jax.vmap(jax.grad(lambda t, x: log_density(x, t)), (None, 0))(jnp.zeros(1), jnp.asarray(sample))
        )
    squares = score[:, 0] ** 2
    assert abs(squares.mean() - float(exact[0, 0])) < 5.2 * squares.std() / np.sqrt(20_000)


def test_counts_are_the_sum_over_bins_and_nuisances_cost():
    counts, slopes = np.array([4.0, 9.0, 25.0]), np.array([[1.0, 2.0], [3.0, -1.0], [5.0, 5.0]])
    found = counts_information(jnp.asarray(counts), jnp.asarray(slopes))
    expected = sum(np.outer(s, s) / n for s, n in zip(slopes, counts, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # The variance with the nuisance free is the entry of the inverse matrix.
    left = float(profiled_information(found)[0, 0])
    assert 1 / left == pytest.approx(np.linalg.inv(expected)[0, 0], rel=1e-5)
    assert left < expected[0, 0]
    np.testing.assert_allclose(profiled_information(found, 2), found)
    assert float(cramer_rao(jnp.asarray(4.0), -0.5)) == 0.25
    with pytest.raises(ValueError, match="num_interest"):
        profiled_information(found, 3)
    assert criteria(np.diag([1.0, 0.0]))["trace_inverse"] == np.inf


def test_front_and_volume_against_counting():
    rng = np.random.default_rng(3)
    for dimension in (2, 3):
        points = rng.uniform(0, 1, (12, dimension))
        mask = non_dominated(points)
        for i, own in enumerate(points):
            beaten = any(np.all(o <= own) and np.any(o < own) for j, o in enumerate(points) if j != i)
            assert mask[i] == (not beaten)
        sample = rng.uniform(0, 1, (200_000, dimension))
        share = np.mean(np.any(np.all(points[None] <= sample[:, None], axis=2), axis=1))
        error = np.sqrt(share * (1 - share) / len(sample))
        assert abs(hypervolume(points, np.ones(dimension)) - share) < 5.2 * error
        # What is beaten adds nothing.
        assert hypervolume(points[mask], np.ones(dimension)) == pytest.approx(hypervolume(points, np.ones(dimension)))
    assert hypervolume([[2.0, 2.0]], [1.0, 1.0]) == 0.0


def test_a_difference_within_errors_beats_nobody():
    points, errors = [[1.0, 1.0], [1.01, 1.01], [2.0, 2.0]], np.full((3, 2), 0.01)
    assert non_dominated(points).tolist() == [True, False, False]
    assert non_dominated(points, errors).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: non_dominated([1.0, 2.0]), "shape"),
        (lambda: non_dominated([[1.0, np.nan]]), "finite"),
        (lambda: non_dominated([[1.0, 2.0]], [[-1.0, 0.0]]), "errors"),
        (lambda: hypervolume([[1.0, 2.0]], [1.0]), "reference"),
    ],
)
def test_bad_points_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
