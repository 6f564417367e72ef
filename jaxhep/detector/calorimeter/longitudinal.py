r"""How an electromagnetic shower deposits its energy along its axis.

A gamma distribution of the depth t in radiation lengths,
\(f(t)=(\beta t)^{\alpha-1}\beta e^{-\beta t}/\Gamma(\alpha)\), whose depth of maximum \(T=(\alpha-1)/\beta\) and shape
α depend on \(y=E/E_c\) and fluctuate from shower to shower (Grindhammer & Peters, hep-ex/0001020, sections 2 and 3).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from ..._types import Array, Float, Scalar
from ...noise import normal
from ..materials import Medium
from ._bounds import capped, floored
from ._incomplete_gamma import LARGEST_SHAPE, incomplete_gamma


class Profile(eqx.Module):
    r"""The longitudinal profile of one shower.

    **Fields**

    - `depth_of_maximum`: T in radiation lengths, positive.
    - `shape`: α, above 1.
    - `log_shape_mean`: \(\langle\ln\alpha\rangle\) of showers of this energy, which scales depths in the radial
      profile; for a mean profile its own ln α.
    """

    depth_of_maximum: Scalar
    shape: Scalar
    log_shape_mean: Scalar

    @property
    def rate(self) -> Scalar:
        r"""\(\beta=(\alpha-1)/T\), in inverse radiation lengths."""
        return (self.shape - 1) / self.depth_of_maximum

    def contained(self, depth: Float[Array, "*n"]) -> Float[Array, "*n"]:
        r"""\(P(\alpha,\beta t)\), the part of the energy deposited before the depth t ≥ 0 (in radiation lengths from
        the start of the shower); 0 at negative depths. Differentiable in t, T and α."""
        return incomplete_gamma(self.shape, self.rate * depth)

    def relative_depth(self, depth: Float[Array, "*n"]) -> Float[Array, "*n"]:
        r"""\(\tau=\frac{t}{\langle t\rangle}\frac{e^{\langle\ln\alpha\rangle}}{e^{\langle\ln\alpha\rangle}-1}\),
        \(\langle t\rangle=\alpha/\beta\): for a mean profile t/T. Negative depths count as 0."""
        mean_shape = 1 + floored(jnp.expm1(self.log_shape_mean), 0.1, 0.02)
        scale = mean_shape / (mean_shape - 1) * self.rate / self.shape
        return scale * jnp.maximum(depth, 0)


class ProfileMoments(eqx.Module):
    r"""The correlated Gaussian of (ln T, ln α): means, widths and correlation ρ; all dimensionless scalars."""

    mean_log_depth: Scalar
    sigma_log_depth: Scalar
    mean_log_shape: Scalar
    sigma_log_shape: Scalar
    correlation: Scalar


def _log_y(medium: Medium, energy: Scalar) -> Scalar:
    return jnp.log(1000 * energy / medium.critical_energy)


def _shape(value: Array) -> Array:
    """A shape kept between 1 and 40: the formula's own value from 1.1 to 30."""
    return 1 + floored(capped(value, 30.0, LARGEST_SHAPE) - 1, 0.1, 0.02)


def mean_profile(medium: Medium, energy: Scalar) -> Profile:
    r"""The mean profile of many showers.

    Homogeneous: \(T=\ln y-0.858\), \(\alpha=0.21+(0.492+2.38/Z)\ln y\). Sampling: \(T-0.59/F_S-0.53(1-\hat e)\),
    \(\alpha-0.444/F_S\). Continued smoothly below T = 0.5 and α = 1.1.

    **Arguments** `energy` in GeV, positive.

    **Source** hep-ex/0001020, eqs. for the average shower in sections 2.1 and 3.1.
    """
    log_y = _log_y(medium, energy)
    depth = log_y - 0.858
    shape = 0.21 + (0.492 + 2.38 / medium.z) * log_y
    if medium.sampling:
        depth = depth - 0.59 * medium.period - 0.53 * (1 - medium.e_over_mip)
        shape = shape - 0.444 * medium.period
    shape = _shape(shape)
    return Profile(floored(depth, 0.5, 0.1), shape, jnp.log(shape))


