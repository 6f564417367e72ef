"""Samples of moved events with their derivatives, several at the same time."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax

from .._types import Array, Key
from ..simulator import AbstractSimulator, generate

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def moved_events(
    reference: AbstractSimulator,
    simulator: AbstractSimulator,
    direction: AbstractSimulator,
    key: Key,
    num_events: int,
    observables: Mapping[str, Callable[[Array, Array], Array]],
    chunk_size: int | None = None,
    first_event: int = 0,
    on_chunk: Callable[[int], None] | None = None,
) -> tuple[Any, Any]:
    """The events of `reference` moved to the parameters of `simulator`, and their derivatives along `direction`.

    With `reference` and `simulator` the same this is a fresh sample, made by the program that moved samples have
    compiled already. The other arguments are those of `generate`.

    **Returns** two dicts of arrays (event): observables, `"weight"` and `"overflow"`, and their derivatives.
    """

    def run(sim: AbstractSimulator) -> Any:
        return generate(
            sim,
            key,
            num_events,
            observables=observables,
            reference=reference,
            chunk_size=chunk_size,
            first_event=first_event,
            on_chunk=on_chunk,
        )

    return jax.block_until_ready(jax.jvp(run, (simulator,), (direction,)))


def in_threads(function: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """`[function(x) for x in items]`, as many at a time as a CPU has cores, at most four (each needs memory).

    One chunk of events after another leaves much of a second core idle. On an accelerator one after the other.
    """
    workers = min(len(items), os.cpu_count() or 1, 4)
    if workers < 2 or jax.default_backend() != "cpu":
        return [function(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


class SharedCount:
    """Adds up the events of several samples for one progress report; safe in threads."""

    def __init__(self, report: Callable[[int], None] | None):
        self._report, self._done, self._lock = report, 0, threading.Lock()

    def sample(self) -> Callable[[int], None] | None:
        """The `on_chunk` of one more sample."""
        if self._report is None:
            return None
        report, before = self._report, 0

        def add(done: int) -> None:
            nonlocal before
            with self._lock:
                self._done += done - before
                before = done
                report(self._done)

        return add


__all__ = ["SharedCount", "in_threads", "moved_events"]
