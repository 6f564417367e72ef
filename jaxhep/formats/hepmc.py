"""HepMC3 ASCII (`.hepmc`, `.hepmc.gz`): e+e− beams, one vertex, the particles of the event with status 1.

Partons of the dipole shower come with their history: a vertex for each branching, into which both ends of the dipole
go (the spectator gives momentum) and from which three partons come. Those that branch or recoil have status 23 if the
hard process made them, 51 else (numbers that HepMC3 leaves to the generator; Pythia uses them so); all carry their
colour lines. Final particles stand last, in the order of `Event`.

A gzipped file is three gzip members a part (header, events, footer); members may be joined, so that the parts of a run
become one file without being compressed again, byte for byte the same however often the run was interrupted.
"""

import gzip
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import RawIOBase, TextIOWrapper
from itertools import chain
from pathlib import Path

import numpy as np

from ._branching_record import Parton, branching_record
from ._errors import EventFileError, reading
from ._registry import complete
from .batch import EventBatch, from_flat
from .info import EventFileInfo

_START = "HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\nW nominal\nA jaxhep "
_END = "HepMC::Asciiv3-END_EVENT_LISTING\n\n"
_FIRST_COLOUR = 501
_MASSLESS = (0, 1, 2, 3, 4, 5, 21, 22, 12, 14, 16)


def check() -> None:
    """Plain text needs no package."""


def _frame(info: EventFileInfo, suffix: str) -> tuple[bytes, bytes]:
    """The bytes before and after the events."""
    before, after = f"{_START}{info.to_json()}\n".encode(), _END.encode()
    return (_pack(before), _pack(after)) if suffix.endswith(".gz") else (before, after)


def _pack(text: bytes) -> bytes:
    return gzip.compress(text, compresslevel=4, mtime=0)  # no time stamp: equal events are equal bytes


@lru_cache(maxsize=4096)
def _template(particles: int, number: str) -> str:
    """Format of one event with that many particles; `number` formats a real number so that it reads back the same."""
    beam = f"P %d 0 %d 0 0 {number} {number} 0 4\n"
    line = f"P %d -1 %d {number} {number} {number} {number} {number} 1\n"
    return f"E %d 1 %d\nU GEV MM\nW {number}\n%s{beam}{beam}V -1 0 [1,2]\n" + line * particles


def encode(batch: EventBatch, info: EventFileInfo, first: int, suffix: str) -> bytes:
    """See `EventFormat.encode`."""
    before, after = _frame(info, suffix)
    body = _events_text(batch, info, first).encode()
    return before + (_pack(body) if suffix.endswith(".gz") else body) + after


def _events_text(batch: EventBatch, info: EventFileInfo, first: int) -> str:
    number = "%r" if info.dtype == "float64" else "%.9g"
    if batch.branchings is not None:
        return "".join(_history_text(batch, i, info.energy / 2, first + i, number) for i in range(batch.num_events))
    mask, counts = batch.mask, batch.mask.sum(1)
    momenta, ids = batch.momenta[mask], batch.pdg_id[mask]
    columns = np.empty((len(ids), 7), object)  # objects: integers and reals in one row of arguments
    columns[:, 0] = (np.broadcast_to(np.arange(3, mask.shape[1] + 3), mask.shape)[mask]).tolist()
    columns[:, 1] = ids.tolist()
    for column, component in zip(range(2, 6), (1, 2, 3, 0), strict=True):
        columns[:, column] = momenta[:, component].tolist()
    columns[:, 6] = _masses(momenta, ids).tolist()
    arguments = columns.ravel().tolist()
    half = info.energy / 2
    beams = (1, 11, half, half, 2, -11, -half, half)
    ends = np.cumsum(counts).tolist()
    texts, begin = [], 0
    attributes = _attributes(batch)
    for i, (count, end, weight) in enumerate(zip(counts.tolist(), ends, batch.weight.tolist(), strict=True)):
        head = (first + i, count + 2, weight, attributes[i])
        texts.append(_template(count, number) % (*head, *beams, *arguments[7 * begin : 7 * end]))
        begin = end
    return "".join(texts)


