"""Laws over every bijection; the spline against distrax, at knots, in the tails and for steep parameters."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.densities.bijections import (
    AbstractTransformer,
    Affine,
    AffineSplineTransformer,
    AffineTransformer,
    Chain,
    ConditionalAffine,
    Coupling,
    Elementwise,
    Exp,
    Invert,
    LULinear,
    MaskedAutoregressive,
    MaskedNetwork,
    Permutation,
    Repeat,
    Sigmoid,
    Softplus,
    SoftplusAffineTransformer,
    SplineTransformer,
    Tanh,
    inverse_rational_quadratic,
    rational_quadratic,
)
from jaxhep.networks import make_network

KEY = jax.random.key(0)
SPLINE = SplineTransformer(4, -3.0, 3.0)


def randomised(module, scale=0.6):
    """The module with normal numbers in every floating-point leaf that starts at zero."""
    leaves, treedef = jax.tree.flatten(module)
    rng = np.random.default_rng(5)
    leaves = [
        jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)
        if eqx.is_inexact_array(leaf) and leaf.size and not np.any(leaf)
        else leaf
        for leaf in leaves
    ]
    return jax.tree.unflatten(treedef, leaves)


def made(dim, condition_dim, transformer, seed=0):
    key = jax.random.fold_in(KEY, seed)
    return randomised(MaskedAutoregressive(dim, condition_dim, transformer, width=8, depth=2, key=key))


def coupling(dim, condition_dim, kept, transformer):
    network = make_network(
        "mlp", in_size=kept or condition_dim, out_size=(dim - kept) * transformer.num_parameters,
        condition_size=condition_dim if kept else 0, width=8, depth=1, zero_init_last=True, key=KEY,
    )  # fmt: skip
    return randomised(Coupling(dim, condition_dim, kept, transformer, network))


RAW = np.random.default_rng(1).normal(size=(3, 40)).astype(np.float32)

# Every concrete bijection, by a function that makes one. Free ends of splines have a test of their own below; the
# affine autoregressive map stands in the chain and in the repeat.
REGISTRY = {
    "affine": lambda: Affine(jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, -1.0, 0.0])),
    "tanh": lambda: Tanh(3),
    "sigmoid": lambda: Sigmoid(jnp.array([0.0, -2.0, 5.0]), jnp.array([1.0, 3.0, 5.5])),
    "softplus": lambda: Softplus(3),
    "exp": lambda: Exp(jnp.array([0.0, -1.0, 2.0])),
    "permutation": lambda: Permutation([2, 0, 1]),
    "lu": lambda: randomised(LULinear(3, key=KEY, scale=0.5)),
    "elementwise affine spline": lambda: Elementwise(
        AffineSplineTransformer(AffineTransformer(), SPLINE), jnp.asarray(RAW[:, :13])
    ),
    "conditional affine": lambda: randomised(ConditionalAffine(3, 2)),
    "coupling affine, condition": lambda: coupling(3, 2, 1, AffineTransformer()),
    "coupling with straight widths": lambda: coupling(3, 0, 1, SoftplusAffineTransformer()),
    "coupling, one column": lambda: coupling(1, 2, 0, AffineTransformer()),
    "autoregressive spline, condition": lambda: made(3, 2, SPLINE),
    "chain and invert": lambda: Chain(Permutation([1, 0]), Invert(made(2, 2, AffineTransformer())), Softplus(2)),
    "repeat": lambda: Repeat([Chain(made(2, 1, AffineTransformer(), i), Permutation([1, 0])) for i in range(3)]),
}


@functools.cache
def get(name):
    with jax.enable_x64(False):
        return REGISTRY[name]()


def points(bijection, count=24, dtype=np.float64):
    """Inputs from the middle and the tails (±4 is outside of every spline), and conditions."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(count, bijection.dim)) * rng.choice([0.5, 1.0, 2.0], size=(count, 1))
    x[:2] = [[-4.0], [4.0]]
    c = rng.normal(size=(count, bijection.condition_dim)) if bijection.condition_dim else None
    return x.astype(dtype), None if c is None else c.astype(dtype)


def cast(module, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, module)


def laws(bijection, x, condition):
    """Everything the laws speak of, at one point."""
    y, log_det = bijection.forward(x, condition)
    back, back_log_det = bijection.inverse(y, condition)
    arrays, static = eqx.partition(bijection, eqx.is_inexact_array)

    def number(inputs):
        leaves, point, image = inputs
        module = eqx.combine(leaves, static)
        value, log = module.forward(point, condition)
        other, other_log = module.inverse(image, condition)
        return jnp.sum(value) + log + jnp.sum(other) - 2 * other_log

    inputs = (arrays, x, y)
    direction = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), inputs)
    reverse = jax.tree.map(lambda a, b: jnp.sum(a * b), jax.grad(number)(inputs), direction)
    return {
        "y": y, "log_det": log_det, "back": back, "back_log_det": back_log_det,
        "jacobian": jax.jacfwd(lambda point: bijection.forward(point, condition)[0])(x),
        "forward mode": jax.jvp(number, (inputs,), (direction,))[1], "reverse mode": sum(jax.tree.leaves(reverse)),
    }  # fmt: skip


