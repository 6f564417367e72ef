"""Every format gives back what was written, and other programs read our files."""

import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.event import Emissions, Event
from jaxhep.formats import EventBatch, EventFileError, as_batch, file_info, open_writer, read_events, suffixes
from jaxhep.formats._registry import format_of
from jaxhep.formats.batch import concatenate
from jaxhep.shower import DipoleShower
from jaxhep.simulator import generate
from tests.formats.helpers import CAPACITY, ENERGY, equal, gather, make_batch, write


@pytest.mark.parametrize("suffix", suffixes())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("colour", [True, False])
def test_what_is_written_is_read_back_exactly(tmp_path, suffix, dtype, colour):
    batches = [make_batch(0, 7, dtype, colour), make_batch(7, 5, dtype, colour), make_batch(12, 1, dtype, colour)]
    path = write(tmp_path / f"events{suffix}", batches)
    expected = as_batch(make_batch(0, 13, dtype, colour))
    assert not expected.mask[0].any()
    assert expected.overflow.any()
    assert (expected.weight < 0).any()
    equal(gather(path, batch_size=4), expected)
    assert [b.num_events for b in read_events(path, batch_size=4)] == [4, 4, 4, 1]
    for start, stop in [(0, 1), (3, 9), (12, None), (5, 100), (7, 7), (13, None)]:
        read = list(read_events(path, start, stop, batch_size=100))
        assert sum(b.num_events for b in read) == max(min(stop or 13, 13) - start, 0)
        if read:
            equal(read[0], expected[start:stop])
    info = file_info(path)
    assert (info.energy, dict(info.metadata)) == (ENERGY, {"seed": 3, "lambda": 0.2})
    assert (info.num_events, info.capacity, info.dtype, info.colour) == (13, CAPACITY, np.dtype(dtype).name, colour)
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("suffix", suffixes())
def test_only_empty_events(tmp_path, suffix):
    batch = make_batch(5, 1)
    path = write(tmp_path / f"empty{suffix}", [batch, batch])
    assert not batch.mask.any()
    equal(gather(path), concatenate([as_batch(batch)] * 2))


def test_particles_are_moved_to_the_front_in_order():
    momenta = np.arange(16.0).reshape(1, 4, 4)
    mask = np.array([[False, True, False, True]])
    batch = as_batch(EventBatch(momenta, mask, np.array([[9, 21, 9, 22]]), np.ones(1), np.zeros(1, bool)))
    np.testing.assert_array_equal(batch.momenta[0], [*momenta[0, [1, 3]], np.zeros(4), np.zeros(4)])
    assert batch.pdg_id.tolist() == [[21, 22, 0, 0]]
    assert batch.mask.tolist() == [[True, True, False, False]]


def shower_event():
    """Events of a shower as the simulator gives them, and the colour places that they have."""
    batch = make_batch(1, 3)
    assert (batch.mask.sum(1) >= 2).all()
    assert batch.mask[:, 2:].any()
    emitted = batch.mask[:, 2:]
    numbers = jnp.zeros(emitted.shape)
    history = Emissions(
        kt=numbers,
        rapidity=numbers,
        azimuth=numbers,
        dipole_mass=numbers,
        emitters=jnp.zeros((*emitted.shape, 2), int),
        colour=jnp.asarray(np.where(emitted, batch.colour[:, 2:], 0)),
        mask=jnp.asarray(emitted),
    )
    momenta, mask, ids, weight, overflow = map(jnp.asarray, list(batch.arrays().values())[:5])
    return Event(momenta, mask, ids, weight, overflow, history), batch.colour


def test_colour_order_is_taken_from_the_shower_history(tmp_path):
    event, places = shower_event()
    np.testing.assert_array_equal(as_batch(event).colour, places)
    written = gather(write(tmp_path / "a.h5", [event]))
    np.testing.assert_array_equal(written.colour, places)
    back = written.to_event()
    assert isinstance(back, Event)
    np.testing.assert_array_equal(np.asarray(back.momenta), np.asarray(event.momenta))


