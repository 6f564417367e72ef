"""Laws over every flow: normalisation, draws, gradients, weights; ODE likelihood and coupling against other sources."""

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.densities.bijections import Affine, AffineTransformer, Coupling, SplineTransformer
from jaxhep.densities.flows import (
    PRESETS,
    AugmentedFlow,
    ContinuousFlow,
    DistraxBijection,
    DistraxDensity,
    Flow,
    Normal,
    Uniform,
    autoregressive_flow,
    coupling_flow,
    make_flow,
)
from jaxhep.densities.mixture import Mixture
from jaxhep.densities.preprocessing import Preprocessing, bounded, positive, preprocess
from jaxhep.networks import Network, make_network
from tests.densities.test_bijections import cast, randomised

KEY = jax.random.key(2)
SMALL: dict[str, Any] = {"num_layers": 2, "width": 8, "depth": 1, "key": KEY}
SIZES: dict[str, Any] = {**SMALL, "num_bins": 4, "bound": 3.0}


class Field(eqx.Module):
    """A velocity of order one, smooth in x and time, so that six steps resolve it."""

    network: Network

    def __call__(self, x, condition, time):
        return self.network(jnp.append(x, time), condition)


def field():
    return Field(make_network("mlp", in_size=3, out_size=2, condition_size=1, width=8, depth=1, key=KEY))


def transformed():
    inside = autoregressive_flow(2, 1, transformer="affine", **SMALL)
    events = Preprocessing((bounded(0.0, 1.0, 0.0), positive()), jnp.array([0.3, 0.1]), jnp.array([1.1, 0.4]))
    return preprocess(inside, events)


def mixture():
    return Mixture([autoregressive_flow(2, 1, **SIZES), coupling_flow(2, 1, **SIZES)], [1.0, 3.0])


# Name: (a function that makes it, box for the quadrature, points a side). All are of two columns.
REGISTRY: dict[str, tuple[Callable[[], Any], Any, int]] = {
    "autoregressive spline": (lambda: autoregressive_flow(2, 1, **SIZES), (-5.5, 5.5), 320),
    "coupling spline with LU": (lambda: coupling_flow(2, 1, permutation="lu", **SIZES), (-8, 8), 400),
    "uniform base": (lambda: autoregressive_flow(2, base="uniform", **SIZES), (0, 1), 320),
    "preprocessed affine": (transformed, ((0, 1), (0, 40)), 400),
    "mixture": (mixture, (-8, 8), 400),
    "continuous": (lambda: ContinuousFlow(field(), 2, 1, num_steps=6), (-9, 9), 100),
}
NAMES = list(REGISTRY)
PULL = 5.2  # two-sided false-alarm rate 2e-7


@functools.cache
def get(name):
    with jax.enable_x64(False):
        return randomised(REGISTRY[name][0](), 0.3)


def condition_of(name):
    return jnp.array([0.7], jnp.float32) if get(name).condition_dim else None


@functools.cache
def log_prob_of(name):
    return eqx.filter_jit(lambda model, x, c: jax.vmap(lambda one: model.log_prob(one, c))(x))


@functools.cache
def quadrature(name):
    """Cell centres, the probability of each cell by the midpoint rule."""
    _, box, count = REGISTRY[name]
    boxes = box if isinstance(box[0], tuple) else (box, box)
    axes = [low + (high - low) * (np.arange(count) + 0.5) / count for low, high in boxes]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
    area = np.prod([(high - low) / count for low, high in boxes])
    logs = np.asarray(log_prob_of(name)(get(name), x, condition_of(name)), float)
    return x, np.exp(logs) * area


@functools.cache
def draws(name, count=4000):
    model, c = get(name), condition_of(name)
    noise = jax.vmap(model.sample_noise)(jax.random.split(jax.random.key(4), count))
    run = eqx.filter_jit(lambda model, noise: jax.vmap(lambda u: model.sample_and_log_prob(u, c))(noise))
    x, logs = run(model, noise)
    return np.asarray(x), np.asarray(logs, float)


