"""`jaxhep check-gradients`: the folder, the exit code, errors as sentences."""

import json

import pytest
from typer.testing import CliRunner

from jaxhep.cli import app

TINY = [
    "--lambda-qcd",
    "2",
    "--num-events",
    "2e4",
    "--batch-size",
    "10000",
    "--observable",
    "multiplicity",
    "--step",
    "0.05",
]


def run(*arguments):
    return CliRunner().invoke(app, ["check-gradients", *[str(a) for a in arguments]])


def test_folder_table_and_exit_code(tmp_path):
    folder = tmp_path / "check"
    result = run(*TINY, "--output", folder)
    assert result.exit_code == 0, result.output
    record = json.loads((folder / "result.json").read_text())
    assert record["passed"] is True
    assert record["num_events"] == 20_000
    assert len(record["scales"][0]["quantities"]) == 1 + 42
    for picture in ("gradient_check.png", "gradient_check_bins.png"):
        assert (folder / picture).read_bytes()[:4] == b"\x89PNG"
    assert "seed: 1" in (folder / "config.yaml").read_text()
    assert "gradients agree" in " ".join(result.output.split())
    refused = run(*TINY, "--output", folder)
    assert refused.exit_code == 2
    assert "--force" in refused.output


def test_disagreement_is_exit_code_1(tmp_path):
    """Across a jump of the lattice (N = 2 to 1 at Λ = 2.3307 GeV) the difference sees what the gradient does not."""
    folder = tmp_path / "jump"
    lattice = ["--mode", "lattice", "--lambda-qcd", "2.3307", "--bins", "none", "--observable", "multiplicity"]
    result = run(*lattice, "--num-events", "20000", "--batch-size", "10000", "--step", "0.02", "--output", folder)
    assert result.exit_code == 1, result.output
    record = json.loads((folder / "result.json").read_text())
    assert record["passed"] is False
    assert any("N jumps from 2 to 1" in note for note in record["notes"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lambda-qcd", "0"], "between 0 and the energy"),
        (["--lambda-qcd", "nan"], "between 0 and the energy"),
        (["--observable", "c_paramete"], "did you mean 'c_parameter'"),
        (["--num-events", "0"], "at least 1"),
        (["--step", "-0.1"], "between 0 and 1"),
        (["--bins", "oblateness"], "no published binning"),
        (["--seed", "-3"], "--seed must be"),
    ],
)
def test_bad_input_is_a_sentence(tmp_path, arguments, message):
    result = run(*arguments, "--output", tmp_path / "x")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []
