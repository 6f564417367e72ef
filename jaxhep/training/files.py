"""Data sets in files: HDF5 and Parquet read block by block, npz and CSV into memory."""

import abc
import collections
import difflib
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .checks import check_column, check_weights
from .dataset import AbstractDataset, Columns, Dataset, generator

Selection = Mapping[str, str | Sequence[str]]
"""Name of a column → a column of the file, or several that stand side by side in it."""


class AbstractTable(abc.ABC):
    """Columns of a file, read by ranges of rows."""

    def __init__(self, path: Path):
        self.path = path

    @property
    @abc.abstractmethod
    def num_rows(self) -> int:
        """Rows of the file."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """Columns of the file."""

    @abc.abstractmethod
    def read(self, names: Sequence[str], start: int, stop: int) -> Columns:
        """These columns of the rows from `start` to before `stop`."""


class HDF5Table(AbstractTable):
    """The datasets of an HDF5 file, groups too (`events/x`)."""

    def __init__(self, path: Path):
        super().__init__(path)
        h5py = _need("h5py", path)
        self.file = _readable(path, "HDF5", lambda: h5py.File(path, "r"))
        self._names: list[str] = []
        self.file.visititems(lambda name, item: self._names.append(name) if isinstance(item, h5py.Dataset) else None)
        if not self._names:
            raise ValueError(f"{path} holds no dataset")

    @property
    def num_rows(self) -> int:
        """The length of the first dataset."""
        return int(self.file[self._names[0]].shape[0])

    @property
    def names(self) -> tuple[str, ...]:
        """All datasets, with their groups."""
        return tuple(self._names)

    def read(self, names: Sequence[str], start: int, stop: int) -> Columns:
        """Slices of the datasets."""
        found = {}
        for name in names:
            column = self.file[name]
            if column.ndim == 0 or column.shape[0] != self.num_rows:
                raise ValueError(
                    f"{self.path}: dataset {name!r} has shape {column.shape}, but {self._names[0]!r} "
                    f"{self.num_rows} rows"
                )
            found[name] = _readable(self.path, "HDF5", functools.partial(column.__getitem__, slice(start, stop)))
        return found


class ParquetTable(AbstractTable):
    """The columns of a Parquet file; lists of fixed length become axes."""

    def __init__(self, path: Path):
        super().__init__(path)
        _need("pyarrow", path)
        import pyarrow.parquet as parquet

        self.file = _readable(path, "Parquet", lambda: parquet.ParquetFile(path))
        sizes = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @property
    def num_rows(self) -> int:
        """From the footer."""
        return int(self.file.metadata.num_rows)

    @property
    def names(self) -> tuple[str, ...]:
        """From the schema."""
        return tuple(self.file.schema_arrow.names)

    def read(self, names: Sequence[str], start: int, stop: int) -> Columns:
        """From the row groups that overlap."""
        first = int(np.searchsorted(self.starts, start, side="right")) - 1
        last = int(np.searchsorted(self.starts, stop, side="left"))
        groups = list(range(first, max(last, first + 1)))
        table = _readable(
            self.path, "Parquet", lambda: self.file.read_row_groups(groups, columns=list(dict.fromkeys(names)))
        )
        table = table.slice(start - int(self.starts[first]), stop - start)
        return {name: _from_arrow(self.path, name, table.column(name)) for name in names}


class FileDataset(AbstractDataset):
    r"""Events of a file that need not fit into memory, for `fit` as a `Dataset` is.

    An epoch goes through the blocks of the file in random order; the rows of `buffer_blocks` blocks are mixed and then
    handed out, so that reading stays sequential. The order is, as in memory, a function of seed and epoch alone.

    **Arguments**

    - `table`: an open file, see `open_dataset`.
    - `columns`: name of a column of the data set → one column of the file, or several that stand side by side.
    - `weights`: column of the weights, read whole; None for ones.
    - `block_rows`, `buffer_blocks`: rows in a block, and blocks in memory at once.
    - `rows`: row numbers, increasing, of the part of the file to use; None for all.

    **Raises** `ValueError` for a column that is not there, or weights that sum to zero; while reading, for NaN or
    infinity, with column and row.
    """

    def __init__(
        self,
        table: AbstractTable,
        columns: Selection,
        weights: str | None = None,
        *,
        block_rows: int = 8192,
        buffer_blocks: int = 16,
        rows: np.ndarray | None = None,
    ):
        self.table, self.selection, self.weight_name = table, dict(columns), weights
        self.block_rows, self.buffer_blocks = block_rows, buffer_blocks
        _check_names(table, [*_parts(columns), *([weights] if weights else [])])
        self.rows = np.arange(table.num_rows) if rows is None else np.asarray(rows)
        if not len(self.rows):
            raise ValueError(f"{table.path} has no rows")
        stored = None
        if weights:
            stored = table.read([weights], 0, table.num_rows)[weights][self.rows]
        self.weights = check_weights(stored, len(self.rows))
        self._blocks: collections.OrderedDict[int, Columns] = collections.OrderedDict()
        self._row_bytes = sum(a.nbytes // len(a) for a in self._block(int(self.rows[0]) // block_rows).values())

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(self.selection)

    @property
    def row_bytes(self) -> int:
        """Size of one row in memory."""
        return self._row_bytes

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """Blocks in random order, mixed within a buffer."""
        random = generator(seed, epoch)
        block = self.rows // self.block_rows
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        pieces = [np.arange(a, b) for a, b in zip(starts, [*starts[1:], len(block)], strict=True)]
        turn = random.permutation(len(pieces))
        buffers = [turn[i : i + self.buffer_blocks] for i in range(0, len(turn), self.buffer_blocks)]
        return np.concatenate([random.permutation(np.concatenate([pieces[i] for i in b])) for b in buffers])

    def take(self, rows: np.ndarray) -> Columns:
        """The columns of these rows, read block by block."""
        place = self.rows[rows]
        block = place // self.block_rows
        found: dict[str, np.ndarray] = {}
        for number in np.unique(block):
            here = block == number
            for name, column in self._block(int(number)).items():
                if name not in found:
                    found[name] = np.empty((len(place), *column.shape[1:]), column.dtype)
                found[name][here] = column[place[here] - number * self.block_rows]
        return found

    def subset(self, rows: np.ndarray) -> "FileDataset":
        """The data set of these rows of it."""
        options = {"block_rows": self.block_rows, "buffer_blocks": self.buffer_blocks}
        return FileDataset(self.table, self.selection, self.weight_name, rows=self.rows[np.sort(rows)], **options)

    def _block(self, number: int) -> Columns:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        start = number * self.block_rows
        stop = min(start + self.block_rows, self.table.num_rows)
        raw = self.table.read(list(dict.fromkeys(_parts(self.selection))), start, stop)
        source = str(self.table.path)
        block = {name: _assemble(raw, name, parts, source, start) for name, parts in self.selection.items()}
        self._blocks[number] = block
        while len(self._blocks) > 2 * self.buffer_blocks:
            self._blocks.popitem(last=False)
        return block


def open_dataset(
    path: str | Path, columns: Selection, weights: str | None = None, *, block_rows: int = 8192, buffer_blocks: int = 16
) -> AbstractDataset:
    """The events of a file: .h5, .hdf5 and .parquet read block by block (out of core), .npz and .csv into memory.

    **Arguments**

    - `path`: the file.
    - `columns`: name of a column of the data set → one column of the file as it is, or a list of several that are put
      side by side, e.g. `{"x": ["pt", "eta"], "c": ["energy"]}`.
    - `weights`: the column of event weights; None for ones.
    - `block_rows`, `buffer_blocks`: see `FileDataset`.

    **Returns** a data set for `fit`.

    **Raises** `FileNotFoundError`; `ValueError` for an unknown suffix, a broken file, a missing column, NaN rows, or
    weights that sum to zero; `ImportError` if h5py or pyarrow is needed and missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not columns:
        raise ValueError('columns must name at least one column, e.g. {"x": ["pt", "eta"]}')
    if path.suffix in (".h5", ".hdf5", ".parquet"):
        table = HDF5Table(path) if path.suffix != ".parquet" else ParquetTable(path)
        return FileDataset(table, columns, weights, block_rows=block_rows, buffer_blocks=buffer_blocks)
    if path.suffix not in (".npz", ".csv"):
        raise ValueError(f"{path}: the suffix must be .h5, .hdf5, .parquet, .npz or .csv")
    raw = _memory(path)
    _missing(path, tuple(raw), [*_parts(columns), *([weights] if weights else [])])
    return Dataset(
        {name: _assemble(raw, name, parts, str(path), 0) for name, parts in columns.items()},
        None if weights is None else raw[weights],
    )


