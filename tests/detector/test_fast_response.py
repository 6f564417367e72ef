"""The whole-event detector responds as it is set: resolutions, efficiencies, and gradients of expectations against
independent samples. False-alarm rate 2e-7 a comparison."""

import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.detector import lep_like
from jaxhep.expectation import derivative, mean
from jaxhep.simulator import get_parameters, with_parameters
from tests.detector.fast_samples import IDS, Gun, fill, make_event

PULL = 5.2
COUNT = 4096
EVENTS = 2**14


def towers_at_their_centres(pdg_id, energies, columns, step):
    """Particles of PDG number `pdg_id` that point to centres of towers near 90°, far apart in φ."""
    phi = (np.arange(len(energies)) * (columns // 8) + 0.5) * 2 * np.pi / columns
    cot = np.tan(0.5 * step)  # the first row above the middle
    sine = 1 / np.hypot(1, cot)
    direction = np.stack([np.ones(len(phi)), sine * np.cos(phi), sine * np.sin(phi), np.full(len(phi), sine * cot)], 1)
    return make_event(np.asarray(energies)[:, None] * direction, (pdg_id,) * len(energies))


@eqx.filter_jit
def repeat(detector, event, key):
    keys = jax.random.split(key, COUNT)
    return jax.vmap(lambda k: detector(detector.sample_noise(k), event))(keys)


def check_moments(values, expected, width):
    """Mean and standard deviation of samples; errors from the samples themselves."""
    values = np.asarray(values, float)
    square = (values - expected) ** 2
    root = np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - expected) < PULL * values.std(axis=0) / root + 1e-6)
    assert np.all(np.abs(square.mean(axis=0) - width**2) < PULL * square.std(axis=0) / root)


def test_towers_have_the_resolution_that_is_set():
    detector = lep_like(particles=8)
    polar = float(detector.ecal.extent)
    energies = np.array([1.0, 2, 5, 10, 20, 30, 40, 45])
    stated = {"ecal.stochastic": 0.18, "ecal.noise": 0.1, "ecal.constant": 0.01, "hcal.stochastic": 0.85}
    set_up = fill(detector, stated | {"ecal.threshold": 0.0, "hcal.threshold": 0.0, "hcal.noise": 0.2})
    result = repeat(set_up, towers_at_their_centres(22, energies, 400, 2 * polar / 174), jax.random.key(1))
    # Every photon in its own tower: in the slot of that particle, the rest empty.
    ecal = np.asarray(result.history.ecal.energy).reshape(COUNT, 8, 4)
    assert np.all((ecal > 0).sum(axis=2) == 1)
    width = np.sqrt(0.18**2 * energies + 0.1**2 + (0.01 * energies) ** 2)
    check_moments(ecal.sum(axis=2), energies, width)
    result = repeat(set_up, towers_at_their_centres(130, energies, 96, 2 * polar / 42), jax.random.key(2))
    hcal = np.asarray(result.history.hcal.energy).reshape(COUNT, 8, 4).sum(axis=2)
    check_moments(hcal[:, 2:], 0.7 * energies[2:], np.sqrt(0.85**2 * 0.7 * energies[2:] + 0.2**2))
    # A response that is off by 3 % shows as such: no one corrects for it.
    off = repeat(fill(set_up, {"hcal.scale": 0.97}), towers_at_their_centres(130, energies, 96, 2 * polar / 42),
                 jax.random.key(2))  # fmt: skip
    np.testing.assert_allclose(
        off.history.hcal.energy.sum(axis=1), 0.97 * result.history.hcal.energy.sum(axis=1), rtol=1e-4
    )


def test_tracks_have_the_resolution_and_efficiency_that_are_set():
    detector = lep_like(particles=8)
    set_up = fill(
        detector,
        {"multiple_scattering": 0.02, "curvature": 0.001, "sigma_phi": 0.003, "sigma_eta": 0.002, "half_pt": 0.5,
         "steepness": 2.0, "plateau": 0.9},
    )  # fmt: skip
    pt = np.array([0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 45.0])
    eta = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 1.82, 1.9])
    phi = np.linspace(-3, 3, 8)
    ids = (211, -211, 11, -11, 13, -13, 321, -2212)
    momenta = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    result = repeat(set_up, make_event(momenta, ids), jax.random.key(3))
    tracks = result.history.tracks
    found = np.asarray(tracks.mask)
    inside = 0.5 + 0.75 * (edge := np.clip((np.arctanh(0.95) - np.abs(eta)) / 0.05, -1, 1)) - 0.25 * edge**3
    efficiency = 0.9 * (pt / 0.5) ** 2 / (1 + (pt / 0.5) ** 2) * inside
    assert np.all(
        np.abs(found.mean(axis=0) - efficiency) < PULL * np.sqrt(efficiency * (1 - efficiency) / COUNT) + 1e-7
    )
    assert found[:, -1].sum() == 0
    measured = np.asarray(tracks.momenta, float)
    for i in range(7):
        p = measured[found[:, i], i]
        check_moments(np.hypot(p[:, 1], p[:, 2]) / pt[i], 1.0, np.hypot(0.02, 0.001 * pt[i]))
        check_moments(np.arctan2(p[:, 2], p[:, 1]), phi[i], 0.003)
        check_moments(np.arcsinh(p[:, 3] / np.hypot(p[:, 1], p[:, 2])), eta[i], 0.002)
    np.testing.assert_array_equal(np.max(np.abs(tracks.pdg_id), axis=0), [211, 211, 11, 11, 13, 13, 211, 0])
    np.testing.assert_array_equal(np.sign(np.sum(tracks.pdg_id, axis=0)), [1, -1, 1, -1, 1, -1, 1, 0])
    np.testing.assert_array_equal(np.sign(np.sum(tracks.charge, axis=0)), [1, -1, -1, 1, -1, 1, 1, 0])


