"""What a file says about itself: energy, the caller's metadata, and the layout of its events."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .batch import EventBatch

VERSION = 1


@dataclasses.dataclass(frozen=True)
class EventFileInfo:
    """The header of an event file.

    - `energy`: centre-of-mass energy in GeV; `metadata`: the caller's own (seed, parameters, …), as JSON values;
    - `num_events`: events in the file; `capacity`: slots for particles; `dtype`: `"float32"` or `"float64"`;
    - `colour`: whether the colour order is stored.
    """

    energy: float | int
    metadata: Mapping[str, Any]
    num_events: int
    capacity: int
    dtype: str
    colour: bool

    def to_json(self) -> str:
        """One line of JSON with sorted keys, so that equal headers are equal bytes."""
        return json.dumps({"jaxhep_events": VERSION, **dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "EventFileInfo":
        """The header that `to_json` wrote; `ValueError` when it is none."""
        record = json.loads(text)
        if not isinstance(record, dict) or record.pop("jaxhep_events", None) != VERSION:
            raise ValueError("no jaxhep event header of version 1")
        return cls(**record)

    @classmethod
    def of(cls, batch: EventBatch, energy: float | int, metadata: Mapping[str, Any]) -> "EventFileInfo":
        """The header of a file that holds this batch."""
        has_colour = batch.colour is not None
        return cls(energy, metadata, batch.num_events, batch.capacity, str(batch.momenta.dtype), has_colour)

    def layout(self) -> tuple[int, str, bool]:
        """What must agree between the parts of one file."""
        return self.capacity, self.dtype, self.colour


def plain_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata as JSON gives them back (tuples as lists, NumPy and JAX numbers as Python's).

    **Raises** `TypeError` for values that JSON has no form for, `ValueError` for NaN and infinity.
    """

    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):
            return np.asarray(value).tolist()
        raise TypeError(f"metadata may hold texts, numbers, lists and dicts, not {type(value).__name__}: {value!r}.")

    try:
        return dict(json.loads(json.dumps(dict(metadata or {}), default=plain, allow_nan=False)))
    except ValueError as error:
        raise ValueError(f"metadata must be finite and not refer to themselves: {error}.") from error


__all__ = ["EventFileInfo", "plain_metadata"]
