"""Batches of an epoch as chunks of one shape: the last ones are filled up with rows of no weight."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .dataset import AbstractDataset


@dataclasses.dataclass
class Loader:
    """Goes through a data set in chunks of `steps_per_call` batches.

    **Fields**: `seed`, `epoch` and `position` (batches of this epoch already done) are its whole state; `place` puts
    arrays on the devices, once and for all if the data are `resident`.
    """

    data: AbstractDataset
    batch_size: int
    steps_per_call: int
    seed: int
    place: Callable[[Any], Any]
    resident: bool
    shuffle: bool = True
    epoch: int = 0
    position: int = 0

    def __post_init__(self) -> None:
        """Puts the data on the device, if they are to stay there."""
        self._order: tuple[int, np.ndarray] | None = None
        self._columns: Any = None
        if self.resident:
            rows = np.arange(self.data.num_rows)
            self._columns = self.place((self.data.take(rows), self.data.weights.astype(_real())))

    @property
    def batches(self) -> int:
        """Batches of one epoch."""
        return math.ceil(self.data.num_rows / self.batch_size)

    @property
    def mean_weight(self) -> float:
        """Σw/N of the data set."""
        return float(self.data.weights.mean())

    def order(self) -> np.ndarray:
        """The rows of this epoch in order."""
        if self._order is None or self._order[0] != self.epoch:
            rows = self.data.order(self.seed, self.epoch) if self.shuffle else np.arange(self.data.num_rows)
            self._order = self.epoch, rows
        return self._order[1]

    def rows(self, position: int) -> np.ndarray:
        """The rows of one batch of this epoch."""
        return self.order()[position * self.batch_size : (position + 1) * self.batch_size]

    def chunk(self, most: int | None = None) -> tuple[Any, Any, dict[str, np.ndarray], int]:
        """Columns, weights, items and the number of active steps of the next chunk, which stays within the epoch."""
        count = min(self.steps_per_call, self.batches - self.position, *([] if most is None else [most]))
        size = self.steps_per_call * self.batch_size
        rows = self.order()[self.position * self.batch_size : (self.position + count) * self.batch_size]
        real = np.arange(size) < len(rows)
        ident = np.concatenate([rows, np.full(size - len(rows), rows[0])]).astype(np.int32)
        shape = (self.steps_per_call, self.batch_size)
        if self.resident:
            (columns, weights), index = self._columns, ident
        else:
            columns, weights = self.place((self.data.take(ident), self.data.weights[ident].astype(_real())))
            index = np.arange(size, dtype=np.int32)
        items = {"index": index.reshape(shape), "ident": ident.reshape(shape), "real": real.reshape(shape)}
        items["active"] = np.arange(self.steps_per_call) < count
        return columns, weights, items, count

    def advance(self, count: int) -> bool:
        """Moves on by `count` batches; True if the epoch has ended."""
        self.position += count
        if self.position < self.batches:
            return False
        self.epoch, self.position = self.epoch + 1, 0
        return True


def _real() -> Any:
    return jax.dtypes.canonicalize_dtype(float)


__all__ = ["Loader"]
