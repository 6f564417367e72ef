r"""How a shower spreads across its axis: a narrow core and a wide tail.

\(f(r)=p\,\frac{2rR_C^2}{(r^2+R_C^2)^2}+(1-p)\frac{2rR_T^2}{(r^2+R_T^2)^2}\), r in Molière radii (Grindhammer & Peters,
hep-ex/0001020, sections 2.1 and 3.1).
"""

import equinox as eqx
import jax.numpy as jnp

from ..._types import Array, Float, Scalar
from ..materials import Medium
from ._bounds import capped, floored, probability


class RadialProfile(eqx.Module):
    r"""Core radius \(R_C\), tail radius \(R_T\) (in Molière radii) and probability p of the core, at each depth."""

    core: Float[Array, "*n"]
    tail: Float[Array, "*n"]
    probability: Float[Array, "*n"]

    def contained(self, radius: Float[Array, "*n"]) -> Float[Array, "*n"]:
        r"""The part within r ≥ 0: \(p\,r^2/(r^2+R_C^2)+(1-p)\,r^2/(r^2+R_T^2)\)."""
        square = radius**2
        core, tail = square / (square + self.core**2), square / (square + self.tail**2)
        return self.probability * core + (1 - self.probability) * tail

    def radius(self, uniform: Float[Array, "*n"]) -> Float[Array, "*n"]:
        r"""The radius that contains the part v: the inverse of the **mixture's** distribution.

        With \(s=r^2\), \((1-v)s^2+s[pR_T^2+(1-p)R_C^2-v(R_C^2+R_T^2)]-vR_C^2R_T^2=0\), of which the positive root is
        taken. No choice between core and tail is left, so the gradient is pathwise and complete.

        **Arguments** `uniform`: v in (0, 1).
        """
        v, p, c2, t2 = uniform, self.probability, self.core**2, self.tail**2
        middle = p * t2 + (1 - p) * c2 - v * (c2 + t2)
        product = v * c2 * t2
        root = jnp.sqrt(middle**2 + 4 * (1 - v) * product)
        positive = middle > 0
        small = 2 * product / (jnp.where(positive, middle, 1.0) + root)
        large = (root - jnp.where(positive, 0.0, middle)) / (2 * (1 - v))
        return jnp.sqrt(jnp.where(positive, small, large))


def radial_profile(medium: Medium, energy: Scalar, relative_depth: Float[Array, "*n"]) -> RadialProfile:
    r"""The radial profile at relative depths τ.

    \(R_C=z_1+z_2\tau\), \(R_T=k_1(e^{k_3(\tau-k_2)}+e^{k_4(\tau-k_2)})\), \(p=p_1\exp(\frac{p_2-\tau}{p_3}-
    \exp\frac{p_2-\tau}{p_3})\); for sampling calorimeters \(R_C-0.0203(1-\hat e)+0.0397e^{-\tau}/F_S\),
    \(R_T-0.14(1-\hat e)-0.495e^{-\tau}/F_S\), \(p+(1-\hat e)(0.348-0.642e^{-(\tau-1)^2}/F_S)\). The constants hold ln E
    with E in GeV. Continued smoothly where R_C < 0.005, R_T < 0.05, p outside [0.005, 0.98] and τ > 15.

    **Arguments**: `energy` in GeV; `relative_depth` τ ≥ 0 (`Profile.relative_depth`).

    **Source** hep-ex/0001020, sections 2.1 and 3.1, with k4's 0.0421 of the paper (Geant4 has 0.0412, a digit swap).
    """
    z, tau = medium.z, capped(relative_depth, 15.0, 20.0)
    log_e = jnp.log(energy)
    core = 0.0251 + 0.00319 * log_e + (0.1162 - 0.000381 * z) * tau
    k2 = 0.645
    spread = jnp.exp(-2.59 * (tau - k2)) + jnp.exp((0.3585 + 0.0421 * log_e) * (tau - k2))
    tail = (0.659 - 0.00309 * z) * spread
    x = (0.401 + 0.00187 * z - tau) / floored(1.313 - 0.0686 * log_e, 0.5, 0.2)
    core_part = (2.632 - 0.00094 * z) * jnp.exp(x - jnp.exp(x))
    if medium.sampling:
        rest, fade = 1 - medium.e_over_mip, medium.period * jnp.exp(-tau)
        core = core - 0.0203 * rest + 0.0397 * fade
        tail = tail - 0.14 * rest - 0.495 * fade
        core_part = core_part + rest * (0.348 - 0.642 * medium.period * jnp.exp(-((tau - 1) ** 2)))
    return RadialProfile(floored(core, 0.005, 0.001), floored(tail, 0.05, 0.01), probability(core_part))


__all__ = ["RadialProfile", "radial_profile"]
