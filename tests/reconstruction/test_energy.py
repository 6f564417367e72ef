"""Calibration: the closed form against a constrained minimiser, its derivative against samples, a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxhep.reconstruction import (
    best_weights,
    fit_energy_network,
    fit_energy_scale,
    inverse,
    solve,
    squared_resolution,
)


def sample(seed, count=4000, layers=4, width=0.1):
    """Layer signals of showers: gamma fluctuations, a common depth that shifts energy between layers."""
    rng = np.random.default_rng(seed)
    energies = rng.uniform(5, 100, count)
    shares = rng.dirichlet([3.0, 5.0, 4.0, 2.0][:layers], count) * np.array([0.9, 1.1, 1.0, 0.7])[:layers]
    noise = rng.normal(0, width, (count, layers)) * np.array([1.0, 0.5, 0.7, 2.0])[:layers] * 0.1
    return energies[:, None] * (shares + noise), energies


def test_weights_are_the_constrained_minimum():
    signals, energies = sample(1)
    ratio = signals / energies[:, None]
    with jax.enable_x64(True):
        scale = fit_energy_scale(jnp.asarray(signals), jnp.asarray(energies), ridge=0.0)
        variance = squared_resolution(jnp.asarray(ratio.mean(0)), jnp.asarray(ratio.T @ ratio / len(ratio)))
        found = np.asarray(scale.weights)
    oracle = scipy.optimize.minimize(
        lambda w: np.var(ratio @ w) * 1e4,
        np.full(4, 1.0),
        constraints={"type": "eq", "fun": lambda w: np.mean(ratio @ w) - 1},
        tol=1e-12,
    )
    np.testing.assert_allclose(found, oracle.x, rtol=1e-4)
    np.testing.assert_allclose(np.mean(ratio @ found), 1.0, rtol=1e-12)
    np.testing.assert_allclose(variance, np.var(ratio @ found), rtol=1e-9)


def test_event_weights_count_as_copies():
    signals, energies = sample(2, 300)
    copies = np.random.default_rng(3).integers(1, 4, 300)
    with jax.enable_x64(True):
        weighted = fit_energy_scale(
            jnp.asarray(signals), jnp.asarray(energies), weights=jnp.asarray(copies, float)
        ).weights
        copied = fit_energy_scale(jnp.asarray(np.repeat(signals, copies, 0)), jnp.asarray(np.repeat(energies, copies)))
    np.testing.assert_allclose(weighted, copied.weights, rtol=1e-10)


def test_derivative_of_the_best_resolution_is_that_at_fixed_weights():
    """The envelope theorem, and the derivative against independent samples at other noise (5.2 σ)."""

    def moments(width, seed):
        rng = np.random.default_rng(seed)
        base, z = rng.dirichlet([3.0, 5.0, 4.0, 2.0], 40_000), rng.normal(0, 0.1, (40_000, 4))
        ratio = base + width * z
        return ratio, base, z

    ratio, base, z = moments(0.5, 5)

    def squared(width):
        r = jnp.asarray(base) + width * jnp.asarray(z)
        return squared_resolution(jnp.mean(r, 0), r.T @ r / len(base))

    with jax.enable_x64(True):
        slope = float(jax.grad(squared)(0.5))
        r = jnp.asarray(ratio)
        w = np.asarray(best_weights(jnp.mean(r, 0), r.T @ r / len(base)))
    # Of the relative variance Var(w·r)/E[w·r]² at fixed w.
    fixed = 2 * np.cov(ratio @ w, z @ w, bias=True)[0, 1] - 2 * np.var(ratio @ w) * np.mean(z @ w)
    np.testing.assert_allclose(slope, fixed, rtol=1e-6)
    runs = []
    for seed in range(8):
        values = []
        for sign in (1, -1):
            r, *_ = moments(0.5 + sign * 0.05, 100 + 2 * seed + (sign > 0))
            values.append(float(squared_resolution(jnp.asarray(r.mean(0)), jnp.asarray(r.T @ r / len(r)))))
        runs.append((values[0] - values[1]) / 0.1)
    error = np.std(runs, ddof=1) / np.sqrt(8)
    # 7 degrees of freedom: 12 σ has a false-alarm rate of 3e-6, and the difference quotient a bias of 1 %.
    assert abs(np.mean(runs) - slope) < 12 * error + 0.01 * slope


def test_a_ridge_stands_a_dead_layer():
    signals, energies = sample(4, 200)
    signals[:, 3] = 0.0
    weights = fit_energy_scale(jnp.asarray(signals), jnp.asarray(energies)).weights
    assert np.all(np.isfinite(weights))
    dead = fit_energy_scale(jnp.asarray(signals), jnp.asarray(energies), ridge=0.0).weights
    assert not np.any(np.isfinite(dead))


def test_too_few_events_are_refused():
    with pytest.raises(ValueError, match="need at least 6 events, got 5"):
        fit_energy_scale(jnp.ones((5, 4)), jnp.ones(5))


def test_solve_is_scipy_and_differentiates_as_the_inverse():
    rng = np.random.default_rng(7)
    a = rng.normal(size=(6, 6))
    a = a @ a.T + 0.1 * np.eye(6)
    b, direction = rng.normal(size=(6, 2)), rng.normal(size=(6, 6))
    direction = direction + direction.T
    with jax.enable_x64(True):
        np.testing.assert_allclose(solve(jnp.asarray(a), jnp.asarray(b)), np.linalg.solve(a, b), rtol=1e-9)
        np.testing.assert_allclose(inverse(jnp.asarray(a)), np.linalg.inv(a), rtol=1e-8, atol=1e-10)
        _, tangent = jax.jvp(inverse, (jnp.asarray(a),), (jnp.asarray(direction),))
        np.testing.assert_allclose(tangent, -np.linalg.inv(a) @ direction @ np.linalg.inv(a), rtol=1e-6, atol=1e-7)
        batch = jax.vmap(solve)(jnp.stack([jnp.asarray(a)] * 3), jnp.stack([jnp.asarray(b)] * 3))
        np.testing.assert_allclose(batch[1], np.linalg.solve(a, b), rtol=1e-9)
        assert not np.any(np.isfinite(solve(-jnp.asarray(a), jnp.asarray(b))))


def test_network_learns_what_no_weight_can():
    """A response that falls with the share of the last layer. On new showers, the network is the better one."""
    rng = np.random.default_rng(8)

    def showers(count):
        energies = rng.uniform(10, 100, count)
        shares = rng.dirichlet([3.0, 5.0, 4.0, 2.0], count)
        leak = 0.5 * shares[:, 3] ** 2 * 4
        return jnp.asarray(energies[:, None] * shares * (1 - leak)[:, None], jnp.float32), jnp.asarray(
            energies, jnp.float32
        )

    signals, energies = showers(2000)
    steps: list[int] = []
    network = fit_energy_network(
        signals,
        energies,
        jax.random.key(0),
        depth=1,
        num_steps=200,
        batch_size=256,
        learning_rate=1e-2,
        on_step=steps.append,
    )
    assert steps[-1] == 200
    assert max(np.diff([0, *steps])) <= 100
    again, truth = showers(4000)
    linear = float(jnp.std(jax.vmap(network.scale)(again) / truth))
    learned = float(jnp.std(jax.vmap(network)(again) / truth))
    assert learned < 0.7 * linear