def profile_moments(medium: Medium, energy: Scalar) -> ProfileMoments:
    r"""Means, widths and correlation of (ln T, ln α) of single showers.

    Homogeneous: \(\langle\ln T\rangle=\ln(\ln y-0.812)\), \(\sigma=1/(-1.4+1.26\ln y)\);
    \(\langle\ln\alpha\rangle=\ln(0.81+(0.458+2.26/Z)\ln y)\), \(\sigma=1/(-0.58+0.86\ln y)\);
    \(\rho=0.705-0.023\ln y\). Sampling: \(\ln(e^{\langle\ln T\rangle}-0.55/F_S-0.69(1-\hat e))\), \(1/(-2.5+1.25\ln
    y)\); \(\ln(e^{\langle\ln\alpha\rangle}-0.476/F_S)\), \(1/(-0.82+0.79\ln y)\); \(0.784-0.023\ln y\).
    Each is continued smoothly where it would leave its range: the arguments of the logarithms below 0.5 and 1.1, the
    widths above 1 (they stay below 2), ρ above 0.95.

    **Arguments** `energy` in GeV, positive.

    **Source** hep-ex/0001020, sections 2.2 and 3.2.
    """
    log_y = _log_y(medium, energy)
    depth = log_y - 0.812
    shape = 0.81 + (0.458 + 2.26 / medium.z) * log_y
    if medium.sampling:
        depth = depth - 0.55 * medium.period - 0.69 * (1 - medium.e_over_mip)
        shape = shape - 0.476 * medium.period
        widths, rho = (-2.5 + 1.25 * log_y, -0.82 + 0.79 * log_y), 0.784 - 0.023 * log_y
    else:
        widths, rho = (-1.4 + 1.26 * log_y, -0.58 + 0.86 * log_y), 0.705 - 0.023 * log_y
    rho = 1 - floored(1 - rho, 0.05)
    return ProfileMoments(
        mean_log_depth=jnp.log(floored(depth, 0.5, 0.1)),
        sigma_log_depth=1 / floored(widths[0], 1.0, 0.5),
        mean_log_shape=jnp.log(_shape(shape)),
        sigma_log_shape=1 / floored(widths[1], 1.0, 0.5),
        correlation=floored(1 + rho, 0.05) - 1,
    )


def draw_profile(moments: ProfileMoments, noise: Float[Array, "2"]) -> Profile:
    r"""The profile of one shower from two variates of U(0,1).

    \(\ln T=\langle\ln T\rangle+\sigma_T(\sqrt{(1+\rho)/2}\,z_1+\sqrt{(1-\rho)/2}\,z_2)\), \(\ln\alpha\) the same with
    a minus sign; z by the inverse of the normal distribution, so the gradient is pathwise. An α below 1.1 is continued
    smoothly above 1 (at 1 GeV in lead for 5 showers in 100,000), one above 30 below 40.
    """
    z = normal(noise)
    plus = jnp.sqrt((1 + moments.correlation) / 2) * z[0]
    minus = jnp.sqrt((1 - moments.correlation) / 2) * z[1]
    log_depth = moments.mean_log_depth + moments.sigma_log_depth * (plus + minus)
    log_shape = moments.mean_log_shape + moments.sigma_log_shape * (plus - minus)
    return Profile(jnp.exp(log_depth), _shape(jnp.exp(log_shape)), moments.mean_log_shape)


def spot_profile(medium: Medium, profile: Profile) -> Profile:
    r"""The profile of the number of energy spots, of which there are more behind than there is energy.

    Homogeneous: \(T_s=T(0.698+0.00212Z)\), \(\alpha_s=\alpha(0.639+0.00334Z)\); sampling: \(T(0.813+0.0019Z)\),
    \(\alpha(0.844+0.0026Z)\).

    **Source** hep-ex/0001020, sections 2.3 and 3.3.
    """
    t, a = (0.813 + 0.0019 * medium.z, 0.844 + 0.0026 * medium.z)
    if not medium.sampling:
        t, a = (0.698 + 0.00212 * medium.z, 0.639 + 0.00334 * medium.z)
    return Profile(profile.depth_of_maximum * t, _shape(profile.shape * a), profile.log_shape_mean)


def spot_number(medium: Medium, energy: Scalar, sampling_term: Any = None) -> Scalar:
    r"""The expected number of spots: homogeneous \(93\ln(Z)E^{0.876}\), sampling \((10.3/c)E^{0.959}\).

    **Arguments**: `energy` in GeV; `sampling_term` c in √GeV, only for sampling calorimeters.
    """
    if not medium.sampling:
        return 93 * jnp.log(medium.z) * energy**0.876
    if sampling_term is None:
        raise ValueError("the number of spots in a sampling calorimeter is 10.3 E^0.959/c: give sampling_term c")
    return 10.3 / sampling_term * energy**0.959


__all__ = [
    "Profile",
    "ProfileMoments",
    "draw_profile",
    "mean_profile",
    "profile_moments",
    "spot_number",
    "spot_profile",
]