def column_names(path: str | Path) -> tuple[str, ...]:
    """The columns that a file offers to `open_dataset`."""
    path = Path(path)
    if path.suffix in (".npz", ".csv"):
        return tuple(_memory(path))
    return (ParquetTable(path) if path.suffix == ".parquet" else HDF5Table(path)).names


def _memory(path: Path) -> Columns:
    if path.suffix == ".npz":
        # From memory: NumPy leaves a file that it opened itself open if it is no archive.
        with _readable(path, "npz", lambda: np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)) as file:
            return {name: _readable(path, "npz", functools.partial(file.__getitem__, name)) for name in file.files}
    with path.open() as file:
        names = [name.strip().lstrip("#").strip() for name in file.readline().split(",")]
    table = _readable(path, "CSV", lambda: np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2))
    if table.shape[1] != len(names):
        raise ValueError(f"{path}: the first line names {len(names)} columns, the rows have {table.shape[1]}")
    return {name: table[:, i] for i, name in enumerate(names)}


def _parts(columns: Selection) -> list[str]:
    return [one for value in columns.values() for one in ([value] if isinstance(value, str) else value)]


def _assemble(raw: Columns, name: str, parts: str | Sequence[str], source: str, first: int) -> np.ndarray:
    """One column of the data set from columns of the file."""
    if isinstance(parts, str):
        return check_column(name, raw[parts], source, first)
    arrays = [check_column(one, raw[one], source, first) for one in parts]
    tables = [a[:, None] if a.ndim == 1 else a.reshape(len(a), -1) for a in arrays]
    return check_column(name, np.concatenate(tables, axis=1), source, first)


