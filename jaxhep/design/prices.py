"""What a budget is worth: the multipliers of an optimum, by least squares on its first-order conditions."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Multipliers(NamedTuple):
    r"""Multipliers of the budgets at a design.

    Arguments:
        value: \(\lambda\), shape (budget,); 0 where the budget is taken not to bind.
        error: their standard errors.
        residual: length of what is left of the gradient over its length: near 0 at an optimum, 1 far from one.
    """

    value: Float[np.ndarray, " budget"]
    error: Float[np.ndarray, " budget"]
    residual: float


def least_squares_multipliers(
    gradients: Float[np.ndarray, "batch free"],
    slopes: Float[np.ndarray, "budget free"],
    binding: Bool[np.ndarray, " budget"],
) -> Multipliers:
    r"""The \(\lambda\) that come nearest to the first-order conditions \(\nabla L+\sum_k\lambda_k\nabla c_k=0\).

    With \(A=\nabla c\) of the budgets that bind and \(\bar g\) the mean of the batches' gradients,
    \(\hat\lambda=-(AA^T)^{-1}A\bar g\). The error has two parts, added in squares: the spread of the batches, and what
    the residual \(r=\bar g+A^T\hat\lambda\) has beyond its noise, because the design is not quite at the optimum,
    \((AA^T)^{-1}\max(0,|r|^2-E|r_\mathrm{noise}|^2)/(n-k)\) with n free entries and k budgets. In free coordinates an
    entry at a bound has no slope and drops out by itself.

    Arguments:
        gradients: \(\nabla L\) on independent batches, at least two.
        slopes: \(\nabla c\), all in the same coordinates.
        binding: which budgets can have a multiplier.

    Returns:
        `Multipliers`; not made positive, since a limit with a price well below 0 says that the design is no optimum.

    Raises:
        ValueError: fewer than two batches.

    >>> import numpy as np
    >>> found = least_squares_multipliers(np.array([[-2.0, -1.9], [-2.0, -2.1]]), np.ones((1, 2)), np.array([True]))
    >>> found.value.round(6).tolist()
    [2.0]
    """
    count, size = gradients.shape
    if count < 2:
        raise ValueError(f"an error from the spread of batches needs at least two, got {count}")
    value, error = np.zeros(len(slopes)), np.zeros(len(slopes))
    mean = gradients.mean(axis=0)
    rows = slopes[binding]
    inverse = np.linalg.pinv(rows @ rows.T, rcond=1e-10, hermitian=True)
    each = -gradients @ rows.T @ inverse
    left = gradients + each @ rows
    residual = left.mean(axis=0)
    noise = left.var(axis=0, ddof=1).sum() / count
    beyond = max(0.0, float(residual @ residual) - float(noise)) / max(size - len(rows), 1)
    value[binding] = each.mean(axis=0)
    error[binding] = np.sqrt(each.var(axis=0, ddof=1) / count + beyond * np.diag(inverse))
    length = float(np.sqrt(mean @ mean))
    return Multipliers(value, error, float(np.sqrt(residual @ residual)) / length if length > 0 else 0.0)


__all__ = ["Multipliers", "least_squares_multipliers"]
