"""What went wrong in a training, said with the step, the batch and the leaf."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._program import Program, batch_objective, event_keys, gather
from .checks import few


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient was NaN or infinite.

    **Fields**: `step` and `epoch`, from 0; `rows` of the batch; `bad_rows`, those whose own loss is not finite;
    `leaves` of the model and `gradients` that are not finite; `columns` of the batch that are not; `model` as it was
    after the last good step.
    """

    def __init__(self, message: str, **fields: Any):
        super().__init__(message)
        self.step: int = fields["step"]
        self.epoch: int = fields["epoch"]
        self.rows: np.ndarray = fields["rows"]
        self.bad_rows: np.ndarray = fields["bad_rows"]
        self.leaves: tuple[str, ...] = fields["leaves"]
        self.gradients: tuple[str, ...] = fields["gradients"]
        self.columns: tuple[str, ...] = fields["columns"]
        self.model: Any = fields["model"]


class CheckpointError(ValueError):
    """A checkpoint is missing, cut short, of another training, or of a newer version."""


def explain(
    program: Program, which: int, state: Any, frozen: Any, columns: Any, weights: Any, item: Any, numbers: Any, key: Any
) -> dict[str, Any]:
    """Repeats one step without compiling many, and says what in it is not finite."""
    objective = program.objectives[which]
    batch, w, _ = gather(program, columns, weights, item, numbers["mean_weight"])
    keys = (event_keys(key, numbers["epoch"], item["ident"]), jax.random.fold_in(key, state["step"]))
    own = {path: state["trained"][path] for path in program.own_labels(objective)}

    @jax.jit
    def look(own: Any, trained: Any, batch: Any, w: Any, keys: Any) -> Any:
        def total(own: Any) -> Any:
            return batch_objective(program, objective, own, trained, frozen, batch, w, keys)

        value, gradient = jax.value_and_grad(total)(own)
        losses = jnp.zeros(len(item["real"]))
        if not objective.batch_loss:
            model = program.combine(trained, frozen)
            losses = jax.vmap(lambda event, k: objective.loss(model, event, k))(batch, keys[0])
        return value, gradient, losses

    value, gradient, losses = look(own, state["trained"], batch, w, keys)
    real = np.asarray(item["real"])
    model = state["trained"] | frozen
    return {
        "value": float(value),
        "bad": np.flatnonzero(~np.isfinite(np.asarray(losses)) & real),
        "leaves": _broken(model),
        "gradients": _broken(gradient),
        "columns": _broken(batch),
    }


def _broken(tree: dict[str, Any]) -> tuple[str, ...]:
    floating = {k: v for k, v in tree.items() if jnp.issubdtype(v.dtype, jnp.inexact)}
    return tuple(k for k, v in sorted(floating.items()) if not bool(jnp.all(jnp.isfinite(v))))


def non_finite(
    found: dict[str, Any], name: str, step: int, epoch: int, batch: int, rows: np.ndarray, model: Any
) -> NonFiniteLossError:
    """The error with its sentence."""
    bad = rows[found["bad"][found["bad"] < len(rows)]]
    what = "the loss" if not np.isfinite(found["value"]) else "the gradient of the loss"
    parts = [f"{what} {name!r} is not finite at step {step} (epoch {epoch}, batch {batch})"]
    if found["columns"]:
        parts.append(f"the batch holds NaN or infinity in {', '.join(found['columns'])}")
    if found["leaves"]:
        parts.append(f"leaves of the model that are not finite: {', '.join(found['leaves'][:6])}")
    if bad.size:
        parts.append(f"the loss of {len(bad)} of {len(rows)} events is not finite, rows {few(bad)}")
    if found["gradients"]:
        parts.append(f"gradients that are not finite: {', '.join(found['gradients'][:6])}")
    cure = "look at these rows, lower the learning rate or set clip_norm; the error's .model is that of the last step"
    fields = {k: found[k] for k in ("leaves", "gradients", "columns")}
    return NonFiniteLossError(
        "; ".join(parts) + f". To go on: {cure}.",
        step=step,
        epoch=epoch,
        rows=rows,
        bad_rows=bad,
        model=model,
        **fields,
    )


__all__ = ["CheckpointError", "NonFiniteLossError", "explain", "non_finite"]
