"""How much variance does quasi-random noise save?"""

import math
from itertools import pairwise

from ._common import Options, Row
from .moving import EDGES

QUESTION = "Variance with independent noise over variance with scrambled Sobol noise, same number of events"
CASES = ("scrambles",)
PINNED = False
SCRAMBLES = 24
NOTES = (
    f"{SCRAMBLES} independent scrambles; independent noise: Var f/N from all events. The gain is known to "
    f"{100 * math.sqrt(2 / (SCRAMBLES - 1)):.0f}% (χ² of the scrambles).",
)


def measure(case: str, options: Options) -> list[Row]:
    """Means over each scramble and their spread."""
    import jax
    import numpy as np

    from jaxhep.observables import multiplicity, one_minus_thrust
    from jaxhep.shower import DiscreteQCD
    from jaxhep.simulator import generate

    shower = DiscreteQCD(lambda_qcd=options.lambda_qcd)
    points = 2 ** max(4, min(14, int(math.log2(max(options.num_events // SCRAMBLES, 1)))))
    observe = {"n": multiplicity, "tau": one_minus_thrust}
    samples = []
    for key in jax.random.split(jax.random.key(2), SCRAMBLES):
        events = generate(shower, key, points, observables=observe, noise="sobol")
        tau = np.asarray(events["tau"], float)
        columns = [tau, np.asarray(events["n"], float)]
        columns += [((tau >= a) & (tau < b)).astype(float) for a, b in pairwise(EDGES)]
        samples.append(np.stack(columns))
    values = np.stack(samples)  # scramble, quantity, event
    names = ["⟨1−T⟩", "⟨n⟩", *(f"{a:g} ≤ 1−T < {b:g}" for a, b in pairwise(EDGES))]
    rows = []
    for i, name in enumerate(names):
        random = float(values[:, i].var()) / points
        quasi = float(values[:, i].mean(axis=1).var(ddof=1))
        if random > 0 and quasi > 0:
            rows.append(Row(name, {"variance_gain": random / quasi, "mean": float(values[:, i].mean())}))
    return [*rows, Row("size", {"events_per_scramble": float(points), "scrambles": float(SCRAMBLES)})]


def summarise(rows: list[Row]) -> list[Row]:
    """Nothing to add."""
    return rows
