"""Objectives of designs with their errors, and differences of designs on the same noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._types import Array, Key, Noise
from ..expectation import Estimate, mean
from .problem import Problem
from .variables import Values


def batch_objectives(problem: Problem, design: Values, noise: Noise) -> Estimate:
    r"""Objectives and errors on one batch; differentiable in the design, traced as part of larger programs.

    The error is that of the linearised objective: with \(s=\partial O/\partial m\),
    \(\sigma^2=\sum_i[w_is\cdot(f_i-m)]^2/(\sum w)^2\). It carries no derivative.

    Arguments:
        problem: what is optimised.
        design: arrays by name.
        noise: of a batch, as from `problem.draw`.

    Returns:
        An `Estimate` with shape (objective,).
    """
    statistics, weights = jax.vmap(lambda u: problem.event(design, u))(noise)
    means = mean(statistics, weights).value
    value = problem.objectives(means, design)
    fixed_design = jax.lax.stop_gradient(dict(design))
    fixed = jax.lax.stop_gradient(means)
    slopes = jax.jacrev(problem.objectives)(fixed, fixed_design)
    spread = jax.lax.stop_gradient(weights[:, None] * (statistics - fixed)) @ slopes.T
    return Estimate(value, jnp.sqrt(jnp.sum(spread**2, axis=0)) / jax.lax.stop_gradient(jnp.sum(weights)))


@dataclass(frozen=True)
class Measured:
    r"""A design's objective, or a difference of two, on fresh noise.

    Arguments:
        total: \(\\sum_kw_kO_k\) and its standard error.
        objectives: each O and its standard error, by name.
        num_events: how many events they rest on.
    """

    total: tuple[float, float]
    objectives: dict[str, tuple[float, float]]
    num_events: int

    @property
    def value(self) -> float:
        """The weighted sum."""
        return self.total[0]

    @property
    def error(self) -> float:
        """Its standard error."""
        return self.total[1]

    def __repr__(self) -> str:
        return f"Measured({self.value:.6g} ± {self.error:.2g}, {self.num_events} events)"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        named = {name: {"value": v, "error": e} for name, (v, e) in self.objectives.items()}
        return {"value": self.value, "error": self.error, "objectives": named, "num_events": self.num_events}


@partial(jax.jit, static_argnames=("problem", "size"))
def _moments(
    problem: Problem, designs: tuple[dict[str, Array], ...], key: Key, first: Array, size: int
) -> tuple[Array, Array]:
    """Mean and covariance (times size) of the statistics of several designs side by side on the same noise."""
    noise = problem.draw(key, size, first)

    def one(u: Noise) -> Array:
        return jnp.concatenate([jnp.multiply(*problem.event(design, u)) for design in designs])

    rows = jax.vmap(one)(noise)
    centre = jnp.mean(rows, axis=0)
    return centre, (rows - centre).T @ (rows - centre)


def means_and_covariance(
    problem: Problem,
    designs: Sequence[Values],
    key: Key,
    num_events: int,
    batch_size: int = 4096,
    on_events: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Means of the statistics of all designs on the same noise, the covariance of these means, and the event count."""
    if num_events < 2:
        raise ValueError(f"an estimate with an error needs at least 2 events, got {num_events}")
    size = min(batch_size, num_events)
    rounds = -(-num_events // size)
    given = tuple({name: jnp.asarray(v, float) for name, v in design.items()} for design in designs)
    centres, within = [], 0.0
    for i in range(rounds):
        part, products = _moments(problem, given, key, jnp.asarray(i * size, jnp.uint32), size)
        centres.append(np.asarray(part, np.float64))
        within = within + np.asarray(products, np.float64)
        if on_events is not None:
            on_events((i + 1) * size)
    count = rounds * size
    means = np.mean(centres, axis=0)
    between = np.array(centres) - means
    return means, (within + size * between.T @ between) / (count * (count - 1)), count


def evaluate(
    problem: Problem,
    design: Values,
    key: Key,
    num_events: int,
    *,
    batch_size: int = 4096,
    on_events: Callable[[int], None] | None = None,
) -> Measured:
    """Objectives of a design on fresh noise, with errors, in batches of bounded memory.

    Arguments:
        problem: what is optimised.
        design: arrays by name, as in `problem.space.start`.
        key: not one that the optimiser used.
        num_events: rounded up to whole batches.
        batch_size: events in memory at once.
        on_events: called with the number of events done.

    Returns:
        `Measured`.

    Raises:
        ValueError: fewer than 2 events.
    """
    means, covariance, count = means_and_covariance(problem, [design], key, num_events, batch_size, on_events)
    value, slope = linearised(problem, means, design)
    return _measured(problem, value, slope, covariance, count)


def compare(
    problem: Problem,
    first: Values,
    second: Values,
    key: Key,
    num_events: int,
    *,
    batch_size: int = 4096,
    on_events: Callable[[int], None] | None = None,
) -> Measured:
    r"""\(O(\theta_1)-O(\theta_2)\) on the same noise: the common fluctuation cancels. Arguments as for `evaluate`."""
    means, covariance, count = means_and_covariance(problem, [first, second], key, num_events, batch_size, on_events)
    half = means.size // 2
    value_1, slope_1 = linearised(problem, means[:half], first)
    value_2, slope_2 = linearised(problem, means[half:], second)
    return _measured(problem, value_1 - value_2, np.concatenate([slope_1, -slope_2], axis=1), covariance, count)


def _measured(problem: Problem, value: np.ndarray, slope: np.ndarray, covariance: np.ndarray, count: int) -> Measured:
    value = np.append(value, problem.weights @ value)
    slope = np.concatenate([slope, (problem.weights @ slope)[None]])
    error = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", slope, covariance, slope), 0.0))
    pairs = [(float(v), float(e)) for v, e in zip(value, error, strict=True)]
    return Measured(pairs[-1], dict(zip(problem.objective_names, pairs[:-1], strict=True)), count)


def linearised(problem: Problem, means: np.ndarray, design: Values) -> tuple[np.ndarray, np.ndarray]:
    """Objectives at the means, shape (objective,), and their slopes (objective, stat), in float64."""
    with jax.enable_x64(True):
        exact = {name: jnp.asarray(np.asarray(value), jnp.float64) for name, value in design.items()}
        value, slope = _value_and_slope(problem, jnp.asarray(means, jnp.float64), exact)
        return np.asarray(value), np.asarray(slope)


@partial(jax.jit, static_argnames=("problem",))
def _value_and_slope(problem: Problem, means: Float[Array, " stat"], design: dict[str, Array]) -> tuple[Array, Array]:
    return problem.objectives(means, design), jax.jacrev(problem.objectives)(means, design)


__all__ = ["Measured", "batch_objectives", "compare", "evaluate", "linearised", "means_and_covariance"]
