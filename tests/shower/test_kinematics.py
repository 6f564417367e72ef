"""Momenta and derivatives in float64, event by event."""

import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.event import Event
from jaxhep.shower import DiscreteQCD
from jaxhep.shower._antenna import ariadne_coefficients, invariant_fractions, momentum_spinors, spinor_momenta
from jaxhep.shower._grove import draw_grove
from jaxhep.simulator import with_parameters
from tests.shower.oracles import ENERGY

EVENTS = 4096
SCALE = 0.2
METRIC = np.array([1.0, -1, -1, -1])


def dot(a, b):
    """Minkowski product over the last axis."""
    return np.sum(a * b * METRIC, axis=-1)


def pair_masses(momenta):
    """All s_ab of each event."""
    gram = np.einsum("eam,ebm,m->eab", momenta, momenta, METRIC)
    return 2 * gram


def back_to_back(direction, energy=ENERGY):
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    quark = np.concatenate([[1.0], direction])
    antiquark = np.concatenate([[1.0], -direction])
    return energy / 2 * np.stack([quark, antiquark])


@pytest.fixture(scope="module", params=["smooth", "lattice"])
def run(request):
    """A compiled shower of a given q q̄ pair at Λ with the choices of Λ_ref, for a fixed set of events."""
    with jax.enable_x64(True):
        base = DiscreteQCD(lambda_qcd=SCALE, mode=request.param, lambda_range=(0.15, 0.4))
        noise = jax.vmap(base.sample_noise)(jax.random.split(jax.random.key(3), EVENTS))

        @jax.jit
        def shower(log_lambda, log_reference, noise, momenta):
            sim, reference = (with_parameters(base, {"lambda_qcd": jnp.exp(t)}) for t in (log_lambda, log_reference))
            start = Event(momenta, jnp.ones(2, bool), jnp.array([2, -2]), jnp.ones(()), jnp.asarray(False))
            return jax.vmap(lambda u: sim(u, start, reference=reference))(noise)

        @jax.jit
        @jax.vmap
        def grove(noise):
            return draw_grove(base.layout, base.geometry, noise, 2 * jnp.log(ENERGY / SCALE), None)

        def call(scale=SCALE, reference=SCALE, noise=noise, axis=(0, 0, 1)):
            with jax.enable_x64(True):
                out = shower(jnp.log(scale), jnp.log(reference), jnp.asarray(noise), jnp.asarray(back_to_back(axis)))
                return jax.tree.map(np.asarray, out)

        drawn = jax.tree.map(np.asarray, grove(noise))
    order = np.where(np.array(drawn.active), np.array(drawn.order), -1).T
    return types.SimpleNamespace(
        mode=request.param,
        base=base,
        noise=np.asarray(noise),
        call=call,
        event=call(),
        gluons=np.sum(np.array(drawn.active), axis=0),
        # Slots of each event in the order of emission.
        order=np.argsort(-order, axis=1, kind="stable"),
        height=np.array(drawn.height).T,
        position=np.array(drawn.position).T,
    )


def in_order(run, name, emission):
    return np.take_along_axis(getattr(run, name), run.order[:, emission : emission + 1], axis=1)[:, 0]


def test_four_momentum_is_conserved_and_massless(run):
    p = run.event.momenta
    assert p.dtype == np.float64
    assert np.all(np.isfinite(p))
    np.testing.assert_allclose(p.sum(axis=1), np.tile([ENERGY, 0, 0, 0], (EVENTS, 1)), rtol=0, atol=1e-9 * ENERGY)
    assert np.max(np.abs(dot(p, p))) < 1e-9 * ENERGY**2
    assert np.all(p[..., 0][run.event.mask] > 0)
    assert np.all(p[~run.event.mask] == 0)


def test_no_gluon_is_lost(run):
    mask = run.event.mask
    assert not run.event.overflow.any()
    np.testing.assert_array_equal(mask.sum(axis=1) - 2, run.gluons)
    np.testing.assert_array_equal(np.sort(~mask, axis=1), ~mask)
    np.testing.assert_array_equal(run.event.pdg_id[:, :2], np.tile([2, -2], (EVENTS, 1)))
    np.testing.assert_array_equal(run.event.pdg_id[:, 2:] == 21, mask[:, 2:])
    assert set(np.unique(run.gluons)) >= {0, 1, 2, 3, 4, 5}


