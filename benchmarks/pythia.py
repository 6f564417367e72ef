"""How many times faster than Pythia 8 is jaxhep at parton level, core for core?"""

from collections.abc import Callable
from typing import Any

from ._common import Options, Row, Skip, chunk_size, device_events, on_cpu, race

QUESTION = "Shower + thrust against Pythia 8 at parton level, one core each, repeats in turn"
CASES = ("one core",)
PINNED = True
NOTES = (
    "Pythia 8: e+e- → γ*/Z → qq̄ at 91.1876 GeV, HadronLevel:all=off, PDF:lepton=off; its default shower has quark "
    "masses, QED and g → qq̄, and goes down to p⊥ = 0.5 GeV (mean multiplicities are in the table). 'cut-off as "
    "jaxhep' stops it at Λ e^δ (at most 2 GeV) without QED, the nearest like for like.",
    "Thrust: jaxhep's exact search, and Pythia8::Thrust. Pythia is driven from Python, one call of next an event.",
)
_SETTINGS = (
    "Beams:idA = 11",
    "Beams:idB = -11",
    "Beams:eCM = 91.1876",
    "PDF:lepton = off",
    "WeakSingleBoson:ffbar2gmZ = on",
    "23:onMode = off",
    "23:onIfAny = 1 2 3 4 5",
    "HadronLevel:all = off",
    "Print:quiet = on",
    "Next:numberCount = 0",
    "Random:setSeed = on",
    "Random:seed = 1",
)


def started(more: tuple[str, ...] = ()) -> Any:
    """Pythia at parton level with further settings."""
    try:
        import pythia8mc
    except ImportError as error:
        raise Skip(
            "Pythia 8 is not installed here (pip install 'jaxhep[test]'), so there is nothing to compare with."
        ) from error
    pythia = pythia8mc.Pythia("", False)
    for line in (*_SETTINGS, *more):
        pythia.readString(line)
    if not pythia.init():
        raise Skip("Pythia 8 did not initialise.")
    return pythia


def loop(pythia: Any, num_events: int, with_thrust: bool, tally: dict[str, float]) -> Callable[[], None]:
    """A call that generates events; sums for the mean multiplicity and 1 − T are kept in `tally`."""
    import pythia8mc

    search = pythia8mc.Thrust()

    def run() -> None:
        missing, done = 0.0, 0
        while done < num_events:
            if not pythia.next():
                continue
            done += 1
            if with_thrust:
                search.analyze(pythia.event)
                missing += 1 - search.thrust()
        if with_thrust:
            tally["one_minus_thrust"] = missing / num_events

    return run


def partons(pythia: Any, num_events: int = 500) -> float:
    """Mean number of final partons."""
    total = 0
    for _ in range(num_events):
        pythia.next()
        total += pythia.event.nFinal()
    return total / num_events


def measure(case: str, options: Options) -> list[Row]:
    """jaxhep and Pythia in one process on one core, in turn."""
    import jax
    import numpy as np

    from jaxhep.observables import multiplicity, one_minus_thrust, thrust
    from jaxhep.shower import DiscreteQCD
    from jaxhep.simulator import generate

    shower = DiscreteQCD(lambda_qcd=options.lambda_qcd)
    cut_off = float(options.lambda_qcd * np.exp(shower.delta))
    plain = started()
    similar = started(
        (f"TimeShower:pTmin = {min(cut_off, 2.0)}", "TimeShower:QEDshowerByQ = off", "TimeShower:QEDshowerByL = off")
    )
    num_events = device_events(options)
    size, key = chunk_size(num_events), jax.random.key(0)
    observe = {"thrust": thrust}
    tallies: list[dict[str, float]] = [{}, {}, {}]
    calls: list[Callable[[], Any]] = [
        lambda: generate(shower, key, num_events, observables=observe, chunk_size=size),
        loop(plain, options.pythia_events, True, tallies[0]),
        loop(plain, options.pythia_events, False, tallies[1]),
        loop(similar, options.pythia_events, True, tallies[2]),
    ]
    ours, *theirs = race(calls, options.repeats)
    few = generate(
        shower, key, min(num_events, 8192), observables={"n": multiplicity, "tau": one_minus_thrust}, chunk_size=size
    )
    where = "jaxhep, one core" if on_cpu() else "jaxhep, one accelerator"
    rows = [ours.row(where, num_events, mean_partons=float(few["n"].mean()), mean_1_minus_T=float(few["tau"].mean()))]
    names = ("Pythia 8 + thrust", "Pythia 8, no thrust", "Pythia 8 + thrust, cut-off as jaxhep")
    for name, timing, pythia, tally in zip(names, theirs, (plain, plain, similar), tallies, strict=True):
        more = {"mean_partons": partons(pythia)}
        if "one_minus_thrust" in tally:
            more["mean_1_minus_T"] = tally["one_minus_thrust"]
        row = timing.row(name, options.pythia_events, compiled=False, **more)
        row.values["times_faster"] = rows[0].values["events_per_s"] / row.values["events_per_s"]
        row.values["times_faster_best"] = rows[0].values["best_events_per_s"] / row.values["best_events_per_s"]
        row.values["times_faster_cpu"] = row.values["cpu_ns_per_event"] / rows[0].values["cpu_ns_per_event"]
        rows.append(row)
    return rows


def summarise(rows: list[Row]) -> list[Row]:
    """Nothing to add."""
    return rows
