"""How long does the whole fit of Λ to the ALEPH thrust data take?"""

import time

from ._common import Options, Row

QUESTION = "Seconds from nothing to the fitted Λ (jaxhep.studies.event_shape_fit)"
CASES = ("first and second run",)
PINNED = False
NOTES = ("The first run compiles; the second, in the same process, does not.",)


def measure(case: str, options: Options) -> list[Row]:
    """Runs the study twice."""
    from jaxhep.studies.event_shape_fit import fit_event_shapes

    rows = []
    for label in ("first run", "second run"):
        wall, cpu = time.perf_counter(), time.process_time()
        study = fit_event_shapes(num_events=options.num_events)
        values = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        values |= {f"{part}_s": float(seconds) for part, seconds in study.seconds.items()}
        rows.append(Row(label, values | {"num_events": float(study.num_events)}))
    return rows


def summarise(rows: list[Row]) -> list[Row]:
    """Nothing to add."""
    return rows
