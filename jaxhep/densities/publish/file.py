"""A learned likelihood as one file that says what it is, proves itself when it is read, and needs no training code."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Key
from .._base import AbstractDensity, AbstractTractableDensity
from .encoding import PublishedFileError, decode, encode, published_classes
from .report import Table, ValidationReport, validate

FORMAT, VERSION = "jaxhep-density", 1
_PROBES = 8


@dataclasses.dataclass(frozen=True, eq=False)
class PublishedDensity:
    """A density from a file, with what is known about it.

    **Fields**: `density`; `report`, a `ValidationReport`; `name`, `description`; `columns`, `condition_columns`, names
    in order; `ranges`, `condition_ranges`, lowest and highest value of each column in the test events; `sha256` of the
    content; `written_by`, the version of jaxhep.
    """

    density: AbstractDensity
    report: ValidationReport
    name: str
    description: str
    columns: tuple[str, ...]
    condition_columns: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    condition_ranges: tuple[tuple[float, float], ...]
    sha256: str
    written_by: str

    def log_prob(self, x: Table, condition: Table | None = None) -> Array:
        r"""\(\log p(x\mid c)\) of a batch (event, dim) in nats.

        **Raises** `TypeError` if the density has none, `ValueError` for sizes that do not fit.
        """
        if not isinstance(self.density, AbstractTractableDensity):
            raise TypeError(f"{self.name!r} is a density that can be drawn from, but has no log_prob")
        x, condition = self._check(x, condition)
        return _log_prob(self.density, x, condition)

    def sample(self, key: Key, num_events: int, condition: Table | None = None, *, first: int = 0) -> Array:
        """Draws (event, dim); event i uses the key `fold_in(key, i)`, with i from `first` on.

        **Arguments**: `condition`: (condition_dim,) for all events, or (event, condition_dim).
        """
        size = self.density.condition_dim
        if (0 if condition is None else condition.shape[-1]) != size:
            got = "none" if condition is None else f"shape {condition.shape}"
            raise ValueError(f"{self.name!r} needs conditions with {size} columns, got {got}")
        if condition is not None:
            condition = jnp.broadcast_to(jnp.asarray(condition, float), (num_events, size))
        return _sample(self.density, key, first + jnp.arange(num_events), condition)

    def inside(self, condition: Table) -> Array:
        """For each row (event, condition_dim), whether it lies in the tested range; outside, log p is a guess."""
        low, high = np.array(self.condition_ranges).T if self.condition_ranges else (np.zeros(0), np.zeros(0))
        c = jnp.asarray(condition)
        return jnp.all((c >= low) & (c <= high), axis=-1)

    def _check(self, x: Any, condition: Any) -> tuple[Array, Array | None]:
        x = jnp.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.density.dim:
            raise ValueError(f"{self.name!r} takes x of shape (event, {self.density.dim}), got {x.shape}")
        size = self.density.condition_dim
        if condition is None and size == 0:
            return x, None
        if condition is None or np.shape(condition) != (len(x), size):
            got = "none" if condition is None else np.shape(condition)
            raise ValueError(f"{self.name!r} takes conditions of shape ({len(x)}, {size}), got {got}")
        return x, jnp.asarray(condition)

    def __repr__(self) -> str:
        """Name, columns, size and report."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.density))
        given = f" | {', '.join(self.condition_columns)}" if self.condition_columns else ""
        head = [f"p({', '.join(self.columns)}{given}): {self.name}", self.description]
        head += [
            f"{type(self.density).__name__}, {count:,} numbers, sha256 {self.sha256[:12]}, jaxhep {self.written_by}"
        ]
        return "\n".join([line for line in head if line] + [repr(self.report)])


