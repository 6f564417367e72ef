"""How many events a second does the shower make, with thrust, and what does the gradient cost?"""

from typing import Any

from ._common import Options, Row, chunk_size, device_events, memory_mb, stopwatch

QUESTION = "Events/s of shower + thrust, with and without the derivative with respect to Λ"
CASES = ("smooth, plain", "smooth, gradient", "lattice, plain", "lattice, gradient")
PINNED = False
NOTES = (
    "gradient: jax.jvp of generate with respect to Λ. Float32. Peak memory is that of the whole process, compiler "
    "included; before_mb is what it held before the first call (JAX, jaxhep, Python).",
)


def measure(case: str, options: Options) -> list[Row]:
    """One mode, with or without the derivative."""
    import jax
    import jax.numpy as jnp

    from jaxhep.observables import thrust
    from jaxhep.shower import DiscreteQCD
    from jaxhep.simulator import generate, with_parameters

    name, kind = case.split(", ")
    mode: Any = name
    num_events = device_events(options)
    size = chunk_size(num_events)
    shower = DiscreteQCD(lambda_qcd=options.lambda_qcd, mode=mode)
    key = jax.random.key(0)
    before = memory_mb()

    def run(lambda_qcd: Any) -> Any:
        simulator = with_parameters(shower, {"lambda_qcd": lambda_qcd})
        events = generate(simulator, key, num_events, observables={"thrust": thrust}, chunk_size=size)
        return events["thrust"], events["weight"]

    one = jnp.ones_like(shower.lambda_qcd)
    call = (lambda: run(shower.lambda_qcd)) if kind == "plain" else (lambda: jax.jvp(run, (shower.lambda_qcd,), (one,)))
    timing = stopwatch(call, options.repeats)
    return [timing.row(case, num_events, peak_mb=memory_mb(), before_mb=before, chunk_events=float(size))]


def summarise(rows: list[Row]) -> list[Row]:
    """The cost of the gradient in each mode."""
    by_name = {row.name: row for row in rows}
    ratios = []
    for mode in ("smooth", "lattice"):
        plain, gradient = by_name.get(f"{mode}, plain"), by_name.get(f"{mode}, gradient")
        if plain and gradient:
            values = {
                "time_ratio": gradient.values["wall_ns_per_event"] / plain.values["wall_ns_per_event"],
                "cpu_ratio": gradient.values["cpu_ns_per_event"] / plain.values["cpu_ns_per_event"],
            }
            ratios.append(Row(f"{mode}, gradient / plain", values))
    return rows + ratios
