"""Events from our showers and from Pythia 8 through the detector (HepMC3 files: test_fast_laws.py)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.detector import lep_like, lhc_like
from jaxhep.event import Event
from jaxhep.matrix_elements import ElectroweakQQbar
from jaxhep.shower import DipoleShower
from jaxhep.simulator import Chain
from tests.detector.once import ONCE

KEY = jax.random.key(4)


@eqx.filter_jit
def detect(detector, events, key):
    count = events.mask.shape[0]
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
    return jax.vmap(lambda k, e: detector(detector.sample_noise(k), e))(keys, events)


def test_a_chain_of_process_shower_and_detector():
    chain = Chain(
        ElectroweakQQbar(), DipoleShower(cutoff=4.0, capacity=6, trials=12), lep_like(particles=6, capacity=16)
    )
    observe = lambda event: {  # noqa: E731
        "visible": event.history.visible_energy,
        "tracks": jnp.sum(event.history.tracks.mask),
        "unknown": event.history.unknown,
        "objects": event.history.num_objects,
        "kept": jnp.sum(event.mask),
        "overflow": event.overflow,
        "direct": jnp.sum(event.momenta[:, 0]),
        "weight": event.weight,
    }
    run = jax.jit(jax.vmap(lambda key: observe(chain(chain.sample_noise(key)))), compiler_options=ONCE)
    values = run(jax.random.split(KEY, 1024))
    # Partons are sprays without tracks; a jet along the beam is lost, the rest is measured with some 8 GeV.
    assert np.all(np.asarray(values["tracks"]) == 0)
    assert not np.any(values["unknown"])
    assert abs(float(np.median(values["visible"])) - 91.2) < 1.5
    assert 4 < float(np.subtract(*np.quantile(values["visible"], [0.84, 0.16]))) / 2 < 14
    # What fits into the 16 places is there, the rest is reported; the sums are complete all the same.
    full = np.asarray(values["objects"]) > 16
    assert np.all(np.asarray(values["overflow"])[full])
    assert 0 < full.mean() < 0.2
    np.testing.assert_array_equal(values["kept"], np.minimum(values["objects"], 16))
    np.testing.assert_allclose(values["direct"][~full], values["visible"][~full], rtol=1e-5)
    assert np.all(np.asarray(values["direct"] - values["visible"])[full] < -0.01)
    assert 4 < float(values["objects"].mean()) < 24


def pythia_events(settings, count, slots):
    """Final particles of Pythia 8, padded."""
    pythia8 = pytest.importorskip("pythia8mc")
    pythia = pythia8.Pythia("", False)
    for line in (*settings, "Print:quiet = on", "Next:numberCount = 0", "Random:setSeed = on", "Random:seed = 7"):
        assert pythia.readString(line)
    assert pythia.init()
    momenta, ids = np.zeros((count, slots, 4), np.float32), np.zeros((count, slots), np.int32)
    done = 0
    while done < count:
        if not pythia.next():
            continue
        final = [p for p in (pythia.event[i] for i in range(pythia.event.size())) if p.isFinal()]
        if len(final) > slots:
            continue
        for j, p in enumerate(final):
            momenta[done, j], ids[done, j] = (p.e(), p.px(), p.py(), p.pz()), p.id()
        done += 1
    flags = jnp.ones(count), jnp.zeros(count, bool)
    return Event(jnp.asarray(momenta), jnp.asarray(ids != 0), jnp.asarray(ids), *flags)


def test_hadronic_z_decays_of_pythia():
    events = pythia_events(
        ("Beams:idA = 11", "Beams:idB = -11", "Beams:eCM = 91.1876", "PDF:lepton = off",
         "WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", "23:onIfAny = 1 2 3 4 5"), 300, 96,
    )  # fmt: skip
    result = detect(lep_like(particles=96), events, KEY)
    found = result.history
    assert not np.any(found.unknown)
    assert not np.any(result.overflow)
    charged = np.isin(np.abs(events.pdg_id), [11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334])
    p = np.asarray(events.momenta)
    pt = np.hypot(p[..., 1], p[..., 2])
    inside = charged & (pt > 0.3) & (np.abs(p[..., 3]) < 0.9 * np.sqrt(pt**2 + p[..., 3] ** 2))
    tracks = np.asarray(found.tracks.mask)
    assert not np.any(tracks & ~charged)
    assert abs(tracks[inside].mean() - 0.986) < 5.2 * np.sqrt(0.986 * 0.014 / inside.sum()) + 0.003  # the turn-on
    # ALEPH measured the visible energy of such events to about 6.2 GeV (from memory); neutrinos and the beam pipe are
    # in the tail on the left.
    visible = np.asarray(found.visible_energy)
    width = np.subtract(*np.quantile(visible, [0.84, 0.5]))
    print(f"visible energy: median {np.median(visible):.2f}, upper width {width:.2f} GeV, "
          f"{found.num_objects.mean():.1f} objects, {tracks.sum(axis=1).mean():.1f} tracks")  # fmt: skip
    assert 80 < np.median(visible) < 95
    assert 3 < width < 9
    exact = np.asarray(p[..., 0].sum(axis=1))
    np.testing.assert_allclose(exact, 91.1876, rtol=1e-3)


def test_top_pairs_of_pythia_at_the_lhc():
    """The LHC preset takes hundreds of particles; missing momentum follows the neutrinos."""
    events = pythia_events(
        ("Beams:eCM = 13000", "Top:gg2ttbar = on", "PartonLevel:MPI = off", "24:onMode = off", "24:onIfAny = 13"),
        24, 512,
    )  # fmt: skip
    result = detect(lhc_like(particles=512, capacity=1024), events, KEY)
    assert not np.any(result.overflow)
    assert not np.any(result.history.unknown)
    neutrino = np.isin(np.abs(events.pdg_id), [12, 14, 16])
    true = (np.asarray(events.momenta)[..., 1:3] * neutrino[..., None]).sum(axis=1)
    missing = np.asarray(result.history.missing)[:, :2]
    size = np.linalg.norm(true, axis=1)
    # Two neutrinos of some 100 GeV, a resolution of some 20 GeV in each direction.
    assert np.corrcoef(true.ravel(), missing.ravel())[0, 1] > 0.8
    assert np.median(np.linalg.norm(missing - true, axis=1)) < 0.6 * np.median(size)
    assert float(np.asarray(result.history.tracks.mask).sum(axis=1).mean()) > 15
