"""The shape function: both forms against each other and against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.hadronization import COEFFICIENTS, ShapeFunction, inverse_gamma_cdf

# The inside of each observable's range, and some parton-level values in it.
SPECTRA = {
    "thrust": (np.array([0.6, 0.8, 0.9, 0.95, 0.98, 1.0]), np.array([0.7, 0.9, 0.97, 0.999, 1.0])),
    "one_minus_thrust": (np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4]), np.array([0.0, 0.001, 0.03, 0.1, 0.3])),
    "c_parameter": (np.array([0.0, 0.05, 0.2, 0.5, 1.0]), np.array([0.0, 0.01, 0.1, 0.4])),
    "heavy_jet_mass": (np.array([0.0, 0.01, 0.05, 0.2, 0.5]), np.array([0.0, 0.004, 0.06, 0.19])),
}
MODEL = {"omega_1": 0.35, "energy": 91.1876, "shape": 3.0}


def shift_distribution(observable, omega_1=0.35, energy=91.1876, shape=3.0):
    """SciPy's distribution of |shift|."""
    return scipy.stats.gamma(shape, scale=abs(COEFFICIENTS[observable]) * omega_1 / energy / shape)


def oracle(observable, **changes):
    """The smearing matrix by SciPy."""
    edges, nodes = SPECTRA[observable]
    distribution = shift_distribution(observable, **changes)
    distance = edges[:, None] - nodes[None, :]
    below = distribution.cdf(distance) if COEFFICIENTS[observable] > 0 else distribution.sf(-distance)
    return np.diff(below, axis=0)


