"""The numbers of a design that may move: start values, bounds, an exact total; and the map to free coordinates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Values = Mapping[str, Any]
"""A design: an array (or a number) by the name of the variable."""

_MARGIN = 1e-3
"""A start value on a bound begins this share of the range inside it: on the bound the map has no slope."""


@dataclass(frozen=True)
class Variable:
    r"""One number of a design, or a row of them, and how it is allowed to move.

    The optimiser works in free coordinates u:

    - two bounds: \(\theta=l+(h-l)/(1+e^{-u})\);
    - one bound: \(\theta=l+s\ln(1+e^{u})\), or the mirror image;
    - none: \(\theta=s\,u\);
    - with `total`: \(\theta_i=l_i+(B-\sum_jl_j)\,e^{u_i}/\sum_je^{u_j}\), so that \(\sum_i\theta_i=B\) exactly
      (budget by rescaling).

    Arguments:
        name: the key under which the objective finds it.
        value: start value, a number or a sequence of numbers, in `unit`.
        lower: lower bound, a number for all entries or one each; None for none.
        upper: upper bound, likewise.
        total: the exact sum B of all entries; needs a lower bound and goes without an upper one.
        free: False for an entry (or all) that stays at its start value.
        scale: s, how far an unbounded entry moves for a step of one in u.
        unit: for tables and pictures.

    Raises:
        ValueError: a number that is not finite, bounds in the wrong order, a start value outside them, a total that
            the lower bounds leave no room for.

    >>> Variable("thickness", [2.0, 2.0, 3.0], lower=0.5, total=7.0, unit="mm").labels
    ('thickness[0]', 'thickness[1]', 'thickness[2]')
    """

    name: str
    value: Any
    lower: Any = None
    upper: Any = None
    total: float | None = None
    free: Any = True
    scale: float = 1.0
    unit: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a variable needs a name (a non-empty string), got {self.name!r}")
        value = np.asarray(self.value, np.float64)
        if value.ndim > 1 or value.size == 0:
            raise ValueError(f"variable {self.name!r}: give a number or a non-empty list, got shape {value.shape}")
        if not np.all(np.isfinite(value)):
            raise ValueError(f"variable {self.name!r}: start value {self.value!r} is not finite")
        low = self._spread("lower", self.lower, -np.inf)
        high = self._spread("upper", self.upper, np.inf)
        if np.any(low >= high):
            raise ValueError(f"variable {self.name!r}: a lower bound is not below its upper bound")
        bad = np.flatnonzero((value < low) | (value > high))
        if bad.size:
            k = int(bad[0])
            where = np.ravel(value)[k], np.ravel(low)[k], np.ravel(high)[k]
            raise ValueError("variable {!r}: start value {:g} is outside of its bounds [{:g}, {:g}]".format(
                self.labels[k], *where))  # fmt: skip
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"variable {self.name!r}: scale must be above 0, got {self.scale}")
        if self.total is not None:
            self._check_total(value, low)

    def _spread(self, side: str, bound: Any, absent: float) -> np.ndarray:
        shape = np.shape(self.value)
        try:
            array = np.asarray(absent if bound is None else bound, np.float64)
            array = np.broadcast_to(array, shape)
        except ValueError:
            raise ValueError(
                f"variable {self.name!r}: {side} has shape {np.shape(bound)}, the value has {shape}"
            ) from None
        if np.any(np.isnan(array)):
            raise ValueError(f"variable {self.name!r}: {side} bound is NaN; give a number or None")
        return array

    def _check_total(self, value: np.ndarray, low: np.ndarray) -> None:
        if self.upper is not None or not np.all(np.isfinite(low)) or value.ndim == 0 or not np.all(self.free):
            raise ValueError(
                f"variable {self.name!r}: a total needs several free entries with a lower bound and without an upper "
                "one; use a Budget otherwise"
            )
        assert self.total is not None
        if not (math.isfinite(self.total) and self.total > low.sum()):
            raise ValueError(
                f"variable {self.name!r}: the lower bounds add up to {low.sum():g}, which leaves nothing of the total "
                f"{self.total:g}; raise the total or lower the bounds"
            )
        if abs(value.sum() - self.total) > 1e-6 * abs(self.total):
            raise ValueError(
                f"variable {self.name!r}: the start values add up to {value.sum():g}, not to the total {self.total:g}"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each entry: `thickness[3]`, or just the name of a single number."""
        if np.ndim(self.value) == 0:
            return (self.name,)
        return tuple(f"{self.name}[{i}]" for i in range(len(self.value)))

    @property
    def mask(self) -> np.ndarray:
        """True for each entry that is free."""
        return np.array(np.broadcast_to(np.asarray(self.free, bool), np.shape(self.value)))


