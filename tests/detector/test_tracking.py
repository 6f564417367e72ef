"""Tracking layers and the track fit: closed forms, Kalman filter against global fit, pulls, exact derivatives."""

import inspect
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.detector.tracking import (
    Hits,
    Tracker,
    TrackState,
    curvature_of,
    expected_covariance,
    fit_track,
    highland_angle,
    pt_resolution,
)
from jaxhep.expectation import derivative
from tests.detector.once import ONCE

PULL = 5.2  # two-sided 2e-7
TRACKS = 20_000


def vertex_tracker(**changes):
    """Five cylinders of a silicon detector."""
    good = {
        "positions": [0.03, 0.07, 0.12, 0.3, 0.5], "resolutions": 2e-5, "thicknesses": 0.01, "widths": 0.002,
        "efficiencies": 0.98, "field": 2.0, "geometry": "cylindrical",
    }  # fmt: skip
    return Tracker(**{**good, **changes})


@pytest.fixture(scope="module")
def sample():
    """20 000 tracks of 2 GeV, fitted both ways."""
    with jax.enable_x64(True):
        tracker = vertex_tracker()
        truth = tracker.track(pt=2.0, charge=1, impact=1e-4, angle=3.0, cot_theta=0.5)

        @jax.jit
        def run(keys):
            noise = jax.vmap(tracker.sample_noise)(keys)
            hits = jax.vmap(lambda n: tracker(n, truth))(noise)
            # From a wrong start: the iterations find the helix.
            start = eqx.tree_at(lambda t: (t.impact, t.angle), truth, (truth.impact + 1e-3, truth.angle - 5e-3))
            methods = ("global", "kalman")
            fits = [jax.vmap(lambda h, m=m: fit_track(tracker, h, start, method=m))(hits) for m in methods]
            return hits, *fits

        hits, fit, kalman = jax.tree.map(np.asarray, run(jax.random.split(jax.random.key(5), TRACKS)))
        return types.SimpleNamespace(
            tracker=tracker, truth=np.asarray(truth.local()), state=truth, hits=hits, fit=fit, kalman=kalman
        )


# One program a kind of tracker: planes of 20 layers, hits beyond the last one wanted have weight 0.
covariance_of = eqx.filter_jit(expected_covariance)
LAYERS = 20


def planes(number, length, **more):
    """`number` equidistant planes over `length` that count, from x = 0.1, and others behind; with their weights."""
    step = length / (number - 1)
    positions = np.concatenate([np.linspace(0.1, 0.1 + length, number), 0.1 + length + step * np.arange(1, LAYERS)])
    tracker = Tracker(positions[:LAYERS], curved=True, **more)
    return tracker, jnp.asarray(np.arange(LAYERS) < number, float)


def gluckstern(number):
    n = number - 1
    return np.sqrt(720 * n**3 / ((n - 1) * (n + 1) * (n + 2) * (n + 3)))


@pytest.mark.parametrize("number", [3, 4, 5, 10, 20])
def test_curvature_error_is_that_of_gluckstern(number):
    """N + 1 equidistant points without scattering: σ(κ) = σ/L² √(720 N³/((N−1)(N+1)(N+2)(N+3))) → √(720/(N+5))."""
    with jax.enable_x64(True):
        length, sigma = 0.9, 1e-4
        tracker, weights = planes(number, length, resolutions=sigma)
        got = float(jnp.sqrt(covariance_of(tracker, TrackState(), hit_weights=weights)[2, 2]))
    assert got == pytest.approx(sigma / length**2 * gluckstern(number), rel=1e-10)
    if number == 20:
        assert got == pytest.approx(sigma / length**2 * np.sqrt(720 / (number + 4)), rel=0.01)


