"""All event shapes of an event at once, sharing the thrust axis, the tensors and the clustering."""

from jaxtyping import Array, Bool, Float

from jaxhep.observables._particles import clipped, particles
from jaxhep.observables.durham import scales_with_jumps
from jaxhep.observables.hemispheres import broadenings_of, jet_masses_of
from jaxhep.observables.lund import multiplicity
from jaxhep.observables.tensors import c_parameter_of, d_parameter_of, eigenvalues, quadratic_tensor
from jaxhep.observables.thrust import (
    ThrustPartition,
    one_minus_thrust_of,
    partition_of,
    plane_axes_of,
    thrust_of,
    with_axis_jumps,
)


def event_shapes(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> dict[str, Float[Array, ""]]:
    """Every event shape of the registry, by registry name, from one thrust search, one clustering and one tensor each.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        A dictionary of scalars; under `jit` what is not used is not computed.

    >>> import jax.numpy as jnp
    >>> shapes = event_shapes(jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]]), jnp.ones(2, bool))
    >>> float(shapes["thrust"]), float(shapes["c_parameter"])
    (1.0, 0.0)
    """
    event = particles(momenta, mask)
    found = partition_of(event)
    heavy, light, wide, narrow, major, minor = with_axis_jumps(_axis_shapes, found)
    _, second, third = eigenvalues(quadratic_tensor(event))
    scales, logs = scales_with_jumps(event, (3, 4, 5))
    return {
        "thrust": thrust_of(found),
        "one_minus_thrust": one_minus_thrust_of(found),
        "thrust_major": major,
        "thrust_minor": minor,
        "oblateness": major - minor,
        "c_parameter": c_parameter_of(event),
        "d_parameter": d_parameter_of(event),
        "heavy_jet_mass": heavy,
        "light_jet_mass": light,
        "total_broadening": wide + narrow,
        "wide_broadening": wide,
        "narrow_broadening": narrow,
        "sphericity": clipped(1.5 * (second + third), 0, 1),
        "aplanarity": clipped(1.5 * third, 0, 0.5),
        "y23": scales[0],
        "y34": scales[1],
        "y45": scales[2],
        "minus_log_y23": logs[0],
        "minus_log_y34": logs[1],
        "minus_log_y45": logs[2],
        "multiplicity": multiplicity(momenta, mask),
    }


def _axis_shapes(found: ThrustPartition) -> tuple[Array, ...]:
    """What jumps with the thrust axis, together, so that the next best axis is searched once."""
    return (*jet_masses_of(found), *broadenings_of(found), *plane_axes_of(found))
