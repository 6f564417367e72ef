"""How many dipole showers a second does one core make, against C++ and Pythia 8, and what do the derivatives cost?"""

import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import pythia as pythia_benchmark
from ._common import Options, Row, Skip, chunk_size, device_events, memory_mb, on_cpu, race, stopwatch

QUESTION = "Dipole showers a second at 91.2 GeV, α_s = 0.118, on one core (or accelerator), and the cost of derivatives"
CASES = ("peers", "weight", "pathwise")
PINNED = True
NOTES = (
    "C++: benchmarks/peers/dipole_shower.cc, the same shower in its tutorial form (constant overestimate of the "
    "coupling, double precision), g++ -O3 -march=native. Its mean number of partons is an independent check.",
    "Pythia 8: e+e- → γ*/Z → qq̄ without QED, stopped at p⊥ = the cut-off (at most 2 GeV; another definition: see the "
    "mean number of partons), driven from Python, one call of next an event.",
    "Derivative: jax.jvp of generate with respect to α_s; slope: α_s ∂⟨1−T⟩/∂α_s and its standard deviation an event. "
    "Float32. GAPS (arXiv:2403.08692) quotes 1.77e6 showers/s on one V100.",
)
_SOURCE = Path(__file__).with_name("peers") / "dipole_shower.cc"


def shower_of(options: Options, **more: Any) -> Any:
    """The shower; fewer partons fit above a large cut-off, and the program is smaller."""
    from jaxhep.shower import DipoleShower

    return DipoleShower(cutoff=options.cutoff, capacity=20 if options.cutoff < 3 else 8, **more)


def compiled_peer(folder: Path) -> Path:
    """The C++ shower, compiled for this machine."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise Skip("There is no C++ compiler here, so that the C++ shower cannot be built.")
    program = folder / "dipole_shower"
    subprocess.run([compiler, "-O3", "-march=native", "-std=c++17", "-o", str(program), str(_SOURCE)], check=True)
    return program


def peer_partons(program: Path, num_events: int, cutoff: float, seed: int = 1) -> tuple[float, float]:
    """Mean number of partons of the C++ shower, and its error."""
    command = [str(program), str(num_events), "0.118", str(cutoff), str(seed)]
    mean, deviation = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    return mean, deviation / math.sqrt(num_events)


def measure(case: str, options: Options) -> list[Row]:
    """Showers against the peers, or the derivative of one of the two kinds."""
    return _peers(options) if case == "peers" else _derivative(case, options)


def _peers(options: Options) -> list[Row]:
    import jax

    from jaxhep.observables import multiplicity, one_minus_thrust
    from jaxhep.simulator import generate

    shower = shower_of(options)
    num_events = device_events(options)
    size, key = chunk_size(num_events), jax.random.key(0)

    def showers(name: str, observable: Callable[[Any, Any], Any]) -> Callable[[], Any]:
        return lambda: generate(shower, key, num_events, observables={name: observable}, chunk_size=size)

    ours = [showers("n", multiplicity), showers("tau", one_minus_thrust)]
    with tempfile.TemporaryDirectory() as folder:
        peers = _started_peers(options, Path(folder))
        plain, thrust, *theirs = race([*ours, *(peer.call for peer in peers)], options.repeats)
        peer_values = [peer.values() for peer in peers]
    sample = generate(
        shower, key, min(num_events, 2**18), observables={"n": multiplicity, "tau": one_minus_thrust}, chunk_size=size
    )
    number = sample["n"].astype(float)
    values: dict[str, Any] = {
        "mean_partons": float(number.mean()),
        "partons_error": float(number.std()) / math.sqrt(number.size),
        "overflow_percent": 100 * float(sample["overflow"].mean()),
        "peak_mb": memory_mb(),
    }
    rows = [
        plain.row("jaxhep, shower", num_events, **values),
        thrust.row("jaxhep, shower + thrust", num_events, mean_1_minus_T=float(sample["tau"].mean())),
    ]
    for peer, timing, more in zip(peers, theirs, peer_values, strict=True):
        row = timing.row(peer.name, peer.num_events, compiled=False, **more)
        mine = rows[1 if "thrust" in peer.name else 0].values
        row.values["times_faster"] = mine["events_per_s"] / row.values["events_per_s"]
        row.values["times_faster_best"] = mine["best_events_per_s"] / row.values["best_events_per_s"]
        if peer.name.startswith("C++"):
            del row.values["cpu_ns_per_event"]  # of the parent, which waits
        rows.append(row)
    return rows


class _Peer(NamedTuple):
    """Another program: a call that makes `num_events`, and what else is known of these afterwards."""

    name: str
    num_events: int
    call: Callable[[], Any]
    values: Callable[[], dict[str, float]]


def _started_peers(options: Options, folder: Path) -> list[_Peer]:
    """The C++ shower and Pythia; on an accelerator, whose machine may lack them, those that there are."""
    single = 20 * options.pythia_events

    def cpp() -> _Peer:
        program = compiled_peer(folder)

        def values() -> dict[str, float]:
            mean, error = peer_partons(program, single, options.cutoff, seed=2)
            return {"mean_partons": mean, "partons_error": error}

        return _Peer("C++, shower", single, lambda: peer_partons(program, single, options.cutoff), values)

    def pythia() -> _Peer:
        settings = (
            f"TimeShower:pTmin = {min(options.cutoff, 2.0)}",
            "TimeShower:QEDshowerByQ = off",
            "TimeShower:QEDshowerByL = off",
        )
        similar = pythia_benchmark.started(settings)
        tally: dict[str, float] = {}
        return _Peer(
            "Pythia 8 + thrust",
            options.pythia_events,
            pythia_benchmark.loop(similar, options.pythia_events, True, tally),
            lambda: {
                "mean_partons": pythia_benchmark.partons(similar),
                "mean_1_minus_T": tally["one_minus_thrust"],
            },
        )

    peers = []
    for start in (cpp, pythia):
        try:
            peers.append(start())
        except Skip:
            if on_cpu():
                raise
    return peers


def _derivative(kind: Any, options: Options) -> list[Row]:
    import jax
    import jax.numpy as jnp

    from jaxhep.expectation import derivative
    from jaxhep.observables import one_minus_thrust
    from jaxhep.simulator import generate, with_parameters

    shower = shower_of(options, gradient=kind)
    num_events = device_events(options)
    size, key = chunk_size(num_events), jax.random.key(0)

    def run(alpha_s: Any) -> Any:
        simulator = with_parameters(shower, {"alpha_s": alpha_s})
        events = generate(simulator, key, num_events, observables={"tau": one_minus_thrust}, chunk_size=size)
        return events["tau"], events["weight"]

    one = jnp.ones_like(shower.alpha_s)
    plain = stopwatch(lambda: run(shower.alpha_s), options.repeats)
    timing = stopwatch(lambda: jax.jvp(run, (shower.alpha_s,), (one,)), options.repeats)
    (tau, weight), (tau_slope, weight_slope) = jax.jvp(run, (shower.alpha_s,), (one,))
    slope = derivative(tau, tau_slope, weight, weight_slope)
    more: dict[str, Any] = {
        "time_ratio": timing.wall_median / plain.wall_median,
        "slope": 0.118 * float(slope.value),
        "deviation_of_slope": 0.118 * float(slope.error) * math.sqrt(num_events),
        "peak_mb": memory_mb(),
    }
    return [
        plain.row(f"{kind}, plain", num_events),
        timing.row(f"{kind}, derivative", num_events, **more),
    ]


def summarise(rows: list[Row]) -> list[Row]:
    """Nothing to add."""
    return rows
