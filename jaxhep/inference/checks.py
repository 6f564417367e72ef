"""Host-side checks of data: a sentence with cause and cure before anything compiles."""

import numpy as np
from jaxtyping import Float


def check_vector(values: object, what: str) -> Float[np.ndarray, " bin"]:
    """`values` as a finite, non-empty float64 vector.

    Arguments:
        values: anything NumPy reads as numbers.
        what: the name used in messages.

    Raises:
        ValueError: empty, not one-dimensional, or an entry is not finite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"{what} must have shape (bins,), got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{what} is empty: the fit range holds no bin, widen it")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"{what} is not finite in bin(s) {_few(bad)}: {array[bad[0]]}; leave these bins out")
    return array


def check_covariance(covariance: object, num_bins: int, what: str) -> Float[np.ndarray, "bin bin"]:
    """`covariance` as a symmetric, positive-definite float64 matrix; a vector is read as variances.

    Arguments:
        covariance: matrix `(bins, bins)`, or vector `(bins,)` of variances (not standard deviations).
        num_bins: the size that it must have.
        what: the name used in messages.

    Raises:
        ValueError: wrong shape, not finite, not symmetric, a variance ≤ 0, or an eigenvalue ≤ 0 (with the bins
            that dominate its eigenvector).
    """
    matrix = np.asarray(covariance, np.float64)
    if matrix.ndim == 1:
        matrix = np.diag(matrix)
    if matrix.shape != (num_bins, num_bins):
        raise ValueError(f"{what} has shape {matrix.shape}, the data have {num_bins} bins: expected {(num_bins,) * 2}")
    bad = np.argwhere(~np.isfinite(matrix))
    if bad.size:
        raise ValueError(f"{what} is not finite at [{bad[0][0]}, {bad[0][1]}]")
    variance = np.diag(matrix)
    low = np.flatnonzero(variance <= 0)
    if low.size:
        raise ValueError(
            f"{what} is not positive definite: variance {variance[low[0]]:g} in bin(s) {_few(low)}; "
            "every bin needs an error above 0 (leave empty bins out or merge them)"
        )
    scale = np.sqrt(np.outer(variance, variance))
    correlation = matrix / scale
    if not np.allclose(correlation, correlation.T, rtol=0, atol=1e-8):
        i, j = np.unravel_index(np.argmax(np.abs(correlation - correlation.T)), matrix.shape)
        raise ValueError(f"{what} is not symmetric: [{i}, {j}] = {matrix[i, j]:g} but [{j}, {i}] = {matrix[j, i]:g}")
    eigenvalues, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    if eigenvalues[0] <= 1e-13 * num_bins:
        leading = np.argsort(-np.abs(vectors[:, 0]))[:4]
        raise ValueError(
            f"{what} is not positive definite: the correlation matrix has eigenvalue {eigenvalues[0]:.3g}, mostly in "
            f"bin(s) {_few(np.sort(leading))}; normalised data lose one degree of freedom (leave one bin out), "
            "or treat fully correlated systematics as nuisance parameters"
        )
    return (matrix + matrix.T) / 2


def _few(indices: np.ndarray, most: int = 6) -> str:
    shown = ", ".join(str(int(i)) for i in indices[:most])
    return shown if len(indices) <= most else f"{shown}, … ({len(indices)} in all)"


__all__ = ["check_covariance", "check_vector"]
