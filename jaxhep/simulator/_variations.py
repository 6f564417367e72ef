"""One sample of events with its weights at other parameter values."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Array, Key
from ._base import AbstractSimulator, check_names, get_parameters, with_parameters
from ._generate import generate


def generate_variations(
    simulator: AbstractSimulator,
    key: Key,
    num_events: int,
    variations: Mapping[str, Mapping[str, Any]],
    *,
    observables: Mapping[str, Callable[[Array, Array], Array]],
    chunk_size: int | None = None,
    first_event: int = 0,
    on_chunk: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    r"""Events of a simulator, and the weights with which the same events are a sample at other parameter values.

    \(w_v=\prod_kp_k(\theta_v)/p_k(\theta)\) over all discrete choices, exactly, so that \(\langle w_vf\rangle/\langle
    w_v\rangle\) is the expectation at \(\theta_v\). Momenta must not depend on what is varied: α_s and the scale factor
    of a `DipoleShower` with `gradient="weight"`. The weights are found together, which costs about as much as the
    events themselves (two such showers, a little more for each variation), and the observables are computed once.

    **Arguments**

    - `simulator`, `key`, `num_events`, `chunk_size`, `first_event`, `on_chunk`: as for `generate`.
    - `variations`: name → parameter values by name, e.g. `{"f = 2": {"scale_factor": 2.0}}`.
    - `observables`: names and functions of (momenta, mask).

    **Returns** a dict of arrays with leading axis event: the observables, `"weight"` and `"overflow"`, and under
    `"weights"` a dict with the weight of each variation. How much a weight is worth is
    \((\sum w)^2/\sum w^2\), see `expectation.band`.

    **Raises** `ValueError` for no variation, an unknown parameter, or one that moves the momenta.

    >>> import jax
    >>> from jaxhep.observables import one_minus_thrust
    >>> from jaxhep.shower import DipoleShower
    >>> from jaxhep.simulator import generate_variations
    >>> shower = DipoleShower(cutoff=10.0, capacity=4, trials=8)
    >>> sample = generate_variations(
    ...     shower, jax.random.key(0), 64, {"up": {"alpha_s": 0.12}}, observables={"tau": one_minus_thrust}
    ... )
    >>> sample["weights"]["up"].shape
    (64,)
    """
    if not variations:
        raise ValueError('variations is empty; name at least one, e.g. {"f = 2": {"scale_factor": 2.0}}')
    for values in variations.values():
        check_names(simulator, values)
    changed = sorted({name for values in variations.values() for name in values})
    taken = {"weight", "weights", "overflow"} & set(observables)
    if taken:
        raise ValueError(
            f"the name {sorted(taken)[0]!r} is that of a part of the result; call the observable otherwise"
        )
    own = {name: get_parameters(simulator)[name] for name in changed}
    # The events' own values come first: their weight is that of the sample.
    rows = [own, *({**own, **values} for values in variations.values())]
    stacked = {name: jnp.stack([jnp.asarray(row[name], own[name].dtype) for row in rows]) for name in changed}

    def run(values: dict[str, Array], count: int, report: Callable[[int], None] | None) -> Any:
        events = generate(
            with_parameters(simulator, values),
            key,
            count,
            observables=observables,
            reference=simulator,
            chunk_size=chunk_size,
            first_event=first_event,
            on_chunk=report,
        )
        return {name: events.pop(name) for name in ("weight", "overflow")}, events

    try:
        jax.eval_shape(jax.vmap(lambda values: run(values, 1, None), out_axes=(0, None)), stacked)
    except ValueError as error:
        raise ValueError(
            f"{' and '.join(changed)}: events move with what is varied, so that weights are not all; "
            'vary alpha_s and scale_factor of a DipoleShower with gradient="weight", or use generate(..., reference=)'
        ) from error
    found, events = jax.vmap(lambda values: run(values, num_events, on_chunk), out_axes=(0, None))(stacked)
    weights = dict(zip(variations, found["weight"][1:], strict=True))
    return {**events, "weight": found["weight"][0], "overflow": jnp.any(found["overflow"], axis=0), "weights": weights}


__all__ = ["generate_variations"]