def _history_text(batch: EventBatch, i: int, half: float, number: int, form: str) -> str:
    """One event with a vertex for each branching."""
    assert batch.branchings is not None
    rows, mask = [row for row in batch.branchings[i].tolist() if row[2]], batch.mask[i]
    partons = branching_record(batch.momenta[i][mask].tolist(), batch.pdg_id[i][mask].tolist(), rows)
    lines = []
    for vertex in range(len(rows) + 1):
        ends = [n for n, p in enumerate(partons, 3) if vertex and p.end == vertex]
        lines.append(f"V {-1 - vertex} 0 [{','.join(map(str, ends or (1, 2)))}]\n")
        lines += [_parton_line(n, p, form) for n, p in enumerate(partons, 3) if p.place < 0 and p.vertex == vertex]
    lines += [_parton_line(n, p, form) for n, p in enumerate(partons, 3) if p.place >= 0]
    flags = ["A 0 overflow 1\n"] if batch.overflow[i] else []
    for n, p in enumerate(partons, 3):
        flags += [f"A {n} flow1 {_FIRST_COLOUR + p.colour}\n"] * (p.pdg_id > 0)
        flags += [f"A {n} flow2 {_FIRST_COLOUR + p.anticolour}\n"] * (p.pdg_id < 0 or p.pdg_id == 21)
    beam = f"P %d 0 %d 0 0 {form} {form} 0 4\n"
    head = f"E {number} {len(rows) + 1} {len(partons) + 2}\nU GEV MM\nW {form}\n" % batch.weight[i].item()
    return "".join([head, *flags, beam % (1, 11, half, half), beam % (2, -11, -half, half), *lines])


def _parton_line(number: int, parton: Parton, form: str) -> str:
    status = 1 if parton.place >= 0 else 51 if parton.vertex else 23
    e, x, y, z = parton.momentum
    numbers = " ".join([form] * 4) % (x, y, z, e)
    return f"P {number} {-1 - parton.vertex} {parton.pdg_id} {numbers} 0 {status}\n"


