r"""Massless 2→3 branchings in spinors.

A massless momentum is \(p^\mu\sigma_\mu=\lambda\lambda^\dagger\) with a two-component complex spinor λ, and
\(2p_a\cdot p_b=|\langle ab\rangle|^2\). A branching I K → i j k is then a linear map

    λ_r = a_r λ_I + b_r e^{iφ} λ_K,      r = i, j, k,

and four-momentum is conserved exactly when the real columns a, b are orthonormal 3-vectors. The unit vector w
orthogonal to both carries the invariants: w_i² = s_jk/s, w_j² = s_ik/s, w_k² = s_ij/s. The one freedom left, a rotation
of (a, b)
about w, is the recoil angle. No boost and no invariant mass is computed, and every momentum is massless by
construction.
"""

import jax.numpy as jnp

from .._types import Array, Float, Scalar


def invariant_fractions(distance_i: Scalar, distance_k: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    r"""The square roots of \((s_{jk}, s_{ik}, s_{ij})/s_{IK}\) for a gluon inside the hyperbola.

    With the distances to the two edges of the rapidity range, \(D_i = Y+y\) and \(D_k=Y-y\), where
    \(2k_\perp\cosh Y=\sqrt{s_{IK}}\): \(s_{jk}/s=e^{-D_i}/(1+e^{-D_i-D_k})\), \(s_{ij}/s=e^{-D_k}/(1+e^{-D_i-D_k})\),
    and \(s_{ik}/s=(1-e^{-D_i})(1-e^{-D_k})/(1+e^{-D_i-D_k})\), which is positive for all positive distances.
    """
    ei, ek = jnp.exp(-distance_i), jnp.exp(-distance_k)
    norm = 1 / (1 + ei * ek)
    hard = jnp.expm1(-distance_i) * jnp.expm1(-distance_k) * norm
    positive = hard > 0
    wj = jnp.where(positive, jnp.sqrt(jnp.where(positive, hard, 1)), 0)
    return jnp.sqrt(ei * norm), wj, jnp.sqrt(ek * norm)


def ariadne_coefficients(
    wi: Scalar, wj: Scalar, wk: Scalar, one: Scalar | float = 1.0
) -> tuple[tuple[Scalar, Scalar], ...]:
    r"""The pairs (a_r, b_r) for r = i, j, k with the recoil of ARIADNE.

    The angle between I and i is \(\psi=\frac{E_k^2}{E_i^2+E_k^2}(\pi-\theta_{ik})\) in the dipole rest frame (L.
    Lönnblad, Comput. Phys. Commun. 71 (1992) 15), with \(E_i\propto1-w_i^2\), \(E_k\propto1-w_k^2\) and
    \(\tan\tfrac12(\pi-\theta_{ik})=w_iw_k/w_j\).
    """
    energy_i, energy_k = 1 - wi * wi, 1 - wk * wk
    share = energy_k**2 / (energy_i**2 + energy_k**2)
    half_angle = jnp.arctan2(wi * wk, wj) / one
    angle_i = share * half_angle
    angle_k = half_angle - angle_i
    root_i, root_k = jnp.sqrt(energy_i), jnp.sqrt(energy_k)
    ai, bi = root_i * jnp.cos(angle_i) / one, -root_i * jnp.sin(angle_i) / one
    ak, bk = -root_k * jnp.sin(angle_k) / one, root_k * jnp.cos(angle_k) / one
    aj, bj = wk * bi - wi * bk, wi * ak - wk * ai
    return (ai, bi), (aj, bj), (ak, bk)


def spinor_momenta(spinors: Float[Array, "4 *n"]) -> Float[Array, "*n 4"]:
    r"""Four-momenta (E, px, py, pz) of spinors stored as (Re λ₁, Im λ₁, Re λ₂, Im λ₂)."""
    a, b, c, d = spinors
    up, down = a * a + b * b, c * c + d * d
    return jnp.stack([(up + down) / 2, a * c + b * d, a * d - b * c, (up - down) / 2], axis=-1)


def momentum_spinors(momenta: Float[Array, "*n 4"]) -> Float[Array, "4 *n"]:
    r"""Spinors of massless momenta, with the phase fixed by a real component.

    λ = (√(E+p_z), (p_x+ip_y)/√(E+p_z)) in the forward half, its counterpart in the backward half, so that no
    denominator vanishes.
    """
    energy, px, py, pz = (momenta[..., i] for i in range(4))
    forward = pz >= 0
    large = jnp.sqrt(jnp.where(forward, energy + pz, energy - pz))
    safe = jnp.where(large > 0, large, 1)
    re, im = px / safe, py / safe
    zero = jnp.zeros_like(re)
    return jnp.stack(
        [
            jnp.where(forward, large, re),
            jnp.where(forward, zero, -im),
            jnp.where(forward, re, large),
            jnp.where(forward, im, zero),
        ]
    )
