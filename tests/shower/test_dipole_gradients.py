"""Derivatives of expectations of the dipole shower against independent samples; false alarm rate 2e-7 a comparison."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.expectation import derivative, mean
from jaxhep.observables import c_parameter, one_minus_thrust, y23
from jaxhep.shower import DipoleShower
from jaxhep.simulator import generate, with_parameters
from tests.shower.oracles import PULL, check_pull

EVENTS = 2**16
EDGES = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.5])
NAMES = ("one_minus_thrust", "c_parameter", "y23", "multiplicity", "bins")
STEPS = {"alpha_s": 0.08, "scale_factor": 0.2, "cutoff": 0.15}
"""Relative steps: the difference over twice the step is off by about step²/6 of the third derivative, below its
error."""


def observe(event):
    p, mask = event.momenta, event.mask
    tau = one_minus_thrust(p, mask)
    return {
        "one_minus_thrust": tau,
        "c_parameter": c_parameter(p, mask),
        "y23": y23(p, mask),
        "multiplicity": jnp.sum(mask) * 1.0,
        # Indicators: their own derivative is zero, which is all of it where the momenta do not move.
        "bins": ((tau[None] >= EDGES[:-1]) & (tau[None] < EDGES[1:])).astype(tau.dtype),
        "weight": event.weight,
        "overflow": event.overflow,
    }


def base(gradient):
    return DipoleShower(cutoff=3.0, gradient=gradient, capacity=8, trials=24)


@pytest.fixture(scope="module", params=["weight", "pathwise"])
def sample(request):
    """(parameters, seed) → observables and their derivatives in ln of one parameter."""
    shower = base(request.param)
    center = {name: float(getattr(shower, name)) for name in STEPS}

    # One program for the derivatives and for the samples that they are held against.
    @jax.jit
    def moving(values, direction, key):
        def at(t):
            moved = {name: x * jnp.exp(t * direction[name]) for name, x in values.items()}
            simulator = with_parameters(shower, moved)
            return generate(simulator, key, EVENTS, observables=observe, chunk_size=EVENTS)

        return jax.jvp(at, (jnp.zeros(()),), (jnp.ones(()),))

    def gradient(name, seed):
        values, tangents = moving(center, {n: float(n == name) for n in center}, jax.random.key(seed))
        return types.SimpleNamespace(values=values, tangents=tangents)

    def at(name, relative, seed):
        values = center | {name: center[name] * float(np.exp(relative))}
        return moving(values, dict.fromkeys(center, 0.0), jax.random.key(seed))[0]

    return types.SimpleNamespace(gradient=gradient, at=at, kind=request.param)


@pytest.mark.parametrize("name", STEPS)
def test_gradient_of_expectation_is_the_difference_of_independent_samples(sample, name):
    seed = 10 * (1 + list(STEPS).index(name))
    here = sample.gradient(name, seed)
    step = STEPS[name]
    plus, minus = (sample.at(name, sign * step, seed + 2 + sign) for sign in (1, -1))
    weights, slopes = here.values["weight"], here.tangents["weight"]
    assert np.all(np.asarray(weights) == 1)
    assert float(jnp.mean(here.values["overflow"])) < 1e-3
    # Weights have mean 1 at every value of the parameter: their derivative has mean 0.
    check_pull(jnp.mean(slopes), jnp.std(slopes) / np.sqrt(EVENTS), 0.0)
    for observable in NAMES:
        if observable == "bins" and (sample.kind == "pathwise" or name == "cutoff"):
            continue  # where momenta move, an indicator lacks the flux through the edges: `histogram` adds it
        values, tangents = here.values[observable], here.tangents[observable]
        got = derivative(values, tangents, weights, slopes)
        up, down = (mean(s[observable], s["weight"]) for s in (plus, minus))
        difference = (up.value - down.value) / (2 * step)
        error = np.hypot(up.error, down.error) / (2 * step)
        print(f"{sample.kind} ∂/∂ln {name} {observable}: {got.value} ± {got.error}, difference {difference} ± {error}")
        for value, spread, wanted, uncertain in zip(
            *(np.atleast_1d(x) for x in (got.value, got.error, difference, error)), strict=True
        ):
            check_pull(value, spread, wanted, uncertain)
        if name == "alpha_s" and sample.kind == "weight" and observable != "bins":
            # The test has power: a gradient of zero would fail it.
            assert abs(float(got.value)) > PULL * float(np.hypot(got.error, error))


def test_second_derivative_of_the_mean_thrust():
    """∂²⟨1−T⟩/∂(ln α_s)² by nested forward mode against the difference of two independent first derivatives."""
    shower = base("weight")
    observables = {"tau": one_minus_thrust}
    count = 2**17

    def sample(t, key):
        simulator = with_parameters(shower, {"alpha_s": 0.118 * jnp.exp(t)})
        return generate(simulator, key, count, observables=observables, chunk_size=count)

    def first(t, key):
        return jax.jvp(lambda x: sample(x, key), (t,), (jnp.ones(()),))

    @jax.jit
    def second(key):
        (values, _), (_, curvature) = jax.jvp(lambda x: first(x, key), (jnp.zeros(()),), (jnp.ones(()),))
        return values, curvature

    values, curvature = second(jax.random.key(31))
    tau, bend = np.asarray(values["tau"], float), np.asarray(curvature["weight"], float)
    # The derivative of a mean of weights 1: ⟨(f − ⟨f⟩) ∂²w⟩ − 2⟨(f − ⟨f⟩) ∂w⟩⟨∂w⟩, with ⟨∂w⟩ = 0 in expectation.
    terms = (tau - tau.mean()) * bend
    value, error = terms.mean(), terms.std() / np.sqrt(count)
    step = 0.1
    run = jax.jit(first)
    slope = []
    for sign in (1, -1):
        v, d = run(jnp.asarray(sign * step), jax.random.key(33 + sign))
        slope.append(derivative(v["tau"], d["tau"], v["weight"], d["weight"]))
    wanted = (slope[0].value - slope[1].value) / (2 * step)
    uncertain = np.hypot(slope[0].error, slope[1].error) / (2 * step)
    print(f"∂²⟨1−T⟩: {value} ± {error}, difference {wanted} ± {uncertain}")
    check_pull(value, error, wanted, uncertain)
    assert error < 0.1
    # The same by JAX through the estimator itself.
    assert np.all(np.isfinite(bend))
    assert abs(bend.mean()) < PULL * bend.std() / np.sqrt(count)
