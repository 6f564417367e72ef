"""What every benchmark shares: options, one row of results, and the stopwatch."""

import dataclasses
import math
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCHEMA = 1


class Skip(Exception):
    """A benchmark that cannot run here; the message is a sentence that says why."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    num_events: int = 2**20
    """Events in one timed call."""
    repeats: int = 7
    quick: bool = False
    lambda_qcd: float = 0.2
    """Λ in GeV of every shower; tests use a large one, whose programs are small and compile fast."""
    cutoff: float = 1.0
    """Smallest k_T of the dipole shower in GeV."""
    pythia_events: int = 5000
    """Events Pythia generates in one timed repeat."""

    def __post_init__(self) -> None:
        for name in ("num_events", "repeats", "pythia_events"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.lambda_qcd < 91.1876:
            raise ValueError(f"lambda must lie between 0 and 91.1876 GeV, got {self.lambda_qcd}")
        if not 0.5 <= self.cutoff < 45:
            raise ValueError(f"cutoff must lie between 0.5 and 45 GeV, got {self.cutoff}")


@dataclasses.dataclass
class Row:
    """One line of a table: a name and numbers by quantity; the quantity's name ends in its unit."""

    name: str
    values: dict[str, float]

    def __post_init__(self) -> None:
        for key, value in self.values.items():
            if not math.isfinite(value):
                raise ValueError(f"{self.name}: {key} is {value}")


@dataclasses.dataclass(frozen=True)
class Timing:
    """Wall and processor seconds of the repeats of one call, and of its first call."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    first: float

    @property
    def wall_median(self) -> float:
        """Seconds of the median repeat."""
        return median(self.wall)

    def row(self, name: str, num_events: int, *, compiled: bool = True, **more: float) -> Row:
        """Rates for `num_events` a call. `compile_s` is the first call less a steady one."""
        steady = median(self.wall)
        values = {
            "events_per_s": num_events / steady,
            "best_events_per_s": num_events / min(self.wall),
            "spread_percent": 100 * spread(self.wall),
            "wall_ns_per_event": 1e9 * steady / num_events,
            "cpu_ns_per_event": 1e9 * median(self.cpu) / num_events,
        }
        if compiled:
            values["compile_s"] = max(self.first - steady, 0.0)
        return Row(name, values | more)


def stopwatch(call: Callable[[], Any], repeats: int, warm_up: int = 1) -> Timing:
    """Times a JAX call to its end: a first call, `warm_up` more, then `repeats` that count."""
    return race([call], repeats, warm_up)[0]


def race(calls: list[Callable[[], Any]], repeats: int, warm_up: int = 1) -> list[Timing]:
    """Times several calls in turn, so that a busy minute of the machine falls on all of them alike."""
    import jax

    def once(call: Callable[[], Any]) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(call())
        return time.perf_counter() - wall, time.process_time() - cpu

    first = [once(call)[0] for call in calls]
    for _ in range(warm_up):
        for call in calls:
            once(call)
    laps = [[once(call) for call in calls] for _ in range(repeats)]
    return [
        Timing(tuple(lap[i][0] for lap in laps), tuple(lap[i][1] for lap in laps), first[i]) for i in range(len(calls))
    ]


def median(values: tuple[float, ...]) -> float:
    """The middle value."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spread(values: tuple[float, ...]) -> float:
    """Median absolute deviation over the median."""
    centre = median(values)
    return median(tuple(abs(v - centre) for v in values)) / centre


def on_cpu() -> bool:
    """Whether JAX computes on the processor."""
    import jax

    return jax.default_backend() == "cpu"


def chunk_size(num_events: int) -> int:
    """Events a compiled call: the default on a CPU, 2²² on an accelerator, never more than are asked for."""
    from jaxhep.simulator import default_chunk

    return min(num_events, default_chunk() if on_cpu() else 2**22)


def device_events(options: Options) -> int:
    """Events a timed call: an accelerator gets 64 times as many (it would be idle otherwise)."""
    return options.num_events if on_cpu() or options.quick else 64 * options.num_events


def memory_mb() -> float:
    """Peak memory of this process so far, or of the accelerator, in MB."""
    import jax

    stats = None if on_cpu() else jax.devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 1e6
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of a child starts at what its parent held; this one does not
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def pin_to_one_core() -> int:
    """Keeps this process on one core and XLA on one thread; call it before JAX starts. Returns the core, or −1."""
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".strip()
    if not hasattr(os, "sched_setaffinity"):
        return -1
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core
