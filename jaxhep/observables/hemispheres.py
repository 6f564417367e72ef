"""Hemisphere observables: jet masses and broadenings, the hemispheres cut by the thrust axis.

They jump where another axis becomes the best one. Their derivatives carry the flux through these jumps, as a narrow
peak for events near a tie (`_jumps`): averages then have the right derivative; the derivative of one event near a tie
is not that of its own path.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxhep.observables._particles import clipped, cross, dot, each, norm, particles, safe_divide, total
from jaxhep.observables.thrust import ThrustPartition, partition_of, with_axis_jumps


def jet_masses_of(found: ThrustPartition) -> tuple[Array, Array]:
    """(heavy, light) ρ = M²/E_vis² of the hemispheres."""
    event = found.event
    energy = total(event.energy)
    difference = total(each(jnp.multiply, found.signs, event.energy))
    momentum = (total(event.x), total(event.y), total(event.z))

    def rho(sign: int) -> Array:
        part = tuple(p + sign * v for p, v in zip(momentum, found.vector, strict=True))
        squared = (energy + sign * difference) ** 2 - dot((part[0], part[1], part[2]), (part[0], part[1], part[2]))
        return clipped(safe_divide(squared, (2 * energy) ** 2), 0, None)

    plus, minus = rho(1), rho(-1)
    return jnp.maximum(plus, minus), jnp.minimum(plus, minus)


def broadenings_of(found: ThrustPartition) -> tuple[Array, Array]:
    """(wide, narrow) B = Σ|p × n_T|/(2Σ|p|) of the hemispheres."""
    across = tuple(norm(cross(p, found.axis)) for p in found.event.vectors())
    both = total(across)
    difference = total(each(jnp.multiply, found.signs, across))
    spread = jnp.abs(difference)
    return safe_divide(both + spread, 4 * found.scale), safe_divide(both - spread, 4 * found.scale)


def heavy_jet_mass(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Heavy jet mass $\rho = \max_i M_i^2/E_{vis}^2$ over the two hemispheres of the thrust axis.

    $M_i^2 = (\sum_{k\in i} p_k)^2$ with the particles' own energies, $E_{vis} = \sum_k E_k$ (at √s = E_vis this is
    M²/s).

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        ρ, at least 0; 0 for an event without energy.

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> round(float(heavy_jet_mass(star, jnp.ones(3, bool))), 5)
    0.33333
    """
    return with_axis_jumps(jet_masses_of, partition_of(particles(momenta, mask)))[0]


def light_jet_mass(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Light jet mass $\rho_L = \min_i M_i^2/E_{vis}^2$, as `heavy_jet_mass` for the lighter hemisphere.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        ρ_L, at least 0; 0 for three massless partons.

    >>> import jax.numpy as jnp
    >>> float(light_jet_mass(jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]]), jnp.ones(2, bool)))
    0.0
    """
    return with_axis_jumps(jet_masses_of, partition_of(particles(momenta, mask)))[1]


def total_broadening(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Total jet broadening $B_T = \sum_k |\mathbf p_k\times\mathbf n_T| / (2\sum_k|\mathbf p_k|)$.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        B_T, at least 0. Its gradient includes the turning of the axis; a particle on the axis contributes derivative 0.

    >>> import jax.numpy as jnp
    >>> star = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0.75**0.5, -0.5], [1.0, 0, -(0.75**0.5), -0.5]])
    >>> round(float(total_broadening(star, jnp.ones(3, bool))), 5)
    0.28868
    """
    wide, narrow = with_axis_jumps(broadenings_of, partition_of(particles(momenta, mask)))
    return wide + narrow


def wide_broadening(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Wide jet broadening $\max_i B_i$, $B_i = \sum_{k\in i}|\mathbf p_k\times\mathbf n_T|/(2\sum_k|\mathbf p_k|)$.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        B_W, at least 0.

    >>> import jax.numpy as jnp
    >>> float(wide_broadening(jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]]), jnp.ones(2, bool)))
    0.0
    """
    return with_axis_jumps(broadenings_of, partition_of(particles(momenta, mask)))[0]


def narrow_broadening(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    r"""Narrow jet broadening $B_N = \min_i B_i$, as `wide_broadening` for the narrower hemisphere.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        B_N, at least 0.

    >>> import jax.numpy as jnp
    >>> float(narrow_broadening(jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]]), jnp.ones(2, bool)))
    0.0
    """
    return with_axis_jumps(broadenings_of, partition_of(particles(momenta, mask)))[1]
