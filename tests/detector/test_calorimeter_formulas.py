"""The shower formulas against plain SciPy to 1e-6, for every material and stack, and their continuations outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxhep.detector.calorimeter import (
    Layers,
    Profile,
    RadialProfile,
    draw_profile,
    mean_profile,
    profile_moments,
    radial_profile,
    spot_number,
    spot_profile,
)
from jaxhep.detector.calorimeter._incomplete_gamma import incomplete_gamma
from jaxhep.detector.calorimeter._sampling import gamma_draw
from jaxhep.detector.materials import MATERIALS, Mixture
from tests.detector import gflash
from tests.detector.once import ONCE

ENERGIES = np.array([1.0, 3.0, 10.0, 100.0, 1000.0])
TAUS = np.array([0.05, 0.3, 0.7, 1.0, 1.6, 3.0])
EDGES = np.linspace(0, 30, 31)
STACKS = (
    ("Pb", "LAr", 0.2, 0.4),
    ("W", "Si", 0.14, 0.03),
    ("PbWO4", "LAr", 0.23, 0.57),
    ("Fe", "polystyrene", 0.5, 0.3),
)


def everything(medium, energy):
    """All formulas at one energy as one vector."""
    mean, moments = mean_profile(medium, energy), profile_moments(medium, energy)
    radial = radial_profile(medium, energy, jnp.asarray(TAUS, energy.dtype))
    contained = jnp.diff(mean.contained(jnp.asarray(EDGES, energy.dtype)))
    spots = spot_profile(medium, mean)
    number = spot_number(medium, energy, 0.2 if medium.sampling else None)
    scalars = [
        mean.depth_of_maximum, mean.shape, moments.mean_log_depth, moments.sigma_log_depth, moments.mean_log_shape,
        moments.sigma_log_shape, moments.correlation, spots.depth_of_maximum, spots.shape, number,
    ]  # fmt: skip
    return jnp.concatenate([jnp.stack(scalars), radial.core, radial.tail, radial.probability, contained])


def oracle(energy, ec, z, fs=None, e=1.0):
    t, a, *moments = gflash.longitudinal(energy, ec, z, fs, e)
    spots = (t * (0.698 + 0.00212 * z), a * (0.639 + 0.00334 * z), 93 * np.log(z) * energy**0.876)
    if fs is not None:
        spots = (t * (0.813 + 0.0019 * z), a * (0.844 + 0.0026 * z), 10.3 / 0.2 * energy**0.959)
    rows = gflash.radial(energy, z, TAUS, fs, e)
    return np.concatenate([[t, a, *moments, *spots], *rows, gflash.layer_parts(t, a, EDGES)])


tabulate = jax.jit(jax.vmap(jax.vmap(everything, (None, 0)), (0, None)), compiler_options=ONCE)
"""(medium, energy, number)."""


@pytest.fixture(scope="module")
def materials():
    with jax.enable_x64(True):
        media = Mixture(list(MATERIALS), np.eye(len(MATERIALS))).medium("pdg")
        return np.asarray(tabulate(media, jnp.asarray(ENERGIES)))


@pytest.fixture(scope="module")
def stacks():
    """`STACKS`, and W/Si with the critical energies of the PDG."""
    with jax.enable_x64(True):
        layers = [Layers(a, np.full(3, d_a), p, np.full(3, d_p)) for p, a, d_p, d_a in STACKS]
        layers.append(Layers("Si", np.full(3, 0.03), "W", np.full(3, 0.14), critical_energy="pdg"))
        media = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(one.medium for one in layers))
        return np.array(tabulate(media, jnp.asarray(ENERGIES)))


def test_all_materials(materials):
    for row, name in zip(materials, MATERIALS, strict=True):
        for one, energy in zip(row, ENERGIES, strict=True):
            want = oracle(energy, MATERIALS[name].critical_energy, MATERIALS[name].z)
            # Below ln y ≈ 3 polystyrene's and PVT's widths and shapes meet the bounds, on purpose.
            if 1000 * energy / MATERIALS[name].critical_energy > 20:
                np.testing.assert_allclose(one, want, rtol=1e-6, atol=1e-9, err_msg=f"{name} {energy}")
            else:
                assert name in ("polystyrene", "PVT")
                assert np.all(np.isfinite(one))


def test_all_stacks(stacks):
    for row, (p, a, d_p, d_a) in zip(stacks.copy()[: len(STACKS)], STACKS, strict=True):
        parts = MATERIALS[p], MATERIALS[a]
        s = gflash.stack(parts, (d_p, d_a), [gflash.paper_ec(m.z, m.a, m.radiation_length) for m in parts])
        for one, energy in zip(row, ENERGIES, strict=True):
            want = oracle(energy, s["ec"], s["z"], s["fs"], s["e"])
            # The core's part of the formula comes close to 1, or passes it, in iron and polystyrene.
            beyond = 22 + np.flatnonzero(want[22:28] > 0.999)
            assert beyond.size == 0 or p == "Fe"
            assert np.all((one[beyond] > 0.998) & (one[beyond] < 1))
            one[beyond] = want[beyond]
            np.testing.assert_allclose(one, want, rtol=1e-6, atol=1e-9, err_msg=f"{p}/{a} {energy}")


def test_values_of_the_note(materials, stacks):
    """Our notes' test values, with the PDG critical energies."""
    pb = (6.346815, 3.963884, 1.855175, 0.130241, 1.460561, 0.178058, 0.539289, 3080.338, 0.117403, 0.638536, 0.880119)
    ws = (5.850557, 3.759017, 1.769062, 0.156770, 1.409244, 0.208707, 0.620630, 0.120908, 0.570030, 0.905208)
    ten = list(ENERGIES).index(10)
    one, two = materials[list(MATERIALS).index("Pb"), ten], stacks[-1, ten]
    inside = one[28 : 28 + 25].sum()  # X₀ by X₀
    np.testing.assert_allclose(one[[0, 1, 2, 3, 4, 5, 6, 9, 13, 19, 25]], pb, rtol=2e-7, atol=6e-7)
    np.testing.assert_allclose(two[[0, 1, 2, 3, 4, 5, 6, 13, 19, 25]], ws, rtol=2e-7, atol=6e-7)
    assert inside == pytest.approx(0.997192, abs=6e-7)


