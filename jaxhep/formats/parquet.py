"""Parquet: one row an event, lists of particles as columns, one row group a batch; the header in the schema."""

import io
from collections.abc import Iterable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import need, reading
from ._registry import complete
from .batch import EventBatch, concatenate, from_flat
from .info import EventFileInfo

_KEY = b"jaxhep"


def check() -> None:
    """Raise `ImportError` without pyarrow."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise need("pyarrow") from error


def _schema(info: EventFileInfo) -> Any:
    import pyarrow as pa

    real = pa.from_numpy_dtype(np.dtype(info.dtype))
    fields = [(name, pa.list_(real)) for name in ("e", "px", "py", "pz")] + [("pdg_id", pa.list_(pa.int32()))]
    if info.colour:
        fields.append(("colour", pa.list_(pa.int32())))
    fields += [("weight", real), ("overflow", pa.bool_())]
    return pa.schema(fields, metadata={_KEY: info.to_json().encode()})


def _table(batch: EventBatch, schema: Any) -> Any:
    import pyarrow as pa

    mask = batch.mask
    offsets = pa.array(np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32))
    flat = {name: batch.momenta[..., i][mask] for i, name in enumerate(("e", "px", "py", "pz"))}
    flat["pdg_id"] = batch.pdg_id[mask]
    if batch.colour is not None:
        flat["colour"] = batch.colour[mask]
    columns = {name: pa.ListArray.from_arrays(offsets, pa.array(values)) for name, values in flat.items()}
    columns |= {"weight": pa.array(batch.weight), "overflow": pa.array(batch.overflow)}
    return pa.table([columns[name] for name in schema.names], schema=schema)


def encode(batch: EventBatch, info: EventFileInfo, first: int, suffix: str) -> bytes:
    """See `EventFormat.encode`."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    schema = _schema(info)
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        writer.write_table(_table(batch, schema), row_group_size=max(batch.num_events, 1))
    return buffer.getvalue()


def merge(parts: Iterable[Path], output: RawIOBase, info: EventFileInfo, suffix: str) -> None:
    """See `EventFormat.merge`."""
    import pyarrow.parquet as pq

    schema = _schema(info)
    with pq.ParquetWriter(output, schema, compression="zstd") as writer:
        for part in parts:
            for batch in _row_groups(part):
                writer.write_table(_table(batch, schema), row_group_size=max(batch.num_events, 1))


def info(path: Path) -> EventFileInfo:
    """See `EventFormat.info`."""
    import pyarrow.parquet as pq

    with reading(path, "Parquet events"), pq.ParquetFile(path) as file:
        return _header(file)


def _header(file: Any) -> EventFileInfo:
    text = (file.schema_arrow.metadata or {}).get(_KEY)
    if text is None:
        raise ValueError("its schema has no jaxhep header")
    return EventFileInfo.from_json(text.decode())


def _row_groups(path: Path) -> Iterator[EventBatch]:
    import pyarrow.parquet as pq

    with reading(path, "Parquet events"), pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield _decode(file.read_row_group(group), _header(file))


def _decode(table: Any, head: EventFileInfo) -> EventBatch:
    table = table.combine_chunks()
    lists = {name: table[name].combine_chunks() for name in table.column_names}
    counts = np.diff(lists["e"].offsets.to_numpy())
    flat = {name: np.asarray(column.flatten()) for name, column in lists.items() if name not in ("weight", "overflow")}
    momenta = np.stack([flat[name] for name in ("e", "px", "py", "pz")], axis=-1).astype(head.dtype)
    weight, overflow = (lists[name].to_numpy(zero_copy_only=False) for name in ("weight", "overflow"))
    return from_flat(counts, head.capacity, momenta, flat["pdg_id"], weight, overflow, flat.get("colour"))


def read(path: Path, start: int, stop: int | None, batch_size: int) -> Iterator[EventBatch]:
    """See `EventFormat.read`."""
    import pyarrow.parquet as pq

    head = info(path)
    with reading(path, "Parquet events"), pq.ParquetFile(path) as file:
        complete(path, head, file.metadata.num_rows)
        end = head.num_events if stop is None else min(stop, head.num_events)
        begin, held = 0, None
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            low, high = max(start - begin, 0), min(end - begin, rows)
            begin += rows
            if low >= high:
                continue
            fresh = _decode(file.read_row_group(group), head)[low:high]
            held = fresh if held is None else concatenate([held, fresh])
            while held.num_events >= batch_size:
                yield held[:batch_size]
                held = held[batch_size:]
        if held is not None and held.num_events:
            yield held


__all__ = ["check", "encode", "info", "merge", "read"]
