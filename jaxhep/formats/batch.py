"""A batch of events as NumPy arrays: what goes into files and comes out of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..event import Event

Array = np.ndarray[Any, np.dtype[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class EventBatch:
    """`jaxhep.event.Event` with one batch axis, on the host.

    **Fields**

    - `momenta`: (E, px, py, pz) in GeV, shape (events, particles, 4), float32 or float64; padded slots are zero.
    - `mask`: True where a slot holds a particle, shape (events, particles). Real particles come first.
    - `pdg_id`: PDG numbers, int32, 0 in padded slots, shape (events, particles).
    - `weight`: shape (events,); `overflow`: True where the event did not fit its arrays, shape (events,).
    - `colour`: place of a parton along the colour line (quark 0, gluons 1…n, antiquark n + 1; −1 for none), int32,
      shape (events, particles), or None when the events carry no colour order. Where an antiquark ends a line (g → q
      q̄), the next place begins another one.
    - `branchings`: for partons of a dipole shower, (d, 1 if the right one emits, flavour) of each branching as in
      `jaxhep.event.Branchings`, flavour 0 in padded rows, int32, shape (events, branchings, 3), or None. HepMC files
      hold the history made of it; reading gives the final particles, and None here.
    """

    momenta: Array
    mask: Array
    pdg_id: Array
    weight: Array
    overflow: Array
    colour: Array | None = None
    branchings: Array | None = None

    @property
    def num_events(self) -> int:
        """Number of events."""
        return self.momenta.shape[0]

    @property
    def capacity(self) -> int:
        """Slots for particles in each event."""
        return self.momenta.shape[1]

    def __getitem__(self, events: slice) -> "EventBatch":
        cut: list[Any] = [None if array is None else array[events] for array in self.arrays().values()]
        return EventBatch(*cut)

    def arrays(self) -> dict[str, Array | None]:
        """Name -> array, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to_event(self) -> Event:
        """The batch as a `jaxhep.event.Event` of JAX arrays (float64 stays so only where x64 is enabled)."""
        import jax.numpy as jnp

        fields = (self.momenta, self.mask, self.pdg_id, self.weight, self.overflow)
        return Event(*map(jnp.asarray, fields))


def as_batch(event: Any) -> EventBatch:
    """Check an `Event` (or anything with its fields) with one batch axis, and bring it into the form of files.

    Real particles are moved to the front in their order, and padded slots set to zero, so that every format stores the
    same content.

    **Raises** `ValueError` for missing axes, shapes that do not fit together, or non-finite momenta or weights of real
    particles; `TypeError` for an object without the fields of an event.

    >>> import numpy as np
    >>> from jaxhep.formats import EventBatch, as_batch
    >>> momenta = np.array([[[0.0, 0, 0, 0], [5.0, 0, 0, 5]]])
    >>> mask = np.array([[False, True]])
    >>> batch = as_batch(EventBatch(momenta, mask, np.array([[0, 22]]), np.ones(1), np.zeros(1, bool)))
    >>> batch.pdg_id.tolist()
    [[22, 0]]
    """
    try:
        momenta, mask, pdg_id, weight, overflow = (
            np.asarray(getattr(event, name)) for name in ("momenta", "mask", "pdg_id", "weight", "overflow")
        )
    except AttributeError as error:
        raise TypeError(f"an event batch needs momenta, mask, pdg_id, weight, overflow; {error}.") from error
    if momenta.ndim != 3 or momenta.shape[-1] != 4:
        raise ValueError(f"momenta must have shape (events, particles, 4), got {momenta.shape}; add the batch axis.")
    if momenta.dtype not in (np.float32, np.float64):
        raise ValueError(f"momenta must be float32 or float64, got {momenta.dtype}.")
    events, particles = momenta.shape[:2]
    wanted: dict[str, tuple[Array, tuple[int, ...]]] = {
        "mask": (mask, (events, particles)),
        "pdg_id": (pdg_id, (events, particles)),
    }
    wanted |= {"weight": (weight, (events,)), "overflow": (overflow, (events,))}
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape} to fit the momenta, got {array.shape}.")
    if mask.dtype != np.bool_:
        raise ValueError(f"mask must be Boolean, got {mask.dtype}.")
    if not np.isfinite(momenta[mask]).all() or not np.isfinite(weight).all():
        bad = np.flatnonzero(~np.isfinite(np.where(mask[..., None], momenta, 0)).all((1, 2)) | ~np.isfinite(weight))
        raise ValueError(f"momenta or weight of event {bad[0]} of the batch are not finite; do not store such events.")
    colour = getattr(event, "colour", None)
    if colour is None:
        colour = _colour(getattr(event, "history", None), mask)
    branchings = getattr(event, "branchings", None)
    if branchings is None:
        branchings = _branchings(getattr(event, "history", None), mask)
    order = np.argsort(~mask, axis=1, kind="stable")
    packed = np.take_along_axis(mask, order, 1)

    def pack(array: Array, empty: int, dtype: Any) -> Array:
        return np.where(packed, np.take_along_axis(np.asarray(array), order, 1), empty).astype(dtype)

    return EventBatch(
        np.where(packed[..., None], np.take_along_axis(momenta, order[..., None], 1), 0).astype(momenta.dtype),
        packed,
        pack(pdg_id, 0, np.int32),
        weight.astype(momenta.dtype),
        overflow.astype(bool),
        None if colour is None else pack(colour, -1, np.int32),
        branchings,
    )


