"""What a calorimeter answers."""

import equinox as eqx
import jax.numpy as jnp

from ..._types import Array, Bool, Float


class CalorimeterResponse(eqx.Module):
    r"""The answer of a calorimeter to one event (or to a batch, with leading axes). Energies in GeV.

    **Fields**

    - `cells`: energy read out from each cell, (layer, a, b): (layer, φ, r) for `Rings`, (layer, x, y) for `Grid`,
      (layer, 1, 1) without transverse cells. On the electromagnetic scale: without fluctuations and losses it sums up
      to the incident energy. Times `Layers.sampling_fractions` it is energy in the active matter.
    - `deposits`: true energy left in each layer, passive and active matter together, within the transverse limits;
      shape (layer,).
    - `layers`: sum of `cells` of each layer, (layer,).
    - `longitudinal_leakage`: true energy that leaves at the back.
    - `lateral_leakage`: true energy beyond the transverse limits; 0 without transverse cells.
    - `incident_energy`: sum over the electrons, positrons and photons that enter the front face.
    - `ignored_energy`: sum over all other particles of the event: the calorimeter does not see them.
    - `weight`: of the event. The calorimeter makes no discrete choice, so its own factor is 1.
    - `overflow`: an array was too small (more spots than the capacity, more particles than `max_particles`), here or
      in a stage before; such an event is not a fair draw.
    - `extrapolated`: a particle's energy lies outside the range for which the parametrisation was made.

    Deposits and leakage sum up to the incident energy; energy flowing back from the front face (albedo) is neglected.
    """

    cells: Float[Array, "*batch layer a b"]
    deposits: Float[Array, "*batch layer"]
    layers: Float[Array, "*batch layer"]
    longitudinal_leakage: Float[Array, "*batch"]
    lateral_leakage: Float[Array, "*batch"]
    incident_energy: Float[Array, "*batch"]
    ignored_energy: Float[Array, "*batch"]
    weight: Float[Array, "*batch"]
    overflow: Bool[Array, "*batch"]
    extrapolated: Bool[Array, "*batch"]

    @property
    def visible_energy(self) -> Float[Array, "*batch"]:
        """Sum of all cells, in GeV."""
        return jnp.sum(self.layers, axis=-1)

    @property
    def leakage(self) -> Float[Array, "*batch"]:
        """Longitudinal and lateral leakage together, in GeV."""
        return self.longitudinal_leakage + self.lateral_leakage


__all__ = ["CalorimeterResponse"]
