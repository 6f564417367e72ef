"""The running coupling against CRunDec, an independent integration, and its own equation."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from jaxhep.shower.coupling import RunningCoupling

# CRunDec 3 (F. Herren, M. Steinhauser, arXiv:1703.03751; Python package rundec 0.7): AlphasExact and DecAsDownSI at
# μ = m(m), from α_s^(5)(91.1876 GeV) = 0.118 with m_b(m_b) = 4.18 GeV and m_c(m_c) = 1.27 GeV, n-loop running with
# (n−1)-loop matching.
SCALES = (1000.0, 2.0, 1.0)
CRUNDEC = {
    1: (0.087744493, 0.267700240, 0.358314287),
    2: (0.086843630, 0.296556959, 0.444366749),
    3: (0.086810134, 0.300099622, 0.464865400),
    4: (0.086802864, 0.301495671, 0.476548225),
}
MASSES = (1.27, 4.18)


@pytest.mark.parametrize("loops", CRUNDEC)
def test_exact_solution_is_that_of_crundec(loops):
    with jax.enable_x64(True):
        coupling = RunningCoupling(0.118, loops=loops, thresholds=MASSES, solution="exact")
        np.testing.assert_allclose(coupling(np.square(SCALES)), CRUNDEC[loops], rtol=2e-8)


def test_exact_solution_against_scipy():
    """One region, five flavours: β coefficients written out here once more (hep-ph/9701390, eq. 9)."""
    zeta3 = 1.2020569031595942
    n = 5
    beta = (
        11 - 2 * n / 3,
        102 - 38 * n / 3,
        2857 / 2 - 5033 * n / 18 + 325 * n**2 / 54,
        29242.964 - 6946.2896 * n + 405.08904 * n**2 + 1.499314 * n**3,
    )
    assert beta[3] == pytest.approx(
        149753 / 6
        + 3564 * zeta3
        - (1078361 / 162 + 6508 * zeta3 / 27) * n
        + (50065 / 162 + 6472 * zeta3 / 81) * n**2
        + 1093 * n**3 / 729,
        rel=1e-6,
    )

    def slope(_, a):
        x = a / (4 * math.pi)
        return -4 * math.pi * sum(b * x ** (k + 2) for k, b in enumerate(beta))

    scale = 5.0
    end = 2 * math.log(scale / 91.1876)
    oracle = solve_ivp(slope, (0, end), [0.118], rtol=1e-11, atol=1e-13, method="DOP853").y[0, -1]
    with jax.enable_x64(True):
        got = RunningCoupling(0.118, loops=4, thresholds=MASSES, solution="exact")(scale**2)
    assert float(got) == pytest.approx(oracle, rel=1e-8)


def test_two_loops_are_the_formula_of_the_reference_showers():
    """α = a/w (1 − b₁/b₀ a ln w/w), region by region with m_b = 4.75, m_c = 1.27 (arXiv:1411.4085;
    arXiv:2403.08692)."""

    def run(a, mu2, start, flavours):
        b0 = (33 - 2 * flavours) / (12 * math.pi)
        b1 = (153 - 19 * flavours) / (24 * math.pi**2)
        w = 1 + b0 * a * math.log(mu2 / start)
        return a / w * (1 - b1 / b0 * a * math.log(w) / w)

    bottom = run(0.118, 4.75**2, 91.1876**2, 5)
    charm = run(bottom, 1.27**2, 4.75**2, 4)
    with jax.enable_x64(True):
        coupling = RunningCoupling(0.118)
        for mu, value in ((20.0, run(0.118, 400.0, 91.1876**2, 5)), (1.0, run(charm, 1.0, 1.27**2, 3))):
            assert float(coupling(mu**2)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("loops", [1, 2, 3, 4])
def test_expansion_is_right_to_its_order(loops):
    """At fixed a·L the expanded and the exact solution differ by a relative a^loops: halved a, 2^−loops of it."""
    with jax.enable_x64(True):
        errors = []
        for a in (0.04, 0.02):
            log_mu2 = 2 * math.log(91.1876) - 0.5 / (0.61 * a)
            exact, expanded = (
                RunningCoupling(a, loops=loops, thresholds=(), solution=s).at_log(jnp.asarray(log_mu2))
                for s in ("exact", "expanded")
            )
            errors.append(abs(float(expanded / exact) - 1))
    if loops == 1:
        assert max(errors) < 1e-9
    else:
        assert errors[0] > 1e-8
        assert errors[0] / errors[1] == pytest.approx(2**loops, rel=0.25)


@pytest.mark.parametrize("solution", ["expanded", "exact"])
def test_derivatives(solution):
    with jax.enable_x64(True):

        @jax.jit
        def at(alpha_s, log_mu2):
            return RunningCoupling(alpha_s, loops=3, thresholds=MASSES, solution=solution).at_log(log_mu2)

        slopes = jax.jit(jax.grad(at, (0, 1)))

        for mu in (1.1, 2.5, 30.0, 500.0):
            point = (jnp.asarray(0.118), jnp.asarray(2 * math.log(mu)))
            for argument, step in ((0, 1e-6), (1, 1e-5)):
                shifted = [list(point), list(point)]
                shifted[0][argument] += step
                shifted[1][argument] -= step
                difference = (at(*shifted[0]) - at(*shifted[1])) / (2 * step)
                slope = slopes(*point)[argument]
                assert float(slope) == pytest.approx(float(difference), rel=1e-6)


def test_the_exact_solution_obeys_its_equation():
    with jax.enable_x64(True):
        coupling = RunningCoupling(0.118, loops=2, thresholds=(), solution="exact")
        x = jnp.asarray(2 * math.log(10.0))
        alpha, slope = jax.value_and_grad(coupling.at_log)(x)
        b0, b1 = 27 / (12 * math.pi), 96 / (24 * math.pi**2)
        assert float(slope) == pytest.approx(float(-(alpha**2) * (b0 + b1 * alpha)), rel=1e-7)


def test_flavours_thresholds_and_cmw():
    coupling = RunningCoupling(0.118, thresholds=(1.3, 4.75, 173.0))
    np.testing.assert_array_equal(coupling.num_flavours(np.square([1.0, 2.0, 50.0, 500.0])), [3, 4, 5, 6])
    assert float(coupling(91.1876**2)) == pytest.approx(0.118, rel=1e-6)
    # Continuous at two loops.
    below, above = (float(coupling((4.75 * f) ** 2)) for f in (1 - 1e-6, 1 + 1e-6))
    assert below == pytest.approx(above, rel=1e-5)
    with_cusp = RunningCoupling(0.118, cmw=True)
    k = 3 * (67 / 18 - math.pi**2 / 6) - 10 / 9 * 0.5 * 5
    assert float(with_cusp(91.1876**2)) == pytest.approx(0.118 * (1 + k * 0.118 / (2 * math.pi)), rel=1e-6)


def test_reference_scale_below_the_thresholds():
    """From 2 GeV up is the inverse of from m_Z down, to the order of the matching."""
    with jax.enable_x64(True):
        low = RunningCoupling(CRUNDEC[4][1], 2.0, loops=4, thresholds=MASSES, solution="exact")
        assert float(low(91.1876**2)) == pytest.approx(0.118, rel=2e-6)


BAD = [
    ({"alpha_s": 0.0}, "alpha_s must be a positive number"),
    ({"alpha_s": -0.1}, "alpha_s must be a positive number"),
    ({"alpha_s": math.nan}, "alpha_s must be a positive number"),
    ({"reference_scale": -91.0}, "reference_scale must be a positive number"),
    ({"loops": 0}, "loops must be 1, 2, 3 or 4"),
    ({"loops": 5}, "loops must be 1, 2, 3 or 4"),
    ({"loops": True}, "loops must be 1, 2, 3 or 4"),
    ({"thresholds": (4.75, 1.27)}, "rising positive masses"),
    ({"thresholds": (-1.0,)}, "rising positive masses"),
    ({"solution": "numeric"}, "solution must be 'expanded' or 'exact'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda x: str(x))
def test_bad_arguments(arguments, message):
    initialise = inspect.unwrap(RunningCoupling.__init__)
    with pytest.raises(ValueError, match=message):
        initialise(object.__new__(RunningCoupling), **arguments)


@pytest.mark.parametrize("mu2", [0.0, -1.0, math.nan, math.inf])
def test_bad_scales(mu2):
    with pytest.raises(ValueError, match="mu2 is a squared scale"):
        RunningCoupling()(mu2)


@pytest.mark.parametrize("solution", ["expanded", "exact"])
@pytest.mark.parametrize("loops", [1, 2, 3, 4])
def test_landau_pole_is_refused(loops, solution):
    coupling = RunningCoupling(0.118, loops=loops, solution=solution)
    with pytest.raises(ValueError, match="Landau pole at or above"):
        coupling(0.05**2)
    assert 0.3 < float(coupling(1.0)) < 0.6
