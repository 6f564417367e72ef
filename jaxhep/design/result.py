"""What an optimisation found: the design, its objective and gain with errors, budgets with prices, the trajectory."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .evaluation import Measured


@dataclass(frozen=True)
class Spent:
    """A budget at the end.

    Arguments:
        name: of the budget.
        cost: of the design found, in `unit`.
        limit: B.
        exact: whether the cost had to be B.
        price: −dL*/dB, the gain per unit of a larger budget (its multiplier, by least squares on the first-order
            conditions with fresh noise); 0 where more than a tenth of a limit is left.
        price_error: its standard error, of noise and of the distance from the optimum.
        unit: of cost and limit.
    """

    name: str
    cost: float
    limit: float
    exact: bool
    price: float
    price_error: float
    unit: str = ""

    @property
    def excess(self) -> float:
        """(cost − B)/|B|."""
        return (self.cost - self.limit) / abs(self.limit)


@dataclass(frozen=True, eq=False)
class DesignResult:
    """A design found by `optimise`.

    Arguments:
        labels, units: of the free entries.
        design, start: arrays by name.
        objective: the found design on fresh noise.
        gain: start minus found, on the same fresh noise: positive is better.
        restart_objectives: value and error of each restart's end, on the sample on which the best was chosen.
        best_restart: which one it was.
        budgets: what was spent.
        trajectory: by quantity, shape (step, restart, …): `theta`, `objective`, `error`, `gradient_norm`,
            `signal_to_noise` (length of the gradient over its error; NaN for a batch below 64), `excess`, and
            `gradient` of the objective with the terms of the budgets, in the free coordinates.
        reason: why it ended.
        calls: simulated events of steps and tests, all restarts; the reported numbers' own are not in it.
        seconds: wall time.
    """

    labels: tuple[str, ...]
    units: tuple[str, ...]
    design: Mapping[str, np.ndarray]
    start: Mapping[str, np.ndarray]
    objective: Measured
    gain: Measured
    restart_objectives: tuple[tuple[float, float], ...]
    best_restart: int
    budgets: tuple[Spent, ...]
    trajectory: Mapping[str, np.ndarray]
    reason: str
    calls: int
    seconds: float

    @property
    def num_steps(self) -> int:
        """Steps that were made."""
        return len(self.trajectory["objective"])

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(name, start, found, unit) of every entry that moved."""
        answer = []
        for (name, before, after), unit in zip(self._entries(), self.units, strict=True):
            answer.append((name, f"{before:.5g}", f"{after:.5g}", unit))
        return answer

    def _entries(self) -> list[tuple[str, float, float]]:
        flat: list[tuple[str, float, float]] = []
        for name, after in self.design.items():
            before = np.ravel(self.start[name])
            for i, value in enumerate(np.ravel(after)):
                label = name if np.ndim(after) == 0 else f"{name}[{i}]"
                if label in self.labels:
                    flat.append((label, float(before[i]), float(value)))
        return flat

    def summary(self) -> list[tuple[str, str]]:
        """The lines above the table."""
        lines = [
            ("objective", f"{self.objective.value:.6g} ± {self.objective.error:.2g}"),
            ("gain over the start", f"{self.gain.value:.6g} ± {self.gain.error:.2g}"),
        ]
        if len(self.objective.objectives) > 1:
            lines += [(name, f"{v:.6g} ± {e:.2g}") for name, (v, e) in self.objective.objectives.items()]
        for budget in self.budgets:
            sign = "=" if budget.exact else "≤"
            unit = f" {budget.unit}" if budget.unit else ""
            lines.append((f"{budget.name} {sign} {budget.limit:g}{unit}", f"{budget.cost:.6g}{unit}"))
            lines.append(
                (
                    f"  price of {budget.name}",
                    f"{budget.price:.3g} ± {budget.price_error:.2g} per {budget.unit or 'unit'}",
                )
            )
        ended = f"{self.reason}; {self.num_steps} steps, {self.calls:,} events, {self.seconds:.1f} s"
        return [*lines, ("ended", ended)]

    def table(self) -> str:
        """The result as text in a frame."""
        header = ("name", "start", "found", "unit")
        body = [header, *self.rows()]
        widths = [max(len(row[k]) for row in body) for k in range(4)]
        lines = [f"{name}: {text}" for name, text in self.summary()]
        inner = sum(widths) + 3 * len(widths) - 1
        wide = max(inner, max(len(line) for line in lines) + 2)
        widths[-1] += wide - inner

        def frame(left: str, middle: str, right: str) -> str:
            return left + middle.join("─" * (width + 2) for width in widths) + right

        def cells(row: tuple[str, ...]) -> str:
            return "│" + "│".join(f" {text:<{width}} " for text, width in zip(row, widths, strict=True)) + "│"

        answer = ["┌" + "─" * wide + "┐", *(f"│ {line:<{wide - 2}} │" for line in lines), frame("├", "┬", "┤")]
        answer += [cells(header), frame("├", "┼", "┤"), *(cells(row) for row in self.rows()), frame("└", "┴", "┘")]
        return "\n".join(answer)

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        top = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in self.summary()
        )
        head = "".join(f"<th>{name}</th>" for name in ("name", "start", "found", "unit"))
        rows = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in self.rows())
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table>{top}</table><table><tr>{head}</tr>{body}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, without the trajectory (`write_trajectory` has it)."""
        return {
            "design": {name: np.asarray(value).tolist() for name, value in self.design.items()},
            "start": {name: np.asarray(value).tolist() for name, value in self.start.items()},
            "objective": self.objective.to_dict(),
            "gain": self.gain.to_dict(),
            "restarts": [{"value": v, "error": e} for v, e in self.restart_objectives],
            "best_restart": self.best_restart,
            "budgets": [
                {
                    "name": b.name,
                    "cost": b.cost,
                    "limit": b.limit,
                    "exact": b.exact,
                    "price": b.price,
                    "price_error": b.price_error,
                    "unit": b.unit,
                }
                for b in self.budgets
            ],
            "reason": self.reason,
            "num_steps": self.num_steps,
            "calls": self.calls,
            "seconds": self.seconds,
        }

    def to_json(self, **options: Any) -> str:
        """`to_dict` as JSON text; `options` go to `json.dumps`."""
        return json.dumps(self.to_dict(), **{"indent": 2, "allow_nan": False, "ensure_ascii": False, **options})

    def write_trajectory(self, path: Path) -> None:
        """One row a step and restart as CSV: objective ± error, gradient, excess of each budget, every free entry."""
        columns = ["objective", "error", "gradient_norm", "signal_to_noise"]
        names = [f"excess of {b.name}" for b in self.budgets]
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["step", "restart", *columns, *names, *self.labels])
            for step in range(self.num_steps):
                for restart in range(len(self.restart_objectives)):
                    numbers = [self.trajectory[name][step, restart] for name in columns]
                    numbers += [*self.trajectory["excess"][step, restart], *self.trajectory["theta"][step, restart]]
                    writer.writerow([step, restart, *(f"{x:.9g}" for x in numbers)])


__all__ = ["DesignResult", "Spent"]
