"""What a training returns."""

import dataclasses
import json
import math
from html import escape
from typing import Any

from .settings import TrainingSettings


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model, and how it came about.

    **Fields**

    - `model`: at the best epoch if there was a validation set, otherwise after the last step.
    - `ema`: the model with the averaged leaves at the same step; `model` itself without averaging.
    - `history`: one dict an epoch: `epoch`, `step`, `train` (mean losses by objective), `validation` (None without),
      `gradient_norm`, `learning_rate`, `seconds`.
    - `best_epoch`: index of the epoch of `model`.
    - `stopped`: `finished`, `patience` or `callback`.
    - `num_steps`, `seconds`: steps done, and time taken in all, over all resumptions.
    - `num_rows`, `effective_rows`: events, and N_eff = (Σw)²/Σw².
    - `num_trained`: numbers in the trained leaves.
    - `settings`: the settings used.
    """

    model: Any
    ema: Any
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    stopped: str
    num_steps: int
    seconds: float
    num_rows: int
    effective_rows: float
    num_trained: int
    settings: TrainingSettings

    @property
    def train_losses(self) -> dict[str, list[float]]:
        """Mean training loss of each epoch, by objective."""
        names = self.history[0]["train"] if self.history else ()
        return {name: [entry["train"][name] for entry in self.history] for name in names}

    @property
    def validation_losses(self) -> list[float | None]:
        """Validation loss of each epoch; None without a validation set."""
        return [entry["validation"] for entry in self.history]

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of what the table shows."""
        best = self.history[self.best_epoch] if self.history else {"train": {}, "validation": None}
        rows = [
            ("events", f"{self.num_rows:,} (N_eff {self.effective_rows:,.0f})"),
            ("trained numbers", f"{self.num_trained:,}"),
            ("steps", f"{self.num_steps:,} in {len(self.history)} epochs, {self.seconds:.1f} s"),
            ("stopped", self.stopped),
            ("best epoch", f"{self.best_epoch + 1} of {len(self.history)}"),
        ]
        rows += [(f"training {name}", f"{value:.6g}") for name, value in best["train"].items()]
        if best["validation"] is not None:
            rows.append(("validation loss", f"{best['validation']:.6g}"))
        return rows

    def table(self) -> str:
        """A framed text table."""
        rows = self.rows()
        left, right = (max(len(row[i]) for row in rows) for i in (0, 1))
        body = [f"│ {name:<{left}} │ {value:<{right}} │" for name, value in rows]
        top, bottom = (f"{a}{'─' * (left + 2)}{b}{'─' * (right + 2)}{c}" for a, b, c in ("┌┬┐", "└┴┘"))
        return "\n".join([top, *body, bottom])

    def to_dict(self) -> dict[str, Any]:
        """All but the models, as plain numbers, lists and strings; what is not finite becomes None."""
        names = ("best_epoch", "stopped", "num_steps", "seconds", "num_rows", "effective_rows", "num_trained")
        answer = {name: getattr(self, name) for name in names}
        return _plain(answer | {"settings": self.settings.to_dict(), "history": list(self.history)})

    def to_json(self, **options: Any) -> str:
        """`to_dict` as JSON text; `options` go to `json.dumps`."""
        return json.dumps(self.to_dict(), **{"indent": 2, "allow_nan": False, "ensure_ascii": False, **options})

    def __repr__(self) -> str:
        """The table."""
        return self.table()

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self.rows())
        return f"<table>{body}</table>"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


__all__ = ["TrainingResult"]
