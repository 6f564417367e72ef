"""HEPData YAML tables as measurements."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import DataFileError
from ._symmetrise import symmetrise
from .measurement import COMBINED, Measurement


def read_hepdata_yaml(
    path: str | Path,
    *,
    column: int | str = 0,
    observable: str | None = None,
    name: str | None = None,
    edges: Sequence[float | int] | None = None,
    asymmetric: str = "average",
    uncorrelated: Sequence[str] = (),
    energy: float | int | None = None,
    citation: str = "",
    symbol: str | None = None,
) -> Measurement:
    """One column of a HEPData table in its YAML form (`independent_variables`, `dependent_variables`).

    Errors whose label contains `stat` are the statistical ones, all others systematics under their own label; a single
    error without label is the total error. Errors in per cent ('1.5%') become absolute. Empty bins ('-') are dropped at
    either end. Bins in falling order are turned round.

    **Arguments**

    - `column`: which dependent variable, by number or by its header name.
    - `edges`: bin edges, needed when the table gives points instead of bins.
    - `asymmetric`: `"average"` or `"larger"` of the two sides of an asymmetric error, or `"error"` to refuse them.
    - `uncorrelated`: labels of systematics that are independent from bin to bin.
    - `energy` in GeV; default: the qualifier `SQRT(S)` of the column.
    - `observable`, `name`, `citation`, `symbol`: put into the measurement; defaults from the table's headers.

    **Raises** `DataFileError` naming path, line and cure.
    """
    file = Path(path)
    table, lines = _document(file)
    independent, dependent = table["independent_variables"], table["dependent_variables"]
    if len(independent) != 1:
        raise DataFileError(file, f"has {len(independent)} independent variables, only tables with one can be read")
    index = _column(file, dependent, column)
    bins, entries = independent[0].get("values") or [], dependent[index].get("values") or []
    if not bins or len(bins) != len(entries):
        raise DataFileError(file, f"has {len(bins)} bins and {len(entries)} values", cure="The file may be cut short.")
    where = [lines.get(("dependent_variables", index, "values", i)) for i in range(len(entries))]
    low, high = _edges(file, bins, edges, lines)
    values = np.array([_value(file, entry, line) for entry, line in zip(entries, where, strict=True)])
    errors = [_errors(file, e, v, line) for e, v, line in zip(entries, values, where, strict=True)]
    order = np.argsort(low)
    low, high, values = low[order], high[order], values[order]
    full = np.flatnonzero(np.isfinite(values))
    if full.size == 0:
        raise DataFileError(file, "has no bin with a value")
    cut = slice(int(full[0]), int(full[-1]) + 1)
    low, high, values = low[cut], high[cut], values[cut]
    if not np.isfinite(values).all():
        hole = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataFileError(file, f"has no value in the bin [{low[hole]:g}, {high[hole]:g}] between others")
    if not np.allclose(low[1:], high[:-1], rtol=1e-9, atol=0):
        hole = int(np.flatnonzero(~np.isclose(low[1:], high[:-1], rtol=1e-9, atol=0))[0])
        raise DataFileError(
            file, f"has bins that do not touch: {high[hole]:g} to {low[hole + 1]:g}", cure="Split the table there."
        )
    kept = [errors[i] for i in order[cut]]
    parts = _parts(file, kept, values.size, asymmetric)
    statistical = [label for label in parts if "stat" in label.lower()]
    stat = parts.pop(statistical[0]) if len(statistical) == 1 else None
    unknown = sorted(set(uncorrelated) - set(parts))
    if unknown:
        raise ValueError(f"uncorrelated names {unknown} are not systematics of {file}; it has {sorted(parts)}.")
    header = dependent[index].get("header") or {}
    axis = independent[0].get("header") or {}
    try:
        return Measurement(
            name=name or file.stem,
            observable=observable or str(axis.get("name", file.stem)),
            edges=np.append(low, high[-1]),
            values=values,
            stat=stat,
            systematics=parts,
            correlated=frozenset(set(parts) - set(uncorrelated) - {COMBINED}),
            energy=_energy(dependent[index]) if energy is None else energy,
            citation=citation,
            title=str(header.get("name", "")),
            symbol=symbol or str(axis.get("name", "x")),
            note=f"read from {file.name}",
        )
    except ValueError as error:
        raise DataFileError(file, f"does not describe a binned measurement: {error}") from error


def _document(file: Path) -> tuple[dict[str, Any], dict[tuple, int]]:
    """The document that holds the table, and the line on which each of its nodes stands."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = file.read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=loader))
        documents = list(yaml.load_all(text, Loader=loader))  # CSafeLoader builds plain data only
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(file, f"cannot be read as text ({error})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "unexpected content"
        line = None if mark is None else mark.line + 1
        raise DataFileError(file, f"is not valid YAML: {problem}", line=line, cure="Fetch the file again.") from error
    if text and not text.endswith("\n"):
        cure = "If nothing is missing, end the file with a line end."
        raise DataFileError(file, "ends in the middle of a line (cut short?)", line=text.count("\n") + 1, cure=cure)
    for node, document in zip(nodes, documents, strict=True):
        if isinstance(document, dict) and "independent_variables" in document:
            for key in ("independent_variables", "dependent_variables"):
                content = document.get(key)
                if not isinstance(content, list) or not content or not all(isinstance(c, dict) for c in content):
                    raise DataFileError(file, f"has no list of {key}", cure="The file may be cut short.")
            return document, dict(_lines(node, ()))
    raise DataFileError(
        file,
        "holds no table (no key independent_variables)",
        cure="Give the YAML file of one table, not the submission.yaml that lists them.",
    )


def _lines(node: Any, path: tuple) -> Iterator[tuple[tuple, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node.value, list):
        for i, child in enumerate(node.value):
            key, item = (child[0].value, child[1]) if isinstance(child, tuple) else (i, child)
            yield from _lines(item, (*path, key))


def _column(file: Path, dependent: list[dict[str, Any]], column: int | str) -> int:
    titles = [str((entry.get("header") or {}).get("name", "")) for entry in dependent]
    if isinstance(column, str):
        if column not in titles:
            raise DataFileError(file, f"has no column {column!r}", cure=f"It has {titles}.")
        return titles.index(column)
    if not 0 <= column < len(dependent):
        raise DataFileError(file, f"has no column {column}", cure=f"It has {len(dependent)}: {titles}.")
    return column


def _edges(
    file: Path, bins: list[Any], edges: Sequence[float | int] | None, lines: dict
) -> tuple[np.ndarray, np.ndarray]:
    if edges is not None:
        given = np.asarray(edges, np.float64)
        if given.shape != (len(bins) + 1,):
            raise ValueError(f"{len(bins)} bins need {len(bins) + 1} edges, got {given.shape}.")
        return given[:-1], given[1:]
    found = []
    for i, entry in enumerate(bins):
        line = lines.get(("independent_variables", 0, "values", i))
        if not isinstance(entry, dict) or not {"low", "high"} <= set(entry):
            raise DataFileError(file, "gives a point where a bin (low, high) is needed", line=line, cure="Pass edges=.")
        found.append((_number(file, entry["low"], line), _number(file, entry["high"], line)))
    low, high = np.array(found).T
    return low, high


def _number(file: Path, value: Any, line: int | None) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataFileError(file, f"holds {value!r} where a number is needed", line=line) from error


def _value(file: Path, entry: Any, line: int | None) -> float:
    value = entry.get("value") if isinstance(entry, dict) else entry
    return float("nan") if value in (None, "-", "") else _number(file, value, line)


def _errors(file: Path, entry: Any, value: float, line: int | None) -> dict[str, tuple[float, float]]:
    """Label -> (down, up) of one bin, absolute."""
    if not np.isfinite(value):
        return {}

    def size(given: Any) -> float:
        text = str(given).strip()
        return value * _number(file, text[:-1], line) / 100 if text.endswith("%") else _number(file, given, line)

    listed = entry.get("errors") or []
    found: dict[str, tuple[float, float]] = {}
    for i, error in enumerate(listed):
        label = str(error.get("label") or (COMBINED if len(listed) == 1 else f"error {i + 1}"))
        if "symerror" in error:
            pair = (size(error["symerror"]),) * 2
        elif "asymerror" in error:
            pair = (size(error["asymerror"]["minus"]), size(error["asymerror"]["plus"]))
        else:
            raise DataFileError(file, f"has an error {label!r} that is neither symerror nor asymerror", line=line)
        found[label] = pair
    return found


def _parts(file: Path, errors: list[dict], count: int, rule: str) -> dict[str, np.ndarray]:
    """Label -> symmetric errors of all bins; a bin without that source has error 0 from it."""
    labels = list(dict.fromkeys(label for entry in errors for label in entry))
    if not labels:
        raise DataFileError(file, "gives no errors for this column", cure="A fit needs them.")
    sides = {label: np.array([entry.get(label, (0.0, 0.0)) for entry in errors]).reshape(count, 2) for label in labels}

    def refuse(problem: str) -> Exception:
        return DataFileError(file, problem)

    return {label: symmetrise(pair[:, 0], pair[:, 1], rule, refuse) for label, pair in sides.items()}


def _energy(column: dict[str, Any]) -> float | None:
    for qualifier in column.get("qualifiers") or []:
        if str(qualifier.get("name", "")).upper().startswith("SQRT(S"):
            try:
                return float(qualifier["value"])
            except (KeyError, TypeError, ValueError):
                return None
    return None


__all__ = ["read_hepdata_yaml"]
