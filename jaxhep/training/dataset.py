"""Weighted events in columns, and the order in which a training goes through them."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .checks import check_column, check_weights, few

Columns = dict[str, np.ndarray]


class AbstractDataset(abc.ABC):
    """Rows of named columns with a weight each, addressed by number.

    The order of an epoch is a function of (seed, epoch) alone, so that (seed, epoch, position) is all that a loader has
    to remember.
    """

    weights: np.ndarray
    """(row,), float64; ones if there are none."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """The columns' names."""

    @property
    @abc.abstractmethod
    def row_bytes(self) -> int:
        """Size of one row."""

    @abc.abstractmethod
    def take(self, rows: np.ndarray) -> Columns:
        """The columns of these rows, in the order of `rows`."""

    @abc.abstractmethod
    def subset(self, rows: np.ndarray) -> "AbstractDataset":
        """The data set of these rows."""

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """The rows of an epoch, each once, in random order."""
        return generator(seed, epoch).permutation(len(self.weights))

    @property
    def num_rows(self) -> int:
        """The number of events."""
        return len(self.weights)

    @property
    def effective_rows(self) -> float:
        r"""\((\sum w)^2/\sum w^2\): as many unweighted events carry the same statistical error."""
        return float(self.weights.sum() ** 2 / np.sum(self.weights**2))

    def split(self, fraction: float, seed: int = 0) -> tuple["AbstractDataset", "AbstractDataset"]:
        """Two data sets without a common row; the second holds about `fraction` of the rows, drawn with `seed`.

        **Raises** `ValueError` if one of them would be empty or its weights would sum to zero.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"the share of the validation split must lie between 0 and 1, got {fraction}")
        second = max(1, round(fraction * self.num_rows))
        if second >= self.num_rows:
            raise ValueError(f"{self.num_rows} rows cannot be split with a share of {fraction}: one part is empty")
        order = generator(seed, -1).permutation(self.num_rows)
        return self.subset(np.sort(order[second:])), self.subset(np.sort(order[:second]))

    def check_varying(self, columns: Sequence[str] | None = None, sample: int = 100_000) -> None:
        """Raises `ValueError` if a column is constant, which no standardisation can be made for.

        Looks at the first `sample` rows.
        """
        rows = self.take(np.arange(min(sample, self.num_rows)))
        for name in columns or self.names:
            table = rows[name].reshape(len(rows[name]), -1)
            flat = np.flatnonzero(np.ptp(table, axis=0) == 0)
            if flat.size and len(table) > 1:
                where = "" if table.shape[1] == 1 else f" {few(flat)} of"
                raise ValueError(
                    f"column{where} {name!r} has one value, {table[0, flat[0]]:g}, in all rows: it cannot be "
                    "standardised and nothing can be learned from it; leave it out"
                )

    def __repr__(self) -> str:
        """Rows, columns and the effective number of events."""
        return (
            f"{type(self).__name__}({self.num_rows:,} rows, N_eff {self.effective_rows:,.0f}: {', '.join(self.names)})"
        )


class Dataset(AbstractDataset):
    r"""Events in memory: columns of equal length, and a weight an event, which may be negative.

    **Arguments**

    - `columns`: name → array (row, …). A list of numbers is an array; a column of None is left out. Floating-point
      columns are kept in JAX's default floating type.
    - `weights`: (row,); None for ones. Their sum must not be zero: the weighted mean Σwℓ/Σw would not exist.

    **Raises** `ValueError` for columns of different length, no rows, NaN or infinity in a row, weights that sum to zero
    (or to less than zero), or not one weight a row; `TypeError` for a column that is no array of numbers.

    >>> from jaxhep.training import Dataset
    >>> Dataset({"x": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]}, weights=[1.0, 2.0, -1.0])
    Dataset(3 rows, N_eff 1: x)
    """

    def __init__(self, columns: Mapping[str, Any], weights: Any = None):
        if not isinstance(columns, Mapping) or not columns:
            raise TypeError(f"columns must map names to arrays, e.g. {{'x': x}}, got {type(columns).__name__}")
        self.columns: Columns = {k: check_column(k, v) for k, v in columns.items() if v is not None}
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            listing = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise ValueError(f"the columns have different numbers of rows ({listing}); each row is one event")
        self.weights = check_weights(weights, next(iter(lengths.values())))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(self.columns)

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return sum(column.nbytes // len(column) for column in self.columns.values())

    def take(self, rows: np.ndarray) -> Columns:
        """The columns of these rows."""
        return {name: column[rows] for name, column in self.columns.items()}

    def subset(self, rows: np.ndarray) -> "Dataset":
        """The data set of these rows."""
        return Dataset(self.take(rows), self.weights[rows])


def generator(seed: int, epoch: int) -> np.random.Generator:
    """A generator that depends on seed and epoch alone."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed % 2**63, epoch % 2**63])))


__all__ = ["AbstractDataset", "Columns", "Dataset", "generator"]
