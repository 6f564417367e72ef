"""Gradient descent on designs: restarts side by side, budgets, a test for the end, and a state that can be resumed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Key, Noise
from ..expectation import mean
from .evaluation import Sample
from .lagrangian import FEASIBLE, feasible, penalty, updated, violation
from .prices import Multipliers, least_squares_multipliers
from .problem import Problem
from .result import DesignResult, Spent
from .state import CheckpointError, fingerprint, load, save
from .variables import Values

_BLOCKS = 8
_FINAL, _CHECK, _PRICE = 0x7FFFFFFF, 0x7FFFFFFE, 0x7FFFFFFA
"""Numbers of the keys of the reported values, of the tests for the end, and of the prices; steps count from 0."""
_PRICE_BATCHES = 24
"""Gradients that the prices rest on, at least."""
_NEAR = 0.1
"""A limit has a price where the cost is within this share of it: noise lets a flat objective stray below a budget."""


@dataclass(frozen=True)
class Settings:
    """How to optimise.

    Arguments:
        num_steps: at most; rounded up to a multiple of `check_every`.
        batch_size: events of one step, the same for all restarts; at least 2.
        learning_rate: of Adam in the free coordinates u, falling along a cosine to a fiftieth.
        restarts: starts; the first is the given design, the others are random.
        check_every: steps between two tests for the end (and two updates of the multipliers, and two checkpoints).
        check_size: events of a test.
        num_sigma: a gain below so many standard errors counts as none.
        min_gain: a gain below this counts as none, whatever its error.
        patience: so many tests in a row without a gain over the last design that had one, in every restart, end the
            optimisation.
        final_events: events of each reported number, on fresh noise.

    Raises:
        ValueError: a number out of range.
    """

    num_steps: int = 400
    batch_size: int = 1024
    learning_rate: float = 0.05
    restarts: int = 1
    check_every: int = 25
    check_size: int = 1024
    num_sigma: float = 2.0
    min_gain: float = 0.0
    patience: int = 2
    final_events: int = 16_384

    def __post_init__(self) -> None:
        least = {"num_steps": 1, "batch_size": 2, "restarts": 1, "check_every": 1, "check_size": 2, "patience": 1}
        for name, bound in (least | {"final_events": 2}).items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be at least {bound}, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")


class Progress(NamedTuple):
    """What the progress callback is told after each chunk of steps."""

    step: int
    num_steps: int
    objective: float
    error: float
    violation: float


class _State(NamedTuple):
    """Of all restarts (leading axis), but for the counters."""

    internal: Array
    optimiser: Any
    multipliers: Array
    stiffness: Array
    checked: Array
    worst: Array
    calm: Array
    step: Array


class _Record(NamedTuple):
    """Of each step and restart."""

    theta: Array
    objective: Array
    error: Array
    gradient_norm: Array
    signal_to_noise: Array
    excess: Array
    gradient: Array


def _value(
    problem: Problem,
    share: Array,
    blocks: Array,
    internal: Array,
    noise: Noise,
    multipliers: Array,
    stiffness: Array,
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Augmented objective of one restart with weights `share`; `blocks` are copies of `internal`, one for each block of
    the batch, so that one backward pass gives the gradient of every block, and so its error."""
    designs = jax.vmap(problem.space.external)(blocks)
    statistics, weights = jax.vmap(lambda d, part: jax.vmap(lambda u: problem.event(d, u))(part))(designs, noise)
    means = jnp.mean(jax.vmap(lambda s, w: mean(s, w).value)(statistics, weights), axis=0)
    design = problem.space.external(internal)

    def total(at: Array) -> Array:
        return share @ problem.objectives(at, design)

    value = total(means)
    fixed = jax.lax.stop_gradient(means)
    slope = jax.lax.stop_gradient(jax.grad(total)(fixed))
    spread = jax.lax.stop_gradient(weights * ((statistics - fixed) @ slope))
    error = jnp.sqrt(jnp.sum(spread**2)) / jax.lax.stop_gradient(jnp.sum(weights))
    excess = problem.excess(design)
    return value + penalty(problem, excess, multipliers, stiffness), (value, error, excess)


class _Sizes(NamedTuple):
    """What a program is compiled for."""

    batch_size: int
    check_every: int


class _Knobs(NamedTuple):
    """What a program is told as numbers, so that other settings need no other program."""

    share: Array
    learning_rate: Array
    num_steps: Array