def test_last_branching_is_recovered_from_the_momenta(run):
    """k⊥, y, the dipole mass and the colour neighbours, from the final momenta of the three partons."""
    p, history = run.event.momenta, run.event.history
    for n in range(1, 6):
        rows = np.flatnonzero(run.gluons == n)
        assert rows.size > 20
        left, right = history.emitters[rows, n - 1].T
        i, j, k = p[rows, left], p[rows, n + 1], p[rows, right]
        s_ij, s_jk, s_ik = 2 * dot(i, j), 2 * dot(j, k), 2 * dot(i, k)
        s = s_ij + s_jk + s_ik
        np.testing.assert_allclose(history.dipole_mass[rows, n - 1], np.sqrt(s), rtol=1e-7)
        np.testing.assert_allclose(history.kt[rows, n - 1], np.sqrt(s_ij * s_jk / s), rtol=1e-6)
        np.testing.assert_allclose(history.rapidity[rows, n - 1], np.log(s_ij / s_jk) / 2, atol=1e-6)
        colour = history.colour[rows, :n]
        np.testing.assert_array_equal(np.sort(colour, axis=1), np.tile(np.arange(1, n + 1), (rows.size, 1)))
        place = np.concatenate([np.zeros((rows.size, 1)), np.full((rows.size, 1), n + 1), colour], axis=1)
        at = np.arange(rows.size)
        np.testing.assert_array_equal(place[at, left] + 1, colour[:, -1])
        np.testing.assert_array_equal(place[at, right] - 1, colour[:, -1])


def test_first_emission_has_the_kt_and_rapidity_of_its_tile(run):
    some = run.gluons > 0
    history = run.event.history
    height, position = in_order(run, "height", 0)[some], in_order(run, "position", 0)[some]
    kt, y = history.kt[some, 0], history.rapidity[some, 0]
    np.testing.assert_allclose(y, position, atol=1e-12)
    naive = SCALE * np.exp(run.base.delta * height)
    if run.mode == "smooth":
        np.testing.assert_allclose(kt, naive, rtol=1e-12)
    else:
        # The triangle reaches k⊥ = √s; the map brings it inside the hyperbola: 2 k⊥ cosh Y = √s with Y the triangle's.
        np.testing.assert_allclose(kt, naive / (1 + (naive / ENERGY) ** 2), rtol=1e-12)
    assert np.all(2 * kt * np.cosh(y) < ENERGY)


def test_later_emissions_tend_to_their_tile_when_strongly_ordered(run):
    two = run.gluons > 1
    history = run.event.history
    kt, mass, y = (a[two, 1] for a in (history.kt, history.dipole_mass, history.rapidity))
    naive = SCALE * np.exp(run.base.delta * in_order(run, "height", 1)[two])
    deviation = np.abs(np.log(kt / naive))
    # Rapidity left between the second gluon and the nearer end of its dipole.
    room = np.arccosh(mass / (2 * kt)) - np.abs(y)
    bins = [deviation[(room > low) & (room < low + 1)] for low in (0.0, 1.0, 2.0, 3.0)]
    assert all(part.size > 20 for part in bins)
    medians = [np.median(part) for part in bins]
    assert all(a > 1.5 * b for a, b in itertools.pairwise(medians))
    assert medians[-1] < 0.05


def test_charge_conjugation(run):
    """Mirrored noise gives the mirrored event: quark and antiquark swapped, colour order reversed, y → −y."""
    slots = run.base.layout.slots
    index = {slot: i for i, slot in enumerate(slots)}

    def mirror(slot):
        parent = -1 if slot.parent < 0 else mirrored[slot.parent]
        return index[slot._replace(parent=parent, column=-slot.column if parent < 0 else slot.column, side=-slot.side)]

    mirrored: list[int] = []
    for slot in slots:
        mirrored.append(mirror(slot))
    noise = run.noise[:, mirrored].copy()
    primary = [i for i, slot in enumerate(slots) if slot.parent < 0]
    noise[:, primary, 1] = 1 - noise[:, primary, 1]
    noise[:, :, 2] = 1 - noise[:, :, 2]
    other = run.call(noise=noise)
    np.testing.assert_array_equal(other.mask, run.event.mask)
    # With three and more gluons the azimuth of a dipole's reference direction depends on the history.
    few = np.flatnonzero((run.gluons > 0) & (run.gluons <= 2))
    if run.mode == "lattice":
        # Two gluons of one height are emitted in colour order, which the mirror reverses.
        level = [in_order(run, "height", e)[few] for e in (0, 1)]
        few = few[np.abs(level[0] - level[1]) > 1e-9]
    swap = [1, 0, 2, 3]
    here, there = (pair_masses(e.momenta[few][:, :4]) for e in (run.event, other))
    np.testing.assert_allclose(there[:, swap][:, :, swap], here, rtol=0, atol=1e-9 * ENERGY**2)
    np.testing.assert_allclose(other.history.rapidity[few, :2], -run.event.history.rapidity[few, :2], atol=1e-9)


