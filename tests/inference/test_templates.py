"""Templates as functions of ln Λ: the interpolation, and closure of the fit on pseudo-data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.event import Event
from jaxhep.expectation import deposit
from jaxhep.inference import ChiSquare, Parameter, fit, toys
from jaxhep.inference.hermite import HermiteInterpolation
from jaxhep.inference.templates import NUM_NODES, EventShapeModel, SampledShape, moved_spectra
from jaxhep.noise import uniforms
from jaxhep.simulator import AbstractSimulator

# Below the end of the spectrum at all three nodes: there the fine-grid contents are not smooth functions of θ.
EDGES = np.linspace(0.03, 0.2, 11)
ENERGY = 91.1876


class PowerLaw(AbstractSimulator):
    """1 − T is 0 with probability 1 − θ, else θ u²/2: a score weight and a pathwise part, both known in closed form."""

    lambda_qcd: jax.Array

    def __init__(self, value: float):
        self.lambda_qcd = jnp.asarray(value, float)

    def sample_noise(self, key, dtype=None):
        return uniforms(key, (2,), dtype)

    def __call__(self, noise, event=None, *, reference=None):
        theta = self.lambda_qcd.astype(noise.dtype)
        fixed = jax.lax.stop_gradient(theta) if reference is None else reference.lambda_qcd.astype(noise.dtype)
        emit = noise[0] < fixed
        weight = jnp.where(emit, theta / fixed, (1 - theta) / (1 - fixed))
        value = jnp.where(emit, theta * noise[1] ** 2 / 2, 0)
        momenta = jnp.zeros((2, 4), noise.dtype).at[0, 0].set(value)
        return Event(momenta, jnp.ones(2, bool), jnp.zeros(2, int), weight, jnp.asarray(False))


def first_energy(momenta, mask):
    return momenta[0, 0]


def spectra(theta: float, num_events: int = 100_000):
    return moved_spectra(
        PowerLaw(theta),
        jax.random.key(3),
        num_events,
        {"one_minus_thrust": first_energy},
        {"one_minus_thrust": (0.0, 0.5)},
    )


def exact(theta: float, omega: float) -> np.ndarray:
    """Bin densities by quadrature in u, with SciPy's gamma distribution."""
    from scipy.stats import gamma

    u = (np.arange(20_000) + 0.5) / 20_000
    scale = 2 * omega / ENERGY / 3
    cdf = lambda x: gamma.cdf(x / scale, 3.0)  # noqa: E731
    shifted = np.stack([cdf(edge - theta * u**2 / 2).mean() for edge in EDGES])
    at_zero = cdf(EDGES)
    return np.diff(theta * shifted + (1 - theta) * at_zero) / np.diff(EDGES)


def test_hermite_polynomial_is_exact_for_its_degree() -> None:
    nodes = np.array([-0.2, 0.0, 0.3])
    interpolation = HermiteInterpolation(nodes)
    with jax.enable_x64(True):
        for degree in range(6):
            shown = np.concatenate([nodes**degree, degree * nodes ** max(degree - 1, 0)])
            np.testing.assert_allclose(interpolation(jnp.asarray(0.11)) @ shown, 0.11**degree, rtol=1e-12, atol=1e-15)
        for node in range(3):
            weights = interpolation.node_weights(jnp.asarray(nodes[node]))
            np.testing.assert_allclose(weights, np.eye(3)[node], atol=1e-12)


@pytest.mark.parametrize("side", [-1, 1])
def test_beyond_the_nodes_a_parabola_touches_the_polynomial(side: int) -> None:
    """Toys and scans go there, where a polynomial of degree 9 would run away (it made closure pulls 1.4 wide)."""
    nodes = np.linspace(-0.45, 0.45, 5)
    noise = np.random.default_rng(2).normal(size=10)
    interpolation = HermiteInterpolation(nodes)
    with jax.enable_x64(True):
        function = lambda x: interpolation(x) @ noise  # noqa: E731
        edge, far = side * 0.45, side * 0.8
        inner, outer = (jnp.asarray(edge * (1 + shift)) for shift in (-1e-9, 1e-9))
        for derivative in (function, jax.jacfwd(function), jax.jacfwd(jax.jacfwd(function))):
            np.testing.assert_allclose(derivative(inner), derivative(outer), rtol=1e-4)
        slope, curvature = (f(outer) for f in (jax.jacfwd(function), jax.jacfwd(jax.jacfwd(function))))
        expected = function(outer) + slope * (far - edge) + curvature * (far - edge) ** 2 / 2
        np.testing.assert_allclose(function(jnp.asarray(far)), expected, rtol=1e-6)


def test_nodes_have_to_increase() -> None:
    with pytest.raises(ValueError, match="increasing nodes"):
        HermiteInterpolation([0.0, 0.0])


def test_template_agrees_with_quadrature_away_from_the_sample() -> None:
    model = EventShapeModel(spectra(0.6), "one_minus_thrust", EDGES, energy=ENERGY)
    for theta in (0.5, 0.55, 0.6, 0.7):
        with jax.enable_x64(True):
            prediction = model({"lambda_qcd": jnp.asarray(theta), "omega_1": jnp.asarray(0.5)})
            values, covariance = np.asarray(prediction.values), np.asarray(prediction.covariance)
        pulls = (values - exact(theta, 0.5)) / np.sqrt(np.diag(covariance))
        # 40 pulls; |pull| < 5.6 has a false-alarm rate of at most 40 × 2.1e-8 = 8.6e-7.
        assert np.max(np.abs(pulls)) < 5.6, theta


