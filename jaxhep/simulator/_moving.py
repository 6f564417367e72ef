"""Moving events to other parameter values with their noise kept."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Noise
from ._base import AbstractSimulator, SimulatorT, check_names, get_parameters, same_structure, with_parameters


def _batched(simulator: AbstractSimulator, noise: Noise) -> int:
    """Number of leading batch axes of the noise: 0 or 1."""
    one = jax.eval_shape(simulator.sample_noise, jax.ShapeDtypeStruct((2,), jnp.uint32))
    mine, theirs = jax.tree.leaves(noise), jax.tree.leaves(one)
    if not same_structure(noise, one) or not mine:
        raise ValueError(
            f"this noise does not belong to the simulator: it wants {jax.tree.structure(one)}, got "
            f"{jax.tree.structure(noise)}; draw it with simulator.sample_noise(key)"
        )
    extra = {m.ndim - t.ndim for m, t in zip(mine, theirs, strict=True)}
    shapes_fit = all(m.shape[m.ndim - t.ndim :] == t.shape for m, t in zip(mine, theirs, strict=True))
    if extra not in ({0}, {1}) or not shapes_fit:
        raise ValueError(
            f"this noise does not fit the simulator: one event needs {[t.shape for t in theirs]}, got "
            f"{[m.shape for m in mine]}; one leading batch axis is allowed"
        )
    return extra.pop()


def move(simulator: SimulatorT, noise: Noise, direction: Mapping[str, Any] | SimulatorT) -> tuple[Any, Any]:
    r"""Events and their derivative along a direction in parameter space.

    Forward mode: with \(x=g(\theta,u)\) and \(w\) the event weight, returns \((x, w)\) and
    \((\partial_\epsilon g(\theta+\epsilon d,u),\ \partial_\epsilon w)\) at fixed noise. An event at θ+εd is then
    \(x+\epsilon\,\partial x\) with weight \(w+\epsilon\,\partial w\), to first order in ε (Nachman & Prestel,
    arXiv:2208.02274).

    **Arguments**

    - `simulator`: the simulator at θ.
    - `noise`: noise of one event, or of a batch with one leading axis.
    - `direction`: d, as a mapping from parameter names to components (`{"lambda_qcd": 1.0}`; the others are zero), or a
      simulator whose leaves are the components.

    **Returns** the event(s), and an `Event` whose floating-point fields are derivatives (its masks, ids and flags are
    those of the event).

    **Raises** `ValueError` for an unknown parameter name or noise of another simulator.

    >>> import jax
    >>> from jaxhep.shower import DiscreteQCD
    >>> from jaxhep.simulator import move
    >>> shower = DiscreteQCD()
    >>> event, derivative = move(shower, shower.sample_noise(jax.random.key(1)), {"lambda_qcd": 1.0})
    >>> event.momenta.shape == derivative.momenta.shape
    True
    """
    batched = _batched(simulator, noise)
    if isinstance(direction, Mapping):
        check_names(simulator, direction)
        zeros = {name: jnp.zeros_like(leaf) for name, leaf in get_parameters(simulator).items()}
        direction = with_parameters(simulator, zeros | dict(direction))
    if not same_structure(direction, simulator):
        raise ValueError("direction must be a mapping of parameter names or a simulator of the same structure")

    def run(sim: SimulatorT) -> Any:
        return jax.vmap(sim)(noise) if batched else sim(noise)

    event, tangent = jax.jvp(run, (simulator,), (direction,))
    # Integer and Boolean fields have no derivative (JAX gives them the type float0).
    derivative = jax.tree.map(lambda x, dx: x if dx.dtype == jax.dtypes.float0 else dx, event, tangent)
    return event, derivative


def moved(simulator: SimulatorT, noise: Noise, values: Mapping[str, Any]) -> Any:
    r"""The same events at other parameter values, exactly.

    Continuous quantities are recomputed at the new values with the same noise; discrete choices stay as they were, and
    the weight is \(\prod p_k(\theta')/p_k(\theta)\), so that \(\langle w f\rangle\) is the expectation at θ′. A branch
    that
    is closed at θ and open at θ′ cannot be reached; in the smooth shower its probability vanishes quadratically with
    the
    step.

    **Arguments** as for `move`; `values` maps parameter names to their new values.

    **Returns** the event(s) at the new values. The derivative with respect to `values` is that of the true expectation.
    """
    batched = _batched(simulator, noise)
    new = with_parameters(simulator, values)

    def run(one: Noise) -> Any:
        return new(one, reference=simulator)

    return jax.vmap(run)(noise) if batched else run(noise)