def test_momentum_resolution_is_that_of_gluckstern():
    """σ(p_T)/p_T = p_T σ/(0.3 B L²) times Gluckstern's factor, and the multiple-scattering limit beside it."""
    program = eqx.filter_jit(pt_resolution)
    with jax.enable_x64(True):

        def resolution(pt, **more):
            tracker, _ = planes(LAYERS, 1.0, field=2.0, **more)
            return float(program(tracker, tracker.track(pt=pt, charge=-1)))

        got = resolution(20.0, resolutions=1e-4)
        slow = [resolution(pt, resolutions=1e-7, thicknesses=0.005) for pt in (5.0, 10.0)]
    assert got == pytest.approx(20 * 1e-4 / (0.299792458 * 2) * gluckstern(LAYERS), rel=0.01)
    # Where scattering dominates, σ(p_T)/p_T does not depend on p_T.
    assert slow[0] == pytest.approx(slow[1], rel=0.02)
    assert slow[0] > 1000 * 5 * 1e-7 / (0.299792458 * 2)


def test_two_layers_give_the_known_error_of_the_vertex():
    r"""Straight tracks: σ² = (σ₁²r₂² + σ₂²r₁²)/(r₂−r₁)² + r₁²θ₀²."""
    with jax.enable_x64(True):
        r1, r2, s1, s2, x = 0.04, 0.11, 1.2e-5, 2.5e-5, 0.02
        track = TrackState(momentum=1.5)
        for geometry in ("planar", "cylindrical"):
            tracker = Tracker([r1, r2], resolutions=[s1, s2], thicknesses=[x, 0.3], geometry=geometry)
            theta = float(highland_angle(jnp.asarray(1.5), jnp.asarray(x)))
            covariance = np.asarray(covariance_of(tracker, track))
            want = (s1**2 * r2**2 + s2**2 * r1**2) / (r2 - r1) ** 2 + (r1 * theta) ** 2
            assert covariance[0, 0] == pytest.approx(want, rel=1e-9)
            # The angle: hits, and all of the scattering (the fit gives the direction before it).
            assert covariance[1, 1] == pytest.approx((s1**2 + s2**2) / (r2 - r1) ** 2 + theta**2, rel=1e-9)


def test_covariance_is_that_of_weighted_least_squares():
    """Planes without field: V from the textbook sum, thick layers by their centre and w²/12, in NumPy."""
    with jax.enable_x64(True):
        x = np.array([0.0, 0.2, 0.5, 0.6, 1.0])
        widths = np.array([0.05, 0.1, 0.02, 0.0, 0.3])
        matter, sigma = np.array([0.01, 0.05, 0.0, 0.02, 1.0]), np.array([1.0, 2, 1, 3, 1]) * 1e-4
        tracker = Tracker(x, resolutions=sigma, thicknesses=matter, widths=widths)
        theta = np.asarray(highland_angle(jnp.asarray(3.0), jnp.asarray(matter)))
        got = np.asarray(covariance_of(tracker, TrackState(momentum=3.0)))
    centre = x + widths / 2
    v = np.diag(sigma**2)
    for i in range(5):
        for j in range(5):
            for k in range(min(i, j)):
                v[i, j] += theta[k] ** 2 * ((x[i] - centre[k]) * (x[j] - centre[k]) + widths[k] ** 2 / 12)
    design = np.stack([np.ones(5), x], axis=1)
    np.testing.assert_allclose(got, np.linalg.inv(design.T @ np.linalg.inv(v) @ design), rtol=1e-9)


def test_highland_angle():
    got = np.asarray(highland_angle(jnp.array([1.0, 0.2, 1.0]), jnp.array([0.02, 0.1, 0.0])))
    beta = 0.2 / np.hypot(0.2, 0.1056583755)
    want = [
        13.6e-3 * np.sqrt(0.02) * (1 + 0.038 * np.log(0.02)) * np.hypot(1, 0.1056583755),
        13.6e-3 / (0.2 * beta) * np.sqrt(0.1) * (1 + 0.038 * np.log(0.1)),
        0,
    ]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert float(jax.grad(lambda x: highland_angle(jnp.asarray(1.0), x))(jnp.asarray(0.0))) == 0


