"""Reports as a table on the screen, as JSON, and as Markdown."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from ._common import SCHEMA

_LEAST_WIDTH = 120
"""Columns of text where the output is no terminal, or a narrow one."""
_WIDE = 4
"""A table with more columns than this, and than lines, is turned on its side."""
_ALIKE = 4
"""Rows that differ in fewer quantities than this share a table."""
_PACKAGES = ("jaxhep", "jax", "jaxlib", "equinox", "numpy", "scipy", "pythia8mc")


def machine(backend: dict[str, Any]) -> dict[str, Any]:
    """The machine, its load now, and the versions at work."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "processor": model,
        "cores": cores,
        "system": f"{platform.system()} {platform.release()}",
        "load_at_start": load,
        "versions": versions,
        **backend,
    }


def document(backend: dict[str, Any], options: dict[str, Any], reports: list[dict[str, Any]]) -> dict[str, Any]:
    """All of a run, ready for JSON."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"schema": SCHEMA, "date": now, "machine": backend, "options": options, "benchmarks": reports}


def number(value: float) -> str:
    """Four digits: 0.01234, 12.34, 1234, 1.234e+07."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-3:
        return f"{value:.3e}"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}"


def tables(report: dict[str, Any]) -> list[tuple[list[str], list[list[str]]]]:
    """Head and lines of each table of a report: like rows stand together, wide tables lie on their side."""
    groups: list[tuple[list[str], list[dict[str, Any]]]] = []
    for row in report["rows"]:
        keys = list(row["values"])
        if groups and set(keys) & set(groups[-1][0]) and len(set(keys) ^ set(groups[-1][0])) < _ALIKE:
            groups[-1][0].extend(k for k in keys if k not in groups[-1][0])
            groups[-1][1].append(row)
        else:
            groups.append((keys, [row]))
    result = []
    for keys, rows in groups:
        grid = [["", *(k.replace("_", " ") for k in keys)]]
        grid += [[r["name"], *(number(r["values"][k]) if k in r["values"] else "" for k in keys)] for r in rows]
        if len(keys) > max(_WIDE, len(rows)):
            grid = [list(line) for line in zip(*grid, strict=True)]
        result.append((grid[0], grid[1:]))
    return result


def show(report: dict[str, Any]) -> None:
    """Prints one report: with rich where it is installed, else as plain text."""
    title = f"{report['benchmark']}: {report['question']}"
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(title)
        for head, lines in tables(report):
            for line in [head, *lines]:
                print("  ".join(f"{cell:>24}" for cell in line))
        for remark in _remarks(report):
            print(remark)
        return
    console = Console()
    console = Console(width=max(console.width, _LEAST_WIDTH))
    console.print(f"\n[bold]{title}[/bold]")
    for head, lines in tables(report):
        table = Table()
        for i, cell in enumerate(head):
            table.add_column(cell, justify="right" if i else "left", no_wrap=not i)
        for line in lines:
            table.add_row(*line)
        console.print(table)
    for remark in _remarks(report):
        console.print(remark, markup=False, highlight=False)


def _remarks(report: dict[str, Any]) -> list[str]:
    problems = [f"{report['benchmark']} skipped: {text}" for text in report["skipped"]]
    return problems + [f"{report['benchmark']} FAILED: {text}" for text in report["failed"]] + report["notes"]


def markdown(run: dict[str, Any]) -> str:
    """The whole run as a page."""
    host = run["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    options = ", ".join(f"{name} {value}" for name, value in run["options"].items())
    lines = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks --markdown`; every number below was measured in that run.",
        "",
        f"- Date: {run['date']}",
        f"- Machine: {host['processor']}, {host['cores']} cores, {host['system']}; "
        f"JAX computes on {host['device']} ({host['backend']})",
        f"- Load average of the machine when the run began: {host['load_at_start']:.2f} "
        "(0 is quiet; above it, wall times are too long and the processor time is the better guide)",
        f"- Versions: {versions}",
        f"- Options: {options}",
        "- Rates: median of the repeats after a warm-up; spread: median absolute deviation over the median; "
        "cpu: processor time of all threads.",
    ]
    for report in run["benchmarks"]:
        lines += ["", f"## {report['benchmark']}", "", f"{report['question']}.", ""]
        for head, rows in tables(report):
            lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
            lines += ["| " + " | ".join(line) + " |" for line in rows]
            lines.append("")
        lines += [f"{text}\n" for text in _remarks(report)]
    return "\n".join(lines).rstrip() + "\n"