def test_history_of_other_particles_gives_no_colour():
    event, _ = shower_event()
    hadrons = Event(
        event.momenta, event.mask.at[:, 2:].set(False), event.pdg_id, event.weight, event.overflow, event.history
    )
    assert event.mask[:, 2:].any()
    assert as_batch(hadrons).colour is None


@pytest.mark.parametrize("suffix", [".hepmc", ".hepmc.gz"])
def test_pyhepmc_reads_our_events_and_momentum_is_conserved(tmp_path, suffix):
    pyhepmc = pytest.importorskip("pyhepmc")
    batch = make_batch(0, 12)
    path = write(tmp_path / f"events{suffix}", [batch[:5], batch[5:]])
    with pyhepmc.open(path) as file:
        events = list(file)
    assert [event.event_number for event in events] == list(range(12))
    for i, event in enumerate(events):
        assert event.weights == [batch.weight[i]]
        assert event.momentum_unit == pyhepmc.Units.GEV
        final = [p for p in event.particles if p.status == 1]
        beams = [p for p in event.particles if p.status == 4]
        count = int(batch.mask[i].sum())
        assert [p.pid for p in final] == batch.pdg_id[i, :count].tolist()
        assert sorted(p.pid for p in beams) == [-11, 11]
        assert sum(p.momentum.e for p in beams) == ENERGY
        momenta = [[p.momentum.e, p.momentum.px, p.momentum.py, p.momentum.pz] for p in final]
        np.testing.assert_array_equal(np.reshape(momenta, (count, 4)), batch.momenta[i, :count])
        if count:
            np.testing.assert_allclose(np.sum(momenta, 0), [ENERGY, 0, 0, 0], atol=1e-12 * ENERGY)
            (vertex,) = event.vertices
            assert len(vertex.particles_in) == 2
            assert len(vertex.particles_out) == count
        colours = [{k: v.astype(int) for k, v in p.attributes.items()} for p in final]
        starts = {c["flow1"] for c in colours if "flow1" in c}
        assert starts == {c["flow2"] for c in colours if "flow2" in c}
        assert len(starts) == max(count - 1, 0)
        assert ("overflow" in event.attributes) == bool(batch.overflow[i])


@pytest.fixture(scope="module")
def dipole_events():
    shower = DipoleShower(capacity=12, trials=36)
    events = generate(shower, jax.random.key(3), 300, chunk_size=300)
    return jax.tree.map(lambda leaf: leaf[~np.asarray(events.overflow)], events)


def test_history_of_the_dipole_shower(tmp_path, dipole_events):
    """A vertex for each branching; momentum, flavour and colour are conserved in each, and what the shower recorded
    of it (the mass of the dipole, y, z, k_T) is there."""
    pyhepmc = pytest.importorskip("pyhepmc")
    path = write(tmp_path / "events.hepmc", [dipole_events])
    batch, history = as_batch(dipole_events), jax.device_get(dipole_events.history)
    read = gather(path)
    for name, array in batch.arrays().items():
        if name != "branchings":
            np.testing.assert_array_equal(read.arrays()[name], array)
    assert read.branchings is None
    equal(gather(write(tmp_path / "events.h5", [dipole_events])), dataclasses.replace(batch, branchings=None))

    def momentum(particles):
        return np.sum([[p.momentum.e, p.momentum.px, p.momentum.py, p.momentum.pz] for p in particles], axis=0)

    def dot(a, b):
        return a[0] * b[0] - a[1:] @ b[1:]

    def lines(particle):
        found = {name: int(str(value)) for name, value in particle.attributes.items()}
        return found.get("flow1", 0), found.get("flow2", 0)

    with pyhepmc.open(path) as file:
        for i, event in enumerate(file):
            hard, *branchings = event.vertices
            assert len(branchings) == history.mask[i].sum()
            assert sorted(p.pid for p in hard.particles_in) == [-11, 11]
            assert len(hard.particles_out) == 2
            assert {p.status for p in event.particles} <= {1, 4, 23, 51}
            assert all((p.end_vertex is None) == (p.status == 1) for p in event.particles)
            for n, vertex in enumerate(branchings):
                into, out = list(vertex.particles_in), list(vertex.particles_out)
                assert (len(into), len(out)) == (2, 3)
                np.testing.assert_allclose(momentum(into), momentum(out), atol=1e-4)
                assert sum(p.pid for p in into if p.pid != 21) == sum(p.pid for p in out if p.pid != 21)
                mass2 = history.dipole_mass[i, n] ** 2
                for one in into:
                    assert abs(dot(momentum([one]), momentum([one]))) < 1e-3
                assert dot(momentum(into), momentum(into)) == pytest.approx(mass2, rel=1e-3, abs=1e-2)
                # pyhepmc gives the three in the order of the file: one choice of emitter, emitted, spectator fits.
                y, z = history.y[i, n], history.z[i, n]
                fits = []
                for a, b, c in itertools.permutations([momentum([p]) for p in out]):
                    share = dot(a, c) / (dot(a, c) + dot(b, c))
                    fits.append(abs(2 * dot(a, b) / mass2 - y) < 2e-5 + 0.01 * y and abs(share - z) < 2e-3)
                assert any(fits)
                # Every line that leaves without ending here came in, or was made here with both its ends.
                starts, ends = zip(*map(lines, out), strict=True)
                more, fewer = zip(*map(lines, into), strict=True)
                closed = {line for line in starts if line and line in ends}
                assert {line for line in starts if line} - closed == {line for line in more if line} - set(fewer)
                assert {line for line in ends if line} - closed == {line for line in fewer if line} - set(more)


