"""Mean flow: samples in one or a few evaluations."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Float, Key, Noise, Scalar
from ...noise import normal, uniforms
from ...training import constant
from .._base import AbstractDensity, Condition
from .density import Diffusion, check_condition, check_sizes
from .paths import FlowMatching, real
from .samplers._base import check_steps


@final
class MeanFlow(AbstractDensity):
    r"""The average velocity \(u(z,r,t)=\frac1{t-r}\int_r^tv\,\mathrm d\tau\) of flow matching, learned directly.

    A step from t to r is \(z_r=z_t-(t-r)u(z_t,r,t)\), exact for any length, so that one evaluation is a sample (Z. Geng
    et al., arXiv:2505.13447). u obeys \(u=v-(t-r)(v\cdot\partial_zu+\partial_tu)\) (eq. 6), whose right side, held
    fixed, is the target of the loss: eqs. 9 to 11 with \(v=\varepsilon-x\), the derivative by one `jvp`. Events with
    r = t are flow matching.

    **Arguments**

    - `network`: called as network(z, condition, time=t) with c and the length t − r as one condition vector, of size
      `condition_dim + 1`.
    - `dim`, `condition_dim`: sizes of x, which should be standardised, and of c.
    - `num_steps`: of a sample; equal steps, one evaluation each.
    - `share`: part of the loss's events with r < t; the paper has 1/4.
    - `power`: p of the adaptive weight \((|\Delta|^2+10^{-3})^{-p}\), held fixed; 1 as in the paper. With 0, a plain
      square, a network with a fine embedding of time can run away: the target holds its ∂u/∂t.

    **Raises** `ValueError` for a size out of range.

    >>> import jax
    >>> from jaxhep.densities.diffusion import MeanFlow
    >>> from jaxhep.networks import make_network
    >>> network = make_network("residual_mlp", in_size=2, out_size=2, condition_size=1, width=8, time_features=4,
    ...                        key=jax.random.key(0))
    >>> density = MeanFlow(network, dim=2)
    >>> density.sample(density.sample_noise(jax.random.key(1))).shape
    (2,)
    """

    network: Any
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    share: Scalar = constant()
    power: Scalar = constant()

    def __init__(
        self,
        network: Any,
        dim: int,
        condition_dim: int = 0,
        num_steps: int = 1,
        share: float | Array = 0.25,
        power: float | Array = 1.0,
    ):
        check_sizes(dim, condition_dim)
        check_steps(num_steps, 1)
        self.network, self.dim, self.condition_dim, self.num_steps = network, dim, condition_dim, num_steps
        self.share, self.power = real(share), real(power)

    def mean_velocity(
        self, z: Float[Array, " dim"], r: Scalar, t: Scalar, condition: Condition = None
    ) -> Float[Array, " dim"]:
        """u(z, r, t)."""
        check_condition(condition, self.condition_dim)
        length = jnp.reshape(t - r, (1,))
        context = length if condition is None else jnp.concatenate([condition, length])
        result: Array = self.network(z, context, time=t)
        return result

    def target(
        self, z: Float[Array, " dim"], r: Scalar, t: Scalar, velocity: Float[Array, " dim"], condition: Condition = None
    ) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        r"""u and \(v-(t-r)(v\cdot\partial_zu+\partial_tu)\), for a velocity v at (z, t)."""
        value, slope = jax.jvp(
            lambda y, s: self.mean_velocity(y, r, s, condition), (z, t), (velocity, jnp.ones_like(t))
        )
        return value, velocity - (t - r) * slope

    def sample_noise(self, key: Key) -> Noise:
        """Uniforms `start` (dim,)."""
        return {"start": uniforms(key, (self.dim,))}

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """`num_steps` steps from a standard normal."""
        z = normal(noise["start"])
        times = 1 - jnp.arange(self.num_steps + 1, dtype=z.dtype) / self.num_steps

        def step(z: Array, ends: tuple[Array, Array]) -> tuple[Array, None]:
            t, r = ends
            return z - (t - r) * self.mean_velocity(z, r, t, condition), None

        return lax.scan(step, z, (times[:-1], times[1:]))[0]

    def num_evaluations(self) -> int:
        """As many as steps."""
        return self.num_steps

    def loss_noise(self, key: Key) -> Noise:
        """Uniforms: `times` (3,), for the two times and whether they differ, and `start` (dim,), for ε."""
        u = uniforms(key, (self.dim + 3,))
        return {"times": u[:3], "start": u[3:]}

    def times(self, u: Float[Array, "3"]) -> tuple[Scalar, Scalar]:
        """r ≤ t, both of U(0,1) in pairs of which the share `share` differs."""
        low, high = jnp.minimum(u[0], u[1]), jnp.maximum(u[0], u[1])
        t = jnp.where(u[2] < self.share, high, u[0])
        return jnp.where(u[2] < self.share, low, t), t

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """|u − sg(target)|² with the velocity ε − x, times the adaptive weight."""
        eps = normal(noise["start"])
        return self.regression(x, eps, eps - x, condition, noise)

    def regression(
        self,
        x: Float[Array, " dim"],
        eps: Float[Array, " dim"],
        velocity: Any,
        condition: Condition,
        noise: Noise,
    ) -> Scalar:
        """The loss for a velocity, an array or a function of (z, t)."""
        r, t = self.times(noise["times"])
        z = (1 - t) * x + t * eps
        along = velocity(z, t) if callable(velocity) else velocity
        value, target = self.target(z, r, t, along, condition)
        square = jnp.sum((value - lax.stop_gradient(target)) ** 2)
        weight = lax.stop_gradient((square + 1e-3) ** -self.power)
        return weight * square


@final
class Distillation(AbstractDensity):
    r"""A `MeanFlow` taught by a trained flow-matching density.

    The teacher's velocity at \(z_t\), a conditional mean, takes the place of \(\varepsilon-x\), one draw of it: the
    target has the same mean and much less noise, so that the student needs fewer events. `fit` trains the student only.

    **Arguments**: `student`; `teacher`, a `Diffusion` on the path `FlowMatching`, frozen. `sample` is the student's.

    **Raises** `ValueError` if the two differ in size, or the teacher's path is another.
    """

    student: MeanFlow
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)
    teacher: Diffusion = constant()

    def __init__(self, student: MeanFlow, teacher: Diffusion):
        if not isinstance(teacher.path, FlowMatching):
            raise ValueError(
                f"the teacher must be on the path FlowMatching, whose velocity the student averages, not "
                f"{type(teacher.path).__name__}"
            )
        ours, theirs = (student.dim, student.condition_dim), (teacher.dim, teacher.condition_dim)
        if ours != theirs:
            raise ValueError(f"student and teacher have different (dim, condition_dim): {ours} and {theirs}")
        self.student, self.teacher = student, teacher
        self.dim, self.condition_dim = ours

    def sample_noise(self, key: Key) -> Noise:
        """The student's."""
        return self.student.sample_noise(key)

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The student's."""
        return self.student.sample(noise, condition)

    def loss_noise(self, key: Key) -> Noise:
        """The student's."""
        return self.student.loss_noise(key)

    def loss(self, x: Float[Array, " dim"], condition: Condition = None, noise: Noise = ()) -> Scalar:
        """The student's loss with the teacher's velocity."""
        velocity = lambda z, t: lax.stop_gradient(self.teacher.velocity(z, t, condition))  # noqa: E731
        return self.student.regression(x, normal(noise["start"]), velocity, condition, noise)


__all__ = ["Distillation", "MeanFlow"]
