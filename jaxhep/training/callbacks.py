"""What a training tells while it runs: a log, a progress bar, TensorBoard."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class TrainingReport:
    """What a callback is told.

    **Fields**: `kind`: `start`, `chunk` (after each call to the device), `epoch` or `end`; `epoch`, from 0; `step` and
    `num_steps`, done and in all; `losses`: mean losses by objective since the last report of this kind; `seconds` so
    far; `entry`: the epoch's line of the history, for `epoch` and `end`.
    """

    kind: str
    epoch: int
    step: int
    num_steps: int
    losses: dict[str, float]
    seconds: float
    entry: dict[str, Any] | None


class JsonLines:
    """A callback that writes one line of JSON an epoch; a resumed training goes on in the same file.

    **Arguments**

    - `path`: the file; its folder must exist. Lines from an epoch that is trained again (after a crash between
      checkpoints) are dropped.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.resolve().parent.is_dir():
            raise ValueError(f"the folder of {path} does not exist; make it first")

    def __call__(self, report: TrainingReport) -> None:
        """Writes the line of an epoch."""
        if report.kind == "start":
            self._keep(report.step)
        if report.kind == "epoch" and report.entry is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(_finite(report.entry), allow_nan=False) + "\n")

    def _keep(self, step: int) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_text().splitlines()
        entries = [line for line in lines if _step_of(line) <= step]
        if len(entries) != len(lines):
            self.path.write_text("".join(line + "\n" for line in entries))


class TensorBoard:
    """A callback that writes scalars for TensorBoard; needs the package `tensorboardX`, or `torch` with `tensorboard`.

    **Raises** `ImportError` if neither is installed.
    """

    def __init__(self, folder: str | Path):
        try:
            from tensorboardX import SummaryWriter  # type: ignore[import-not-found]
        except ImportError:
            try:
                from torch.utils.tensorboard import SummaryWriter  # type: ignore[import-not-found]
            except ImportError:
                raise ImportError(
                    "TensorBoard needs a writer of event files: pip install tensorboardX; JsonLines needs nothing"
                ) from None
        self.writer = SummaryWriter(str(folder))

    def __call__(self, report: TrainingReport) -> None:
        """Writes the losses, the gradient norm and the rates of an epoch."""
        if report.kind == "epoch" and report.entry is not None:
            entry = report.entry
            values = {f"train/{name}": value for name, value in entry["train"].items()}
            values |= {f"learning_rate/{name}": value for name, value in entry["learning_rate"].items()}
            values |= {"validation/loss": entry["validation"], "gradient_norm": entry["gradient_norm"]}
            for name, value in values.items():
                if value is not None:
                    self.writer.add_scalar(name, value, report.step)
        if report.kind == "end":
            self.writer.close()


class ProgressBar:
    """A callback that shows a bar of steps with the losses, by rich, on stderr."""

    def __init__(self, description: str = "training"):
        self.description = description
        self.bar: Any = None

    def __call__(self, report: TrainingReport) -> None:
        """Moves the bar."""
        if self.bar is None:
            self._open(report.num_steps)
        shown = {**report.losses}
        if report.entry is not None and report.entry["validation"] is not None:
            shown["validation"] = report.entry["validation"]
        text = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        self.bar.update(self.task, completed=report.step, **({"losses": text} if text else {}))
        if report.kind == "end":
            self.close()

    def close(self) -> None:
        """Ends the bar; also to be called when the training was interrupted."""
        if self.bar is not None:
            self.bar.stop()

    def _open(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[losses]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.task = self.bar.add_task(self.description, total=total, losses="")
        self.bar.start()


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


__all__ = ["JsonLines", "ProgressBar", "TensorBoard", "TrainingReport"]
