"""The preprocessing chain: exact Jacobians, weighted fits, discrete columns, ends of ranges, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.densities import AbstractDensity, AbstractTractableDensity
from jaxhep.densities.flows import Normal
from jaxhep.densities.preprocessing import (
    PreprocessedDensity,
    Preprocessing,
    bounded,
    discrete,
    fit_preprocessing,
    positive,
    preprocess,
    real,
)
from jaxhep.training import trainable_labels

COLUMNS = (real(), positive(1.0), bounded(-2.0, 3.0, 0.0), bounded(0.0, 1.0, 0.01), discrete())


def chain():
    return Preprocessing(COLUMNS, jnp.array([1.0, 0.2, -0.3, 0.0, 4.0]), jnp.array([2.0, 0.5, 1.5, 1.0, 2.0]))


def test_jacobian_and_inverse():
    with jax.enable_x64(True):
        one = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), chain())
        z = np.random.default_rng(0).normal(size=(30, 5)) * 2
        z[0] = (0 - np.asarray(one.mean)) / np.asarray(one.scale)  # t = 0, where the logit changes sides

        def facts(z):
            x, log_det = one.forward(z)
            back, back_log = one.inverse(x)
            return x, log_det, back, back_log, jax.jacfwd(lambda at: one.forward(at)[0])(z)

        x, log_det, back, back_log, jacobian = (np.asarray(v) for v in jax.jit(jax.vmap(facts))(z))
    np.testing.assert_allclose(back, z, atol=1e-10)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-10)
    np.testing.assert_allclose(back_log, -log_det, atol=1e-10)
    assert np.all((x[:, 1] > 1) & (x[:, 2] > -2) & (x[:, 2] < 3) & (x[:, 3] > -0.01) & (x[:, 3] < 1.01))


def test_fit_is_that_of_replicated_events():
    rng = np.random.default_rng(1)
    data = np.stack(
        [rng.normal(size=40), 1 + rng.exponential(size=40), rng.uniform(-2, 3, 40), rng.uniform(size=40),
         rng.poisson(5.0, 40)], axis=1,
    )  # fmt: skip
    data[0, 3], data[1, 3] = 0.0, 1.0  # the ends themselves, allowed by the margin
    weights = rng.integers(1, 4, 40)
    weighted = fit_preprocessing(data, weights, COLUMNS)
    replicated = fit_preprocessing(np.repeat(data, weights, axis=0), None, dict(enumerate(COLUMNS)))
    np.testing.assert_allclose(weighted.mean, replicated.mean, rtol=1e-6)
    np.testing.assert_allclose(weighted.scale, replicated.scale, rtol=1e-6)
    z = np.asarray(jax.vmap(weighted.inverse)(jnp.asarray(data, jnp.float32))[0], float)
    np.testing.assert_allclose(np.average(z, axis=0, weights=weights), 0, atol=1e-5)
    variance = np.average(z**2, axis=0, weights=weights)
    np.testing.assert_allclose(variance[:4], 1, atol=1e-5)
    assert variance[4] < 1  # U(−½, ½) brings the rest
    with pytest.raises(ValueError, match="nothing is trained"):
        trainable_labels(weighted)  # constants of the model, which no optimiser moves


def test_density_in_the_units_of_the_data():
    """Log-normal and logit-normal of SciPy; −∞ with a finite gradient outside."""
    events = Preprocessing((positive(), bounded(0.0, 1.0, 0.0)), jnp.array([0.3, -0.2]), jnp.array([0.5, 0.8]))
    density = preprocess(Normal(2), events)
    assert isinstance(density, AbstractTractableDensity)
    x = np.array([1.7, 0.4], np.float32)
    logit = np.log(0.4 / 0.6)
    want = scipy.stats.lognorm(0.5, scale=np.exp(0.3)).logpdf(1.7)
    want += scipy.stats.norm(-0.2, 0.8).logpdf(logit) - np.log(0.4 * 0.6)
    run = jax.jit(jax.vmap(jax.value_and_grad(density.log_prob)))
    values, slopes = run(jnp.array([x, [-1.0, 0.4], [1.7, 1.0], [0.0, 0.5]], jnp.float32))
    assert float(values[0]) == pytest.approx(want, rel=1e-5)
    assert np.all(np.asarray(values[1:]) == -np.inf)
    assert np.all(np.isfinite(slopes))
    assert np.all(np.asarray(slopes[1:]) == 0)


def test_discrete_columns_are_spread_and_rounded():
    events = Preprocessing((discrete(), real()), jnp.array([3.0, 0.0]), jnp.array([1.5, 1.0]))
    density = preprocess(Normal(2), events)
    draw = jax.jit(jax.vmap(lambda key: density.sample(density.sample_noise(key))))
    x = np.asarray(draw(jax.random.split(jax.random.key(0), 500)))
    np.testing.assert_array_equal(x[:, 0], np.round(x[:, 0]))
    assert np.any(x[:, 1] != np.round(x[:, 1]))
    inner, shift = density.loss_noise(jax.random.key(1))
    event = jnp.array([4.0, 0.5])
    moved = event.at[0].add(shift[0] - 0.5)
    assert inner == ()
    np.testing.assert_allclose(density.loss(event, None, (inner, shift)), -density.log_prob(moved), rtol=1e-6)
    # P(k) is the integral over the cell: SciPy's normal distribution function.
    centres = 4 + (np.arange(400) + 0.5) / 400 - 0.5
    points = jnp.asarray(np.stack([centres, np.zeros(400)], 1), jnp.float32)
    cell = float(jnp.mean(jnp.exp(jax.jit(jax.vmap(density.log_prob))(points))))
    law = scipy.stats.norm(3.0, 1.5)
    assert cell == pytest.approx((law.cdf(4.5) - law.cdf(3.5)) * scipy.stats.norm.pdf(0), rel=1e-4)


class OnlyLoss(AbstractDensity):
    """A density without log_prob."""

    dim: int = 1
    condition_dim: int = 1

    def sample_noise(self, key):
        return jax.random.uniform(key, (1,))

    def sample(self, noise, condition=None):
        return noise + condition

    def loss_noise(self, key):
        return ()

    def loss(self, x, condition=None, noise=()):
        return jnp.sum((x - condition) ** 2)


def test_density_without_log_prob_and_preprocessed_condition():
    scale = Preprocessing((real(),), jnp.array([1.0]), jnp.array([2.0]))
    density = preprocess(OnlyLoss(), scale, Preprocessing((positive(),), jnp.zeros(1), jnp.ones(1)))
    assert isinstance(density, PreprocessedDensity)
    assert not hasattr(density, "log_prob")
    # c = e² is 2 after the logarithm; x = 7 is 3 after standardisation.
    assert float(density.loss(jnp.array([7.0]), jnp.exp(jnp.array([2.0])))) == pytest.approx(1.0, rel=1e-5)
    assert float(density.sample(jnp.array([0.5]), jnp.exp(jnp.array([2.0])))[0]) == pytest.approx(6.0, rel=1e-5)
    with pytest.raises(ValueError, match="is conditional"):
        density.loss(jnp.array([7.0]))


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        ((3, 0, np.nan), {}, "NaN or infinite numbers in rows 3"),
        ((slice(None), 1, 5.0), {"names": ["pt", "mass"]}, r"column 1 \(mass\) is constant, 5"),
        ((2, 0, -1.0), {"columns": {0: positive()}}, "rows 2 lie outside"),
        ((2, 0, 0.0), {"columns": {0: bounded(0.0, 9.0, 0.0)}}, "give a margin"),
        ((2, 0, 1.5), {"columns": {0: discrete()}}, "no whole number"),
        ((0, 0, 1.0), {"weights": [1.0] * 5 + [-5.0]}, "sum to 0"),
        ((0, 0, 1.0), {"weights": [1.0] * 5}, r"shape \(6,\)"),
        ((0, 0, 1.0), {"columns": {2: real()}}, r"columns names \[2\]"),
        ((0, 0, 1.0), {"columns": [real()]}, "lists 1 columns"),
        ((0, 0, 1.0), {"weights": [-3.0, 1.0, 1.0, 1.0, 1.0, 0.5]}, "weighted variance"),
    ],
)
def test_bad_data_are_refused(change, options, match):
    data = np.stack([np.arange(1.0, 7.0), np.arange(6.0) ** 2], axis=1)
    data[change[0], change[1]] = change[2]
    with pytest.raises(ValueError, match=match):
        fit_preprocessing(data, options.pop("weights", None), **options)


def test_bad_descriptions_are_refused():
    with pytest.raises(ValueError, match="low < high"):
        bounded(1.0, 0.0)
    with pytest.raises(ValueError, match="share of the range"):
        bounded(0.0, 1.0, -0.1)
    with pytest.raises(ValueError, match="must be finite"):
        positive(float("nan"))
    one = Preprocessing((real(),), jnp.zeros(1), jnp.ones(1))
    with pytest.raises(ValueError, match="1 columns, the density 2"):
        preprocess(Normal(2), one)
    with pytest.raises(ValueError, match="density's condition"):
        preprocess(Normal(1), one, one)
