"""What is optimised: a stochastic function of a design and of noise drawn beforehand, its objectives and budgets."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Key, Noise
from ..noise import normal, uniforms
from .variables import Space, Values, Variable

Simulate = Callable[[dict[str, Array], Noise], Any]
"""One event: (design, noise) → statistics (stat,), or (statistics, weight)."""

Objective = Callable[[Array, dict[str, Array]], Array]
"""(means of the statistics (stat,), design) → a number that shall be small."""


@dataclass(frozen=True)
class Budget:
    r"""A deterministic cost of a design and its limit: \(c(\theta)\le B\), or \(=B\).

    Arguments:
        name: for tables.
        cost: c, a differentiable function of the design (arrays by name).
        limit: B, in the unit of c; not 0 (the violation is measured in units of B).
        exact: the cost shall be B, not just at most B.
        unit: for tables.

    Raises:
        ValueError: a limit that is 0 or not finite.

    >>> depth = Budget("depth", lambda design: design["thickness"].sum(), 250.0, unit="mm")
    >>> depth.limit
    250.0
    """

    name: str
    cost: Callable[[dict[str, Array]], Array]
    limit: float | int
    exact: bool = False
    unit: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit) or self.limit == 0:
            raise ValueError(f"budget {self.name!r}: the limit must be finite and not 0, got {self.limit}")


class Problem:
    r"""Find the design θ that minimises \(L(\theta)=\sum_kw_kO_k(m(\theta),\theta)\) with \(m=E[f(\theta,u)]\).

    f are statistics of one event, O are functions of their expectations: a mean is f itself, a variance is
    \(m_2-m_1^2\), a resolution after the best linear calibration is a function of second moments. The batch estimate
    is L at the batch means: its noise is that of the means, its bias of order one over the batch size. Derivatives go
    along the path and through the weights (`jaxhep.expectation.mean`).

    Arguments:
        variables: the numbers of the design.
        simulate: f, a function of (design, noise) of **one** event: statistics of shape (stat,) (or a scalar), or a
            pair (statistics, weight) where discrete choices carry their derivative in the weight.
        noise: a function of a key that draws the noise of one event, U(0,1) variates.
        objectives: O by name; each a function of (means, design). Default: the one statistic itself.
        weights: w by name, default 1 each.
        budgets: limits on deterministic costs.
        same_as: problems with equal marks (anything hashable) share their compiled programs: whoever gives one vouches
            that they are the same up to the weights. Default: no other problem but `with_weights` of this one.

    Raises:
        ValueError, TypeError: before anything is compiled.

    >>> import jax
    >>> from jaxhep.noise import uniforms
    >>> problem = Problem(
    ...     [Variable("x", 2.0)], lambda design, u: (design["x"] - u) ** 2, lambda key: uniforms(key, ())
    ... )
    >>> problem.objective_names
    ('objective',)
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        simulate: Simulate,
        noise: Callable[[Key], Noise],
        *,
        objectives: Mapping[str, Objective] | None = None,
        weights: Mapping[str, float] | None = None,
        budgets: Sequence[Budget] = (),
        same_as: Hashable | None = None,
    ):
        self.space = Space(variables)
        self.simulate = simulate
        self.noise = noise
        given = {"objective": _the_mean} if objectives is None else dict(objectives)
        if not given:
            raise ValueError("objectives is empty; leave it out to minimise the mean of the one statistic")
        for name, function in given.items():
            if not callable(function):
                raise TypeError(f"objective {name!r} must be a function of (means, design), not {function!r}")
        chosen = dict.fromkeys(given, 1.0) | dict(weights or {})
        unknown = sorted(set(chosen) - set(given))
        if unknown:
            raise ValueError(f"weights for unknown objective(s) {', '.join(unknown)}; there are {', '.join(given)}")
        if not all(math.isfinite(w) for w in chosen.values()):
            raise ValueError(f"weights must be finite, got {chosen}")
        for budget in budgets:
            if not isinstance(budget, Budget):
                raise TypeError(f"budgets are Budget objects, not {type(budget).__name__}")
        self._objectives = given
        # What programs are compiled for: weights are handed to them as numbers.
        self._core: Hashable = object() if same_as is None else same_as
        self.objective_names = tuple(given)
        self.weights = np.array([chosen[name] for name in given], np.float64)
        self.budgets = tuple(budgets)

    def objectives(self, means: Array, design: Values) -> Array:
        """O, shape (objective,), at the means of the statistics, shape (stat,)."""
        named = dict(design)
        return jnp.stack([jnp.reshape(function(means, named), ()) for function in self._objectives.values()])

    def excess(self, design: Values) -> Array:
        """(c − B)/|B| of each budget, shape (budget,)."""
        named = dict(design)
        parts = [jnp.reshape((b.cost(named) - b.limit) / abs(b.limit), ()) for b in self.budgets]
        return jnp.stack(parts) if parts else jnp.zeros(0)

    def event(self, design: Values, noise: Noise) -> tuple[Array, Array]:
        """Statistics (stat,) and weight of one event."""
        answer = self.simulate(dict(design), noise)
        statistics, weight = answer if isinstance(answer, tuple) else (answer, None)
        statistics = jnp.atleast_1d(statistics)
        return statistics, jnp.ones((), statistics.dtype) if weight is None else weight

    def draw(self, key: Key, num_events: int, first: Any = 0) -> Noise:
        """The noise of events first … first + num_events − 1; event i uses `fold_in(key, i)`."""
        numbers = jnp.arange(num_events, dtype=jnp.uint32) + jnp.asarray(first, jnp.uint32)
        return jax.vmap(lambda i: self.noise(jax.random.fold_in(key, i)))(numbers)

    def with_weights(self, weights: Mapping[str, float]) -> "Problem":
        """The same problem with other weights of the objectives; nothing is compiled again for it."""
        named = dict(zip(self.objective_names, self.weights.tolist(), strict=True)) | dict(weights)
        return Problem(
            self.space.variables,
            self.simulate,
            self.noise,
            objectives=self._objectives,
            weights=named,
            budgets=self.budgets,
            same_as=self._core,
        )

    def __hash__(self) -> int:
        return hash(self._core)

    def __eq__(self, other: object) -> bool:
        """Whether compiled programs can be shared: the same problem up to its weights."""
        return isinstance(other, Problem) and other._core == self._core


