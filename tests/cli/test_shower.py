"""`jaxhep shower`: files, errors as sentences, and a run that was interrupted."""

import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from jaxhep.cli import app
from jaxhep.formats import file_info, read_events, stream_events
from jaxhep.formats.run import partial_folder

SMALL = ["--lambda-qcd", "5", "--num-events", "300", "--batch-size", "100", "--seed", "7"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def content(path):
    batches = list(read_events(path))
    return [np.concatenate([getattr(b, name) for b in batches]) for name in ("momenta", "mask", "pdg_id", "weight")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("shower") / "whole.h5"
    return path, run("shower", path, *SMALL)


def test_writes_events_and_a_summary(whole):
    path, result = whole
    assert result.exit_code == 0, result.output
    momenta, mask, pdg_id, weight = content(path)
    total = np.where(mask[..., None], momenta, 0).sum(1)
    np.testing.assert_allclose(total, np.tile([91.1876, 0, 0, 0], (300, 1)), atol=1e-3)
    assert np.all(weight == 1)
    assert set(np.unique(np.abs(pdg_id[:, 0]))) <= {1, 2, 3, 4, 5}
    for word in ("300", "events/s", "1 − T", "overflow", "MB"):
        assert word in result.output
    assert file_info(path).metadata["seed"] == 7


@pytest.mark.parametrize("suffix", [".hepmc", ".hepmc.gz", ".root", ".parquet"])
def test_every_format_holds_the_same_events(whole, tmp_path, suffix):
    path = tmp_path / f"events{suffix}"
    result = run("shower", path, *SMALL)
    assert result.exit_code == 0, result.output
    for mine, theirs in zip(content(path), content(whole[0]), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


def test_interrupt_then_resume_equals_uninterrupted(whole, tmp_path, monkeypatch):
    import jaxhep.formats as formats

    path = tmp_path / "events.h5"

    def interrupted(output, make_batch, *args, **options):
        def once(start, count):
            if start >= 200:
                raise KeyboardInterrupt
            return make_batch(start, count)

        return stream_events(output, once, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(formats, "stream_events", interrupted)
        patch.setattr(sys, "argv", ["jaxhep", "shower", str(path), *SMALL])
        stopped = run("shower", path, *SMALL)
    assert stopped.exit_code == 130
    assert "200 events are safe" in stopped.output
    assert f"to go on: jaxhep shower {path}" in stopped.output
    assert stopped.output.rstrip().endswith("--resume")
    assert sum(b.num_events for b in read_events(partial_folder(path))) == 200
    assert run("shower", path, *SMALL).exit_code == 2  # an unfinished run is not overwritten in silence
    other = run("shower", path, *SMALL, "--seed", "8", "--resume")
    assert other.exit_code == 2
    assert "seed (7 there, 8 now)" in other.output
    again = run("shower", path, *SMALL, "--resume")
    assert again.exit_code == 0, again.output
    assert "200 of them from before" in again.output
    assert path.read_bytes() == whole[0].read_bytes()
    mean = [line for line in whole[1].output.splitlines() if "1 − T" in line]
    assert mean[0].split() == next(line for line in again.output.splitlines() if "1 − T" in line).split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lambda-qcd", "0"], "between 0 and the energy"),
        (["--lambda-qcd", "nan"], "between 0 and the energy"),
        (["--lambda-qcd", "100"], "between 0 and the energy"),
        (["--energy", "-1"], "energy must be a positive"),
        (["--n-f", "9"], "n_f must be"),
        (["--num-events", "-5"], "at least 1"),
        (["--num-events", "1.5"], "no whole number"),
        (["--seed", "-1"], "seed must be"),
        (["--mode", "rough"], "rough"),
        (["--lowest-lambda", "7", "--lambda-qcd", "5"], "lowest_lambda"),
        (["--noise", "sobol", "--num-events", "1e8"], "quasi-random"),
    ],
)
def test_bad_input_is_a_sentence(tmp_path, arguments, message):
    result = run("shower", tmp_path / "x.h5", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_wrong_places(whole, tmp_path):
    for path, message in (
        (whole[0], "exists already"),
        (tmp_path / "x.txt", "unknown event format"),
        (tmp_path / "no" / "x.h5", "no such folder"),
    ):
        result = run("shower", path, *SMALL)
        assert result.exit_code == 2
        assert message in result.output


def test_help_needs_no_heavy_package():
    heavy = "jax", "scipy", "matplotlib", "equinox", "h5py", "yaml"
    code = f"import sys, jaxhep.cli; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    for command in ("shower", "move", "check-gradients"):
        shown = run(command, "--help")
        assert shown.exit_code == 0
        assert "See `_HELP`" not in shown.output


def test_as_a_module():
    result = subprocess.run([sys.executable, "-m", "jaxhep.cli", "shower", "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "--resume" in result.stdout
