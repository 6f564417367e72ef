"""Problems with a known optimum: values and derivatives against quadrature, and the optimum found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit

from jaxhep.design import Settings, black_box, evaluate, optimise, sensitivity
from jaxhep.design.known_optima import (
    rosenbrock,
    rosenbrock_value,
    submanifold,
    submanifold_basis,
    three_hump_camel,
    walk_alternatives,
    walk_noise,
    walk_score,
)
from jaxhep.expectation import mean

# From the research note, by quadrature; test_camel_by_quadrature computes them here, independently.
AT_ONE = (-0.5393774, (0.193384, 0.263931))
START, MINIMUM = -0.49932, -0.8582085


def camel_exact(first, second):
    """E[σ(y − 10) − σ(y)]: y given x is N(x h, √2)."""
    h = 2 * first**2 - 1.05 * first**4 + first**6 / 6 + first * second + second**2
    z, w = np.polynomial.hermite_e.hermegauss(80)

    def loss(centre):
        y = centre + np.sqrt(2) * z
        return np.sum(w * (expit(y - 10) - expit(y))) / np.sqrt(2 * np.pi)

    parts = [quad(lambda x, h=h: loss(x * h), a, b, limit=200)[0] / (b - a) for a, b in ((-2, 2), (0, 5))]
    share = abs(first) / (abs(first) + abs(second))
    return share * parts[0] + (1 - share) * parts[1]


def test_camel_by_quadrature():
    assert camel_exact(1, 1) == pytest.approx(AT_ONE[0], abs=1e-6)
    assert camel_exact(2, 0) == pytest.approx(START, abs=1e-5)
    assert camel_exact(0, 1.2323234) == pytest.approx(MINIMUM, abs=1e-6)
    step = 1e-3
    slope = [
        (camel_exact(1 + step * a, 1 + step * b) - camel_exact(1 - step * a, 1 - step * b)) / (2 * step)
        for a, b in ((1, 0), (0, 1))
    ]
    np.testing.assert_allclose(slope, AT_ONE[1], atol=1e-5)


@pytest.fixture(scope="module", params=["sum", "score"])
def camel(request):
    return three_hump_camel(request.param)


def test_camel_value_and_gradient_hold_the_branch(camel):
    found = sensitivity(camel, {"psi": np.ones(2)}, jax.random.key(1), num_batches=32, batch_size=8192, second="none")
    # 31 degrees of freedom: |t| < 6.5 has a false-alarm rate of 3e-7.
    assert abs(found.objective[0] - AT_ONE[0]) < 6.5 * found.objective[1]
    assert np.all(np.abs(found.gradient - AT_ONE[1]) < 6.5 * found.gradient_error)
    # Sharp enough to tell it from the path alone.
    assert np.all(np.abs(found.gradient - (0.171493, 0.285822)) > 6.5 * found.gradient_error)


def test_camel_optimum_is_found_from_where_a_score_is_blind():
    problem = three_hump_camel("sum")
    settings = Settings(num_steps=200, batch_size=512, learning_rate=0.1, check_every=50, final_events=32_768)
    result = optimise(problem, jax.random.key(2), settings)
    assert abs(result.objective.value - MINIMUM) < 5.2 * result.objective.error + 0.005
    exact = camel_exact(*result.design["psi"])
    assert MINIMUM <= exact < MINIMUM + 0.005
    assert result.gain.value > 0.3
    assert abs(evaluate(problem, {"psi": [2.0, 0.0]}, jax.random.key(3), 16_384).value - START) < 0.02


def test_rosenbrock_in_ten_dimensions_takes_some_hundred_events():
    problem = rosenbrock()
    settings = Settings(num_steps=150, batch_size=2, learning_rate=0.1, check_every=50, check_size=2, final_events=4096)
    result = optimise(problem, jax.random.key(3), settings)
    true = [float(rosenbrock_value(jnp.asarray(theta[0]))) for theta in result.trajectory["theta"]]
    # Two events a step.
    assert np.argmax(np.array(true) < 0.1) < 100
    assert true[-1] < 0.02
    # The spread of y does not depend on ψ (note: 6.59027), and the paired gain is free of it.
    assert result.objective.error * np.sqrt(4096) == pytest.approx(6.59, rel=0.1)
    assert result.gain.value == pytest.approx(45, abs=0.1)
    assert result.gain.error < 0.01


def test_submanifold_of_a_hundred_dimensions():
    basis = submanifold_basis()
    np.testing.assert_allclose(basis.T @ basis, np.eye(10), atol=1e-12)
    settings = Settings(num_steps=200, batch_size=2, learning_rate=0.1, check_every=100, check_size=2, final_events=64)
    result = optimise(submanifold(), jax.random.key(4), settings)
    np.testing.assert_allclose(basis.T @ result.design["psi"], 1.0, atol=0.05)
    assert float(rosenbrock_value(jnp.asarray(basis.T @ np.zeros(100)))) == 9.0


def test_black_box_needs_no_derivative_of_the_simulator():
    """The gradient of the smoothed objective: for a quadratic, that of the objective itself."""
    problem = black_box(rosenbrock(4), 0.05)
    found = sensitivity(problem, {"psi": np.full(4, 2.0)}, jax.random.key(5), num_batches=32, batch_size=16_384,
                        second="none")  # fmt: skip
    exact = jax.grad(rosenbrock_value)(jnp.full(4, 2.0))
    # Smoothing over σ = 0.05 adds 12 ψ σ² = 0.06 to the slope of ψ⁴.
    assert np.all(np.abs(found.gradient - exact) < 6.5 * found.gradient_error + 0.07)
    assert np.all(found.gradient_error < 5)


def walk_exact(p, steps=100):
    """E[X²] by the distribution of the walk."""
    x = jnp.arange(-steps, steps + 1)
    up = jnp.where(x >= 0, jnp.exp(-jnp.maximum(x, 0) / p), 1.0)
    state = jnp.where(x == 0, 1.0, 0.0)
    for _ in range(steps):
        state = jnp.roll(state * up, 1) + jnp.roll(state * (1 - up), -1)
    return state @ x**2


def test_random_walk_value_and_derivative():
    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(walk_exact)(50.0)
    assert float(value) == pytest.approx(1007.7989, abs=1e-3)
    assert float(slope) == pytest.approx(30.294989, abs=1e-5)
    count = 20_000
    noise = jax.vmap(lambda i: walk_noise(jax.random.fold_in(jax.random.key(6), i)))(jnp.arange(count))

    def estimate(p):
        return mean(*jax.vmap(lambda u: walk_score(p, u))(noise)).value

    found, gradient = jax.value_and_grad(estimate)(jnp.asarray(50.0))
    assert abs(float(found) - float(value)) < 5.2 * 400 / np.sqrt(count)
    # One walk's estimate with baseline has a spread of 47.6 (note).
    assert abs(float(gradient) - float(slope)) < 5.2 * 48 / np.sqrt(count)
    single = np.asarray(jax.vmap(lambda u: walk_alternatives(jnp.asarray(50.0), u))(noise[:4000]))
    spread = single.std(ddof=1)
    assert abs(single.mean() - float(slope)) < 5.2 * spread / np.sqrt(4000)
    assert spread < 47.6 / 2