@pytest.mark.parametrize("geometry", ["planar", "cylindrical"])
def test_tracks_against_a_traced_helix(geometry):
    """The unscattered track on each layer against small steps along the helix."""
    with jax.enable_x64(True):
        layers = np.array([0.1, 0.4, 0.8, 1.1])
        tracker = Tracker(layers, resolutions=1e-5, field=2.0, geometry=geometry)
        track = tracker.track(pt=0.8, charge=-1, impact=0.01, angle=-0.2)
        got = np.asarray(eqx.filter_jit(lambda t: t.transport(track).predicted)(tracker))
        kappa = float(curvature_of(0.8, -1, 2.0))
    s = np.linspace(0, 2, 40_001)
    psi = -0.2 + kappa * s
    start = np.array([0, 0.01]) if geometry == "planar" else 0.01 * np.array([np.sin(0.2), np.cos(0.2)])
    x = start[0] + (np.sin(psi) - np.sin(-0.2)) / kappa
    y = start[1] - (np.cos(psi) - np.cos(-0.2)) / kappa
    out = x if geometry == "planar" else np.hypot(x, y)
    for layer, place in zip(layers, got, strict=True):
        after = np.argmax(out >= layer)
        part = (layer - out[after - 1]) / (out[after] - out[after - 1])
        at_x, at_y = (c[after - 1] + part * (c[after] - c[after - 1]) for c in (x, y))
        want = at_y if geometry == "planar" else layer * np.arctan2(at_y, at_x)
        assert place == pytest.approx(want, abs=1e-8)


def test_kalman_filter_is_the_global_fit(sample):
    errors = np.sqrt(np.diagonal(sample.fit.covariance, axis1=1, axis2=2))
    good = sample.fit.valid
    np.testing.assert_array_equal(good, sample.kalman.valid)
    assert np.max(np.abs(sample.fit.parameters - sample.kalman.parameters)[good] / errors[good]) < 1e-8
    scale = errors[:, :, None] * errors[:, None, :]
    assert np.max(np.abs(sample.fit.covariance - sample.kalman.covariance)[good] / scale[good]) < 1e-8
    np.testing.assert_allclose(sample.fit.chi2, sample.kalman.chi2, atol=1e-7)


def test_pulls_and_chi2(sample):
    """Pulls have mean 0 and width 1, χ² has mean and variance of its degrees of freedom (5 hits: 2)."""
    full = sample.hits.mask.all(axis=1)
    count = full.sum()
    assert count > 0.85 * TRACKS
    errors = np.sqrt(np.diagonal(sample.fit.covariance, axis1=1, axis2=2))
    pulls = ((sample.fit.parameters - sample.truth) / errors)[full]
    print("pulls:", pulls.mean(axis=0) * np.sqrt(count), (pulls.std(axis=0) - 1) * np.sqrt(2 * count))
    assert np.all(np.abs(pulls.mean(axis=0)) < PULL / np.sqrt(count))
    assert np.all(np.abs(pulls.std(axis=0) - 1) < PULL / np.sqrt(2 * count))
    chi2 = sample.fit.chi2[full]
    assert np.all(sample.fit.ndf[full] == 2)
    assert abs(chi2.mean() - 2) < PULL * 2 / np.sqrt(count)
    assert abs(chi2.var() - 4) < PULL * np.sqrt(128 / count)  # Var of the variance of χ²₂: (μ₄ − σ⁴)/n = (144 − 16)/n
    # With hits missing the errors grow, and the pulls stay.
    some = ~full & sample.fit.valid
    pulls = ((sample.fit.parameters - sample.truth) / errors)[some]
    assert np.all(np.abs(pulls.std(axis=0) - 1) < PULL / np.sqrt(2 * some.sum()))
    assert errors[some, 0].mean() > errors[full, 0].mean()