def test_incomplete_gamma_and_its_derivatives():
    x = np.concatenate([[-1.0, 0.0], np.geomspace(1e-6, 120, 200)])
    shapes = np.array([1.02, 1.5, 2.7, 5.0, 9.0, 14.0])
    h = 1e-5
    with jax.enable_x64(True):
        f = jax.jit(jax.vmap(lambda a: jax.jvp(lambda s: incomplete_gamma(s, jnp.asarray(x)), (a,), (jnp.ones(()),))))
        value, by_shape = f(jnp.asarray(shapes))
        density = jax.jit(jax.vmap(jax.grad(incomplete_gamma, 1), (None, 0)))(jnp.asarray(2.7), jnp.asarray(x))
    positive, a = np.maximum(x, 0), shapes[:, None]
    np.testing.assert_allclose(value, special.gammainc(a, positive), atol=1e-13)
    difference = (special.gammainc(a + h, positive) - special.gammainc(a - h, positive)) / (2 * h)
    np.testing.assert_allclose(by_shape, difference, atol=1e-8)
    np.testing.assert_allclose(density, stats.gamma.pdf(x, 2.7), atol=1e-13)


def test_gamma_draws_follow_the_distribution():
    """Kolmogorov-Smirnov over shapes from 0.01 to 1e5, and E[dx/da] = 1; false alarms 1e-6 a shape."""
    shapes = np.array([0.01, 0.3, 1.0, 4.0, 40.0, 1e5])
    count = 20_000
    with jax.enable_x64(True):
        uniforms = jax.random.uniform(jax.random.key(3), (len(shapes), count, 7), minval=1e-12)
        given = jnp.broadcast_to(jnp.asarray(shapes)[:, None], uniforms.shape[:2])
        draws, slopes = jax.jit(lambda u, a: jax.jvp(lambda s: gamma_draw(u, s), (a,), (jnp.ones_like(a),)))(
            uniforms, given
        )
    for shape, x, slope in zip(shapes, np.asarray(draws), np.asarray(slopes), strict=True):
        assert stats.kstest(x, lambda v, a=shape: stats.gamma.cdf(v, a)).pvalue > 1e-6, shape
        assert abs(slope.mean() - 1) < 5 * slope.std() / np.sqrt(count), shape


def test_the_quantile_behind_the_gamma_draws():
    """With all boosts at 1 the draw is the quantile of shape + 6."""
    z = np.linspace(-5.7, 5.7, 41)
    draw = jax.jit(gamma_draw)
    with jax.enable_x64(True):
        for shape in (1e-3, 1.0, 10.0, 300.0, 1e6):
            u = jnp.concatenate([jnp.ones((41, 6)), jnp.asarray(special.ndtr(z))[:, None]], axis=1)
            got = np.asarray(draw(u, jnp.full(41, shape)))
            tail = special.ndtr(-np.abs(z))
            a = shape + 6
            want = np.where(z < 0, special.gammaincinv(a, tail), special.gammainccinv(a, tail))
            np.testing.assert_allclose(got, want, rtol=4e-7)


