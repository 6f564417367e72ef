"""Published tables that come with jaxhep, loaded by name."""

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import DataFileError
from .measurement import COMBINED, Measurement

MAGIC = "# jaxhep measurement, format 1"


def available() -> list[str]:
    """Names of the measurements that come with jaxhep.

    >>> from jaxhep.reference import available
    >>> "aleph_2004_thrust" in available()
    True
    """
    folder = resources.files(__package__) / "published"
    return sorted(item.name.removesuffix(".csv") for item in folder.iterdir() if item.name.endswith(".csv"))


def load(name: str) -> Measurement:
    """The measurement of that name, or of that observable if only one table measures it.

    **Raises** `ValueError` for an unknown name, with the nearest ones.

    >>> from jaxhep.reference import load
    >>> load("thrust").name
    'aleph_2004_thrust'
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a measurement is a text, got {type(name).__name__}.")
    names = available()
    chosen = [name] if name in names else [known for known in names if _observable(known) == name]
    if len(chosen) != 1:
        pool = names + [_observable(known) for known in names]
        near = difflib.get_close_matches(name, pool, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"no measurement is called {name!r}.{hint} Available: {', '.join(names)}.")
    with resources.as_file(resources.files(__package__) / "published" / f"{chosen[0]}.csv") as path:
        return read_table(path)


def _observable(name: str) -> str:
    """Names are experiment_year_observable."""
    return name.split("_", 2)[2]


def read_table(path: str | Path) -> Measurement:
    """A measurement in jaxhep's own CSV: `# key: value` lines, then `low,high,value` and one column an error.

    The error columns are `stat`, any names of systematics, or a single `total`. The last line ends with a line end, so
    that a file that was cut short inside a number is noticed.

    **Raises** `DataFileError` naming the path and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(path, f"cannot be read ({error})") from error
    lines = text.splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise DataFileError(path, f"is not a jaxhep table; its first line must be '{MAGIC}'", line=1)
    if not text.endswith("\n"):
        cure = "If nothing is missing, end the file with a line end."
        raise DataFileError(path, "ends in the middle of a line (cut short?)", line=len(lines), cure=cure)
    header: dict[str, Any] = {}
    body: list[tuple[int, list[str]]] = []
    for number, text in enumerate(lines[1:], start=2):
        if text.startswith("#"):
            key, colon, value = text[1:].partition(":")
            if colon:
                header[key.strip()] = value.strip()
        elif text.strip():
            body.append((number, [field.strip() for field in text.split(",")]))
    if len(body) < 2 or body[0][1][:3] != ["low", "high", "value"]:
        raise DataFileError(path, "needs a line 'low,high,value,…' and at least one bin below it", line=len(lines))
    titles = body[0][1]
    numbers = np.array([_numbers(path, number, fields, len(titles)) for number, fields in body[1:]])
    gap = np.flatnonzero(numbers[1:, 0] != numbers[:-1, 1])
    if gap.size:
        line = body[gap[0] + 2][0]
        raise DataFileError(path, "bins must be contiguous: low of a bin is high of the one before", line=line)
    return _assemble(path, header, dict(zip(titles, numbers.T, strict=True)))


def _numbers(path: Path, number: int, fields: list[str], count: int) -> list[float]:
    if len(fields) != count:
        raise DataFileError(path, f"has {len(fields)} columns where {count} are expected (cut short?)", line=number)
    try:
        return [float(field) for field in fields]
    except ValueError as error:
        raise DataFileError(path, f"holds something that is not a number ({error})", line=number) from error


def _assemble(path: Path, header: Mapping[str, Any], columns: dict[str, np.ndarray]) -> Measurement:
    missing = [key for key in ("name", "observable") if key not in header]
    if missing:
        raise DataFileError(path, f"lacks the header lines {', '.join(f'# {key}:' for key in missing)}")
    low, high, values = (columns.pop(key) for key in ("low", "high", "value"))
    if "total" in columns:
        columns = {COMBINED: columns["total"]}
    stat = columns.pop("stat", None)
    texts = {key: header.get(key, "") for key in ("citation", "doi", "hepdata", "title", "note")}
    try:
        return Measurement(
            name=header["name"],
            observable=header["observable"],
            edges=np.append(low, high[-1]),
            values=values,
            stat=stat,
            systematics=columns,
            energy=float(header["energy"]) if "energy" in header else None,
            symbol=header.get("symbol", "x"),
            kind=header.get("kind", "density"),
            **texts,
        )
    except ValueError as error:
        raise DataFileError(path, f"does not describe a measurement: {error}") from error


__all__ = ["available", "load", "read_table"]