@pytest.mark.parametrize("name", NAMES)
def test_density_integrates_to_one(name):
    _, probability = quadrature(name)
    assert probability.sum() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_density(name):
    """Log density of the draws themselves, and four expectations against the quadrature at 5.2 σ."""
    model = get(name)
    x, logs = draws(name)
    again = np.asarray(log_prob_of(name)(model, x, condition_of(name)), float)
    # The continuous flow goes back on a grid of its own, with an error of six steps. Elsewhere it is float32: where a
    # spline is steep, the rounding of x by ε moves ln p by ε times its slope, in a few draws of thousands.
    gap = np.abs(again - logs)
    most, nearly_all = (2e-2, 1e-2) if name == "continuous" else (3e-3, 3e-4)
    assert gap.max() < most
    assert np.quantile(gap, 0.99) < nearly_all
    grid, probability = quadrature(name)
    for function in (lambda x: np.cos(x[:, 0]), lambda x: np.cos(2 * x[:, 1]), lambda x: np.sin(x[:, 0] * x[:, 1]),
                     lambda x: np.tanh(x[:, 0] + x[:, 1])):  # fmt: skip
        values = function(x)
        want = probability @ function(grid) / probability.sum()
        assert abs(values.mean() - want) < PULL * values.std() / math.sqrt(len(values)) + 2e-3


@functools.cache
def derivatives(name, dtype):
    """Value and gradients of the weighted loss of four events, one far out and one on a knot."""
    model = cast(get(name), dtype)
    inside = name == "preprocessed affine"
    x = np.array(
        [[0.2, 0.4], [0.5, 0.5], [0.9, 0.1], [0.6, 0.8]] if inside else [[0.2, -0.4], [3, -3], [60, -40], [0, 1]]
    )
    c = jnp.array([[0.1], [-0.2], [0.3], [0.0]], dtype) if model.condition_dim else None
    weights = jnp.array([2.0, 1.0, 3.0, 1.0], dtype)
    arrays, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(arrays, x, c, weights):
        losses = jax.vmap(lambda x, c: eqx.combine(arrays, static).loss(x, c), (0, None if c is None else 0))(x, c)
        return jnp.sum(weights * losses) / jnp.sum(weights), losses

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    return run, arrays, jnp.asarray(x, dtype), c, weights


@pytest.mark.parametrize("name", ["autoregressive spline", "preprocessed affine"])
def test_weighted_events_are_replicated_events(name):
    """Loss and gradient of weights (2, 1, 3, 1) equal those of 2 + 1 + 3 + 1 rows; all of them finite, also far out."""
    with jax.enable_x64(True):
        run, arrays, x, c, weights = derivatives(name, jnp.float64)
        (value, losses), (by_leaf, by_x) = run(arrays, x, c, weights)
        rows = np.repeat(np.arange(4), [2, 1, 3, 1])
        order = np.array([3, 0, 6, 1, 5, 2, 4])  # and in another order
        rows = rows[order]
        (other, others), (others_leaf, _) = run(arrays, x[rows], None if c is None else c[rows], jnp.ones(7))
        assert float(value) == pytest.approx(float(other), rel=1e-12)
        np.testing.assert_allclose(others, losses[rows], rtol=1e-12)  # each event keeps its own condition
        for a, b in zip(jax.tree.leaves(by_leaf), jax.tree.leaves(others_leaf), strict=True):
            assert np.all(np.isfinite(a))
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
        assert np.all(np.isfinite(by_x))


@pytest.mark.parametrize("name", ["autoregressive spline", "preprocessed affine"])
def test_one_eager_event_and_single_precision(name):
    """jit = eager = vmap; the float32–float64 gap of log_prob is below 1e-4 nats near the data."""
    with jax.enable_x64(True):
        run, arrays, x, c, weights = derivatives(name, jnp.float64)
        (_, losses), _ = run(arrays, x, c, weights)
    single = get(name).loss(jnp.asarray(x[0], jnp.float32), jnp.asarray(c[0], jnp.float32))
    assert single.dtype == jnp.float32
    assert float(single) == pytest.approx(float(losses[0]), abs=1e-4)


def test_flows_start_as_their_base():
    x = jnp.array([0.3, 0.6])
    flow = coupling_flow(2, **SIZES)
    np.testing.assert_allclose(flow.bijection.forward(x)[0], x, rtol=1e-5)
    np.testing.assert_allclose(flow.log_prob(x), Normal(2).log_prob(x), rtol=1e-5)


