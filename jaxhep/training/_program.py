"""The compiled part: many steps in one call on the device, and the mean loss of a data set."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from ..parallel import EVENTS, event_mesh
from ._optimiser import clip, make_optimiser
from .objective import Objective
from .settings import TrainingSettings


@dataclasses.dataclass(frozen=True)
class Program:
    """All that a compiled program depends on beside the shapes; equal programs compile once, in any number of fits.

    **Fields**: `objectives`; `labels`, (path, label) of each trained leaf; `structure` of the model, as a pytree;
    `static`, the leaves that are no arrays, by position; `paths` of all leaves; `settings`, with numbers that are
    traced left at fixed values; `devices`.
    """

    objectives: tuple[Objective, ...]
    labels: tuple[tuple[str, str], ...]
    structure: Any
    static: tuple[tuple[int, Any], ...]
    paths: tuple[str, ...]
    settings: TrainingSettings
    devices: tuple[jax.Device, ...]

    def combine(self, trained: dict[str, Any], frozen: dict[str, Any]) -> Any:
        """The model with these arrays."""
        static = dict(self.static)
        leaves = [
            static[i] if i in static else trained[path] if path in trained else frozen[path]
            for i, path in enumerate(self.paths)
        ]
        return jax.tree.unflatten(self.structure, leaves)

    def own_labels(self, objective: Objective) -> dict[str, str]:
        """Path → label of the leaves that an objective moves."""
        return {p: label for p, label in self.labels if objective.moves(label)}

    def optimiser(self, objective: Objective, hyper: Any, step: Any, total: Any) -> optax.GradientTransformation:
        """The optimiser of an objective at a step of its own counting."""
        return make_optimiser(self.settings, self.own_labels(objective), hyper, step, total)

    def share(self, tree: Any, axis: int) -> Any:
        """Splits an axis over the devices."""
        if len(self.devices) == 1:
            return tree
        sharding = NamedSharding(event_mesh(list(self.devices)), P(*[None] * axis, EVENTS))
        return jax.tree.map(lambda a: lax.with_sharding_constraint(a, sharding), tree)

    def replicate(self, tree: Any) -> Any:
        """The same arrays on all devices."""
        if len(self.devices) == 1:
            return tree
        sharding = NamedSharding(event_mesh(list(self.devices)), P())
        return jax.tree.map(lambda a: lax.with_sharding_constraint(a, sharding), tree)


def static_settings(settings: TrainingSettings) -> TrainingSettings:
    """The settings with every number that is traced, or that the compiled program does not know, at a fixed value."""
    optimiser = settings.optimiser
    return dataclasses.replace(
        settings,
        optimiser=optimiser if not hasattr(optimiser, "items") else FrozenMapping(optimiser),
        ema=None if settings.ema is None else 0.5,
        batch_size=1,
        epochs=1,
        steps=None,
        learning_rate=0.0,
        weight_decay=0.0,
        warmup_steps=0,
        final_factor=0.5,
        clip_norm=None,
        patience=None,
        min_improvement=0.0,
        steps_per_call=1,
        devices=None,
        resident_bytes=0,
    )


class FrozenMapping(dict):
    """A dict that is hashed by what it held when it was made."""

    def __hash__(self) -> int:  # type: ignore[override]
        """Of the items."""
        return hash(tuple(sorted((k, id(v) if not isinstance(v, str) else v) for k, v in self.items())))


def initial_state(program: Program, trained: dict[str, Any]) -> dict[str, Any]:
    """The state before the first step: only trained leaves are known to an optimiser."""
    optimisers = []
    for objective in program.objectives:
        own = {path: trained[path] for path in program.own_labels(objective)}
        optimisers.append(program.optimiser(objective, None, 0, 1).init(own))
    return {
        "trained": trained,
        "optimisers": tuple(optimisers),
        "ema": dict(trained) if program.settings.ema is not None else {},
        "step": jnp.zeros((), jnp.int32),
        "halted": jnp.zeros((), bool),
    }


def event_keys(key: Any, epoch: Any, ident: Any) -> Any:
    """The key of each event in an epoch; independent of batch size and devices."""
    return jax.vmap(functools.partial(jax.random.fold_in, jax.random.fold_in(key, epoch)))(ident)


def batch_objective(
    program: Program, objective: Objective, own: dict, trained: dict, frozen: dict, batch: Any, weights: Any, keys: Any
) -> Any:
    """The weighted mean loss of a batch as a function of the leaves `own`; `keys` are (of events, of the step)."""
    model = program.combine(trained | own, frozen)
    if objective.batch_loss:
        return objective.loss(model, batch, weights, keys[1])
    losses = jax.vmap(lambda event, key: objective.loss(model, event, key))(batch, keys[0])
    if losses.ndim != 1:
        raise ValueError(
            f"the loss {objective.name!r} of one event must be a scalar, got shape {losses.shape[1:]}; for a loss of "
            "the batch pass batch_loss=True"
        )
    return jnp.sum(weights.astype(losses.dtype) * losses)


def gather(program: Program, resident: Any, weights: Any, item: Any, mean_weight: Any) -> tuple[Any, Any, Any]:
    """A batch: its rows, its normalised weights, and how many rows are real."""
    index, real = item["index"], item["real"]
    batch = program.share(jax.tree.map(lambda column: column[index], resident), 0)
    count = jnp.sum(real)
    w = jnp.where(real, weights[index], 0) / (jnp.maximum(count, 1) * mean_weight)
    return batch, program.share(w, 0), count


@functools.partial(jax.jit, static_argnames=("program",))
def run_chunk(
    program: Program, state: Any, frozen: Any, resident: Any, weights: Any, items: Any, numbers: Any, key: Any
) -> tuple[Any, dict[str, Any]]:
    """Does the steps of one chunk; after a loss or gradient that is not finite the state stands still.

    `items`: arrays (step, batch) `index` into `resident`, `ident` of the event, `real`, and (step,) `active`.
    `numbers`: `hyper`, `epoch`, `mean_weight`, `totals` (steps of each objective in the whole training).
    """
    hyper, cycle = numbers["hyper"], sum(o.steps for o in program.objectives)

    def one_step(which: int, state: Any, item: Any) -> tuple[Any, Any]:
        objective = program.objectives[which]
        before = sum(o.steps for o in program.objectives[:which])
        count = state["step"] // cycle * objective.steps + state["step"] % cycle - before
        batch, w, real = gather(program, resident, weights, item, numbers["mean_weight"])
        keys = (event_keys(key, numbers["epoch"], item["ident"]), jax.random.fold_in(key, state["step"]))
        own = {path: state["trained"][path] for path in program.own_labels(objective)}
        value, gradient = jax.value_and_grad(functools.partial(batch_objective, program, objective))(
            own, state["trained"], frozen, batch, w, keys
        )
        norm = optax.tree.norm(gradient)
        fine = jnp.isfinite(value) & jnp.isfinite(norm)
        gradient = clip(gradient, norm, hyper["clip_norm"])
        optimiser = program.optimiser(objective, hyper, count, numbers["totals"][which])
        update, memory = optimiser.update(gradient, state["optimisers"][which], own)
        trained = state["trained"] | optax.apply_updates(own, update)
        step = state["step"] + 1
        ema = state["ema"]
        if program.settings.ema is not None:
            share = 1 - jnp.minimum(hyper["ema"], (1.0 + step) / (10.0 + step))
            ema = jax.tree.map(lambda e, t: e + share.astype(e.dtype) * (t - e), ema, trained)
        memories = tuple(memory if i == which else old for i, old in enumerate(state["optimisers"]))
        new = {"trained": trained, "optimisers": memories, "ema": ema, "step": step, "halted": state["halted"]}
        kept = jax.tree.map(lambda a, b: jnp.where(fine, a, b), new, state | {"halted": jnp.ones((), bool)})
        out = {"loss": value, "norm": norm, "count": real, "which": jnp.array(which), "done": jnp.ones((), bool)}
        return kept, {k: v.astype(float) if k in ("loss", "norm") else v for k, v in out.items()}

    def body(state: Any, item: Any) -> tuple[Any, Any]:
        branches = [functools.partial(one_step, which) for which in range(len(program.objectives))]
        turn = jnp.searchsorted(
            jnp.cumsum(jnp.array([o.steps for o in program.objectives])), state["step"] % cycle, side="right"
        )

        def advance(state: Any, item: Any) -> tuple[Any, Any]:
            return branches[0](state, item) if len(branches) == 1 else lax.switch(turn, branches, state, item)

        def skip(state: Any, item: Any) -> tuple[Any, Any]:
            out = jax.eval_shape(branches[0], state, item)[1]
            return state, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), out)

        return lax.cond(item["active"] & ~state["halted"], advance, skip, state, item)

    state, out = lax.scan(body, state, items)
    return program.replicate(state), out


@functools.partial(jax.jit, static_argnames=("program",))
def run_evaluation(
    program: Program, trained: Any, frozen: Any, resident: Any, weights: Any, items: Any, numbers: Any, key: Any
) -> Any:
    """Mean loss of the first objective in each batch, (step,), and the number of rows of each."""

    def body(_: None, item: Any) -> tuple[None, Any]:
        batch, w, count = gather(program, resident, weights, item, numbers["mean_weight"])
        keys = (event_keys(key, numbers["epoch"], item["ident"]), key)
        value = batch_objective(program, program.objectives[0], {}, trained, frozen, batch, w, keys)
        return None, {"loss": jnp.where(count > 0, value, 0).astype(float), "count": count}

    return lax.scan(body, None, items)[1]


def partition(model: Any, labels: list[str | None]) -> tuple[dict, dict, tuple, tuple]:
    """(trained, frozen) arrays by path, the static leaves by position, and (path, label) of the trained ones."""
    flat, _ = jax.tree_util.tree_flatten_with_path(model)
    trained, frozen, static, named = {}, {}, [], []
    for i, ((path, leaf), label) in enumerate(zip(flat, labels, strict=True)):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if not eqx.is_array_like(leaf) or isinstance(leaf, bool | int | float | complex):
            static.append((i, leaf))
        elif label is None:
            frozen[name] = jnp.asarray(leaf)
        else:
            trained[name] = jnp.asarray(leaf)
            named.append((name, label))
    return trained, frozen, tuple(static), tuple(named)


__all__ = [
    "FrozenMapping",
    "Program",
    "batch_objective",
    "event_keys",
    "gather",
    "initial_state",
    "partition",
    "run_chunk",
    "run_evaluation",
    "static_settings",
]
