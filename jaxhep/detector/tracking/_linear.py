"""The inverse of a small positive definite matrix in plain array operations (no LAPACK inside batched code)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def inverse_positive(matrix: Float[Array, "row row"]) -> Float[Array, "row row"]:
    r"""M⁻¹ by Gauss–Jordan elimination of M scaled to unit diagonal; no pivot search is needed for a positive definite
    M. Derivatives \(-M^{-1}\,dM\,M^{-1}\), to any order. NaN if M is not positive definite."""
    scale = jax.lax.rsqrt(jnp.diagonal(matrix))
    start = matrix * scale[:, None] * scale[None, :]

    def eliminate(k: Array, a: Array) -> Array:
        pivot = jnp.where(a[k, k] > 0, a[k, k], jnp.nan)
        row, column = a[k] / pivot, a[:, k]
        a = a - column[:, None] * row[None, :]
        return a.at[k].set(row).at[:, k].set(-column / pivot).at[k, k].set(1 / pivot)

    inverse = jax.lax.fori_loop(0, matrix.shape[0], eliminate, start) * scale[:, None] * scale[None, :]
    return (inverse + inverse.T) / 2


@inverse_positive.defjvp
def _jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    inverse = inverse_positive(*primals)
    return inverse, -inverse @ tangents[0] @ inverse
