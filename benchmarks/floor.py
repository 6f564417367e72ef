"""How far is the shower from the least time that its own arithmetic would take on this machine?

**Operations of one event.** Read off the jaxpr, one for each element of each arithmetic primitive whose result is used:

- *noise*: one Threefry-2x32 block gives two float32 variates. A block is 20 rounds of add, rotate (two shifts and an
  or), xor, and five key injections of three additions: 20·5 + 5·3 + 2 = 117 integer operations. An event takes 3
  variates a slot, so ⌈3·slots/2⌉ blocks, and one more for its key.
- *shower*: Discrete QCD: a constant number a slot (grove), and capacity × (capacity + slots) selections and spinor sums
  (insertions). Dipole shower: trials × capacity, all trials of a round, for all lanes go on until the last one is done.
- *thrust*: 2^(n−3) partitions of n ≤ 8 particles, beyond that n(n−1)/2 planes.

All events run at the first capacity, those that overflow again at the next; a round counts with its fraction of events.

**Time.** Four classes with peaks measured in the same run: fused multiply-adds (two operations an instruction, so an
optimistic peak for code that also selects and compares), 32-bit integers, divisions and square roots, and exp (for all
transcendental functions). Floor = Σ operations/peak, or bytes/bandwidth if longer; loads from cache and start-up are
left out. It is the floor of the program as it is written, not of all programs for this shower.
"""

import functools
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ._common import Options, Row, Timing, chunk_size, device_events, median, on_cpu, stopwatch

QUESTION = "Least time an event could take by its operations and the measured peaks, and the fraction reached"
CASES = ("Discrete QCD", "dipole shower")
PINNED = True
NOTES = (
    "On a CPU all of it on one core. Operations are counted in the jaxpr, floor.py says how; 'XLA' is "
    "cost_analysis() of the compiled first round. Bytes: what leaves an event (thrust, weight, flag) and its number.",
)
THREEFRY_BLOCK = 117

_FREE = {
    "broadcast_in_dim", "reshape", "squeeze", "concatenate", "slice", "dynamic_slice", "transpose", "iota", "rev",
    "stop_gradient", "bitcast_convert_type", "optimization_barrier", "copy", "expand_dims", "pad", "gather",
    "random_unwrap", "random_wrap", "split", "dynamic_update_slice",
}  # fmt: skip
_SLOW = {"div", "sqrt", "rsqrt", "rem"}
_TRANSCENDENTAL = {
    "exp", "exp2", "log", "log1p", "expm1", "sin", "cos", "tan", "atan2", "pow", "tanh", "erf_inv", "logistic",
}  # fmt: skip


def operations(function: Any, *arguments: Any, trips: int = 1) -> Counter[str]:
    """Operations of one call by class (float, integer, slow, transcendental); `trips`: turns of a while loop."""
    import jax

    return _count(jax.make_jaxpr(function)(*arguments).jaxpr, trips)


def _count(jaxpr: Any, trips: int) -> Counter[str]:
    needed = {v for v in jaxpr.outvars if not hasattr(v, "val")}
    total: Counter[str] = Counter()
    for eqn in reversed(jaxpr.eqns):
        if not any(v in needed for v in eqn.outvars):
            continue
        needed.update(v for v in eqn.invars if not hasattr(v, "val"))
        name = eqn.primitive.name
        size = max(math.prod(v.aval.shape) for v in eqn.outvars)
        inner = [
            getattr(p, "jaxpr", p)
            for key, value in eqn.params.items()
            if key != "cond_jaxpr"
            for p in (value if isinstance(value, tuple | list) else (value,))
            if hasattr(getattr(p, "jaxpr", p), "eqns")
        ]
        # A seed's or a key's own primitives hide a Threefry call, which appears by name where it is used.
        if name in ("threefry2x32", "random_fold_in"):
            blocks = size if name == "threefry2x32" else 1
            total["integer"] += THREEFRY_BLOCK * blocks
        elif inner:
            times = {"scan": eqn.params.get("length", 1), "while": trips}.get(name, 1)
            for part in inner:
                for kind, number in _count(part, trips).items():
                    total[kind] += number * times
        elif name in _FREE:
            continue
        elif name in _SLOW:
            total["slow"] += size
        elif name in _TRANSCENDENTAL:
            total["transcendental"] += size
        elif name == "integer_pow":
            total["float"] += size * max(abs(eqn.params["y"]).bit_length() - 1, 1)
        elif name.startswith(("reduce_", "cum")):
            total["float"] += max(math.prod(v.aval.shape) for v in eqn.invars)
        else:
            kind = "integer" if eqn.outvars[0].aval.dtype.kind in "iu" else "float"
            total[kind] += size
    return total