@partial(jax.jit, static_argnames=("problem", "sizes"))
def _chunk(problem: Problem, sizes: _Sizes, knobs: _Knobs, state: _State, key: Key) -> tuple[_State, _Record]:
    """`check_every` steps of all restarts and the new multipliers."""
    import optax

    optimiser = optax.scale_by_adam()
    share = knobs.share
    blocks = _BLOCKS if sizes.batch_size % _BLOCKS == 0 and sizes.batch_size >= 8 * _BLOCKS else 1

    def step(carry: tuple, _: None) -> tuple[tuple, _Record]:
        internal, inner, number = carry
        noise = problem.draw(jax.random.fold_in(key, number), sizes.batch_size)
        noise = jax.tree.map(lambda x: x.reshape(blocks, -1, *x.shape[1:]), noise)

        part = jnp.minimum(number / knobs.num_steps, 1.0)
        rate = knobs.learning_rate * (0.02 + 0.49 * (1 + jnp.cos(jnp.pi * part)))

        def one(u: Array, inside: Any, multipliers: Array, stiffness: Array) -> tuple[Array, Any, _Record]:
            copies = jnp.broadcast_to(u, (blocks, u.size))
            function = jax.value_and_grad(partial(_value, problem, share), argnums=(0, 1), has_aux=True)
            (_, (value, error, excess)), (parts, direct) = function(copies, u, noise, multipliers, stiffness)
            gradient = jnp.sum(parts, axis=0) + direct
            norm = jnp.sqrt(jnp.sum(gradient**2))
            scatter = jnp.sum((blocks * parts - jnp.sum(parts, axis=0)) ** 2) / max(blocks * (blocks - 1), 1)
            ratio = norm / jnp.sqrt(scatter) if blocks > 1 else jnp.full_like(norm, jnp.nan)
            change, inside = optimiser.update(gradient, inside, u)
            theta = problem.space.flatten(problem.space.external(u))
            return (
                (u - rate * change).astype(u.dtype),
                inside,
                _Record(theta, value, error, norm, ratio, excess, gradient),
            )

        internal, inner, record = jax.vmap(one)(internal, inner, state.multipliers, state.stiffness)
        return (internal, inner, number + 1), record

    begin = (state.internal, state.optimiser, state.step)
    (internal, inner, number), records = jax.lax.scan(step, begin, None, length=sizes.check_every)
    excess = jax.vmap(lambda u: problem.excess(problem.space.external(u)))(internal)
    missed = jax.vmap(partial(violation, problem))(excess)
    worst = jnp.max(missed, axis=1, initial=0.0)
    multipliers = jax.vmap(partial(updated, problem))(excess, state.multipliers, state.stiffness)
    # Stiffer where a budget is missed and does not come nearer.
    stiffness = jnp.where((worst > FEASIBLE) & (worst > state.worst / 2), 2 * state.stiffness, state.stiffness)

    return _State(internal, inner, multipliers, stiffness, state.checked, worst, state.calm, number), records


def _test(problem: Problem, settings: Settings, state: _State, key: Key) -> tuple[_State, list[tuple[float, float]]]:
    """Whether anything is gained over the last design that had a gain, on the same fresh noise; and the values now.

    Over that design, not the one of the last test: many small gains are a gain.
    """
    fresh = jax.random.fold_in(jax.random.fold_in(key, _CHECK), state.step)
    settled, now, checked = True, [], []
    for before, after, worst in zip(state.checked, state.internal, state.worst, strict=True):
        designs = [problem.space.external(u) for u in (before, after)]
        sample = Sample.draw(problem, designs, fresh, settings.check_size, batch_size=settings.check_size)
        gain = sample.measured([1.0, -1.0])
        gained = gain.value > max(settings.num_sigma * gain.error, settings.min_gain)
        feasible_now = float(worst) <= FEASIBLE
        settled = settled and not gained and feasible_now
        # What misses a budget is no mark for those that keep it.
        checked.append(after if gained or not feasible_now else before)
        now.append(sample.measured([0.0, 1.0]).total)
    calm = jnp.where(settled, state.calm + 1, 0)
    return state._replace(checked=jnp.stack(checked), calm=calm), now


def _starts(problem: Problem, key: Key, settings: Settings, start: Values | None) -> list[dict[str, np.ndarray]]:
    given = problem.space.start | {k: np.asarray(v, np.float64) for k, v in (start or {}).items()}
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    designs = [given] + [problem.space.random(rng) for _ in range(settings.restarts - 1)]
    return [feasible(problem, design) for design in designs]


