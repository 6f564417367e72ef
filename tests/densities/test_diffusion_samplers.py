"""Orders of convergence of the samplers on exact normal fields in float64, and the likelihood along the flow."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.densities.diffusion import (
    EDM,
    AdaptiveODE,
    Diffusion,
    DPMSolver,
    EulerMaruyama,
    FlowMatching,
    Heun,
    SchroedingerBridge,
)
from jaxhep.metrics import kolmogorov_smirnov
from tests.densities.gaussians import PATHS, PULL, ExactBridge, ExactField, flow_map

MEAN, WIDTH = np.array([0.7, -1.2]), np.array([0.5, 1.7])
# The first and last step of DPM-Solver++ on a path between pure noise and clean data are infinite in ln(α/σ) and only
# of first order: there the method loses its second order, as its docstring says.
ORDERS = [*((Heun, name, 2.0) for name in PATHS), (DPMSolver, "edm", 2.0), (DPMSolver, "vp", 2.0)]


def run(sampler, density, start):
    """One compilation a sampler: its grid has a shape of its own."""
    return jax.jit(lambda s: sampler(density.field(), density.path, s))(start)


def start_of(path, mean=MEAN, width=WIDTH):
    """A point of the exact distribution at the latest time: starting from noise alone would add a bias."""
    alpha, sigma = path.levels(path.ends()[1])
    return alpha * mean + jnp.sqrt(alpha**2 * width**2 + sigma**2) * jnp.array([0.6, -1.1])


@pytest.mark.parametrize(("sampler", "name", "order"), ORDERS, ids=lambda a: getattr(a, "__name__", str(a)))
def test_order_of_convergence(sampler, name, order):
    with jax.enable_x64(True):
        path = PATHS[name]()
        density = Diffusion(ExactField(path, MEAN, WIDTH), dim=2, path=path)
        early, late = path.ends()
        start = start_of(path)
        exact = flow_map(path, start, late, early, jnp.asarray(MEAN), jnp.asarray(WIDTH))
        errors = [
            float(jnp.max(jnp.abs(run(sampler(num_steps=n, denoise=False), density, start) - exact)))
            for n in (120, 240)
        ]
    # The next term of the error is of relative size 10/N or so: it moves the measured order by log2(1 + 10/2N).
    measured = np.log2(errors[0] / errors[1])
    assert abs(measured - order) < 0.1, (errors, measured)


def test_dpm_solver_on_flow_matching_converges():
    with jax.enable_x64(True):
        path = FlowMatching()
        density = Diffusion(ExactField(path, MEAN, WIDTH), dim=2, path=path)
        start = start_of(path)
        early, late = path.ends()
        exact = flow_map(path, start, late, early, jnp.asarray(MEAN), jnp.asarray(WIDTH))
        errors = [float(jnp.max(jnp.abs(run(DPMSolver(num_steps=n), density, start) - exact))) for n in (36, 144)]
    assert 1.5 < np.log2(errors[0] / errors[1]) / 2 < 2


def test_weak_order_of_the_random_walk():
    """On a normal field a sample is linear in start and normals: its mean and variance follow without statistics."""
    with jax.enable_x64(True):
        path = EDM(sigma_max=5.0)
        mean, width = np.array([0.7]), np.array([0.5])
        density = Diffusion(ExactField(path, mean, width), dim=1, path=path)
        early, late = path.ends()
        errors = []
        for n in (100, 200):
            sampler = EulerMaruyama(num_steps=n, churn=0.7, denoise=False)

            def end(start, normals, sampler=sampler):
                return sampler(density.field(), path, start, normals)

            zero = jnp.zeros((n, 1))
            value, (by_start, by_normals) = jax.jit(lambda s, z, f=end: (f(s, z), jax.jacrev(f, (0, 1))(s, z)))(
                jnp.asarray(mean), zero
            )
            variance = by_start[0, 0] ** 2 * (width[0] ** 2 + late**2) + jnp.sum(by_normals**2)
            errors.append((abs(float(variance) - width[0] ** 2 - float(early) ** 2), abs(float(value[0]) - mean[0])))
    measured = np.log2(errors[0][0] / errors[1][0])
    assert abs(measured - 1) < 0.1, (errors, measured)
    assert max(e[1] for e in errors) < 1e-12


@pytest.mark.parametrize("name", ["edm", "flow_matching"])  # one that ends clean and one that does not
def test_adaptive_solution_and_likelihood_are_exact(name):
    """Against the flow in closed form; and for flow matching, whose base is exact, against the density itself."""
    with jax.enable_x64(True):
        path = PATHS[name]()
        turn = np.array([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
        mean, width, axes = (jnp.asarray(a) for a in (MEAN, WIDTH, turn))
        sampler = AdaptiveODE(rtol=1e-9, atol=1e-9, denoise=False)
        density = Diffusion(
            ExactField(path, MEAN, WIDTH, turn), dim=2, path=path, sampler=sampler, rtol=1e-9, atol=1e-9
        )
        early, late = path.ends()
        start = start_of(path)
        end, count = jax.jit(lambda s: sampler.solve(density.field(), path, s))(start)
        np.testing.assert_allclose(end, flow_map(path, start, late, early, mean, width, axes), atol=1e-6)
        assert count > 50
        x = jnp.array([0.3, 0.4])
        (a, s), (b, r), w = path.levels(early), path.levels(late), path.start_width()
        base = flow_map(path, a * x, early, late, mean, width, axes)
        stretch = jnp.sum(jnp.log((b**2 * width**2 + r**2) / (a**2 * width**2 + s**2))) / 2
        exact = jnp.sum(-((base / w) ** 2) / 2 - jnp.log(2 * jnp.pi * w**2) / 2) + stretch + 2 * jnp.log(a)
        np.testing.assert_allclose(jax.jit(lambda y: density.log_prob(y))(x), exact, atol=1e-6)
        if name == "flow_matching":
            z = axes.T @ (x - mean) / width
            density_itself = -jnp.sum(z**2) / 2 - jnp.sum(jnp.log(width)) - jnp.log(2 * jnp.pi)
            np.testing.assert_allclose(exact, density_itself, atol=1e-12)
            estimate = jax.jit(jax.vmap(lambda k: density.log_prob_estimate(x, key=k)))
            draws = np.asarray(estimate(jax.random.split(jax.random.key(0), 64)))
            assert draws.std() > 1e-3  # the field is not diagonal: the probe matters
            assert abs(draws.mean() - exact) < PULL * draws.std() / 8


def test_samples_follow_the_likelihood():
    """|z|² from log p of the model's own samples is χ²(2) distributed: sample and log_prob are of one density."""
    path = FlowMatching()
    density = Diffusion(
        ExactField(path, MEAN, WIDTH), dim=2, path=path, sampler=Heun(num_steps=40), rtol=1e-4, atol=1e-4
    )

    @jax.jit
    @jax.vmap
    def draw(key):
        return density.log_prob(density.sample(density.sample_noise(key)))

    log_p = draw(jax.random.split(jax.random.key(3), 400))
    top = -math.log(2 * math.pi) - np.sum(np.log(WIDTH))
    below = np.exp(np.asarray(log_p, float) - top)  # exp(−|z|²/2), uniform in two dimensions
    assert kolmogorov_smirnov(jnp.asarray(below, jnp.float32)).p_value > 1e-6


