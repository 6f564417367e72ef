"""The polar angle: draws from (1+c²) + 2bc in closed form, with implicit derivatives."""

import jax
import jax.numpy as jnp

from .._types import Array, Float


def polar_density(cosine: Float[Array, "*n"], asymmetry: Float[Array, "*n"]) -> Float[Array, "*n"]:
    r"""\(p(c)=\tfrac38[(1+c^2)+2bc]\), normalised on [−1, 1]; `asymmetry` is \(b\) in [−1, 1]."""
    return 0.375 * (1 + cosine**2 + 2 * asymmetry * cosine)


def polar_cdf(cosine: Float[Array, "*n"], asymmetry: Float[Array, "*n"]) -> Float[Array, "*n"]:
    r"""\(F(c)=\tfrac38[c+\tfrac13c^3+\tfrac43+b(c^2-1)]\)."""
    return 0.375 * (cosine + cosine**3 / 3 + 4 / 3 + asymmetry * (cosine**2 - 1))


@jax.custom_jvp
def inverse_polar_cdf(uniform: Float[Array, "*n"], asymmetry: Float[Array, "*n"]) -> Float[Array, "*n"]:
    r"""The \(c=\cos\theta\) with \(F(c)=u\): the one real root of \(t^3+3pt+q=0\), \(c=t-b\), \(p=1-b^2\),
    \(q=2b^3-6b+4-8u\).

    Cardano's \(t=w-p/w\) with \(w^3=|q|/2+\sqrt{q^2/4+p^3}\), written as \(-q/(w^2+p+p^2/w^2)\), in which nothing
    cancels.

    **Gradient** implicit: \(\partial c/\partial b=-\partial_bF/p(c)\), finite for |b| < 1.
    """
    p = 1 - asymmetry**2
    q = 2 * asymmetry**3 - 6 * asymmetry + 4 - 8 * uniform
    half = 0.5 * jnp.abs(q)
    w = jnp.cbrt(half + jnp.sqrt(half**2 + p**3))
    safe = jnp.where(w > 0, w, jnp.ones_like(w))  # w = 0 only for b² = 1 and q = 0, where t = 0
    t = -q / (safe**2 + p + (p / safe) ** 2)
    return jnp.clip(t - asymmetry, -1, 1)


@inverse_polar_cdf.defjvp
def _inverse_polar_cdf_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (uniform, asymmetry), (d_uniform, d_asymmetry) = primals, tangents
    cosine = inverse_polar_cdf(uniform, asymmetry)
    density = polar_density(cosine, asymmetry)
    # The density vanishes only for |b| = 1 at one end, where ∂F/∂b vanishes too: the end stays where it is.
    positive = density > 0
    change = d_uniform - 0.375 * (cosine**2 - 1) * d_asymmetry
    return cosine, jnp.where(
        positive, change / jnp.where(positive, density, jnp.ones_like(density)), jnp.zeros_like(change)
    )