def test_colour_lines_of_the_dipole_shower(tmp_path, dipole_events):
    """Each colour has its anticolour in the next parton, and each g → q q̄ makes one more line."""
    pyhepmc = pytest.importorskip("pyhepmc")
    events = dipole_events
    path = write(tmp_path / "events.hepmc", [events])
    splittings = np.sum((np.asarray(events.history.flavour) != 21) & np.asarray(events.history.mask), axis=1)
    assert splittings.max() > 0
    with pyhepmc.open(path) as file:
        for event, splits in zip(file, splittings.tolist(), strict=True):
            final = [p for p in event.particles if p.status == 1]
            flows = [(p.pid, {k: int(v.astype(int)) for k, v in p.attributes.items()}) for p in final]
            for pid, flow in flows:
                assert ("flow1" in flow, "flow2" in flow) == (pid > 0, pid < 0 or pid == 21)
            for (_, flow), (_, after) in itertools.pairwise(flows):
                assert flow.get("flow1") == after.get("flow2")
            colours = [flow["flow1"] for _, flow in flows if "flow1" in flow]
            assert len(set(colours)) == len(colours)
            assert sum(pid < 0 for pid, _ in flows) == splits + 1


def test_hepmc_of_another_program_is_read(tmp_path):
    pyhepmc = pytest.importorskip("pyhepmc")
    event = pyhepmc.GenEvent(pyhepmc.Units.MEV, pyhepmc.Units.MM)
    vertex, second = pyhepmc.GenVertex(), pyhepmc.GenVertex()
    middle = pyhepmc.GenParticle((0, 0, 0, 91200), 23, 2)
    for sign in (1, -1):
        vertex.add_particle_in(pyhepmc.GenParticle((0, 0, sign * 45600, 45600), 11 * sign, 4))
        second.add_particle_out(pyhepmc.GenParticle((45600 * sign, 0, 0, 45600), 13 * sign, 1))
    vertex.add_particle_out(middle)
    second.add_particle_in(middle)
    event.add_vertex(vertex)
    event.add_vertex(second)
    event.weights = [2.0]
    with pyhepmc.open(tmp_path / "other.hepmc", "w") as file:
        file.write(event)
    (batch,) = read_events(tmp_path / "other.hepmc")
    np.testing.assert_allclose(batch.momenta, [[[45.6, 45.6, 0, 0], [45.6, -45.6, 0, 0]]])
    assert batch.pdg_id.tolist() == [[13, -13]]
    assert batch.weight.tolist() == [2.0]
    assert batch.colour is None
    with pytest.raises(EventFileError, match="no header"):
        file_info(tmp_path / "other.hepmc")


