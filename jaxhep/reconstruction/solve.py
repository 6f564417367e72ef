"""Small positive definite systems from plain array operations, so that they can be batched and differentiated.

LAPACK is avoided on purpose: see `jaxhep.inference.positive_definite`, which stands on a higher floor.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def solve(matrix: Float[Array, "row row"], right: Float[Array, "row *columns"]) -> Float[Array, "row *columns"]:
    """A⁻¹b for a symmetric positive definite A of some tens of rows; NaN if a pivot is not above zero.

    Gauss elimination of the matrix scaled to unit diagonal (no pivoting is needed: every pivot is a Schur complement).
    Derivatives of any order, in both modes, are those of the linear equation, not of the elimination.

    Arguments:
        matrix: A.
        right: b, one or several columns.

    Returns:
        The solution, of the shape of `right`.

    >>> import jax.numpy as jnp
    >>> solve(jnp.array([[4.0, 0.0], [0.0, 0.5]]), jnp.array([4.0, 1.0])).tolist()
    [1.0, 2.0]
    """

    def multiply(x: Array) -> Array:
        return matrix @ x

    def eliminate(_: object, b: Array) -> Array:
        return _eliminated(matrix, b)

    return jax.lax.custom_linear_solve(multiply, right, eliminate, symmetric=True)


def inverse(matrix: Float[Array, "row row"]) -> Float[Array, "row row"]:
    """A⁻¹, as `solve` with the unit matrix."""
    return solve(matrix, jnp.eye(matrix.shape[0], dtype=matrix.dtype))


def _eliminated(matrix: Array, right: Array) -> Array:
    scale = jnp.sqrt(jnp.diagonal(matrix))
    flat = right.reshape(right.shape[0], -1) / scale[:, None]
    whole = jnp.concatenate([matrix / (scale[:, None] * scale[None, :]), flat], axis=1)

    def step(k: Array, a: Array) -> Array:
        pivot = jnp.where(a[k, k] > 0, a[k, k], jnp.nan)
        row = a[k] / pivot
        return (a - a[:, k][:, None] * row[None, :]).at[k].set(row)

    size = matrix.shape[0]
    done = jax.lax.fori_loop(0, size, step, whole)
    return (done[:, size:] / scale[:, None]).reshape(right.shape)


__all__ = ["inverse", "solve"]
