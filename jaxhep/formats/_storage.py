"""Low-level help for writing files that are never half there."""

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class WatchedFile(io.RawIOBase):
    """A file that remembers its first failure to write and from then on takes writes without storing them.

    A library that meets an error of the disk while it closes a file may hide it, or end the process (HDF5 does); so the
    owner asks for `failure` when the library is done, and `until_failure` stops the work at the next part.
    """

    def __init__(self, file: Any):
        self._file = file
        self.failure: OSError | None = None

    def until_failure(self, items: Iterable[Path]) -> Iterator[Path]:
        """The items, up to the first failure, which is raised."""
        for item in items:
            self.check()
            yield item

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self.failure is not None:
            raise self.failure

    def write(self, data: Any) -> int:
        if self.failure is None:
            try:
                return int(self._file.write(data))
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        if self.failure is None and not self._file.closed:
            try:
                self._file.flush()
            except OSError as error:
                self.failure = error

    def read(self, size: int = -1) -> bytes:
        return bytes(self._file.read(size))

    def readinto(self, buffer: Any) -> int:
        return int(self._file.readinto(buffer))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def truncate(self, size: int | None = None) -> int:
        return int(self._file.truncate(size))

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Left to the owner of the file."""


def flush_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system allows it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


__all__ = ["WatchedFile", "flush_folder"]
