"""Distances between an event and its reconstruction: squares, and optimal transport between sets of particles."""

import abc
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Scalar
from ...training import constant
from ..diffusion.paths import real


def sinkhorn_cost(
    cost: Float[Array, "particle other"],
    x_masses: Float[Array, " particle"],
    y_masses: Float[Array, " other"],
    epsilon: Scalar | float,
    num_iterations: int = 50,
) -> Scalar:
    r"""The entropic transport cost \(\min_P\langle P,C\rangle+\varepsilon\,\mathrm{KL}(P\mid a\otimes b)\).

    Sinkhorn's iterations with logarithms, and the dual value \(\langle a,f\rangle+\langle b,g\rangle\) (G. Peyré, M.
    Cuturi, arXiv:1803.00567, eqs. 4.30 and 4.42).

    **Arguments**: `cost` C; `x_masses` a and `y_masses` b, not negative, of sum one; zeros are slots without a
    particle; `epsilon` ε in units of the cost; `num_iterations`.

    **Returns** the cost; its gradient is that of the iterations, finite for empty slots.
    """
    tiny = jnp.finfo(cost.dtype).tiny
    log_a, log_b = (jnp.log(jnp.maximum(m, tiny)) for m in (x_masses, y_masses))
    scaled = -cost / epsilon

    def step(g: Array, _: None) -> tuple[Array, None]:
        f = -jax.nn.logsumexp(scaled + (g + log_b)[None], axis=1)
        return -jax.nn.logsumexp(scaled + (f + log_a)[:, None], axis=0), None

    g, _ = jax.lax.scan(step, jnp.zeros_like(log_b), None, length=num_iterations)
    f = -jax.nn.logsumexp(scaled + (g + log_b)[None], axis=1)
    return epsilon * (x_masses @ f + y_masses @ g)


class AbstractReconstruction(eqx.Module):
    """A distance D(x, x̂) of an event and its reconstruction, not negative."""

    @abc.abstractmethod
    def __call__(self, x: Float[Array, " dim"], y: Float[Array, " dim"]) -> Scalar:
        """D."""


@final
class SquaredError(AbstractReconstruction):
    """|x − x̂|²."""

    def __call__(self, x: Float[Array, " dim"], y: Float[Array, " dim"]) -> Scalar:
        """The sum over columns."""
        return jnp.sum((x - y) ** 2)


@final
class SinkhornDistance(AbstractReconstruction):
    r"""The Sinkhorn divergence of two sets of particles, \(S=W_\varepsilon(x,y)-\frac12W_\varepsilon(x,x)-\frac12
    W_\varepsilon(y,y)\), with squared distances as cost.

    x is the flattened table (particle, 1 + coordinates): first the mass of each particle (p_T, say; those not positive
    are no particles), then its place. Masses are normalised within the event; the difference of the sums is added,
    squared. S is not negative, zero for equal sets in any order, and tends to the squared Wasserstein-2 distance for
    small ε (J. Feydy et al., arXiv:1810.08278): the loss of particle sets of J. Collins, arXiv:2109.10919.

    **Arguments**: `num_particles`, static; `epsilon` ε in units of squared coordinates; `num_iterations`, which should
    exceed the largest squared distance over ε.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.autoencoders import SinkhornDistance
    >>> x = jnp.array([1.0, 0.0, 0.0, 1.0, 1.0, 1.0])  # two particles (mass, y, φ)
    >>> swapped = jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    >>> abs(float(SinkhornDistance(num_particles=2)(x, swapped))) < 1e-5
    True
    """

    num_particles: int = eqx.field(static=True)
    num_iterations: int = eqx.field(static=True)
    epsilon: Scalar = constant()

    def __init__(self, num_particles: int, epsilon: float | Array = 0.03, num_iterations: int = 100):
        self.num_particles, self.epsilon, self.num_iterations = num_particles, real(epsilon), num_iterations

    def __call__(self, x: Float[Array, " dim"], y: Float[Array, " dim"]) -> Scalar:
        """S."""
        if x.shape[0] % self.num_particles or x.shape[0] == self.num_particles:
            raise ValueError(
                f"an event of {x.shape[0]} columns is no table of {self.num_particles} particles with mass and place"
            )
        (a, total, p), (b, other, q) = self._measure(x), self._measure(y)
        cross = self._cost(p, a, q, b)
        return cross - (self._cost(p, a, p, a) + self._cost(q, b, q, b)) / 2 + (total - other) ** 2

    def _measure(self, x: Array) -> tuple[Array, Array, Array]:
        table = x.reshape(self.num_particles, -1)
        masses = jax.nn.relu(table[:, 0])
        total = jnp.sum(masses)
        empty = total <= 0
        shares = jnp.where(empty, 1 / self.num_particles, masses / jnp.where(empty, 1.0, total))
        return shares, total, table[:, 1:]

    def _cost(self, p: Array, a: Array, q: Array, b: Array) -> Array:
        cost = jnp.sum((p[:, None] - q[None]) ** 2, axis=-1)
        return sinkhorn_cost(cost, a, b, self.epsilon, self.num_iterations)


__all__ = ["AbstractReconstruction", "SinkhornDistance", "SquaredError", "sinkhorn_cost"]
