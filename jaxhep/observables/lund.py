"""Counting particles, and the Lund-plane coordinates of shower emissions."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxhep.observables._particles import check_event


def multiplicity(momenta: Float[Array, "particle 4"], mask: Bool[Array, " particle"]) -> Float[Array, ""]:
    """Number of particles.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.

    Returns:
        The count, in the momenta's floating type; neither infrared nor collinear safe. Its derivative in the momenta is
        0.

    >>> import jax.numpy as jnp
    >>> float(multiplicity(jnp.ones((3, 4)), jnp.array([True, True, False])))
    2.0
    """
    check_event(momenta, mask)
    return jnp.sum(mask, dtype=momenta.dtype)


def lund_coordinates(
    emissions: Any, *, reference_kt: float | int | Float[Array, ""] = 1.0
) -> Float[Array, "*batch emission 2"]:
    r"""Lund-plane coordinates $(\ln 1/\tan\frac\theta2,\ \ln k_\perp/k_0)$ of the emissions of a shower.

    With $y = \frac12\ln(s_{ij}/s_{jk})$ the rapidity in the emitting dipole, $y = \ln 1/\tan(\theta/2)$ where θ is the
    angle to the dipole axis, so that y → ln(2/θ) for collinear emission: positive towards one end of the dipole,
    negative towards the other.

    Args:
        emissions: an object with arrays `kt` (GeV, positive), `rapidity` and `mask`, each (*batch, emission), such as
        the
            history of a shower event (`jaxhep.event.Emissions`).
        reference_kt: k_0, GeV.

    Returns:
        (*batch, emission, 2); zeros where the mask is False, with derivative 0: use the mask when filling a histogram.

    Raises:
        TypeError: if the object lacks one of the three arrays (an event without history, for instance).

    Source: B. Andersson et al., Z. Phys. C43 (1989) 625.

    >>> from types import SimpleNamespace
    >>> import jax.numpy as jnp
    >>> kt, rapidity, mask = jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0]), jnp.array([True, False])
    >>> history = SimpleNamespace(kt=kt, rapidity=rapidity, mask=mask)
    >>> lund_coordinates(history).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    missing = [name for name in ("kt", "rapidity", "mask") if not hasattr(emissions, name)]
    if missing:
        raise TypeError(
            f"lund_coordinates needs an emission history with kt, rapidity and mask; {type(emissions).__name__} lacks "
            f"{', '.join(missing)}. Pass `event.history` of a shower event."
        )
    kept: Bool[Array, "*batch emission"] = emissions.mask & (emissions.kt > 0)
    log_kt = jnp.log(jnp.where(kept, emissions.kt, 1) / reference_kt)
    return jnp.stack([jnp.where(kept, emissions.rapidity, 0), jnp.where(kept, log_kt, 0)], axis=-1)