def test_another_axis_gives_the_rotated_event(run):
    for axis in ((0.3, -0.5, 0.4), (0.1, 0.7, -0.6), (0, 0, -1), (1, 0, 0)):
        other = run.call(axis=axis)
        np.testing.assert_allclose(
            pair_masses(other.momenta), pair_masses(run.event.momenta), rtol=0, atol=1e-9 * ENERGY**2
        )
        np.testing.assert_allclose(other.momenta.sum(axis=1)[:, 1:], 0, atol=1e-9 * ENERGY)
        empty = run.gluons == 0
        expected = np.broadcast_to(back_to_back(axis), (empty.sum(), 2, 4))
        np.testing.assert_allclose(other.momenta[empty][:, :2], expected, atol=1e-12 * ENERGY)


def test_moving_keeps_the_choices_and_reweights_them(run):
    moved = run.call(scale=SCALE * 1.05)
    np.testing.assert_array_equal(moved.mask, run.event.mask)
    assert np.all(run.event.weight == 1)
    np.testing.assert_allclose(moved.momenta.sum(axis=1)[:, 0], ENERGY)
    if run.mode == "lattice":
        np.testing.assert_array_equal(moved.weight, 1)
        # Across a jump of N moving is impossible, and says so.
        assert run.call(scale=0.38).overflow.all()
    else:
        assert 0.01 < np.std(moved.weight) < 0.5
        # The weight averages to one (false alarm rate 2e-7, 5.2 standard errors).
        assert abs(moved.weight.mean() - 1) < 5.2 * moved.weight.std() / np.sqrt(EVENTS)


@pytest.fixture(scope="module")
def small():
    """A small smooth shower and a scalar-free view of it: (momenta, weight) as a function of ln Λ."""
    with jax.enable_x64(True):
        # Few slots and gluons: reverse and second derivatives take long to compile.
        base = DiscreteQCD(lambda_qcd=0.4, lambda_range=(0.35, 0.6), capacity=5)
        noise = jax.vmap(base.sample_noise)(jax.random.split(jax.random.key(8), 1024))

        def view(log_lambda, noise, reference=None):
            event = with_parameters(base, {"lambda_qcd": jnp.exp(log_lambda)})(noise, reference=reference)
            return event.momenta, event.weight

        point = jnp.log(jnp.asarray(0.4))
        frozen = jax.jit(jax.vmap(lambda t, u: view(t, u, base), (None, 0)))
        forward = jax.jit(jax.vmap(lambda u: jax.jvp(lambda t: view(t, u), (point,), (jnp.ones(()),))))
        values, tangents = forward(noise)
    return types.SimpleNamespace(
        base=base, noise=noise, view=view, point=point, frozen=frozen, values=values, tangents=tangents
    )


def test_forward_derivative_is_the_frozen_noise_difference(small):
    with jax.enable_x64(True):
        step = 1e-5
        plus, minus = (small.frozen(small.point + h, small.noise) for h in (step, -step))
        middle = small.frozen(small.point, small.noise)
        for name, up, down, centre, value, tangent in zip(
            ("momenta", "weight"), plus, minus, middle, small.values, small.tangents, strict=True
        ):
            np.testing.assert_allclose(centre, value, rtol=0, atol=1e-12 * ENERGY, err_msg=name)
            scale = np.maximum(np.abs(tangent), 1.0).reshape(1024, -1).max(axis=1)
            error = np.abs((up - down) / (2 * step) - tangent).reshape(1024, -1).max(axis=1) / scale
            # Kinks in Λ lie where a gluon's tip crosses an edge of a column: an event is within the step of one with a
            # probability of about 1e-5, where the two-sided difference averages two slopes.
            assert np.quantile(error, 0.995) < 1e-6, name
        assert np.abs(small.tangents[0]).max() > 1
        assert np.std(small.tangents[1]) > 0.1


