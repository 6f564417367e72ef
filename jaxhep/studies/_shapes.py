"""The observables of an event as one vector, as a hashable function that `jit` recognises."""

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Bool, Float
from ..event import Event
from ..observables import event_shapes, get_observable


class Shapes(eqx.Module):
    """Maps an event to (observables (name,), weight, overflow); all shapes share one thrust search and clustering."""

    names: tuple[str, ...] = eqx.field(static=True)

    def values(self, momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, " name"]:
        """The observables of one event."""
        shared = event_shapes(momenta, mask)
        # What was registered later is not among the shared ones.
        found = [shared[name] if name in shared else get_observable(name)(momenta, mask) for name in self.names]
        return jnp.stack([jnp.asarray(value, momenta.dtype) for value in found])

    def __call__(self, event: Event) -> tuple[Float[Array, " name"], Float[Array, ""], Bool[Array, ""]]:
        """The observables, weight and overflow flag of one event."""
        return self.values(event.momenta, event.mask), event.weight, event.overflow


__all__ = ["Shapes"]