def optimise(
    problem: Problem,
    key: Key,
    settings: Settings | None = None,
    *,
    start: Values | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> DesignResult:
    """Minimises the objective of a design by gradients, under its budgets.

    Every step draws fresh noise, the same for all restarts; every reported number and every test for the end has noise
    of its own. The best restart is chosen on one sample and measured on another: the choice does not flatter it.

    Arguments:
        problem: what is minimised.
        key: decides all noise and the random starts: the same key gives the same trajectory, bit for bit.
        settings: see `Settings`.
        start: where to begin instead of at the variables' own values.
        checkpoint: a file for the state, written after every `check_every` steps.
        resume: go on from the checkpoint; the trajectory is that of a run without interruption.
        on_progress: called with a `Progress` after every `check_every` steps.

    Returns:
        `DesignResult`.

    Raises:
        InfeasibleError: no design meets the budgets.
        CheckpointError: the checkpoint exists and `resume` is off, or it is of another problem, or damaged.
        FloatingPointError: the objective or its gradient is no finite number.

    >>> import jax
    >>> from jaxhep.design import Problem, Settings, Variable
    >>> from jaxhep.noise import uniforms
    >>> problem = Problem([Variable("x", 2.0)], lambda design, u: (design["x"] - u) ** 2, lambda k: uniforms(k, ()))
    >>> result = optimise(problem, jax.random.key(0), Settings(num_steps=100, batch_size=256, learning_rate=0.1))
    >>> abs(float(result.design["x"]) - 0.5) < 0.05
    True
    """
    import optax

    settings = Settings() if settings is None else settings
    if checkpoint is not None and checkpoint.exists() and not resume:
        raise CheckpointError(f"{checkpoint} exists; go on from it with resume=True, or choose another file")
    begin = time.perf_counter()
    starts = _starts(problem, key, settings, start)
    space = problem.space
    internal = jnp.stack([space.internal(design) for design in starts])
    mark = fingerprint(_describe(problem, key, settings, starts, str(internal.dtype)))
    size = settings.check_size
    # Always two designs at a time: one program for every number outside of the steps.
    pair = Sample.draw(problem, [starts[0]] * 2, jax.random.fold_in(key, _FINAL - 2), size, batch_size=size)
    first = pair.measured([1.0, 0.0])
    scale = max(abs(first.value), first.error, 1e-30)
    count = len(problem.budgets)
    state = _State(
        internal,
        jax.vmap(optax.scale_by_adam().init)(internal),
        jnp.zeros((settings.restarts, count), internal.dtype),
        jnp.full(settings.restarts, 10 * scale, internal.dtype),
        internal,
        jnp.full(settings.restarts, jnp.inf, internal.dtype),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), jnp.uint32),
    )
    numbers = (problem.weights, settings.learning_rate, settings.num_steps)
    knobs = _Knobs(*(jnp.asarray(x, internal.dtype) for x in numbers))
    sizes = _Sizes(settings.batch_size, settings.check_every)
    shape = (0, settings.restarts)
    empty = np.zeros(shape)
    wide = np.zeros((*shape, space.size))
    record = _Record(wide, empty, empty, empty, empty, np.zeros((*shape, count)), wide)  # type: ignore[arg-type]
    if resume and checkpoint is not None:
        state, record = load(checkpoint, (state, record), mark)
        state = jax.tree.map(jnp.asarray, state)
    total = -(-settings.num_steps // settings.check_every) * settings.check_every
    reason = f"the last of {total} steps"
    try:
        while int(state.step) < total:
            if int(state.calm) >= settings.patience:
                reason = f"no gain above {settings.num_sigma:g} standard errors in {settings.patience} tests"
                break
            state, steps = _chunk(problem, sizes, knobs, state, key)
            record = jax.tree.map(lambda old, new: np.concatenate([old, np.asarray(new)]), record, steps)
            _check_finite(space.labels, record, steps)
            state, now = _test(problem, settings, state, key)
            if checkpoint is not None:
                save(checkpoint, (state, record), mark)
            if on_progress is not None:
                best = min(range(len(now)), key=lambda k: now[k][0])
                on_progress(Progress(int(state.step), total, *now[best], float(state.worst[best])))
    except KeyboardInterrupt as interrupt:
        if checkpoint is not None:
            interrupt.add_note(f"{int(state.step)} of {total} steps are in {checkpoint}; go on from it with resume")
        raise
    return _finish(problem, key, settings, knobs, starts, state, record, reason, begin)


def _describe(problem: Problem, key: Key, settings: Settings, starts: Sequence[Values], dtype: str) -> dict[str, Any]:
    return {
        "labels": problem.space.labels,
        "objectives": problem.objective_names,
        "weights": problem.weights.tolist(),
        "budgets": [[b.name, b.limit, b.exact] for b in problem.budgets],
        "settings": asdict(settings),
        "starts": [{name: np.asarray(v).tolist() for name, v in design.items()} for design in starts],
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "dtype": dtype,
    }


def _check_finite(labels: tuple[str, ...], record: _Record, last: _Record) -> None:
    good = np.isfinite(np.asarray(last.objective)) & np.isfinite(np.asarray(last.gradient_norm))
    if good.all():
        return
    step, restart = (int(i[0]) for i in np.nonzero(~good))
    at = len(record.objective) - len(good) + step
    theta = ", ".join(f"{n} = {x:.6g}" for n, x in zip(labels, record.theta[at, restart], strict=True))
    raise FloatingPointError(
        f"the objective or its gradient is not finite at step {at}, restart {restart}: {theta}; narrow the bounds to "
        "where the simulator is valid, or look for a division by zero or a root of zero in it"
    )


def _multipliers(
    problem: Problem, settings: Settings, knobs: _Knobs, state: _State, best: int, key: Key
) -> Multipliers:
    """The multipliers at the end of the restart `best`. Those of the steps follow the noise of the last batches; these
    rest on gradients from fresh ones. The program is that of the steps, which stands still at a learning rate of 0 and
    sees no budgets at a stiffness of next to 0."""
    if not problem.budgets:
        return Multipliers(np.zeros(0), np.zeros(0), 0.0)
    sizes = _Sizes(settings.batch_size, settings.check_every)
    none, soft = jnp.zeros_like(state.multipliers), jnp.full_like(state.stiffness, 1e-6)
    number = jnp.zeros_like(state.step)
    at_rest = knobs._replace(learning_rate=jnp.zeros_like(knobs.learning_rate))
    parts: list[np.ndarray] = []
    while sum(len(part) for part in parts) < _PRICE_BATCHES:
        still = state._replace(multipliers=none, stiffness=soft, step=number)
        after, record = _chunk(problem, sizes, at_rest, still, key)
        number = after.step
        parts.append(np.asarray(record.gradient[:, best], np.float64))
    slopes = jax.jit(jax.jacrev(lambda u: problem.excess(problem.space.external(u))))(state.internal[best])
    exact = np.array([budget.exact for budget in problem.budgets])
    last = np.asarray(problem.excess(problem.space.external(state.internal[best])))
    return least_squares_multipliers(np.concatenate(parts), np.asarray(slopes, np.float64), exact | (last > -_NEAR))


def _finish(
    problem: Problem,
    key: Key,
    settings: Settings,
    knobs: _Knobs,
    starts: list[dict[str, np.ndarray]],
    state: _State,
    record: _Record,
    reason: str,
    begin: float,
) -> DesignResult:
    ends = [jax.tree.map(lambda x: np.asarray(x, np.float64), problem.space.external(u)) for u in state.internal]
    choice_key, final_key = jax.random.fold_in(key, _FINAL - 1), jax.random.fold_in(key, _FINAL)
    size = settings.check_size
    trials = [
        Sample.draw(problem, [starts[0], end], choice_key, size, batch_size=size).measured([0.0, 1.0]) for end in ends
    ]
    met = np.asarray(state.worst) <= 10 * FEASIBLE
    values = np.array([trial.value for trial in trials])
    best = int(np.argmin(np.where(met | ~met.any(), values, np.inf)))
    both = Sample.draw(problem, [starts[0], ends[best]], final_key, settings.final_events, batch_size=size)
    final, gain = both.measured([0.0, 1.0]), both.measured([1.0, -1.0])
    steps = len(record.objective)
    checks = steps // settings.check_every
    spent = []
    named = {name: jnp.asarray(value, float) for name, value in ends[best].items()}
    multipliers = _multipliers(problem, settings, knobs, state, best, jax.random.fold_in(key, _PRICE))
    for k, budget in enumerate(problem.budgets):
        limit = abs(budget.limit)
        price, error = float(multipliers.value[k]) / limit, float(multipliers.error[k]) / limit
        cost = float(budget.cost(named))
        spent.append(Spent(budget.name, cost, float(budget.limit), budget.exact, price, error, budget.unit))
    return DesignResult(
        labels=problem.space.labels,
        units=tuple(v.unit for v, m in zip(problem.space.variables, problem.space.masks, strict=True)
                    for _ in range(int(m.sum()))),
        design=ends[best],
        start=starts[0],
        objective=final,
        gain=gain,
        restart_objectives=tuple(trial.total for trial in trials),
        best_restart=best,
        budgets=tuple(spent),
        trajectory={name: np.asarray(value) for name, value in record._asdict().items()},
        reason=reason,
        calls=settings.restarts * (steps * settings.batch_size + 2 * checks * settings.check_size),
        seconds=time.perf_counter() - begin,
    )  # fmt: skip


__all__ = ["Progress", "Settings", "optimise"]
