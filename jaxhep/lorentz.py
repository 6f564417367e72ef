"""Four-vectors (E, px, py, pz), metric (+,−,−,−), safe to differentiate everywhere.

Every function takes momenta of shape (..., 4) in GeV and broadcasts over the leading axes. At a singular point (zero
momentum, the beam axis, a light-like boost) it returns the stated value with derivative 0 instead of NaN.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def _safe_sqrt(square: Array) -> Array:
    positive = square > jnp.finfo(square.dtype).tiny
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def _safe_divide(numerator: Array, denominator: Array) -> Array:
    defined = denominator != 0
    return jnp.where(defined, numerator / jnp.where(defined, denominator, 1), 0)


def dot(p: Float[Array, "*#batch 4"], q: Float[Array, "*#batch 4"]) -> Float[Array, "..."]:
    r"""Minkowski product $p\cdot q = E_pE_q - \mathbf p\cdot\mathbf q$.

    Args:
        p, q: momenta (..., 4), GeV; the leading axes broadcast.

    Returns:
        (...,) GeV².

    >>> import jax.numpy as jnp
    >>> float(dot(jnp.array([2.0, 0, 0, 1]), jnp.array([3.0, 0, 0, -1])))
    7.0
    """
    return p[..., 0] * q[..., 0] - jnp.sum(p[..., 1:] * q[..., 1:], axis=-1)


def mass2(p: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""Squared mass $E^2 - \mathbf p^2$, computed as $(E - |\mathbf p|)(E + |\mathbf p|)$ for small masses.

    Args:
        p: momenta (..., 4), GeV.

    Returns:
        (...,) GeV², negative for space-like vectors.

    >>> import jax.numpy as jnp
    >>> float(mass2(jnp.array([5.0, 0, 0, 4])))
    9.0
    """
    size = _safe_sqrt(jnp.sum(p[..., 1:] ** 2, axis=-1))
    return (p[..., 0] - size) * (p[..., 0] + size)