@pytest.mark.parametrize("observable", SPECTRA)
def test_matrix_equals_scipy(observable):
    edges, nodes = SPECTRA[observable]
    with jax.enable_x64(True):
        matrix = ShapeFunction(**MODEL).smearing_matrix(edges, nodes, observable)
        assert matrix.dtype == jnp.float64
    np.testing.assert_allclose(matrix, oracle(observable), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("order", [2, 3, 7])
def test_closed_form_of_whole_shapes_equals_the_general_one(order):
    """Values, and first and second derivatives in Ω₁, which the fit takes."""
    edges, nodes = SPECTRA["c_parameter"]
    outer = np.array([-np.inf, *edges, np.inf])
    with jax.enable_x64(True):

        def matrix(omega_1, closed):
            model = ShapeFunction(omega_1, 91.1876, float(order))
            return model.smearing_matrix(outer, nodes, "c_parameter", order=order if closed else None)

        omega_1 = jnp.asarray(0.35)
        for function in (matrix, jax.jacfwd(matrix), jax.jacfwd(jax.jacfwd(matrix))):
            np.testing.assert_allclose(function(omega_1, True), function(omega_1, False), rtol=1e-9, atol=1e-12)
        general = ShapeFunction(0.35, 91.1876, float(order))
        with pytest.raises(ValueError, match="must equal the shape"):
            general.smearing_matrix(edges, nodes, "c_parameter", order=order + 1)
        with pytest.raises(ValueError, match="whole number"):
            general.smearing_matrix(edges, nodes, "c_parameter", order=1)


@pytest.mark.parametrize("observable", SPECTRA)
def test_matrix_columns_sum_to_one_with_open_ends(observable):
    edges, nodes = SPECTRA[observable]
    with jax.enable_x64(True):
        outer = np.array([-np.inf, *edges[1:-1], np.inf])
        matrix = np.asarray(ShapeFunction(**MODEL).smearing_matrix(outer, nodes, observable))
    np.testing.assert_allclose(matrix.sum(axis=0), 1.0, rtol=0, atol=1e-14)
    assert np.all(matrix >= -1e-15)


@pytest.mark.parametrize("observable", SPECTRA)
def test_random_shift_and_matrix_agree(observable):
    """χ² of 40 000 shifted values at each node against the matrix; false-alarm rate 1e-7 for all observables
    together."""
    edges, nodes = SPECTRA[observable]
    outer = np.array([-np.inf, *edges[1:-1], np.inf])
    count = 40_000
    model = ShapeFunction(**MODEL)
    noise = jax.vmap(model.sample_noise)(jax.random.split(jax.random.key(3), count))
    draw = jax.jit(jax.vmap(lambda x, u: model(x, u, observable=observable), (None, 0)))
    expected = np.asarray(model.smearing_matrix(outer, nodes, observable), float) * count
    for n, node in enumerate(nodes):
        shifted = np.asarray(draw(jnp.float32(node), noise))
        got, want = np.histogram(shifted, outer)[0], expected[:, n]
        likely = want > 10
        got = np.append(got[likely], got[~likely].sum())
        want = np.append(want[likely], max(want[~likely].sum(), 1e-3))
        if likely.sum() == 1:
            assert got[-1] < 10 + want[-1]  # practically all in one bin
            continue
        chi2 = np.sum((got[:-1] - want[:-1]) ** 2 / want[:-1])
        assert scipy.stats.chi2.sf(chi2, max(likely.sum() - 1, 1)) > 1e-7 / (4 * 5), (node, got, want)


@pytest.mark.parametrize("observable", SPECTRA)
def test_mean_shift_and_distribution(observable):
    """Mean within 5.5σ (false alarm 4e-8); the whole distribution by Kolmogorov–Smirnov at 1e-8."""
    count = 50_000
    model = ShapeFunction(**MODEL)
    noise = jax.vmap(model.sample_noise)(jax.random.split(jax.random.key(11), count))
    shifts = np.asarray(jax.jit(jax.vmap(lambda u: model(jnp.float32(0.0), u, observable=observable)))(noise), float)
    expected = COEFFICIENTS[observable] * MODEL["omega_1"] / MODEL["energy"]
    assert float(model.mean_shift(observable)) == pytest.approx(expected, rel=1e-6)
    assert np.all(shifts * np.sign(expected) > 0)
    assert abs(shifts.mean() - expected) < 5.5 * abs(expected) / np.sqrt(3 * count)
    assert scipy.stats.kstest(np.abs(shifts), shift_distribution(observable).cdf).pvalue > 1e-8


@pytest.mark.parametrize("parameter", ["omega_1", "energy", "shape"])
@pytest.mark.parametrize("observable", SPECTRA)
def test_matrix_derivative_equals_scipy_difference(observable, parameter):
    edges, nodes = SPECTRA[observable]
    with jax.enable_x64(True):
        jacobian = jax.jacfwd(
            lambda v: ShapeFunction(**{**MODEL, parameter: v}).smearing_matrix(edges, nodes, observable)
        )
        got = jax.jit(jacobian)(jnp.asarray(MODEL[parameter]))
    step = 1e-5 * MODEL[parameter]
    up = oracle(observable, **{parameter: MODEL[parameter] + step})
    down = oracle(observable, **{parameter: MODEL[parameter] - step})
    # Error of the central difference: h² f'''/6 and rounding 1e-16/h, both relative to 1/parameter.
    np.testing.assert_allclose(got, (up - down) / (2 * step), rtol=1e-6, atol=2e-9 / MODEL[parameter])
    assert np.any(np.abs(got) > 1e-4)


@pytest.mark.parametrize("observable", SPECTRA)
def test_reverse_equals_forward_and_is_finite_everywhere(observable):
    """Nodes on the edges, beyond them and far below; infinite outer edges."""
    edges, nodes = SPECTRA[observable]
    outer = np.array([-np.inf, *edges, np.inf])
    nodes = np.concatenate([nodes, edges])
    with jax.enable_x64(True):
        cotangent = np.random.default_rng(5).normal(size=(outer.size - 1, nodes.size))

        def scalar(model, x):
            return jnp.sum(cotangent * model.smearing_matrix(outer, x, observable))

        model, x = ShapeFunction(**MODEL), jnp.asarray(nodes)
        reverse_model, reverse_x = jax.jit(jax.grad(scalar, (0, 1)))(model, x)
        forward_model, forward_x = jax.jit(jax.jacfwd(scalar, (0, 1)))(model, x)
    for reverse, forward in zip(
        jax.tree.leaves((reverse_model, reverse_x)), jax.tree.leaves((forward_model, forward_x)), strict=True
    ):
        assert np.all(np.isfinite(reverse))
        np.testing.assert_allclose(reverse, forward, rtol=1e-9, atol=1e-12)


def test_gradient_of_the_random_form_is_that_of_the_matrix():
    """d/dΩ₁ of the smeared mean of (1−T)²: pathwise over 40 000 draws against the closed form, 5.5σ (false alarm
    4e-8)."""
    node, count = 0.03, 40_000
    model = ShapeFunction(**MODEL)
    noise = jax.vmap(model.sample_noise)(jax.random.split(jax.random.key(8), count))

    def square(omega_1, u):
        return (
            ShapeFunction(omega_1, MODEL["energy"], MODEL["shape"])(jnp.float32(node), u, observable="one_minus_thrust")
            ** 2
        )

    gradients = np.asarray(jax.jit(jax.vmap(jax.grad(square), (None, 0)))(jnp.float32(MODEL["omega_1"]), noise), float)
    c = 2 / MODEL["energy"]
    # ⟨(x + c k)²⟩ = x² + 2 x c Ω + c² Ω² (1 + 1/a)
    expected = 2 * node * c + 2 * c**2 * MODEL["omega_1"] * (1 + 1 / MODEL["shape"])
    assert abs(gradients.mean() - expected) < 5.5 * gradients.std() / np.sqrt(count)
    assert gradients.std() / np.sqrt(count) < 0.02 * expected


def test_small_omega_tends_to_the_identity():
    edges, nodes = np.array([0.0, 0.1, 0.2, 0.3]), np.array([0.05, 0.15, 0.25])
    deviation = []
    with jax.enable_x64(True):
        for omega_1 in (1.0, 0.3, 0.01, 1e-6, 1e-12):
            matrix = ShapeFunction(omega_1).smearing_matrix(edges, nodes, "one_minus_thrust")
            deviation.append(float(np.abs(matrix - np.eye(3)).max()))
    assert deviation[0] > deviation[1] > deviation[2]
    assert deviation[-2:] == [0.0, 0.0]


def test_thrust_and_one_minus_thrust_are_mirror_images():
    edges, nodes = SPECTRA["one_minus_thrust"]
    with jax.enable_x64(True):
        tau = ShapeFunction().smearing_matrix(edges, nodes, "one_minus_thrust")
        thrust = ShapeFunction().smearing_matrix(1 - edges[::-1], 1 - nodes, "thrust")
    np.testing.assert_allclose(thrust[::-1], tau, rtol=0, atol=1e-13)


def test_float32_matrix_agrees_with_float64():
    edges, nodes = SPECTRA["one_minus_thrust"]
    single = ShapeFunction(**MODEL).smearing_matrix(
        edges.astype("float32"), nodes.astype("float32"), "one_minus_thrust"
    )
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, oracle("one_minus_thrust"), rtol=0, atol=3e-5)


