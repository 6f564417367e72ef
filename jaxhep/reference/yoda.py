"""YODA text files (the output of Rivet) as measurements, without the YODA library."""

import contextlib
import gzip
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from ._errors import DataFileError
from ._symmetrise import symmetrise
from .measurement import COMBINED, Measurement

_BEGIN = re.compile(r"BEGIN\s+YODA_(\w+(?:<[\w,]+>\w*)?)\s+(\S+)\s*$")
_HISTOGRAMS = {"HISTO1D", "BINNEDHISTO<D>"}
_ESTIMATES = {"ESTIMATE1D", "BINNEDESTIMATE<D>"}
_SCATTERS = {"SCATTER2D"}
_Rows = list[tuple[int, list[str]]]
_Estimate = tuple[np.ndarray, np.ndarray, np.ndarray | None, dict[str, np.ndarray]]


@dataclass(frozen=True)
class _Block:
    """One object of the file: its kind without version, its path, and its numbered lines."""

    file: Path
    kind: str
    version: int
    path: str
    start: int
    lines: list[tuple[int, str]]

    def error(self, problem: str, line: int | None = None) -> DataFileError:
        return DataFileError(self.file, f"object {self.path!r} {problem}", line=self.start if line is None else line)


@overload
def read_yoda(
    path: str | Path,
    object: None = ...,
    *,
    observable: str | None = ...,
    normalize: bool = ...,
    asymmetric: str = ...,
    energy: float | int | None = ...,
    symbol: str = ...,
    citation: str = ...,
) -> dict[str, Measurement]: ...
@overload
def read_yoda(
    path: str | Path,
    object: str,
    *,
    observable: str | None = ...,
    normalize: bool = ...,
    asymmetric: str = ...,
    energy: float | int | None = ...,
    symbol: str = ...,
    citation: str = ...,
) -> Measurement: ...


def read_yoda(
    path: str | Path,
    object: str | None = None,
    *,
    observable: str | None = None,
    normalize: bool = True,
    asymmetric: str = "average",
    energy: float | int | None = None,
    symbol: str = "x",
    citation: str = "",
) -> Measurement | dict[str, Measurement]:
    r"""One-dimensional binned objects of a YODA file, plain or gzipped.

    Understood are `HISTO1D` (YODA 1 and 2), `SCATTER2D` (YODA 1) and `ESTIMATE1D` (YODA 2); other objects are passed
    over. The density in a histogram bin is \(\sum w/\Delta x\), its error \(\sqrt{\sum w^2}/\Delta x\).

    **Arguments**

    - `object`: path of the object in the file, or its last part; None reads all that can be read.
    - `observable`: name of the function in `jaxhep.observables`; default: the last part of the object's path.
    - `normalize`: divide a histogram by its whole sum of weights, underflow and overflow included. Scatters and
      estimates are taken as they stand.
    - `asymmetric`: `"average"` or `"larger"` of the two sides of an asymmetric error, or `"error"` to refuse them.
    - `energy` in GeV, `symbol`, `citation`: put into the measurement.

    **Returns:** the measurement called `object`, or a dict path -> measurement.

    **Raises** `DataFileError` naming path and line for a file that is missing, cut short or malformed.
    """
    file = Path(path)
    blocks = _split(file)
    if object is None:
        chosen = [block for block in blocks if _readable(block)]
        if not chosen:
            kinds = sorted({block.kind for block in blocks})
            raise DataFileError(file, f"holds no one-dimensional binned object, only {', '.join(kinds) or 'nothing'}")
    else:
        chosen = [b for b in blocks if b.path == object] or [b for b in blocks if b.path.rsplit("/", 1)[-1] == object]
        if len(chosen) != 1:
            problem = f"has {len(chosen)} objects called {object!r}" if chosen else f"has no object called {object!r}"
            raise DataFileError(file, problem, cure=f"It holds: {', '.join(block.path for block in blocks)}.")
        if not _readable(chosen[0]):
            kind = chosen[0].kind
            raise chosen[0].error(f"is a {kind}; only one-dimensional binned objects on a real axis can be read")
    found = {}
    for block in chosen:
        options = {"energy": energy, "symbol": symbol, "citation": citation}
        found[block.path] = _measure(block, normalize, asymmetric, observable, options)
    return found if object is None else found[chosen[0].path]


