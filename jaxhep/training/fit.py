"""The one training loop."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from .._types import Key
from ..parallel import EVENTS, event_mesh
from ._loader import Loader
from ._optimiser import hyper_of, schedule_factor
from ._program import Program, initial_state, partition, run_chunk, run_evaluation, static_settings
from .callbacks import TrainingReport
from .dataset import AbstractDataset
from .failure import explain, non_finite
from .objective import objectives_of
from .result import TrainingResult
from .settings import TrainingSettings
from .specification import Specification, leaf_paths, trainable_labels

_SECONDS_BETWEEN_CHECKPOINTS = 10.0

Callback = Callable[[TrainingReport], Any]
"""A function of a report; what it returns, if true, stops the training."""


def fit(
    model: Any,
    loss: Any,
    data: AbstractDataset,
    *,
    key: Key,
    settings: TrainingSettings | None = None,
    trainable: Specification = None,
    validation: AbstractDataset | float | None = None,
    callbacks: Sequence[Callback] = (),
    batch_loss: bool = False,
    checkpoint: str | Path | None = None,
    checkpoint_steps: int | None = None,
    resume: bool = False,
) -> TrainingResult:
    r"""Minimises the weighted mean loss \(\sum_iw_i\ell_i(\theta)/\sum_iw_i\) over the trained leaves θ of a model.

    Each step takes a batch \(B\) and goes down the gradient of \(\frac{N}{|B|\sum_jw_j}\sum_{i\in B}w_i\ell_i\), which
    is an unbiased estimate of the mean; dividing by the sum of weights of the batch would not be, and fails where
    negative weights cancel.

    **Arguments**

    - `model`: any pytree, as a rule an `equinox.Module`.
    - `loss`: `loss(model, event, key) -> scalar` for one event, a dict of one row of each column; or an `Objective`; or
      a list of objectives or (loss, label, steps) that take turns.
    - `data`: the events, with weights that may be negative.
    - `key`: JAX random key. The order of events and the key of each event are functions of it, of the epoch, and of the
      event's row: neither batch size nor devices change the latter.
    - `settings`: see `TrainingSettings`.
    - `trainable`: see `trainable_labels`; all other leaves are unknown to the optimiser.
    - `validation`: a data set, or the share of `data` to hold out. Its loss (of the averaged model, if there is one,
      for the first objective) is found after each epoch, always with the same keys; `TrainingResult.model` is the best.
    - `callbacks`: called with a `TrainingReport` after each call to the device and each epoch; a true answer stops.
    - `batch_loss`: `loss` is `loss(model, batch, weights, key) -> scalar`; see `Objective`.
    - `checkpoint`: folder for the state, saved at the end of an epoch, not more often than every 10 seconds, and when
      the training ends or is interrupted.
    - `checkpoint_steps`: save instead whenever so many steps have passed, within an epoch too.
    - `resume`: go on from the checkpoint, if there is one, to exactly the result of a training without a break.

    **Returns** a `TrainingResult`.

    **Raises** `ValueError` for bad data, labels or settings, before anything compiles; `NonFiniteLossError` with step,
    batch and leaf; `CheckpointError` for a checkpoint that cannot be resumed from.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.training import Dataset, TrainingSettings, fit
    >>> x = jax.random.normal(jax.random.key(1), (512,)) + 3.0
    >>> square = lambda model, event, key: (event["x"] - model["mean"]) ** 2
    >>> settings = TrainingSettings(batch_size=64, epochs=30, learning_rate=0.1)
    >>> result = fit({"mean": jnp.array(0.0)}, square, Dataset({"x": x}), key=jax.random.key(0), settings=settings,
    ...              trainable="all")
    >>> abs(float(result.model["mean"] - x.mean())) < 0.02
    True
    """
    settings = TrainingSettings() if settings is None else settings
    run = _Run(model, loss, data, key, settings, trainable, validation, batch_loss)
    run.open_checkpoint(checkpoint, checkpoint_steps, resume)
    try:
        return run.go(callbacks)
    finally:
        if run.store is not None:
            run.store.close()


class _Run:
    """A training on its way."""

    def __init__(
        self,
        model: Any,
        loss: Any,
        data: AbstractDataset,
        key: Key,
        settings: TrainingSettings,
        trainable: Specification,
        validation: AbstractDataset | float | None,
        batch_loss: bool,
    ):
        if not isinstance(data, AbstractDataset):
            raise TypeError(f"data must be a Dataset, e.g. Dataset({{'x': x}}), not {type(data).__name__}")
        labels = trainable_labels(model, trainable)
        objectives = objectives_of(loss, batch_loss)
        trained, self.frozen, static, named = partition(model, labels)
        known = {label for _, label in named}
        _check_objectives(objectives, known)
        settings.check_labels(known)
        devices = _devices(settings)
        if settings.batch_size % len(devices):
            raise ValueError(
                f"batch_size {settings.batch_size} must be a multiple of the number of devices, {len(devices)}"
            )
        structure = jax.tree.structure(model)
        self.program = Program(
            objectives, named, structure, static, tuple(leaf_paths(model)), static_settings(settings), devices
        )
        self.settings, self.key = settings, key
        seed = int(np.asarray(jax.random.key_data(key) if _typed(key) else key).astype(np.uint64) @ [2**31, 1])
        if isinstance(validation, float | int):
            data, validation = data.split(float(validation), seed)
        if validation is not None and set(validation.names) != set(data.names):
            raise ValueError(
                f"validation has the columns {validation.names}, the data {data.names}; give both the same"
            )
        if settings.patience is not None and validation is None:
            raise ValueError("patience needs a validation set: pass validation=0.1, or patience=None")
        self.placement = NamedSharding(event_mesh(list(devices)), PartitionSpec())
        self.data, self.validation = data, validation
        self.loader = self._loader(data, seed, True)
        self.held = None if validation is None else self._loader(validation, seed, False)
        total = settings.steps if settings.steps is not None else settings.epochs * self.loader.batches  # type: ignore[operator]
        self.total = total
        cycle = sum(o.steps for o in objectives)
        self.numbers: dict[str, Any] = {
            "hyper": hyper_of(settings, known),
            "epoch": 0,
            "mean_weight": self.loader.mean_weight,
            "totals": [max(1.0, total * o.steps / cycle) for o in objectives],
        }
        self.state = self._place(initial_state(self.program, trained))
        self.frozen = self._place(self.frozen)
        self.best: dict[str, Any] | None = None
        self.best_loss, self.best_epoch, self.waited = math.inf, 0, 0
        self.step, self.seconds = 0, 0.0
        self.history: list[dict[str, Any]] = []
        self.sums: list[list[float]] = [[0.0, 0.0] for _ in objectives]
        self.norms = [0.0, 0.0]
        self.store: Any = None
        self.consistent = True
        self.saved_step, self.saved_time = 0, -math.inf

    def _loader(self, data: AbstractDataset, seed: int, shuffle: bool) -> Loader:
        batches = math.ceil(data.num_rows / self.settings.batch_size)
        resident = data.num_rows * data.row_bytes <= self.settings.resident_bytes
        calls = min(self.settings.steps_per_call, batches)
        return Loader(data, self.settings.batch_size, calls, seed, self._place, resident, shuffle)

    def _place(self, tree: Any) -> Any:
        """The arrays on each device of the training, always placed in the same way: one program serves all fits."""
        return jax.device_put(tree, self.placement)

    def open_checkpoint(self, folder: str | Path | None, every: int | None, resume: bool) -> None:
        """Makes or reads the checkpoint folder."""
        self.checkpoint_steps = every
        if folder is None:
            if resume:
                raise ValueError("resume=True needs checkpoint=, the folder to resume from")
            return
        from .checkpoint import TrainingStore

        self.store = TrainingStore(folder)
        self.store.open(self, resume)

    def go(self, callbacks: Sequence[Callback]) -> TrainingResult:
        """Trains to the end."""
        begin, before = time.perf_counter(), self.seconds
        stopped = "finished"
        self._tell(callbacks, "start", {})
        try:
            while self.step < self.total and not self._out_of_patience():
                ended, losses = self._advance()
                self.seconds = before + time.perf_counter() - begin
                stop = self._tell(callbacks, "chunk", losses)
                if ended or self.step >= self.total:
                    self._end_epoch()
                    self.consistent = True
                    stop = self._tell(callbacks, "epoch", self.history[-1]["train"]) or stop
                self.consistent = True
                if stop:
                    stopped = "callback"
                elif self.settings.patience is not None and self.waited >= self.settings.patience:
                    stopped = "patience"
                if self.store is not None and (self._due(ended) or stopped != "finished"):
                    self.seconds = before + time.perf_counter() - begin
                    self.save()
                if stopped != "finished":
                    break
        except KeyboardInterrupt as interrupt:
            if self.store is not None:
                self.save()
                interrupt.add_note(
                    f"the state after step {self.step} is safe in {self.store.folder}; go on with resume"
                )
            raise
        self.seconds = before + time.perf_counter() - begin
        result = self._result(stopped)
        self._tell(callbacks, "end", {})
        return result

    def _out_of_patience(self) -> bool:
        return self.settings.patience is not None and self.waited >= self.settings.patience

    def _due(self, ended: bool) -> bool:
        if self.step >= self.total:
            return True
        if self.checkpoint_steps is not None:
            return self.step - self.saved_step >= self.checkpoint_steps
        return ended and time.perf_counter() - self.saved_time > _SECONDS_BETWEEN_CHECKPOINTS

    def save(self) -> None:
        """Writes a checkpoint, if there is something new."""
        if self.step > self.saved_step:
            self.store.save(self)
            self.saved_step, self.saved_time = self.step, time.perf_counter()

    def _advance(self) -> tuple[bool, dict[str, float]]:
        """One call to the device: whether the epoch has ended, and the mean losses of the call."""
        columns, weights, items, count = self.loader.chunk(self.total - self.step)
        numbers = self.numbers | {"epoch": self.loader.epoch}
        items = self._split(items)
        state, out = run_chunk(self.program, self.state, self.frozen, columns, weights, items, numbers, self.key)
        out = {k: np.asarray(v) for k, v in jax.device_get(out).items()}
        done = int(out["done"][:count].sum())
        # From here on the run is between two steps, and an interrupt must not save it.
        self.consistent, self.state = False, state
        if bool(state["halted"]):
            self._explain(columns, weights, items, numbers, done - 1, int(out["which"][done - 1]))
        means = {}
        for which, objective in enumerate(self.program.objectives):
            own = out["done"] & (out["which"] == which)
            rows, value = out["count"][own].astype(float), out["loss"][own].astype(float)
            self.sums[which][0] += float(rows @ value)
            self.sums[which][1] += float(rows.sum())
            if rows.sum():
                means[objective.name] = float(rows @ value / rows.sum())
        self.norms[0] += float(out["norm"][out["done"]].astype(float).sum())
        self.norms[1] += done
        self.step += done
        return self.loader.advance(count), means

    def _split(self, items: dict[str, np.ndarray]) -> Any:
        """The batch axis over the devices."""
        mesh = event_mesh(list(self.program.devices))
        return {
            k: jax.device_put(v, NamedSharding(mesh, PartitionSpec(*[None, EVENTS][: v.ndim])))
            for k, v in items.items()
        }

    def _explain(self, columns: Any, weights: Any, items: Any, numbers: Any, last: int, which: int) -> None:
        item = {k: v[last] for k, v in items.items()}
        batch = self.loader.position + last
        found = explain(self.program, which, self.state, self.frozen, columns, weights, item, numbers, self.key)
        model = self.program.combine(_free(self.state["trained"]), _free(self.frozen))
        name, rows = self.program.objectives[which].name, self.loader.rows(batch)
        if self.store is not None:
            self.store.wait()
        raise non_finite(found, name, self.step + last, self.loader.epoch, batch, rows, model)

    def _end_epoch(self) -> None:
        """Validation, history, and whether this was the best epoch."""
        train = {
            objective.name: total / rows if rows else math.nan
            for objective, (total, rows) in zip(self.program.objectives, self.sums, strict=True)
        }
        value = self._validate()
        rate = float(schedule_factor(self.settings, self.numbers["hyper"], self.step - 1, float(self.total)))
        entry: dict[str, Any] = {
            "epoch": len(self.history),
            "step": self.step,
            "train": train,
            "validation": value,
            "gradient_norm": self.norms[0] / max(self.norms[1], 1.0),
            "learning_rate": {k: v * rate for k, v in self.numbers["hyper"]["learning_rate"].items()},
            "seconds": self.seconds,
        }
        self.history.append(entry)
        self.sums, self.norms = [[0.0, 0.0] for _ in self.sums], [0.0, 0.0]
        if value is None:
            self.best_epoch = entry["epoch"]
            return
        if value < self.best_loss - self.settings.min_improvement:
            self.best_loss, self.best_epoch, self.waited = value, entry["epoch"], 0
            self.best = {"trained": self.state["trained"], "ema": self.state["ema"]}
        else:
            self.waited += 1

    def _validate(self) -> float | None:
        if self.held is None:
            return None
        trained = self.state["ema"] or self.state["trained"]
        numbers = self.numbers | {"mean_weight": self.held.mean_weight}
        key = jax.random.fold_in(self.key, 0x7A11D)
        total, rows = 0.0, 0.0
        self.held.epoch = self.held.position = 0
        while True:
            columns, weights, items, count = self.held.chunk()
            out = run_evaluation(self.program, trained, self.frozen, columns, weights, self._split(items), numbers, key)
            losses, counts = (np.asarray(out[k])[:count].astype(float) for k in ("loss", "count"))
            total, rows = total + float(losses @ counts), rows + float(counts.sum())
            if self.held.advance(count):
                return total / rows

    def _tell(self, callbacks: Sequence[Callback], kind: str, losses: dict[str, float]) -> bool:
        if not callbacks:
            return False
        last = self.history[-1] if self.history and kind in ("epoch", "end") else None
        report = TrainingReport(
            kind, self.loader.epoch, self.step, self.total, dict(losses), self.seconds, dict(last) if last else None
        )
        answers = [callback(report) for callback in callbacks]
        return any(bool(answer) for answer in answers)

    def _result(self, stopped: str) -> TrainingResult:
        kept = self.best if self.best is not None else {"trained": self.state["trained"], "ema": self.state["ema"]}
        frozen = _free(self.frozen)
        model = self.program.combine(_free(kept["trained"]), frozen)
        ema = self.program.combine(_free(kept["ema"]), frozen) if kept["ema"] else model
        count = sum(int(np.size(leaf)) for leaf in self.state["trained"].values())
        return TrainingResult(
            model, ema, tuple(self.history), self.best_epoch, stopped, self.step, self.seconds, self.data.num_rows,
            self.data.effective_rows, count, self.settings,
        )  # fmt: skip


def _free(tree: Any) -> Any:
    """Arrays that are bound to no device, so that the model can be used on any."""
    return jax.tree.map(lambda a: a if _typed(a) else jax.numpy.asarray(jax.device_get(a)), tree)


def _typed(key: Any) -> bool:
    return bool(jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key))


def _devices(settings: TrainingSettings) -> tuple[jax.Device, ...]:
    """The devices asked for."""
    if settings.devices is None:
        return tuple(jax.numpy.zeros(()).devices())
    if not isinstance(settings.devices, int):
        return tuple(settings.devices)
    there = jax.devices()
    if not 1 <= settings.devices <= len(there):
        raise ValueError(f"devices={settings.devices}, but JAX sees {len(there)}: {there[0].platform}")
    return tuple(there[: settings.devices])


def _check_objectives(objectives: tuple[Any, ...], known: set[str]) -> None:
    for objective in objectives:
        for label in objective.named():
            if label not in known:
                raise ValueError(
                    f"objective {objective.name!r} moves the label {label!r}, which no trained leaf has; there are "
                    f"{', '.join(sorted(known))}"
                )


__all__ = ["Callback", "fit"]
