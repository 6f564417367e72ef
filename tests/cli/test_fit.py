"""`jaxhep fit`: bad input before any compilation, and one small run from start to end."""

import json
from importlib import resources
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from jaxhep.cli import app


def run(*arguments: str):
    return CliRunner().invoke(app, ["fit", *arguments])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--observable", "thurst"), "thrust"),
        (("--observable", "wide_broadening"), "universal power correction"),
        (("--range", "0.9:0.8"), "LOW:HIGH"),
        (("--range", "0.1:0.2"), "no bin lies wholly inside"),
        (("--num-events", "10"), "at least 1000"),
        (("--seed", "-1"), "seed"),
        (("--rebin", "30"), "bins"),
        (("--n-f", "7"), "n_f"),
        (("--observable", "thrust", "--observable", "c_parameter", "--range", "0.3:0.5"), "OBSERVABLE=LOW:HIGH"),
    ],
)
def test_bad_input_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    folder = tmp_path / "run"
    result = run(*arguments, "--output", str(folder))
    assert result.exit_code == 2
    assert words in result.output
    assert not folder.exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("absent.yoda", "cannot be read"),
        ("broken.yoda", "is not a YODA text file"),
        ("cut.csv", "ends in the middle of a line"),
        ("elsewhere.csv", "--energy 133"),
        ("wide_broadening=elsewhere.csv", "add --observable wide_broadening"),
        ("table.xlsx", "no kind that can be read"),
    ],
)
def test_bad_data_file_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    good = (resources.files("jaxhep.reference") / "published" / "aleph_2004_thrust.csv").read_text()
    Path("broken.yoda").write_text("T,value\n0.9,1.0\n")
    Path("cut.csv").write_text(good[:-3])
    Path("elsewhere.csv").write_text(good.replace("energy: 91.2", "energy: 133"))
    result = run("--data", data, "--output", "run")
    assert result.exit_code == 2
    assert words in result.output
    assert not Path("run").exists()


def test_existing_folder_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for extra in ((), ("--force",)):
        result = run("--output", str(tmp_path), *extra)
        assert result.exit_code == 2
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_small_fit(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = run("--num-events", "8192", "--range", "0.80:0.95", "--no-validation", "--output", str(folder))
    assert result.exit_code == 0, result.output
    content = json.loads((folder / "result.json").read_text())
    assert content["valid"]
    assert content["num_events"] == 8192
    assert content["ndf"] == 13
    assert content["wall_seconds"] > content["compile_seconds"] >= 0
    assert content["num_overflow"] == 0
    for name, low, high in (("lambda_qcd", 0.15, 0.5), ("omega_1", 0.2, 1.2)):
        assert low < content["parameters"][name]["value"] < high
        assert 0 < content["parameters"][name]["error"] < 0.2
    fitted = content["parameters"]["lambda_qcd"]
    assert fitted["interval"]["valid"]
    assert fitted["lower_error"] < 0 < fitted["upper_error"]
    assert fitted["interval"]["lower"] < fitted["value"] < fitted["interval"]["upper"]
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == 1
    for name in ("data_mc_thrust", "profile_lambda_qcd", "contour"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
