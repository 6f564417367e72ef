"""The gamma distribution of unit scale: its cumulative distribution with safe edges, and the inverse with implicit
derivatives.

The calorimeter has its own (`jaxhep.detector.calorimeter`): P(a, x) alone, for 1 ≤ a ≤ 40, in a fixed number of steps
at hundreds of points a shower. Here few points are wanted, for any shape and to rounding error, and their quantile.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.scipy.special import gammainc, gammaincc, gammaln, ndtri

from .._types import Array, Float

_ITERATIONS = 5  # four reach the rounding error for 1 ≤ a ≤ 100


def _largest(shape: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """A point beyond which the gamma distribution holds less than 1e-17 of its probability."""
    return shape + 50 + 12 * jnp.sqrt(shape)


def gamma_cdf(shape: Float[Array, ""], x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    r"""\(F(x;a)=\gamma(a,x)/\Gamma(a)\) for any real \(x\): 0 below 0 and 1 far above, with finite derivatives
    everywhere."""
    inside = (x > 0) & (x < _largest(shape))
    # Second `where` inside: the derivative at the replaced points must be finite, or 0·∞ = NaN comes back through
    # the outer one.
    value = gammainc(shape, jnp.where(inside, x, jnp.ones_like(x)))
    return jnp.where(inside, value, jnp.where(x > 0, jnp.ones_like(value), jnp.zeros_like(value)))


def erlang_cdf(order: int, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    r"""`gamma_cdf` of whole-numbered shape n in closed form, \(1-e^{-x}\sum_{k<n}x^k/k!\) for x > 0: an exponential
    in place of a loop. Absolute error a few rounding errors of 1; the relative one is not small where F is."""
    inside = (x > 0) & (x < _largest(jnp.asarray(float(order), x.dtype)))
    safe = jnp.where(inside, x, jnp.ones_like(x))
    series = jnp.ones_like(x)
    for k in range(order - 1, 0, -1):
        series = 1 + series * safe / k
    return jnp.where(inside, 1 - jnp.exp(-safe) * series, jnp.where(x > 0, jnp.ones_like(x), jnp.zeros_like(x)))


def _log_density(shape: Float[Array, "*n"], x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    return (shape - 1) * jnp.log(x) - x - gammaln(shape)


@jax.custom_jvp
def _inverse(uniform: Float[Array, "*n"], shape: Float[Array, "*n"]) -> Float[Array, "*n"]:
    upper = uniform > 0.5
    # The smaller of the two tails is solved for: 1−u is exact above one half, so no digits are lost on either side.
    tail = jnp.where(upper, 1 - uniform, uniform)
    smallest = jnp.asarray(jnp.finfo(uniform.dtype).tiny, uniform.dtype)

    # Start at Wilson–Hilferty, but not below the lower bound that F ≤ x^a/Γ(a+1) gives, which is sharp for small u.
    power = jnp.exp((jnp.log(uniform) + gammaln(shape + 1)) / shape)
    cube = jnp.maximum(1 - 1 / (9 * shape) + ndtri(uniform) / (3 * jnp.sqrt(shape)), 0)
    start = jnp.clip(jnp.maximum(power, shape * cube**3), smallest, _largest(shape))

    def improve(_: Any, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, low, high = state
        probability = jnp.where(upper, gammaincc(shape, x), gammainc(shape, x))
        below = jnp.where(upper, probability > tail, probability < tail)
        low, high = jnp.where(below, x, low), jnp.where(below, high, x)
        # Newton's step on the logarithm of the tail, which is nearly linear in x above and in ln x below; half the
        # bracket where the step
        # would leave it.
        step = jnp.log(probability / tail) * probability * jnp.exp(-_log_density(shape, x))
        trial = jnp.where(upper, x + step, x * jnp.exp(-step / x))
        return jnp.where((trial >= low) & (trial <= high), trial, 0.5 * (low + high)), low, high

    state = (start, jnp.zeros_like(start), _largest(shape))
    return jax.lax.fori_loop(0, _ITERATIONS, improve, state)[0]


def _inverse_jvp(primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    (uniform, shape), (d_uniform, d_shape) = primals, tangents
    x = _inverse(uniform, shape)
    change = jnp.zeros_like(x)
    if not isinstance(d_uniform, SymbolicZero):
        change = change + d_uniform
    if not isinstance(
        d_shape, SymbolicZero
    ):  # the derivative of the incomplete gamma function in a is dear: only if asked for
        change = change - jax.jvp(lambda a: gammainc(a, x), (shape,), (d_shape,))[1]
    return x, change * jnp.exp(-_log_density(shape, x))


_inverse.defjvp(_inverse_jvp, symbolic_zeros=True)


def inverse_gamma_cdf(uniform: Float[Array, "*n"], shape: Float[Array, ""]) -> Float[Array, "*n"]:
    r"""The quantile of the gamma distribution of unit scale: \(x\) with \(\gamma(a,x)/\Gamma(a)=u\).

    **Arguments**

    - `uniform`: \(u\), any shape, in [0, 1]; nearer to the ends than a quarter (half) of the machine epsilon, that
      is taken instead.
    - `shape`: \(a>0\), a scalar array.

    **Returns** \(x>0\), of the shape of `uniform`.

    **Gradient** implicit, \(\partial x/\partial a=-\partial_aF/p(x)\) and \(\partial x/\partial u=1/p(x)\) with
    \(p\) the density
    (Figurnov, Mohamed, Mnih, arXiv:1805.08498); not through the iteration.

    >>> import jax.numpy as jnp
    >>> print(f"{inverse_gamma_cdf(jnp.asarray(0.5), jnp.asarray(1.0)):.4f}")  # exponential distribution: ln 2
    0.6931
    """
    dtype = jnp.result_type(uniform, shape)
    precision = jnp.finfo(dtype)
    uniform = jnp.clip(jnp.asarray(uniform, dtype), precision.eps / 4, 1 - precision.epsneg)
    return _inverse(uniform, jnp.broadcast_to(jnp.asarray(shape, dtype), uniform.shape))