def test_radii_contain_what_they_should():
    """The closed-form inverse of the mixture, its distribution against quadrature, and its derivatives."""
    rng = np.random.default_rng(1)
    core, tail = rng.uniform(0.02, 0.3, 60), rng.uniform(0.2, 3, 60)
    part, v = rng.uniform(0.02, 0.98, 60), rng.uniform(0.001, 0.999, 60)
    v[:2] = 1e-9, 1 - 1e-9

    @jax.jit
    def radius(c, t, p, u):
        return RadialProfile(c, t, p).radius(u)

    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in (core, tail, part, v)]
        r = np.asarray(radius(*arrays))
        inside = np.asarray(RadialProfile(*arrays[:3]).contained(jnp.asarray(r)))
        slopes = jax.jit(jax.vmap(jax.grad(radius, (0, 1, 2, 3))))(*arrays)
    np.testing.assert_allclose(inside, v, rtol=1e-9, atol=1e-15)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    for i in range(5, 15):
        x = 0.5 * r[i] * (nodes + 1)
        density = sum(q * 2 * x * s**2 / (x**2 + s**2) ** 2 for q, s in ((part[i], core[i]), (1 - part[i], tail[i])))
        assert 0.5 * r[i] * np.sum(weights * density) == pytest.approx(v[i], rel=1e-6)
    for k in range(4):
        h = 1e-6
        up, down = [list(arrays) for _ in range(2)]
        with jax.enable_x64(True):
            up[k], down[k] = arrays[k] * (1 + h), arrays[k] * (1 - h)
            difference = (np.asarray(radius(*up)) - np.asarray(radius(*down)))[2:] / (2 * h * np.asarray(arrays[k])[2:])
        np.testing.assert_allclose(np.asarray(slopes[k])[2:], difference, rtol=2e-4, atol=1e-7)


def test_moments_of_single_showers():
    """Means, widths and correlation of (ln T, ln α) over 20,000 showers; false alarms 2e-7 a number."""
    count = 20_000
    with jax.enable_x64(True):
        medium = Layers("Si", np.full(45, 0.03), "W", np.full(45, 0.14)).medium
        moments = profile_moments(medium, jnp.asarray(50.0))
        uniforms = jax.random.uniform(jax.random.key(1), (count, 2), minval=1e-15)
        shower = jax.jit(jax.vmap(lambda u: draw_profile(moments, u)))(uniforms)
        x, y = np.log(np.asarray(shower.depth_of_maximum)), np.log(np.asarray(shower.shape))
        m = {name: float(getattr(moments, name)) for name in moments.__dataclass_fields__}
    for values, mean, sigma in (
        (x, m["mean_log_depth"], m["sigma_log_depth"]),
        (y, m["mean_log_shape"], m["sigma_log_shape"]),
    ):
        assert abs(values.mean() - mean) < 5.2 * sigma / np.sqrt(count)
        assert abs(values.std() - sigma) < 5.2 * sigma / np.sqrt(2 * count)
    rho = m["correlation"]
    assert abs(np.corrcoef(x, y)[0, 1] - rho) < 5.2 * (1 - rho**2) / np.sqrt(count)


def test_bounds_are_smooth_and_finite_everywhere():
    """From 1 MeV to 100 TeV: finite values and slopes, in range, and no jump of the formulas."""

    def numbers(medium, log_energy):
        energy = jnp.exp(log_energy)
        mean, m = mean_profile(medium, energy), profile_moments(medium, energy)
        r = radial_profile(medium, energy, jnp.array([0.0, 1.0, 8.0, 300.0], energy.dtype))
        row = [mean.depth_of_maximum, mean.shape - 1, m.sigma_log_depth, m.sigma_log_shape, 1 - m.correlation]
        return jnp.concatenate([jnp.stack(row), r.core, r.tail, r.probability, 1 - r.probability])

    grid = np.linspace(np.log(1e-3), np.log(1e5), 12_000)
    with jax.enable_x64(True):
        media = [
            Layers("Pb", np.ones(1)).medium,
            Layers("PVT", np.ones(1)).medium,
            Layers("LAr", np.ones(2), "Pb", np.ones(2)).medium,
        ]
        for medium in media:

            def both(x, medium=medium):
                return jax.jvp(lambda y: numbers(medium, y), (x,), (jnp.ones_like(x),))

            value, slope = (np.asarray(a) for a in jax.jit(jax.vmap(both))(jnp.asarray(grid)))
            assert np.all(np.isfinite(value))
            assert np.all(np.isfinite(slope))
            assert np.all(value > 0)
            assert np.all(value[:, 2:4] < 2.0001)
            step = grid[1] - grid[0]
            predicted = value[:-1] + 0.5 * step * (slope[:-1] + slope[1:])
            scale = 1e-4 * (np.abs(value[1:]) + np.abs(step * slope[1:]) + np.abs(step * slope[:-1])) + 1e-5
            assert np.all(np.abs(value[1:] - predicted) < scale)


def test_relative_depth():
    """τ = t/T for a mean profile, and the stated scale for one shower."""
    with jax.enable_x64(True):
        medium = Layers("Pb", np.ones(1)).medium
        mean = mean_profile(medium, jnp.asarray(10.0))
        t = jnp.asarray([-1.0, 0.0, 3.0])
        np.testing.assert_allclose(mean.relative_depth(t), np.maximum(t, 0) / float(mean.depth_of_maximum), rtol=1e-12)
        one = Profile(jnp.asarray(5.0), jnp.asarray(3.0), jnp.log(4.0))
        np.testing.assert_allclose(one.relative_depth(t)[2], 3.0 / (3.0 / (2.0 / 5.0)) * 4 / 3, rtol=1e-12)
