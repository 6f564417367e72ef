"""`jaxhep move`: the events of a file at another Λ."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from jaxhep.cli import app
from jaxhep.formats import open_writer, read_events
from jaxhep.studies.event_run import EventRun
from jaxhep.studies.moved_run import _Bins


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("move") / "run.h5"
    result = run("shower", path, "--lambda-qcd", 5, "--num-events", 250, "--batch-size", 100, "--no-hard-process")
    assert result.exit_code == 0, result.output
    return path


def test_moved_events_are_those_of_the_simulator(stored, tmp_path):
    path = tmp_path / "moved.h5"
    result = run("move", stored, "--lambda-qcd", 5.5, "--output", path)
    assert result.exit_code == 0, result.output
    batches = list(read_events(path))
    momenta, weight = (np.concatenate([getattr(b, name) for b in batches]) for name in ("momenta", "weight"))
    own = EventRun(num_events=250, lambda_qcd=5.0)
    there = own.events(0, 250, simulator=own.simulator_at(5.5), reference=own.simulator())
    np.testing.assert_allclose(momenta, np.asarray(there.momenta), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(weight, np.asarray(there.weight), rtol=1e-4)
    assert np.ptp(weight) > 0.01
    again = run("move", path, "--lambda-qcd", 5, "--output", tmp_path / "back.h5")
    assert again.exit_code == 2
    assert "moved already" in again.output


def test_histograms(stored, tmp_path):
    folder = tmp_path / "histograms"
    arguments = ("move", stored, "--lambda-qcd", 5.5, "--observable", "thrust", "--observable", "multiplicity")
    result = run(*arguments, "--output", folder)
    assert result.exit_code == 0, result.output
    record = json.loads((folder / "moved.json").read_text())
    number = record["histograms"]["multiplicity"]
    mask = np.concatenate([b.mask for b in read_events(stored)])
    counts = np.histogram(mask.sum(1), number["edges"])[0] / 250
    np.testing.assert_allclose(number["original"], counts, rtol=1e-6)
    np.testing.assert_allclose(np.add(number["original"], number["shift"]), number["moved"], atol=1e-12)
    for name in ("thrust", "multiplicity"):
        assert (folder / f"moved_{name}.png").read_bytes()[:4] == b"\x89PNG"
    refused = run(*arguments, "--output", folder)
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert run(*arguments, "--output", folder, "--force").exit_code == 0


def test_a_changed_file_is_refused(stored, tmp_path):
    path, batches = tmp_path / "changed.h5", list(read_events(stored))
    from jaxhep.formats import file_info

    batches[0].momenta[3, 1] *= 1.01
    info = file_info(stored)
    with open_writer(path, energy=info.energy, metadata=info.metadata) as writer:
        for batch in batches:
            writer.write(batch)
    result = run("move", path, "--lambda-qcd", 5.5, "--output", tmp_path / "out.h5")
    assert result.exit_code == 2
    assert "do not come out again" in result.output


def test_bad_input_is_a_sentence(stored, tmp_path):
    foreign = tmp_path / "foreign.h5"
    with open_writer(foreign, energy=91.2) as writer:
        writer.write(next(iter(read_events(stored))))
    broken = tmp_path / "broken.h5"
    broken.write_bytes(stored.read_bytes()[:1000])
    (tmp_path / "empty").mkdir()
    out = ["--output", tmp_path / "out.h5"]
    cases = [
        ([stored, "--lambda-qcd", 3, *out], "moved down to 4 GeV"),
        ([stored, "--lambda-qcd", "nan", *out], "between 0 and the energy"),
        ([stored, "--lambda-qcd", 5.1, "--observable", "thrust", *out], "holds no histograms"),
        ([stored, "--lambda-qcd", 5.1, "--observable", "thrus", "--output", tmp_path / "h"], "did you mean 'thrust'"),
        ([stored, "--lambda-qcd", 5.1, "--output", stored], "is the run itself"),
        ([tmp_path / "no.h5", "--lambda-qcd", 5.1, *out], "no such file"),
        ([foreign, "--lambda-qcd", 5.1, *out], "does not say how its events were made"),
        ([broken, "--lambda-qcd", 5.1, *out], "cut short"),
        ([tmp_path / "empty", "--lambda-qcd", 5.1, *out], "no seed, num_events, lambda_qcd"),
    ]
    for arguments, message in cases:
        result = run("move", *arguments)
        assert result.exit_code == 2, arguments
        assert message in " ".join(result.output.split())
    assert not (tmp_path / "out.h5").exists()


def test_lattice_does_not_move_across_a_jump():
    with pytest.raises(ValueError, match="across this jump"):
        EventRun(num_events=1, lambda_qcd=0.36, mode="lattice").simulator_at(0.38)


def test_error_of_the_shift_knows_the_correlation():
    """Against the spread of many independent small samples."""
    rng = np.random.default_rng(2)
    shifts, errors = [], []
    for _ in range(400):
        x, w = rng.uniform(size=500), rng.uniform(0.8, 1.2, 500)
        bins = _Bins(np.array([0.0, 0.3, 0.6, 1.0]))
        for part in (slice(0, 123), slice(123, 500)):
            bins.add((x[part], x[part] ** 1.05), (np.ones(500)[part], w[part]))
        found = bins.result()
        shifts.append(found["shift"])
        errors.append(found["shift_error"])
    # The spread of 400 is known to 3.5 %; five of these.
    np.testing.assert_allclose(np.std(shifts, axis=0), np.mean(errors, axis=0), rtol=0.18)
