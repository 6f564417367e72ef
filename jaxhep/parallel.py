"""Sharding the event axis over devices."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

EVENTS = "events"
"""Name of the mesh axis over which events are spread."""


def event_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh over the devices (default: all of them), whose axis is called `events`.

    >>> from jaxhep.parallel import event_mesh
    >>> event_mesh().axis_names
    ('events',)
    """
    devices = jax.devices() if devices is None else list(devices)
    if not devices:
        raise ValueError("event_mesh needs at least one device; jax.devices() lists those there are")
    return Mesh(np.array(devices), (EVENTS,), axis_types=(AxisType.Auto,))


def shard_events(tree: Any, mesh: Mesh) -> Any:
    """Places a pytree of arrays with a leading event axis on the devices of the mesh, split along that axis.

    **Raises** `ValueError` if the number of events is not a multiple of the number of devices.
    """
    count = mesh.devices.size
    for leaf in jax.tree.leaves(tree):
        if leaf.ndim == 0 or leaf.shape[0] % count:
            raise ValueError(
                f"an array of shape {leaf.shape} cannot be split over {count} devices: the number of events must be a "
                "multiple of the number of devices"
            )
    return jax.device_put(tree, NamedSharding(mesh, P(EVENTS)))


def over_devices(function: Callable[..., Any], devices: list[jax.Device]) -> Callable[..., Any]:
    """Maps `function(*replicated, batch)` over devices, each with its part of the leading axis of `batch`.

    Returns `mapped(replicated_tuple, batch)`. The function must not depend on how the batch is split; results come back
    along the leading axis. A derivative with respect to a replicated argument is the sum over devices, taken by
    `shard_map` itself: for a mean over events write `grad` outside of the mean, never `pmean(grad(...))`, which is too
    large by the number of devices.
    """
    mesh = event_mesh(devices)

    def local(replicated: tuple[Any, ...], batch: Any) -> Any:
        return function(*replicated, batch)

    return jax.shard_map(local, mesh=mesh, in_specs=(P(), P(EVENTS)), out_specs=P(EVENTS), check_vma=False)


__all__ = ["EVENTS", "event_mesh", "over_devices", "shard_events"]
