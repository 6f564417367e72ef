"""HDF5: padded arrays in chunked, compressed datasets; the header in attributes."""

import io
from collections.abc import Iterable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import need, reading
from ._registry import complete
from .batch import EventBatch
from .info import EventFileInfo

_CHUNK = 1024


def check() -> None:
    """Raise `ImportError` without h5py."""
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        raise need("h5py") from error


def _create(file: Any, info: EventFileInfo) -> None:
    rows, slots = (0, info.capacity), (None, info.capacity)
    real = np.dtype(info.dtype)
    shapes: dict[str, tuple[tuple, tuple, Any]] = {
        "momenta": ((*rows, 4), (*slots, 4), real),
        "mask": (rows, slots, bool),
        "pdg_id": (rows, slots, np.int32),
        "weight": ((0,), (None,), real),
        "overflow": ((0,), (None,), bool),
    }
    if info.colour:
        shapes["colour"] = (rows, slots, np.int32)
    for name, (shape, limit, dtype) in shapes.items():
        chunks = (_CHUNK, *(max(n, 1) for n in shape[1:]))
        options = {"chunks": chunks, "compression": "gzip", "compression_opts": 1, "shuffle": True}
        file.create_dataset(name, shape, dtype, maxshape=limit, **options)
    file["momenta"].attrs.update({"columns": "E, px, py, pz", "unit": "GeV"})
    file.attrs["jaxhep"] = info.to_json()
    file.attrs.update({"energy": info.energy, "num_events": info.num_events})


def _append(file: Any, batch: EventBatch) -> None:
    for name, array in batch.arrays().items():
        if array is not None and name in file:
            data = file[name]
            data.resize(data.shape[0] + len(array), axis=0)
            data[data.shape[0] - len(array) :] = array


def encode(batch: EventBatch, info: EventFileInfo, first: int, suffix: str) -> bytes:
    """See `EventFormat.encode`."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        _create(file, info)
        _append(file, batch)
    return buffer.getvalue()


def merge(parts: Iterable[Path], output: RawIOBase, info: EventFileInfo, suffix: str) -> None:
    """See `EventFormat.merge`."""
    import h5py

    with h5py.File(output, "w") as file:
        _create(file, info)
        for part in parts:
            for batch in read(part, 0, None, 16 * _CHUNK):
                _append(file, batch)


def info(path: Path) -> EventFileInfo:
    """See `EventFormat.info`."""
    import h5py

    with reading(path, "HDF5 events"), h5py.File(path, "r") as file:
        return EventFileInfo.from_json(file.attrs["jaxhep"])


def read(path: Path, start: int, stop: int | None, batch_size: int) -> Iterator[EventBatch]:
    """See `EventFormat.read`."""
    import h5py

    head = info(path)
    with reading(path, "HDF5 events"), h5py.File(path, "r") as file:
        complete(path, head, len(file["weight"]))
        end = head.num_events if stop is None else min(stop, head.num_events)
        names = ["momenta", "mask", "pdg_id", "weight", "overflow", *(["colour"] if head.colour else [])]
        for low in range(start, end, batch_size):
            yield EventBatch(*(file[name][low : min(low + batch_size, end)] for name in names))


__all__ = ["check", "encode", "info", "merge", "read"]
