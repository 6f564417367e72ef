"""Observables from a momentum tensor: C and D (linear tensor), sphericity and aplanarity (quadratic tensor)."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxhep.observables._particles import (
    Particles,
    Vector,
    clipped,
    cross,
    dot,
    magnitudes,
    particles,
    safe_divide,
    scale,
    total,
    unit,
)

Symmetric = tuple[Array, Array, Array, Array, Array, Array]  # xx, yy, zz, xy, xz, yz


def linear_tensor(event: Particles) -> Symmetric:
    """Θ^ab = Σ p^a p^b/|p| / Σ|p|; zeros for an event without momentum."""
    directions = tuple(unit(p) for p in event.vectors())
    return _normalised(event, directions, total(magnitudes(event)))


def quadratic_tensor(event: Particles) -> Symmetric:
    """S^ab = Σ p^a p^b / Σ p²; zeros for an event without momentum."""
    return _normalised(event, tuple(event.vectors()), total(dot(p, p) for p in event.vectors()))


def _normalised(event: Particles, others: tuple[Vector, ...], normalisation: Array) -> Symmetric:
    def entry(a: int, b: int) -> Array:
        terms = (p[a] * q[b] for p, q in zip(event.vectors(), others, strict=True))
        return safe_divide(total(terms), normalisation)

    return entry(0, 0), entry(1, 1), entry(2, 2), entry(0, 1), entry(0, 2), entry(1, 2)


def c_parameter_of(event: Particles) -> Array:
    """C = 3 (λ1λ2 + λ2λ3 + λ3λ1), the principal minors."""
    xx, yy, zz, xy, xz, yz = linear_tensor(event)
    return clipped(3 * ((xx * yy - xy * xy) + (xx * zz - xz * xz) + (yy * zz - yz * yz)), 0, 1)


def d_parameter_of(event: Particles) -> Array:
    """D = 27 λ1λ2λ3, the determinant."""
    xx, yy, zz, xy, xz, yz = linear_tensor(event)
    det = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    return clipped(27 * det, 0, 1)


def eigenvalues(tensor: Symmetric) -> tuple[Array, Array, Array]:
    """Eigenvalues of a symmetric 3×3 tensor, largest first, to rounding of the largest, with finite derivatives.

    The eigenvectors v_i come from a closed form, not differentiated; then λ_i = B_ii + Σ_j B_ij²/(B_ii − B_jj) with
    B_ij = v_i·M v_j: equal to λ_i, and right to second derivatives by perturbation theory. Within degenerate
    eigenvalues the derivative is that along the chosen v_i.
    """
    frame, separate_is_largest = _eigenvectors(tensor)
    b = [[dot(u, _apply(tensor, v)) for v in frame] for u in frame]
    threshold = jnp.finfo(b[0][0].dtype).eps ** 0.5

    def refined(i: int) -> Array:
        value = b[i][i]
        for j in range(3):
            if j != i:
                gap = b[i][i] - b[j][j]
                apart = jnp.abs(gap) > threshold
                value = value + jnp.where(apart, b[i][j] * b[i][j] / jnp.where(apart, gap, 1), 0)
        return value

    separate, high, low = refined(0), refined(1), refined(2)
    return (
        jnp.where(separate_is_largest, separate, high),
        jnp.where(separate_is_largest, high, low),
        jnp.where(separate_is_largest, low, separate),
    )


def _apply(tensor: Symmetric, v: Vector) -> Vector:
    xx, yy, zz, xy, xz, yz = tensor
    return (xx * v[0] + xy * v[1] + xz * v[2], xy * v[0] + yy * v[1] + yz * v[2], xz * v[0] + yz * v[1] + zz * v[2])


def _eigenvectors(tensor: Symmetric) -> tuple[tuple[Vector, Vector, Vector], Array]:
    """The eigenvector furthest from the others, the two across it (larger, smaller); if the first is the largest."""
    xx, yy, zz, xy, xz, yz = (lax.stop_gradient(entry) for entry in tensor)
    mean = (xx + yy + zz) / 3
    dx, dy, dz = xx - mean, yy - mean, zz - mean
    spread = jnp.sqrt((dx * dx + dy * dy + dz * dz + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    safe = jnp.where(spread > 0, spread, 1)
    ax, ay, az, axy, axz, ayz = dx / safe, dy / safe, dz / safe, xy / safe, xz / safe, yz / safe
    half_det = (ax * (ay * az - ayz * ayz) - axy * (axy * az - ayz * axz) + axz * (axy * ayz - ay * axz)) / 2
    largest = half_det >= 0
    # With |det| as cosine the eigenvalue of the same sign as det is the one that stands apart.
    angle = jnp.arccos(jnp.clip(jnp.abs(half_det), 0, 1)) / 3
    apart = jnp.where(largest, 2, -2) * jnp.cos(angle)
    rows = ((ax - apart, axy, axz), (axy, ay - apart, ayz), (axz, ayz, az - apart))
    first = _longest(cross(rows[0], rows[1]), cross(rows[0], rows[2]), cross(rows[1], rows[2]))
    zero, one = jnp.zeros_like(mean), jnp.ones_like(mean)
    first = _unit_or(first, (zero, zero, one))
    second = unit(
        _longest(cross(first, (one, zero, zero)), cross(first, (zero, one, zero)), cross(first, (zero, zero, one)))
    )
    third = cross(first, second)
    frozen = (xx, yy, zz, xy, xz, yz)
    m22, m33, m23 = (
        dot(second, _apply(frozen, second)),
        dot(third, _apply(frozen, third)),
        dot(second, _apply(frozen, third)),
    )
    turn = 0.5 * jnp.arctan2(2 * m23, m22 - m33)
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    high = tuple(cos * s + sin * t for s, t in zip(second, third, strict=True))
    low = tuple(cos * t - sin * s for s, t in zip(second, third, strict=True))
    return (first, (high[0], high[1], high[2]), (low[0], low[1], low[2])), largest


def _longest(*vectors: Vector) -> Vector:
    best = vectors[0]
    for v in vectors[1:]:
        longer = dot(v, v) > dot(best, best)
        best = (jnp.where(longer, v[0], best[0]), jnp.where(longer, v[1], best[1]), jnp.where(longer, v[2], best[2]))
    return best


def _unit_or(v: Vector, fallback: Vector) -> Vector:
    size = dot(v, v)
    usable = size > jnp.finfo(size.dtype).eps ** 2
    direction = scale(1 / jnp.sqrt(jnp.where(usable, size, 1)), v)
    x, y, z = (jnp.where(usable, d, f) for d, f in zip(direction, fallback, strict=True))
    return x, y, z


def c_parameter(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""C-parameter $C = 3(\lambda_1\lambda_2 + \lambda_2\lambda_3 + \lambda_3\lambda_1)$.

    $\lambda_i$ are the eigenvalues of $\Theta^{ab} = \sum_k p_k^a p_k^b/|\mathbf p_k| \,/ \sum_k|\mathbf p_k|$.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        C in [0, 1]: 0 for back-to-back jets, at most 3/4 for planar events; 0 for an event without momentum.

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> round(float(c_parameter(star, jnp.ones(3, bool))), 5)
    0.75
    """
    return c_parameter_of(particles(momenta, mask))


