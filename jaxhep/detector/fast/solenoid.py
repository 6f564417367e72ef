"""The way of charged particles through a solenoid to the calorimeter."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..._types import Scalar
from ._smooth import leaf, smooth_step

BENDING = 0.299792458
"""p_T in GeV of a particle of charge e on a circle of 1 m in 1 T (the speed of light in 10⁹ m/s, exact)."""


class Solenoid(eqx.Module):
    r"""A homogeneous field along z inside a cylinder whose wall is the calorimeter.

    A particle of charge q turns on a circle of radius \(\varrho=p_T/(0.2998\,|q|B)\). With \(\kappa=R/2\varrho\) it
    enters the barrel, seen from the origin, turned by \(\delta_b=\arcsin\kappa\) and the end cap by
    \(\delta_e=\kappa L/(R|\cot\theta|)\); the smaller of the two is its \(\delta\), and it arrives at

    \[\varphi'=\varphi-\mathrm{sign}(q)\,\delta,\qquad\cot\theta'=\cot\theta\;\delta/\sin\delta .\]

    With κ ≥ 1 the barrel is out of reach, and an end cap that would need more than half a turn counts as out of reach
    too: such a particle curls up inside (Delphes' propagation, arXiv:1307.6346, section 3.1, with this cut in place of
    many turns).

    **Arguments**

    - `field`: B ≥ 0 in tesla, along +z.
    - `radius`, `half_length`: R and L > 0 in metres.
    - `looper_width`: relative width, above 0 and at most 1, over which the share that reaches the calorimeter falls to
      zero.

    All are leaves.

    **Raises** `ValueError` for values outside their ranges.

    **Gradient** pathwise and continuous: at the looper cut the share, not a decision, goes to zero, faster than the
    slope of the arcsine grows.

    >>> import jax.numpy as jnp
    >>> coil = Solenoid(field=1.5, radius=1.85, half_length=2.2)
    >>> turn, stretch, reaches = coil(jnp.array([10.0]), jnp.array([0.0]), jnp.array([1]))
    >>> print(f"{turn[0]:.5f} {reaches[0]:.0f}")    # arcsin(0.2998 · 1.5 · 1.85 / 20)
    0.04161 1
    """

    field: Scalar
    radius: Scalar
    half_length: Scalar
    looper_width: Scalar

    def __init__(self, field: Any, radius: Any, half_length: Any, looper_width: Any = 0.05) -> None:
        """See the class."""
        self.field = leaf("field", field, (), "the field is 0 or more, in tesla; turn charges for the other sign")
        self.radius = leaf("radius", radius, (), "the radius is a positive length in m", open_=True)
        self.half_length = leaf("half_length", half_length, (), "a positive length in m", open_=True)
        self.looper_width = leaf("looper_width", looper_width, (), "a share in (0, 1]", 0.0, 1.0, open_=True)

    def __call__(
        self, pt: Float[Array, "*n"], cot_theta: Float[Array, "*n"], charge: Int[Array, "*n"]
    ) -> tuple[Float[Array, "*n"], Float[Array, "*n"], Float[Array, "*n"]]:
        r"""Where particles arrive.

        **Arguments**: `pt` > 0 in GeV, `cot_theta`, `charge` in units of e; equal shapes.

        **Returns** \(\mathrm{sign}(q)\,\delta\) in radians (to be subtracted from φ), \(\delta/\sin\delta\) (factor on
        cot θ), and the share in [0, 1] that arrives.
        """
        kappa = BENDING * jnp.abs(charge) * self.field * self.radius / (2 * pt)
        slope = jnp.maximum(jnp.abs(cot_theta), 1e-6)
        end_cap = kappa * self.half_length / (self.radius * slope)
        limit = 1 - 1e-5
        inside = kappa < limit
        barrel = jnp.where(inside, jnp.arcsin(jnp.where(inside, kappa, 0)), math.pi / 2)
        delta = jnp.minimum(barrel, end_cap)
        small = delta < 1e-3
        ratio = jnp.where(small, 1 + delta**2 / 6, delta / jnp.sin(jnp.where(small, 1, delta)))
        half = self.looper_width / 2
        to_barrel = smooth_step(1 - kappa, half, half)
        to_end_cap = smooth_step(1 - end_cap / (math.pi / 2), half, half)
        return jnp.sign(charge) * delta, ratio, 1 - (1 - to_barrel) * (1 - to_end_cap)


__all__ = ["Solenoid"]
