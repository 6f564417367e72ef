"""The response to charged particles: efficiency with its score, and smearing."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._types import Scalar
from ...noise import normal
from ._smooth import leaf, log_normal, regions, smooth_step, static_edges
from .particles import Kind

_MASSES = (0.51099895e-3, 0.1056583755, 0.13957039)
"""Masses in GeV of e, μ and π± (PDG 2022): the hypotheses of a track."""
_IDS = (11, 13, 211)


class Charged(NamedTuple):
    """One event's particles as the track response sees them: p_T, η, φ, charge and species (0 e, 1 μ, 2 hadron)."""

    pt: Float[Array, " particle"]
    eta: Float[Array, " particle"]
    phi: Float[Array, " particle"]
    charge: Int[Array, " particle"]
    species: Int[Array, " particle"]
    mask: Bool[Array, " particle"]


class TrackResponse(eqx.Module):
    r"""Efficiency, momentum and angular resolution of tracks, for electrons, muons and hadrons in regions of |η|.

    \[\epsilon(p_T,\eta)=\epsilon_\infty\,\frac{x^n}{1+x^n}\,S\Big(\frac{\eta_{max}-|\eta|}{h}\Big),\quad
      x=\frac{p_T}{p_{1/2}},\qquad \frac{\sigma(p_T)}{p_T}=a\oplus b\,p_T .\]

    The measured p_T is log-normal with mean `scale`·p_T and exactly this relative width, so that it stays positive; φ
    and η are Gaussian.

    **Arguments** (leaves; those with a shape may be given as one number)

    - `plateau`: ε∞ in [0, 1], shape (3, region): rows e, μ, hadron.
    - `half_pt`, `steepness`: p½ ≥ 0 in GeV and n > 0 of the turn-on.
    - `eta_max`, `eta_width`: end of the acceptance and half-width h of its edge.
    - `multiple_scattering`, `curvature`: a ≥ 0 and b ≥ 0 in 1/GeV, shape (3, region).
    - `sigma_phi`, `sigma_eta`: angular resolutions ≥ 0 (radians, units of η).
    - `scale`: factor on the measured momentum, 1 for a calibrated detector.
    - `edges`: static, the |η| values that divide the regions (blended over ±0.05).

    **Raises** `ValueError` for negative resolutions, efficiencies outside [0, 1], and wrong shapes.

    **Gradient**: the efficiency's as the score in the weight; smearing pathwise.
    """

    plateau: Float[Array, "3 region"]
    half_pt: Scalar
    steepness: Scalar
    eta_max: Scalar
    eta_width: Scalar
    multiple_scattering: Float[Array, "3 region"]
    curvature: Float[Array, "3 region"]
    sigma_phi: Scalar
    sigma_eta: Scalar
    scale: Scalar
    edges: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        plateau: Any,
        half_pt: Any,
        eta_max: Any,
        multiple_scattering: Any,
        curvature: Any,
        *,
        steepness: Any = 2.0,
        eta_width: Any = 0.05,
        sigma_phi: Any = 0.001,
        sigma_eta: Any = 0.001,
        scale: Any = 1.0,
        edges: tuple[float, ...] = (),
    ) -> None:
        """See the class."""
        self.edges = static_edges("edges", edges)
        shape = (3, len(self.edges) + 1)
        self.plateau = leaf("plateau", plateau, shape, "an efficiency lies between 0 and 1", 0.0, 1.0)
        self.half_pt = leaf("half_pt", half_pt, (), "the turn-on is at a transverse momentum of 0 GeV or more")
        self.steepness = leaf("steepness", steepness, (), "the power of the turn-on is positive", open_=True)
        self.eta_max = leaf("eta_max", eta_max, (), "the acceptance ends at a positive |η|", open_=True)
        self.eta_width = leaf("eta_width", eta_width, (), "the edge has a width of 0 or more")
        resolution = "a resolution is not negative"
        self.multiple_scattering = leaf("multiple_scattering", multiple_scattering, shape, resolution)
        self.curvature = leaf("curvature", curvature, shape, resolution)
        self.sigma_phi = leaf("sigma_phi", sigma_phi, (), resolution)
        self.sigma_eta = leaf("sigma_eta", sigma_eta, (), resolution)
        self.scale = leaf("scale", scale, (), "the momentum scale is a positive factor", open_=True)

    def _at(
        self, table: Float[Array, "3 region"], eta: Float[Array, " particle"], species: Int[Array, " particle"]
    ) -> Float[Array, " particle"]:
        shares = regions(eta, self.edges)
        per_species = [sum(table[s, r] * share for r, share in enumerate(shares)) for s in range(3)]
        return jnp.where(species == 0, per_species[0], jnp.where(species == 1, per_species[1], per_species[2]))

    def efficiency(
        self, pt: Float[Array, " particle"], eta: Float[Array, " particle"], species: Int[Array, " particle"]
    ) -> Float[Array, " particle"]:
        """ε(p_T, η) for p_T > 0 in GeV, η, and species 0 e, 1 μ, 2 hadron; values in [0, 1]."""
        # x^n/(1 + x^n) with x = p_T/p_half, written so that p_half = 0 is a step at zero.
        log_half = jnp.log(jnp.where(self.half_pt > 0, self.half_pt, 1))
        rise = jax.nn.sigmoid(self.steepness * (jnp.log(pt) - log_half))
        rise = jnp.where(self.half_pt > 0, rise, 1)
        inside = smooth_step(self.eta_max - jnp.abs(eta), 0.0, self.eta_width)
        return self._at(self.plateau, eta, species) * rise * inside

    def relative_variance(
        self, pt: Float[Array, " particle"], eta: Float[Array, " particle"], species: Int[Array, " particle"]
    ) -> Float[Array, " particle"]:
        """(σ(p_T)/p_T)² = a² + b² p_T²."""
        a = self._at(self.multiple_scattering, eta, species)
        b = self._at(self.curvature, eta, species)
        return a**2 + (b * pt) ** 2

    def find(
        self, charged: Charged, uniform: Float[Array, " particle"], reference: "TrackResponse"
    ) -> tuple[Bool[Array, " particle"], Scalar]:
        """Which particles have a track, chosen with the efficiency of `reference`, and the weight Π p/p_ref."""
        own = self.efficiency(charged.pt, charged.eta, charged.species)
        other = jax.lax.stop_gradient(reference.efficiency(charged.pt, charged.eta, charged.species))
        trackable = charged.mask & (charged.charge != 0)
        found = trackable & (uniform < other)
        lost = trackable & ~found
        ratio = jnp.where(found, own / jnp.where(found, other, 1), 1)
        ratio = jnp.where(lost, (1 - own) / jnp.where(lost, 1 - other, 1), ratio)
        return found, jnp.prod(ratio)

    def smear(
        self, charged: Charged, found: Bool[Array, " particle"], uniforms: Float[Array, "particle 3"]
    ) -> tuple[Float[Array, "particle 4"], Int[Array, " particle"]]:
        """Measured four-momenta and PDG numbers; zero where nothing was found."""
        variance = self.relative_variance(charged.pt, charged.eta, charged.species)
        z = normal(uniforms)
        pt = self.scale * log_normal(charged.pt, variance * charged.pt**2, z[:, 0])
        phi = charged.phi + self.sigma_phi * z[:, 1]
        pz = pt * jnp.sinh(charged.eta + self.sigma_eta * z[:, 2])
        mass = jnp.asarray(_MASSES, pt.dtype)[charged.species]
        energy = jnp.sqrt(pt**2 + pz**2 + mass**2)
        momenta = jnp.stack([energy, pt * jnp.cos(phi), pt * jnp.sin(phi), pz], axis=-1)
        # The sign is that of the charge: positive leptons have negative numbers.
        sign = jnp.where(charged.species == 2, 1, -1) * jnp.sign(charged.charge)
        pdg_id = jnp.asarray(_IDS)[charged.species] * sign
        return jnp.where(found[:, None], momenta, 0), jnp.where(found, pdg_id, 0)


def species_of(kind: Int[Array, " particle"]) -> Int[Array, " particle"]:
    """0 for electrons, 1 for muons, 2 for everything else."""
    return jnp.where(kind == Kind.ELECTRON, 0, jnp.where(kind == Kind.MUON, 1, 2))


__all__ = ["TrackResponse"]