def _readable(block: _Block) -> bool:
    return block.kind in _HISTOGRAMS | _ESTIMATES | _SCATTERS


def _split(file: Path) -> list[_Block]:
    """The objects of the file; an object without its END line means that the file was cut short."""
    try:
        raw = file.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataFileError(file, f"cannot be read as (gzipped) text ({error})", cure="Fetch it again.") from error
    blocks: list[_Block] = []
    current: _Block | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        begin = _BEGIN.match(line)
        if begin and current is None:
            kind, _, version = begin[1].partition("_V")
            current = _Block(file, kind, int(version) if version.isdigit() else 1, begin[2], number, [])
        elif begin or (line.startswith("BEGIN ") and current is None):
            raise DataFileError(file, "unexpected BEGIN line", line=number, cure="Is this a YODA text file?")
        elif line.startswith("END ") and current is not None:
            blocks.append(current)
            current = None
        elif current is not None:
            current.lines.append((number, line.strip()))
        elif line.strip() and not line.startswith("#"):
            raise DataFileError(file, f"is not a YODA text file: found {line.strip()[:40]!r}", line=number)
    if current is not None:
        raise current.error("has no END line: the file was cut short; fetch or write it again")
    if not blocks:
        raise DataFileError(file, "holds no YODA object (no BEGIN line)")
    return blocks


def _measure(block: _Block, normalize: bool, asymmetric: str, observable: str | None, options: Mapping) -> Measurement:
    annotations, rows = _annotations(block), _rows(block)
    if block.kind in _HISTOGRAMS:
        parts: _Estimate = (*_histogram(block, annotations, rows, normalize), {})
    elif block.kind in _ESTIMATES:
        parts = _estimate(block, annotations, rows, asymmetric)
    else:
        parts = _scatter(block, rows, asymmetric)
    edges, values, stat, systematics = parts
    name = block.path.rsplit("/", 1)[-1]
    title = annotations.get("Title", "")
    try:
        return Measurement(
            name=name,
            observable=observable or name,
            edges=edges,
            values=values,
            stat=stat,
            systematics=systematics,
            title=title,
            note=f"read from {block.file.name}, object {block.path}",
            **options,
        )
    except ValueError as error:
        raise block.error(f"does not describe a binned measurement: {error}") from error


def _annotations(block: _Block) -> dict[str, str]:
    """`Key: value` (YODA 2 and late 1) or `Key=value` lines."""
    found = {}
    for _, line in block.lines:
        match = re.match(r"([A-Za-z][\w()]*)\s*[:=]\s*(.*)$", line)
        if match:
            found[match[1]] = match[2].strip()
    return found


def _rows(block: _Block) -> _Rows:
    """The lines of numbers, with Total, Underflow and Overflow lines of YODA 1."""
    rows: _Rows = []
    for number, line in block.lines:
        first = line.split(None, 1)[0] if line and line != "---" else ""  # '---' alone ends the annotations
        with contextlib.suppress(ValueError):
            float("nan" if first == "---" else first)
            rows.append((number, line.split()))
            continue
        if first in ("Total", "Underflow", "Overflow"):
            rows.append((number, line.split()))
    if not rows:
        raise block.error("has no data")
    return rows


def _numbers(block: _Block, number: int, fields: list[str], least: int) -> list[float]:
    if len(fields) < least:
        raise block.error(f"has a line of {len(fields)} columns where at least {least} are needed", number)
    try:
        return [float("nan" if field == "---" else field) for field in fields]
    except ValueError as error:
        raise block.error(f"has something that is not a number ({error})", number) from error


