"""The command `python -m benchmarks`."""

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ._common import Options, Row, Skip, pin_to_one_core

NAMES = ("shower", "pythia", "dipole", "moving", "sobol", "fit", "calorimeter", "detector", "design", "floor")
ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("RESULTS.md")
_MARK = "benchmark-result "
_PROBE = "import jax, json; d = jax.devices()[0]; print(json.dumps({'backend': d.platform, 'device': d.device_kind}))"
_CASE_LIMIT_S = 1800


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser("python -m benchmarks", description="Times jaxhep; one question a benchmark.")
    add = result.add_argument
    add("--num-events", type=int, default=None, help="events a timed call (2**20; on a GPU 64 times as many)")
    add("--repeats", type=int, default=None, help="timed repeats (default 7)")
    add("--pythia-events", type=int, default=None, help="events a repeat of Pythia (default 5000)")
    add("--quick", action="store_true", help="2**16 events, 5 repeats, 1000 Pythia events")
    add("--lambda", dest="lambda_qcd", type=float, default=None, help="Λ in GeV (default 0.2)")
    add("--cutoff", type=float, default=None, help="cut-off of the dipole shower in GeV (default 1)")
    add("--only", action="append", choices=NAMES, help="run only this benchmark; repeatable")
    add("--device", choices=("cpu", "gpu", "tpu"), help="where JAX computes (default: what JAX chooses)")
    add("--json", type=Path, metavar="FILE", help="write the results here")
    add("--markdown", nargs="?", type=Path, const=RESULTS, metavar="FILE", help="write a page (RESULTS.md)")
    add("--worker", nargs=2, metavar=("NAME", "CASE"), help=argparse.SUPPRESS)
    add("--options", help=argparse.SUPPRESS)
    return result


def options_of(arguments: argparse.Namespace) -> Options:
    """Defaults, then `--quick`, then what was given explicitly."""
    values: dict[str, Any] = {"num_events": 2**16, "repeats": 5, "pythia_events": 1000} if arguments.quick else {}
    for name in ("num_events", "repeats", "pythia_events", "lambda_qcd", "cutoff"):
        if getattr(arguments, name) is not None:
            values[name] = getattr(arguments, name)
    return Options(quick=arguments.quick, **values)


def environment(device: str | None) -> dict[str, str]:
    """For the child processes: no compilation cache, so that compile time is measured, and the device asked for."""
    result = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    result["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    if device is not None:
        result["JAX_PLATFORMS"] = {"gpu": "cuda"}.get(device, device)
    return result


def _run(command: list[str], env: dict[str, str], limit: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)


def module_of(name: str) -> Any:
    """The module of a benchmark."""
    return importlib.import_module(f"benchmarks.{name}")


def run_benchmark(name: str, options: Options, device: str | None, backend: str) -> dict[str, Any]:
    """Each case in a fresh process; then the lines that compare them."""
    module = module_of(name)
    rows: list[Row] = []
    skipped: list[str] = []
    failed: list[str] = []
    begin = time.perf_counter()
    for case in module.CASES:
        command = [sys.executable, "-m", "benchmarks", "--worker", name, case]
        command += ["--options", json.dumps(dataclasses.asdict(options))]
        env = environment(device) | ({"JAXHEP_BENCHMARK_PIN": "1"} if module.PINNED and backend == "cpu" else {})
        try:
            done = _run(command, env, _CASE_LIMIT_S)
        except subprocess.TimeoutExpired:
            failed.append(f"{case}: no result after {_CASE_LIMIT_S} s")
            continue
        lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
        if done.returncode or not lines:
            reason = (done.stderr.strip() or "no output").splitlines()[-1]
            failed.append(f"{case}: {reason} (exit status {done.returncode})")
            continue
        answer = json.loads(lines[-1].removeprefix(_MARK))
        if "skipped" in answer:
            skipped.append(answer["skipped"])
        rows += [Row(**row) for row in answer.get("rows", [])]
    return {
        "benchmark": name,
        "question": module.QUESTION,
        "rows": [dataclasses.asdict(row) for row in module.summarise(rows)],
        "notes": list(module.NOTES) if rows else [],
        "skipped": skipped,
        "failed": failed,
        "seconds": time.perf_counter() - begin,
    }


def work(name: str, case: str, options: Options) -> None:
    """What a child process does: one case, its rows as one line of JSON."""
    if os.environ.get("JAXHEP_BENCHMARK_PIN"):
        pin_to_one_core()
    try:
        answer: dict[str, Any] = {"rows": [dataclasses.asdict(row) for row in module_of(name).measure(case, options)]}
    except Skip as reason:
        answer = {"skipped": str(reason)}
    print(_MARK + json.dumps(answer))


def main(arguments: list[str] | None = None) -> int:
    """Runs what was asked for; 1 if a benchmark failed."""
    from . import _report

    parse = parser()
    given = parse.parse_args(arguments)
    if given.worker:
        work(given.worker[0], given.worker[1], Options(**json.loads(given.options)))
        return 0
    try:
        options = options_of(given)
    except ValueError as error:
        parse.error(str(error))
    for path in (given.json, given.markdown):
        if path is not None and not path.resolve().parent.is_dir():
            parse.error(f"the folder of {path} does not exist")
    probe = _run([sys.executable, "-c", _PROBE], environment(given.device))
    if probe.returncode:
        kind = f" of kind {given.device}" if given.device else ""
        print(f"JAX found no device{kind}: {probe.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return 1
    backend = json.loads(probe.stdout.splitlines()[-1])
    host = _report.machine(backend)
    reports = []
    for name in given.only or NAMES:
        reports.append(run_benchmark(name, options, given.device, backend["backend"]))
        _report.show(reports[-1])
        # Written after each benchmark: an interrupted run leaves what it has measured.
        run = _report.document(host, dataclasses.asdict(options), reports)
        if given.json is not None:
            given.json.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n")
        if given.markdown is not None:
            given.markdown.write_text(_report.markdown(run))
    return 1 if any(report["failed"] for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