@pytest.mark.parametrize("shape", [1.0, 1.5, 3.0, 10.0, 100.0])
def test_quantile_and_its_derivatives_equal_scipy(shape):
    uniform = np.concatenate([[1e-15, 1e-9, 1e-4], np.linspace(0.01, 0.99, 33), [1 - 1e-6, 1 - 1e-12]])
    reference = scipy.stats.gamma(shape)
    with jax.enable_x64(True):
        u, a = jnp.asarray(uniform), jnp.asarray(shape)
        x = inverse_gamma_cdf(u, a)
        in_uniform = jax.jit(jax.vmap(jax.grad(inverse_gamma_cdf), (0, None)))(u, a)
        in_shape = jax.jit(jax.jacfwd(inverse_gamma_cdf, 1))(u, a)
    np.testing.assert_allclose(x, reference.ppf(uniform), rtol=1e-12)
    np.testing.assert_allclose(in_uniform, 1 / reference.pdf(x), rtol=1e-10)
    step = 1e-5 * shape
    difference = scipy.stats.gamma(shape + step).ppf(uniform) - scipy.stats.gamma(shape - step).ppf(uniform)
    np.testing.assert_allclose(in_shape, difference / (2 * step), rtol=1e-6, atol=1e-8)


def test_quantile_is_finite_at_the_ends():
    for u in (0.0, 1.0):
        value, slopes = jax.value_and_grad(inverse_gamma_cdf, (0, 1))(jnp.float32(u), jnp.float32(3.0))
        assert np.isfinite(value)
        assert value > 0
        assert np.all(np.isfinite(slopes))


def test_one_compilation_serves_all_parameter_values():
    edges, nodes = SPECTRA["c_parameter"]
    traces = []

    @jax.jit
    def matrix(model):
        traces.append(1)
        return model.smearing_matrix(edges, nodes, "c_parameter")

    results = [matrix(ShapeFunction(omega_1)) for omega_1 in (0.2, 0.4, 0.6)]
    assert len(traces) == 1
    assert not np.allclose(results[0], results[2])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"omega_1": 0.0}, "omega_1"),
        ({"omega_1": -0.3}, "omega_1"),
        ({"omega_1": float("nan")}, "omega_1"),
        ({"energy": 0.0}, "energy"),
        ({"energy": float("inf")}, "energy"),
        ({"shape": 1.0}, "shape"),
    ],
)
def test_bad_parameters_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        ShapeFunction(**arguments)


def test_bad_observables_and_edges_are_refused():
    model, nodes = ShapeFunction(), np.array([0.1])
    with pytest.raises(ValueError, match="sphericity"):
        model.mean_shift("sphericity")
    with pytest.raises(ValueError, match="larger than the one before"):
        model.smearing_matrix(np.array([0.2, 0.1]), nodes, "one_minus_thrust")
    with pytest.raises(ValueError, match="one_minus_thrust"):
        model.smearing_matrix(np.array([0.0, 0.1, 0.2]), nodes, "thrust")
    with pytest.raises(ValueError, match="for T the name"):
        model.smearing_matrix(np.array([0.6, 0.9, 1.0]), nodes, "one_minus_thrust")
