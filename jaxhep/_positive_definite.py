"""Inverse and log-determinant of a positive definite matrix, from plain array operations.

LAPACK is avoided on purpose. Batched LAPACK calls on the CPU (under `vmap`, or for several tangents) hand their batch
to the thread pool they run on and wait for it; where as many such calls run at once as the pool has threads, all wait
and none works (seen with jaxlib 0.10.1 on two cores: scans of a χ² hung in two batched triangular solves). The matrices
here have some tens of rows, so that a plain loop is also not slower.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def inverse_and_log_det(
    matrix: Float[Array, "row row"],
) -> tuple[Float[Array, "row row"], Float[Array, ""]]:
    r"""V⁻¹ and ln det V of a symmetric positive definite V.

    Gauss–Jordan elimination of the matrix scaled to unit diagonal; it needs no pivoting, since every pivot is a
    variance (a Schur complement). Derivatives, of any order and in both modes, are
    \(\mathrm dV^{-1}=-V^{-1}\mathrm dV\,V^{-1}\) and \(\mathrm d\ln\det V=\mathrm{tr}(V^{-1}\mathrm dV)\).

    Arguments:
        matrix: V, shape `(row, row)`.

    Returns:
        V⁻¹ and ln det V; NaN in both if V is not positive definite.

    >>> import jax.numpy as jnp
    >>> inverse, log_det = inverse_and_log_det(jnp.array([[4.0, 0.0], [0.0, 0.25]]))
    >>> inverse.tolist(), round(float(log_det), 6)
    ([[0.25, 0.0], [0.0, 4.0]], 0.0)
    """
    scale = jnp.sqrt(jnp.diag(matrix))
    start = matrix / (scale[:, None] * scale[None, :])

    def eliminate(k: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        a, log_det = state
        # A pivot of zero, too, is no variance.
        pivot = jnp.where(a[k, k] > 0, a[k, k], jnp.nan)
        row, column = a[k] / pivot, a[:, k]
        a = a - column[:, None] * row[None, :]
        a = a.at[k].set(row).at[:, k].set(-column / pivot).at[k, k].set(1 / pivot)
        return a, log_det + jnp.log(pivot)

    inverse, log_det = jax.lax.fori_loop(0, matrix.shape[0], eliminate, (start, 2 * jnp.sum(jnp.log(scale))))
    inverse = inverse / (scale[:, None] * scale[None, :])
    # A bad pivot has to show in the whole inverse.
    return jnp.where(jnp.isnan(log_det), jnp.nan, (inverse + inverse.T) / 2), log_det


@inverse_and_log_det.defjvp
def _jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    inverse, log_det = inverse_and_log_det(*primals)
    change = inverse @ tangents[0]
    return (inverse, log_det), (-change @ inverse, jnp.trace(change))


__all__ = ["inverse_and_log_det"]
