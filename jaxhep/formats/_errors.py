"""Errors of reading and writing event files: each says what happened, what is safe, and what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class EventFileError(ValueError):
    """An event file is missing, cut short, or not what its suffix says."""

    def __init__(self, path: str | Path, problem: str, cure: str = ""):
        super().__init__(f"{path}: {problem}." + (f" {cure}" if cure else ""))
        self.path = Path(path)


class OutputExistsError(FileExistsError):
    """The file to be written is there already, whole or in part."""


class RunMismatchError(ValueError):
    """A run that was begun with other parameters cannot be resumed with these."""


class StorageFullError(OSError):
    """The disk, quota or file size limit is exhausted; the text says which events are safe and how to resume."""


def no_space(error: BaseException | None) -> bool:
    """Whether this exception, or what caused it, is a full disk, quota or file size limit."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return True
        error = error.__cause__ or error.__context__
    return False


def need(package: str) -> ImportError:
    """The error for a missing optional package."""
    return ImportError(f'the package {package} is needed for this format; install it with: pip install "jaxhep[io]"')


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[None]:
    """Turn whatever a library raises on a broken file into an `EventFileError` that names the path."""
    if not Path(path).is_file():
        raise EventFileError(path, "no such file")
    try:
        yield
    except (EventFileError, ImportError, MemoryError):
        raise
    except Exception as error:
        text = str(error).strip().splitlines()
        problem = f"cannot be read as {kind} ({type(error).__name__}: {text[0] if text else 'no details'})"
        raise EventFileError(path, problem, "It may be cut short or of another format; write it again.") from error


__all__ = ["EventFileError", "OutputExistsError", "RunMismatchError", "StorageFullError", "need", "no_space", "reading"]
