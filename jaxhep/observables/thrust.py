"""Thrust and its axis: the exact maximum over all partitions, found once, shared by each observable that needs it."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxhep.observables._jumps import Values, boundary, longest_but, next_best, sides_of
from jaxhep.observables._particles import (
    Column,
    Particles,
    Vector,
    clipped,
    cross,
    dot,
    each,
    magnitudes,
    norm,
    particles,
    safe_divide,
    scale,
    signed_sum,
    stacked,
    total,
    unit,
)
from jaxhep.observables._search import hemispheres, in_plane_ends


class ThrustPartition(NamedTuple):
    """What the thrust search gives; hemisphere observables take it so that the search runs once."""

    event: Particles
    magnitudes: Column  # |p_k|
    scale: Array  # Σ|p|
    signs: Column  # +1 or −1: the hemisphere of each particle
    vector: Vector  # V = Σ s_k p_k
    axis: Vector  # V/|V|, its overall sign left as the search found it


def partition_of(event: Particles) -> ThrustPartition:
    """Find the thrust partition of particles held in columns."""
    # The search is not differentiated: by Danskin's theorem the derivative of a maximum is that of the winner, its
    # signs held.
    return partition_with(event, hemispheres(event))


def partition_with(event: Particles, signs: Column) -> ThrustPartition:
    """The partition with given signs, as if it were the best."""
    sizes = magnitudes(event)
    vector = signed_sum(signs, event)
    return ThrustPartition(event, sizes, total(sizes), signs, vector, unit(vector))


def with_axis_jumps(observables: Callable[[ThrustPartition], Values], found: ThrustPartition) -> Values:
    """Observables of the thrust partition; their derivative has the flux where another partition becomes the best."""
    flux = boundary(
        lambda event, signs: observables(partition_with(event, signs)),
        lambda event, signs: signed_sum(signs, event),
        _next_hemispheres,
        found.event,
        found.signs,
    )
    return tuple(value + zero for value, zero in zip(observables(found), flux, strict=True))


def _next_hemispheres(event: Particles, signs: Column) -> Column:
    """Signs of the second longest partition."""
    momenta = jnp.stack([stacked(event.x), stacked(event.y), stacked(event.z)], axis=-1)
    return sides_of(event.vectors(), next_best(momenta, jnp.stack(signed_sum(signs, event))))


def thrust_of(found: ThrustPartition) -> Array:
    """T = |V|/Σ|p|."""
    return clipped(safe_divide(norm(found.vector), found.scale, 1), None, 1)


def one_minus_thrust_of(found: ThrustPartition) -> Array:
    """Σ(|p_k| − |p_k·n|)/Σ|p|, each term as p_⊥²/(|p_k| + |p_k·n|): no cancellation when T is close to 1."""

    def missing(size: Array, sign: Array, x: Array, y: Array, z: Array) -> Array:
        along = sign * dot((x, y, z), found.axis)
        across = cross((x, y, z), found.axis)
        return safe_divide(dot(across, across), size + along)

    event = found.event
    return safe_divide(total(each(missing, found.magnitudes, found.signs, event.x, event.y, event.z)), found.scale)


def axis_of(found: ThrustPartition) -> Float[Array, "3"]:
    """The axis turned into the hemisphere of the particle with the largest |p| (the first of equals)."""
    side, largest = jnp.ones_like(found.scale), jnp.full_like(found.scale, -1)
    for sign, size in zip(found.signs, found.magnitudes, strict=True):
        if size.ndim:
            winner = jnp.argmax(size)
            sign, size = sign[winner], size[winner]
        side, largest = jnp.where(size > largest, sign, side), jnp.maximum(size, largest)
    return jnp.stack(scale(lax.stop_gradient(side), found.axis))


def plane_axes_of(found: ThrustPartition) -> Values:
    """Thrust in the plane across the axis (major), and the projection on the third direction (minor)."""
    across = _across(found)
    frozen = lax.stop_gradient((across, found.axis))
    ends = _ends_across(*frozen)
    signs = sides_of(frozen[0].vectors(), ends[jnp.argmax(jnp.sum(ends * ends, axis=-1))])
    flux = boundary(_plane_axes_with, lambda f, s: signed_sum(s, _across(f)), _next_in_plane, found, signs)
    return tuple(value + zero for value, zero in zip(_plane_axes_with(found, signs), flux, strict=True))


def _across(found: ThrustPartition) -> Particles:
    """Momenta across the axis."""
    event, n = found.event, found.axis

    def flat(component: int) -> Column:
        column = (event.x, event.y, event.z)[component]
        return each(lambda c, x, y, z: c - dot((x, y, z), n) * n[component], column, event.x, event.y, event.z)

    return Particles(event.energy, flat(0), flat(1), flat(2))


def _ends_across(across: Particles, axis: Vector) -> Array:
    return in_plane_ends(stacked(across.x), stacked(across.y), stacked(across.z), jnp.stack(axis))


def _plane_axes_with(found: ThrustPartition, signs: Column) -> Values:
    """(major, minor) with a given partition of the plane."""
    vector = signed_sum(signs, _across(found))
    third = cross(found.axis, unit(vector))
    minor = total(jnp.abs(dot(p, third)) for p in found.event.vectors())
    return safe_divide(norm(vector), found.scale), safe_divide(minor, found.scale)


def _next_in_plane(found: ThrustPartition, signs: Column) -> Column:
    """Signs of the second longest partition of the plane."""
    across = _across(found)
    momenta = jnp.stack([stacked(across.x), stacked(across.y), stacked(across.z)], axis=-1)
    best = jnp.stack(signed_sum(signs, across))
    return sides_of(across.vectors(), longest_but(_ends_across(across, found.axis), momenta, best)[1])


def thrust(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Thrust $T = \max_{\mathbf n} \sum_k |\mathbf p_k\cdot\mathbf n| / \sum_k |\mathbf p_k|$, exact.

    The maximum equals $\max_{s} |\sum_k s_k \mathbf p_k| / \sum_k |\mathbf p_k|$ over signs $s_k = \pm 1$; it is found
    by enumeration (all partitions up to 8 slots, the partitions by planes through two particles above), without
    assuming momentum
    balance.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        T in [1/2, 1] for balanced events. An event without momentum has T = 1, so that 1 − T = 0 as for two
        back-to-back jets.

    The gradient is that of the winning partition (Danskin); where two partitions tie it is the gradient of one of them.

    Source: E. Farhi, Phys. Rev. Lett. 39 (1977) 1587.

    >>> import jax.numpy as jnp
    >>> jet = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]])
    >>> float(thrust(jet, jnp.array([True, True])))
    1.0
    """
    return thrust_of(partition_of(particles(momenta, mask)))