def d_parameter(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""D-parameter $D = 27\,\lambda_1\lambda_2\lambda_3$ of the same tensor as `c_parameter`: 0 for planar events.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        D in [0, 1].

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> float(d_parameter(star, jnp.ones(3, bool)))
    0.0
    """
    return d_parameter_of(particles(momenta, mask))


def sphericity(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Sphericity $\frac32(\lambda_2 + \lambda_3)$ of $S^{ab} = \sum_k p_k^ap_k^b/\sum_k|\mathbf p_k|^2$.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        S in [0, 1]; quadratic in the momenta, hence not collinear safe. At equal eigenvalues the gradient is one of its
        limits.

    >>> import jax.numpy as jnp
    >>> float(sphericity(jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]]), jnp.ones(2, bool)))
    0.0
    """
    _, second, third = eigenvalues(quadratic_tensor(particles(momenta, mask)))
    return clipped(1.5 * (second + third), 0, 1)


def aplanarity(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Aplanarity $A = \frac32\lambda_3$ with the smallest eigenvalue of the sphericity tensor: 0 for planar events.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        A in [0, 1/2]; not collinear safe.

    >>> import jax.numpy as jnp
    >>> float(aplanarity(jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]]), jnp.ones(2, bool)))
    0.0
    """
    return clipped(1.5 * eigenvalues(quadratic_tensor(particles(momenta, mask)))[2], 0, 0.5)