def _check_names(table: AbstractTable, wanted: list[str]) -> None:
    _missing(table.path, table.names, wanted)


def _missing(path: Path, there: tuple[str, ...], wanted: list[str]) -> None:
    for name in wanted:
        if name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{path} has no column {name!r}, it has {', '.join(there)}{hint}")


def _from_arrow(path: Path, name: str, column: Any) -> np.ndarray:
    import pyarrow as pa

    if column.null_count:
        raise ValueError(f"{path}: column {name!r} has {column.null_count} missing values; remove these rows")
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        inner = np.asarray(array.flatten().to_numpy(zero_copy_only=False))
        return inner.reshape(len(array), array.type.list_size)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = np.unique(np.diff(array.offsets.to_numpy()))
        if len(lengths) != 1:
            raise ValueError(f"{path}: the lists of column {name!r} differ in length; pad them to one length")
        return np.asarray(array.flatten().to_numpy(zero_copy_only=False)).reshape(len(array), int(lengths[0]))
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _need(package: str, path: Path) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f'{path} needs the package {package}; install it with: pip install "jaxhep[io]"') from error


def _readable(path: Path, kind: str, read: Callable[[], Any]) -> Any:
    """What `read` returns; whatever a library raises on a broken file becomes a sentence with the path."""
    try:
        return read()
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        text = (str(error).strip().splitlines() or ["no details"])[0][:200]
        raise ValueError(
            f"{path} cannot be read as {kind} ({type(error).__name__}: {text}); it may be cut short"
        ) from error


__all__ = ["AbstractTable", "FileDataset", "HDF5Table", "ParquetTable", "Selection", "column_names", "open_dataset"]