def publish(
    path: str | Path,
    density: AbstractDensity,
    x: Table,
    condition: Table | None = None,
    weights: Table | None = None,
    *,
    key: Key,
    name: str = "density",
    description: str = "",
    columns: Sequence[str] | None = None,
    condition_columns: Sequence[str] | None = None,
    classes: Iterable[type] = (),
    overwrite: bool = False,
    **options: Any,
) -> PublishedDensity:
    r"""Writes a density with its preprocessing, and its validation on unseen events, into one file.

    The file is a NumPy archive (`numpy.load` opens it): the arrays by their path in the density, and a JSON header with
    the structure, the report, and log p of a few events, which are computed again when the file is read. It holds no
    code and no pickle.

    **Arguments**

    - `path`: the file; `.npz` by custom.
    - `density`: the whole density in the units of the data, preprocessing included.
    - `x`, `condition`, `weights`: events **that it was not trained on**, see `validate`.
    - `key`: key of the draws for the validation.
    - `name`, `description`: what it is, on what data, in which units.
    - `columns`, `condition_columns`: names of the columns.
    - `classes`: classes of your own that the density is made of.
    - `overwrite`: replace an existing file.
    - `options`: of `validate`.

    **Returns** the density as read back from the file.

    **Raises** `FileExistsError`; `TypeError` for a density that holds a function or an unknown class; `ValueError` for
    test events that do not fit.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another path or pass overwrite=True")
    known = published_classes(classes)
    structure, arrays = encode(density, known)
    names = _names("columns", columns, density.dim, "x")
    given = _names("condition_columns", condition_columns, density.condition_dim, "c")
    report = validate(density, x, condition, weights, key=key, **options)
    c = None if condition is None else np.asarray(condition, jax.dtypes.canonicalize_dtype(float))
    x = np.asarray(x, jax.dtypes.canonicalize_dtype(float))
    arrays["probe.x"] = x[:_PROBES]
    if c is not None:
        arrays["probe.condition"] = c[:_PROBES]
    if isinstance(density, AbstractTractableDensity):
        probe_c = None if c is None else jnp.asarray(c[:_PROBES])
        arrays["probe.log_prob"] = np.asarray(_log_prob(density, jnp.asarray(x[:_PROBES]), probe_c))
    header = {
        "format": FORMAT,
        "version": VERSION,
        "jaxhep": importlib.metadata.version("jaxhep"),
        "name": name,
        "description": description,
        "columns": names,
        "condition_columns": given,
        "ranges": _ranges(x),
        "condition_ranges": [] if c is None else _ranges(c),
        "report": report.to_dict(),
        "structure": structure,
        "arrays": {k: {"shape": list(a.shape), "dtype": a.dtype.str, "sha256": _hash(a)} for k, a in arrays.items()},
    }
    header["sha256"] = _digest(header)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, header=np.frombuffer(_text(header), np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return read_density(path, classes=classes)


def read_density(path: str | Path, *, classes: Iterable[type] = (), verify: bool = True) -> PublishedDensity:
    r"""Reads a published density and lets it prove itself.

    Refused are files that are cut short, changed in any byte of header or arrays, written by a newer version, made of
    unknown classes, or whose log p at the stored events is not what it was when they were written.

    **Arguments**

    - `path`: the file.
    - `classes`: classes of your own that it may be made of.
    - `verify`: also compute log p at the stored events; False saves the compilation.

    **Raises** `FileNotFoundError`; `PublishedFileError` with the reason.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    header, arrays = _load(path)
    try:
        density = decode(header["structure"], arrays, published_classes(classes))
    except PublishedFileError as error:
        raise PublishedFileError(f"{path} cannot be read: {error}") from error
    if verify:
        _prove(path, density, arrays)
    fields = {k: header[k] for k in ("name", "description", "sha256")}
    for k in ("columns", "condition_columns"):
        fields[k] = tuple(header[k])
    for k in ("ranges", "condition_ranges"):
        fields[k] = tuple((low, high) for low, high in header[k])
    return PublishedDensity(
        density, ValidationReport(**header["report"]), written_by=header["jaxhep"], **fields
    )  # fmt: skip


def _load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        # NumPy leaves a file that it opened itself open if it is no archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            kind, version = header["format"], int(header["version"])
            if kind != FORMAT:
                raise PublishedFileError(f"{path} is no published density of jaxhep but {kind!r}")
            if version > VERSION:
                raise PublishedFileError(
                    f"{path} was written by jaxhep {header.get('jaxhep')} in version {version} of the format, this "
                    f"jaxhep reads up to {VERSION}; update jaxhep"
                )
            if header["sha256"] != _digest(header):
                raise PublishedFileError(f"{path}: the header was changed after it was written; fetch the file again")
            arrays = {name: file[name] for name in header["arrays"]}
    except PublishedFileError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        text = (str(error).strip().splitlines() or ["no details"])[0][:200]
        raise PublishedFileError(
            f"{path} cannot be read as a published density ({type(error).__name__}: {text}); it may be cut short or "
            "damaged, fetch it again"
        ) from error
    for name, array in arrays.items():
        want = header["arrays"][name]
        if list(array.shape) != want["shape"] or array.dtype.str != want["dtype"] or _hash(array) != want["sha256"]:
            raise PublishedFileError(f"{path}: the array {name} was changed after it was written; fetch the file again")
    return header, arrays


def _prove(path: Path, density: Any, arrays: dict[str, np.ndarray]) -> None:
    if "probe.log_prob" not in arrays:
        return
    c = jnp.asarray(arrays["probe.condition"]) if "probe.condition" in arrays else None
    want = arrays["probe.log_prob"].astype(np.float64)
    found = np.asarray(_log_prob(density, jnp.asarray(arrays["probe.x"]), c), np.float64)
    worst = int(np.argmax(np.abs(found - want) / (1 + np.abs(want))))
    if not np.all(np.abs(found - want) <= 1e-3 * (1 + np.abs(want))):
        raise PublishedFileError(
            f"{path} does not reproduce its own numbers: log p of the stored event {worst} is {found[worst]:.6g}, but "
            f"was {want[worst]:.6g} when it was written; the code has changed since, use the version that wrote it"
        )


@jax.jit
def _log_prob(density: Any, x: Array, c: Any) -> Array:
    return jax.vmap(density.log_prob, (0, None if c is None else 0))(x, c)


@jax.jit
def _sample(density: Any, key: Key, index: Array, c: Any) -> Array:
    def one(i: Array, c: Any) -> Array:
        return density.sample(density.sample_noise(jax.random.fold_in(key, i)), c)

    return jax.vmap(one, (0, None if c is None else 0))(index, c)


def _names(what: str, names: Sequence[str] | None, count: int, letter: str) -> list[str]:
    found = [f"{letter}{i + 1}" for i in range(count)] if names is None else list(names)
    if len(found) != count:
        raise ValueError(f"{what} names {len(found)} columns, the density has {count}")
    return found


def _ranges(table: np.ndarray) -> list[list[float]]:
    return [[float(low), float(high)] for low, high in zip(table.min(0), table.max(0), strict=True)]


def _hash(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _text(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def _digest(header: dict[str, Any]) -> str:
    return hashlib.sha256(_text({k: v for k, v in header.items() if k != "sha256"})).hexdigest()


__all__ = ["FORMAT", "VERSION", "PublishedDensity", "publish", "read_density"]
