"""The monotone rational-quadratic spline of one variable."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._fence import fence, hidden_one
from ..._types import Array, Bool, Float, Scalar


def _sizes(raw: Float[Array, " bin"], low: float, high: float, least: float) -> Float[Array, " bin"]:
    """Sizes of the bins, a softmax with the floor `least`."""
    return (high - low) * (least + (1 - raw.shape[0] * least) * jax.nn.softmax(raw))


def _behind(at: Scalar, sizes: Float[Array, " bin"], low: float) -> Bool[Array, " edge"]:
    """Whether a point lies behind each inner edge; not differentiated."""
    at, sizes = lax.stop_gradient((at, sizes))
    # A product with a triangle of ones: `cumsum` becomes a window reduction on the CPU, which is slower.
    triangle = np.tri(sizes.shape[0] - 1, sizes.shape[0], dtype=bool)
    return at >= low + jnp.sum(jnp.where(triangle, sizes, 0.0), axis=1)


def _pick(here: Array, values: Array) -> Array:
    """The sum of `values` where the mask `here` is set; its gradient is no scatter."""
    return jnp.sum(jnp.where(here, values, 0.0))


class _Cell:
    """The bin that holds a point: lower edges, sizes, and the derivatives at both ends."""

    def __init__(
        self, at: Scalar, raw: Float[Array, " parameter"], low: float, high: float, free_ends: bool, invert: bool,
        least: float,
    ):  # fmt: skip
        bins = (raw.shape[0] - (1 if free_ends else -1)) // 3
        widths, heights = (_sizes(part, low, high, least) for part in (raw[:bins], raw[bins : 2 * bins]))
        slopes = raw[2 * bins :]
        ends = jnp.zeros(1, raw.dtype)
        slopes = slopes if free_ends else jnp.concatenate([ends, slopes, ends])
        reached = _behind(at, heights if invert else widths, low)
        yes, no = jnp.ones(1, bool), jnp.zeros(1, bool)
        before = jnp.concatenate([reached, no])
        here = jnp.concatenate([yes, reached]) & ~before
        # Stored, and so the gradients with respect to them, which each parameter would compute again for itself.
        one = hidden_one(lax.stop_gradient(at - low) / (2 * (high - low)))
        # The edge as the sum of the bins before it: of its derivative each bin has one term.
        self.x, self.y = (low + fence(_pick(before, sizes), one) for sizes in (widths, heights))
        self.w, self.h = (fence(_pick(here, sizes), one) for sizes in (widths, heights))
        # softplus(raw + o) + floor, with the offset o for which raw = 0 is the derivative 1.
        offset = math.log(math.expm1(1 - least))
        self.d, self.d_next = (
            least + jax.nn.softplus(fence(_pick(here, part), one) + offset) for part in (slopes[:-1], slopes[1:])
        )
        self.s = self.h / self.w
        self.d_low = least + jax.nn.softplus(slopes[0] + offset)
        self.d_high = least + jax.nn.softplus(slopes[-1] + offset)

    def log_derivative(self, xi: Scalar, rest: Scalar) -> Scalar:
        """ln dy/dx at ξ, with rest = 1 − ξ."""
        s, d, d_next = self.s, self.d, self.d_next
        top = d_next * xi**2 + 2 * s * xi * rest + d * rest**2
        return 2 * jnp.log(s) + jnp.log(top) - 2 * jnp.log(s + (d + d_next - 2 * s) * xi * rest)


def spline_parameters(num_bins: int, free_ends: bool = False) -> int:
    """Number of parameters of one spline: K widths, K heights, and K − 1 derivatives (K + 1 with free ends).

    >>> spline_parameters(8), spline_parameters(8, free_ends=True)
    (23, 25)
    """
    return 3 * num_bins + (1 if free_ends else -1)


def _beyond(at: Scalar, cell: _Cell, low: float, high: float, free_ends: bool, invert: bool) -> tuple[Scalar, Scalar]:
    """The straight lines outside of the interval, and the logarithm of their slope."""
    if not free_ends:
        return at, jnp.zeros_like(at)
    below = at < (low + high) / 2
    slope = jnp.where(below, cell.d_low, cell.d_high)
    edge = jnp.where(below, low, high).astype(at.dtype)
    log_slope = jnp.log(slope)
    if invert:
        return edge + (at - edge) / slope, -log_slope
    return edge + (at - edge) * slope, log_slope


def rational_quadratic(
    x: Scalar,
    raw: Float[Array, " parameter"],
    low: float = -5.0,
    high: float = 5.0,
    *,
    free_ends: bool = False,
    least: float = 1e-3,
) -> tuple[Scalar, Scalar]:
    r"""A monotone rational-quadratic spline and the logarithm of its derivative.

    On \([a,b]\) with K bins, \(\xi=(x-x_k)/w_k\), \(s=h_k/w_k\), \(r=d_k+d_{k+1}-2s\):

    \[y=y_k+h_k\,\frac{s\xi^2+d_k\xi(1-\xi)}{s+r\xi(1-\xi)},\qquad
    y'=\frac{s^2[d_{k+1}\xi^2+2s\xi(1-\xi)+d_k(1-\xi)^2]}{[s+r\xi(1-\xi)]^2}\]

    (C. Durkan et al., arXiv:1906.04032, equations 4 and 5). Outside it is the identity, or with `free_ends` the
    straight line of the end's derivative; both join with a continuous first derivative.

    **Arguments**

    - `x`: a number.
    - `raw`: K raw widths, K raw heights (softmax with a floor), then the raw derivatives (softplus with a floor);
      `spline_parameters(K, free_ends)` of them. Zeros are the identity.
    - `low`, `high`: a and b, Python numbers.
    - `free_ends`: whether the derivatives at a and b are parameters too; otherwise they are 1.
    - `least`: floor of a width and height in units of b − a, and of a derivative.

    **Returns** y and ln y′. The gradient is exact, also at the knots, where y′ is continuous but y″ is not.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import rational_quadratic
    >>> y, log_slope = rational_quadratic(jnp.array(0.7), jnp.zeros(23))
    >>> round(float(y), 6), abs(round(float(log_slope), 5))
    (0.7, 0.0)
    """
    inside = (x > low) & (x < high)
    at = jnp.clip(x, low, high)
    cell = _Cell(at, raw, low, high, free_ends, False, least)
    # No clip of ξ: it would cut the gradient at a knot, where ξ is 0 exactly.
    xi = (at - cell.x) / cell.w
    rest = 1 - xi
    s, d, d_next = cell.s, cell.d, cell.d_next
    y = cell.y + cell.h * (s * xi**2 + d * xi * rest) / (s + (d + d_next - 2 * s) * xi * rest)
    outer, outer_log = _beyond(x, cell, low, high, free_ends, False)
    return jnp.where(inside, y, outer), jnp.where(inside, cell.log_derivative(xi, rest), outer_log)


def inverse_rational_quadratic(
    y: Scalar,
    raw: Float[Array, " parameter"],
    low: float = -5.0,
    high: float = 5.0,
    *,
    free_ends: bool = False,
    least: float = 1e-3,
) -> tuple[Scalar, Scalar]:
    r"""The inverse of `rational_quadratic` in closed form, and the logarithm of its derivative.

    With \(\Delta=y-y_k\), \(a=h(s-d_k)+\Delta r\), \(b=hd_k-\Delta r\), \(c=-s\Delta\), the root in the bin is
    \(\xi=2c/(-b-\sqrt{b^2-4ac})\) (arXiv:1906.04032, equations 6 to 8). b cancels against the square root where it is
    negative. The spline read from the other end (\(\xi\to1-\xi\), \(d_k\leftrightarrow d_{k+1}\)) has the coefficient
    \(b'=2hs-b\), so that one of the two is at least \(hs\): that one is solved, and float32 is safe for any knots.

    **Arguments**: as for `rational_quadratic`.

    **Returns** x and \(\ln\mathrm dx/\mathrm dy\).

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.bijections import inverse_rational_quadratic, rational_quadratic
    >>> raw = jnp.linspace(-1.0, 1.0, 23)
    >>> y, _ = rational_quadratic(jnp.array(0.7), raw)
    >>> round(float(inverse_rational_quadratic(y, raw)[0]), 5)
    0.7
    """
    inside = (y > low) & (y < high)
    at = jnp.clip(y, low, high)
    cell = _Cell(at, raw, low, high, free_ends, True, least)
    s, h, r = cell.s, cell.h, cell.d + cell.d_next - 2 * cell.s
    delta = at - cell.y
    turned = h * cell.d - delta * r < h * s
    delta = jnp.where(turned, h - delta, delta)
    d = jnp.where(turned, cell.d_next, cell.d)
    a, b = h * (s - d) + delta * r, h * d - delta * r
    square = b**2 + 4 * a * s * delta
    floor = jnp.finfo(square.dtype).tiny
    near = 2 * s * delta / (b + jnp.sqrt(jnp.maximum(square, floor)))
    far = 1 - near
    xi, rest = jnp.where(turned, far, near), jnp.where(turned, near, far)
    x = cell.x + cell.w * xi
    outer, outer_log = _beyond(y, cell, low, high, free_ends, True)
    return jnp.where(inside, x, outer), jnp.where(inside, -cell.log_derivative(xi, rest), outer_log)


__all__ = ["inverse_rational_quadratic", "rational_quadratic", "spline_parameters"]