# Parameter, relative step: the difference over twice the step is off by about step²/6 of the third derivative.
STEPS = {
    "plateau": 0.06, "half_pt": 0.15, "eta_max": 0.06, "curvature": 0.15, "field": 0.1,
    "ecal.threshold": 0.15, "hcal.stochastic": 0.15, "hcal.scale": 0.06, "hcal.extent": 0.06,
    "ecal_fraction": 0.06,
}  # fmt: skip
NAMES = ("visible", "missing_energy_resolution", "tracks", "momentum_resolution", "hcal", "curled_up")


def make_sample():
    """Soft particles, so that loopers, the turn-on and the thresholds matter; (parameter, seed) → observables."""
    gun = Gun(mean=1.5, floor=0.3, reach=0.99)
    # Wide sharing: the derivative in the field has a variance like 1/spread.
    detector = fill(
        lep_like(particles=len(IDS), spread=0.5),
        {"plateau": 0.85, "half_pt": 0.4, "steepness": 2.0, "curvature": 0.05, "hcal.extent": 1.2, "field": 1.5,
         "ecal.threshold": 0.3, "eta_max": 1.0, "ecal_fraction": 0.5},
    )  # fmt: skip
    center = {name: get_parameters(detector)[name] for name in STEPS}
    seen = jnp.asarray([i != 12 for i in IDS])

    def observe(simulator, key):
        first, second = jax.random.split(key)
        truth = gun(gun.sample_noise(first))
        event = simulator(simulator.sample_noise(second), truth)
        found = event.history
        size = jnp.linalg.norm(truth.momenta[:, 1:3], axis=1)
        measured = jnp.linalg.norm(jnp.where(found.tracks.mask[:, None], found.tracks.momenta[:, 1:3], 1.0), axis=1)
        wrong = found.missing[:2] + jnp.sum(jnp.where(seen[:, None], truth.momenta[:, 1:3], 0), axis=0)
        return {
            "visible": found.visible_energy - jnp.sum(jnp.where(seen, truth.momenta[:, 0], 0)),
            "missing_energy_resolution": jnp.sum(wrong**2),
            "tracks": jnp.sum(found.tracks.mask) * 1.0,
            "momentum_resolution": jnp.sum(jnp.where(found.tracks.mask, (measured / size - 1) ** 2, 0)),
            "hcal": jnp.sum(found.hcal.energy),
            "curled_up": jnp.sum((1 - found.tracks.reaches) * truth.momenta[:, 0]),
            "weight": event.weight,
        }

    @jax.jit
    def moving(direction, shift, key):
        def at(t):
            values = {n: x * jnp.exp(t * direction[n] + shift[n]) for n, x in center.items()}
            simulator = with_parameters(detector, values)
            return jax.vmap(lambda k: observe(simulator, k))(jax.random.split(key, EVENTS))

        return jax.jvp(at, (jnp.zeros(()),), (jnp.ones(()),))

    zero = dict.fromkeys(STEPS, 0.0)
    return types.SimpleNamespace(
        gradient=lambda name, seed: moving(zero | {name: 1.0}, zero, jax.random.key(seed)),
        at=lambda name, step, seed: moving(zero, zero | {name: step}, jax.random.key(seed))[0],
    )


@pytest.fixture(scope="module")
def sample():
    return make_sample()


# Which observables a parameter must move by more than the errors: the test has power there.
POWER = {
    "plateau": ("tracks",), "half_pt": ("tracks",), "eta_max": ("tracks",), "curvature": ("momentum_resolution",),
    "field": ("curled_up",), "ecal.threshold": ("visible",),
    "hcal.scale": ("hcal", "visible"), "ecal_fraction": ("hcal",),
    "hcal.stochastic": ("missing_energy_resolution",),
}  # fmt: skip


# The others are in the table of docs/detector.md (tests/detector/gradient_table.py); here, one of each kind.
TESTED = ("plateau", "eta_max", "curvature", "field", "ecal.threshold", "hcal.extent")


@pytest.mark.parametrize("name", TESTED)
def test_gradient_of_expectation_is_the_difference_of_independent_samples(sample, name):
    seed = 100 + 10 * list(STEPS).index(name)
    values, tangents = sample.gradient(name, seed)
    step = STEPS[name]
    plus, minus = (sample.at(name, sign * step, seed + 2 + sign) for sign in (1, -1))
    assert np.all(np.asarray(values["weight"]) == 1)
    for observable in NAMES:
        got = derivative(values[observable], tangents[observable], values["weight"], tangents["weight"])
        up, down = (mean(s[observable], s["weight"]) for s in (plus, minus))
        difference = float(up.value - down.value) / (2 * step)
        error = float(np.hypot(up.error, down.error)) / (2 * step)
        total = float(np.hypot(got.error, error))
        print(
            f"∂/∂ln {name} {observable}: {got.value:.4f} ± {got.error:.4f}, difference {difference:.4f} ± {error:.4f}"
        )
        assert abs(float(got.value) - difference) < PULL * total
        if observable in POWER.get(name, ()):
            assert abs(float(got.value)) > PULL * total, (name, observable)