def test_efficiency_is_in_the_weight(sample):
    """Fraction of hits as set; the derivative of the number of hits from weights alone is the number of layers."""
    count = sample.hits.mask.size
    assert abs(sample.hits.mask.mean() - 0.98) < PULL * np.sqrt(0.98 * 0.02 / count)
    np.testing.assert_array_equal(sample.hits.weight, 1)
    with jax.enable_x64(True):
        tracker, few = sample.tracker, 4000

        def weights(value):
            noise = jax.vmap(tracker.sample_noise)(jax.random.split(jax.random.key(6), few))
            other = eqx.tree_at(lambda t: t.efficiencies, tracker, jnp.full(5, value))
            hits = jax.vmap(lambda n: other(n, sample.state))(noise)
            return hits.weight, jnp.sum(hits.mask, axis=1) * 1.0

        (w, n), (dw, dn) = jax.jit(lambda x: jax.jvp(weights, (x,), (1.0,)))(0.98)
        slope = derivative(n, dn, w, dw)
    assert abs(float(slope.value) - 5) < PULL * float(slope.error)
    assert float(slope.error) < 0.5
    # Too few hits for three parameters are flagged, and nothing is NaN.
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(sample.fit))


@pytest.fixture(scope="module")
def log_errors():
    """(tracker, cot θ) → ln Var(d₀), ln Var(κ), ln σ(p_T)/p_T of tracks of 1 GeV, and its Jacobian."""

    def errors(tracker, cot_theta):
        track = tracker.track(pt=1.0, charge=1, cot_theta=cot_theta)
        covariance = expected_covariance(tracker, track)
        relative = jnp.sqrt(covariance[2, 2]) / jnp.abs(track.curvature)
        return jnp.log(jnp.stack([covariance[0, 0], covariance[2, 2], relative]))

    return jax.jit(errors, compiler_options=ONCE), jax.jit(jax.jacrev(errors), compiler_options=ONCE)


def test_resolution_has_exact_derivatives(log_errors):
    """∂σ(d₀), ∂σ(κ) by positions, matter, widths, resolutions, field: forward, reverse, difference quotient."""
    with jax.enable_x64(True):
        tracker = vertex_tracker()
        program, jacobian = log_errors
        errors = lambda tracker: program(tracker, 0.3)  # noqa: E731
        slopes = jacobian(tracker, 0.3)
        for name in ("positions", "thicknesses", "widths", "resolutions", "efficiencies"):
            leaf = getattr(tracker, name)
            for layer in (0, 2):
                step = 1e-5 * leaf[layer]
                up, down = (
                    errors(eqx.tree_at(lambda t: getattr(t, name), tracker, leaf.at[layer].add(h)))  # noqa: B023
                    for h in (step, -step)
                )
                want = np.asarray((up - down) / (2 * step))
                got = np.asarray(getattr(slopes, name))[:, layer]
                np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-4)
                assert np.any(np.abs(got) > 1e-3)
        # Twice the field is half the relative error where scattering does not change: it does not depend on B.
        strong = eqx.tree_at(lambda t: t.field, tracker, 2.001 * jnp.ones(()))
        change = float(errors(strong)[2] - errors(tracker)[2]) / np.log(2.001 / 2)
        assert change == pytest.approx(-1, abs=0.03)


def test_derivative_of_the_spread_is_the_difference_of_independent_samples(log_errors):
    """Var(d₀) of fitted tracks with the first layer at r ± 20 %, against the derivative of the covariance."""
    with jax.enable_x64(True):
        tracker, count = vertex_tracker(efficiencies=1.0), 40_000
        track = tracker.track(pt=1.0, charge=1)

        @jax.jit
        def spread(radius, key):
            other = eqx.tree_at(lambda t: t.positions, tracker, tracker.positions.at[0].set(radius))
            noise = jax.vmap(other.sample_noise)(jax.random.split(key, count))
            fits = jax.vmap(lambda n: fit_track(other, other(n, track), track, method="kalman", iterations=1))(noise)
            return jnp.log(jnp.var(fits.parameters[:, 0]))

        step = 0.2
        up, down = (float(spread(0.03 * np.exp(sign * step), jax.random.key(20 + sign))) for sign in (1, -1))
        slope = 0.03 * float(log_errors[1](tracker, 0.0).positions[0, 0])
    error = np.sqrt(2 / count) * np.sqrt(2) / (2 * step)
    print(f"d ln Var(d0)/d ln r1 = {slope}, samples {(up - down) / (2 * step)} ± {error}")
    # The difference is off by step²/6 of the third derivative, below 0.01 here.
    assert abs((up - down) / (2 * step) - slope) < PULL * error + 0.01
    assert abs(slope) > 10 * error


