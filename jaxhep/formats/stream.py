"""Writing and reading event files: the two functions that most callers need, and the writer behind them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ._errors import EventFileError
from ._registry import check_range, format_of, suffix_of
from .batch import EventBatch, concatenate
from .info import EventFileInfo
from .run import ResumableRun, partial_folder


@runtime_checkable
class EventWriter(Protocol):
    """What `open_writer` gives: batches in, one file out."""

    num_events: int
    """Events that are on the disk."""

    def write(self, events: Any) -> None:
        """Add a batch."""

    def close(self) -> Path:
        """Finish the file."""


@dataclasses.dataclass(frozen=True)
class StreamSummary:
    """What `stream_events` did: the file, its events, how many were there already, and its size in bytes."""

    path: Path
    num_events: int
    num_resumed: int
    num_bytes: int


def open_writer(
    path: str | Path,
    *,
    energy: float | int,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
) -> ResumableRun:
    """A writer of events, by suffix: `.hepmc`, `.hepmc.gz`, `.h5`, `.hdf5`, `.root`, `.parquet`.

    Arguments and errors as for `ResumableRun`. After an interrupt, `resume=True` gives a writer whose `num_events` says
    with which event to go on.

    >>> import numpy as np, tempfile
    >>> from jaxhep.formats import EventBatch, open_writer, read_events
    >>> pair = np.array([[[45.6, 0, 0, 45.6], [45.6, 0, 0, -45.6]]])
    >>> ids = np.array([[1, -1]])
    >>> batch = EventBatch(pair, np.ones((1, 2), bool), ids, np.ones(1), np.zeros(1, bool))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open_writer(f"{folder}/two.hepmc", energy=91.2, metadata={"seed": 1}) as writer:
    ...         writer.write(batch)
    ...     [b.pdg_id.tolist() for b in read_events(f"{folder}/two.hepmc")]
    [[[1, -1]]]
    """
    return ResumableRun(path, energy=energy, metadata=metadata, resume=resume, force=force)


def stream_events(
    path: str | Path,
    make_batch: Callable[[int, int], Any],
    num_events: int,
    *,
    batch_size: int = 10_000,
    energy: float | int,
    metadata: Mapping[str, Any] | None = None,
    force: bool = False,
    resume: bool = False,
    on_batch: Callable[[int, int], None] | None = None,
) -> StreamSummary:
    """Generate events and write them, a batch at a time, so that memory is bounded and nothing written is lost.

    **Arguments**

    - `make_batch(start, count)`: the events start … start + count − 1 as an `Event` with one batch axis. It must depend
      on nothing but the event numbers, so that a resumed run equals an uninterrupted one.
    - `num_events`, `batch_size`: positive whole numbers; both are part of what must agree when resuming.
    - `energy`, `metadata`, `force`, `resume`: see `ResumableRun`.
    - `on_batch(done, num_events)`: called at the start and after each batch.

    **Raises** as `ResumableRun`; an exception or interrupt carries a note on what is safe and how to resume.
    """
    for name, value in (("num_events", num_events), ("batch_size", batch_size)):
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value!r}.")
    reserved = {"num_events": int(num_events), "batch_size": int(batch_size)}
    clash = sorted(set(reserved) & set(metadata or {}))
    if clash:
        raise ValueError(f"metadata may not hold {clash}; stream_events adds them itself.")
    run = ResumableRun(path, energy=energy, metadata={**(metadata or {}), **reserved}, force=force, resume=resume)
    resumed = run.num_events
    with run:
        if on_batch is not None:
            on_batch(run.num_events, num_events)
        while run.num_events < num_events and not run.finished:
            count = min(batch_size, num_events - run.num_events)
            before = run.num_events
            run.write(make_batch(before, count))
            if run.num_events != before + count:
                raise ValueError(
                    f"make_batch({before}, {count}) gave {run.num_events - before} events; it must give {count}."
                )
            if on_batch is not None:
                on_batch(run.num_events, num_events)
    return StreamSummary(run.path, run.num_events, resumed, run.path.stat().st_size)


def read_events(
    path: str | Path, start: int = 0, stop: int | None = None, *, batch_size: int = 10_000
) -> Iterator[EventBatch]:
    """Batches of the events start … stop − 1 of a file that jaxhep wrote, or of the folder of an unfinished run.

    HepMC3 files of other programs are read too (particles of status 1).

    **Returns:** an iterator of `EventBatch`, each of `batch_size` events but for the last, with the dtype that was
    written.

    **Raises** at once: `EventFileError` for a missing file, `ValueError` for an unknown suffix or an impossible range.
    When the iterator reaches it: `EventFileError` for a file that is cut short or of another format.
    """
    file = Path(path)
    check_range(file, start, stop, batch_size)
    if file.is_dir():
        parts = sorted(p for p in file.iterdir() if p.name[:12].isdigit() and not p.name.endswith(".tmp"))
        if not parts:
            raise EventFileError(file, "is a folder without parts of events")
        return _read_parts(parts, start, stop, batch_size)
    form = format_of(file)
    if not file.exists():
        folder = partial_folder(file)
        cure = f"Its run is unfinished: resume it, or read {folder}." if folder.is_dir() else ""
        raise EventFileError(file, "no such file", cure)
    return form.read(file, start, stop, batch_size)


def _read_parts(parts: list[Path], start: int, stop: int | None, batch_size: int) -> Iterator[EventBatch]:
    held: EventBatch | None = None
    for part in parts:
        first, last = (int(number) for number in part.name[:25].split("-"))
        low, high = max(start - first, 0), last - first if stop is None else min(stop, last) - first
        if low >= high:
            continue
        for fresh in format_of(part).read(part, low, high, batch_size):
            held = fresh if held is None else concatenate([held, fresh])
            while held.num_events >= batch_size:
                yield held[:batch_size]
                held = held[batch_size:]
    if held is not None and held.num_events:
        yield held


def file_info(path: str | Path) -> EventFileInfo:
    """The header of an event file that jaxhep wrote: energy, metadata, number of events, layout.

    **Raises** `EventFileError` when the file cannot be read or has no such header.
    """
    suffix_of(path)
    return format_of(path).info(Path(path))


__all__ = ["EventWriter", "StreamSummary", "file_info", "open_writer", "read_events", "stream_events"]
