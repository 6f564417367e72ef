"""A density together with the preprocessing of its events and conditions."""

import abc
from typing import Any, overload

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ... import noise as variates
from ..._types import Array, Float, Key, Noise, Scalar
from .._arguments import check_condition, check_event
from .._base import AbstractDensity, AbstractTractableDensity, Condition
from .standardise import Preprocessing


def _condition(conditions: Preprocessing | None, condition: Condition) -> Condition:
    if conditions is None or condition is None:
        return condition
    return conditions.inverse(condition)[0]


class _AbstractPreprocessed(AbstractDensity):
    """What both kinds share: draws, and the noise of the loss."""

    density: eqx.AbstractVar[AbstractDensity]
    events: eqx.AbstractVar[Preprocessing]
    conditions: eqx.AbstractVar[Preprocessing | None]

    @abc.abstractmethod
    def _jacobian(self, log_det: Scalar) -> Scalar:
        """What the loss adds for the preprocessing."""

    def sample_noise(self, key: Key) -> Noise:
        """The noise of the density inside."""
        return self.density.sample_noise(key)

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """A draw in the units of the data; discrete columns are rounded."""
        check_condition(condition, self.condition_dim)
        z = self.density.sample(noise, _condition(self.conditions, condition))
        return self.events.round(self.events.forward(z)[0])

    def loss_noise(self, key: Key) -> Noise:
        """The noise of the density's loss, and where a column is discrete one variate a column."""
        inner = self.density.loss_noise(key)
        if not any(self.events.discrete):
            return (inner, ())

        return (inner, variates.uniforms(jax.random.fold_in(key, 1), (self.dim,)))

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """The loss of the density inside at the preprocessed event, less the log-Jacobian where it has a log_prob.

        U(−½, ½) is added to discrete columns; without noise they stay at the centre of their cell.
        """
        inner, shift = noise if noise else ((), ())
        z, log_det, given = self._standardised(x, condition, None if isinstance(shift, tuple) else shift)
        loss = self.density.loss(z, given, inner)
        return loss - self._jacobian(log_det)

    def _standardised(self, x: Array, condition: Condition, shift: Array | None) -> tuple[Array, Scalar, Condition]:
        check_event(x, self.dim)
        check_condition(condition, self.condition_dim)
        if any(self.events.discrete) and shift is not None:
            x = x + jnp.where(jnp.asarray(self.events.discrete), jnp.asarray(shift) - 0.5, 0.0).astype(x.dtype)
        z, log_det = self.events.inverse(x)
        return z, log_det, _condition(self.conditions, condition)

    def standardised(self, x: Float[Array, " dim"], condition: Condition, key: Key) -> tuple[Array, Condition]:
        """Event and condition as the density inside sees them, with U(−½, ½) from the key added to discrete columns."""
        shift = variates.uniforms(jax.random.fold_in(key, 1), (self.dim,)) if any(self.events.discrete) else None
        z, _, given = self._standardised(x, condition, shift)
        return z, given


class PreprocessedDensity(_AbstractPreprocessed):
    """A density without log_prob in the units of the data. Make one with `preprocess`."""

    density: AbstractDensity
    events: Preprocessing
    conditions: Preprocessing | None
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def _jacobian(self, log_det: Scalar) -> Scalar:
        return jnp.zeros_like(log_det)


class PreprocessedTractableDensity(_AbstractPreprocessed, AbstractTractableDensity):
    r"""A density with \(\ln p(x\mid c)=\ln p_z(z\mid c')+\ln|\det\partial z/\partial x|\) in the units of the data.

    Outside of the columns' ranges it is −∞. Of a discrete column `log_prob` is the density of the number with U(−½, ½)
    added, whose integral over the cell of k is P(k). Make one with `preprocess`.
    """

    density: AbstractTractableDensity
    events: Preprocessing
    conditions: Preprocessing | None
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def _jacobian(self, log_det: Scalar) -> Scalar:
        return log_det

    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """The log density in nats, per unit of the data."""
        check_event(x, self.dim)
        check_condition(condition, self.condition_dim)
        inside = self.events.supports(x)
        # A point inside for the branch that is not taken, so that no NaN reaches the gradient.
        centre = lax.stop_gradient(self.events.forward(jnp.zeros_like(x))[0])
        z, log_det = self.events.inverse(jnp.where(inside, x, centre.astype(x.dtype)))
        log_prob = self.density.log_prob(z, _condition(self.conditions, condition)) + log_det
        return jnp.where(inside, log_prob, -jnp.inf)


@overload
def preprocess(
    density: AbstractTractableDensity, events: Preprocessing, conditions: Preprocessing | None = None
) -> PreprocessedTractableDensity: ...
@overload
def preprocess(
    density: AbstractDensity, events: Preprocessing, conditions: Preprocessing | None = None
) -> PreprocessedDensity | PreprocessedTractableDensity: ...
def preprocess(density: Any, events: Any, conditions: Any = None) -> Any:
    """A density of raw events and conditions from one of standardised ones; train it and publish it as a whole.

    **Arguments**

    - `density`: over the standardised columns.
    - `events`: the `Preprocessing` of x, of the density's `dim`.
    - `conditions`: the `Preprocessing` of c; None if c is of order one already.

    **Returns** a `PreprocessedTractableDensity` where the density has a log_prob, else a `PreprocessedDensity`.

    **Raises** `ValueError` if the sizes do not fit.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.flows import Normal
    >>> from jaxhep.densities.preprocessing import Preprocessing, preprocess, real
    >>> wide = preprocess(Normal(1), Preprocessing((real(),), jnp.array([5.0]), jnp.array([2.0])))
    >>> round(float(wide.log_prob(jnp.array([5.0]))), 4)  # −ln 2√(2π)
    -1.6121
    """
    if events.dim != density.dim:
        raise ValueError(f"the preprocessing has {events.dim} columns, the density {density.dim}")
    if conditions is not None:
        if conditions.dim != density.condition_dim:
            raise ValueError(
                f"the preprocessing of the condition has {conditions.dim} columns, the density's condition "
                f"{density.condition_dim}"
            )
        if any(conditions.discrete):
            raise ValueError("a condition needs no dequantisation; declare its discrete columns real")
    kind = PreprocessedTractableDensity if isinstance(density, AbstractTractableDensity) else PreprocessedDensity
    return kind(density, events, conditions, density.dim, density.condition_dim)


__all__ = ["PreprocessedDensity", "PreprocessedTractableDensity", "preprocess"]
