"""Test problems whose optimum is known, after arXiv:2002.04632 and arXiv:2210.08572."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from .._types import Array, Key, Noise
from ..noise import categorical, normal, uniforms
from .problem import Problem
from .variables import Variable

Branch = Literal["sum", "score"]


def three_hump_camel(branch: Branch = "sum") -> Problem:
    r"""Two numbers with a discrete branch: the derivative has a part that no path shows.

    \(h=2\psi_1^2-1.05\psi_1^4+\psi_1^6/6+\psi_1\psi_2+\psi_2^2\); \(x_1\sim U(-2,2)\), \(x_2\sim U(0,5)\); component k
    is taken with probability \(|\psi_k|/(|\psi_1|+|\psi_2|)\); \(\mu\sim N(x_kh,1)\), \(y\sim N(\mu,1)\); minimise
    \(E[\sigma(y-10)-\sigma(y)]\). The minimum is −0.8582085 at (0, ±1.2323234), a kink in \(\psi_1\) (quadrature);
    ranges as in the code that goes with arXiv:2002.04632.

    Arguments:
        branch: `"sum"` over both outcomes; or `"score"`, one outcome and its score as weight, which is blind where an
            outcome has probability 0 (as at the start).

    Returns:
        A `Problem` in the variable `psi`, shape (2,), start (2, 0).
    """
    if branch not in ("sum", "score"):
        raise ValueError(f"branch must be 'sum' or 'score', not {branch!r}")

    def simulate(design: dict[str, Array], u: Noise) -> Any:
        first, second = design["psi"]
        h = 2 * first**2 - 1.05 * first**4 + first**6 / 6 + first * second + second**2
        x = jnp.stack([4 * u[0] - 2, 5 * u[1]])
        y = normal(u[3], normal(u[2], x * h))
        losses = jax.nn.sigmoid(y - 10) - jax.nn.sigmoid(y)
        size = jnp.abs(design["psi"])
        probabilities = size / jnp.sum(size)
        if branch == "sum":
            return probabilities @ losses
        outcome, weight = categorical(u[4], probabilities)
        return losses[outcome], weight

    variable = Variable("psi", [2.0, 0.0])
    return Problem([variable], simulate, lambda key: uniforms(key, (5,)))


def rosenbrock(dimension: int = 10) -> Problem:
    r"""A curved valley under noise whose spread does not depend on the design.

    \(x\sim U(-10,10)\), \(l\sim N(x,1)\), \(y\sim N(l+g,\,0.1+0.5|l|)\) with
    \(g=\sum_i(\psi_{i+1}-\psi_i^2)^2+(1-\psi_i)^2\): E[y] = g, minimum 0 at ψ = 1; the start ψ = 2 has g = 5(n − 1).

    Arguments:
        dimension: n ≥ 2.

    Returns:
        A `Problem` in the variable `psi`, shape (dimension,).

    >>> float(rosenbrock_value(jnp.full(10, 2.0)))
    45.0
    """

    def simulate(design: dict[str, Array], u: Noise) -> Array:
        return _noisy(rosenbrock_value(design["psi"]), u)

    return Problem([Variable("psi", np.full(dimension, 2.0))], simulate, lambda key: uniforms(key, (3,)))


def rosenbrock_value(psi: Float[Array, " dimension"]) -> Float[Array, ""]:
    """g of `rosenbrock`, without noise."""
    return jnp.sum((psi[1:] - psi[:-1] ** 2) ** 2 + (1 - psi[:-1]) ** 2)


def submanifold(dimension: int = 100, effective: int = 10, seed: int = 1337) -> Problem:
    """`rosenbrock` of Qᵀψ, Q the orthonormal factor of a fixed Gaussian matrix: only `effective` directions matter.

    Arguments:
        dimension: of ψ.
        effective: of the subspace.
        seed: of the matrix (NumPy's default generator).

    Returns:
        A `Problem` in the variable `psi`, shape (dimension,), start 0 (g = effective − 1).
    """
    basis = submanifold_basis(dimension, effective, seed)

    def simulate(design: dict[str, Array], u: Noise) -> Array:
        return _noisy(rosenbrock_value(jnp.asarray(basis.T, design["psi"].dtype) @ design["psi"]), u)

    return Problem([Variable("psi", np.zeros(dimension))], simulate, lambda key: uniforms(key, (3,)))


def submanifold_basis(dimension: int = 100, effective: int = 10, seed: int = 1337) -> Float[np.ndarray, "d e"]:
    """Q of `submanifold`, shape (dimension, effective), with orthonormal columns."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dimension, effective)))[0]


def _noisy(g: Array, u: Noise) -> Array:
    location = normal(u[1], 20 * u[0] - 10)
    return normal(u[2], location + g, 0.1 + 0.5 * jnp.abs(location))


def walk_noise(key: Key, num_steps: int = 100) -> Noise:
    """The uniform variates of one random walk."""
    return uniforms(key, (num_steps,))


def walk_score(p: Float[Array, ""], u: Float[Array, " step"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(X², weight) of one walk from 0 that goes up with probability exp(−x/p), else down; the weight has the score."""

    def step(state: tuple[Array, Array], variate: Array) -> tuple[tuple[Array, Array], None]:
        x, log_weight = state
        up = jnp.exp(-x / p)
        rises = variate < lax.stop_gradient(up)
        # At x = 0 the walk cannot fall: the logarithm of that probability must not be taken.
        chance = jnp.where(rises, up, jnp.where(rises, 1.0, 1 - up))
        return (x + jnp.where(rises, 1.0, -1.0), log_weight + jnp.log(chance)), None

    (x, log_weight), _ = lax.scan(step, (jnp.zeros(()), jnp.zeros(())), u)
    return x**2, jnp.exp(log_weight - lax.stop_gradient(log_weight))


def walk_alternatives(p: Float[Array, ""], u: Float[Array, " step"]) -> Float[Array, ""]:
    r"""The derivative of E[X²] from one walk by coupled alternatives.

    \(\sum_t\partial_pP_t\,[X^2_{\uparrow t}-X^2_{\downarrow t}]\): at each step both outcomes, which go on with the
    same variates (smoothed perturbation analysis; W.-B. Gong and Y.-C. Ho, IEEE Trans. Autom. Control 32 (1987) 858).
    Unbiased, since the expectation over step t is taken exactly; quadratic in the number of steps.

    Arguments:
        p: scale of the walk.
        u: variates, shape (step,).

    Returns:
        One unbiased estimate of the derivative.
    """

    def advance(x: Array, variate: Array) -> Array:
        return x + jnp.where(variate < jnp.exp(-x / p), 1.0, -1.0)

    count = u.shape[0]

    def step(carry: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        x, pairs = carry
        number, variate = at
        pairs = jnp.where((jnp.arange(count) < number)[:, None], advance(pairs, variate), pairs)
        pairs = pairs.at[number].set(jnp.stack([x + 1, x - 1]))
        return (advance(x, variate), pairs), x / p**2 * jnp.exp(-x / p)

    begin = (jnp.zeros(()), jnp.zeros((count, 2)))
    (_, pairs), slopes = lax.scan(step, begin, (jnp.arange(count), u))
    return slopes @ (pairs[:, 0] ** 2 - pairs[:, 1] ** 2)


__all__ = [
    "rosenbrock",
    "rosenbrock_value",
    "submanifold",
    "submanifold_basis",
    "three_hump_camel",
    "walk_alternatives",
    "walk_noise",
    "walk_score",
]
