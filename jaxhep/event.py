"""The padded event: what every simulator returns and every observable reads."""

from typing import Any

import equinox as eqx

from ._types import Array, Bool, Float, Int


class Emissions(eqx.Module):
    r"""The branchings of a shower, in the order in which they were made.

    **Fields** (axis `emission` is padded; `mask` says what is real)

    - `kt`: transverse momentum of the emission in GeV, \(k_\perp^2 = s_{ij}s_{jk}/s_{IK}\).
    - `rapidity`: \(y=\tfrac12\ln(s_{ij}/s_{jk})\) in the rest frame of the emitting dipole I–K, dimensionless.
    - `azimuth`: azimuth about the dipole axis, in radians, in [0, 2π).
    - `dipole_mass`: \(\sqrt{s_{IK}}\) of the emitting dipole in GeV.
    - `emitters`: positions in `Event.momenta` of I and K at the time of the emission, shape (emission, 2).
    - `colour`: place of the emitted gluon along the colour line, growing from the quark to the antiquark.
    - `mask`: True where there was an emission.
    """

    kt: Float[Array, "*batch emission"]
    rapidity: Float[Array, "*batch emission"]
    azimuth: Float[Array, "*batch emission"]
    dipole_mass: Float[Array, "*batch emission"]
    emitters: Int[Array, "*batch emission 2"]
    colour: Int[Array, "*batch emission"]
    mask: Bool[Array, "*batch emission"]


class Branchings(eqx.Module):
    r"""The branchings of a dipole shower, in the order in which they were made.

    A branching acts on two neighbours in the colour order in which `Event.momenta` are kept: partons at places d and d
    + 1 become the three at d, d + 1 and d + 2, and those behind move up by one. The middle one is the emitted gluon;
    for g → q q̄ the gluon's place is taken by q̄ and q, in this order.

    **Fields** (axis `emission` is padded; `mask` says what is real)

    - `kt`: transverse momentum \(\sqrt t\), \(t=y\,z(1-z)\,m^2\), in GeV: the evolution scale, falling.
    - `z`, `y`: momentum fraction of the emitter and \(y=s_{ij}/m^2\), both in (0, 1).
    - `azimuth`: azimuth about the dipole axis, in radians, in [0, 2π).
    - `dipole_mass`: m, mass of the dipole before the branching, in GeV.
    - `rapidity`: \(\tfrac12\ln(s_{jk}/s_{ij})\) of the emission between emitter i and spectator k: positive on the
      emitter's side.
    - `dipole`: d.
    - `right_emits`: True where the emitter was the parton at d + 1, False where it was that at d.
    - `flavour`: 21 for gluon emission, the PDG number of the quark for g → q q̄.
    - `mask`: True where there was a branching.
    """

    kt: Float[Array, "*batch emission"]
    z: Float[Array, "*batch emission"]
    y: Float[Array, "*batch emission"]
    azimuth: Float[Array, "*batch emission"]
    dipole_mass: Float[Array, "*batch emission"]
    rapidity: Float[Array, "*batch emission"]
    dipole: Int[Array, "*batch emission"]
    right_emits: Bool[Array, "*batch emission"]
    flavour: Int[Array, "*batch emission"]
    mask: Bool[Array, "*batch emission"]


class Event(eqx.Module):
    r"""One event (or a batch with leading axes) in arrays of fixed capacity.

    **Fields**

    - `momenta`: four-momenta (E, px, py, pz) in GeV, metric (+,−,−,−); padded slots are zero.
    - `mask`: True where a slot holds a particle.
    - `pdg_id`: PDG numbers, 0 in padded slots.
    - `weight`: \(w\), such that \(\langle w f\rangle/\langle w\rangle\) estimates the expectation of \(f\). It carries
      the derivative of every discrete choice: \(w=\exp(\log p-\mathrm{sg}(\log p))\) is 1 in value and has the score
      \(\partial\log p\) as derivative (design.md, "Weights carry the discrete part of the gradient").
    - `overflow`: True where an array was too small for the event; such an event is not a fair draw.
    - `history`: `Emissions` or `Branchings` of the shower, or None.
    """

    momenta: Float[Array, "*batch particle 4"]
    mask: Bool[Array, "*batch particle"]
    pdg_id: Int[Array, "*batch particle"]
    weight: Float[Array, "*batch"]
    overflow: Bool[Array, "*batch"]
    history: Any = None


__all__ = ["Branchings", "Emissions", "Event"]