def mass(p: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""Mass $\sqrt{\max(p^2, 0)}$: 0 with derivative 0 for light-like and space-like vectors.

    Args:
        p: momenta (..., 4), GeV.

    Returns:
        (...,) GeV, at least 0.

    >>> import jax.numpy as jnp
    >>> float(mass(jnp.array([5.0, 0, 0, 4])))
    3.0
    """
    return _safe_sqrt(mass2(p))


def pt(p: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""Transverse momentum $\sqrt{p_x^2 + p_y^2}$; derivative 0 on the z axis.

    Args:
        p: momenta (..., 4), GeV.

    Returns:
        (...,) GeV, at least 0.

    >>> import jax.numpy as jnp
    >>> float(pt(jnp.array([9.0, 3, 4, 1])))
    5.0
    """
    return _safe_sqrt(p[..., 1] ** 2 + p[..., 2] ** 2)


def momentum(p: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""Size of the three-momentum $|\mathbf p|$; derivative 0 at rest.

    Args:
        p: momenta (..., 4), GeV.

    Returns:
        (...,) GeV, at least 0.

    >>> import jax.numpy as jnp
    >>> float(momentum(jnp.array([9.0, 3, 0, 4])))
    5.0
    """
    return _safe_sqrt(jnp.sum(p[..., 1:] ** 2, axis=-1))


def rapidity(p: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""Rapidity along z, $y = \frac12\ln\frac{E + p_z}{E - p_z} = \operatorname{artanh}(p_z/E)$.

    Args:
        p: momenta (..., 4), GeV.

    Returns:
        (...,) finite everywhere: where $E \le |p_z|$ (a light-like vector on the axis) the value of
        $\pm\ln(2/\epsilon)$ with the machine epsilon (about 16.6 in float32, 36.7 in float64), derivative 0; at zero
        momentum 0.

    >>> import jax.numpy as jnp
    >>> float(rapidity(jnp.array([1.0, 1, 0, 0])))
    0.0
    """
    energy, pz = p[..., 0], p[..., 3]
    inside = energy > jnp.abs(pz)
    # A difference of logarithms: the derivative of a ratio would square the denominator and overflow for soft momenta.
    value = 0.5 * (jnp.log(jnp.where(inside, energy + pz, 1)) - jnp.log(jnp.where(inside, energy - pz, 1)))
    return jnp.where(inside, value, jnp.sign(pz) * _largest_rapidity(p))


def pseudorapidity(p: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""Pseudorapidity $\eta = \operatorname{arsinh}(p_z/p_T) = -\ln\tan(\theta/2)$.

    Args:
        p: momenta (..., 4), GeV.

    Returns:
        (...,) finite everywhere: on the axis $\pm\ln(2/\epsilon)$ with the machine epsilon and derivative 0; at zero
        momentum 0.

    >>> import jax.numpy as jnp
    >>> float(pseudorapidity(jnp.array([1.0, 1, 0, 0])))
    0.0
    """
    transverse, pz = pt(p), p[..., 3]
    inside = transverse > jnp.finfo(p.dtype).eps * jnp.abs(pz)
    value = jnp.arcsinh(jnp.where(inside, pz, 0) / jnp.where(inside, transverse, 1))
    return jnp.where(inside, value, jnp.sign(pz) * _largest_rapidity(p))


def _largest_rapidity(p: Array) -> Array:
    return jnp.log(2 / jnp.asarray(jnp.finfo(p.dtype).eps, p.dtype))


def phi(p: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    r"""Azimuth $\operatorname{atan2}(p_y, p_x)$ in (−π, π]; 0 with derivative 0 on the z axis.

    Args:
        p: momenta (..., 4), GeV.

    Returns:
        (...,) radians; the value jumps by 2π at −π, the derivative does not.

    >>> import jax.numpy as jnp
    >>> float(phi(jnp.array([1.0, 1, 0, 0])))
    0.0
    """
    # Scaled to unit size, so that the squares inside the derivative of arctan2 neither overflow nor vanish.
    size = pt(p)
    defined = size > 0
    return jnp.where(
        defined, jnp.arctan2(_safe_divide(p[..., 2], size), jnp.where(defined, _safe_divide(p[..., 1], size), 1)), 0
    )


def angle(p: Float[Array, "*#batch 4"], q: Float[Array, "*#batch 4"]) -> Float[Array, "..."]:
    r"""Angle between three-momenta, $2\operatorname{atan2}(|\mathbf n_p - \mathbf n_q|, |\mathbf n_p + \mathbf n_q|)$.

    Args:
        p, q: momenta (..., 4), GeV; the leading axes broadcast.

    Returns:
        (...,) radians in [0, π], accurate near 0 and π, with derivative 0 there; 0 if both momenta vanish, π/2 if one
        does.

    >>> import jax.numpy as jnp
    >>> round(float(angle(jnp.array([1.0, 1, 0, 0]), jnp.array([1.0, 0, 1, 0]))), 5)
    1.5708
    """
    n = _safe_divide(p[..., 1:], momentum(p)[..., None])
    m = _safe_divide(q[..., 1:], momentum(q)[..., None])
    apart = _safe_sqrt(jnp.sum((n - m) ** 2, axis=-1))
    together = _safe_sqrt(jnp.sum((n + m) ** 2, axis=-1))
    defined = apart + together > 0
    return 2 * jnp.where(defined, jnp.arctan2(jnp.where(defined, apart, 0), jnp.where(defined, together, 1)), 0)


def boost(p: Float[Array, "*#batch 4"], velocity: Float[Array, "*#batch 3"]) -> Float[Array, "... 4"]:
    r"""Boost by a velocity: a particle at rest gets momentum along $\boldsymbol\beta$.

    $E' = \gamma(E + \boldsymbol\beta\cdot\mathbf p)$, $\mathbf p' = \mathbf p +
    \boldsymbol\beta\left(\frac{\gamma^2}{\gamma+1}\boldsymbol\beta\cdot\mathbf p + \gamma E\right)$.

    Args:
        p: momenta (..., 4), GeV.
        velocity: (..., 3), $|\boldsymbol\beta| < 1$.

    Returns:
        (..., 4) GeV. For $|\boldsymbol\beta| \ge 1$, where no boost exists, NaN.

    >>> import jax.numpy as jnp
    >>> boost(jnp.array([1.0, 0, 0, 0]), jnp.array([0, 0, 0.6])).tolist()
    [1.25, 0.0, 0.0, 0.75]
    """
    gamma = 1 / jnp.sqrt(1 - jnp.sum(velocity**2, axis=-1, keepdims=True))
    along = jnp.sum(velocity * p[..., 1:], axis=-1, keepdims=True)
    energy = gamma * (p[..., :1] + along)
    three = p[..., 1:] + velocity * (gamma**2 / (gamma + 1) * along + gamma * p[..., :1])
    return jnp.concatenate([energy, three], axis=-1)


def boost_to_rest_frame(p: Float[Array, "*#batch 4"], frame: Float[Array, "*#batch 4"]) -> Float[Array, "... 4"]:
    r"""Momenta as seen in the rest frame of another momentum.

    With $M = \sqrt{P^2}$: $E' = p\cdot P/M$, $\mathbf p' = \mathbf p - \mathbf P\,\frac{E + E'}{M + P^0}$ (no γ that
    could cancel).

    Args:
        p: momenta (..., 4), GeV.
        frame: P, time-like (..., 4), GeV, broadcast against p.

    Returns:
        (..., 4) GeV. Where P has no rest frame (not time-like with positive energy) p is returned unchanged, derivative
        1.

    >>> import jax.numpy as jnp
    >>> frame = jnp.array([5.0, 0, 0, 3])
    >>> boost_to_rest_frame(frame, frame).tolist()
    [4.0, 0.0, 0.0, 0.0]
    """
    p, frame = jnp.broadcast_arrays(p, frame)
    size = mass(frame)[..., None]
    exists = (size > 0) & (frame[..., :1] > 0)
    size = jnp.where(exists, size, 1)
    energy = jnp.where(exists, dot(p, frame)[..., None] / size, p[..., :1])
    factor = (p[..., :1] + energy) / jnp.where(exists, size + frame[..., :1], 1)
    three = jnp.where(exists, p[..., 1:] - frame[..., 1:] * factor, p[..., 1:])
    return jnp.concatenate([energy, three], axis=-1)


def rotate(
    p: Float[Array, "*#batch 4"], axis: Float[Array, "*#batch 3"], turn: Float[Array, "*#batch"]
) -> Float[Array, "... 4"]:
    r"""Rotate three-momenta about an axis by an angle (right-handed, Rodrigues).

    Args:
        p: momenta (..., 4), GeV.
        axis: (..., 3) of any length; the zero vector means no rotation.
        turn: (...,) radians.

    Returns:
        (..., 4) GeV, the energy unchanged.

    >>> import jax.numpy as jnp
    >>> quarter = rotate(jnp.array([1.0, 1, 0, 0]), jnp.array([0, 0, 2.0]), jnp.array(jnp.pi / 2))
    >>> [round(float(c), 6) + 0.0 for c in quarter]
    [1.0, 0.0, 1.0, 0.0]
    """
    length = _safe_sqrt(jnp.sum(axis**2, axis=-1, keepdims=True))
    n = _safe_divide(axis, length)
    three = p[..., 1:]
    turn = turn[..., None]
    along = jnp.sum(n * three, axis=-1, keepdims=True)
    turned = three * jnp.cos(turn) + jnp.cross(n, three) * jnp.sin(turn) + n * along * (1 - jnp.cos(turn))
    return jnp.concatenate([p[..., :1], jnp.where(length > 0, turned, three)], axis=-1)