def _colour(history: Any, mask: Array) -> Array | None:
    """Colour places of a shower event.

    Discrete QCD: quark first, antiquark second, then the gluons in order of emission. Dipole shower: in colour order.
    """
    if hasattr(history, "dipole") and hasattr(history, "mask"):
        if not np.array_equal(np.asarray(history.mask).sum(1) + 2, mask.sum(1)):
            return None  # other particles than the partons of this history
        return np.where(mask, np.cumsum(mask, axis=1) - 1, -1)
    if history is None or not hasattr(history, "colour") or not hasattr(history, "mask"):
        return None
    places, emitted = np.asarray(history.colour), np.asarray(history.mask)
    if places.shape[0] != mask.shape[0] or places.shape[1] + 2 != mask.shape[1]:
        return None
    count = emitted.sum(1)
    if not np.array_equal(count + 2, mask.sum(1)) or not np.array_equal(emitted, mask[:, 2:]):
        return None  # other particles than the partons of this history, hadrons for instance
    return np.concatenate([np.zeros_like(count)[:, None], (count + 1)[:, None], places], axis=1)


def _branchings(history: Any, mask: Array) -> Array | None:
    """Rows of `EventBatch.branchings`; None for events that are not the partons of a dipole shower."""
    if not hasattr(history, "right_emits") or _colour(history, mask) is None:
        return None
    rows = np.stack([np.asarray(a) for a in (history.dipole, history.right_emits, history.flavour)], axis=-1)
    return np.where(np.asarray(history.mask)[..., None], rows, 0).astype(np.int32)


def concatenate(batches: Sequence[EventBatch]) -> EventBatch:
    """One batch of several; they must have the same capacity."""
    columns: list[list[Any]] = [[batch.arrays()[name] for batch in batches] for name in batches[0].arrays()]
    joined: list[Any] = [None if column[0] is None else np.concatenate([*column]) for column in columns]
    return EventBatch(*joined)


def from_flat(
    counts: Array,
    capacity: int | None,
    momenta: Array,
    pdg_id: Array,
    weight: Array,
    overflow: Array,
    colour: Array | None,
) -> EventBatch:
    """A padded batch from particles in one long list and the number of particles in each event."""
    capacity = int(counts.max(initial=0)) if capacity is None else capacity
    if counts.max(initial=0) > capacity:
        raise ValueError(f"an event has {counts.max()} particles where the file states at most {capacity}")
    mask = np.arange(capacity)[None, :] < counts[:, None]
    padded = np.zeros((*mask.shape, 4), momenta.dtype)
    padded[mask] = momenta
    ids = np.zeros(mask.shape, np.int32)
    ids[mask] = pdg_id
    places = None
    if colour is not None:
        places = np.full(mask.shape, -1, np.int32)
        places[mask] = colour
    return EventBatch(padded, mask, ids, weight.astype(momenta.dtype), overflow.astype(bool), places)


__all__ = ["EventBatch", "as_batch", "concatenate", "from_flat"]
