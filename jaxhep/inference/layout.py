"""The parameters as arrays: which are free, where their bounds lie, how the minimiser's coordinates map to them."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxhep.inference.parameters import Parameter
from jaxhep.inference.prediction import Numbers


class Layout(eqx.Module):
    """Arrays behind a list of parameters; only names and freedom are static, so new numbers do not recompile.

    Arguments:
        names: all names, in order.
        free: positions of the free parameters in `names`.
        values: start (or held) values of all parameters, shape `(parameter,)`.
        lower, upper: bounds of the free parameters, ±∞ where there is none, shape `(free,)`.
        scale: unit length of the one-sided transformation, shape `(free,)`.
        prior_mean, prior_width: Gaussian constraints of the free parameters, width ∞ where there is none.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    free: tuple[int, ...] = eqx.field(static=True)
    values: Float[Numbers, " parameter"]
    lower: Float[Numbers, " free"]
    upper: Float[Numbers, " free"]
    scale: Float[Numbers, " free"]
    prior_mean: Float[Numbers, " free"]
    prior_width: Float[Numbers, " free"]

    @property
    def free_names(self) -> tuple[str, ...]:
        """Names of the free parameters, in order."""
        return tuple(self.names[i] for i in self.free)

    def start(self) -> Float[np.ndarray, " free"]:
        """Start values of the free parameters, moved off a bound (where the transformation has no slope)."""
        theta = np.asarray(self.values)[list(self.free)]
        both = np.isfinite(self.lower) & np.isfinite(self.upper)
        room = np.where(both, 1e-3 * (self.upper - self.lower), 1e-3 * self.scale)
        return np.clip(theta, self.lower + room, self.upper - room)

    def as_dict(self, theta: Float[Array, " free"]) -> dict[str, Float[Array, ""]]:
        """All parameters by name, the free ones taken from `theta`."""
        full = {name: jnp.asarray(self.values)[i] for i, name in enumerate(self.names)}
        return full | {name: theta[k] for k, name in enumerate(self.free_names)}

    def penalty(self, theta: Float[Array, " free"]) -> Float[Array, ""]:
        """Σ ((θ − mean)/width)² over the constrained free parameters; an infinite width adds nothing."""
        return jnp.sum(((theta - self.prior_mean) / self.prior_width) ** 2)

    def internal(self, theta: Float[Array, " free"]) -> Float[Array, " free"]:
        """The unbounded coordinate u of θ (see `Parameter`); values outside the bounds are put on them."""
        centre, half, edge, sign = self._geometry()
        inside = jnp.clip((theta - centre) / half, -1.0, 1.0)
        reach = jnp.maximum(sign * (theta - edge) / self.scale, 0.0)
        return jnp.select(
            [self._both, self._one],
            [half * jnp.arcsin(inside), sign * self.scale * jnp.sqrt(reach * (reach + 2.0))],
            theta,
        )

    def external(self, u: Float[Array, " free"]) -> Float[Array, " free"]:
        """θ of the unbounded coordinate u; always within the bounds."""
        centre, half, edge, sign = self._geometry()
        return jnp.select(
            [self._both, self._one],
            [
                jnp.clip(centre + half * jnp.sin(u / half), self.lower, self.upper),
                edge + sign * self.scale * (jnp.sqrt(1.0 + (u / self.scale) ** 2) - 1.0),
            ],
            u,
        )

    def slopes(self, u: Float[Array, " free"]) -> tuple[Float[Array, " free"], Float[Array, " free"]]:
        """dθ/du and d²θ/du² at u."""
        _, half, _, sign = self._geometry()
        root = jnp.sqrt(1.0 + (u / self.scale) ** 2)
        first = jnp.select([self._both, self._one], [jnp.cos(u / half), sign * u / (self.scale * root)], 1.0)
        second = jnp.select([self._both, self._one], [-jnp.sin(u / half) / half, sign / (self.scale * root**3)], 0.0)
        return first, second

    @property
    def _both(self) -> Array:
        return jnp.isfinite(self.lower) & jnp.isfinite(self.upper)

    @property
    def _one(self) -> Array:
        return jnp.isfinite(self.lower) ^ jnp.isfinite(self.upper)

    def _geometry(self) -> tuple[Array, Array, Array, Array]:
        # Infinite bounds are replaced by finite stand-ins so that unused branches stay finite.
        low = jnp.where(jnp.isfinite(self.lower), self.lower, 0.0)
        high = jnp.where(jnp.isfinite(self.upper), self.upper, 0.0)
        centre = jnp.where(self._both, (low + high) / 2, 0.0)
        half = jnp.where(self._both, (high - low) / 2, 1.0)
        from_below = jnp.isfinite(self.lower)
        return centre, half, jnp.where(from_below, low, high), jnp.where(from_below, 1.0, -1.0)


def make_layout(parameters: Sequence[Parameter], values: Mapping[str, float] | None = None) -> Layout:
    """Turn parameters into arrays (NumPy float64, so that they do not depend on the JAX flag).

    Arguments:
        parameters: checked parameters.
        values: start values that replace those of the parameters, by name.

    Returns:
        The layout.

    >>> make_layout([Parameter("a", 1.0), Parameter("b", 2.0, fixed=True)]).free_names
    ('a',)
    """
    values = {} if values is None else values
    free = tuple(i for i, entry in enumerate(parameters) if not entry.fixed)
    chosen = [parameters[i] for i in free]
    start = np.array([values.get(entry.name, entry.value) for entry in parameters], np.float64)
    lower = np.array([-np.inf if entry.lower is None else entry.lower for entry in chosen], np.float64)
    upper = np.array([np.inf if entry.upper is None else entry.upper for entry in chosen], np.float64)
    edge = np.where(np.isfinite(lower), lower, np.where(np.isfinite(upper), upper, 0.0))
    distance = np.abs(start[list(free)] - edge)
    return Layout(
        names=tuple(entry.name for entry in parameters),
        free=free,
        values=start,
        lower=lower,
        upper=upper,
        scale=np.where(distance > 0, distance, np.where(edge != 0, np.abs(edge), 1.0)),
        prior_mean=np.array([entry.prior.mean if entry.prior else 0.0 for entry in chosen], np.float64),
        prior_width=np.array([entry.prior.width if entry.prior else np.inf for entry in chosen], np.float64),
    )


__all__ = ["Layout", "make_layout"]
