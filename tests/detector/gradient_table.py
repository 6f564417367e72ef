"""The gradient table of docs/detector.md: the comparisons of the tests at higher statistics.

`python -m tests.detector.gradient_table calorimeter 1e6 table.md` writes the table anew after each chunk; `event 1e5`
prints that of the whole-event detector, `event 1e5 field eta_max` that of these parameters.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import chi2, norm

from tests.detector import test_calorimeter_gradients as calorimeter

CHUNK = 2**14
FROZEN = 0.02
SIDES = (1.0, -1.0, 0.5, -0.5)
"""Independent samples, in units of the step h: the difference is (4 D(h/2) − D(h))/3, whose bias is O(h⁴); that of D(h)
alone is 4 % of the slope of the cells hit."""
FOURTH_ORDER = (-1 / 6, 1 / 6, 4 / 3, -4 / 3)
"""Of the means at these sides, over h."""
ROWS = (
    *(("energy of layer 2", "mean", 1), ("energy of layer 4", "mean", 3), ("energy of one cell", "mean", 5)),
    *(("leakage behind", "mean", 6), ("visible energy", "mean", 7), ("(σ/E)²", "ratio", 7), ("cells hit", "mean", 9)),
)


class Moments:
    """Means and covariance of columns, chunk by chunk."""

    def __init__(self, width):
        self.count, self.sum, self.square = 0, np.zeros(width), np.zeros((width, width))

    def add(self, rows):
        rows = np.asarray(rows, float).reshape(len(rows), -1)
        self.count += len(rows)
        self.sum += rows.sum(0)
        self.square += rows.T @ rows

    @property
    def mean(self):
        return self.sum / self.count

    @property
    def covariance(self):
        return self.square / self.count - np.outer(self.mean, self.mean)

    def error(self, weights):
        """Of the mean of the combination `weights` of columns."""
        return np.sqrt(weights @ self.covariance @ weights / self.count)


def unit(width, place):
    return np.eye(width)[place]


def ratio(moments, at):
    """⟨v²⟩/⟨v⟩² − 1 and its linear weights; v and v² in columns `at`, `at` + 1."""
    m1, m2 = moments.mean[at], moments.mean[at + 1]
    weights = np.zeros(len(moments.sum))
    weights[at], weights[at + 1] = -2 * m2 / m1**3, 1 / m1**2
    return m2 / m1**2 - 1, weights


def ratio_slope(moments, at, place):
    """The same of the derivative, whose columns begin at `place`."""
    m1, m2, d1, d2 = (moments.mean[i] for i in (at, at + 1, place + at, place + at + 1))
    weights = np.zeros(len(moments.sum))
    weights[at] = 6 * m2 * d1 / m1**4 - 2 * d2 / m1**3
    weights[at + 1] = -2 * d1 / m1**3
    weights[place + at], weights[place + at + 1] = -2 * m2 / m1**3, 1 / m1**2
    return d2 / m1**2 - 2 * m2 * d1 / m1**3, weights


def keys_of(chunk, sample):
    return jax.random.split(jax.random.fold_in(jax.random.key(1000 + sample), chunk), CHUNK)


def calorimeter_table(total, path):
    """Every observable in every parameter; then the variances."""
    names, steps, zero = calorimeter.NAMES, calorimeter.STEPS, jnp.zeros(5)
    here = Moments(66)
    shifted = {(name, side): Moments(11) for name in names for side in SIDES}
    frozen = {name: Moments(11) for name in names}
    for i in range(max(int(total) // CHUNK, 1)):
        keys = keys_of(i, 0)
        values = np.asarray(calorimeter.values(zero, keys))
        here.add(np.concatenate([values, np.asarray(calorimeter.slopes(zero, keys)).reshape(CHUNK, -1)], 1))
        for j, name in enumerate(names):
            for k, side in enumerate(SIDES):
                at = zero.at[j].set(side * steps[name])
                shifted[name, side].add(calorimeter.values(at, keys_of(i, 10 + len(SIDES) * j + k)))
            if i < 2:
                up, down = (np.asarray(calorimeter.values(zero.at[j].set(s * FROZEN), keys), float) for s in (1, -1))
                frozen[name].add((up - down) / (2 * FROZEN))
        Path(path).write_text("\n".join(lines_of(here, shifted, frozen)) + "\n")


def lines_of(here, shifted, frozen):
    """The table of the calorimeter in Markdown."""
    lines = [
        f"{here.count} showers at the point and at each of the twenty others:",
        "",
        "| d/dln | of | pathwise | difference of independent runs | pull | std of one shower's estimate: pathwise "
        f"| frozen noise, h = {FROZEN} | independent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    pulls = []
    for j, name in enumerate(calorimeter.NAMES):
        sides, step = [shifted[name, side] for side in SIDES], calorimeter.STEPS[name]
        for label, kind, column in ROWS:
            # The hard number of hits on the side of the samples, the noise integrated out on that of the derivative.
            sampled = 10 if column == 9 else column
            place = 11 * (j + 1)
            if kind == "mean":
                slope, weights = here.mean[place + column], unit(66, place + column)
                found = [(m.mean[sampled], unit(11, sampled)) for m in sides]
                spread = f"{np.sqrt(frozen[name].covariance[sampled, sampled]):.3g}"
            else:
                slope, weights = ratio_slope(here, column, place)
                found = [ratio(m, column) for m in sides]
                spread = ""
            error = here.error(weights)
            # D(h) has weight −1/3, D(h/2) weight 4/3.
            shares = np.array([-1, 1, 8, -8]) / (6 * step)
            difference = shares @ [value for value, _ in found]
            errors = [m.error(w) for m, (_, w) in zip(sides, found, strict=True)]
            error_difference = np.sqrt(np.sum((shares * errors) ** 2))
            pulls.append((slope - difference) / np.hypot(error, error_difference))
            one, two = error * np.sqrt(here.count), error_difference * np.sqrt(len(SIDES) * here.count)
            lines.append(
                f"| {name} | {label} | {slope:.5f} ± {error:.5f} | {difference:.5f} ± {error_difference:.5f} | "
                f"{pulls[-1]:+.2f} | {one:.3g} | {spread} | {two:.3g} |"
            )
    return [*lines, "", verdict(pulls)]


def event_table(total, names=None):
    """The whole-event detector: tests/detector/test_fast_response.py with more events."""
    from jaxhep.expectation import derivative, mean
    from tests.detector import test_fast_response as response

    sample = response.make_sample()
    pulls, rounds = [], max(int(total) // response.EVENTS, 1)
    print("| d/dln | of | gradient | difference of independent runs | pull |\n|---|---|---|---|---|")
    for i, name in enumerate(response.STEPS):
        if names and name not in names:
            continue
        step = response.STEPS[name]
        found: dict[str, list[tuple[float, float, float, float]]] = {}
        for k in range(rounds):
            seed = 10_000 * (k + 1) + 100 * i
            values, tangents = sample.gradient(name, seed)
            sides = [sample.at(name, side * step, seed + 1 + k) for k, side in enumerate(SIDES)]
            for observable in response.NAMES:
                got = derivative(values[observable], tangents[observable], values["weight"], tangents["weight"])
                means = [mean(s[observable], s["weight"]) for s in sides]
                difference = sum(f * float(m.value) for f, m in zip(FOURTH_ORDER, means, strict=True)) / step
                apart = sum((f * float(m.error)) ** 2 for f, m in zip(FOURTH_ORDER, means, strict=True)) ** 0.5
                row = (float(got.value), float(got.error), difference, apart / step)
                found.setdefault(observable, []).append(row)
            print(f"{name}: {(k + 1) * response.EVENTS} events", file=sys.stderr, flush=True)
        for observable, rows in found.items():
            table = np.array(rows)
            slope, apart = table[:, 0].mean(), table[:, 2].mean()
            error = np.sqrt((table[:, 1] ** 2).sum()) / rounds
            other = np.sqrt((table[:, 3] ** 2).sum()) / rounds
            if np.hypot(error, other) == 0:
                continue  # exactly independent of this parameter
            pulls.append((slope - apart) / np.hypot(error, other))
            print(f"| {name} | {observable} | {slope:.4f} ± {error:.4f} | {apart:.4f} ± {other:.4f} | "
                  f"{pulls[-1]:+.2f} |", flush=True)  # fmt: skip
    print("\n" + verdict(pulls))


def verdict(pulls):
    """χ² of all pulls (neighbouring ones are correlated: they share samples), and the largest."""
    square, number = float(np.sum(np.square(pulls))), len(pulls)
    largest = float(np.max(np.abs(pulls)))
    chance = 1 - (1 - 2 * norm.sf(largest)) ** number
    return (
        f"χ² = {square:.1f} for {number} (p = {chi2.sf(square, number):.2f} if independent); largest pull "
        f"{largest:.2f} (one as large in {100 * chance:.0f} % of such tables)"
    )


if __name__ == "__main__":
    kind, events = sys.argv[1], float(sys.argv[2])
    if kind == "calorimeter":
        calorimeter_table(events, sys.argv[3])
    else:
        event_table(events, sys.argv[3:])
