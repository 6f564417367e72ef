"""A run that survives interrupts and full disks: numbered part files and a manifest beside the file to be written.

While `events.h5` is being written there is a folder `events.h5.partial` with `manifest.json` (energy, metadata, layout)
and one whole, readable file a batch, `000000000000-000000001000.h5` (first event, event after the last). A part is
written to a temporary name, flushed to the disk, and then renamed, so that a part is either whole or absent. When all
events are there, the parts are joined, streaming, into a temporary file that then takes the final name in one step.
"""

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ._errors import EventFileError, OutputExistsError, RunMismatchError, StorageFullError, no_space
from ._registry import EventFormat, format_of, suffix_of
from ._storage import WatchedFile, flush_folder
from .batch import as_batch
from .info import EventFileInfo, plain_metadata

_PART = re.compile(r"(\d{12})-(\d{12})\.")
_MANIFEST = "manifest.json"


def partial_folder(path: str | Path) -> Path:
    """The folder of parts that belongs to this output file."""
    return Path(f"{path}.partial")


class ResumableRun:
    """Write an event file batch by batch so that nothing written is ever lost.

    **Arguments**

    - `path`: the file to write; its suffix says the format (see `suffixes`).
    - `energy`: centre-of-mass energy in GeV, of the beams that HepMC needs.
    - `metadata`: anything JSON can hold that decides the events (seed, parameters, number of events): a run is resumed
      only if it is equal.
    - `force`: discard an earlier file or unfinished run. `resume`: go on with an unfinished run; without one, begin.

    **Raises** `OutputExistsError`, `RunMismatchError` (resuming with other parameters), `StorageFullError`,
    `ValueError` for an unknown suffix or impossible energy, `ImportError` for a missing package.

    As a context manager it finishes the file on success and keeps the parts after an exception.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        energy: float | int,
        metadata: Mapping[str, Any] | None = None,
        force: bool = False,
        resume: bool = False,
    ):
        self.path = Path(path)
        self.suffix = suffix_of(self.path)
        self.energy = float(energy)
        if not 0 < self.energy < float("inf"):
            raise ValueError(f"energy must be a positive number of GeV, got {energy}.")
        if force and resume:
            raise ValueError("force discards what is there and resume goes on with it; choose one.")
        self._format: EventFormat = format_of(self.path)
        self.metadata = plain_metadata(metadata)
        self.folder = partial_folder(self.path)
        self._layout: tuple[int, str, bool] | None = None
        self._lock: IO[str] | None = None
        self.finished = False
        self._force = False
        self.num_events = 0
        self._begin(force, resume)

    @property
    def parts(self) -> list[Path]:
        """The part files, in order."""
        found = sorted(p for p in self.folder.glob("*") if _PART.match(p.name) and p.name.endswith(self.suffix))
        return found

    def _begin(self, force: bool, resume: bool) -> None:
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"{self.path.parent}: no such folder for the output; make it first.")
        if self.path.exists() and not force:
            if not resume:
                raise OutputExistsError(
                    f"{self.path} exists already; choose another name, or overwrite it with force=True (--force)."
                )
            if not self._replaces():
                self._adopt_finished()
                return
        if self.folder.exists() and not (force or resume):
            raise OutputExistsError(
                f"{self.folder} holds an unfinished run of this file; go on with it (resume=True, --resume) or begin "
                "again (force=True, --force)."
            )
        if self.folder.exists() and force:
            self._acquire()  # refuse to discard what another process is writing
            shutil.rmtree(self.folder)
            self.close_lock()
        with self._full_disk("beginning the run"):
            self.folder.mkdir(exist_ok=True)
            self._acquire()
        try:
            self._continue(force)
        except BaseException:
            self.close_lock()
            raise

    def _replaces(self) -> bool:
        """Whether an unfinished run was begun with force, to take the place of the file that is still there."""
        try:
            return bool(json.loads((self.folder / _MANIFEST).read_text(encoding="utf-8"))["force"])
        except (OSError, ValueError, KeyError):
            return False

    def _adopt_finished(self) -> None:
        """Resuming a run that is complete: nothing to do if it is the same run."""
        head = self._format.info(self.path)
        self._compare({"energy": head.energy, "metadata": dict(head.metadata)}, self.path)
        self.num_events, self.finished = head.num_events, True
        if self.folder.exists():  # the last run was ended between its last two steps
            shutil.rmtree(self.folder)

    def _continue(self, force: bool) -> None:
        for leftover in self.folder.glob("*.tmp"):
            leftover.unlink()
        manifest = self.folder / _MANIFEST
        if not manifest.exists():
            if self.parts:
                raise EventFileError(self.folder, f"holds parts but no {_MANIFEST}", "Begin again with force=True.")
            self._force = force
            self._write_manifest()
        try:
            record = json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise EventFileError(manifest, f"is damaged ({error})", "Begin again with force=True (--force).") from error
        self._compare(record, self.folder)
        self._force = bool(record.get("force"))
        layout = record.get("layout")
        self._layout = None if layout is None else tuple(layout)
        for part in self.parts:
            first, stop = self._span(part)
            if first != self.num_events:
                raise EventFileError(self.folder, f"lacks the part that begins at event {self.num_events}")
            self.num_events = stop

    def _compare(self, record: Mapping[str, Any], where: Path) -> None:
        mine = {"energy": self.energy, "metadata": self.metadata}
        different = []
        if record["energy"] != mine["energy"]:
            different.append(f"energy ({record['energy']} there, {self.energy} now)")
        for key in sorted(set(record["metadata"]) | set(self.metadata)):
            there, now = record["metadata"].get(key, "absent"), self.metadata.get(key, "absent")
            if there != now:
                different.append(f"{key} ({there!r} there, {now!r} now)")
        if different:
            raise RunMismatchError(
                f"{where} was begun with other parameters: {'; '.join(different)}. Resume with the same ones, or begin "
                "again with force=True (--force)."
            )

    def _write_manifest(self) -> None:
        layout = None if self._layout is None else list(self._layout)
        record = {"jaxhep_run": 1, "energy": self.energy, "metadata": self.metadata, "layout": layout}
        record["force"] = self._force
        self._store(self.folder / _MANIFEST, json.dumps(record, indent=1).encode(), "writing the manifest")

    @staticmethod
    def _span(part: Path) -> tuple[int, int]:
        match = _PART.match(part.name)
        assert match is not None, part
        return int(match[1]), int(match[2])

    def write(self, events: Any) -> None:
        """Add a batch of events (an `Event` or `EventBatch` with one batch axis); afterwards they are on the disk.

        **Raises** `StorageFullError` when there is no space: all batches before are safe. `ValueError` for a batch of
        another capacity, dtype or colour content than the first, or after the end of the run.
        """
        if self.finished:
            raise ValueError(f"{self.path} is finished; nothing can be added.")
        if self._lock is None:
            raise ValueError(f"the writer of {self.path} is closed.")
        batch = as_batch(events)
        if batch.num_events == 0:
            return
        head = EventFileInfo.of(batch, self.energy, self.metadata)
        if self._layout is None:
            self._layout = head.layout()
            self._write_manifest()
        if head.layout() != self._layout:
            raise ValueError(
                f"{self.path}: this batch has (capacity, dtype, colour) = {head.layout()}, the file {self._layout}; "
                "all batches of a file must agree."
            )
        stop = self.num_events + batch.num_events
        content = self._format.encode(batch, head, self.num_events, self.suffix)
        name = f"{self.num_events:012d}-{stop:012d}{self.suffix}"
        self._store(self.folder / name, content, f"writing events {self.num_events} to {stop - 1}")
        self.num_events = stop

    def _store(self, target: Path, content: bytes, action: str) -> None:
        """Whole or not at all: write beside, flush to the disk, rename."""
        with self._full_disk(action), self._replacing(target) as file:
            file.write(content)

    @contextlib.contextmanager
    def _replacing(self, target: Path) -> Iterator[IO[bytes]]:
        temporary = self.folder / f"{target.name}.tmp"
        try:
            with open(temporary, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
            flush_folder(target.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _full_disk(self, action: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not no_space(error):
                raise
            raise StorageFullError(
                getattr(error, "errno", None) or errno.ENOSPC,
                f"no space left (disk, quota or file size limit) while {action} of {self.path}. "
                f"{self.num_events} events are safe in {self.folder}, each part a readable file. Free some space and "
                "run the same again with resume=True (--resume).",
            ) from error

    def close(self) -> Path:
        """Join the parts into the final file and remove them; returns its path.

        **Raises** `StorageFullError` if the joined file does not fit (parts and file exist side by side for a moment);
        the parts stay.
        """
        if self.finished:
            self.close_lock()
            return self.path
        if self.num_events == 0 or self._layout is None:
            raise ValueError(f"{self.path}: no events were written.")
        capacity, dtype, colour = self._layout
        head = EventFileInfo(self.energy, self.metadata, self.num_events, capacity, dtype, colour)
        with self._full_disk("joining the parts"), self._replacing(self.path) as file:
            self._check_room()
            watched = WatchedFile(file)
            try:
                self._format.merge(watched.until_failure(self.parts), watched, head, self.suffix)
            finally:
                watched.check()
        self.finished = True
        self.close_lock()
        (self.folder / _MANIFEST).unlink(missing_ok=True)  # first: without it, what is left of the folder is rubbish
        shutil.rmtree(self.folder, ignore_errors=True)
        return self.path

    def _check_room(self) -> None:
        """Say that the disk is too full before any work; quotas and limits show only while writing."""
        needed, free = sum(part.stat().st_size for part in self.parts), shutil.disk_usage(self.folder).free
        if free < needed:
            raise OSError(errno.ENOSPC, f"{needed} bytes needed, {free} free")

    def abort(self) -> None:
        """Stop writing and keep the parts; the run can be resumed."""
        self.close_lock()

    def __enter__(self) -> "ResumableRun":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None:
            try:
                self.close()
            finally:
                self.abort()
            return
        self.abort()
        if not isinstance(error, StorageFullError):
            error.add_note(self.safe())

    def safe(self) -> str:
        """What is on the disk, and how to go on, in a sentence."""
        if self.finished:
            return f"{self.path} is complete with {self.num_events} events."
        again = "run the same again with resume=True (--resume) to go on"
        return f"{self.num_events} events are safe in {self.folder}; {again}."

    def _acquire(self) -> None:
        """Hold a lock that ends with this process, so that two never write the same run."""
        if self._lock is None:
            self._lock = open(self.folder / "lock", "w")  # noqa: SIM115 - held until the run ends
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self.close_lock()
                raise OutputExistsError(f"{self.folder} is being written by another process; wait for it.") from error
            except OSError:
                pass  # a file system without locks

    def close_lock(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


__all__ = ["ResumableRun", "partial_folder"]
