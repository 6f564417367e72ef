"""The benchmarks run and say what they promise to say; no time is asserted."""

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import _common, _report, calorimeter, dipole, floor, moving, shower
from benchmarks._common import Options, Row, Skip

ROOT = Path(__file__).resolve().parents[1]
# Λ = 5 GeV: a few slots, so that each program compiles in about a second.
TINY = Options(num_events=256, repeats=2, quick=True, lambda_qcd=5.0, cutoff=10.0, pythia_events=20)
RATES = {"events_per_s", "best_events_per_s", "wall_ns_per_event", "cpu_ns_per_event"}


def check_rows(rows, positive=()):
    """Rows with different names, finite numbers, and the stated quantities above zero."""
    names = [row.name for row in rows]
    assert len(set(names)) == len(names) > 0
    for row in rows:
        assert row.values
        for key, value in row.values.items():
            assert math.isfinite(value), (row.name, key)
            if key in positive:
                assert value > 0, (row.name, key)


def test_shower():
    rows = [row for case in ("smooth, plain", "smooth, gradient") for row in shower.measure(case, TINY)]
    rows = shower.summarise(rows)
    check_rows(rows, RATES | {"peak_mb", "before_mb", "time_ratio", "cpu_ratio"})
    assert [row.name for row in rows] == ["smooth, plain", "smooth, gradient", "smooth, gradient / plain"]
    assert set(rows[0].values) >= RATES | {"compile_s", "spread_percent", "peak_mb"}


def test_calorimeter():
    rows = calorimeter.measure("10×5×5 cells, plain", TINY)
    check_rows(rows, RATES | {"bytes_per_event", "bytes_floor_ns", "reached_percent"})
    assert rows[0].values["bytes_per_event"] == 4 * 251


def test_moving():
    rows = moving.summarise(moving.measure("1.1 Λ", TINY))
    check_rows(rows, {"events_ratio", "error_moved", "error_regenerated", "mean_weight"})
    assert rows[0].name == "⟨1−T⟩"
    assert any("≤" in row.name for row in rows)


def test_floor():
    rows = {row.name.removeprefix("Discrete QCD, "): row for row in floor.measure("Discrete QCD", TINY)}
    check_rows(list(rows.values()), {"floor_ns", "wall_ns_per_event", "reached_percent", "bytes_floor_ns"})
    assert {"peaks", "an event", "measured"} <= set(rows)
    assert all(value > 0 for value in rows["peaks"].values.values())


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")
    return dipole.compiled_peer(tmp_path_factory.mktemp("peer"))


def test_peers_that_are_missing(monkeypatch, tmp_path):
    """On an accelerator's machine the rest is still measured; on a CPU the comparison is the question."""
    monkeypatch.setattr(dipole.shutil, "which", lambda name: None)
    monkeypatch.setattr(dipole.pythia_benchmark, "started", lambda settings: (_ for _ in ()).throw(Skip("not here")))
    monkeypatch.setattr(dipole, "on_cpu", lambda: False)
    assert dipole._started_peers(TINY, tmp_path) == []
    monkeypatch.setattr(dipole, "on_cpu", lambda: True)
    with pytest.raises(Skip, match="no C\\+\\+ compiler"):
        dipole._started_peers(TINY, tmp_path)


def test_dipole():
    pytest.importorskip("pythia8mc")
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")
    rows = dipole.measure("peers", TINY)
    check_rows(rows, {"events_per_s", "times_faster", "mean_partons"})
    assert len(rows) == 4
    rows = dipole.measure("weight", TINY)
    check_rows(rows, RATES | {"time_ratio", "slope", "deviation_of_slope"})


def test_the_cpp_shower_is_the_same_shower(peer):
    """An independent program: the mean number of partons, false alarm rate 2e-7."""
    import jax

    from jaxhep.observables import multiplicity
    from jaxhep.simulator import generate

    count = 2**17
    sample = generate(dipole.shower_of(TINY), jax.random.key(7), count, observables={"n": multiplicity})
    number = sample["n"].astype(float)
    assert not sample["overflow"].any()
    mean, error = dipole.peer_partons(peer, 10**6, TINY.cutoff)
    assert abs(float(number.mean()) - mean) < 5.2 * math.hypot(error, float(number.std()) / math.sqrt(count))
    assert mean > 2.1


