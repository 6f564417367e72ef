"""What the whole-event detector draws and what it returns beside the energy-flow objects."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class DetectorNoise(NamedTuple):
    """U(0,1) variates of one event.

    - `track`: efficiency, momentum, azimuth and pseudorapidity of each particle, shape (particle, 4).
    - `ecal`, `hcal`: fluctuation of each tower slot (four a particle), shape (particle, 4).
    """

    track: Float[Array, "*batch particle 4"]
    ecal: Float[Array, "*batch particle 4"]
    hcal: Float[Array, "*batch particle 4"]


class DetectedTracks(eqx.Module):
    """The measured tracks, one slot a particle, so that slot i is particle i of the event before the detector.

    **Fields**

    - `momenta`: (E, px, py, pz) in GeV with the mass of the hypothesis; 0 where there is no track.
    - `charge`: in units of e; the sign is never confused.
    - `pdg_id`: 11 or 13 (electrons and muons are identified), 211 for all hadrons, with sign; 0 without a track.
    - `mask`: True where a track was found.
    - `phi_at_calorimeter`: azimuth in radians where the particle (charged or not) enters the calorimeter, true value.
    - `reaches`: share of the particle that gets there: 0 for one that curls up inside, between for the borderline.
    """

    momenta: Float[Array, "*batch particle 4"]
    charge: Int[Array, "*batch particle"]
    pdg_id: Int[Array, "*batch particle"]
    mask: Bool[Array, "*batch particle"]
    phi_at_calorimeter: Float[Array, "*batch particle"]
    reaches: Float[Array, "*batch particle"]


class Towers(eqx.Module):
    """The towers of one calorimeter that were hit, in slots that belong to particles.

    **Fields**

    - `row`, `column`: place in the grid (polar, azimuthal).
    - `energy`: measured energy in GeV, threshold applied.
    - `excess`: part of it that the tracks do not explain, GeV: the neutral energy-flow object.
    - `direction`: unit vector from the origin to the centre of the tower.
    - `mask`: True for a tower with energy above its threshold.
    """

    row: Int[Array, "*batch tower"]
    column: Int[Array, "*batch tower"]
    energy: Float[Array, "*batch tower"]
    excess: Float[Array, "*batch tower"]
    direction: Float[Array, "*batch tower 3"]
    mask: Bool[Array, "*batch tower"]

    def image(self, rows: int, columns: int) -> Float[Array, "rows columns"]:
        """The energies of one event in GeV on the full grid, shape (rows, columns), for a picture or a network."""
        return jnp.zeros((rows, columns), self.energy.dtype).at[self.row, self.column].add(self.energy, mode="drop")


class Detection(eqx.Module):
    """The history of a detected event.

    **Fields**

    - `tracks`: see `DetectedTracks`.
    - `ecal`, `hcal`: see `Towers`.
    - `missing`: minus the sum of the energy-flow momenta (px, py, pz) in GeV; at a hadron collider only the first two
      mean something.
    - `visible_energy`: sum of the energy-flow energies in GeV.
    - `num_objects`: number of energy-flow objects found (it may exceed the capacity: then `Event.overflow` is set).
    - `unknown`: True if a particle had a PDG number that is not in the table (treated as a neutral hadron).
    """

    tracks: DetectedTracks
    ecal: Towers
    hcal: Towers
    missing: Float[Array, "*batch 3"]
    visible_energy: Float[Array, "*batch"]
    num_objects: Int[Array, "*batch"]
    unknown: Bool[Array, "*batch"]


__all__ = ["DetectedTracks", "Detection", "DetectorNoise", "Towers"]