def _histogram(
    block: _Block, annotations: Mapping[str, str], rows: _Rows, normalize: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if block.version >= 3:
        edges = _edges(block, annotations)
        table = np.array([_numbers(block, number, fields, 2)[:2] for number, fields in rows])
        _expect(block, len(table), edges.size + 1, "under- and overflow included")
        whole, table = table[:, 0].sum(), table[1:-1]
        sums, squares = table.T
    else:
        total = [fields for _, fields in rows if fields[0] == "Total"]
        numbered = [(number, fields) for number, fields in rows if fields[0] not in ("Total", "Underflow", "Overflow")]
        if not numbered:
            raise block.error("has no bins")
        table = np.array([_numbers(block, number, fields, 4)[:4] for number, fields in numbered])
        edges = _contiguous(block, table[:, 0], table[:, 1], [number for number, _ in numbered])
        sums, squares = table[:, 2], table[:, 3]
        sizes = [field for field in total[0] if field != "Total"] if total else []  # some writers give the name once
        whole = _numbers(block, block.start, sizes, 1)[0] if total else sums.sum()
    if not normalize:
        whole = 1.0
    elif not np.isfinite(whole) or whole == 0:
        raise block.error("has no weight in it and cannot be normalised; pass normalize=False")
    scale = np.diff(edges) * whole
    return edges, sums / scale, np.sqrt(squares) / np.abs(scale)


def _estimate(block: _Block, annotations: Mapping[str, str], rows: _Rows, asymmetric: str) -> _Estimate:
    edges = _edges(block, annotations)
    _expect(block, len(rows), edges.size + 1, "under- and overflow included")
    inner = rows[1:-1]
    labels = _labels(block, annotations)
    count = 1 + 2 * max(len(labels), 1)
    table = np.array([_numbers(block, number, fields, count)[:count] for number, fields in inner])
    errors = np.nan_to_num(table[:, 1:])  # '---': the bin has no error from this source
    parts = {
        label: symmetrise(errors[:, 2 * i], errors[:, 2 * i + 1], asymmetric, lambda k: block.error(k))
        for i, label in enumerate(labels or [COMBINED])
    }
    statistical = [label for label in parts if "stat" in label.lower()]
    stat = parts.pop(statistical[0]) if len(statistical) == 1 else None
    return edges, table[:, 0], stat, parts


def _scatter(block: _Block, rows: _Rows, asymmetric: str) -> _Estimate:
    table = np.array([_numbers(block, number, fields, 6)[:6] for number, fields in rows])
    centre, left, right, values, down, up = table.T
    edges = _contiguous(block, centre - left, centre + right, [number for number, _ in rows])
    return edges, values, None, {COMBINED: symmetrise(down, up, asymmetric, lambda k: block.error(k))}


def _edges(block: _Block, annotations: Mapping[str, str]) -> np.ndarray:
    try:
        return np.asarray(json.loads(annotations["Edges(A1)"]), np.float64)
    except (KeyError, ValueError) as error:
        raise block.error("has no readable line 'Edges(A1): [...]' of numbers") from error


def _labels(block: _Block, annotations: Mapping[str, str]) -> list[str]:
    try:
        return [label or COMBINED for label in json.loads(annotations.get("ErrorLabels", "[]"))]
    except ValueError as error:
        raise block.error("has an unreadable line 'ErrorLabels: [...]'") from error


def _expect(block: _Block, found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise block.error(f"has {found} lines of data, its edges need {wanted} ({what})", block.lines[-1][0])


def _contiguous(block: _Block, low: np.ndarray, high: np.ndarray, lines: list[int]) -> np.ndarray:
    """Edges of bins that must touch; edges printed with few digits are taken as equal."""
    gap = np.flatnonzero(~np.isclose(low[1:], high[:-1], rtol=1e-5, atol=1e-5 * float(np.min(high - low))))
    if gap.size:
        raise block.error(f"has bins that do not touch ({high[gap[0]]:g} to {low[gap[0] + 1]:g})", lines[gap[0] + 1])
    return np.append(low, high[-1])


__all__ = ["read_yoda"]
