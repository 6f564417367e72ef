"""Helices from one layer to the next, in the plane across the field."""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._types import Scalar
from ..fast.solenoid import BENDING

Geometry = Literal["planar", "cylindrical"]


class TrackState(eqx.Module):
    r"""A charged particle where it starts: in the plane x = 0, or at its point nearest to the z axis.

    **Fields** (scalars)

    - `impact`: y at x = 0 (planar) or the signed distance d₀ from the axis (cylindrical, positive to the left of the
      direction), in m.
    - `angle`: ψ of the direction, in radians; planar: from the x axis, |ψ| < π/2.
    - `curvature`: κ = dψ/ds in 1/m, s the path in the transverse plane; `curvature_of` has it from p_T.
    - `momentum`: p in GeV, for multiple scattering.
    - `cot_theta`: cot θ of the direction against the z axis, 0 across it: material is crossed on a path longer by
      1/sin θ.
    """

    impact: Scalar
    angle: Scalar
    curvature: Scalar
    momentum: Scalar
    cot_theta: Scalar

    def __init__(
        self, impact: Any = 0.0, angle: Any = 0.0, curvature: Any = 0.0, momentum: Any = 10.0, cot_theta: Any = 0.0
    ) -> None:
        """See the class."""
        values = [jnp.asarray(v, jnp.result_type(float, v)) for v in (impact, angle, curvature, momentum, cot_theta)]
        self.impact, self.angle, self.curvature, self.momentum, self.cot_theta = values

    def local(self) -> Float[Array, "3"]:
        """(impact, angle, curvature) as one array."""
        return jnp.stack([self.impact, self.angle, self.curvature])


def curvature_of(pt: Any, charge: Any, field: Any) -> Array:
    r"""\(\kappa=-0.2998\,qB/p_T\) in 1/m: with B along +z (tesla) a positive particle turns clockwise. p_T > 0 in GeV.

    >>> print(f"{curvature_of(1.0, 1, 2.0):.4f}")
    -0.5996
    """
    return -BENDING * jnp.asarray(charge) * jnp.asarray(field) / pt


def advance(
    local: Float[Array, "3"], origin: Scalar, target: Scalar, geometry: Geometry, *, start: bool = False
) -> tuple[Float[Array, "3"], Bool[Array, ""]]:
    r"""The state on the next layer, and whether the helix reaches it.

    A state is (u, ψ, κ): u = y on the plane at x, or u = rφ on the cylinder of radius r; `start`: u = d₀ at the point
    nearest to the axis. Both cases are closed forms that need no exception for κ = 0. Planes: \(\sin\psi'=\sin\psi+
    \kappa h\), \(y'=y+h(\sin\psi+\sin\psi')/(\cos\psi+\cos\psi')\). Cylinders: with P the point, n the normal to the
    left of the direction and \(\mathbf m=\mathbf n+\kappa\mathbf P\), a point Q of the circle at radius r obeys
    \(\mathbf Q\cdot\mathbf m=\kappa(r^2+P^2)/2+\mathbf P\cdot\mathbf n\).

    **Gradient** exact, to any order. Where the layer is out of reach the state is finite and meaningless.
    """
    u, psi, kappa = local
    cosine, sine = jnp.cos(psi), jnp.sin(psi)
    if geometry == "planar":
        step = target - origin
        turned = sine + kappa * step
        reached = (jnp.abs(turned) < 1) & (cosine > 0)
        turned = jnp.where(reached, turned, 0)
        after = jnp.arcsin(turned)
        slope = (sine + turned) / jnp.where(reached, cosine + jnp.cos(after), 1)
        return jnp.stack([u + step * slope, after, kappa]), reached
    # Everything in the frame turned by ψ, in which the direction is x and the normal y: angles stay small.
    if start:
        x, y = jnp.zeros_like(u), u
    else:
        x, y = origin * jnp.cos(u / origin - psi), origin * jnp.sin(u / origin - psi)
    mx, my = kappa * x, 1 + kappa * y
    m2 = mx**2 + my**2
    b = kappa * (target**2 + x**2 + y**2) / 2 + y
    rest = target**2 * m2 - b**2
    reached = rest > 0
    root = jnp.sqrt(jnp.where(reached, rest, 1))
    m2 = jnp.where(m2 > 0, m2, 1)
    qx, qy = (b * mx + root * my) / m2, (b * my - root * mx) / m2
    # The normal there is n + κ(P − Q).
    nx, ny = kappa * (x - qx), 1 + kappa * (y - qy)
    # rφ is continuous in the direction: it does not jump at φ = ±π.
    place = target * (psi + jnp.arctan2(qy, qx))
    return jnp.stack([place, psi + jnp.arctan2(-nx, ny), kappa]), reached


__all__ = ["TrackState", "curvature_of"]