def one_minus_thrust(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""$\tau = 1 - T$, computed without cancellation, so that $\ln\tau$ is good in float32 too.

    $\tau = \sum_k p_{\perp k}^2 / (|\mathbf p_k| + |\mathbf p_k\cdot\mathbf n|) / \sum_k |\mathbf p_k|$ with $p_\perp$
    across the thrust axis n.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        1 − T, at least 0.

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> round(float(one_minus_thrust(star, jnp.ones(3, bool))), 5)
    0.33333
    """
    return one_minus_thrust_of(partition_of(particles(momenta, mask)))


def thrust_axis(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, "3"]:
    r"""Unit vector $\mathbf n_T$ along which the thrust maximum is reached.

    Its sign: the particle of largest |p| lies in its hemisphere (the first such particle where several are equal). An
    event without momentum has the zero vector as axis.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        (3,) components x, y, z. Its derivative is that of $\sum_k s_k\mathbf p_k$ normalised, with the signs held.

    >>> import jax.numpy as jnp
    >>> jet = jnp.array([[2.0, 0, 0, 2], [1.0, 0, 0, -1]])
    >>> thrust_axis(jet, jnp.array([True, True])).tolist()
    [0.0, 0.0, 1.0]
    """
    return axis_of(partition_of(particles(momenta, mask)))


def thrust_major(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Thrust major $\max_{\mathbf n\perp\mathbf n_T} \sum_k |\mathbf p_k\cdot\mathbf n|/\sum_k|\mathbf p_k|$, exact.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        M, 0 for back-to-back jets. The gradient includes the turning of the thrust axis; at M = 0 it is 0.

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> round(float(thrust_major(star, jnp.ones(3, bool))), 5)
    0.57735
    """
    return with_axis_jumps(plane_axes_of, partition_of(particles(momenta, mask)))[0]


def thrust_minor(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Thrust minor $\sum_k |\mathbf p_k\cdot(\mathbf n_T\times\mathbf n_{major})|/\sum_k|\mathbf p_k|$: 0 if planar.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        m. At a planar event, where it has a kink, the derivative of |x| at 0 is taken as 0.

    >>> import jax.numpy as jnp
    >>> float(thrust_minor(jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]]), jnp.ones(2, bool)))
    0.0
    """
    return with_axis_jumps(plane_axes_of, partition_of(particles(momenta, mask)))[1]


def oblateness(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    """Oblateness O = M − m, thrust major less thrust minor.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        O, 0 for back-to-back jets.

    >>> import jax.numpy as jnp
    >>> float(oblateness(jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]]), jnp.ones(2, bool)))
    0.0
    """
    major, minor = with_axis_jumps(plane_axes_of, partition_of(particles(momenta, mask)))
    return major - minor
