r"""The scale of the next trial of the dipole shower, by an overestimate that can be inverted.

With x = ln t, a dipole of mass m and ends of colour factor C_l, C_r emits gluons at a rate of at most
\((C_l+C_r)(\ln m^2-x)_+\hat\alpha(x)/2\pi\) (`_kernels.py`), and each gluon end splits into quarks at no more than n_f
T_R/2 in the same units. Two bounds make the sum of all ends integrable in closed form:

* \(1/\alpha_s\) is concave in x, so \(1/\hat\alpha=A+Bx\) through its values at both ends of the range lies below it;
* the sum over dipoles is convex in x, so the straight line h through its values at the cut-off and at the present scale
lies above it.

With ξ = x − x_C, b = B/(A + Bx_C), ds = dξ/(1 + bξ) the number of trials between the cut-off and ξ(s) is
\(F(s)=[h_Cs-\kappa s^2\varphi(bs)]/\hat A\), φ(w) = (e^w − 1 − w)/w², κ the slope of h: an increasing concave function,
inverted by three steps of Newton's rule from the solutions of two quadratic equations.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from .._types import Scalar

LOG_4 = math.log(4.0)
"""A dipole of mass m has room for k_T < m/2: x < ln m² − ln 4."""


_STEPS = 3


class Bound(NamedTuple):
    """The overestimate of the coupling, \\(2\\pi/\\hat\\alpha=\\text{intercept}+\\text{slope}\\,x\\), and the cut-off
    x_C = ln t_C."""

    log_cutoff: Scalar
    intercept: Scalar
    slope: Scalar

    def inverse_coupling(self, log_scale: Scalar) -> Scalar:
        """2π/α̂ at x."""
        return self.intercept + self.slope * log_scale


class Span(NamedTuple):
    """The line h between the cut-off and the present scale, and the expected number F of trials between them."""

    at_cutoff: Scalar
    decline: Scalar
    """κ, by how much h falls with ξ."""
    inverse: Scalar
    """Â = 2π/α̂ at the cut-off."""
    running: Scalar
    """b."""
    length: Scalar
    """ξ of the present scale."""
    trials: Scalar
    """F of the present scale."""

    def height(self, length: Scalar) -> Scalar:
        """h at ξ."""
        return self.at_cutoff - self.decline * length


def make_span(bound: Bound, log_scale: Scalar, now: Scalar, at_cutoff: Scalar) -> Span:
    """The span below x = `log_scale`, from the summed rates (without α̂/2π) there and at the cut-off."""
    tiny = 1e-6
    length = jnp.maximum(log_scale - bound.log_cutoff, 0)
    decline = (at_cutoff - now) / jnp.maximum(length, tiny)
    inverse = bound.inverse_coupling(bound.log_cutoff)
    running = bound.slope / inverse
    s = _stretched(running, length)
    trials = (at_cutoff * s - decline * s * s * _phi(running * s)) / inverse
    return Span(at_cutoff, decline, inverse, running, length, jnp.maximum(trials, 0))


def descend(span: Span, expected: Scalar) -> Scalar:
    """ξ such that `expected` trials lie between it and the present scale; differentiable twice in everything."""
    s, target = _near(lax.stop_gradient(span), lax.stop_gradient(expected)), (span.trials - expected) * span.inverse
    for _ in range(_STEPS):
        phi = _phi(span.running * s)
        length = s * (1 + span.running * s * phi)
        value = span.at_cutoff * s - span.decline * s * s * phi
        slope = span.height(length)
        s = s - (value - target) / jnp.where(slope > 1e-3, slope, 1)
    length = s * (1 + span.running * s * _phi(span.running * s))
    return jnp.clip(length, 0, span.length)


def _near(span: Span, expected: Scalar) -> Scalar:
    """A value of s from which three steps reach rounding: between the roots of two parabolas, through the bottom and
    the top of F."""
    target = jnp.maximum(span.trials - expected, 0) * span.inverse
    up = (
        2
        * target
        / jnp.maximum(span.at_cutoff + jnp.sqrt(jnp.maximum(span.at_cutoff**2 - 2 * span.decline * target, 0)), 1e-6)
    )
    top, drop = jnp.maximum(span.height(span.length), 0), expected * span.inverse
    bend = span.decline * (1 + span.running * span.length)
    down = _stretched(span.running, span.length) - 2 * drop / jnp.maximum(
        top + jnp.sqrt(top**2 + 2 * bend * drop), 1e-6
    )
    part = jnp.clip(1 - expected / jnp.maximum(span.trials, 1e-20), 0, 1)
    return jnp.maximum((1 - part) * up + part * down, 0)


def _stretched(running: Scalar, length: Scalar) -> Scalar:
    """s = ln(1 + bξ)/b."""
    w = running * length
    large = w > 1e-4
    safe = jnp.where(large, w, 1)
    return length * jnp.where(large, jnp.log1p(safe) / safe, 1 - w / 2)


def _phi(w: Scalar) -> Scalar:
    """(e^w − 1 − w)/w², by its series below 1/2."""
    small = w < 0.5
    safe = jnp.where(small, 0.5, w)
    series = 1 / 2 + w * (1 / 6 + w * (1 / 24 + w * (1 / 120 + w * (1 / 720 + w * (1 / 5040 + w / 40320)))))
    return jnp.where(small, series, (jnp.expm1(safe) - safe) / safe**2)
