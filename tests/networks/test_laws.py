"""Every preset against the same laws: sizes, jit = eager = vmap, gradients, masks, order of particles, its repr."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxhep.networks import (
    count_parameters,
    fourier_features,
    list_presets,
    make_network,
    sinusoidal_embedding,
)

KEY = jax.random.key(3)
VECTOR = ("mlp", "residual_mlp", "flow_subnet", "flow_matching", "diffusion")
SETS = ("deep_sets", "energy_flow", "transformer", "lvd_transformer")
SMALL = {"in_size": 3, "out_size": 2, "condition_size": 2, "width": 8, "depth": 1}
OPTIONS = {"unet": {"spatial_dims": 2}, "transformer": {"num_heads": 2}, "lvd_transformer": {"pool": "mean"}}
TIMED = ("flow_matching", "diffusion", "unet")


def shape_of(name):
    return (3,) if name in VECTOR else (5, 6, 3) if name == "unet" else (5, 3)


def small(name, **changes):
    options = {**SMALL, **OPTIONS.get(name, {}), **({"time_features": 4} if name in TIMED else {}), **changes}
    return make_network(name, key=KEY, **options)


def filled(network):
    """The network with no parameter at zero, so that a zero start hides nothing."""
    leaves, structure = jax.tree.flatten(network.parameters)
    rng = np.random.default_rng(0)
    leaves = [leaf + jnp.asarray(0.1 * rng.normal(size=leaf.shape), leaf.dtype) for leaf in leaves]
    return type(network)(
        jax.tree.unflatten(structure, leaves), network.definition, network.preset, network.in_size, network.out_size,
        network.condition_size,
    )  # fmt: skip


@pytest.mark.parametrize("name", list_presets())
def test_laws(name):
    network = filled(small(name))
    x = jax.random.normal(jax.random.key(1), (2, *shape_of(name)))
    c = jax.random.normal(jax.random.key(2), (2, 2))
    t = jnp.array([0.2, 0.7])

    def call(network, x, c, t):
        return network(x, c, time=t if name in TIMED else None)

    batch = jax.jit(jax.vmap(call, (None, 0, 0, 0)))(network, x, c, t)
    pooled = name in ("deep_sets", "energy_flow", "lvd_transformer")
    want = (2,) if name in VECTOR or pooled else (*shape_of(name)[:-1], 2)
    assert batch.shape == (2, *want)
    np.testing.assert_allclose(call(network, x[1], c[1], t[1]), batch[1], rtol=1e-4, atol=1e-5)
    # It depends on everything it is given.
    assert not np.allclose(call(network, x[1], c[0], t[1]), batch[1])
    if name in TIMED:
        assert not np.allclose(call(network, x[1], c[1], t[0]), batch[1])
    # The definition is a static, hashable field: the leaves are the parameters.
    assert len(jax.tree.leaves(network)) == len(jax.tree.leaves(network.parameters))
    assert hash(small(name).definition) == hash(network.definition)
    assert f"{count_parameters(network):,} parameters" in repr(network)
    assert network.summary().splitlines()[-1].endswith(f"{count_parameters(network):,} parameters")


@pytest.mark.parametrize("name", ["residual_mlp", "transformer", "unet"])
def test_gradients_in_float64(name):
    with jax.enable_x64(True):
        network = filled(small(name, activation="tanh", **({"in_size": 2} if name == "unet" else {})))
        shape = shape_of(name) if name != "unet" else (3, 2, 2)
        time = jnp.array(0.3) if name in TIMED else None
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(network))

        @jax.jit
        def scalar(x, c):
            return jnp.sum(jnp.sin(network(x, c, time=time)))

        x = jax.random.normal(jax.random.key(1), shape)
        check_grads(scalar, (x, jnp.array([0.3, -0.2])), 1, ("fwd", "rev"), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("pool", [None, "sum", "mean", "max"])
def test_order_and_padding_of_particles(name, pool):
    if name == "lvd_transformer" or (pool is None and "transformer" not in name):
        pytest.skip("another preset of the same architecture, or one that always pools")
    network = filled(small(name, pool=pool))
    x = jax.random.normal(jax.random.key(1), (5, 3))
    mask = jnp.array([True, True, False, True, False])
    order = np.array([3, 0, 4, 2, 1])

    @jax.jit
    def call(x, mask):
        return network(x, jnp.array([0.1, 0.2]), mask=mask)

    base = call(x, mask)
    shuffled = call(x[order], mask[order])
    np.testing.assert_allclose(shuffled, base[order] if pool is None else base, rtol=1e-4, atol=1e-5)
    # NaN in the empty slots is not seen, forwards or backwards.
    rubbish = jnp.where(mask[:, None], x, jnp.nan)
    np.testing.assert_array_equal(call(rubbish, mask), base)
    gradient = jax.grad(lambda x: jnp.sum(call(x, mask)))(rubbish)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.asarray(gradient)[~np.asarray(mask)] == 0)
    assert np.all(np.isfinite(call(x, jnp.zeros(5, bool))))


def test_the_energy_flow_network_is_infrared_and_collinear_safe():
    network = filled(small("energy_flow"))
    c = jnp.zeros(2)
    x = jnp.array([[0.6, 0.1, 0.2], [0.4, -0.3, 0.5], [0.0, 0.0, 0.0]])
    soft = x.at[2].set(jnp.array([0.0, 3.0, -2.0]))
    split = jnp.array([[0.5, 0.1, 0.2], [0.4, -0.3, 0.5], [0.1, 0.1, 0.2]])
    for other in (soft, split):
        np.testing.assert_allclose(network(other, c), network(x, c), rtol=1e-5, atol=1e-6)


def test_a_periodic_axis_has_no_beginning():
    """Rolling the picture along the azimuth rolls the output, and without periodicity it does not."""
    x = jax.random.normal(jax.random.key(1), (4, 8, 3))
    for periodic, rolls in (((1,), True), ((), False)):
        network = filled(small("unet", periodic=periodic, condition_size=0, time_features=0))
        call = jax.jit(network)
        rolled, base = call(jnp.roll(x, 2, axis=1)), jnp.roll(call(x), 2, axis=1)
        assert np.allclose(rolled, base, rtol=1e-4, atol=1e-5) == rolls


@pytest.mark.parametrize("dims", [1, 3])
def test_pictures_of_other_dimensions(dims):
    network = small("unet", spatial_dims=dims, time_features=0, condition_size=0)
    assert jax.jit(network)(jnp.ones((*(5, 3, 4)[:dims], 3))).shape == (*(5, 3, 4)[:dims], 2)


def test_zero_start_and_dropout():
    network = small("mlp", zero_init_last=True, dropout=0.5, condition_size=0, width=64)
    x = jnp.ones(3)
    np.testing.assert_array_equal(network(x), np.zeros(2))
    network = filled(network)
    a, b = (network(x, dropout_key=jax.random.key(i)) for i in (0, 1))
    assert not np.allclose(a, b)
    np.testing.assert_array_equal(network(x, dropout_key=jax.random.key(0)), a)
    np.testing.assert_array_equal(network(x), network(x))


def test_parameters_of_a_perceptron_by_hand():
    network = make_network("mlp", in_size=3, out_size=2, condition_size=1, width=5, depth=2, key=KEY)
    assert count_parameters(network) == (4 * 5 + 5) + (5 * 5 + 5) + (5 * 2 + 2)
    p = network.parameters
    h = jnp.array([1.0, 2.0, 3.0, 4.0])
    for layer in ("Dense_0", "Dense_1"):
        h = jax.nn.silu(h @ p[layer]["kernel"] + p[layer]["bias"])
    want = h @ p["last"]["kernel"] + p["last"]["bias"]
    np.testing.assert_allclose(network(jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0])), want, rtol=1e-6)


def test_embeddings():
    t = 0.3
    f = 0.25 * 64 ** (np.arange(3) / 2)
    want = np.concatenate([np.sin(2 * np.pi * f * t), np.cos(2 * np.pi * f * t)])
    np.testing.assert_allclose(fourier_features(t, 6), want, rtol=1e-4, atol=1e-6)
    g = 1000 * t * 10_000.0 ** -(np.arange(3) / 2)
    np.testing.assert_allclose(
        sinusoidal_embedding(jnp.array(t), 6), np.concatenate([np.sin(g), np.cos(g)]), rtol=1e-3, atol=1e-4
    )
    for function in (fourier_features, sinusoidal_embedding):
        with pytest.raises(ValueError, match="even number"):
            function(0.1, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "mpl"}, "did you mean 'mlp'"),
        ({"in_size": 0}, "in_size .* from 1 on"),
        ({"depth": 0}, "depth .* from 1 on"),
        ({"condition_size": -1}, "condition_size"),
        ({"activation": "swish"}, "activation must be one of"),
        ({"time_features": 3}, "time_features must be an even"),
        ({"dropout": 1.0}, "dropout"),
        ({"pool": "sum"}, "no option 'pool'"),
        ({"name": "energy_flow", "in_size": 1}, "energy fraction"),
        ({"name": "transformer", "width": 6}, "multiple of num_heads"),
        ({"name": "unet", "spatial_dims": 4}, "spatial_dims must be one of 1, 2, 3"),
    ],
)
def test_wrong_definitions_are_refused(changes, message):
    options = {**SMALL, **changes}
    with pytest.raises(ValueError, match=message):
        make_network(options.pop("name", "mlp"), key=KEY, **options)


def test_wrong_inputs_are_refused():
    network = small("mlp")
    with pytest.raises(ValueError, match=r"3 columns, got shape \(4,\).*use jax.vmap"):
        network(jnp.ones(4), jnp.ones(2))
    with pytest.raises(ValueError, match="condition_size=2, got none"):
        network(jnp.ones(3))
    with pytest.raises(ValueError, match="condition_size=2, got shape \\(3,\\)"):
        network(jnp.ones(3), jnp.ones(3))
    with pytest.raises(ValueError, match="takes no time"):
        network(jnp.ones(3), jnp.ones(2), time=0.1)
    with pytest.raises(ValueError, match="needs time="):
        small("diffusion")(jnp.ones(3), jnp.ones(2))