def test_bridge_keeps_the_entropic_coupling_and_no_other():
    """The walk with the exact field for jointly normal ends: linear in start and normals. Its end has the right mean,
    and the right variance up to O(ln N/N), the posterior's variance that each step leaves out; its covariance with the
    start is that of the coupling for any number of steps, if it is the entropic one, and only then."""
    mean, width, diffusion = 0.4, 1.5, 0.6
    entropic = (math.sqrt(4 * width**2 + diffusion**2) - diffusion) / 2

    def ends(covariance, num_steps):
        network = ExactBridge(jnp.array([mean]), jnp.array([width]), covariance, diffusion)
        bridge = SchroedingerBridge(network, dim=1, diffusion=diffusion, num_steps=num_steps)
        zero = (jnp.zeros(1), jnp.zeros((num_steps, 1)))
        value, slopes = jax.jit(lambda s, z: (bridge.walk(s, z), jax.jacrev(bridge.walk, (0, 1))(s, z)))(*zero)
        along = float(slopes[0][0, 0])
        return float(value[0]), along**2 + float(jnp.sum(slopes[1] ** 2)), along

    with jax.enable_x64(True):
        found = np.array([ends(entropic, n) for n in (50, 200)])
        other = ends(0.0, 200)
    exact = np.array([mean, width**2, entropic])
    errors = np.abs(found - exact)
    assert np.all(errors[:, [0, 2]] < 1e-12)
    assert 0.75 < np.log2(errors[0, 1] / errors[1, 1]) / 2 < 1, errors
    assert abs(other[1] - width**2) < 0.1
    assert abs(other[2]) > 0.3  # independent ends do not stay independent