def test_coupling_equals_distrax():
    import distrax

    matrix = np.random.default_rng(0).normal(size=(2, 23)).astype(np.float32)

    def conditioner(kept, c=None):
        return jnp.concatenate([jnp.sin(kept @ matrix), jnp.cos(kept @ matrix)])

    ours = Coupling(4, 0, 2, SplineTransformer(7, -3.0, 3.0, free_ends=True), lambda k, c: conditioner(k)[:44])

    def padded(x):
        return jnp.concatenate([jnp.zeros((2, 22)), conditioner(x[:2])[:44].reshape(2, 22)])

    theirs = distrax.MaskedCoupling(
        jnp.array([True, True, False, False]),
        padded,
        lambda raw: distrax.RationalQuadraticSpline(
            raw, -3.0, 3.0, boundary_slopes="unconstrained", min_bin_size=6e-3, min_knot_slope=1e-3
        ),
    )
    x = np.random.default_rng(1).uniform(-2.9, 2.9, (30, 4)).astype(np.float32)
    y, log = jax.jit(jax.vmap(ours.forward))(x)
    want_y, want_log = jax.jit(jax.vmap(theirs.forward_and_log_det))(x)
    np.testing.assert_allclose(y, want_y, atol=3e-5)
    np.testing.assert_allclose(log, want_log, atol=3e-4)
    adapted = DistraxBijection(theirs, 4)
    back, back_log = jax.jit(jax.vmap(adapted.inverse))(y)
    np.testing.assert_allclose(back, x, atol=2e-4)
    np.testing.assert_allclose(back_log, -log, atol=2e-3)


def test_distrax_bases():
    import distrax

    loc, scale = jnp.array([1.0, -2.0]), jnp.array([0.5, 2.0])
    u = np.random.default_rng(3).uniform(size=(3000, 2)).astype(np.float32)
    cases = {
        "norm": distrax.Normal, "logistic": distrax.Logistic, "gumbel_r": distrax.Gumbel, "laplace": distrax.Laplace,
    }  # fmt: skip
    for name, kind in cases.items():
        base = DistraxDensity(distrax.Independent(kind(loc, scale), 1))
        want = getattr(scipy.stats, name)(np.asarray(loc), np.asarray(scale))
        np.testing.assert_allclose(jax.vmap(base.sample)(u[:20]), want.ppf(u[:20]), rtol=2e-4, atol=2e-4)
        got = jax.vmap(base.log_prob)(jnp.asarray(want.ppf(u[:20]), jnp.float32))
        np.testing.assert_allclose(got, want.logpdf(want.ppf(u[:20])).sum(1), rtol=2e-4, atol=2e-4)
    full = distrax.MultivariateNormalTri(loc, jnp.array([[1.0, 0.0], [0.5, 2.0]]))
    x = np.asarray(jax.vmap(DistraxDensity(full).sample)(u), float)
    residual = np.linalg.solve(np.array([[1.0, 0.0], [0.5, 2.0]]), (x - np.asarray(loc)).T)
    assert scipy.stats.kstest(residual.ravel(), scipy.stats.norm.cdf).pvalue > 1e-7
    with pytest.raises(TypeError, match="no map from uniform noise"):
        DistraxDensity(distrax.Independent(distrax.Gamma(scale, scale), 1))


MATRIX = np.array([[0.4, 0.7], [-0.3, -0.5]])


@pytest.mark.parametrize("forward_mode", [False, True])
def test_ode_likelihood_is_exact_on_gaussians(forward_mode):
    """ẋ = Ax + bt carries N(0, 1) to a normal of covariance e^A e^Aᵀ; its trace is exact. Forward = reverse mode."""
    with jax.enable_x64(True):
        drift = jnp.array([1.0, -2.0])
        flow = ContinuousFlow(
            lambda x, condition, time: jnp.asarray(MATRIX) @ x + drift * time, 2, rtol=1e-9, atol=1e-11,
            forward_mode=forward_mode, max_steps=256,
        )  # fmt: skip
        growth = scipy.linalg.expm(MATRIX)
        # x(1) = e^A x(0) + ∫ e^{A(1−t)} b t dt
        inverse = np.linalg.inv(MATRIX)
        mean = inverse @ (inverse @ (growth - np.eye(2)) - np.eye(2)) @ np.asarray(drift)
        want = scipy.stats.multivariate_normal(mean, growth @ growth.T)
        x = np.array([0.3, -1.0])
        number = lambda at: flow.log_prob(at)  # noqa: E731
        value, slope = jax.jit(lambda at: (number(at), (jax.jacfwd if forward_mode else jax.jacrev)(number)(at)))(x)
        assert float(value) == pytest.approx(want.logpdf(x), abs=1e-7)
        np.testing.assert_allclose(slope, -np.linalg.solve(growth @ growth.T, x - mean), rtol=1e-6)


