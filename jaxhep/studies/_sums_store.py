"""Sums of unfinished samples on disk, so that a long check can be interrupted."""

import copy
import hashlib
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ._accumulator import GradientSums

_SECONDS = 30.0


class SumsStore:
    """One file with the state of each sample begun: the next event and two sums.

    As a context it writes the last state when the block is left by an exception or an interrupt, and removes the file
    when it ends well. A file is written under a temporary name and renamed, so that it is whole at any moment.

    **Arguments**: `path` of the file; `asked`: what defines the check, as JSON values; `resume`: read the file if it is
    there.

    **Raises** `FileExistsError` for a file that is there without `resume`; `ValueError` for one that cannot be read or
    belongs to another check.
    """

    def __init__(self, path: str | Path, asked: Any, resume: bool):
        self.path = Path(path)
        self.states: dict[int, tuple[int, GradientSums, GradientSums]] = {}
        self._asked = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        self._written = time.monotonic()
        if self.path.exists():
            if not resume:
                raise FileExistsError(f"{self.path} holds an unfinished check; resume it or remove the file")
            self._read()

    def found(self, number: int) -> tuple[int, GradientSums, GradientSums] | None:
        """The state of a sample: next event, sums of values alone, and sums with derivatives; None if not begun."""
        return copy.deepcopy(self.states.get(number))

    def keep(self, number: int, start: int, sums: GradientSums, differentiated: GradientSums) -> None:
        """Remembers the state, and writes it if the last time is half a minute ago."""
        # A copy: an interrupt inside the next chunk must not leave half of it in what is written.
        self.states[number] = (start, copy.deepcopy(sums), copy.deepcopy(differentiated))
        if time.monotonic() - self._written > _SECONDS:
            self.write()

    def write(self) -> None:
        """Writes all states."""
        arrays: dict[str, Any] = {"asked": np.array(self._asked)}
        for number, (start, *both) in self.states.items():
            arrays[f"{number}.start"] = np.array(start)
            for part, sums in zip(("values", "slopes"), both, strict=True):
                arrays |= {f"{number}.{part}.{name}": np.asarray(value) for name, value in vars(sums).items()}
        temporary = self.path.with_name(self.path.name + ".part")
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, self.path)
        self._written = time.monotonic()

    def _read(self) -> None:
        try:
            # Opened here: NumPy leaves a broken file open.
            with self.path.open("rb") as raw, np.load(raw) as file:
                content = {name: file[name] for name in file.files}
            asked = str(content.pop("asked"))
            numbers = {int(name.split(".")[0]) for name in content}
            states = {n: (int(content[f"{n}.start"]), *self._sums(content, n)) for n in numbers}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.path} cannot be read ({error}); remove it and begin again") from error
        if asked != self._asked:
            raise ValueError(f"{self.path} was begun with other arguments; resume with the same, or begin elsewhere")
        self.states = states

    @staticmethod
    def _sums(content: dict[str, np.ndarray], number: int) -> tuple[GradientSums, GradientSums]:
        found = []
        for part in ("values", "slopes"):
            prefix = f"{number}.{part}."
            sums = GradientSums(int(content[prefix + "size"]))
            for name in vars(sums):
                value = content[prefix + name]
                setattr(sums, name, value if value.ndim else value.item())
            found.append(sums)
        return found[0], found[1]

    def __enter__(self) -> "SumsStore":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.path.unlink(missing_ok=True)
        elif self.states:
            self.write()


__all__ = ["SumsStore"]
