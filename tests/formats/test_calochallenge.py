"""CaloChallenge files: the four binnings of the challenge, round trips, what is broken, and the features."""

import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxhep.detector.calorimeter import Calorimeter, Layers, ParticleGun, Readout, Rings, calochallenge_dataset_2
from jaxhep.formats import EventFileError, OutputExistsError, RunMismatchError
from jaxhep.formats import calochallenge as cc
from jaxhep.simulator import Chain

h5py = pytest.importorskip("h5py")
REFERENCE = Path("/work/shared/reference/calochallenge")
SHAPES = {"1_photons": (5, 368), "1_pions": (7, 533), "2": (45, 6480), "3": (45, 40500)}


@pytest.mark.parametrize("name", SHAPES)
def test_binnings_of_the_challenge(name, tmp_path):
    file = REFERENCE / f"binning_dataset_{name}.xml"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    binning = cc.read_binning(file)
    assert (len(binning.filled), binning.num_voxels) == SHAPES[name]
    assert cc.read_binning(cc.write_binning(binning, tmp_path / "again.xml")) == binning
    if name in "23":
        assert binning == {"2": cc.DATASET_2, "3": cc.DATASET_3}[name]


def test_the_preset_is_data_set_2():
    detector = calochallenge_dataset_2()
    assert cc.binning_of(detector) == cc.DATASET_2
    assert float(np.asarray(detector.readout.threshold)) == pytest.approx(15.15e-6)
    with pytest.raises(TypeError, match="not from ParticleGun"):
        cc.binning_of(ParticleGun(1.0))