def test_hutchinson_is_unbiased():
    """The mean over all four probes ±1 is the trace of a linear field exactly; one probe alone is not."""
    flow = ContinuousFlow(
        lambda x, condition, time: jnp.asarray(MATRIX, x.dtype) @ x, 2, divergence="hutchinson", num_steps=8
    )
    x = jnp.array([0.3, -1.0])
    noise = jnp.array([[0.1, 0.1], [0.1, 0.9], [0.9, 0.1], [0.9, 0.9]])
    losses = jax.jit(jax.vmap(lambda u: flow.loss(x, None, u)))(noise)
    exact = -flow.log_prob(x)
    assert float(losses.mean()) == pytest.approx(float(exact), abs=1e-5)
    assert np.ptp(np.asarray(losses)) > 0.3
    assert flow.loss_noise(KEY).shape == (2,)


def test_augmented_flow_bounds_the_margin():
    """A correlated normal over (x, ε): the bound lies below the exact margin and closes with more draws."""
    from jaxhep.densities.bijections import LULinear

    lower = eqx.tree_at(lambda one: one.entries, LULinear(2, key=KEY), jnp.array([[0.0, 0.6], [0.0, 0.0]]))
    density = AugmentedFlow(Flow(Normal(2), lower), extra=1)
    x = jnp.array([1.2])
    exact = scipy.stats.norm(0, math.sqrt(1.36)).logpdf(1.2)
    noise = jax.vmap(density.loss_noise)(jax.random.split(KEY, 4096))
    losses = np.asarray(jax.jit(jax.vmap(lambda u: density.loss(x, None, u)))(noise))
    error = losses.std() / 64
    assert losses.mean() > -exact + 5 * error
    # ln of a mean of 4096 ratios: its error is their relative spread over 64.
    bound = float(density.log_prob_bound(x, None, noise))
    spread = np.exp(-losses - exact).std() / 64
    assert abs(bound - exact) < PULL * spread
    assert density.sample(density.sample_noise(KEY)).shape == (1,)


def test_wrong_arguments_are_refused():
    flow = autoregressive_flow(2, 1, transformer="affine", **SMALL)
    with pytest.raises(ValueError, match="is conditional"):
        flow.log_prob(jnp.zeros(2))
    with pytest.raises(ValueError, match=r"shape \(1,\), got shape \(2,\)"):
        flow.sample(jnp.zeros(2), jnp.zeros(2))
    with pytest.raises(ValueError, match="no condition"):
        Flow(Normal(1), Affine(jnp.zeros(1), jnp.zeros(1))).log_prob(jnp.zeros(1), jnp.zeros(1))
    with pytest.raises(ValueError, match="base has 1 columns"):
        Flow(Normal(1), Affine(jnp.zeros(2), jnp.zeros(2)))
    with pytest.raises(ValueError, match="did you mean 'coupling'"):
        make_flow("couplin", 2, key=KEY)
    with pytest.raises(ValueError, match="nothing to couple"):
        coupling_flow(1, key=KEY)
    with pytest.raises(ValueError, match="leaves the unit box"):
        autoregressive_flow(2, base="uniform", transformer="affine", key=KEY)
    with pytest.raises(ValueError, match="permutation is one of"):
        autoregressive_flow(2, permutation="none", key=KEY)
    with pytest.raises(ValueError, match="'exact' or 'hutchinson'"):
        ContinuousFlow(lambda x, c, time: x, 1, divergence="none")
    with pytest.raises(ValueError, match="extra lies between"):
        AugmentedFlow(Normal(2), extra=2)
    with pytest.raises(ValueError, match="low < high"):
        Uniform(1, 1.0, 0.0)


def test_presets_name_arguments_of_the_constructors():
    import inspect

    for options in PRESETS.values():
        build = coupling_flow if options["kind"] == "coupling" else autoregressive_flow
        assert set(options) - {"kind"} <= set(inspect.signature(build).parameters)
    small = make_flow("small", 2, num_layers=2, width=8, transformer=AffineTransformer(), key=KEY)
    assert "Flow(Normal → Chain, dim=2" in repr(small)
