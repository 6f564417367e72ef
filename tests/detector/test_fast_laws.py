"""Laws of the whole-event detector: bookkeeping, symmetries, transformations, limits and edges."""

import inspect
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

from benchmarks.peers.detector_numpy import NumpyDetector
from jaxhep.detector import Detector, lep_like
from jaxhep.detector.fast import Kind, Solenoid, classify
from jaxhep.formats import open_writer, read_events
from jaxhep.simulator import get_parameters
from tests.detector.fast_samples import IDS, Gun, fill, guns, make_event, perfect
from tests.detector.once import ONCE

KEY = jax.random.key(11)


@eqx.filter_jit
def run(detector, noise, events, reference):
    return jax.vmap(lambda n, e: detector(n, e, reference=reference))(noise, events)


def detect(detector, noise, events, reference=None):
    """One program for all detectors of one size; without a reference it is the detector itself."""
    return run(detector, noise, events, detector if reference is None else reference)


def noise_of(detector, count, seed=1):
    return jax.vmap(detector.sample_noise)(jax.random.split(jax.random.key(seed), count))


@pytest.fixture(scope="module")
def lep():
    return lep_like(particles=len(IDS))


@pytest.fixture(scope="module")
def exact():
    return perfect(particles=len(IDS))


@pytest.fixture(scope="module")
def batch():
    """512 events of the gun, all within the acceptance."""
    return guns(512)