def _the_mean(means: Array, design: dict[str, Array]) -> Array:
    if means.shape != (1,):
        raise ValueError(
            f"an event has {means.shape[0]} statistics: say with `objectives` which number is made of their means"
        )
    return means[0]


def black_box(problem: Problem, width: float) -> Problem:
    r"""The same problem where the simulator is not differentiated: designs are drawn around θ, and weights do the rest.

    Each event has its own \(u'\sim N(u,\sigma^2)\) in the free coordinates and the weight
    \(\exp(\log p-\mathrm{sg}(\log p))\), so that the derivative of the mean is that of the **smoothed** objective
    \(E_{u'}[f(\theta(u'))]\), with the leave-one-out baseline of `jaxhep.expectation.mean`. For simulators without
    derivatives, and to see what derivatives are worth.

    Arguments:
        problem: any problem.
        width: σ > 0.

    Returns:
        A `Problem` over the same variables.
    """
    if not width > 0:
        raise ValueError(f"width must be above 0, got {width}")
    space = problem.space

    def noise(key: Key) -> Noise:
        first, second = jax.random.split(key)
        return uniforms(first, (space.size,)), problem.noise(second)

    def simulate(design: dict[str, Array], both: Noise) -> tuple[Array, Array]:
        uniform, inner = both
        u = space.internal(design)
        drawn = jax.lax.stop_gradient(normal(uniform, u, width))
        log_density = -jnp.sum((drawn - u) ** 2) / (2 * width**2)
        statistics, weight = problem.event(space.external(drawn), inner)
        return jax.lax.stop_gradient(statistics), weight * jnp.exp(log_density - jax.lax.stop_gradient(log_density))

    named = dict(zip(problem.objective_names, problem.weights.tolist(), strict=True))
    return Problem(
        space.variables, simulate, noise, objectives=problem._objectives, weights=named, budgets=problem.budgets
    )


__all__ = ["Budget", "Problem", "black_box"]