def test_operations_are_counted():
    """Counts of programs whose operations are known."""
    import jax
    import jax.numpy as jnp

    x = jnp.ones(8)
    assert floor.operations(lambda x: x * 2 + 1, x) == Counter(float=16)
    assert floor.operations(lambda x: (jnp.exp(x), x / 3)[0], x) == Counter(transcendental=8)
    steps = jax.lax.scan
    assert floor.operations(lambda x: steps(lambda c, _: (c * c, None), x, length=5)[0], x) == Counter(float=40)


def test_pythia():
    pytest.importorskip("pythia8mc")
    from benchmarks import pythia

    rows = pythia.measure("one core", TINY)
    check_rows(rows, RATES | {"times_faster", "times_faster_cpu", "mean_partons"})
    assert len(rows) == 4
    # A shower down to 0.5 GeV has more partons than one that stops at 2 GeV.
    assert rows[1].values["mean_partons"] > rows[3].values["mean_partons"] > 2


def test_command_line_writes_json_and_markdown(tmp_path):
    """The whole way through a child process, with the schema."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "--quick", "--num-events=512", "--repeats=2", "--lambda=5"),
            *("--only=sobol", f"--json={tmp_path / 'run.json'}", f"--markdown={tmp_path / 'run.md'}"),
        ],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "XLA_FLAGS"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "variance gain" in done.stdout
    run = json.loads((tmp_path / "run.json").read_text())
    assert set(run) == {"schema", "date", "machine", "options", "benchmarks"}
    assert run["schema"] == _common.SCHEMA
    assert {"processor", "cores", "load_at_start", "versions", "backend", "device"} <= set(run["machine"])
    assert run["options"] == dataclasses.asdict(
        Options(num_events=512, repeats=2, quick=True, lambda_qcd=5.0, pythia_events=1000)
    )
    (report,) = run["benchmarks"]
    assert set(report) == {"benchmark", "question", "rows", "notes", "skipped", "failed", "seconds"}
    assert report["failed"] == report["skipped"] == []
    rows = [Row(**row) for row in report["rows"]]
    check_rows(rows, {"variance_gain", "mean"})
    assert rows[-1].values["scrambles"] >= 16
    page = (tmp_path / "run.md").read_text()
    assert "## sobol" in page
    assert all(row["name"] in page for row in report["rows"])


def test_a_skipped_benchmark_says_why(monkeypatch, capsys):
    class Absent:
        @staticmethod
        def measure(case, options):
            raise Skip("There is nothing to measure.")

    monkeypatch.setattr(command, "module_of", lambda name: Absent)
    command.work("fit", "any", TINY)
    line = capsys.readouterr().out.strip()
    assert json.loads(line.removeprefix("benchmark-result ")) == {"skipped": "There is nothing to measure."}


def test_a_failed_case_is_reported(monkeypatch):
    monkeypatch.setattr(shower, "CASES", ("no such mode, plain",))
    report = command.run_benchmark("shower", TINY, None, "cpu")
    assert report["rows"] == []
    assert "mode must be" in report["failed"][0]


def test_tables_turn_and_group():
    wide = {"benchmark": "b", "rows": [{"name": "a", "values": {str(i): float(i) for i in range(9)}}]}
    head, lines = _report.tables(wide)[0]
    assert head == ["", "a"]
    assert [line[0] for line in lines] == [str(i) for i in range(9)]
    mixed = {"rows": [{"name": "a", "values": {"x": 1.0}}, {"name": "b", "values": {"y": 2.0}}]}
    assert len(_report.tables(mixed)) == 2


def test_bad_options_are_refused(capsys):
    with pytest.raises(ValueError, match="num_events must be at least 1"):
        Options(num_events=0)
    with pytest.raises(ValueError, match="lambda must lie"):
        Options(lambda_qcd=-1.0)
    with pytest.raises(SystemExit) as stop:
        command.main(["--num-events", "-5"])
    assert stop.value.code == 2
    assert "num_events must be at least 1" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is nan"):
        Row("a", {"x": math.nan})


def test_every_benchmark_states_its_question():
    for name in command.NAMES:
        module = command.module_of(name)
        assert module.QUESTION
        assert module.CASES
        assert callable(module.measure)
        assert callable(module.summarise)
        assert "?" in module.__doc__.splitlines()[0]
    files = {p.stem for p in (ROOT / "benchmarks").glob("*.py")} - {"__init__", "__main__", "_common", "_report"}
    assert files == set(command.NAMES)
