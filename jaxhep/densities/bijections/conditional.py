"""A shift and a scale that are linear in the condition."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float, Scalar
from .._arguments import check_condition, check_sizes
from .._base import Condition
from .._fields import LEARNED
from ._base import AbstractBijection


class ConditionalAffine(AbstractBijection):
    r"""\(y_i=\mu_i+\sum_kB_{ik}c_k+\mathrm e^{\lambda_i+\sum_kA_{ik}c_k}x_i\), all of it learned.

    The trend of a response with its condition is mostly linear; taken out here, the layers before need only learn the
    rest. It starts at the identity; `fit_conditional_affine` starts it at the least-squares line.

    **Arguments**: `dim`, `condition_dim`, both at least 1.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import ConditionalAffine
    >>> ConditionalAffine(2, 1).forward(jnp.array([1.0, 2.0]), jnp.array([3.0]))[0].tolist()
    [1.0, 2.0]
    """

    shift: Float[Array, " dim"] = eqx.field(metadata=LEARNED)
    slope: Float[Array, "dim condition"] = eqx.field(metadata=LEARNED)
    log_scale: Float[Array, " dim"] = eqx.field(metadata=LEARNED)
    log_scale_slope: Float[Array, "dim condition"] = eqx.field(metadata=LEARNED)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, dim: int, condition_dim: int):
        check_sizes(dim=dim, condition_dim=condition_dim)
        self.shift, self.log_scale = jnp.zeros(dim), jnp.zeros(dim)
        self.slope, self.log_scale_slope = jnp.zeros((dim, condition_dim)), jnp.zeros((dim, condition_dim))
        self.dim, self.condition_dim = dim, condition_dim

    def _line(self, condition: Condition) -> tuple[Array, Array]:
        check_condition(condition, self.condition_dim)
        assert condition is not None
        return self.shift + self.slope @ condition, self.log_scale + self.log_scale_slope @ condition

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """Scaled and shifted; the sum of the logarithms of the scales."""
        shift, logs = self._line(condition)
        return shift + jnp.exp(logs) * x, jnp.sum(logs)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """Shifted and scaled back."""
        shift, logs = self._line(condition)
        return (y - shift) * jnp.exp(-logs), -jnp.sum(logs)


def fit_conditional_affine(x: Any, conditions: Any, weights: Any = None) -> ConditionalAffine:
    """The map whose line is the weighted least-squares fit of x to c, and whose scale is that of the residuals.

    **Arguments**: `x`, shape (event, dim), and `conditions`, shape (event, condition), as the flow sees them, that is
    after the preprocessing; `weights`, shape (event,), or None.

    **Raises** `ValueError` for shapes that do not fit, or residuals without spread.

    >>> import numpy as np
    >>> from jaxhep.densities.bijections import fit_conditional_affine
    >>> c = np.linspace(-1, 1, 4)[:, None]
    >>> line = fit_conditional_affine(2 * c + np.array([[0.1], [-0.1], [-0.1], [0.1]]), c)
    >>> round(float(line.slope[0, 0]), 4)
    2.0
    """
    x, conditions = np.asarray(x, float), np.asarray(conditions, float)
    if x.ndim != 2 or conditions.ndim != 2 or len(x) != len(conditions):
        raise ValueError(f"x and conditions have one row an event, got shapes {x.shape} and {conditions.shape}")
    weights = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    design = np.concatenate([np.ones((len(x), 1)), conditions], axis=1)
    normal = design.T @ (weights[:, None] * design)
    line = np.linalg.solve(normal, design.T @ (weights[:, None] * x))
    variance = weights @ (x - design @ line) ** 2 / weights.sum()
    if not np.all(variance > 0):
        raise ValueError(f"x is an exact line of the condition in columns {np.flatnonzero(~(variance > 0)).tolist()}")
    start = ConditionalAffine(x.shape[1], conditions.shape[1])
    return eqx.tree_at(
        lambda one: (one.shift, one.slope, one.log_scale),
        start,
        (jnp.asarray(line[0]), jnp.asarray(line[1:].T), jnp.asarray(0.5 * np.log(variance))),
    )


__all__ = ["ConditionalAffine", "fit_conditional_affine"]
