"""Derivatives of expectations with respect to ln Λ against independent samples; false alarm rate 2e-7 a comparison."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.expectation import derivative, mean
from jaxhep.matrix_elements import ElectroweakQQbar
from jaxhep.observables import thrust
from jaxhep.shower import DiscreteQCD
from jaxhep.simulator import Chain, generate, with_parameters
from tests.shower.oracles import ENERGY, PULL, check_pull

EVENTS = 2**16
SCALE = 0.2
N_CHANGES = 0.3727
"""Λ in GeV where the lattice's N goes from 3 to 2."""
METRIC = jnp.array([1.0, -1, -1, -1])
NAMES = ("one_minus_thrust", "multiplicity", "c_parameter", "log_kt")


def c_parameter(event):
    """C = 3 − (3/2) Σ_ab (p_a·p_b)²/(E_a E_b)/Q², the covariant form for massless partons, coded here once more."""
    p = event.momenta
    gram = jnp.sum(p[:, None] * p[None, :] * METRIC, axis=-1)
    energy = jnp.where(event.mask, p[:, 0], 1)
    total = jnp.sum(jnp.where(event.mask, p[:, 0], 0))
    terms = gram / energy[:, None] * (gram / energy[None, :]) * (event.mask[:, None] & event.mask[None, :])
    linear = jnp.sum(gram * (event.mask[:, None] & event.mask[None, :]))
    return 3 * (linear - jnp.sum(terms) / 2) / total**2


def observe(event):
    some = event.history.mask[0]
    return {
        "one_minus_thrust": 1 - thrust(event.momenta, event.mask),
        "multiplicity": jnp.sum(event.mask) - 2.0,
        "c_parameter": c_parameter(event),
        # Hardest k⊥; an event without a gluon counts as zero.
        "log_kt": jnp.where(some, jnp.log(jnp.where(some, event.history.kt[0], 1)), 0),
        "weight": event.weight,
        "balance": jnp.max(jnp.abs(jnp.sum(event.momenta, axis=0) - jnp.array([ENERGY, 0, 0, 0]))),
        "mass": jnp.max(jnp.abs(jnp.sum(event.momenta**2 * METRIC, axis=-1))),
    }


@pytest.fixture(scope="module")
def sample():
    """(ln Λ, ln Λ_ref, seed) → observables and their derivatives; one compilation for the whole file."""
    # Seven gluons suffice: what is compared is one program with itself, and the cut keeps the compilation short.
    shower = DiscreteQCD(lambda_qcd=SCALE, lambda_range=(0.15, 0.4), capacity=7)

    @jax.jit
    def run(log_lambda, log_reference, key):
        reference = with_parameters(shower, {"lambda_qcd": jnp.exp(log_reference)})

        def one(key):
            noise = shower.sample_noise(key)

            def at(t):
                return observe(with_parameters(shower, {"lambda_qcd": jnp.exp(t)})(noise, reference=reference))

            return jax.jvp(at, (log_lambda,), (jnp.ones(()),))

        return jax.lax.map(one, jax.random.split(key, EVENTS), batch_size=2048)

    cache = {}

    def call(scale, reference, seed):
        if (scale, reference, seed) not in cache:
            values, tangents = run(*(jnp.log(jnp.asarray(x)) for x in (scale, reference)), jax.random.key(seed))
            cache[scale, reference, seed] = types.SimpleNamespace(values=values, tangents=tangents)
        return cache[scale, reference, seed]

    return call


def averages(sample, name):
    return mean(sample.values[name], sample.values["weight"])


def test_float32_kinematics(sample):
    values = sample(SCALE, SCALE, 1).values
    # Seven branchings in float32 round by about 1e-7 √s each.
    assert float(jnp.max(values["balance"])) < 2e-6 * ENERGY
    assert float(jnp.max(values["mass"])) < 2e-6 * ENERGY**2
    assert np.all(np.asarray(values["weight"]) == 1)


@pytest.mark.parametrize("scale", [SCALE, N_CHANGES])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_expectation_is_the_difference_of_independent_samples(sample, name, scale):
    """Also at the Λ where the lattice's N changes, with the difference taken across it."""
    here, step = sample(scale, scale, 1), 0.15
    up, down = scale * np.exp(step), scale * np.exp(-step)
    plus, minus = (averages(sample(x, x, seed), name) for x, seed in ((up, 2), (down, 3)))
    values, tangents = here.values, here.tangents
    gradient = derivative(values[name], tangents[name], values["weight"], tangents["weight"])
    difference = (plus.value - minus.value) / (2 * step)
    error = np.hypot(plus.error, minus.error) / (2 * step)
    check_pull(gradient.value, gradient.error, difference, error)
    # The same number out of `mean`, whose derivative is taken by JAX.
    primal, tangent = jax.jvp(
        lambda f, w: mean(f, w).value, (values[name], values["weight"]), (tangents[name], tangents["weight"])
    )
    np.testing.assert_allclose(tangent, gradient.value, rtol=2e-3, atol=2e-4 * abs(float(primal)))
    # The test has power: a gradient of zero would fail it.
    assert abs(float(gradient.value)) > PULL * float(np.hypot(gradient.error, error))


