"""A mixture of densities: normalised, drawn in proportion to the weights, trained with constant weights, published."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.densities.bijections import Affine
from jaxhep.densities.flows import Flow, Normal, coupling_flow
from jaxhep.densities.mixture import Mixture
from jaxhep.densities.publish import publish, read_density
from jaxhep.training import Dataset, TrainingSettings, density_loss, fit

CENTRES, WIDTHS, WEIGHTS = np.array([-1.0, 2.0, 3.0]), np.array([0.5, 0.8, 1.5]), np.array([1.0, 3.0, 4.0])


def normals():
    maps = [Affine(jnp.array([m]), jnp.log(jnp.array([s]))) for m, s in zip(CENTRES, WIDTHS, strict=True)]
    return Mixture([Flow(Normal(1), one) for one in maps], WEIGHTS.tolist())


def cdf(x):
    return (WEIGHTS / WEIGHTS.sum()) @ scipy.stats.norm.cdf(np.asarray(x), CENTRES[:, None], WIDTHS[:, None])


def test_log_prob_and_draws_of_three_normals():
    """log_prob equals SciPy's, far out too; 4000 draws follow the exact distribution; jit = eager."""
    model = normals()
    x = np.array([-30.0, -1.0, 0.3, 2.5, 40.0], np.float32)
    logs = scipy.stats.norm.logpdf(x[:, None], CENTRES, WIDTHS) + np.log(WEIGHTS / WEIGHTS.sum())
    want = np.logaddexp.reduce(logs, axis=1)
    np.testing.assert_allclose(jax.vmap(model.log_prob)(x[:, None]), want, rtol=2e-6)
    noise = jax.vmap(model.sample_noise)(jax.random.split(jax.random.key(3), 4000))
    draws = jax.jit(jax.vmap(model.sample))(noise)
    assert scipy.stats.kstest(np.asarray(draws)[:, 0], cdf).pvalue > 1e-6
    first = jax.tree.map(lambda leaf: leaf[0], noise)
    np.testing.assert_allclose(model.sample(first), draws[0], rtol=1e-6)
    with jax.enable_x64(True):
        assert normals().log_prob(jnp.array([0.3])).dtype == jnp.float64


def test_gradients():
    """∂ln p/∂x by hand; a draw moves one to one with the centre of the member that is kept and with no other."""
    model, x = normals(), 0.7
    parts = WEIGHTS / WEIGHTS.sum() * scipy.stats.norm.pdf(x, CENTRES, WIDTHS)
    want = parts @ ((CENTRES - x) / WIDTHS**2) / parts.sum()
    assert float(jax.grad(model.log_prob)(jnp.array([x]))[0]) == pytest.approx(want, rel=1e-5)
    for which, kept in ((0.1, 0), (0.3, 1), (0.9, 2)):
        noise = model.sample_noise(jax.random.key(0)) | {"which": jnp.array(which)}
        slopes = eqx.filter_grad(lambda one, noise=noise: one.sample(noise)[0])(model)
        shifts = [float(member.bijection.shift[0]) for member in slopes.members]
        assert shifts == [float(k == kept) for k in range(3)]
        assert np.all(np.asarray(slopes.log_weights) == 0)


def test_an_ensemble_is_not_worse_than_its_members_are_on_average():
    members = [
        coupling_flow(2, 1, num_layers=2, width=4, depth=1, key=key) for key in jax.random.split(jax.random.key(1), 3)
    ]
    members = [
        jax.tree.map(lambda leaf, k=k: leaf + 0.1 * k if eqx.is_inexact_array(leaf) else leaf, one)
        for k, one in enumerate(members)
    ]
    x, c = jax.random.normal(jax.random.key(2), (50, 2)), jnp.array([0.3])
    single = jnp.stack([jax.vmap(lambda row, one=one: one.log_prob(row, c))(x) for one in members])
    both = jax.vmap(lambda row: Mixture(members).log_prob(row, c))(x)
    assert np.std(np.asarray(single), axis=0).min() > 1e-3
    assert np.all(np.asarray(both) > np.asarray(single.mean(axis=0)))


def test_trained_together_and_published(tmp_path):
    """Training moves the members and leaves the weights; the file gives the same numbers."""
    rng = np.random.default_rng(0)
    kind = rng.choice(3, p=WEIGHTS / WEIGHTS.sum(), size=8000)
    x = (CENTRES[kind] + WIDTHS[kind] * rng.normal(size=8000)).astype(np.float32)[:, None]
    start = eqx.tree_at(lambda one: one.members[0].bijection.shift, normals(), jnp.array([-3.0]))
    settings = TrainingSettings(batch_size=400, steps=300, learning_rate=3e-2)
    model = fit(start, density_loss(), Dataset({"x": x[:4000]}), key=jax.random.key(0), settings=settings).model
    np.testing.assert_array_equal(model.log_weights, start.log_weights)
    exact, before, after = (np.asarray(jax.vmap(one.log_prob)(x[4000:])) for one in (normals(), start, model))
    assert np.mean(exact - before) > 0.1
    assert np.mean(exact - after) < 0.005  # six parameters cost 6/(2·4000) nats
    publish(tmp_path / "mixture.npz", model, x[4000:4500], key=jax.random.key(5))
    again = read_density(tmp_path / "mixture.npz")
    np.testing.assert_allclose(again.log_prob(x[3:4])[0], model.log_prob(jnp.asarray(x[3])), rtol=1e-6)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        Mixture([])
    with pytest.raises(ValueError, match="differ in"):
        Mixture([Normal(1), Normal(2)])
    with pytest.raises(ValueError, match="2 finite numbers above zero"):
        Mixture([Normal(1), Normal(1)], [1.0, -0.2])
    with pytest.raises(ValueError, match="2 finite numbers above zero"):
        Mixture([Normal(1), Normal(1)], [1.0])
    with pytest.raises(TypeError):  # in words of its own, or in those of the type checker, which looks at one entry
        Mixture([Normal(1), Affine(jnp.zeros(1), jnp.zeros(1))])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no condition"):
        Mixture([Normal(2)]).log_prob(jnp.zeros(2), jnp.zeros(1))
