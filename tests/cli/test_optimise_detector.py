"""`jaxhep optimise-detector`: bad input before any compilation, and one small run from start to end."""

import contextlib
import csv
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from jaxhep.cli import app
from jaxhep.studies.detector_optimisation_document import DetectorDesign, Physics, read_design


def run(*arguments: str):
    return CliRunner().invoke(app, ["optimise-detector", *arguments])


@pytest.fixture
def design(tmp_path: Path) -> Path:
    document = DetectorDesign.uniform(3, passive_thickness=(3.0,) * 3, physics=Physics(window=3))
    path = tmp_path / "design.json"
    path.write_text(document.to_json())
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seed", "-1"), "seed"),
        (("--front", "20"), "--front must be from 0 to 8"),
        (("--num-random", "-1"), "--num-random"),
        (("--curve-events", "10"), "--curve-events must be at least 256"),
        (("--weight", "speed=1"), "unknown entry 'speed'"),
        (("--budget", "depth"), "NAME=NUMBER"),
        (("--budget", "depth=0.1"), "no design within the bounds meets depth ≤ 0.1 cm"),
        (("--resume",), "holds no run to go on with"),
    ],
)
def test_bad_input_is_a_sentence(design: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    folder = tmp_path / "run"
    result = run(str(design), *arguments, "--output", str(folder))
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert not folder.exists()


def test_bad_documents_and_folders_are_a_sentence(design: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.txt").write_text("precious")
    for arguments, words in (
        ((str(tmp_path / "none.json"),), "does not exist"),
        ((str(broken),), "no JSON"),
        ((str(design), "--output", str(tmp_path / "mine")), "exists"),
        ((str(design), "--output", str(tmp_path / "mine"), "--force"), "not a run folder"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert words in " ".join(result.output.split())
    assert (tmp_path / "mine" / "mine.txt").read_text() == "precious"


def test_example_is_a_document_that_can_be_read(tmp_path: Path) -> None:
    for name in ("a.json", "a.yaml"):
        path = tmp_path / name
        assert run("--example", str(path)).exit_code == 0
        assert read_design(path) == DetectorDesign.uniform(10)
        assert run("--example", str(path)).exit_code == 2


def interrupted(total: int, words: str):
    """In place of the progress bar: Control-C at the first report."""

    def report(done: int) -> None:
        raise KeyboardInterrupt

    return contextlib.nullcontext(report)


def test_small_run_is_interrupted_and_resumed(design: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = (str(design), "--num-steps", "50", "--batch-size", "64", "--num-random", "2", "--hard-events", "64",
                 "--curve-events", "1024", "--front", "0", "--sensitivity", "0", "--output", str(folder))  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxhep.cli._session.progress", interrupted)
        stopped = run(*arguments)
    assert stopped.exit_code == 130
    assert "25 of 50 steps" in " ".join(stopped.output.split())
    assert sorted(p.name for p in folder.iterdir()) == ["config.yaml", "design_start.json", "state.npz"]
    assert "seed" in run(*arguments, "--resume", "--seed", "7").output
    result = run(*arguments, "--resume")
    # 50 steps and 64 events need not show a gain of two standard errors.
    assert result.exit_code in (0, 1), result.output
    content = json.loads((folder / "result.json").read_text())
    assert content["optimisation"]["num_steps"] == 50
    assert set(content["hard"]["designs"]) == {"baseline", "optimised", "rival"}
    assert content["hard"]["better_than_start"]["error"] > 0
    assert content["random"]["count"] == 2
    assert content["sensitivity"] is None
    for budget in content["optimisation"]["budgets"]:
        # A limit of which more than a tenth is left has no price.
        assert (budget["price_error"] > 0) == (budget["cost"] > 0.9 * budget["limit"])
    for name in ("before", "after"):
        found = content["information"][name]
        assert 0 < found["bound"] <= 1.05 * found["achieved"] < 0.5
        assert content["energy"][name]["fit"]["terms"]["stochastic"]["value"] > 0
    built = read_design(folder / "design.json")
    start = read_design(design)
    assert built.depth <= start.depth + 1e-9
    assert built.channels <= start.channels + 1e-6
    rows = list(csv.DictReader((folder / "trajectory.csv").read_text().splitlines()))
    assert len(rows) == 50
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == 1
    for name in ("trajectory", "resolution", "detector"):
        assert (folder / f"{name}.png").stat().st_size > 5_000
    assert not (folder / "state.npz").exists()
    again = run(*arguments)
    assert again.exit_code == 2
    assert "exists" in again.output
    done = run(*arguments, "--resume")
    assert done.exit_code == 2
    assert "complete" in " ".join(done.output.split())