def _masses(momenta: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Generated masses: exactly zero for partons and photons, where E² − p² is only rounding."""
    square = momenta[:, 0] ** 2 - (momenta[:, 1:] ** 2).sum(1)
    return np.where(np.isin(np.abs(ids), _MASSLESS), 0, np.sqrt(np.maximum(square, 0)))


def _attributes(batch: EventBatch) -> list[str]:
    """Colour lines (`flow1` colour, `flow2` anticolour) and the overflow flag, one text an event."""
    lines = ["A 0 overflow 1\n" if flag else "" for flag in batch.overflow.tolist()]
    if batch.colour is None:
        return lines
    for i, (places, ids) in enumerate(zip(batch.colour.tolist(), batch.pdg_id.tolist(), strict=True)):
        text = []
        for number, (place, pdg) in enumerate(zip(places, ids, strict=True), start=3):
            if place >= 0 and pdg > 0:
                text.append(f"A {number} flow1 {_FIRST_COLOUR + place}\n")
            if place >= 0 and (pdg < 0 or pdg == 21):
                text.append(f"A {number} flow2 {_FIRST_COLOUR - 1 + place}\n")
        lines[i] += "".join(text)
    return lines


def merge(parts: Iterable[Path], output: RawIOBase, info: EventFileInfo, suffix: str) -> None:
    """See `EventFormat.merge`."""
    before, after = _frame(info, suffix)
    output.write(before)
    for part in parts:
        raw = part.read_bytes()
        start, end = _frame(_header(part), suffix)
        if not raw.startswith(start) or not raw.endswith(end):
            raise EventFileError(part, "is not a whole part of a run", "Remove it and resume.")
        output.write(raw[len(start) : len(raw) - len(end)])
    output.write(after)


def _open(path: Path) -> TextIOWrapper:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return TextIOWrapper(gzip.open(path) if packed else open(path, "rb"), encoding="utf-8")


def _header(path: Path) -> EventFileInfo:
    with reading(path, "HepMC3 events"), _open(path) as file:
        for line in file:
            if line.startswith("A jaxhep "):
                return EventFileInfo.from_json(line.removeprefix("A jaxhep "))
            if line.startswith("E "):
                break
        raise EventFileError(path, "has no header of jaxhep")


def info(path: Path) -> EventFileInfo:
    """See `EventFormat.info`."""
    return _header(path)


def read(path: Path, start: int, stop: int | None, batch_size: int) -> Iterator[EventBatch]:
    """See `EventFormat.read`. Files of other programs are read too: particles of status 1, padded batch by batch."""
    with reading(path, "HepMC3 events"), _open(path) as file:
        head: EventFileInfo | None = None
        if not file.readline().startswith("HepMC::Version 3") or "Asciiv3-START" not in file.readline():
            raise EventFileError(path, "does not begin as HepMC3 ASCII", "HepMC2 files must be converted first.")
        line = ""
        for line in file:
            if line.startswith("A jaxhep "):
                head = EventFileInfo.from_json(line.removeprefix("A jaxhep "))
            if line.startswith(("E ", "HepMC::")):
                break
        collected: list[tuple] = []
        found = 0
        for event in _events(path, chain([line], file), start, stop):
            found += 1
            if event is not None:
                collected.append(event)
            if len(collected) == batch_size:
                yield _decode(collected, head)
                collected = []
        if head is not None and stop is None:
            complete(path, head, found)
        if collected:
            yield _decode(collected, head)


def _events(path: Path, lines: Iterator[str], start: int, stop: int | None) -> Iterator[tuple | None]:
    """(weight, overflow, number -> [flow1, flow2], particle lines) of each event; None for those before `start`."""
    number = -1
    record: list[str] = []
    for line in lines:
        begins = line.startswith("E ")
        if begins or line.startswith("HepMC::Asciiv3-END"):
            if number >= 0:
                yield _event(path, number, record) if number >= start else None
            number += 1
            record = [line]
            if not begins or (stop is not None and number >= stop):
                return
        elif number >= start:
            record.append(line)
    raise EventFileError(path, f"ends in the middle (event {max(number, 0)})", "It was cut short; write it again.")


def _event(path: Path, number: int, record: list[str]) -> tuple:
    weight, overflow, scale, stated = 1.0, False, 1.0, int(record[0].split()[3])
    flows: dict[int, list[int]] = {}
    particles: list[str] = []
    found = 0
    for line in record:
        kind = line[:2]
        if kind == "P ":
            found += 1
            if line.rstrip().endswith(" 1"):
                particles.append(line)
        elif kind == "W ":
            weight = float(line.split(None, 2)[1])
        elif kind == "U ":
            scale = 1e-3 if line.split()[1] == "MEV" else 1.0
        elif kind == "A ":
            _, owner, name, value = line.split(None, 3)
            if name in ("flow1", "flow2"):
                flows.setdefault(int(owner), [0, 0])[name == "flow2"] = int(value)
            elif name == "overflow" and owner == "0":
                overflow = int(value) != 0
    if found != stated:
        raise EventFileError(
            path, f"event {number} has {found} particles where it states {stated}", "It was cut short."
        )
    return weight, overflow, scale, flows, particles


def _decode(events: list[tuple], head: EventFileInfo | None) -> EventBatch:
    counts = np.array([len(event[4]) for event in events])
    fields = " ".join(chain.from_iterable(event[4] for event in events)).split()
    table = np.array(fields, dtype=object).reshape(-1, 10)[:, 1:9]
    numbers = np.array(list(map(float, table.ravel()))).reshape(-1, 8)
    scale = np.repeat([event[2] for event in events], counts)[:, None]
    momenta = (numbers[:, [6, 3, 4, 5]] * scale).astype("float64" if head is None else head.dtype)
    colour = None
    if head is not None and head.colour:
        owners = numbers[:, 0].astype(int).tolist()
        flows = chain.from_iterable([event[3]] * count for event, count in zip(events, counts.tolist(), strict=True))
        colour = np.array([_place(flow.get(owner)) for owner, flow in zip(owners, flows, strict=True)], np.int32)
    weight, overflow = (np.array([event[i] for event in events]) for i in (0, 1))
    capacity = None if head is None else head.capacity
    return from_flat(counts, capacity, momenta, numbers[:, 2].astype(np.int32), weight, overflow, colour)


def _place(flow: list[int] | None) -> int:
    """Place along the colour line from the colour and anticolour of a parton."""
    if flow is None:
        return -1
    return flow[1] - _FIRST_COLOUR + 1 if flow[1] else flow[0] - _FIRST_COLOUR


__all__ = ["check", "encode", "info", "merge", "read"]
