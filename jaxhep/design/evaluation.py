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
def _moments(problem: Problem, designs: dict[str, Array], key: Key, first: Array, size: int) -> tuple[Array, Array]:
    """Mean and covariance (times size) of the statistics of several designs side by side on the same noise; the designs
    lie along the leading axis of every array, so that several need no larger program than one."""
    noise = problem.draw(key, size, first)

    def one(design: dict[str, Array], u: Noise) -> Array:
        return jnp.multiply(*problem.event(design, u))

    rows = jax.vmap(lambda u: jax.vmap(one, (0, None))(designs, u).reshape(-1))(noise)
    centre = jnp.mean(rows, axis=0)
    return centre, (rows - centre).T @ (rows - centre)


@dataclass(frozen=True, eq=False)
class Sample:
    """Several designs on the same events: what any sum and difference of their objectives is, with errors.

    Arguments:
        problem: whose objectives.
        values: objectives of each design, shape (design, objective).
        slopes: their derivatives with respect to the means of the statistics, shape (design, objective, stat).
        covariance: of the means of all designs, shape (design·stat, design·stat).
        num_events: how many events they rest on.
    """

    problem: Problem
    values: np.ndarray
    slopes: np.ndarray
    covariance: np.ndarray
    num_events: int

    @classmethod
    def draw(
        cls,
        problem: Problem,
        designs: Sequence[Values],
        key: Key,
        num_events: int,
        *,
        batch_size: int = 4096,
        on_events: Callable[[int], None] | None = None,
    ) -> "Sample":
        """Simulates; arguments as for `evaluate`.

        Raises:
            ValueError: fewer than 2 events.
        """
        if num_events < 2:
            raise ValueError(f"an estimate with an error needs at least 2 events, got {num_events}")
        size = min(batch_size, num_events)
        rounds = -(-num_events // size)
        given = {
            name: jnp.stack([jnp.asarray(design[name], float) for design in designs]) for name in problem.space.start
        }
        centres = []
        within: Any = 0.0
        for i in range(rounds):
            part, products = _moments(problem, given, key, jnp.asarray(i * size, jnp.uint32), size)
            centres.append(np.asarray(part, np.float64))
            within = within + np.asarray(products, np.float64)
            if on_events is not None:
                on_events((i + 1) * size)
        count = rounds * size
        means = np.mean(centres, axis=0)
        between = np.array(centres) - means
        covariance = (within + size * between.T @ between) / (count * (count - 1))
        rows = means.reshape(len(designs), -1)
        linear = [_linearised(problem, row, design) for row, design in zip(rows, designs, strict=True)]
        return cls(problem, np.stack([v for v, _ in linear]), np.stack([s for _, s in linear]), covariance, count)

    def measured(self, factors: Sequence[float]) -> Measured:
        """The sum of the designs' objectives times `factors`, one a design: [1, −1] is their difference, paired."""
        share = np.asarray(factors, np.float64)
        value = share @ self.values
        slope = np.concatenate(list(share[:, None, None] * self.slopes), axis=1)
        weights = self.problem.weights
        value = np.append(value, weights @ value)
        slope = np.concatenate([slope, (weights @ slope)[None]])
        error = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", slope, self.covariance, slope), 0.0))
        pairs = [(float(v), float(e)) for v, e in zip(value, error, strict=True)]
        return Measured(pairs[-1], dict(zip(self.problem.objective_names, pairs[:-1], strict=True)), self.num_events)


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
    return Sample.draw(problem, [design], key, num_events, batch_size=batch_size, on_events=on_events).measured([1.0])


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
    sample = Sample.draw(problem, [first, second], key, num_events, batch_size=batch_size, on_events=on_events)
    return sample.measured([1.0, -1.0])


def _linearised(problem: Problem, means: np.ndarray, design: Values) -> tuple[np.ndarray, np.ndarray]:
    """Objectives at the means, shape (objective,), and their slopes (objective, stat), in float64."""
    with jax.enable_x64(True):
        exact = {name: jnp.asarray(np.asarray(value), jnp.float64) for name, value in design.items()}
        value, slope = _value_and_slope(problem, jnp.asarray(means, jnp.float64), exact)
        return np.asarray(value), np.asarray(slope)


@partial(jax.jit, static_argnames=("problem",))
def _value_and_slope(problem: Problem, means: Float[Array, " stat"], design: dict[str, Array]) -> tuple[Array, Array]:
    return problem.objectives(means, design), jax.jacrev(problem.objectives)(means, design)


__all__ = ["Measured", "Sample", "batch_objectives", "compare", "evaluate"]
