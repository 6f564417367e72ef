"""The error for data files that cannot be used."""

from pathlib import Path


class DataFileError(ValueError):
    """A data file is missing, cut short, or not what the reader expects; the text names path, line and cure."""

    def __init__(self, path: str | Path, problem: str, *, line: int | None = None, cure: str = ""):
        where = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {problem}." + (f" {cure}" if cure else ""))
        self.path, self.line = Path(path), line


__all__ = ["DataFileError"]
