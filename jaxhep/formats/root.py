"""ROOT: a TTree `events` with jagged branches; the header as a string beside it."""

import io
import struct
from collections.abc import Iterable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import need, reading
from ._registry import complete
from .batch import EventBatch, from_flat
from .info import EventFileInfo

_TREE, _HEADER = "events", "jaxhep"
_MOMENTA = ("e", "px", "py", "pz")


def check() -> None:
    """Raise `ImportError` without uproot and awkward."""
    try:
        import awkward
        import uproot  # noqa: F401
    except ImportError as error:
        raise need("uproot (with awkward)") from error
    del awkward


def _types(info: EventFileInfo) -> dict[str, Any]:
    """Branch types; the particle branches share the counter `nparticle`."""
    import awkward as ak

    inner = [f'"{name}": {info.dtype}' for name in _MOMENTA] + ['"pdg_id": int32']
    if info.colour:
        inner.append('"colour": int32')
    jagged = ak.types.from_datashape("var * {" + ", ".join(inner) + "}", highlevel=False)
    return {"particle": jagged, "weight": np.dtype(info.dtype), "overflow": np.dtype(bool)}


def _branches(batch: EventBatch) -> dict[str, Any]:
    import awkward as ak

    mask, counts = batch.mask, batch.mask.sum(1)
    flat = {name: batch.momenta[..., i][mask] for i, name in enumerate(_MOMENTA)}
    flat["pdg_id"] = batch.pdg_id[mask]
    if batch.colour is not None:
        flat["colour"] = batch.colour[mask]
    particles = ak.unflatten(ak.zip(flat), counts)
    return {"particle": particles, "weight": batch.weight, "overflow": batch.overflow}


class _Buffer(io.BytesIO):
    """uproot closes the file it was given, which would throw the content of a plain buffer away."""

    def close(self) -> None:
        """Stay readable."""


def _write(output: RawIOBase | io.BytesIO, info: EventFileInfo, batches: Iterator[EventBatch]) -> None:
    import uproot

    with uproot.recreate(output, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree(_TREE, _types(info), title="jaxhep events, momenta in GeV")
        for batch in batches:
            if batch.num_events:
                tree.extend(_branches(batch))
        file[_HEADER] = info.to_json()


def encode(batch: EventBatch, info: EventFileInfo, first: int, suffix: str) -> bytes:
    """See `EventFormat.encode`."""
    buffer = _Buffer()
    _write(buffer, info, iter([batch]))
    return buffer.getvalue()


def merge(parts: Iterable[Path], output: RawIOBase, info: EventFileInfo, suffix: str) -> None:
    """See `EventFormat.merge`."""
    _write(output, info, (batch for part in parts for batch in read(part, 0, None, 1 << 62)))


def _check_length(path: Path) -> None:
    """Refuse a file shorter than its header says: uproot reads around what it does not need."""
    with open(path, "rb") as file:
        head = file.read(20)
    magic, version = struct.unpack(">4si", head[:8])
    (end,) = struct.unpack(">q", head[12:20]) if version >= 1_000_000 else struct.unpack(">i", head[12:16])
    if magic != b"root" or path.stat().st_size < end:
        raise ValueError(f"{path.stat().st_size} bytes of {end}")


def info(path: Path) -> EventFileInfo:
    """See `EventFormat.info`."""
    import uproot

    with reading(path, "ROOT events"):
        _check_length(path)
    with reading(path, "ROOT events"), uproot.open(path) as file:
        return EventFileInfo.from_json(str(file[_HEADER]))


def read(path: Path, start: int, stop: int | None, batch_size: int) -> Iterator[EventBatch]:
    """See `EventFormat.read`."""
    import uproot

    head = info(path)
    with reading(path, "ROOT events"), uproot.open(path) as file:
        tree = file[_TREE]
        complete(path, head, tree.num_entries)
        end = head.num_events if stop is None else min(stop, head.num_events)
        for low in range(start, end, batch_size):
            arrays = tree.arrays(entry_start=low, entry_stop=min(low + batch_size, end))
            yield _decode(arrays, head)


def _decode(arrays: Any, head: EventFileInfo) -> EventBatch:
    import awkward as ak

    def flat(name: str) -> np.ndarray:
        return ak.to_numpy(ak.flatten(arrays[f"particle_{name}"]))

    momenta = np.stack([flat(name) for name in _MOMENTA], axis=-1).astype(head.dtype)
    counts, weight, overflow = (ak.to_numpy(arrays[name]) for name in ("nparticle", "weight", "overflow"))
    return from_flat(
        counts, head.capacity, momenta, flat("pdg_id"), weight, overflow, flat("colour") if head.colour else None
    )


__all__ = ["check", "encode", "info", "merge", "read"]
