"""Momenta, colour and derivatives of the dipole shower in float64, event by event."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.event import Event
from jaxhep.matrix_elements import ElectroweakQQbar
from jaxhep.shower import DipoleShower
from jaxhep.simulator import Chain, generate, move, moved, with_parameters
from tests.shower.oracles import ENERGY, PULL

EVENTS = 2048
METRIC = np.array([1.0, -1, -1, -1])
NAMES = ("alpha_s", "scale_factor", "cutoff", "energy")


def dot(a, b):
    """Minkowski product over the last axis."""
    return np.sum(a * b * METRIC, axis=-1)


def back_to_back(direction, energy=ENERGY):
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    return energy / 2 * np.stack([np.concatenate([[1.0], direction]), np.concatenate([[1.0], -direction])])


def small(gradient):
    """Few partons and trials: quick to compile, and with events of zero to five branchings."""
    return DipoleShower(cutoff=2.0, gradient=gradient, headroom=1.2, capacity=7, trials=12)


@pytest.fixture(scope="module", params=["weight", "pathwise"])
def run(request):
    """The shower of a q q̄ pair in float64: events, and their exact move to other parameters with the choices kept."""
    with jax.enable_x64(True):
        base = small(request.param)
        noise = jax.vmap(base.sample_noise)(jax.random.split(jax.random.key(3), EVENTS))

        @jax.jit
        def shower(values, noise, momenta):
            start = Event(momenta, jnp.ones(2, bool), jnp.array([2, -2]), jnp.ones(()), jnp.asarray(False))
            sim = with_parameters(base, values)
            return jax.vmap(lambda u: sim(u, start, reference=base))(noise)

        def call(axis=(0, 0, 1), **changes):
            with jax.enable_x64(True):
                values = {name: jnp.asarray(changes.get(name, float(getattr(base, name)))) for name in NAMES}
                return jax.tree.map(np.asarray, shower(values, noise, jnp.asarray(back_to_back(axis))))

        event = call()
    keep = ~event.overflow
    assert 0.8 < keep.mean() < 1
    return types.SimpleNamespace(base=base, noise=noise, call=call, event=event, keep=keep)


def test_four_momentum_is_conserved_and_massless(run):
    p = run.event.momenta
    assert p.dtype == np.float64
    assert np.all(np.isfinite(p))
    np.testing.assert_allclose(p.sum(axis=1), np.tile([ENERGY, 0, 0, 0], (EVENTS, 1)), rtol=0, atol=1e-11 * ENERGY)
    assert np.max(np.abs(dot(p, p))) < 1e-11 * ENERGY**2
    assert np.all(p[..., 0][run.event.mask] > 0)
    assert np.all(p[~run.event.mask] == 0)


def test_partons_stand_in_colour_order(run):
    """A quark first and an antiquark last; each antiquark inside ends a line and a quark of its flavour begins the
    next."""
    ids, mask = run.event.pdg_id, run.event.mask
    np.testing.assert_array_equal(ids != 0, mask)
    np.testing.assert_array_equal(np.sort(~mask, axis=1), ~mask)
    counts = mask.sum(axis=1)
    assert set(np.unique(counts)) == {2, 3, 4, 5, 6, 7}
    splits = 0
    for row, count in zip(ids, counts, strict=True):
        line = row[:count]
        assert line[0] > 0
        assert line[0] != 21
        assert line[-1] < 0
        inner = np.flatnonzero(line < 0)[:-1]
        assert np.all(line[inner + 1] > 0)
        assert np.all(line[inner + 1] != 21)
        splits += inner.size
        assert line[line != 21].sum() == 0
    assert splits > 50


def test_last_branching_is_recovered_from_the_momenta(run):
    """(t, y, z), the dipole mass and the flavours, from the final momenta of the three partons."""
    p, history, ids = run.event.momenta, run.event.history, run.event.pdg_id
    counts = run.event.mask.sum(axis=1)
    for n in (1, 2, 3, 4):
        rows = np.flatnonzero(run.keep & (counts == n + 2))
        assert rows.size > 20
        place, right = history.dipole[rows, n - 1], history.right_emits[rows, n - 1]
        left, middle, last = (p[rows, place + k] for k in range(3))
        i, k = np.where(right[:, None], last, left), np.where(right[:, None], left, last)
        s_ij, s_ik, s_jk = 2 * dot(i, middle), 2 * dot(i, k), 2 * dot(middle, k)
        mass2 = s_ij + s_ik + s_jk
        y, z = s_ij / mass2, s_ik / (s_ik + s_jk)
        np.testing.assert_allclose(history.dipole_mass[rows, n - 1] ** 2, mass2, rtol=1e-9)
        np.testing.assert_allclose(history.y[rows, n - 1], y, rtol=1e-8)
        np.testing.assert_allclose(history.z[rows, n - 1], z, rtol=1e-8)
        np.testing.assert_allclose(history.kt[rows, n - 1] ** 2, y * z * (1 - z) * mass2, rtol=1e-8)
        np.testing.assert_allclose(history.rapidity[rows, n - 1], np.log(s_jk / s_ij) / 2, atol=1e-7)
        emitted = history.flavour[rows, n - 1]
        at = np.arange(rows.size)
        quark = emitted != 21
        pair = np.stack([ids[rows, place + right], ids[rows, place + right + 1]], axis=1)
        np.testing.assert_array_equal(pair[quark], np.stack([-emitted, emitted], axis=1)[quark])
        np.testing.assert_array_equal(ids[rows, place + 1][~quark], 21)
        assert np.all(history.mask[rows, :n])
        assert not np.any(history.mask[rows, n:])
        assert at.size == rows.size


def test_scales_fall_from_below_half_the_energy_to_the_cutoff(run):
    kt, mask = run.event.history.kt, run.event.history.mask
    assert np.all(kt[:, 0] < ENERGY / 2)
    assert np.all((kt[:, 1:] < kt[:, :-1]) | ~mask[:, 1:])
    assert np.all(kt[mask] > 2.0)
    assert kt[mask].min() < 2.01


def test_another_axis_gives_the_rotated_event(run):
    def pair_masses(momenta):
        return 2 * np.einsum("eam,ebm,m->eab", momenta, momenta, METRIC)

    for axis in ((0.3, -0.5, 0.4), (0, 0, -1), (1, 0, 0)):
        other = run.call(axis=axis)
        np.testing.assert_array_equal(other.pdg_id, run.event.pdg_id)
        np.testing.assert_allclose(
            pair_masses(other.momenta), pair_masses(run.event.momenta), rtol=0, atol=1e-9 * ENERGY**2
        )
        empty = run.event.mask.sum(axis=1) == 2
        expected = np.broadcast_to(back_to_back(axis), (empty.sum(), 2, 4))
        np.testing.assert_allclose(other.momenta[empty][:, :2], expected, atol=1e-12 * ENERGY)


@pytest.mark.parametrize(("name", "factor"), [("alpha_s", 1.05), ("scale_factor", 0.95), ("cutoff", 1.02)])
def test_moving_keeps_the_choices_and_reweights_them(run, name, factor):
    changed = run.call(**{name: factor * float(getattr(run.base, name))})
    np.testing.assert_array_equal(changed.pdg_id, run.event.pdg_id)
    np.testing.assert_allclose(run.event.weight, 1, rtol=1e-12)
    np.testing.assert_allclose(changed.momenta.sum(axis=1)[:, 0], ENERGY)
    if run.base.gradient == "weight" and name != "cutoff":
        np.testing.assert_allclose(changed.momenta, run.event.momenta, atol=1e-10)
    else:
        assert np.abs(changed.momenta - run.event.momenta).max() > 1e-3
    weight = changed.weight[run.keep]
    assert 0.01 < weight.std() < 1
    # The weights average to one; events that overflow are left out, which moves the mean by less than their fraction.
    excess = abs(weight.mean() - 1)
    assert excess < PULL * weight.std() / np.sqrt(weight.size) + 0.02 * (~run.keep).mean() * 10


def test_forward_derivative_is_the_frozen_noise_difference(run):
    """In every parameter; boundaries that a difference step crosses are rarer than one event in a hundred."""
    with jax.enable_x64(True):
        center = {name: float(getattr(run.base, name)) for name in NAMES}
        start = Event(
            jnp.asarray(back_to_back((0, 0, 1))),
            jnp.ones(2, bool),
            jnp.array([2, -2]),
            jnp.ones(()),
            jnp.asarray(False),
        )

        @jax.jit
        @jax.vmap
        def slopes(noise, direction):
            def view(t):
                values = {name: x * (1 + t * direction[name]) for name, x in center.items()}
                event = with_parameters(run.base, values)(noise, start)
                return event.momenta, event.weight

            return jax.jvp(view, (jnp.zeros(()),), (jnp.ones(()),))[1]

        # The hard event is given: the energy acts through the overestimate of the coupling only.
        for name in NAMES:
            direction = {n: jnp.full(EVENTS, float(n == name)) for n in NAMES}
            step = 1e-6
            up, down = (run.call(**{name: center[name] * (1 + sign * step)}) for sign in (1, -1))
            for plus, minus, tangent in zip(
                (up.momenta, up.weight), (down.momenta, down.weight), slopes(run.noise, direction), strict=True
            ):
                difference = ((plus - minus) / (2 * step)).reshape(EVENTS, -1)
                tangent = np.asarray(tangent).reshape(EVENTS, -1)
                scale = np.maximum(np.abs(tangent).max(axis=1), 1)
                error = np.abs(difference - tangent).max(axis=1) / scale
                assert np.quantile(error, 0.99) < 1e-6, name
            if name == "energy":
                continue
            assert np.std(tangent) > 0.1
            moves = np.abs(up.momenta - down.momenta).max() / (2 * step)
            assert (moves > 1) == (run.base.gradient == "pathwise" or name == "cutoff")


def test_reverse_derivative_is_the_forward_one(run):
    with jax.enable_x64(True):
        base = DipoleShower(cutoff=4.0, gradient=run.base.gradient, headroom=1.0, capacity=4, trials=4)
        noise = run.noise[:64, :4]
        primal, tangent = jax.jit(lambda u: move(base, u, dict.fromkeys(NAMES, 1.0)))(noise)
        weights = jax.random.normal(jax.random.key(1), primal.momenta.shape)

        @jax.jit
        @jax.vmap
        def reverse(noise, cotangent):
            def view(values):
                event = with_parameters(base, values)(noise)
                return jnp.sum(event.momenta * cotangent) + event.weight

            return sum(jax.grad(view)({name: getattr(base, name) for name in NAMES}).values())

        expected = jnp.einsum("epm,epm->e", weights, tangent.momenta) + tangent.weight
        np.testing.assert_allclose(reverse(noise, weights), expected, rtol=1e-8, atol=1e-8)
        assert np.std(tangent.weight) > 0.1
        assert np.abs(tangent.momenta).max() > 0.1


# Float32, batches and rounds.


def test_jit_eager_and_batch_agree():
    shower = DipoleShower(cutoff=1.0, capacity=3, trials=2)
    keys = jax.random.split(jax.random.key(4), 16)
    noise = jax.vmap(shower.sample_noise)(keys)
    batch = jax.jit(jax.vmap(lambda u: shower(u)))(noise)
    one = jax.jit(lambda u: shower(u))
    for i in (0, 3):
        with jax.disable_jit():
            eager = shower(noise[i])
        for other in (one(noise[i]), eager):
            np.testing.assert_array_equal(other.pdg_id, batch.pdg_id[i])
            np.testing.assert_allclose(other.momenta, batch.momenta[i], atol=1e-4 * ENERGY)
            np.testing.assert_array_equal(other.weight, 1)


def test_rounds_chunks_and_chain_give_the_direct_events():
    chain = Chain(ElectroweakQQbar(energy=ENERGY), DipoleShower(headroom=1.0, capacity=11, trials=20))
    assert len(chain.rounds()) == 2
    key, count = jax.random.key(7), 1000
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count, dtype=jnp.uint32))
    expected = jax.jit(jax.vmap(lambda k: chain(chain.sample_noise(k))))(keys)
    got = generate(chain, key, count, chunk_size=384)
    assert np.asarray(got.mask).sum(axis=1).max() > 8
    for name in ("mask", "pdg_id", "overflow", "weight"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    # The rounds are different programs: equal up to float32 rounding, which a chain of recoils passes on.
    np.testing.assert_allclose(got.momenta, expected.momenta, rtol=0, atol=1e-3 * ENERGY)
    np.testing.assert_array_equal(got.history.mask, expected.history.mask)
    np.testing.assert_allclose(got.history.kt, expected.history.kt, rtol=1e-3)
    p = np.asarray(got.momenta, float)
    np.testing.assert_allclose(p.sum(axis=1), np.tile([ENERGY, 0, 0, 0], (count, 1)), atol=2e-6 * ENERGY)
    assert np.abs(dot(p, p)).max() < 2e-6 * ENERGY**2
    assert set(np.abs(np.unique(np.asarray(got.pdg_id[:, 0])))) == {1, 2, 3, 4, 5}


def test_several_couplings_at_once_from_one_sample():
    """`vmap` over the target repeats the weights; each is what `moved` gives alone."""
    shower = DipoleShower(cutoff=4.0, capacity=5, trials=8)
    noise = jax.vmap(shower.sample_noise)(jax.random.split(jax.random.key(9), 256))
    values = jnp.array([0.110, 0.118, 0.126])
    weights = jax.jit(jax.vmap(lambda a: moved(shower, noise, {"alpha_s": a}).weight))(values)
    alone = jax.jit(lambda a: moved(shower, noise, {"alpha_s": a}))(values[0])
    np.testing.assert_allclose(weights[0], alone.weight, rtol=1e-5)
    np.testing.assert_allclose(weights[1], 1, rtol=1e-4)
    assert weights[2].std() > 0.05