def test_covariance_is_positive_where_the_polynomial_is_not() -> None:
    # Two thousand events leave bins with few entries, whose interpolated contents fall below zero.
    model = EventShapeModel(spectra(0.6, 2000), "one_minus_thrust", np.linspace(0.0, 0.5, 51), energy=ENERGY)
    lowest = []
    for theta in (0.4, 0.5, 0.6, 0.7, 0.9):
        with jax.enable_x64(True):
            lowest.append(np.asarray(model.parton_level(jnp.log(theta))).min())
            prediction = model({"lambda_qcd": jnp.asarray(theta), "omega_1": jnp.asarray(0.02)})
            covariance = np.asarray(prediction.covariance)
        assert np.linalg.eigvalsh(covariance).min() > -1e-12 * np.trace(covariance), theta
    assert min(lowest) < 0


def test_variances_follow_moved_samples_between_the_nodes() -> None:
    """In value and slope: χ² with a wrong slope of the Monte Carlo variances is biased. An average over the nodes has
    slope 0 at each of them."""
    model = EventShapeModel(spectra(0.6), "one_minus_thrust", EDGES, energy=ENERGY)
    factors, omega = (0.86, 0.9, 0.96, 1.0, 1.04), jnp.asarray(0.5)
    ranges = {"one_minus_thrust": (0.0, 0.5)}
    functions = {"one_minus_thrust": first_energy}
    direct = moved_spectra(PowerLaw(0.6), jax.random.key(3), 100_000, functions, ranges, factors=factors)
    shown = zip(direct.contents["one_minus_thrust"], direct.squares["one_minus_thrust"], strict=True)
    with jax.enable_x64(True):
        logs = [np.log(np.diag(np.asarray(model.hadronised(*pair, omega).covariance))) for pair in shown]

        def log_variances(log_value):
            found = model({"lambda_qcd": jnp.exp(log_value), "omega_1": omega})
            return jnp.log(jnp.diag(jnp.asarray(found.covariance)))

        for at, low, high in ((1, 0, 2), (3, 2, 4)):
            place = jnp.log(0.6 * factors[at])
            value, slope = jax.jvp(log_variances, (place,), (jnp.ones_like(place),))
            np.testing.assert_allclose(value, logs[at], atol=0.03)
            expected = (logs[high] - logs[low]) / np.log(factors[high] / factors[low])
            # Events that cross grid points scatter the differences of single bins by 0.2; ten bins have 0.06.
            assert abs(np.mean(slope) - np.mean(expected)) < 0.3
            assert np.mean(expected) > 1


def test_covariance_is_the_spread_of_weighted_samples() -> None:
    """Weights that depend on the value, as a matrix element's do: a multinomial covariance is off by a factor 2."""
    model = EventShapeModel(spectra(0.6, 2000), "one_minus_thrust", EDGES, energy=ENERGY)
    values = jax.random.uniform(jax.random.key(1), (1500, 400), maxval=0.25)
    weights = jnp.where(values < 0.1, 1.0, 0.2)
    with jax.enable_x64(True):
        at = {"omega_1": jnp.asarray(0.5)}
        matrix = np.asarray(model.smearing_matrix(at["omega_1"])) / np.diff(EDGES)[:, None]
        expected = np.asarray(SampledShape(model, values.ravel(), weights.ravel())(at).covariance) * len(values)
    samples = np.stack([np.asarray(deposit_all(v, w)) for v, w in zip(values, weights, strict=True)])
    found = np.cov((samples / samples.sum(axis=1, keepdims=True)) @ matrix.T, rowvar=False)
    # 1500 samples: a variance has the relative error 0.037; six of them, and 0.02 for the second order in 1/√400.
    assert np.max(np.abs(np.diag(found) / np.diag(expected) - 1)) < 6 * 0.037 + 0.02
    correlation, error = found / np.sqrt(np.outer(np.diag(found), np.diag(found))), 6 / np.sqrt(1500)
    assert np.max(np.abs(correlation - expected / np.sqrt(np.outer(np.diag(expected), np.diag(expected))))) < error


@jax.jit
def deposit_all(values: jax.Array, weights: jax.Array) -> jax.Array:
    return deposit(values, weights, 0.0, 0.5, NUM_NODES)[0]


def test_closure_of_the_fit() -> None:
    """The truth is found from exact pseudo-data, and toys have unit pulls."""
    truth = {"lambda_qcd": 0.63, "omega_1": 0.5}
    data = exact(truth["lambda_qcd"], truth["omega_1"])
    variance = (0.03 * data) ** 2
    model = EventShapeModel(spectra(0.6), "one_minus_thrust", EDGES, energy=ENERGY)
    objective = ChiSquare(data, variance, model)
    parameters = [Parameter("lambda_qcd", 0.6, 0.45, 0.8), Parameter("omega_1", 0.4, 0.05, 2.0)]
    result = fit(objective, parameters)
    assert result.valid, result.reasons
    for name, value in truth.items():
        # Only the Monte Carlo error is left, which is below the data's.
        assert abs(result.values[name] - value) < 2 * result.errors[name]
    study = toys(objective, result, 200, jax.random.key(0), coverage=False)
    assert study.valid.all()
    pulls = (study.values - study.truth)[:, 0] / study.errors[:, 0]
    # 200 toys: mean ± 0.071, width ± 0.05; five standard errors.
    assert abs(pulls.mean()) < 0.36
    assert abs(pulls.std() - 1) < 0.26
