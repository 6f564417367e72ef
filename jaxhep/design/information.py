"""Fisher information, what it leaves to one parameter among several, and the Cramér–Rao bound."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._types import Array, Scalar
from ..expectation import Estimate
from ..reconstruction.solve import inverse


def counts_information(
    counts: Float[Array, " bin"], slopes: Float[Array, "bin parameter"]
) -> Float[Array, "parameter parameter"]:
    r"""Of independent Poisson counts: \(I_{ab}=\sum_b\partial_a\nu\,\partial_b\nu/\nu\).

    Arguments:
        counts: expected counts ν > 0, shape (bin,).
        slopes: ∂ν/∂θ, shape (bin, parameter).

    Returns:
        I; differentiable in both.

    >>> counts_information(jnp.array([4.0, 1.0]), jnp.array([[2.0], [1.0]])).tolist()
    [[2.0]]
    """
    return slopes.T @ (slopes / counts[:, None])


def gaussian_information(
    mean_slopes: Float[Array, "observable parameter"],
    covariance: Float[Array, "observable observable"],
    covariance_slopes: Float[Array, "observable observable parameter"] | None = None,
) -> Float[Array, "parameter parameter"]:
    r"""Of Gaussian observables: \(I_{ab}=\partial_a\mu^T\Sigma^{-1}\partial_b\mu+\tfrac12\mathrm{tr}(\Sigma^{-1}
    \partial_a\Sigma\,\Sigma^{-1}\partial_b\Sigma)\).

    Arguments:
        mean_slopes: ∂μ/∂θ, shape (observable, parameter).
        covariance: Σ, positive definite.
        covariance_slopes: ∂Σ/∂θ, shape (observable, observable, parameter); None where Σ is constant.

    Returns:
        I; differentiable.
    """
    precision = inverse(covariance)
    information = mean_slopes.T @ precision @ mean_slopes
    if covariance_slopes is None:
        return information
    turned = jnp.einsum("ij,jkp->ikp", precision, covariance_slopes)
    return information + jnp.einsum("ija,jib->ab", turned, turned) / 2


def density_information(
    log_density: Callable[[Array, Array], Array],
    parameters: Float[Array, " parameter"],
    samples: Float[Array, "event ..."],
) -> Estimate:
    r"""Of one observation with a known density: \(I=E[\partial\log p\,\partial\log p^T]\) over samples drawn from it.

    Arguments:
        log_density: log p(x, θ), differentiable in θ.
        parameters: θ, shape (parameter,).
        samples: x, shape (event, …), drawn at θ.

    Returns:
        An `Estimate` of shape (parameter, parameter).
    """
    scores = jax.vmap(lambda x: jax.grad(lambda theta: log_density(x, theta))(parameters))(samples)
    products = scores[:, :, None] * scores[:, None, :]
    count = samples.shape[0]
    return Estimate(jnp.mean(products, axis=0), jnp.std(products, axis=0, ddof=1) / count**0.5)


def profiled_information(
    information: Float[Array, "parameter parameter"], num_interest: int = 1
) -> Float[Array, "interest interest"]:
    r"""What is left when the other parameters are unknown: \(I_{aa}-I_{ab}I_{bb}^{-1}I_{ba}\) (Schur complement).

    Arguments:
        information: I, the parameters of interest first.
        num_interest: how many there are; the rest are nuisances, whose block must be positive definite.

    Returns:
        The information on the parameters of interest.

    >>> profiled_information(jnp.array([[2.0, 1.0], [1.0, 1.0]])).tolist()
    [[1.0]]
    """
    size = information.shape[0]
    if not 1 <= num_interest <= size:
        raise ValueError(f"num_interest must be from 1 to {size}, got {num_interest}")
    if num_interest == size:
        return information
    a, b = slice(None, num_interest), slice(num_interest, None)
    return information[a, a] - information[a, b] @ inverse(information[b, b]) @ information[b, a]


def cramer_rao(information: Scalar, bias_slope: Scalar | float = 0.0) -> Scalar:
    r"""The smallest standard deviation of an estimator of one parameter: \(|1+b'|/\sqrt I\), b(θ) its bias.

    Arguments:
        information: I > 0, of one parameter (after `profiled_information`).
        bias_slope: b′, the slope of the bias; 0 for an unbiased estimator.

    Returns:
        The bound in the unit of the parameter.

    >>> float(cramer_rao(jnp.asarray(4.0)))
    0.5
    """
    return jnp.abs(1 + bias_slope) / jnp.sqrt(information)


def criteria(information: Any) -> dict[str, float]:
    """Numbers that a design may be judged by: `det` (D), `trace_inverse` (A), `smallest` eigenvalue (E).

    Arguments:
        information: I, symmetric, shape (parameter, parameter).

    Returns:
        The three numbers; `trace_inverse` is infinite where I is singular.

    >>> criteria([[2.0, 0.0], [0.0, 4.0]])
    {'det': 8.0, 'trace_inverse': 0.75, 'smallest': 2.0}
    """
    eigenvalues = np.linalg.eigvalsh(np.asarray(information, np.float64))
    singular = eigenvalues[0] <= 1e-12 * max(eigenvalues[-1], 0.0)
    return {
        "det": float(np.prod(eigenvalues)),
        "trace_inverse": float("inf") if singular else float(np.sum(1 / eigenvalues)),
        "smallest": float(eigenvalues[0]),
    }


__all__ = [
    "counts_information",
    "cramer_rao",
    "criteria",
    "density_information",
    "gaussian_information",
    "profiled_information",
]