def test_reverse_derivative_is_the_forward_one(small):
    with jax.enable_x64(True):
        few = small.noise[:128]
        cotangent = (
            jax.random.normal(jax.random.key(1), small.values[0][:128].shape),
            jax.random.normal(jax.random.key(2), (128,)),
        )

        @jax.jit
        @jax.vmap
        def reverse(noise, cotangent):
            return jax.vjp(lambda t: small.view(t, noise), small.point)[1](cotangent)[0]

        got = reverse(few, cotangent)
        expected = (
            jnp.einsum("epm,epm->e", cotangent[0], small.tangents[0][:128]) + cotangent[1] * small.tangents[1][:128]
        )
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_second_derivative_is_finite_and_the_difference_of_first_ones(small):
    with jax.enable_x64(True):
        few = small.noise[:256]

        def first(t, noise):
            return jax.jvp(lambda x: small.view(x, noise, small.base), (t,), (jnp.ones(()),))[1]

        @jax.jit
        @jax.vmap
        def both(noise):
            return jax.jvp(lambda t: first(t, noise), (small.point,), (jnp.ones(()),))

        step = 1e-4
        plus, minus = (small.frozen(small.point + h, few) for h in (step, -step))
        middle, (_, second) = small.frozen(small.point, few), both(few)
        for up, centre, down, value in zip(plus, middle, minus, second, strict=True):
            assert np.all(np.isfinite(value))
            estimate = (up - 2 * centre + down) / step**2
            error = np.abs(estimate - value).reshape(256, -1).max(axis=1)
            # Rounding of the second difference is about 1e-14·√s/step² = 1e-4; the 5 % leave room for the kinks.
            assert np.quantile(error / np.maximum(np.abs(value).reshape(256, -1).max(axis=1), 1), 0.95) < 1e-2


def test_antenna_realises_the_invariants():
    generator = np.random.default_rng(4)
    with jax.enable_x64(True):
        for di, dk in generator.uniform(0.0, 12.0, (20, 2)):
            w = invariant_fractions(jnp.asarray(di), jnp.asarray(dk))
            coefficients: np.ndarray = np.array(ariadne_coefficients(*w))
            # Orthonormal columns: four-momentum is conserved whatever the two spinors are.
            np.testing.assert_allclose(coefficients.T @ coefficients, np.eye(2), atol=1e-14)
            momenta = generator.normal(size=(2, 3))
            parents = jnp.asarray(np.concatenate([np.linalg.norm(momenta, axis=1)[:, None], momenta], axis=1))
            spinors = np.asarray(momentum_spinors(parents))
            np.testing.assert_allclose(spinor_momenta(jnp.asarray(spinors)), parents, rtol=1e-12, atol=1e-12)
            phase = np.exp(2j * np.pi * generator.random())
            complex_spinors = spinors[0::2] + 1j * spinors[1::2]
            made = coefficients[:, 0] * complex_spinors[:, :1] + coefficients[:, 1] * complex_spinors[:, 1:] * phase
            real = np.stack([made[0].real, made[0].imag, made[1].real, made[1].imag])
            i, j, k = np.asarray(spinor_momenta(jnp.asarray(real)))
            np.testing.assert_allclose(i + j + k, np.asarray(parents).sum(axis=0), atol=1e-12)
            s = 2 * dot(*np.asarray(parents))
            norm = 1 + np.exp(-di - dk)
            np.testing.assert_allclose(2 * dot(j, k), s * np.exp(-di) / norm, rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(2 * dot(i, j), s * np.exp(-dk) / norm, rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(2 * dot(i, k), s * np.expm1(-di) * np.expm1(-dk) / norm, rtol=1e-8, atol=1e-12)
            # k⊥ and y of the branching: 2 k⊥ cosh Y = √s with 2Y = D_i + D_k, y = (D_i − D_k)/2.
            kt = np.sqrt(4 * dot(i, j) * dot(j, k) / s)
            np.testing.assert_allclose(2 * kt * np.cosh((di + dk) / 2), np.sqrt(s), rtol=1e-8)
            # ARIADNE's recoil: I and i are E_k²/(E_i²+E_k²) (π − θ_ik) apart in the rest frame of the dipole.
            e_i, e_k = 1 - float(w[0]) ** 2, 1 - float(w[2]) ** 2
            theta = np.arccos(np.clip(1 - 2 * float(w[1]) ** 2 / (e_i * e_k), -1, 1))
            psi = e_k**2 / (e_i**2 + e_k**2) * (np.pi - theta)
            s_Ii = 2 * dot(np.asarray(parents)[0], i)
            np.testing.assert_allclose(s_Ii, s * e_i * (1 - np.cos(psi)) / 2, rtol=1e-6, atol=1e-10 * s)
