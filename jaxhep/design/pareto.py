"""Trade-offs: which designs no other one beats, how much they cover, and how the optimum moves with the weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from .._types import Array, Key
from .evaluation import Measured, Sample, batch_objectives
from .optimise import Settings, optimise
from .problem import Problem
from .variables import Values


def non_dominated(points: Any, errors: Any = None, num_sigma: float = 2.0) -> Bool[np.ndarray, " design"]:
    """True for each design that no other one beats in every objective (all shall be small).

    Arguments:
        points: objectives, shape (design, objective).
        errors: their standard errors; with them a design is out only if another is better in one objective by more than
            `num_sigma` combined errors and not worse in any by its value.
        num_sigma: see `errors`.

    Returns:
        A mask, shape (design,).

    >>> non_dominated([[1.0, 3.0], [2.0, 2.0], [3.0, 3.0]]).tolist()
    [True, True, False]
    """
    values = _points(points)
    sigma = np.zeros_like(values) if errors is None else np.asarray(errors, np.float64)
    if sigma.shape != values.shape or np.any(sigma < 0):
        raise ValueError(f"errors must be ≥ 0 and of shape {values.shape}, got shape {sigma.shape}")
    better = np.ones(len(values), bool)
    for i, own in enumerate(values):
        margin = num_sigma * np.hypot(sigma, sigma[i])
        beats = np.all(values <= own, axis=1) & np.any(values < own - margin, axis=1)
        better[i] = not np.any(beats)
    return better


def hypervolume(points: Any, reference: Any) -> float:
    """Volume between a front and a reference point that is worse in every objective: one number for a whole front.

    Arguments:
        points: shape (design, objective); what is not better than the reference counts nothing.
        reference: shape (objective,).

    Returns:
        The volume, in the product of the units. The cost grows fast beyond four objectives or some hundred designs.

    >>> hypervolume([[1.0, 2.0], [2.0, 1.0]], [3.0, 3.0])
    3.0
    """
    values, corner = _points(points), np.asarray(reference, np.float64)
    if corner.shape != values.shape[1:]:
        raise ValueError(f"reference must have {values.shape[1]} entries, got shape {corner.shape}")
    values = values[np.all(values < corner, axis=1)]
    return _volume(values[non_dominated(values)], corner) if len(values) else 0.0


def _volume(values: np.ndarray, corner: np.ndarray) -> float:
    """Slices along the last objective, each of the volume of its points in the others."""
    if len(values) == 0:
        return 0.0
    if values.shape[1] == 1:
        return float(corner[0] - values.min())
    order = np.argsort(values[:, -1], kind="stable")
    total = 0.0
    for rank in range(len(order)):
        low = values[order[rank], -1]
        high = values[order[rank + 1], -1] if rank + 1 < len(order) else corner[-1]
        if high > low:
            slab = values[order[: rank + 1], :-1]
            total += (high - low) * _volume(slab[non_dominated(slab)], corner[:-1])
    return float(total)


def _points(points: Any) -> np.ndarray:
    values = np.asarray(points, np.float64)
    if values.ndim != 2 or values.shape[1] == 0 or not np.all(np.isfinite(values)):
        raise ValueError(f"points must be finite numbers of shape (design, objective), got shape {values.shape}")
    return values


@dataclass(frozen=True)
class FrontPoint:
    """One optimum on a front.

    Arguments:
        weights: it is the optimum for these.
        design: the design.
        measured: its objectives on fresh noise.
        origin: those of the design that the front was begun at, on the same noise.
    """

    weights: Mapping[str, float]
    design: Mapping[str, np.ndarray]
    measured: Measured
    origin: Measured

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        design = {name: np.asarray(value).tolist() for name, value in self.design.items()}
        numbers = {"measured": self.measured.to_dict(), "origin": self.origin.to_dict()}
        return {"weights": dict(self.weights), "design": design, **numbers}


def trace_front(
    problem: Problem,
    key: Key,
    weights: Sequence[Mapping[str, float]],
    settings: Settings | None = None,
    *,
    start: Values | None = None,
    on_point: Callable[[int], None] | None = None,
) -> list[FrontPoint]:
    """Optima for several weights of the objectives, each begun from the one before.

    Arguments:
        problem: with at least two objectives.
        key: decides all noise; every point is measured on the same fresh noise, so that differences along the front are
            known better than the points.
        weights: in the order of the front.
        settings: of each optimisation; its `final_events` are the events of each point.
        start: where the first begins; default the variables' own values.
        on_point: called with the number of points done.

    Returns:
        One `FrontPoint` for each entry of `weights`; `non_dominated` says which of them count.
    """
    settings = Settings() if settings is None else settings
    front: list[FrontPoint] = []
    origin = problem.space.start | dict(start or {})
    for number, chosen in enumerate(weights):
        here = problem.with_weights(chosen)
        found = optimise(here, jax.random.fold_in(key, number), settings, start=start)
        start = found.design
        # Two at a time and in batches of that size, as the optimiser measures: no further program.
        sample = Sample.draw(
            here, [start, origin], jax.random.fold_in(key, 0x7FFFFFFF), settings.final_events,
            batch_size=settings.check_size,
        )  # fmt: skip
        measured = [sample.measured(factors) for factors in ([1.0, 0.0], [0.0, 1.0])]
        named = dict(zip(here.objective_names, here.weights.tolist(), strict=True))
        front.append(FrontPoint(named, found.design, *measured))
        if on_point is not None:
            on_point(number + 1)
    return front


def optimum_slope(
    problem: Problem, design: Values, key: Key, objective: str, *, batch_size: int = 8192
) -> Float[np.ndarray, " free"]:
    r"""How the optimum moves with the weight of one objective: \(d\theta^*/dw_k=-(\nabla^2L)^{-1}\nabla O_k\).

    In the free coordinates u, so that bounds and exact totals hold, and mapped back to θ; `Budget`s are left out.

    Arguments:
        problem: with its weights.
        design: an optimum inside its bounds.
        key: of the noise of one batch.
        objective: name of O_k.
        batch_size: events.

    Returns:
        dθ*/dw_k, shape (free,).

    Raises:
        ValueError: an unknown objective.
    """
    if objective not in problem.objective_names:
        raise ValueError(f"no objective {objective!r}; there are {', '.join(problem.objective_names)}")
    index = problem.objective_names.index(objective)
    u = problem.space.internal(design)

    @jax.jit
    def derivatives(u: Array) -> tuple[Array, Array, Array]:
        noise = problem.draw(key, batch_size)

        def values(at: Array) -> Array:
            return batch_objectives(problem, problem.space.external(at), noise).value

        def total(at: Array) -> Array:
            return jnp.asarray(problem.weights, at.dtype) @ values(at)

        jacobian = jax.jacfwd(lambda at: problem.space.flatten(problem.space.external(at)))(u)
        return jax.hessian(total)(u), jax.grad(lambda at: values(at)[index])(u), jacobian

    hessian, gradient, jacobian = (np.asarray(x, np.float64) for x in derivatives(u))
    # A total leaves one direction of u without effect: the pseudo-inverse does not move along it.
    return jacobian @ (-np.linalg.pinv((hessian + hessian.T) / 2, rcond=1e-6, hermitian=True) @ gradient)


__all__ = ["FrontPoint", "hypervolume", "non_dominated", "optimum_slope", "trace_front"]