class Space:
    """The free entries of several variables as one vector θ, and as coordinates u without bounds.

    Arguments:
        variables: at least one with a free entry, names all different.

    Raises:
        ValueError, TypeError: as said.

    >>> space = Space([Variable("a", 1.0, lower=0.0, upper=4.0), Variable("b", [2.0, 3.0])])
    >>> space.labels, space.size
    (('a', 'b[0]', 'b[1]'), 3)
    >>> float(space.external(space.internal(space.start))["a"])
    1.0
    """

    def __init__(self, variables: Sequence[Variable]):
        variables = tuple(variables)
        for variable in variables:
            if not isinstance(variable, Variable):
                raise TypeError(
                    f"expected Variable objects, got {type(variable).__name__}: write Variable(name, value)"
                )
        names = [variable.name for variable in variables]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variable names given twice: {', '.join(twice)}; each name may appear once")
        self.variables = variables
        self.masks = [variable.mask for variable in variables]
        self.size = int(sum(mask.sum() for mask in self.masks))
        if self.size == 0:
            raise ValueError("no free variable: a design needs at least one number that may move")
        self.labels = tuple(
            label
            for variable, mask in zip(variables, self.masks, strict=True)
            for label, free in zip(variable.labels, np.ravel(mask), strict=True)
            if free
        )
        self.start: dict[str, np.ndarray] = {v.name: np.asarray(v.value, np.float64) for v in variables}

    def flatten(self, values: Values) -> Float[Array, " free"]:
        """The free entries θ of a design as one vector."""
        return jnp.concatenate(
            [jnp.asarray(values[v.name])[m].reshape(-1) for v, m in zip(self.variables, self.masks, strict=True)]
        )

    def unflatten(self, theta: Float[Array, " free"]) -> dict[str, Array]:
        """The design whose free entries are θ, the others at their start values."""
        answer, begin = {}, 0
        for variable, mask in zip(self.variables, self.masks, strict=True):
            count = int(mask.sum())
            whole = jnp.asarray(variable.value, theta.dtype)
            part = theta[begin : begin + count]
            if mask.ndim == 0:
                answer[variable.name] = part.reshape(()) if count else whole
            else:
                answer[variable.name] = part if count == mask.size else whole.at[np.flatnonzero(mask)].set(part)
            begin += count
        return answer

    def internal(self, values: Values) -> Float[Array, " free"]:
        """u of a design."""
        parts = []
        for variable, mask in zip(self.variables, self.masks, strict=True):
            theta = jnp.asarray(values[variable.name], float)[mask].reshape(-1)
            low, high = (_bound(variable, side, mask) for side in ("lower", "upper"))
            parts.append(_to_internal(variable, theta, low, high))
        return jnp.concatenate(parts)

    def external(self, internal: Float[Array, " free"]) -> dict[str, Array]:
        """The design at u; differentiable."""
        parts, begin = [], 0
        for variable, mask in zip(self.variables, self.masks, strict=True):
            count = int(mask.sum())
            low, high = (_bound(variable, side, mask) for side in ("lower", "upper"))
            parts.append(_to_external(variable, internal[begin : begin + count], low, high))
            begin += count
        return self.unflatten(jnp.concatenate(parts))

    def random(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A random design: uniform between two bounds or over the shares of a total, else within a factor of two.

        Arguments:
            rng: NumPy generator.

        Returns:
            An array by name; fixed entries at their start values.
        """
        answer = {}
        for variable, mask in zip(self.variables, self.masks, strict=True):
            value = np.array(variable.value, np.float64)
            low, high = (_bound(variable, side, mask) for side in ("lower", "upper"))
            count = int(mask.sum())
            if variable.total is not None:
                drawn = low + (variable.total - low.sum()) * rng.dirichlet(np.ones(count))
            else:
                start = value[mask].reshape(-1) if value.ndim else np.full(count, float(value))
                reach = np.maximum(np.abs(start), variable.scale)
                a, b = np.maximum(low, start - reach), np.minimum(high, start + reach)
                both = np.isfinite(low) & np.isfinite(high)
                drawn = rng.uniform(np.where(both, low, a), np.where(both, high, b))
            if value.ndim:
                value[mask] = drawn
            elif count:
                value = np.asarray(drawn[0])
            answer[variable.name] = value
        return answer


def _bound(variable: Variable, side: str, mask: np.ndarray) -> np.ndarray:
    """The bound of each free entry, infinite where there is none."""
    absent = -np.inf if side == "lower" else np.inf
    bound = getattr(variable, side)
    whole = np.broadcast_to(np.asarray(absent if bound is None else bound, np.float64), mask.shape)
    return np.ravel(whole[mask])


def _to_external(variable: Variable, u: Array, low: np.ndarray, high: np.ndarray) -> Array:
    if variable.total is not None:
        return jnp.asarray(low, u.dtype) + (variable.total - low.sum()) * jax.nn.softmax(u)
    below, above = np.isfinite(low), np.isfinite(high)
    safe_low, safe_high = np.where(below, low, 0.0), np.where(above, high, 0.0)
    # The scale of an entry with two bounds is its range.
    between = safe_low + (safe_high - safe_low) * jax.nn.sigmoid(u)
    rising = safe_low + variable.scale * jax.nn.softplus(u)
    falling = safe_high - variable.scale * jax.nn.softplus(-u)
    one = jnp.where(below, rising, jnp.where(above, falling, variable.scale * u))
    return jnp.where(below & above, between, one).astype(u.dtype)


def _to_internal(variable: Variable, theta: Array, low: np.ndarray, high: np.ndarray) -> Array:
    if variable.total is not None:
        room = variable.total - low.sum()
        share = jnp.clip((theta - low) / room, _MARGIN / low.size, None)
        return jnp.log(share) - jnp.mean(jnp.log(share))
    below, above = np.isfinite(low), np.isfinite(high)
    safe_low, safe_high = np.where(below, low, 0.0), np.where(above, high, 1.0)
    place = jnp.clip((theta - safe_low) / np.where(below & above, safe_high - safe_low, 1.0), _MARGIN, 1 - _MARGIN)
    between = jnp.log(place) - jnp.log1p(-place)
    reach = jnp.where(below, theta - safe_low, safe_high - theta) / variable.scale
    reach = jnp.maximum(jnp.where(below | above, reach, 1.0), _MARGIN)
    inverse = reach + jnp.log(-jnp.expm1(-reach))
    one = jnp.where(below, inverse, jnp.where(above, -inverse, theta / variable.scale))
    return jnp.where(below & above, between, one)


__all__ = ["Space", "Values", "Variable"]