def test_h5py_reads_our_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    batch = make_batch(0, 9)
    with h5py.File(write(tmp_path / "events.hdf5", [batch]), "r") as file:
        np.testing.assert_array_equal(file["momenta"], batch.momenta)
        np.testing.assert_array_equal(file["mask"], batch.mask)
        assert file["momenta"].chunks is not None
        assert file["momenta"].compression == "gzip"
        assert file.attrs["energy"] == ENERGY
        assert json.loads(file.attrs["jaxhep"])["metadata"]["seed"] == 3


def test_uproot_reads_our_file(tmp_path):
    uproot = pytest.importorskip("uproot")
    batch = make_batch(0, 9)
    with uproot.open(write(tmp_path / "events.root", [batch[:4], batch[4:]])) as file:
        arrays = file["events"].arrays()
    np.testing.assert_array_equal(arrays["nparticle"], batch.mask.sum(1))
    np.testing.assert_array_equal(
        np.concatenate([np.asarray(row) for row in arrays["particle_px"]]), batch.momenta[batch.mask][:, 1]
    )
    np.testing.assert_array_equal(arrays["weight"], batch.weight)


def test_pyarrow_reads_our_file(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    batch = make_batch(0, 9)
    path = write(tmp_path / "events.parquet", [batch[:4], batch[4:]])
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups == 2
        rows = file.read().to_pydict()
    assert [len(e) for e in rows["e"]] == batch.mask.sum(1).tolist()
    assert rows["weight"] == batch.weight.tolist()
    assert rows["overflow"] == batch.overflow.tolist()


@pytest.mark.parametrize("suffix", suffixes())
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_a_clear_error(tmp_path, suffix, keep):
    path = write(tmp_path / f"events{suffix}", [make_batch(0, 40)])
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep * len(raw))])
    with pytest.raises(EventFileError, match=r"events.*(cut short|another format|must be converted)"):
        list(read_events(path))


@pytest.mark.parametrize("suffix", suffixes())
def test_missing_and_foreign_files_are_clear_errors(tmp_path, suffix):
    with pytest.raises(EventFileError, match="no such file"):
        list(read_events(tmp_path / f"absent{suffix}"))
    wrong = tmp_path / f"wrong{suffix}"
    wrong.write_text("mass,width\n1,2\n")
    with pytest.raises(EventFileError, match="wrong"):
        list(read_events(wrong))


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__

    def blocked(name, *args, **kwargs):
        if name.split(".")[0] in ("h5py", "uproot", "pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    for suffix in (".h5", ".root", ".parquet"):
        with pytest.raises(ImportError, match=r'pip install "jaxhep\[io\]"'):
            open_writer(tmp_path / f"a{suffix}", energy=ENERGY)
    assert format_of("a.hepmc") is not None
    assert not list(tmp_path.iterdir())


def test_wrong_ranges_and_suffixes(tmp_path):
    with pytest.raises(ValueError, match=r"\.hepmc, \.hepmc\.gz, \.h5, \.hdf5, \.root, \.parquet"):
        open_writer(tmp_path / "events.csv", energy=ENERGY)
    path = write(tmp_path / "a.h5", [make_batch(0, 2)])
    for start, stop, size in [(-1, None, 1), (2, 1, 1), (0, None, 0)]:
        with pytest.raises(ValueError, match="batch_size >= 1"):
            read_events(path, start, stop, batch_size=size)


def spoil(field, value):
    arrays = make_batch(1, 2).arrays()
    return EventBatch(**{**arrays, field: value})


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (spoil("momenta", np.zeros((CAPACITY, 4))), "add the batch axis"),
        (spoil("momenta", np.zeros((2, CAPACITY, 4), int)), "float32 or float64"),
        (spoil("mask", np.zeros((2, 3), bool)), "mask must have shape"),
        (spoil("mask", np.zeros((2, CAPACITY), int)), "mask must be Boolean"),
        (spoil("weight", np.array([1.0, np.nan])), "event 1 of the batch are not finite"),
    ],
)
def test_a_batch_that_is_none(batch, message):
    with pytest.raises(ValueError, match=message):
        as_batch(batch)
    with pytest.raises(TypeError, match="needs momenta"):
        as_batch(3)