GOOD = '<Bins><Bin pid="11" name="electron"><Layer id="0" r_edges="0,1,2" n_bin_alpha="3"/></Bin></Bins>'
BROKEN = {
    "cut short": (GOOD[:60], "cannot be read as a binning XML"),
    "not xml": ("energy = 5", "cannot be read as a binning XML"),
    "other root": ("<Cells/>", "no <Bins>"),
    "no edges": (GOOD.replace('r_edges="0,1,2"', ""), "layer 0 has no attribute r_edges"),
    "text": (GOOD.replace("0,1,2", "0,one"), "layer 0: r_edges holds 'one'"),
    "order": (GOOD.replace("0,1,2", "0,2,1"), "must increase"),
    "sectors": (GOOD.replace('alpha="3"', 'alpha="0"'), "n_bin_alpha must be at least 1"),
    "no id": (GOOD.replace('id="0"', ""), "has no attribute id"),
    "no voxels": (GOOD.replace("0,1,2", "0"), "has no voxels"),
    "pid": (GOOD.replace('pid="11"', 'pid="e"'), "pid holds 'e'"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_binnings(what, tmp_path):
    text, message = BROKEN[what]
    file = tmp_path / "binning.xml"
    file.write_text(text)
    with pytest.raises(EventFileError, match=re.escape(message)) as caught:
        cc.read_binning(file)
    assert str(file) in str(caught.value)


def test_choosing_a_particle_and_not_overwriting(tmp_path):
    file = tmp_path / "two.xml"
    part = GOOD.removeprefix("<Bins>").removesuffix("</Bins>")
    file.write_text(f"<Bins>{part}{part.replace('electron', 'photon')}</Bins>")
    assert cc.read_binning(file, "photon").name == "photon"
    with pytest.raises(EventFileError, match="describes electron, photon"):
        cc.read_binning(file)
    with pytest.raises(EventFileError, match="not 'pion'"):
        cc.read_binning(file, "pion")
    with pytest.raises(EventFileError, match="no such file"):
        cc.read_binning(tmp_path / "none.xml")
    before = file.read_text()
    with pytest.raises(OutputExistsError, match="force=True"):
        cc.write_binning(cc.DATASET_2, file)
    assert file.read_text() == before


def made(start, count):
    rng = np.random.default_rng(7)
    energies, showers = rng.uniform(1, 9, 50), rng.uniform(0, 1, (50, 6))
    return cc.ShowerBatch(energies[start : start + count], showers[start : start + count])


def test_round_trip_in_mev(tmp_path):
    file = cc.write_showers(tmp_path / "a.hdf5", made, 23, num_voxels=6, batch_size=5, dtype=np.float64)
    with h5py.File(file) as data:
        assert sorted(data) == ["incident_energies", "showers"]
        assert data["incident_energies"].shape == (23, 1)
        assert data["showers"].shape == (23, 6)
        np.testing.assert_allclose(data["showers"][:], 1000 * made(0, 23).showers, rtol=1e-14)
    whole = made(0, 23)
    for size in (1, 7, 100):
        parts = list(cc.read_showers(file, batch_size=size))
        np.testing.assert_allclose(np.concatenate([p.showers for p in parts]), whole.showers, rtol=1e-14)
        np.testing.assert_allclose(
            np.concatenate([p.incident_energies for p in parts]), whole.incident_energies, rtol=1e-14
        )
    (some,) = cc.read_showers(file, 20, 99)
    np.testing.assert_allclose(some.showers, whole.showers[20:], rtol=1e-14)
    assert cc.dataset_shape(file) == (23, 6)


def test_interrupted_runs_go_on_and_nothing_is_overwritten(tmp_path):
    file, partial = tmp_path / "a.hdf5", tmp_path / "a.hdf5.partial"
    calls = []

    def interrupted(start, count):
        if start >= 10:
            raise KeyboardInterrupt
        return made(start, count)

    options: dict[str, Any] = {"num_voxels": 6, "batch_size": 5, "metadata": {"seed": 1}}
    with pytest.raises(KeyboardInterrupt):
        cc.write_showers(file, interrupted, 23, **options)
    assert partial.exists()
    assert not file.exists()
    with pytest.raises(OutputExistsError, match="resume=True"):
        cc.write_showers(file, made, 23, **options)
    with pytest.raises(RunMismatchError, match="metadata differ"):
        cc.write_showers(file, made, 23, resume=True, **(options | {"metadata": {"seed": 2}}))

    def noted(start, count):
        calls.append(start)
        return made(start, count)

    cc.write_showers(file, noted, 23, resume=True, **options)
    assert calls == [10, 15, 20]
    assert not partial.exists()
    straight = cc.write_showers(tmp_path / "b.hdf5", made, 23, **options)
    with h5py.File(file) as a, h5py.File(straight) as b:
        for name in a:
            np.testing.assert_array_equal(a[name][:], b[name][:])
        assert json.loads(a.attrs["jaxhep"])["num_showers"] == 23
    content = file.read_bytes()
    with pytest.raises(OutputExistsError, match="force=True"):
        cc.write_showers(file, made, 5, **options)
    assert file.read_bytes() == content
    cc.write_showers(file, made, 5, force=True, **options)
    assert cc.dataset_shape(file) == (5, 6)


def test_wrong_batches_and_numbers(tmp_path):
    with pytest.raises(ValueError, match=r"it must give \(4, 7\)"):
        cc.write_showers(tmp_path / "a.h5", made, 4, num_voxels=7)
    with pytest.raises(ValueError, match="num_showers must be a positive whole number"):
        cc.write_showers(tmp_path / "a.h5", made, 0, num_voxels=7)
    with pytest.raises(ValueError, match=r"must be \(n, voxel\)"):
        cc.ShowerBatch(np.ones(3), np.ones((2, 6)))


def test_broken_data_sets(tmp_path):
    good = cc.write_showers(tmp_path / "good.h5", made, 20, num_voxels=6)
    short = tmp_path / "short.h5"
    short.write_bytes(good.read_bytes()[:700])
    with pytest.raises(EventFileError, match="cannot be read as a CaloChallenge data set"):
        cc.read_showers(short)
    with pytest.raises(EventFileError, match="no such file"):
        cc.read_showers(tmp_path / "none.h5")
    with pytest.raises(ValueError, match="0 <= start <= stop"):
        cc.read_showers(good, 5, 2)
    with pytest.raises(EventFileError, match="6 voxels, the binning of 'electron' has 6480"):
        cc.read_showers(good, binning=cc.DATASET_2)

    def changed(name, **arrays):
        file = tmp_path / name
        with h5py.File(file, "w") as data:
            for key, value in arrays.items():
                data[key] = value
        return file

    with pytest.raises(EventFileError, match="has no showers"):
        cc.read_showers(changed("a.h5", incident_energies=np.ones((3, 1))))
    with pytest.raises(EventFileError, match=r"not \(N, 1\) and \(N, voxel\)"):
        cc.read_showers(changed("b.h5", incident_energies=np.ones((3, 1)), showers=np.ones((2, 6))))
    for bad in (np.nan, np.inf):
        showers = np.ones((3, 6))
        showers[1, 2] = bad
        with pytest.raises(EventFileError, match="not finite"):
            list(cc.read_showers(changed("c.h5", incident_energies=np.ones((3, 1)), showers=showers)))


def test_features_against_loops():
    layers = (cc.LayerBins(0, (0.0, 2.0, 5.0), 4), cc.LayerBins(3, (0.0,), 1), cc.LayerBins(7, (0.0, 1.0, 4.0, 9.0), 2))
    for binning in (cc.Binning("x", 22, layers), cc.regular_binning(2, [0.0, 2.0, 3.0], 3)):
        showers = np.random.default_rng(0).uniform(-0.3, 1, (4, binning.num_voxels)).clip(0)
        showers[3] = 0
        with jax.enable_x64(True):
            got = [np.asarray(leaf) for leaf in jax.tree.leaves(cc.high_level_features(showers, binning, 0.5))]
        for event in range(4):
            place = 0
            for index, layer in enumerate(binning.filled):
                sums, above = np.zeros(7), 0
                for j in range(layer.num_alpha):
                    alpha = -np.pi + (j + 0.5) * 2 * np.pi / layer.num_alpha
                    for low, high in zip(layer.edges, layer.edges[1:], strict=False):
                        e, r = showers[event, place], (low + high) / 2
                        x, y = r * np.cos(alpha), r * np.sin(alpha)
                        sums += e * np.array([1, x, y, r, x * x, y * y, r * r])
                        above += e > 0.5
                        place += 1
                total = sums[0]
                centres, squares = sums[1:4] / (total + 1e-16), sums[4:] / (total + 1e-16)
                widths = np.sqrt(np.clip(squares - centres**2, 0, None))
                want = [total, *centres, *widths, 1 - above / layer.num_voxels]
                have = [leaf[event, index] for leaf in got]
                np.testing.assert_allclose(have, want, rtol=1e-12, atol=2e-8)
    with pytest.raises(ValueError, match="have 5 voxels"):
        cc.high_level_features(np.ones(5), binning)


def test_simulated_data_set(tmp_path):
    """Our showers as a data set: the same whatever the batch, MeV, above threshold, and refused where they overflow."""
    layers = Layers("Si", np.full(4, 0.03), "W", np.full(4, 0.6))
    detector = Calorimeter(layers, Rings([0.0, 1.0, 3.0], 4), Readout(threshold=1e-4), sampling_term=0.2)
    chain = Chain(ParticleGun(1.0, 10.0), detector)
    binning = cc.binning_of(chain)
    a = cc.simulate_showers(tmp_path / "a.h5", chain, jax.random.key(5), 24, batch_size=16)
    b = cc.simulate_showers(tmp_path / "b.h5", chain, jax.random.key(5), 24, batch_size=24)
    with h5py.File(a) as one, h5py.File(b) as two:
        np.testing.assert_allclose(one["showers"][:], two["showers"][:], rtol=1e-5, atol=1e-3)
        assert one["showers"].shape == (24, binning.num_voxels)
        energies = one["incident_energies"][:, 0]
        assert np.all((energies > 1000) & (energies < 10000))
        assert np.all(one["showers"][:].sum(1) < 2 * energies)
        cells = one["showers"][:]
        assert np.all((cells == 0) | (cells > 0.1 * (1 - 1e-5)))
    with pytest.raises(OutputExistsError):
        cc.simulate_showers(tmp_path / "a.h5", chain, jax.random.key(5), 24)