@functools.cache
def results(name):
    """The laws' numbers in float64, of a batch under jit and vmap."""
    with jax.enable_x64(True):
        bijection = cast(get(name), jnp.float64)
        x, c = points(bijection)
        out = eqx.filter_jit(jax.vmap(laws, in_axes=(None, 0, None if c is None else 0)))(bijection, x, c)
        return x, {key: np.asarray(value) for key, value in out.items()}


@pytest.mark.parametrize("name", REGISTRY)
def test_laws(name):
    x, out = results(name)
    assert out["y"].dtype == np.float64
    assert all(np.all(np.isfinite(value)) for value in out.values())
    np.testing.assert_allclose(out["back"], x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(out["back_log_det"], -out["log_det"], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(out["log_det"], np.linalg.slogdet(out["jacobian"])[1], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(out["forward mode"], out["reverse mode"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", REGISTRY)
def test_one_eager_event_in_float32_equals_the_batch_in_float64(name):
    """jit = eager = vmap, and float32 = float64 to single precision. Maps with splines, whose eager operations would
    each be compiled, run as one program of one event."""
    bijection = get(name)
    run = eqx.filter_jit(bijection.forward) if "spline" in name or name == "repeat" else bijection.forward
    x, c = points(bijection, dtype=np.float32)
    _, out = results(name)
    i = 5
    condition = None if c is None else jnp.asarray(c[i])
    y, log_det = run(jnp.asarray(x[i]), condition)
    assert y.dtype == log_det.dtype == jnp.float32
    np.testing.assert_allclose(y, out["y"][i], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(log_det, out["log_det"][i], rtol=5e-5, atol=5e-5)


@functools.cache
def spline_batch(bins, free_ends, dtype):
    """Forward, derivative and inverse of random splines, mild and steep, on points with all knots among them."""
    rng = np.random.default_rng(3)
    parameters = 3 * bins + (1 if free_ends else -1)
    raw = np.concatenate([rng.normal(size=(40, parameters)), 3 * rng.normal(size=(40, parameters))]).astype(dtype)
    x = np.concatenate([np.linspace(-2.0, 2.0, 41), [-9.0, 9.0]]).astype(dtype)

    def one(x, raw):
        options = {"low": -2.0, "high": 2.0, "free_ends": free_ends}
        y, log = rational_quadratic(x, raw, **options)
        back, back_log = inverse_rational_quadratic(y, raw, **options)
        slope = jax.grad(lambda at: rational_quadratic(at, raw, **options)[0])(x)
        finite = jax.grad(lambda r: sum(inverse_rational_quadratic(y, r, **options)) + log)(raw)
        return y, log, back, back_log, slope, finite

    batch = jax.jit(jax.vmap(jax.vmap(one, (0, None)), (None, 0)))
    return raw, x, [np.asarray(part) for part in batch(x, raw)]


def test_spline_equals_distrax():
    import distrax

    raw, x, (y, log, *_) = spline_batch(6, True, "float32")
    sizes = {"range_min": -2.0, "range_max": 2.0, "boundary_slopes": "unconstrained"}
    # distrax: heights and widths by a softmax with a floor of 1e-3 of the range too; a slope is softplus with offset.
    mild = slice(0, 40)
    theirs = distrax.RationalQuadraticSpline(
        jnp.asarray(raw[mild, None, :]), **sizes, min_bin_size=4e-3, min_knot_slope=1e-3
    )
    want_y, want_log = theirs.forward_and_log_det(jnp.broadcast_to(x, (40, len(x))))
    inside = np.abs(x) <= 2
    np.testing.assert_allclose(y[mild][:, inside], np.asarray(want_y)[:, inside], atol=2e-5)
    np.testing.assert_allclose(log[mild][:, inside], np.asarray(want_log)[:, inside], atol=3e-4)


@pytest.mark.parametrize("free_ends", [False, True])
def test_spline_in_double_precision(free_ends):
    with jax.enable_x64(True):
        _, x, (y, log, back, back_log, slope, gradient) = spline_batch(7, free_ends, "float64")
    assert y.dtype == np.float64
    assert np.all(np.diff(y[:, :-2], axis=1) > 0)
    np.testing.assert_allclose(back, np.broadcast_to(x, back.shape), atol=1e-9)
    np.testing.assert_allclose(np.log(slope), log, atol=1e-9)
    np.testing.assert_allclose(back_log, -log, atol=1e-6)
    assert np.all(np.isfinite(gradient))
    if not free_ends:
        np.testing.assert_array_equal(y[:, -2:], np.broadcast_to(x[-2:], y[:, -2:].shape))


def test_spline_in_single_precision_is_safe_for_steep_parameters():
    """The round trip in y: where the slope is small, x itself is not determined better than ε/slope."""
    raw, x, (_, log, back, _, _, gradient) = spline_batch(7, False, "float32")
    assert raw.dtype == np.float32
    assert np.all(np.isfinite(gradient))
    error = np.abs(back - x) * np.exp(np.minimum(log, 0))
    assert error.max() < 1e-5  # 2 units in the last place of y near 2, times the condition number of the knots


def test_spline_is_smooth_over_knots():
    """Value and first derivative from both sides of each inner knot agree; equal raw numbers put them at −1, 0, 1."""
    raw = jnp.concatenate([jnp.zeros(4), jnp.asarray(RAW[0, :7])])
    run = jax.jit(jax.vmap(lambda x: rational_quadratic(x, raw, -2.0, 2.0)))
    knots, step = np.array([-2.0, -1.0, 0.0, 1.0, 2.0], np.float32), 1e-5
    (low, low_log), (high, high_log) = run(knots - step), run(knots + step)
    np.testing.assert_allclose(high, low, atol=1e-4)
    np.testing.assert_allclose(high_log, low_log, atol=2e-3)
    assert np.ptp(np.asarray(low_log)) > 0.1


def test_masks_cut_what_must_not_be_seen():
    network = randomised(MaskedNetwork(4, 2, 3, width=16, depth=3, key=KEY))
    x, c = jnp.asarray(RAW[0, :4]), jnp.asarray(RAW[1, :2])
    by_x, by_c = jax.jit(jax.jacrev(network, argnums=(0, 1)))(x, c)  # column, parameter, input
    np.testing.assert_array_equal(np.any(np.asarray(by_x) != 0, axis=1), np.tri(4, k=-1, dtype=bool))
    assert np.all(np.any(np.asarray(by_c) != 0, axis=1))  # c reaches every column


def test_transformers_start_at_the_identity():
    for transformer in (
        AffineTransformer(),
        SoftplusAffineTransformer(),
        SPLINE,
        SplineTransformer(3, 0.0, 1.0, free_ends=True),
    ):
        assert isinstance(transformer, AbstractTransformer)
        x = jnp.array([0.3, -7.0], jnp.float32)
        y, log = jax.jit(jax.vmap(transformer.forward, (0, None)))(x, jnp.zeros(transformer.num_parameters))
        np.testing.assert_allclose(y, x, atol=1e-6)
        np.testing.assert_allclose(log, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("bijection", "far"),
    [(Tanh(1), 8.0), (Sigmoid(jnp.zeros(1), jnp.ones(1)), 15.0), (Softplus(1), 60.0), (Exp(jnp.zeros(1)), 60.0)],
    ids=lambda v: type(v).__name__ if not isinstance(v, float) else None,
)
def test_log_determinants_far_out_in_float32(bijection, far):
    """Against float64; the naive logarithm of 1 − tanh² is −∞ at 9 in float32."""
    x = jnp.array([-far], jnp.float32)
    y, log_det = bijection.forward(x)
    with jax.enable_x64(True):
        wide = cast(bijection, jnp.float64)
        want_y, want_log = wide.forward(jnp.array([-far], jnp.float64))
        np.testing.assert_allclose(log_det, want_log, rtol=1e-6)
        np.testing.assert_allclose(y, want_y, rtol=1e-6)
    gradient = jax.grad(lambda at: bijection.forward(at)[1])(x)
    assert np.all(np.isfinite(gradient))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="each of 0"):
        Permutation([0, 0, 1])
    with pytest.raises(ValueError, match="one dim"):
        Chain(Tanh(2), Tanh(3))
    with pytest.raises(ValueError, match="one condition"):
        Chain(made(2, 1, AffineTransformer()), made(2, 2, AffineTransformer()))
    with pytest.raises(ValueError, match="layer 1 differs"):
        Repeat([Tanh(2), Softplus(2)])
    with pytest.raises(ValueError, match="keeps 1 to 1"):
        Coupling(2, 0, 2, AffineTransformer(), lambda x, c: x)
    with pytest.raises(ValueError, match="outputs"):
        Coupling(2, 0, 1, AffineTransformer(), lambda x, c: x).forward(jnp.ones(2))
    with pytest.raises(ValueError, match="do not fit"):
        SplineTransformer(10, least=0.2)
    with pytest.raises(ValueError, match="low < high"):
        SplineTransformer(4, 1.0, 1.0)
    with pytest.raises(ValueError, match="no activation"):
        MaskedNetwork(2, 0, 2, activation="sine", key=KEY)
