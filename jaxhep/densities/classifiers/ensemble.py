"""Several classifiers as one ratio with a spread, and weights made of ratios."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float, Scalar
from .._base import Condition
from .classifier import AbstractDensityRatio


class Ensemble(AbstractDensityRatio):
    r"""The mean of \(\ln r\) over classifiers trained from different keys, and its spread.

    The spread shows what initialisation and order of events leave open; it does not show what all members share.

    **Arguments**: `members`, at least two.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.classifiers import Classifier, Ensemble
    >>> both = Ensemble([Classifier(lambda x, c: x), Classifier(lambda x, c: 3 * x)])
    >>> float(both.log_ratio(jnp.ones(1))), round(float(both.spread(jnp.ones(1))), 4)
    (2.0, 1.4142)
    """

    members: tuple[AbstractDensityRatio, ...]

    def __init__(self, members: Sequence[AbstractDensityRatio]):
        if len(members) < 2:
            raise ValueError(f"an ensemble needs at least two members for a spread, got {len(members)}")
        self.members = tuple(members)

    def log_ratios(self, x: Float[Array, " dim"], condition: Condition = None) -> Float[Array, " member"]:
        """ln r of each member."""
        return jnp.stack([member.log_ratio(x, condition) for member in self.members])

    def log_ratio(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """The mean."""
        return jnp.mean(self.log_ratios(x, condition))

    def spread(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """Standard deviation of one member's ln r; the mean's own is smaller by √members."""
        return jnp.std(self.log_ratios(x, condition), ddof=1)


def effective_size(weights: Any) -> float:
    r"""\(N_\text{eff}=(\sum w)^2/\sum w^2\): as many unweighted events have this relative error.

    >>> from jaxhep.densities.classifiers import effective_size
    >>> effective_size([1.0, 1.0, 0.0])
    2.0
    """
    host = np.asarray(weights, float)
    square = float((host**2).sum())
    if not square > 0:
        raise ValueError("all weights are zero: there is no effective number of events")
    return float(host.sum()) ** 2 / square


class Reweighted(eqx.Module):
    """Weights that turn a sample of p₀ into one of p₁.

    **Fields**: `weights`, shape (event,), the old weights times r, with the old sum; `effective_size`, N_eff of them.
    """

    weights: Float[Array, " event"]
    effective_size: float = eqx.field(static=True)

    def __repr__(self) -> str:
        return f"Reweighted({len(self.weights):,} events, N_eff {self.effective_size:,.1f})"


def reweight(
    ratio: AbstractDensityRatio,
    x: Float[Array, "event dim"],
    conditions: Float[Array, "event condition"] | None = None,
    weights: Float[Array, " event"] | None = None,
) -> Reweighted:
    """Weights w·r(x) of events of p₀ that make them events of p₁, scaled to the sum of w.

    **Arguments**: `ratio`; `x`, events of p₀; `conditions` and `weights`, one a event, or None.

    **Returns** a `Reweighted`; look at its N_eff before you use it.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.classifiers import Classifier, reweight
    >>> reweight(Classifier(lambda x, c: 0 * x), jnp.ones((4, 1)))
    Reweighted(4 events, N_eff 4.0)
    """
    axis = None if conditions is None else 0
    logs = eqx.filter_jit(jax.vmap(lambda event, c: ratio.log_ratio(event, c), in_axes=(0, axis)))(x, conditions)
    old = jnp.ones_like(logs) if weights is None else jnp.asarray(weights)
    new = old * jnp.exp(logs - jnp.max(logs))
    new = new * (jnp.sum(old) / jnp.sum(new))
    return Reweighted(new, effective_size(new))


__all__ = ["Ensemble", "Reweighted", "effective_size", "reweight"]