def test_pathwise_derivative_alone_is_not_enough(sample):
    """Dropping the score of the discrete choices would fail the test above: multiplicity has nothing else."""
    here = sample(SCALE, SCALE, 1)
    assert np.all(np.asarray(here.tangents["multiplicity"]) == 0)
    score = np.asarray(here.tangents["weight"])
    assert abs(np.mean(score)) < PULL * np.std(score) / np.sqrt(EVENTS)
    assert np.std(score) > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_moved_sample_agrees_with_a_regenerated_one(sample, name):
    target = SCALE * 1.1
    moved, base, fresh = sample(target, SCALE, 1), sample(SCALE, SCALE, 1), sample(target, target, 4)
    a, b, c = (averages(x, name) for x in (moved, fresh, base))
    check_pull(a.value, a.error, b.value, b.error)
    # The shift from paired events, against the shift from two independent samples of the same size.
    w, f, f0 = (np.asarray(x, float) for x in (moved.values["weight"], moved.values[name], base.values[name]))
    paired = np.var(w * (f - f.mean()) - (f0 - f0.mean()) + (f.mean() - f0.mean()))
    independent = EVENTS * (float(b.error) ** 2 + float(c.error) ** 2)
    ratio = independent / paired
    print(f"variance ratio of the shift, {name}: {ratio:.0f}")
    assert ratio > 10


def test_derivatives_at_a_moved_point(sample):
    """The derivative of a moved sample is that of the expectation at the target."""
    target = SCALE * 1.1
    moved, fresh = sample(target, SCALE, 1), sample(target, target, 4)
    for name in NAMES:
        a, b = (
            derivative(x.values[name], x.tangents[name], x.values["weight"], x.tangents["weight"])
            for x in (moved, fresh)
        )
        # `derivative` takes the mean of w as fixed; with w ≠ 1 its centre moves by O(1/√N) of the score only.
        check_pull(a.value, a.error, b.value, b.error)


def test_chain_with_the_hard_process_and_the_matrix_element():
    energy = 100.0
    hard = ElectroweakQQbar(energy=energy)
    shower = DiscreteQCD(energy=energy, lambda_qcd=1.0, matrix_element=True, capacity=2)
    chain = Chain(hard, shower)
    events = generate(chain, jax.random.key(5), 2048, chunk_size=2048)
    p, mask = np.asarray(events.momenta, float), np.asarray(events.mask)
    np.testing.assert_allclose(p.sum(axis=1), np.tile([energy, 0, 0, 0], (2048, 1)), atol=1e-4 * energy)
    flavour = np.asarray(events.pdg_id[:, 0])
    np.testing.assert_array_equal(events.pdg_id[:, 1], -flavour)
    assert set(np.unique(flavour)) == {1, 2, 3, 4, 5}
    gluons = mask.sum(axis=1) - 2
    one = gluons == 1
    x1, x3 = 2 * p[one, 0, 0] / energy, 2 * p[one, 1, 0] / energy
    np.testing.assert_allclose(np.asarray(events.weight)[one], (x1**2 + x3**2) / 2, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(events.weight)[gluons == 0], 1)
    assert np.std(np.asarray(events.weight)[gluons > 1]) > 0.01
    # The first stage is untouched: an event without a gluon is the hard event itself.
    draws = jax.vmap(lambda i: chain.sample_noise(jax.random.fold_in(jax.random.key(5), i)))(jnp.arange(2048))
    first = jax.vmap(hard)(draws[0])
    np.testing.assert_array_equal(first.pdg_id[:, 0], flavour)
    np.testing.assert_allclose(p[gluons == 0][:, :2], np.asarray(first.momenta)[gluons == 0], atol=1e-5 * energy)


def test_weights_of_a_chain_multiply():
    """The mixing angle acts through the weight of the flavour, Λ through that of the gluons."""
    chain = Chain(ElectroweakQQbar(), DiscreteQCD(lambda_qcd=0.5, lambda_range=(0.4, 0.7), capacity=1))
    hard, shower = chain.stages
    noise = chain.sample_noise(jax.random.key(6))
    moved = with_parameters(chain, {"sin2_theta": 0.25, "lambda_qcd": 0.6})

    @jax.jit
    def run(noise):
        first = moved.stages[0](noise[0], reference=hard)
        return moved(noise, reference=chain), first, moved.stages[1](noise[1], first, reference=shower)

    both, first, last = run(noise)
    assert float(first.weight) != 1
    # `last` was given the weight of `first` and multiplied it by the gluons' own.
    assert float(last.weight) != float(first.weight)
    np.testing.assert_allclose(both.weight, last.weight, rtol=1e-5)
    np.testing.assert_array_equal(both.pdg_id[:2], first.pdg_id)
