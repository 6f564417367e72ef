"""What a detector must know of a particle: charge and kind, by PDG number."""

import enum
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int


class Kind(enum.IntEnum):
    """How a particle acts on the detector.

    - `INVISIBLE`: neutrinos and the like: nothing.
    - `ELECTRON`, `PHOTON`: all energy in the electromagnetic calorimeter; π⁰ and η, where they are not decayed, count
      as photons.
    - `MUON`: a track, and a fixed small deposit in each calorimeter.
    - `CHARGED_HADRON`, `NEUTRAL_HADRON`, `V0`: hadronic showers; V0 are the neutral ones that decay on the way to the
      calorimeter (K⁰_S, Λ, …), whose electromagnetic share is larger.
    - `PARTON`: quarks and gluons of an event without hadronisation. A parton stands for a spray of particles: no track,
      no bending, an own electromagnetic fraction.

    >>> Kind.MUON.name, int(Kind.PARTON)
    ('MUON', 7)
    """

    INVISIBLE = 0
    ELECTRON = 1
    PHOTON = 2
    MUON = 3
    CHARGED_HADRON = 4
    NEUTRAL_HADRON = 5
    V0 = 6
    PARTON = 7


_CHARGED: dict[int, tuple[int, ...]] = {
    +1: (211, 321, 213, 323, 2212, 3222, 411, 413, 431, 433, 521, 523, 541, 4122, 4232, 24, 37),
    -1: (3112, 3312, 3334, 15, 5132, 5332),
}
_NEUTRAL: dict[Kind, tuple[int, ...]] = {
    Kind.INVISIBLE: (12, 14, 16, 18, 39, 1000022, 1000023, 1000025, 1000035, 1000039, 1000045),
    Kind.PHOTON: (22, 111, 221),
    Kind.NEUTRAL_HADRON: (130, 2112, 311, 421, 423, 511, 513, 531, 533, 4132, 4332, 5122, 331, 113, 223, 333),
    Kind.V0: (310, 3122, 3212, 3322),
    Kind.PARTON: (1, 2, 3, 4, 5, 6, 21),
}


def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = {11: (-1, Kind.ELECTRON), 13: (-1, Kind.MUON)}
    rows |= {pdg: (charge, Kind.CHARGED_HADRON) for charge, ids in _CHARGED.items() for pdg in ids}
    rows |= {pdg: (0, kind) for kind, ids in _NEUTRAL.items() for pdg in ids}
    ids = np.array(sorted(rows), np.int32)
    return (
        ids,
        np.array([rows[int(i)][0] for i in ids], np.int32),
        np.array([int(rows[int(i)][1]) for i in ids], np.int32),
    )


_IDS, _CHARGES, _KINDS = _table()


class Properties(NamedTuple):
    """Charge in units of e, `Kind`, and whether the PDG number is in the table; each of shape (particle,)."""

    charge: Int[Array, " particle"]
    kind: Int[Array, " particle"]
    known: Bool[Array, " particle"]


def classify(pdg_id: Int[Array, " particle"]) -> Properties:
    """Charge and kind of each particle by its PDG number.

    The table holds what Pythia 8 leaves stable with its default settings (e, μ, ν, γ, π±, K±, K⁰_L, K⁰_S, p, n, Λ, Σ±,
    Ξ, Ω), the heavier hadrons, τ and W for events that were stopped before their decays, partons, and the usual
    invisible particles. Source: the PDG numbering scheme (Review of Particle Physics, "Monte Carlo particle numbering
    scheme"), charges by quark content.

    **An unknown number** (0 included) is treated as a neutral hadron, and `known` is False; `Detection.unknown` tells.

    **Arguments**: `pdg_id`: PDG numbers, integers of any shape (particle,).

    **Returns** `Properties`. There is no gradient.

    >>> import jax.numpy as jnp
    >>> found = classify(jnp.array([-211, 22, 5555]))
    >>> found.charge.tolist(), [Kind(k).name for k in found.kind.tolist()], found.known.tolist()
    ([-1, 0, 0], ['CHARGED_HADRON', 'PHOTON', 'NEUTRAL_HADRON'], [True, True, False])
    """
    size = jnp.abs(pdg_id)
    place = jnp.minimum(jnp.searchsorted(jnp.asarray(_IDS, size.dtype), size), len(_IDS) - 1)
    known = jnp.asarray(_IDS, size.dtype)[place] == size
    charge = jnp.where(known, jnp.asarray(_CHARGES)[place] * jnp.sign(pdg_id), 0)
    kind = jnp.where(known, jnp.asarray(_KINDS)[place], int(Kind.NEUTRAL_HADRON))
    return Properties(charge.astype(jnp.int32), kind.astype(jnp.int32), known)


__all__ = ["Kind", "Properties", "classify"]