def peaks(options: Options) -> dict[str, float]:
    """Operations a second of each class, and bytes a second, on one core or one accelerator."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    cpu = on_cpu()
    size = 4096 if cpu else 2**24
    turns = (20 if options.quick else 2000) if cpu else 20

    def rate(step: Any, x: Any, chain: int, per_step: int) -> float:
        @jax.jit
        def run(x: Any) -> Any:
            return lax.fori_loop(0, turns, lambda _, y: functools.reduce(lambda z, _: step(z), range(chain), y), x)

        timing = stopwatch(lambda: run(x), options.repeats)
        return turns * chain * per_step * x.size / _least_seconds(timing)

    x = jnp.linspace(0.1, 0.9, size, dtype=jnp.float32)
    words = jnp.arange(size, dtype=jnp.uint32)
    chains = (64,) if options.quick else (32, 64, 128)

    def mix(z: Any) -> Any:  # a turn of Threefry: add, rotate, xor
        return ((z << 13) | (z >> 19)) ^ (z + np.uint32(0x9E3779B9))

    found = {
        "float": max(rate(lambda z: z * 0.999 + 0.001, x, chain, 2) for chain in chains),
        "integer": max(rate(mix, words, chain, 5) for chain in chains),
        "slow": rate(lambda z: 1.5 / (z + 0.5), x, 8, 1),
        "transcendental": rate(lambda z: jnp.exp(-z), x, 8, 1),
    }
    many = 2**20 if options.quick else (2**24 if cpu else 2**28)
    a, b = jnp.ones(many, jnp.float32), jnp.full(many, 2.0, jnp.float32)
    triad = jax.jit(lambda a, b: a + 3 * b)
    timing = stopwatch(lambda: triad(a, b), options.repeats)
    return found | {"bytes": 12 * many / _least_seconds(timing)}


def _least_seconds(timing: Timing) -> float:
    """On a CPU processor time, which other programs on the core do not lengthen (all here is one thread)."""
    return min(timing.cpu if on_cpu() else timing.wall)


def measure(case: str, options: Options) -> list[Row]:
    """Counts, peaks, the floor of each round, and the measured rate beside it."""
    import jax
    import jax.numpy as jnp

    from jaxhep.observables import thrust
    from jaxhep.shower import DipoleShower, DiscreteQCD
    from jaxhep.simulator import generate

    shower: Any = (
        DipoleShower(cutoff=options.cutoff) if case == "dipole shower" else DiscreteQCD(lambda_qcd=options.lambda_qcd)
    )
    key = jax.random.key(0)
    num_events = device_events(options)
    size = chunk_size(num_events)
    speed = peaks(options)
    observe = {"thrust": thrust}
    timing = stopwatch(lambda: generate(shower, key, num_events, observables=observe, chunk_size=size), options.repeats)
    some = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(min(num_events, 8192)))

    rows: list[Row] = []
    total: dict[str, float] = dict.fromkeys(("float", "integer", "slow", "transcendental"), 0.0)
    fraction = 1.0
    for simulator in shower.rounds():
        noise = simulator.sample_noise(key)
        particles = simulator(noise).mask.size
        trips = particles * (particles - 1) // 2

        def shower_only(noise: Any, simulator: Any = simulator) -> Any:
            event = simulator(noise)
            return event.momenta, event.weight, event.overflow

        event = simulator(noise)
        stages = {
            "noise": operations(lambda k, s=simulator: s.sample_noise(jax.random.fold_in(k, 3)), key),
            "shower": operations(shower_only, noise, trips=trips),
            "thrust": operations(thrust, event.momenta, event.mask, trips=trips),
        }
        for stage, count in stages.items():
            values = {f"{kind}_ops": float(count[kind]) for kind in ("float", "integer", "slow", "transcendental")}
            values |= {"floor_ns": _nanoseconds(count, speed), "events_fraction": fraction}
            rows.append(Row(f"{case}, capacity {simulator.capacity}: {stage}", values))
            for kind, number in count.items():
                total[kind] += fraction * number
        overflow = jax.jit(jax.vmap(lambda k, s=simulator: s(s.sample_noise(k)).overflow))(some)
        fraction = float(overflow.mean())
        if fraction == 0:
            break
    first = shower.rounds()[0]

    def compiled_round(keys: Any) -> Any:
        def one(k: Any) -> Any:
            event = first(first.sample_noise(k))
            return thrust(event.momenta, event.mask), event.weight, event.overflow

        return jax.vmap(one, out_axes=-1)(keys)

    block = 2048
    keys = jax.random.key_data(jax.random.split(key, block))
    analysis = jax.jit(compiled_round).lower(keys).compile().cost_analysis() or {}
    names = {"float_ops": "flops", "transcendental_ops": "transcendentals", "bytes": "bytes accessed"}
    values = {mine: float(analysis[theirs]) / block for mine, theirs in names.items() if theirs in analysis}
    rows.append(Row(f"{case}, capacity {first.capacity}: all, by XLA", values))

    arithmetic = _nanoseconds(total, speed)
    transfer = 1e9 * (4 + 4 + 4 + 1) / speed["bytes"]
    measured = 1e9 * median(timing.wall) / num_events
    cpu = 1e9 * median(timing.cpu) / num_events
    least = max(arithmetic, transfer)
    rows.append(Row(f"{case}, peaks", {f"peak_G{k}_per_s": v / 1e9 for k, v in speed.items()}))
    values = {f"{kind}_ops": total[kind] for kind in ("float", "integer", "slow", "transcendental")}
    rows.append(Row(f"{case}, an event", values | {"floor_ns": least, "bytes_floor_ns": transfer}))
    reached = {"wall_ns_per_event": measured, "cpu_ns_per_event": cpu, "reached_percent": 100 * least / measured}
    if on_cpu():  # time stolen by other programs is no fault of ours
        reached["reached_percent_cpu_time"] = 100 * least / cpu
    return [*rows, Row(f"{case}, measured", reached)]


def _nanoseconds(count: Mapping[str, float], speed: dict[str, float]) -> float:
    return 1e9 * sum(number / speed[kind] for kind, number in count.items())


def summarise(rows: list[Row]) -> list[Row]:
    """Nothing to add."""
    return rows
