"""Durham (e+e- kT) merging scales."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxhep.observables._clustering import merging_jets, pair_scale
from jaxhep.observables._merging_jumps import merging_jumps, minus_log
from jaxhep.observables._particles import Particles, particles, stacked


def scales_with_jumps(event: Particles, jets: Sequence[int]) -> tuple[list[Array], list[Array]]:
    """y_{m-1,m} and −ln y_{m-1,m} for each m; their derivatives have the flux where the history changes."""
    raw = [pair_scale(event, pair) for pair in merging_jets(event, jets)]
    # As arrays: in reverse mode scalars would take minutes to compile.
    jumps, log_jumps = merging_jumps(tuple(jets), Particles(*((stacked(column),) for column in event)))
    scales = [y + zero for y, zero in zip(raw, jumps, strict=True)]
    return scales, [minus_log(y) + zero for y, zero in zip(raw, log_jumps, strict=True)]


def durham_merging_scales(
    momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"], num_jets: int = 5
) -> Float[Array, " scale"]:
    r"""Durham merging scales $y_{23}, y_{34}, \dots$ in one clustering.

    The pair of smallest $y_{ij} = 2\min(E_i^2, E_j^2)(1-\cos\theta_{ij})/E_{vis}^2$ is merged by adding four-momenta
    (E-scheme) until two jets are left. $y_{m-1,m}$ is the largest $y_{ij}$ met down to the merging of m jets into m−1:
    for $y_{cut}$ above
    it the event has fewer than m jets.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.
        num_jets: largest m, at least 3 (5 gives y_23, y_34, y_45).

    Returns:
        (num_jets − 2,) scales, falling; 0 where the event has fewer than m particles.

    Raises:
        ValueError: for num_jets below 3.

    Where another pair is merged first the scales may jump: the derivative of one event has there, besides that of the
    scales themselves, a peak of width 0.02 in ln y, so that averages have the right derivative.

    Source: S. Catani et al., Phys. Lett. B269 (1991) 432; the running maximum as in FastJet's `exclusive_ymerge_max`.

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> [round(float(y), 4) for y in durham_merging_scales(star, jnp.ones(3, bool))]
    [0.3333, 0.0, 0.0]
    """
    if num_jets < 3:
        raise ValueError(f"num_jets must be at least 3 (y_23 is the merging of 3 jets into 2), got {num_jets}")
    return jnp.stack(scales_with_jumps(particles(momenta, mask), range(3, num_jets + 1))[0])


def y23(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Durham $y_{23}$, the scale at which three jets become two; see `durham_merging_scales`.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        y_23 in [0, 1/3]; 0 for fewer than three particles.

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> round(float(y23(star, jnp.ones(3, bool))), 4)
    0.3333
    """
    return scales_with_jumps(particles(momenta, mask), (3,))[0][0]


def y34(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Durham $y_{34}$, the scale at which four jets become three; see `durham_merging_scales`.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        y_34, at least 0; 0 for fewer than four particles.

    >>> import jax.numpy as jnp
    >>> float(y34(jnp.ones((3, 4)), jnp.ones(3, bool)))
    0.0
    """
    return scales_with_jumps(particles(momenta, mask), (4,))[0][0]


def y45(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Durham $y_{45}$, the scale at which five jets become four; see `durham_merging_scales`.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        y_45, at least 0; 0 for fewer than five particles.

    >>> import jax.numpy as jnp
    >>> float(y45(jnp.ones((3, 4)), jnp.ones(3, bool)))
    0.0
    """
    return scales_with_jumps(particles(momenta, mask), (5,))[0][0]


def minus_log_y(scale: Float[Array, "*any"]) -> Float[Array, "*any"]:
    r"""$-\ln\max(y, 10^{-10})$: finite (23.03, derivative 0) at y = 0: unresolved events fall into an overflow bin.

    Args:
        scale: merging scales y, dimensionless.

    Returns:
        −ln y, at most 23.03.

    >>> import jax.numpy as jnp
    >>> round(float(minus_log_y(jnp.array(0.0))), 3)
    23.026
    """
    return minus_log(scale)


def minus_log_y23(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""$-\ln y_{23}$ as ALEPH publishes it; 23.03 for an event with y_23 below 10⁻¹⁰ (see `minus_log_y`).

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        −ln y_23, at least ln 3.

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> round(float(minus_log_y23(star, jnp.ones(3, bool))), 4)
    1.0986
    """
    return scales_with_jumps(particles(momenta, mask), (3,))[1][0]


def minus_log_y34(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""$-\ln y_{34}$, at most 23.03 (see `minus_log_y`).

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        −ln y_34.

    >>> import jax.numpy as jnp
    >>> round(float(minus_log_y34(jnp.ones((3, 4)), jnp.ones(3, bool))), 3)
    23.026
    """
    return scales_with_jumps(particles(momenta, mask), (4,))[1][0]


def minus_log_y45(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""$-\ln y_{45}$, at most 23.03 (see `minus_log_y`).

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        −ln y_45.

    >>> import jax.numpy as jnp
    >>> round(float(minus_log_y45(jnp.ones((3, 4)), jnp.ones(3, bool))), 3)
    23.026
    """
    return scales_with_jumps(particles(momenta, mask), (5,))[1][0]
