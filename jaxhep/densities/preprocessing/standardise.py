"""The map between data and columns of order one, and its fit to weighted events."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Bool, Float, Scalar
from .._base import Condition
from .._fields import CONSTANT
from ..bijections import AbstractBijection
from .columns import Column, real


class Preprocessing(AbstractBijection):
    r"""Data x to standardised z, column by column: \(z=(t(x)-\mu)/\sigma\) with t the column's map to the real line.

    As a bijection it points from the latent space to the data: `forward` takes z to x, `inverse` takes x to z, each
    with the exact log-determinant. No optimiser moves its numbers.

    **Arguments**

    - `columns`: a `Column` each.
    - `mean`, `scale`: μ and σ of t(x), shape (dim,).

    Make one with `fit_preprocessing`.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.preprocessing import Preprocessing, positive
    >>> one = Preprocessing((positive(),), jnp.zeros(1), jnp.array([2.0]))
    >>> one.forward(jnp.zeros(1))[0].tolist()
    [1.0]
    """

    columns: tuple[Column, ...] = eqx.field(static=True)
    mean: Float[Array, " dim"] = eqx.field(metadata=CONSTANT)
    scale: Float[Array, " dim"] = eqx.field(metadata=CONSTANT)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, columns: Sequence[Column], mean: Float[Array, " dim"], scale: Float[Array, " dim"]):
        self.columns = tuple(columns)
        self.mean, self.scale = jnp.asarray(mean), jnp.asarray(scale)
        self.dim, self.condition_dim = len(self.columns), 0
        if self.mean.shape != (self.dim,) or self.scale.shape != (self.dim,):
            raise ValueError(
                f"mean and scale have shape ({self.dim},), one number a column, got {self.mean.shape} and "
                f"{self.scale.shape}"
            )

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of each column with their margin; −∞ and ∞ where there are none."""
        low, high = np.full(self.dim, -np.inf), np.full(self.dim, np.inf)
        for i, column in enumerate(self.columns):
            if column.kind == "positive":
                low[i] = column.low
            if column.kind == "bounded":
                extra = column.margin * (column.high - column.low)
                low[i], high[i] = column.low - extra, column.high + extra
        return low, high

    def _is(self, kind: str) -> np.ndarray:
        return np.array([column.kind == kind for column in self.columns])

    @property
    def discrete(self) -> tuple[bool, ...]:
        """For each column, whether it is a whole number."""
        return tuple(self._is("discrete").tolist())

    def supports(self, x: Float[Array, " dim"]) -> Bool[Array, ""]:
        """Whether x lies inside of all ranges, where the density is above zero."""
        low, high = self._ends()
        return jnp.all((x > low) & (x < high))

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """From standardised to data."""
        low, high = self._ends()
        positive, bounded = self._is("positive"), self._is("bounded")
        t = self.mean + self.scale * x
        width = np.where(bounded, np.where(bounded, high, 1.0) - np.where(bounded, low, 0.0), 1.0)
        grown = jnp.where(positive, low, 0.0) + jnp.exp(jnp.where(positive, t, 0.0))
        share = jnp.where(t < 0, 0.0, width) + jnp.where(t < 0, 1.0, -1.0) * width * jax.nn.sigmoid(
            jnp.where(t < 0, t, -t)
        )
        inside = jnp.where(bounded, low, 0.0) + share
        y = jnp.where(positive, grown, jnp.where(bounded, inside, t)).astype(t.dtype)
        logs = jnp.where(positive, t, 0.0)
        logs = logs + jnp.where(bounded, np.log(width) - jax.nn.softplus(t) - jax.nn.softplus(-t), 0.0)
        return y, jnp.sum(logs + jnp.log(self.scale)).astype(t.dtype)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """From data to standardised; not finite outside of the support."""
        low, high = self._ends()
        positive, bounded = self._is("positive"), self._is("bounded")
        below = jnp.log(jnp.where(positive | bounded, y - np.where(positive | bounded, low, 0.0), 1.0))
        above = jnp.log(jnp.where(bounded, np.where(bounded, high, 1.0) - y, 1.0))
        t = jnp.where(positive, below, jnp.where(bounded, below - above, y))
        width = np.where(bounded, np.where(bounded, high, 1.0) - np.where(bounded, low, 0.0), 1.0)
        z = (t - self.mean) / self.scale
        logs = -below - above + np.log(width) - jnp.log(self.scale)
        return z, jnp.sum(logs).astype(z.dtype)

    def round(self, x: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """x with its discrete columns rounded; these have no gradient."""
        return jnp.where(self._is("discrete"), jnp.round(x), x)

    def __repr__(self) -> str:
        kinds = ", ".join(column.kind for column in self.columns)
        return f"Preprocessing({kinds})"


def _rows(bad: np.ndarray, most: int = 5) -> str:
    found = np.flatnonzero(bad)
    shown = ", ".join(str(row) for row in found[:most])
    return f"rows {shown}{f', … ({len(found)} in all)' if len(found) > most else ''}"


def _check_range(column: Column, values: np.ndarray, name: str) -> None:
    """Raises `ValueError` for data outside of the column's range."""
    touching = column.kind == "positive" or (column.kind == "bounded" and column.margin == 0)
    bad = (values < column.low) | (values > column.high)
    if touching:
        bad |= (values == column.low) | (values == column.high)
    if column.kind in ("positive", "bounded") and np.any(bad):
        cure = "widen the range" + (", or give a margin, if the ends themselves occur" if touching else "")
        where = f"({column.low:g}, {column.high:g})"
        raise ValueError(f"{name} is {column.kind} on {where}, but {_rows(bad)} lie outside: {cure}")
    if column.kind == "discrete" and np.any(bad := values != np.round(values)):
        raise ValueError(f"{name} is discrete, but {_rows(bad)} hold no whole number; declare it real")


def fit_preprocessing(
    data: Any,
    weights: Any = None,
    columns: Mapping[int, Column] | Sequence[Column] | None = None,
    names: Sequence[str] | None = None,
) -> Preprocessing:
    r"""Means and widths of the transformed columns from weighted events.

    \(\mu=\sum wt/\sum w\), \(\sigma^2=\sum w(t-\mu)^2/\sum w\), plus 1/12 for a discrete column, the variance of its
    U(−½, ½).

    **Arguments**

    - `data`: events, shape (event, dim).
    - `weights`: shape (event,), negative ones allowed; default 1.
    - `columns`: a `Column` for each, or a mapping from column numbers (others are real); default all real.
    - `names`: of the columns, for error messages.

    **Returns** a `Preprocessing`.

    **Raises** `ValueError` for NaN or infinite rows, values outside of a column's range, a constant column, weights
    whose sum is not above zero, or a variance that negative weights turn round.

    >>> import numpy as np
    >>> from jaxhep.densities.preprocessing import bounded, fit_preprocessing
    >>> fit_preprocessing(np.array([[0.2, 5.0], [0.6, 7.0]]), columns={0: bounded(0.0, 1.0)})
    Preprocessing(bounded, real)
    """
    data = np.asarray(data, float)
    if data.ndim != 2 or len(data) < 2:
        raise ValueError(f"preprocessing is fitted to at least two events of shape (event, dim), got {data.shape}")
    count, dim = data.shape
    weights = np.ones(count) if weights is None else np.asarray(weights, float)
    if weights.shape != (count,):
        raise ValueError(f"weights have shape ({count},), one an event, got {weights.shape}")
    given = dict(columns) if isinstance(columns, Mapping) else dict(enumerate(columns or ()))
    if unknown := sorted(set(given) - set(range(dim))):
        raise ValueError(f"there are {dim} columns, 0 to {dim - 1}, but columns names {unknown}")
    if not isinstance(columns, Mapping) and columns and len(columns) != dim:
        raise ValueError(f"columns lists {len(columns)} columns, the data have {dim}")
    kinds = [given.get(i, real()) for i in range(dim)]
    labels = [f"column {i}" + (f" ({names[i]})" if names is not None else "") for i in range(dim)]
    if np.any(bad := ~np.isfinite(data).all(axis=1) | ~np.isfinite(weights)):
        raise ValueError(f"the data hold NaN or infinite numbers in {_rows(bad)}; remove these events")
    total = weights.sum()
    if not total > 0:
        raise ValueError(f"the weights sum to {total:g}; a mean needs a sum above zero")
    for column, values, label in zip(kinds, data.T, labels, strict=True):
        _check_range(column, values, label)
        if np.ptp(values) == 0:
            raise ValueError(f"{label} is constant, {values[0]:g}; leave it out, it has no density")
    start = Preprocessing(kinds, jnp.zeros(dim), jnp.ones(dim))
    moved = _transformed(start, data)
    mean = weights @ moved / total
    variance = weights @ (moved - mean) ** 2 / total + np.array(start.discrete) / 12
    for value, label in zip(variance, labels, strict=True):
        if not value > 0:
            raise ValueError(f"the weighted variance of {label} is {value:g}: too many negative weights")
    return Preprocessing(kinds, jnp.asarray(mean), jnp.asarray(np.sqrt(variance)))


def _transformed(start: Preprocessing, data: np.ndarray) -> np.ndarray:
    """t(x) of all events, in NumPy's float64."""
    low, high = start._ends()
    out = data.copy()
    for i, column in enumerate(start.columns):
        if column.kind == "positive":
            out[:, i] = np.log(data[:, i] - low[i])
        if column.kind == "bounded":
            out[:, i] = np.log(data[:, i] - low[i]) - np.log(high[i] - data[:, i])
    return out


__all__ = ["Preprocessing", "fit_preprocessing"]
