"""Suffix -> format. A format turns one batch into the bytes of a whole file, joins such files, and reads them."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Protocol, runtime_checkable

from ._errors import EventFileError
from .batch import EventBatch
from .info import EventFileInfo

_MODULES = {
    ".hepmc": "hepmc",
    ".hepmc.gz": "hepmc",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".root": "root",
    ".parquet": "parquet",
}


@runtime_checkable
class EventFormat(Protocol):
    """What the module of a format offers."""

    encode: Callable[[EventBatch, EventFileInfo, int, str], bytes]
    """A whole file that holds this batch: (batch, header, number of its first event, suffix)."""
    merge: Callable[[Iterable[Path], RawIOBase, EventFileInfo, str], None]
    """Join files written by `encode`, in order, into one, a part at a time: (parts, output, header, suffix)."""
    info: Callable[[Path], EventFileInfo]
    """The header of a file."""
    read: Callable[[Path, int, int | None, int], Iterator[EventBatch]]
    """Batches of events: (path, start, stop, batch size)."""
    check: Callable[[], None]
    """Raise `ImportError` if a package that the format needs is missing."""


def suffixes() -> list[str]:
    """The file suffixes that can be written and read."""
    return list(_MODULES)


def suffix_of(path: str | Path) -> str:
    """The format's suffix of this path; `ValueError` listing the supported ones."""
    name = Path(path).name.lower()
    for suffix in sorted(_MODULES, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"{path}: unknown event format; the name must end in one of {', '.join(_MODULES)}.")


def format_of(path: str | Path) -> EventFormat:
    """The format by suffix, with the packages that it needs."""
    module = importlib.import_module(f"{__package__}.{_MODULES[suffix_of(path)]}")
    module.check()
    return module


def check_range(path: Path, start: int, stop: int | None, batch_size: int) -> None:
    """Refuse impossible ranges."""
    if start < 0 or (stop is not None and stop < start) or batch_size < 1:
        raise ValueError(
            f"{path}: need 0 <= start <= stop and batch_size >= 1, got start={start}, stop={stop}, {batch_size=}."
        )


def complete(path: Path, info: EventFileInfo, found: int) -> None:
    """Refuse a file that holds fewer events than its header says."""
    if found != info.num_events:
        raise EventFileError(
            path, f"holds {found} events where its header says {info.num_events}", "It was cut short; write it again."
        )


__all__ = ["EventFormat", "check_range", "complete", "format_of", "suffix_of", "suffixes"]
