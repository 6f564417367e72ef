"""How many fewer events does a moved template need than a regenerated one, for the same error on the shift?"""

import math
from itertools import pairwise
from typing import Any

from ._common import Options, Row

QUESTION = "Shift of thrust from Λ to 1.1 Λ: events that regenerated samples need over those that moved ones need"
CASES = ("1.1 Λ",)
PINNED = False
STEP = 1.1
EDGES = (0.0, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.13, 0.17, 0.22, 0.3, 0.5)
NOTES = (
    "events_ratio = (Var f + Var f′)/Var(w f′ − f) an event: f at Λ and f′ at 1.1 Λ from independent samples, "
    "against the events moved by generate(…, reference=). Weighted averages are normalised by Σw. pull: moved less "
    "regenerated shift over its error.",
)


def measure(case: str, options: Options) -> list[Row]:
    """Three samples: at Λ, the same moved, and an independent one at 1.1 Λ."""
    import jax
    import numpy as np

    from jaxhep.observables import one_minus_thrust
    from jaxhep.shower import DiscreteQCD
    from jaxhep.simulator import generate, with_parameters

    shower = DiscreteQCD(lambda_qcd=options.lambda_qcd)
    far = with_parameters(shower, {"lambda_qcd": STEP * options.lambda_qcd})
    num_events = options.num_events
    observe = {"tau": one_minus_thrust}
    keys = jax.random.split(jax.random.key(1))

    def sample(simulator: Any, key: Any, reference: Any) -> tuple[np.ndarray, np.ndarray]:
        # With a reference throughout, one compiled program serves all three.
        events = generate(simulator, key, num_events, observables=observe, reference=reference)
        keep = ~np.asarray(events["overflow"])
        return np.asarray(events["tau"], float)[keep], np.asarray(events["weight"], float)[keep]

    here, _ = sample(shower, keys[0], shower)
    moved, weight = sample(far, keys[0], shower)
    again, _ = sample(far, keys[1], far)
    if not len(here) == len(moved):
        raise RuntimeError("events overflowed on one side of the move only")

    def row(name: str, f: np.ndarray, g: np.ndarray, h: np.ndarray) -> Row | None:
        """f at Λ, g the same events moved, h an independent sample at 1.1 Λ."""
        shifted = float(np.average(g, weights=weight))
        terms = weight * (g - shifted) / weight.mean() - (f - f.mean())
        one, two = float(np.var(terms)), float(np.var(f) + np.var(h))
        if one == 0 or two == 0:  # an empty bin
            return None
        shift, other = shifted - float(f.mean()), float(h.mean() - f.mean())
        # Both shifts share the sample at Λ, so only w f′ and the new f′ count in their difference.
        error = math.sqrt((float(np.var(weight * (g - shifted))) + float(np.var(h))) / len(f))
        values = {
            "events_ratio": two / one,
            "shift": shift,
            "error_moved": math.sqrt(one / len(f)),
            "error_regenerated": math.sqrt(two / len(f)),
            "pull": (shift - other) / error,
        }
        return Row(name, values)

    rows = [row("⟨1−T⟩", here, moved, again)]
    for low, high in pairwise(EDGES):
        inside = [((x >= low) & (x < high)).astype(float) for x in (here, moved, again)]
        rows.append(row(f"{low:g} ≤ 1−T < {high:g}", *inside))
    weights = Row("weights", {"mean_weight": float(weight.mean()), "weight_variance": float(weight.var()) + 1e-300})
    return [r for r in rows if r is not None] + [weights]


def summarise(rows: list[Row]) -> list[Row]:
    """The least and the middle gain of the bins."""
    gains = sorted(r.values["events_ratio"] for r in rows if "≤" in r.name)
    if not gains:
        return rows
    return [
        *rows,
        Row("bins, least", {"events_ratio": gains[0]}),
        Row("bins, median", {"events_ratio": gains[len(gains) // 2]}),
    ]
