"""The probability flow by diffrax, with steps chosen by an error estimate."""

from typing import Any, final

import equinox as eqx

from ...._types import Array, Float, Scalar
from ....training import constant
from ..paths import AbstractPath, real
from ._base import AbstractSampler, Field, velocity


@final
class AdaptiveODE(AbstractSampler):
    """The probability flow by Dormand and Prince's method of fifth order with adaptive steps (diffrax's `Dopri5`).

    The reference of the other samplers. Differentiable in reverse mode.

    **Arguments**: `rtol`, `atol`: tolerances of a step; `num_steps`: the most steps, beyond which an error is raised;
    `denoise`.
    """

    num_steps: int = eqx.field(static=True)
    denoise: bool = eqx.field(static=True)
    rtol: Scalar = constant()
    atol: Scalar = constant()

    def __init__(
        self, rtol: float | Array = 1e-5, atol: float | Array = 1e-5, num_steps: int = 4096, denoise: bool = True
    ):
        self.rtol, self.atol, self.num_steps, self.denoise = real(rtol), real(atol), num_steps, denoise

    def __call__(
        self,
        field: Field,
        path: AbstractPath,
        start: Float[Array, " dim"],
        normals: Float[Array, "step dim"] | None = None,
    ) -> Float[Array, " dim"]:
        """See `AbstractSampler`."""
        return self.solve(field, path, start)[0]

    def solve(
        self, field: Field, path: AbstractPath, start: Float[Array, " dim"]
    ) -> tuple[Float[Array, " dim"], Array]:
        """The event, and how often the field was evaluated for it (six times a step, and once)."""
        import diffrax

        early, late = path.ends()

        def slope(t: Any, x: Array, _: None) -> Array:
            return velocity(field, path, x, t)

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            diffrax.Dopri5(),
            late,
            early,
            None,
            start,
            stepsize_controller=diffrax.PIDController(self.rtol, self.atol),
            max_steps=self.num_steps,
        )
        x = solution.ys[0]
        count = 6 * solution.stats["num_steps"] + 1
        if self.denoise and not path.ends_clean:
            x, count = field(x, early)[0], count + 1
        return x, count

    def num_evaluations(self, path: AbstractPath) -> None:
        """None: it depends on the event."""
        return None


__all__ = ["AdaptiveODE"]