def test_gradients_through_the_fit_are_finite_at_the_edges():
    """No hit, one hit, no matter, no curvature, a particle that turns back inside the third layer."""
    with jax.enable_x64(True):
        tracker = vertex_tracker(thicknesses=0.0, widths=0.0)
        noise = tracker.sample_noise(jax.random.key(0))

        @jax.jit
        def total(tracker, state, keep):
            hits = tracker(noise, state)
            hits = eqx.tree_at(lambda h: h.mask, hits, hits.mask & keep)
            fit = fit_track(tracker, hits, state)
            return jnp.sum(fit.parameters) + jnp.sum(fit.covariance) + fit.chi2, fit

        slopes = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True), compiler_options=ONCE)
        for curvature, keep in ((0.0, True), (0.0, False), (20.0, True), (0.3, np.arange(5) < 1)):
            state = TrackState(curvature=curvature, momentum=1.0)
            gradient, fit = slopes(tracker, state, jnp.broadcast_to(jnp.asarray(keep), (5,)))
            assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((gradient, fit)))
            assert bool(fit.valid) == (np.sum(np.broadcast_to(keep, 5)) >= 3 and curvature < 6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"positions": []}, "at least one layer"),
        ({"positions": 0.1}, "at least one layer"),
        ({"positions": [0.1, 0.1]}, "order in which they are crossed"),
        ({"positions": [0.2, 0.1]}, "sort them"),
        ({"positions": [0.0, 0.1]}, "radii are positive"),
        ({"positions": [-0.1, 0.1], "geometry": "planar"}, "x ≥ 0"),
        ({"resolutions": -1e-5}, "positive length"),
        ({"resolutions": 0.0}, "positive length"),
        ({"resolutions": [1e-5, 1e-5]}, "shape"),
        ({"thicknesses": -0.1}, "not negative"),
        ({"efficiencies": 1.1}, "between 0 and 1"),
        ({"field": -2.0}, "tesla"),
        ({"geometry": "conical"}, "'planar' or 'cylindrical'"),
    ],
)
def test_bad_trackers_are_refused(change, says):
    good = {"positions": [0.1, 0.2, 0.3], "resolutions": 1e-5, "geometry": "cylindrical"}
    with pytest.raises(ValueError, match=says):
        inspect.unwrap(Tracker.__init__)(types.SimpleNamespace(), **{**good, **change})


def test_bad_fits_are_refused():
    tracker = Tracker([0.1, 0.2], resolutions=1e-5, field=2.0)
    track = tracker.track(1.0, 1)
    hits = Hits(jnp.zeros(2), jnp.ones(2, bool), jnp.ones(()))
    with pytest.raises(ValueError, match="add layers"):
        fit_track(tracker, hits, track)
    with pytest.raises(ValueError, match="add layers"):
        expected_covariance(tracker, track)
    with pytest.raises(ValueError, match="at least 1"):
        fit_track(tracker, hits, track, iterations=0)
    with pytest.raises(ValueError, match="does not fit the curvature"):
        pt_resolution(Tracker([0.1, 0.2], resolutions=1e-5), TrackState())
    with pytest.raises(ValueError, match="'global' or 'kalman'"):
        inspect.unwrap(fit_track)(tracker, hits, track, method="best")
