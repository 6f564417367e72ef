"""How many showers a second does the calorimeter make, with cells, and what does the gradient cost?

The floor is the time to write the cells: 4 bytes each (float32), and the incident energy, at the measured rate of a
program that only writes.
"""

from typing import Any

from ._common import Options, Row, device_events, memory_mb, on_cpu, stopwatch

QUESTION = "Showers/s of the calorimeter, with and without a derivative, against the least time to write the cells"
CASES = (
    "45×16×9 cells, plain", "45×16×9 cells, gradient", "10×5×5 cells, plain", "10×5×5 cells, gradient",
    "45 layers, plain", "45 layers, gradient", "10×5×5 spots, plain",
)  # fmt: skip
PINNED = False
NOTES = (
    "gradient: jax.jvp with respect to all passive thicknesses together: twice the numbers are written. Float32, "
    "noise drawn in the same program. 45×16×9: W/Si in the layout of the CaloChallenge's data set 2, 1 GeV to 1 TeV; "
    "10×5×5: Pb/LAr, 10 GeV; 'cells' are exact fractions of fluctuating showers, 'spots' 64 spots a layer. floor: "
    "bytes of the cells at the rate of a program that only writes.",
)


def _simulator(geometry: str) -> tuple[Any, str]:
    """The simulator and the name of its passive thicknesses."""
    import numpy as np

    from jaxhep.detector.calorimeter import Grid, ParticleGun, calochallenge_dataset_2, sampling_calorimeter
    from jaxhep.simulator import Chain

    if geometry in ("45×16×9 cells", "45 layers"):
        kind = "expected" if "cells" in geometry else "none"
        return Chain(ParticleGun(1.0, 1000.0), calochallenge_dataset_2(transverse=kind)), "passive_thickness"
    kind = "spots" if "spots" in geometry else "expected"
    small = sampling_calorimeter(
        "Pb", "LAr", np.full(10, 0.8), np.full(10, 0.4), segmentation=Grid(2.5, 5, 5), transverse=kind
    )  # fmt: skip
    return small, "passive_thickness"


def _cells(response: Any) -> Any:
    return {"cells": response.cells, "incident_energy": response.incident_energy, "overflow": response.overflow}


def measure(case: str, options: Options) -> list[Row]:
    """One geometry, with or without the derivative, and the floor of its bytes."""
    import jax
    import jax.numpy as jnp

    from jaxhep.simulator import generate, get_parameters, with_parameters

    geometry, kind = case.split(", ")
    simulator, name = _simulator(geometry)
    last = simulator.stages[-1] if hasattr(simulator, "stages") else simulator
    numbers = 1
    for size in last.cell_shape:
        numbers *= size
    # Spots and 6480 cells a shower are heavy: a thousandth and a sixteenth of the events fill the time and the memory.
    share = 256 if "spots" in geometry else (32 if numbers > 1000 else 4)
    num_events = max(device_events(options) // share, 16)
    if not on_cpu():  # one chunk, of at most 4 GB of cells, a sixteenth of that where each holds spots
        num_events = min(num_events, 2**22, 2**30 // (16 * numbers if "spots" in geometry else numbers))
    chunk = min(num_events, 8192) if on_cpu() else num_events
    key = jax.random.key(0)
    start = get_parameters(simulator)[name]
    before = memory_mb()

    def run(thickness: Any) -> Any:
        detector = with_parameters(simulator, {name: thickness})
        return generate(detector, key, num_events, observables=_cells, chunk_size=chunk)

    call = (lambda: run(start)) if kind == "plain" else (lambda: jax.jvp(run, (start,), (jnp.ones_like(start),)))
    timing = stopwatch(call, options.repeats)

    written = jax.jit(lambda x: jnp.full((num_events, numbers + 1), x))
    writing = stopwatch(lambda: written(jnp.ones(())), options.repeats)
    copies = 1 if kind == "plain" else 2
    floor = 1e9 * copies * min(writing.wall) / num_events
    row = timing.row(case, num_events, peak_mb=memory_mb(), before_mb=before, chunk_events=float(chunk))
    row.values |= {
        "bytes_per_event": 4.0 * copies * (numbers + 1),
        "bytes_floor_ns": floor,
        "reached_percent": 100 * floor / row.values["wall_ns_per_event"],
    }
    return [row]


def summarise(rows: list[Row]) -> list[Row]:
    """The cost of the gradient at each geometry."""
    by_name = {row.name: row for row in rows}
    ratios = []
    for geometry in ("45×16×9 cells", "10×5×5 cells", "45 layers"):
        plain, gradient = by_name.get(f"{geometry}, plain"), by_name.get(f"{geometry}, gradient")
        if plain and gradient:
            values = {
                "time_ratio": gradient.values["wall_ns_per_event"] / plain.values["wall_ns_per_event"],
                "cpu_ratio": gradient.values["cpu_ns_per_event"] / plain.values["cpu_ns_per_event"],
            }
            ratios.append(Row(f"{geometry}, gradient / plain", values))
    return rows + ratios
