"""What is minimised: one loss, or several in turn, each over its own leaves."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from .._types import Key, Scalar

EventLoss = Callable[[Any, Any, Key], Scalar]
"""`loss(model, event, key)`: the loss of one event, a dict of one row of each column."""

BatchLoss = Callable[[Any, Any, Any, Key], Scalar]
"""`loss(model, batch, weights, key)`: the loss of a batch."""


@dataclasses.dataclass(frozen=True)
class Objective:
    r"""A loss, and the leaves that are moved to lower it.

    With several objectives the training does `steps` steps of the first, each on a batch of its own, then those of the
    second, and so on, in a circle. Each has an optimiser of its own; leaves with other labels stand still meanwhile.
    This is how a critic and a generator, or a denoiser and its noise schedule, are trained.

    **Arguments**

    - `loss`: `loss(model, event, key) -> scalar` of one event; with `batch_loss`, `loss(model, batch, weights, key) ->
      scalar`. It must be hashable; equal losses share a compiled program.
    - `labels`: label or labels of `trainable` that this objective moves; None for all.
    - `steps`: steps in a turn.
    - `batch_loss`: whether `loss` sees the batch. Then `weights` (event,) are normalised so that Σwℓ is the estimate of
      the weighted mean, and are zero in the rows that fill up the last batch of an epoch.
    - `name`: the name in the history.

    **Raises** `ValueError` for fewer than one step, `TypeError` for a loss that cannot be called or hashed.
    """

    loss: Callable[..., Scalar]
    labels: str | tuple[str, ...] | None = None
    steps: int = 1
    batch_loss: bool = False
    name: str = "loss"

    def __post_init__(self) -> None:
        """Checks the fields."""
        if not callable(self.loss):
            raise TypeError(f"the loss of objective {self.name!r} is no function but {type(self.loss).__name__}")
        try:
            hash(self.loss)
        except TypeError as error:
            raise TypeError(
                f"the loss of objective {self.name!r} cannot be hashed ({error}); put what it depends on into the "
                "model or the data, or write it as a function or a frozen dataclass"
            ) from error
        if self.labels is not None:
            labels = (self.labels,) if isinstance(self.labels, str) else tuple(self.labels)
            object.__setattr__(self, "labels", labels)
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps of objective {self.name!r} must be a whole number from 1 on, got {self.steps!r}")

    def moves(self, label: str) -> bool:
        """Whether this objective moves the leaves of a label."""
        return self.labels is None or label in self.named()

    def named(self) -> tuple[str, ...]:
        """The labels that it names."""
        return () if self.labels is None else tuple(self.labels)


def objectives_of(loss: Any, batch_loss: bool) -> tuple[Objective, ...]:
    """A loss, an objective, or a sequence of objectives or (loss, label, steps), as objectives with distinct names."""
    if isinstance(loss, Objective):
        return (loss,)
    if not isinstance(loss, Sequence):
        return (Objective(loss, batch_loss=batch_loss),)
    found = []
    for i, one in enumerate(loss):
        if not isinstance(one, Objective):
            function, labels, steps = one
            one = Objective(function, labels, steps, batch_loss, name=f"loss {i + 1}")
        found.append(one)
    names = [one.name for one in found]
    if not found:
        raise ValueError("there is nothing to minimise: the list of objectives is empty")
    if len(set(names)) != len(names):
        found = [dataclasses.replace(one, name=f"{one.name} {i + 1}") for i, one in enumerate(found)]
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class DensityLoss:
    """See `density_loss`."""

    conditional: bool = False
    x: str = "x"
    condition: str = "c"

    def __call__(self, model: Any, event: Any, key: Key) -> Scalar:
        """The density's own loss of one event."""
        condition = event[self.condition] if self.conditional else None
        loss: Scalar = model.loss(event[self.x], condition, model.loss_noise(key))
        return loss


def density_loss(conditional: bool = False, x: str = "x", condition: str = "c") -> DensityLoss:
    r"""The loss of a `jaxhep.densities.AbstractDensity`, \(\ell(x, c)\) with noise from the event's key, for `fit`.

    **Arguments**

    - `conditional`: whether the density has a condition.
    - `x`, `condition`: the columns of the data that hold x and c.

    >>> from jaxhep.training import density_loss
    >>> density_loss(conditional=True)
    DensityLoss(conditional=True, x='x', condition='c')
    """
    return DensityLoss(conditional, x, condition)


__all__ = ["BatchLoss", "DensityLoss", "EventLoss", "Objective", "density_loss", "objectives_of"]
