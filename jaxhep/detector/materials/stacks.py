"""Layered stacks: the effective medium, and depths in radiation lengths."""

import jax.numpy as jnp

from ..._types import Array, Float
from .mixtures import CriticalEnergy, Medium, Mixture, check_critical_energy
from .table import Material

_NOTHING = 1e-12
"""Mass in g/cm² given to each layer in means, so that the mean over a stack without passive matter is defined."""


def _mean(values: Array, weights: Array) -> Array:
    weights = weights + jnp.asarray(_NOTHING, weights.dtype)
    return jnp.sum(jnp.broadcast_to(values, weights.shape) * weights) / jnp.sum(weights)


def effective(
    passive: Mixture | Material | str | None,
    active: Mixture | Material | str,
    passive_thickness: Float[Array, " layer"] | None,
    active_thickness: Float[Array, " layer"],
    *,
    critical_energy: CriticalEnergy = "paper",
) -> Medium:
    r"""The effective medium of a stack of layers, each passive matter followed by active matter.

    With masses an area \(m_i=\rho_id_i\) and mass fractions \(w_i=m_i/\sum m\) over the whole stack: \(Z=\sum w_iZ_i\),
    \(A=\sum w_iA_i\), \(\rho=\sum m/\sum d\), \(1/X_0=\sum w_i/X_{0,i}\), \(E_c=X_0\sum w_iE_{c,i}/X_{0,i}\),
    \(R_M=21.2\,\mathrm{MeV}\,X_0/E_c\), \(\hat e=1/(1+0.007(Z_p-Z_a))\) with Z_p, Z_a the mass-weighted means over
    passive and active matter (Grindhammer & Peters, hep-ex/0001020).

    **Choice for stacks of unequal layers**, where the source has \(F_S=X_0/(d_p+d_a)\) of one layer:
    \(1/F_S=\sum x_l^2/\sum x_l\) with \(x_l\) the thickness of layer l in radiation lengths of its own matter. It is
    the mean of the local \(1/F_S\) over the depth: exact for equal layers, and a layer whose thickness goes to zero
    leaves the medium of the stack without it.

    **Arguments**

    - `passive`, `active`: materials; mixtures may differ from layer to layer. `passive=None` is a homogeneous
      calorimeter.
    - `passive_thickness`, `active_thickness`: in cm, shape (layer,), not negative, not all zero.
    - `critical_energy`: "paper" (default) or "pdg".

    **Returns** a `Medium` of scalars, differentiable in thicknesses and mass fractions.

    >>> import jax.numpy as jnp
    >>> from jaxhep.detector.materials import effective
    >>> stack = effective("W", "Si", jnp.full(45, 0.14), jnp.full(45, 0.03), critical_energy="pdg")
    >>> print(f"{stack.radiation_length_cm:.4f} cm, F_S = {stack.sampling_frequency:.3f}")
    0.4219 cm, F_S = 2.482
    """
    check_critical_energy(critical_energy)
    one = _as_mixture(active).medium(critical_energy)
    masses = [one.density * active_thickness]
    media, lengths = [one], jnp.sum(active_thickness)
    if passive is not None:
        assert passive_thickness is not None
        other = _as_mixture(passive).medium(critical_energy)
        media.insert(0, other)
        masses.insert(0, other.density * passive_thickness)
        lengths = lengths + jnp.sum(passive_thickness)
    weights = jnp.concatenate(masses)

    def mean(name: str) -> Array:
        values = [jnp.broadcast_to(getattr(m, name), mass.shape) for m, mass in zip(media, masses, strict=True)]
        return _mean(jnp.concatenate(values), weights)

    inverse = [jnp.broadcast_to(1 / m.radiation_length, mass.shape) for m, mass in zip(media, masses, strict=True)]
    loss = [
        jnp.broadcast_to(m.critical_energy / m.radiation_length, mass.shape)
        for m, mass in zip(media, masses, strict=True)
    ]
    x0 = 1 / _mean(jnp.concatenate(inverse), weights)
    zero = jnp.zeros_like(x0)
    period, e_over_mip = zero, zero + 1
    if passive is not None:
        depth = sum(part * mass for part, mass in zip(inverse, masses, strict=True))
        total = jnp.sum(depth)
        period = jnp.sum(depth**2) / jnp.where(total > 0, total, 1.0)
        e_over_mip = 1 / (1 + 0.007 * (_mean(media[0].z, masses[0]) - _mean(media[1].z, masses[1])))
    return Medium(
        z=mean("z"),
        a=mean("a"),
        density=jnp.sum(weights) / jnp.where(lengths > 0, lengths, 1.0),
        radiation_length=x0,
        critical_energy=x0 * _mean(jnp.concatenate(loss), weights),
        period=period,
        e_over_mip=e_over_mip,
        sampling=passive is not None,
    )


def layer_depths(
    passive: Mixture | Material | str | None,
    active: Mixture | Material | str,
    passive_thickness: Float[Array, " layer"] | None,
    active_thickness: Float[Array, " layer"],
) -> Float[Array, " layer"]:
    """Thickness of each layer (passive and active matter) in radiation lengths of its own matter; lengths in cm."""
    depth = active_thickness / _as_mixture(active).medium().radiation_length_cm
    if passive is not None and passive_thickness is not None:
        depth = depth + passive_thickness / _as_mixture(passive).medium().radiation_length_cm
    return depth


def sampling_fractions(
    passive: Mixture | Material | str | None,
    active: Mixture | Material | str,
    passive_thickness: Float[Array, " layer"] | None,
    active_thickness: Float[Array, " layer"],
    *,
    critical_energy: CriticalEnergy = "paper",
) -> Float[Array, " layer"]:
    r"""The part of the ionisation loss of a straight track that each layer's active matter gets.

    \(f_l=\ell_ad_a/(\ell_pd_p+\ell_ad_a)\) with the loss \(\ell=E_c/X_0\) in MeV/cm. The active matter sees
    \(\hat ef_l\) of an electromagnetic shower's energy. 1 in a homogeneous calorimeter; a layer without matter has the
    value of an infinitely thin one with equal thicknesses of both.
    """
    active_loss = _as_mixture(active).medium(critical_energy).loss
    if passive is None or passive_thickness is None:
        return jnp.ones_like(active_thickness)
    passive_loss = _as_mixture(passive).medium(critical_energy).loss
    there = active_thickness + passive_thickness > 0
    d_active = jnp.where(there, active_thickness, 1.0)
    d_passive = jnp.where(there, passive_thickness, 1.0)
    return active_loss * d_active / (passive_loss * d_passive + active_loss * d_active)


def _as_mixture(thing: Mixture | Material | str) -> Mixture:
    return thing if isinstance(thing, Mixture) else Mixture((thing,))


__all__ = ["effective", "layer_depths", "sampling_fractions"]