def test_a_perfect_detector_keeps_the_books(exact, batch):
    result = detect(exact, noise_of(exact, 512), batch)
    found = result.history
    visible = np.array([i != 12 for i in IDS])
    charged = np.array([abs(i) in (211, 13, 11) for i in IDS])
    np.testing.assert_array_equal(found.tracks.mask, np.broadcast_to(charged, (512, len(IDS))))
    np.testing.assert_allclose(found.tracks.momenta[:, charged], batch.momenta[:, charged], rtol=2e-5, atol=2e-5)
    energy = np.asarray(batch.momenta[..., 0])
    # Towers: what was deposited, all of it (particles of more than 1 GeV here reach the calorimeter or curl up).
    showers = np.array([abs(i) not in (12, 13) for i in IDS])
    reached = np.asarray(found.tracks.reaches)
    deposited = (energy * reached)[:, showers].sum(axis=1)
    towers = np.asarray(found.ecal.energy.sum(axis=1) + found.hcal.energy.sum(axis=1))
    np.testing.assert_allclose(towers, deposited, rtol=1e-5)
    electromagnetic = (energy * reached) @ np.array([0.3, 0.3, 1, 1, 0.3, 0, 0, 1])
    np.testing.assert_allclose(found.ecal.energy.sum(axis=1), electromagnetic, rtol=1e-5)
    # Energy flow: each visible energy once. Towers are massless, which the momenta below show.
    np.testing.assert_allclose(found.visible_energy, energy[:, visible].sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(result.momenta[..., 0].sum(axis=1), found.visible_energy, rtol=1e-5)
    np.testing.assert_allclose(-result.momenta[..., 1:].sum(axis=1), found.missing, atol=1e-4)
    np.testing.assert_array_equal(result.mask.sum(axis=1), found.num_objects)
    assert not np.any(result.overflow)
    assert np.all(np.asarray(result.momenta)[~np.asarray(result.mask)] == 0)
    # Missing momentum closes: what is missing is what the visible particles lack, up to the size of a tower (0.9° in
    # the ECAL, 3.75° in the HCAL) and the mass of the K⁰.
    want = -np.asarray(batch.momenta)[:, visible, 1:].sum(axis=1)
    error = np.linalg.norm(np.asarray(found.missing) - want, axis=1)
    neutral = energy[:, 2:5].sum(axis=1)
    assert np.all(error < 0.04 * neutral + 0.2)
    assert np.median(error) < 0.1


def test_invisible_particles_leave_nothing(lep, batch):
    ghosts = jnp.broadcast_to(jnp.asarray([12, -12, 14, -14, 16, -16, 1000022, 12], jnp.int32), (512, 8))
    result = detect(lep, noise_of(lep, 512), eqx.tree_at(lambda e: e.pdg_id, batch, ghosts))
    assert not np.any(result.mask)
    assert np.all(np.asarray(result.history.visible_energy) == 0)
    np.testing.assert_array_equal(result.history.missing, 0)
    np.testing.assert_array_equal(result.weight, 1)


def test_order_of_the_particles_does_not_matter(exact, batch):
    noise = noise_of(exact, 512)
    order = np.array([5, 2, 7, 0, 3, 6, 1, 4])
    turned = eqx.tree_at(lambda e: (e.momenta, e.pdg_id), batch, (batch.momenta[:, order], batch.pdg_id[:, order]))
    first, second = detect(exact, noise, batch), detect(exact, noise, turned)
    for name in ("missing", "visible_energy"):
        np.testing.assert_allclose(getattr(first.history, name), getattr(second.history, name), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(first.history.num_objects, second.history.num_objects)
    images = [np.asarray(jax.vmap(lambda t: t.image(42, 96))(r.history.hcal)) for r in (first, second)]
    np.testing.assert_allclose(images[0], images[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(images[0].sum(axis=(1, 2)), first.history.hcal.energy.sum(axis=1), rtol=1e-5)


def test_turning_the_event_by_whole_towers_turns_the_result(lep, batch):
    """An eighth of a turn is 50 towers of the ECAL and 12 of the HCAL: even numbers, so that the slots stay."""
    noise = noise_of(lep, 512)
    angle = np.pi / 4
    rotation = np.eye(4)
    rotation[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    with jax.enable_x64(True):
        double = to_double(batch)
        turned = eqx.tree_at(lambda e: e.momenta, double, double.momenta @ rotation.T)
        first, second = (jax.tree.map(np.asarray, detect(lep, noise, event)) for event in (double, turned))
    np.testing.assert_allclose(first.momenta @ rotation.T, second.momenta, atol=1e-9)
    for layer, columns in (("ecal", 400), ("hcal", 96)):
        a, b = getattr(first.history, layer), getattr(second.history, layer)
        np.testing.assert_allclose(a.energy, b.energy, atol=1e-9)
        step = (np.asarray(b.column) - np.asarray(a.column))[np.asarray(a.mask)] % columns
        assert np.all(step == columns // 8)
    np.testing.assert_array_equal(first.weight, second.weight)


def to_double(event):
    """The same event in float64."""
    return jax.tree.map(lambda x: x.astype(float) if jnp.issubdtype(x.dtype, jnp.floating) else x, event)


def test_compiled_and_eager_agree(lep, batch):
    """One event, operation by operation, in float64."""
    with jax.enable_x64(True):
        noise, double = noise_of(lep, 512), to_double(batch)
        compiled = jax.tree.map(lambda leaf: leaf[3], detect(lep, noise, double))
        with jax.disable_jit():
            eager = lep(*jax.tree.map(lambda leaf: leaf[3], (noise, double)))
        for a, b in zip(jax.tree.leaves(compiled), jax.tree.leaves(eager), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_both_precisions_agree(lep, batch):
    noise = noise_of(lep, 512)
    many = detect(lep, noise, batch)
    assert many.momenta.dtype == jnp.float32
    with jax.enable_x64(True):
        fine = jax.tree.map(np.asarray, detect(lep, noise, to_double(batch)))
    assert fine.momenta.dtype == np.float64
    # Nothing jumps: a particle at an edge or a tower at its threshold differs by rounding, too.
    np.testing.assert_allclose(fine.history.visible_energy, many.history.visible_energy, rtol=1e-3)


def test_a_numpy_model_of_the_same_formulae_gives_the_same_numbers(lep, batch):
    """The peer of the benchmark, written apart, with the same noise: energy flow object by object."""
    noise = noise_of(lep, 512)
    with jax.enable_x64(True):
        events = to_double(batch)
        result = jax.tree.map(np.asarray, detect(lep, noise, events))
    properties = jax.tree.map(np.asarray, classify(batch.pdg_id[0]))
    draws = jax.tree.map(lambda x: np.asarray(x, float), noise)
    peer = NumpyDetector(lep)
    for i in range(128):
        z = tuple(ndtri(u[i]) for u in (draws.track[..., 1:], draws.ecal, draws.hcal))
        objects = peer(
            np.asarray(events.momenta[i], float), properties.charge, properties.kind, draws.track[i, :, 0], z
        )
        ours = result.momenta[i][result.mask[i]]
        assert len(ours) == len(objects)
        order, other = np.argsort(ours[:, 0]), np.argsort(objects[:, 0])
        np.testing.assert_allclose(ours[order], objects[other], rtol=1e-6, atol=1e-6)


def test_masked_slots_and_their_content_do_not_matter(lep, batch):
    """Slots 4 and 6 masked: whatever they hold, the result is that of zeros there."""
    noise = noise_of(lep, 512)
    mask = batch.mask.at[:, jnp.array([4, 6])].set(False)
    full = eqx.tree_at(lambda e: e.mask, batch, mask)
    empty = eqx.tree_at(lambda e: (e.momenta, e.pdg_id), full, (full.momenta * mask[..., None], full.pdg_id * mask))
    a, b = detect(lep, noise, full), detect(lep, noise, empty)
    np.testing.assert_array_equal(a.momenta, b.momenta)
    assert not np.any(b.history.unknown)


def test_a_track_replaces_its_shower_and_a_lost_one_does_not(exact, batch):
    """A pion with a track is one object; without, its showers are neutral ones in their towers' directions."""
    pion = eqx.tree_at(lambda e: e.mask, batch, batch.mask & (jnp.arange(8) == 0))
    noise = noise_of(exact, 512)
    kept, lost = (detect(detector, noise, pion) for detector in (exact, fill(exact, {"plateau": 0.0})))
    np.testing.assert_array_equal(kept.history.num_objects, 1)
    np.testing.assert_array_equal(kept.pdg_id[:, 0], 211)
    reached = np.asarray(kept.history.tracks.reaches[:, 0]) == 1
    assert reached.mean() > 0.9
    np.testing.assert_allclose(lost.history.visible_energy[reached], kept.history.visible_energy[reached], rtol=1e-5)
    assert np.all(np.asarray(lost.history.num_objects)[reached] >= 2)
    assert set(np.unique(lost.pdg_id).tolist()) == {0, 22, 130}


def test_solenoid_against_a_traced_helix():
    """Steps of 0.1 mm along the helix, until it leaves the cylinder."""
    coil = Solenoid(field=3.8, radius=1.29, half_length=3.0)
    cases = [
        (0.8, 0.2, 1),
        (1.0, 1.0, -1),
        (2.0, 2.0, 1),
        (5.0, 1.6, 1),
        (50.0, 0.0, -1),
        (0.6, 2.2, -1),
        (3.0, 1.5, 0),
    ]
    pt, eta, charge = (np.array(column) for column in zip(*cases, strict=True))
    turn, stretch, reaches = coil(jnp.asarray(pt), jnp.asarray(np.sinh(eta)), jnp.asarray(charge))
    for i, (p, e, q) in enumerate(cases):
        s = np.arange(0, 12, 1e-4)  # transverse path in m
        k = q * 0.299792458 * 3.8 / p
        x, y = (s, 0 * s) if q == 0 else (np.sin(k * s) / k, (np.cos(k * s) - 1) / k)
        z = s * np.sinh(e)
        end = np.argmax((np.hypot(x, y) > 1.29) | (np.abs(z) > 3.0))
        assert end > 0
        assert float(turn[i]) == pytest.approx(-np.arctan2(y[end], x[end]), abs=3e-4)
        assert float(stretch[i]) * np.sinh(e) == pytest.approx(z[end] / np.hypot(x[end], y[end]), rel=1e-3, abs=1e-6)
        assert float(reaches[i]) == pytest.approx(1)
    # Below 0.2998 · 3.8 · 1.29/2 = 0.735 GeV a central particle curls up.
    _, _, shares = coil(jnp.array([0.72, 0.74, 0.80]), jnp.zeros(3), jnp.ones(3, int))
    assert float(shares[0]) == 0
    assert 0 < float(shares[1]) < 1
    assert float(shares[2]) == 1


def test_moving_the_efficiency_reweights(lep, batch):
    """The tracks chosen by the reference, the weight the product of ratios; as `Chain` and `moved` hand them over."""
    changed = fill(lep, {"plateau": 0.9})
    noise = noise_of(lep, 512)
    base, other = (detect(detector, noise, batch, lep) for detector in (lep, changed))
    np.testing.assert_array_equal(base.history.tracks.mask, other.history.tracks.mask)
    np.testing.assert_array_equal(base.weight, 1)
    charged = np.array([i for i, pdg in enumerate(IDS) if abs(pdg) in (211, 13, 11)])
    p = np.asarray(batch.momenta)[:, charged]
    pt = np.hypot(p[..., 1], p[..., 2])
    species = np.broadcast_to([2, 2, 1, 0], pt.shape).ravel()
    old, new = (
        np.asarray(
            d.tracks.efficiency(jnp.asarray(pt.ravel()), jnp.arcsinh(p[..., 3] / pt).ravel(), jnp.asarray(species))
        )
        for d in (lep, changed)
    )
    found = np.asarray(base.history.tracks.mask)[:, charged].ravel()
    ratio = np.where(found, new / old, (1 - new) / (1 - old)).reshape(-1, 4).prod(axis=1)
    np.testing.assert_allclose(other.weight, ratio, rtol=1e-4)
    assert np.unique(np.round(ratio, 2)).size > 1


@pytest.mark.parametrize("suffix", [".hepmc", ".hepmc.gz"])
def test_events_from_a_hepmc_file_are_detected_like_those_in_memory(lep, batch, tmp_path, suffix):
    with open_writer(tmp_path / f"events{suffix}", energy=91.1876) as writer:
        writer.write(batch)
    (read,) = read_events(tmp_path / f"events{suffix}")
    noise = noise_of(lep, 512)
    ours, theirs = detect(lep, noise, batch), detect(lep, noise, read.to_event())
    np.testing.assert_allclose(ours.momenta, theirs.momenta, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.pdg_id, theirs.pdg_id)
    # And what is detected can be written and read in turn.
    with open_writer(tmp_path / f"detected{suffix}", energy=91.1876) as writer:
        writer.write(theirs)
    (detected,) = read_events(tmp_path / f"detected{suffix}")
    np.testing.assert_array_equal(detected.mask.sum(axis=1), ours.history.num_objects)
    np.testing.assert_allclose(detected.momenta[..., 0].sum(axis=1), ours.history.visible_energy, rtol=1e-5)


def test_an_unknown_particle_is_a_flagged_neutral_hadron(exact, batch):
    noise = noise_of(exact, 512)
    strange, neutral = (
        detect(exact, noise, eqx.tree_at(lambda e: e.pdg_id, batch, batch.pdg_id.at[:, 0].set(name)))
        for name in (9900041, 130)
    )
    assert np.all(strange.history.unknown)
    assert not np.any(neutral.history.unknown)
    np.testing.assert_array_equal(strange.momenta, neutral.momenta)
    assert np.all(np.asarray(strange.history.tracks.mask).sum(axis=1) == 3)


def test_gradients_are_finite_at_the_edges(lep):
    """Nothing there, at rest, on the axis, very soft, masked, at the looper's limit, and two on top of each other; and
    a single event is one of a batch."""
    detector = lep
    momenta = jnp.array(
        [[0.0, 0, 0, 0], [0.14, 0, 0, 0], [5.0, 0, 0, 5], [1e-6, 1e-6, 0, 0], [3.0, 3, 0, 0],
         [0.5, 0.4161, 0, 0], [5.0, 0, 3, 4], [5.0, 0, 3, 4]]
    )  # fmt: skip
    event = make_event(momenta, (22, 211, 211, -211, 22, 211, 22, -11), [True] * 4 + [False] + [True] * 3)
    empty = make_event(jnp.zeros((8, 4)), (0,) * 8, [False] * 8)
    noise = detector.sample_noise(KEY)

    @jax.jit
    def total(detector, momenta, event):
        result = detector(noise, eqx.tree_at(lambda e: e.momenta, event, momenta))
        found = result.history
        value = result.weight * (found.visible_energy + jnp.sum(found.missing**2) + jnp.sum(result.momenta**2))
        return value, result

    slopes = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True), compiler_options=ONCE)
    objects = []
    for one in (event, empty):
        gradient, result = slopes(detector, one.momenta, one)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((gradient, result)))
        objects.append(int(result.mask.sum()))
        batch = jax.tree.map(lambda x: jnp.broadcast_to(x, (512, *x.shape)), (noise, one))
        for many, single in zip(*map(jax.tree.leaves, (detect(lep, *batch), result)), strict=True):
            np.testing.assert_allclose(many[7], single, rtol=1e-4, atol=1e-5)
    assert objects[0] >= 1
    assert objects[1] == 0


def test_classification_against_pythia():
    pythia8 = pytest.importorskip("pythia8mc")
    from jaxhep.detector.fast import particles

    data = pythia8.Pythia("", False).particleData
    ids = [int(i) for i in particles._IDS if data.isParticle(int(i))]
    assert len(ids) > 60
    both = np.array(ids + [-i for i in ids if data.hasAnti(i)])
    found = classify(jnp.asarray(both))
    parton = np.isin(np.asarray(found.kind), [Kind.PARTON])
    want = np.array([round(data.chargeType(int(i)) / 3) for i in both])
    np.testing.assert_array_equal(np.asarray(found.charge)[~parton], want[~parton])
    np.testing.assert_array_equal(parton, [abs(int(i)) < 10 or i == 21 for i in both])
    for name, kinds in (("isLepton", (Kind.INVISIBLE, Kind.ELECTRON, Kind.MUON)),):
        leptons = np.array([getattr(data, name)(int(i)) and abs(int(i)) not in (15, 17, 18) for i in both])
        assert np.all(np.isin(np.asarray(found.kind)[leptons], kinds))
    assert np.all(found.known)


def unchecked(kind, **arguments):
    """The constructor as a user meets it, without the type checks of the tests."""
    inspect.unwrap(kind.__init__)(types.SimpleNamespace(), **arguments)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"plateau": 1.2}, "between 0 and 1"),
        ({"plateau": ((0.9,), (0.9,))}, "shape"),
        ({"curvature": -0.1}, "not negative"),
        ({"multiple_scattering": float("nan")}, "not negative"),
        ({"eta_max": 0.0}, "positive"),
        ({"edges": (1.0, 0.5)}, "larger than the one before"),
        ({"plateau": "good"}, "real number"),
    ],
)
def test_bad_tracks_are_refused(change, says):
    from jaxhep.detector.fast import TrackResponse

    good = {"plateau": 0.9, "half_pt": 0.1, "eta_max": 2.0, "multiple_scattering": 0.01, "curvature": 0.001}
    with pytest.raises((ValueError, TypeError), match=says):
        unchecked(TrackResponse, **{**good, **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stochastic": -0.1}, "not negative"),
        ({"threshold": -1.0}, "threshold"),
        ({"columns": 7}, "even"),
        ({"rows": 0}, "at least 1"),
        ({"rows": 2.5}, "whole number"),
        ({"spread": 0.6}, "1/2"),
        ({"softness": 2.0}, "from 0 to 1"),
        ({"coordinate": "phi"}, "'eta' or 'theta'"),
        ({"coordinate": "theta", "extent": 2.0}, "π/2"),
        ({"scale": 0.0}, "positive factor"),
    ],
)
def test_bad_towers_are_refused(change, says):
    from jaxhep.detector.fast import TowerLayer

    good = {"rows": 4, "columns": 8, "extent": 1.0, "stochastic": 0.1, "noise": 0.0, "constant": 0.0, "threshold": 0.2}
    with pytest.raises((ValueError, TypeError), match=says):
        unchecked(TowerLayer, **{**good, **change})


def test_bad_detectors_and_calls_are_refused(lep):
    with pytest.raises(ValueError, match="no option 'magnet'"):
        lep_like(magnet=2.0)
    with pytest.raises(ValueError, match="positive length"):
        Solenoid(1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="tesla"):
        Solenoid(-1.0, 1.0, 1.0)
    with pytest.raises(TypeError, match="TrackResponse"):
        inspect.unwrap(Detector.__init__)(types.SimpleNamespace(), lep.ecal, lep.solenoid, lep.ecal, lep.hcal, 0.3, 0.0)
    with pytest.raises(ValueError, match="one share in"):
        Detector(lep.tracks, lep.solenoid, lep.ecal, lep.hcal, 1.3, 0.0)
    noise = lep.sample_noise(KEY)
    with pytest.raises(ValueError, match="needs an event"):
        lep(noise)
    with pytest.raises(TypeError, match="reference of a Detector"):
        lep(noise, jax.tree.map(lambda x: x[0], guns(1)), reference=Gun())
    with pytest.raises(ValueError, match="particles=9"):
        lep(noise, make_event(jnp.zeros((9, 4)), (0,) * 9))
    assert get_parameters(lep)["field"].shape == ()
