"""The hard process: numbers against independent evaluations, the sampler against the formulae, gradients of
expectations."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from jax.test_util import check_grads

from jaxhep.matrix_elements import ElectroweakQQbar, HardNoise, align_with_quark, rotation_to
from jaxhep.matrix_elements._polar import inverse_polar_cdf, polar_cdf, polar_density
from jaxhep.simulator import AbstractSimulator

FLAVOURS = (1, 2, 3, 4, 5)
PB = 0.3893793721e9
STANDARD: dict[str, Any] = {
    "energy": 91.1876,
    "z_mass": 91.1880,
    "z_width": 2.4955,
    "sin2_theta": 0.23153,
    "alpha": 1 / 128.946,
}


def helicity_cross_section(cosine, flavour, energy, z_mass, z_width, sin2_theta, alpha):
    """dσ/dcosθ in pb from the four helicity amplitudes, each a sum of photon and Z exchange: another route to the
    same number."""
    s = energy**2
    charge, isospin = (2 / 3, 0.5) if flavour in (2, 4) else (-1 / 3, -0.5)
    norm = np.sqrt(sin2_theta * (1 - sin2_theta))
    left = {"e": (-0.5 + sin2_theta) / norm, "q": (isospin - charge * sin2_theta) / norm}
    right = {"e": sin2_theta / norm, "q": -charge * sin2_theta / norm}
    propagator = s / (s - z_mass**2 + 1j * z_mass * z_width)
    total = 0.0
    for a, electron in enumerate((left, right)):
        for b, quark in enumerate((left, right)):
            amplitude = -charge + electron["e"] * quark["q"] * propagator
            total = total + np.abs(amplitude) ** 2 * ((1 + cosine) ** 2 if a == b else (1 - cosine) ** 2)
    return PB * 3 * np.pi * alpha**2 / (8 * s) * total


@pytest.fixture(scope="module")
def sample():
    """80 000 events at the Z (float32), as NumPy arrays, with the process that made them."""
    process = ElectroweakQQbar(**STANDARD)
    keys = jax.random.split(jax.random.key(2), 80_000)
    events = jax.jit(jax.vmap(lambda key: process(process.sample_noise(key))))(keys)
    return process, jax.tree.map(np.asarray, events)


@pytest.mark.parametrize("energy", [5.0, 35.0, 80.0, 89.4, 91.188, 93.0, 200.0, 1000.0])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_differential_cross_section_equals_helicity_amplitudes(energy, flavour):
    cosine = np.linspace(-1, 1, 11)
    with jax.enable_x64(True):
        got = ElectroweakQQbar(**STANDARD).differential_cross_section(cosine, energy, flavour)
    want = helicity_cross_section(cosine, flavour, **{**STANDARD, "energy": energy})
    np.testing.assert_allclose(got, want, rtol=1e-11)


@pytest.mark.parametrize("energy", [30.0, 91.188, 170.0])
def test_cross_section_and_asymmetry_are_integrals_of_the_differential_one(energy):
    with jax.enable_x64(True):
        process = ElectroweakQQbar(**STANDARD)
        for flavour in (*FLAVOURS, None):
            forward, backward = (
                scipy.integrate.quad(
                    lambda c, f=flavour: float(process.differential_cross_section(c, energy, f)), *ends
                )[0]
                for ends in ((0, 1), (-1, 0))
            )
            assert float(process.cross_section(energy, flavour)) == pytest.approx(forward + backward, rel=1e-11)
            asymmetry = (forward - backward) / (forward + backward)
            assert float(process.forward_backward_asymmetry(energy, flavour)) == pytest.approx(
                asymmetry, rel=1e-10, abs=1e-12
            )
        total = sum(float(process.cross_section(energy, f)) for f in FLAVOURS)
        assert float(process.cross_section(energy)) == pytest.approx(total, rel=1e-12)


def test_photon_exchange_at_low_energy():
    """R → 3ΣQ²: 11/3 for five flavours, 2 for u, d, s; the Z brings corrections of order s/m_Z²."""
    with jax.enable_x64(True):
        process = ElectroweakQQbar(**STANDARD)
        assert float(process.r_ratio(1.0)) == pytest.approx(11 / 3, rel=1e-4)
        assert float(ElectroweakQQbar(flavours=(1, 2, 3)).r_ratio(1.0)) == pytest.approx(2.0, rel=1e-4)
        pointlike = 4 * np.pi * STANDARD["alpha"] ** 2 / 3 * PB
        assert float(process.cross_section(1.0, 4)) == pytest.approx(pointlike * 3 * 4 / 9, rel=1e-4)
        assert abs(float(process.forward_backward_asymmetry(1.0, 5))) < 1e-3


def test_published_numbers_at_the_pole():
    """Measured at LEP and SLC (hep-ex/0509008): R_b = 0.21629, R_c = 0.1721, A_FB^b = 0.0992, A_FB^c = 0.0707, σ_had
    = 41.540 nb.

    Tolerances: what the tree level leaves out. R_b: −2 % (top loops, mass); R_c: the rest of the sum; A_FB: known
    2.8σ (b), QCD 3 %;
    σ_had: 1 + α_s/π + … = 1.039 is applied here, 1.5 % for the rest.
    """
    process = ElectroweakQQbar(**STANDARD)
    probability = dict(zip(FLAVOURS, np.asarray(process.flavour_probabilities(91.188)), strict=True))
    assert probability[5] == pytest.approx(0.21629, rel=0.02)
    assert probability[5] == pytest.approx(0.2196, abs=2e-4)  # massless tree level
    assert probability[4] == pytest.approx(0.1721, rel=0.015)
    assert float(process.forward_backward_asymmetry(91.188, 5)) == pytest.approx(0.0992, rel=0.05)
    assert float(process.forward_backward_asymmetry(91.188, 4)) == pytest.approx(0.0707, rel=0.05)
    assert float(process.cross_section(91.188)) * 1.039 == pytest.approx(41_540, rel=0.015)


def test_peak_cross_section_equals_breit_wigner_of_partial_widths():
    """σ_f at s = m_Z² without the photon: 12π Γ_ee Γ_ff/(m_Z² Γ_Z²), Γ_ff = N_c α m_Z (v²+a²)/(12 sin²θ cos²θ)."""
    sin2, mass, width, alpha = (STANDARD[k] for k in ("sin2_theta", "z_mass", "z_width", "alpha"))

    def partial(charge, isospin, colours):
        vector = isospin - 2 * charge * sin2
        return colours * alpha * mass * (vector**2 + isospin**2) / (12 * sin2 * (1 - sin2))

    electron = partial(-1, -0.5, 1)
    with jax.enable_x64(True):
        process = ElectroweakQQbar(**STANDARD)
        for flavour, charge, isospin in ((2, 2 / 3, 0.5), (5, -1 / 3, -0.5)):
            peak = PB * 12 * np.pi * electron * partial(charge, isospin, 3) / (mass * width) ** 2
            photon = PB * 4 * np.pi * alpha**2 * charge**2 / mass**2  # interference vanishes exactly at the pole
            assert float(process.cross_section(mass, flavour)) == pytest.approx(peak + photon, rel=1e-12)


@pytest.mark.parametrize("name", list(STANDARD))
def test_parameter_derivatives_equal_differences_of_the_oracle(name):
    with jax.enable_x64(True):
        values = {**STANDARD, "energy": 90.0}

        def cross_section(value):
            return ElectroweakQQbar(**{**values, name: value}).differential_cross_section(0.4, flavour=4)

        forward, reverse = (
            jax.jit(jax.jacfwd(cross_section))(values[name]),
            jax.jit(jax.grad(cross_section))(values[name]),
        )
    step = 1e-5 * values[name]
    up, down = (helicity_cross_section(0.4, 4, **{**values, name: values[name] + h}) for h in (step, -step))
    assert float(forward) == pytest.approx((up - down) / (2 * step), rel=2e-6)
    assert float(reverse) == pytest.approx(float(forward), rel=1e-12)


def test_polar_quantile_inverts_the_distribution():
    uniform = np.linspace(0, 1, 101)
    for precision in ("float64", "float32"):
        tolerance = 16 * float(np.finfo(precision).eps)  # some ten roundings of numbers of order one, on both ways
        with jax.enable_x64(precision == "float64"):
            for asymmetry in (-1.0, -0.99, -0.14, 0.0, 0.5, 1.0):
                u = jnp.asarray(uniform, precision)
                b = jnp.full_like(u, asymmetry)
                cosine = inverse_polar_cdf(u, b)
                assert cosine.dtype == precision
                assert np.all(np.abs(cosine) <= 1)
                assert np.all(np.diff(cosine) >= 0)
                np.testing.assert_allclose(polar_cdf(cosine, b), uniform, rtol=0, atol=tolerance)


def test_polar_quantile_derivatives():
    """First and second derivative against differences, forward and reverse; finite at the corners |b| = 1, u = 0, 1."""

    def quantile(u, b):  # check_grads hands over NumPy scalars, the function wants JAX arrays
        return inverse_polar_cdf(jnp.asarray(u), jnp.asarray(b))

    with jax.enable_x64(True):
        for u, b in ((0.05, 0.14), (0.5, -0.3), (0.93, 0.9)):
            check_grads(quantile, (u, b), order=2, atol=1e-6, rtol=1e-6)
            slope = jax.grad(quantile)(u, b)
            assert float(
                slope * polar_density(inverse_polar_cdf(jnp.asarray(u), jnp.asarray(b)), jnp.asarray(b))
            ) == pytest.approx(1)
        for u in (0.0, 1.0):
            for b in (-1.0, 0.0, 1.0):
                assert np.isfinite(jax.grad(quantile, 1)(u, b))


def test_sampled_flavours_follow_the_cross_sections(sample):
    """χ² with 4 degrees of freedom, false-alarm rate 1e-7."""
    process, events = sample
    counts = np.array([np.sum(events.pdg_id[:, 0] == f) for f in FLAVOURS])
    expected = np.asarray(process.flavour_probabilities(), float) * counts.sum()
    assert counts.sum() == len(events.weight)
    assert scipy.stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), 4) > 1e-7
    np.testing.assert_array_equal(events.pdg_id[:, 1], -events.pdg_id[:, 0])
    np.testing.assert_array_equal(events.weight, 1.0)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_sampled_angles_follow_the_differential_cross_section(sample, flavour):
    """Kolmogorov–Smirnov at 1e-8 per flavour and angle, the distribution from integrating the helicity amplitudes."""
    _, events = sample
    quark = events.momenta[events.pdg_id[:, 0] == flavour, 0].astype(float)
    grid = np.linspace(-1, 1, 2001)
    cumulative = scipy.integrate.cumulative_simpson(
        helicity_cross_section(grid, flavour, **STANDARD), x=grid, initial=0
    )
    result = scipy.stats.kstest(quark[:, 3] / quark[:, 0], lambda c: np.interp(c, grid, cumulative / cumulative[-1]))
    assert result.pvalue > 1e-8
    azimuth = np.arctan2(quark[:, 2], quark[:, 1]) / (2 * np.pi) % 1
    assert scipy.stats.kstest(azimuth, "uniform").pvalue > 1e-8


def test_momentum_is_conserved_and_quarks_are_massless(sample):
    process, events = sample
    energy = float(process.energy)
    total = events.momenta.sum(axis=1)
    np.testing.assert_allclose(total[:, 0], energy, rtol=1e-6)
    np.testing.assert_array_equal(total[:, 1:], 0.0)
    mass2 = events.momenta[..., 0] ** 2 - np.sum(events.momenta[..., 1:] ** 2, axis=-1)
    np.testing.assert_allclose(mass2 / energy**2, 0, atol=1e-6)
    assert events.mask.all()
    assert not events.overflow.any()
    with jax.enable_x64(True):
        double = ElectroweakQQbar(energy=200.0)
        momenta = np.asarray(double(double.sample_noise(jax.random.key(4))).momenta)
    assert momenta.dtype == np.float64
    np.testing.assert_allclose(momenta.sum(axis=0), [200, 0, 0, 0], atol=1e-11)
    np.testing.assert_allclose(momenta[:, 0] ** 2 - np.sum(momenta[:, 1:] ** 2, axis=-1), 0, atol=200**2 * 1e-14)


@pytest.mark.parametrize("parameter", ["energy", "sin2_theta"])
def test_gradients_of_expectations_equal_the_closed_form(parameter):
    """⟨cosθ⟩ and the flavour fractions: d/dθ of mean(weight·f) within 5.5σ of the derivative of the formula (false
    alarm 8e-8 in all)."""
    values = {**STANDARD, "energy": 89.0}
    at = jnp.float32(values[parameter])
    process = ElectroweakQQbar(**values)
    noise = jax.vmap(process.sample_noise)(jax.random.split(jax.random.key(9), 60_000))

    def weighted(value, u):
        event = ElectroweakQQbar(**{**values, parameter: value})(u)
        is_up = (event.pdg_id[0] % 2 == 0).astype(event.weight.dtype)
        return event.weight * jnp.stack([event.momenta[0, 3] / event.momenta[0, 0], is_up])

    def exact(value):
        made = ElectroweakQQbar(**{**values, parameter: value})
        probability = made.flavour_probabilities()
        return jnp.stack([made.forward_backward_asymmetry() * 2 / 3, probability[1] + probability[3]])

    slopes = np.asarray(jax.jit(jax.vmap(jax.jacfwd(weighted), (None, 0)))(at, noise), float)
    with jax.enable_x64(True):
        want = np.asarray(jax.jacfwd(exact)(jnp.asarray(values[parameter])))
    error = slopes.std(axis=0) / np.sqrt(len(slopes))
    assert np.all(np.abs(slopes.mean(axis=0) - want) < 5.5 * error), (slopes.mean(axis=0), want, error)
    # The test can see something: the derivative stands well out of its error.
    assert np.all(np.abs(want) > 8 * error), (want, error)


def test_events_are_reused_at_other_parameters_through_the_reference():
    """With an explicit reference the choices stay those of the reference and the weight is the exact ratio."""
    made, other = ElectroweakQQbar(**STANDARD), ElectroweakQQbar(**{**STANDARD, "energy": 60.0})
    noise = jax.vmap(made.sample_noise)(jax.random.split(jax.random.key(1), 200))
    first, moved = jax.vmap(made)(noise), jax.vmap(lambda u: other(u, reference=made))(noise)
    np.testing.assert_array_equal(first.pdg_id, moved.pdg_id)
    ratio = np.asarray(other.flavour_probabilities() / made.flavour_probabilities())
    np.testing.assert_allclose(moved.weight, ratio[np.asarray(first.pdg_id[:, 0]) - 1], rtol=1e-5)
    assert np.unique(np.asarray(first.pdg_id[:, 0])).size == 5


def test_second_derivative_of_the_weight_gives_that_of_the_fractions():
    """Σ_f over noise on a fine flavour grid: d²p_up/dE² from weights against the closed form."""
    with jax.enable_x64(True):
        grid = (np.arange(20_000) + 0.5) / 20_000
        values = {**STANDARD, "energy": 89.0}

        def fraction(energy):
            process = ElectroweakQQbar(**{**values, "energy": energy})

            def one(u):
                event = process(HardNoise(u, jnp.asarray(0.3), jnp.asarray(0.2)))
                return event.weight * (event.pdg_id[0] % 2 == 0)

            return jnp.mean(jax.vmap(one)(jnp.asarray(grid)))

        def exact(energy):
            return jnp.sum(
                ElectroweakQQbar(**{**values, "energy": energy}).flavour_probabilities()[jnp.asarray([1, 3])]
            )

        got, want = (jax.jit(jax.jacfwd(jax.jacfwd(f)))(89.0) for f in (fraction, exact))
    assert float(got) == pytest.approx(float(want), rel=2e-3)  # the grid of 20 000 places
    assert abs(float(want)) > 1e-4


def test_rotation_takes_z_to_the_quark():
    with jax.enable_x64(True):
        process = ElectroweakQQbar()
        for seed in range(20):
            momentum = process(process.sample_noise(jax.random.key(seed))).momenta[0]
            rotation = np.asarray(rotation_to(momentum))
            np.testing.assert_allclose(rotation @ [0, 0, 1], momentum[1:] / momentum[0], atol=1e-14)
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
            assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("momentum", [[1.0, 0, 0, 1], [1.0, 0, 0, -1], [1.0, 0, 0, 0], [1.0, 1, 0, 0]])
def test_rotation_is_proper_with_finite_derivatives_on_the_axes(momentum):
    with jax.enable_x64(True):
        p = jnp.asarray(momentum)
        rotation = np.asarray(rotation_to(p))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-15)
        assert np.linalg.det(rotation) == pytest.approx(1)
        if np.any(np.asarray(momentum[1:]) != 0):
            np.testing.assert_allclose(rotation[:, 2], momentum[1:], atol=1e-15)
        for jacobian in (jax.jacfwd(rotation_to)(p), jax.jacrev(rotation_to)(p)):
            assert np.all(np.isfinite(jacobian))


def test_aligning_keeps_all_scalar_products():
    with jax.enable_x64(True):
        process = ElectroweakQQbar(energy=91.0)
        hard = process(process.sample_noise(jax.random.key(5)))
        momenta = np.random.default_rng(3).normal(size=(2, 4))
        turned = np.asarray(
            align_with_quark(eqx.tree_at(lambda e: e.momenta, hard, jnp.asarray(momenta)), hard).momenta
        )
        metric = np.diag([1.0, -1, -1, -1])
        np.testing.assert_allclose(turned @ metric @ turned.T, momenta @ metric @ momenta.T, atol=1e-13)
        assert not np.allclose(turned, momenta)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"energy": 0.0}, "energy"),
        ({"energy": -91.0}, "energy"),
        ({"energy": float("nan")}, "energy"),
        ({"z_width": 0.0}, "z_width"),
        ({"sin2_theta": 1.0}, "sin2_theta"),
        ({"alpha": -1.0}, "alpha"),
        ({"flavours": ()}, "flavours"),
        ({"flavours": (1, 1)}, "flavours"),
        ({"flavours": (6,)}, "flavours"),
    ],
)
def test_bad_input_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        ElectroweakQQbar(**arguments)


class _Other(AbstractSimulator):
    """A simulator of another kind."""

    def sample_noise(self, key, dtype=None):
        return key

    def __call__(self, noise, event=None, *, reference=None):
        raise AssertionError("never called")


def test_bad_calls_are_refused():
    process = ElectroweakQQbar(flavours=(1, 2, 3))
    noise = process.sample_noise(jax.random.key(0))
    with pytest.raises(ValueError, match="flavour 5"):
        process.cross_section(flavour=5)
    with pytest.raises(ValueError, match="first in the chain"):
        process(noise, process(noise))
    with pytest.raises(TypeError, match="ElectroweakQQbar"):
        process(noise, reference=_Other())
    with pytest.raises(ValueError, match="must agree"):
        process(noise, reference=ElectroweakQQbar())
