r"""Catani–Seymour kernels of massless final-state dipoles, their overestimates, and draws of z.

With v = 1 − z and κ² = t/m², y = κ²/(zv). The eikonal part is exactly \(2/(1-z(1-y))=2v/(v^2+\kappa^2)\), y < 1 means
\(v_-<v<v_+\), \(v_\pm=\tfrac12(1\pm\sqrt{1-4\kappa^2})\), and \(v_\pm^2+\kappa^2=v_\pm\); so its integral over the
phase space is \(I=\ln(v_+/v_-)\le\ln(m^2/t)\) and it is inverted by \(v^2=v_-^2+v_-(e^{uI}-1)\). The limits move with t
and m, but the kernels carry the factor 1 − y, which vanishes on them: no flux is lost when they move under a draw that
is held fixed.
"""

from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, Bool, Scalar
from ..units import T_R

FLAVOUR_RATE = T_R / 2
"""Overestimate of g → q q̄ for one flavour and one colour line: P_gq ≤ T_R/2."""


class Splitting(NamedTuple):
    """The variables of a splitting, and how likely the kernel is among the trials."""

    v: Scalar
    """1 − z."""
    y: Scalar
    share: Scalar
    """Kernel times (1 − y) over the overestimate, without couplings and colour: 0 outside the phase space."""


def draw(
    log_ratio: Scalar,
    u: Scalar,
    gluon_emission: Bool[Array, ""],
    from_gluon: Bool[Array, ""],
    exact: Bool[Array, ""],
) -> Splitting:
    r"""z from the overestimate, and the share of the kernel.

    `log_ratio` is ln(m²/t) > 0; the overestimates are `log_ratio` for gluon emission (per colour factor) and 1 for g →
    q q̄ (per T_R/2). Where `exact` is set, 1 + z gives way to 1 + x_q = 1 + z + yv, which makes the sum over both ends
    of a q q̄ dipole the matrix element \((x_1^2+x_2^2)/((1-x_1)(1-x_2))\) (S. Catani, M. Seymour, hep-ph/9605323,
    appendix D).
    """
    kappa2 = jnp.exp(-log_ratio)
    room = 1 - 4 * kappa2
    open_ = room > 0
    root = jnp.sqrt(jnp.where(open_, room, 1))
    high = (1 + root) / 2
    low = kappa2 / high
    integral = jnp.where(open_, jnp.log(high / low), 1)
    soft = jnp.sqrt(low * (low + jnp.expm1(u * integral)))
    v = jnp.where(gluon_emission, soft, low + u * root)
    # Rounding must not carry v past the limits.
    v = jnp.clip(jnp.where(open_, v, 0.5), 1e-12, 1 - 1e-7)
    z = 1 - v
    y = jnp.where(open_, kappa2 / (z * v), 1)
    inside = y < 1
    y = jnp.where(inside, y, 0.5)
    subtracted = jnp.where(from_gluon, 2 - z * v, 1 + z + jnp.where(exact, y * v, 0))
    emission = (1 - subtracted * (v * v + kappa2) / (2 * v)) * integral / jnp.where(log_ratio > 0, log_ratio, 1)
    share = jnp.where(gluon_emission, emission, (1 - 2 * z * v) * root)
    return Splitting(v, y, jnp.where(inside & open_, jnp.maximum((1 - y) * share, 0), 0))
