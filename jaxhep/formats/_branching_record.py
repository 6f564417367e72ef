r"""The branchings of a dipole shower as vertices and partons, recovered from the final momenta.

The Catani–Seymour map is undone from the last branching to the first: emitter i, emitted j and spectator k came from

    p_spectator = p_k/(1 − y),   p_emitter = p_i + p_j − y/(1 − y) p_k,   y = s_ij/(s_ij + s_ik + s_jk)

(S. Catani, M. H. Seymour, hep-ph/9605323, eqs. 5.3–5.5), which conserves momentum whatever the rounding. So nothing but
the final momenta and the places of the branchings has to be kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

GLUON = 21


class Parton(NamedTuple):
    """A parton on its way: `vertex` where it was made (0 the hard process, then the branchings), `end` the branching
    that it takes part in (0 if it is final), `place` among the final partons (−1 if it is not), momentum (E, px, py,
    pz), and the colour lines on its two sides (numbers of links between final places)."""

    vertex: int
    end: int
    place: int
    pdg_id: int
    momentum: tuple[float, float, float, float]
    colour: int
    anticolour: int


def branching_record(
    momenta: Sequence[Sequence[float]], ids: Sequence[int], branchings: Sequence[Sequence[int]]
) -> list[Parton]:
    """All partons of an event: those that branch or take a recoil in the order of their making, then the final ones.

    **Arguments**: `momenta`, `ids` of the final partons in colour order; `branchings`: (d, 1 if the right one emits,
    flavour), in the order of time, as in `jaxhep.event.Branchings`.
    """
    count = len(branchings)
    current = [
        ((p[0], p[1], p[2], p[3]), pdg, 0, place) for place, (p, pdg) in enumerate(zip(momenta, ids, strict=True))
    ]
    links = list(range(len(current) - 1))
    done: list[Parton] = []

    def made(at: int, vertex: int) -> Parton:
        momentum, pdg, end, place = current[at]
        # Behind the last and before the first parton there is no link; those ends have no colour there either.
        colour = links[at] if at < len(links) else -1
        return Parton(vertex, end, place, pdg, momentum, colour, links[at - 1] if at else -1)

    for number in range(count, 0, -1):
        d, right_emits, flavour = branchings[number - 1]
        done += [made(at, number) for at in (d + 2, d + 1, d)]
        first, middle, last = (current[at] for at in (d, d + 1, d + 2))
        emitter, spectator = (last, first) if right_emits else (first, last)
        parents = _undo(emitter[0], middle[0], spectator[0])
        pdg = (emitter[1] if flavour == GLUON else GLUON, spectator[1])
        before = [(momentum, name, number, -1) for momentum, name in zip(parents, pdg, strict=True)]
        current[d : d + 3] = before[::-1] if right_emits else before
        # The spectator keeps its colour line; the other one is new, or the gap between q̄ and q.
        links[d : d + 2] = [links[d] if right_emits else links[d + 1]]
    done += [made(at, 0) for at in reversed(range(len(current)))]
    done.reverse()
    return [p for p in done if p.place < 0] + sorted((p for p in done if p.place >= 0), key=lambda p: p.place)


def _undo(i: Sequence[float], j: Sequence[float], k: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """Momenta of emitter and spectator before the branching."""
    ij, ik, jk = _product(i, j), _product(i, k), _product(j, k)
    stretch = (ij + ik + jk) / (ik + jk)  # 1/(1 − y)
    e, x, y, z = (a + b + (1 - stretch) * c for a, b, c in zip(i, j, k, strict=True))
    return [(e, x, y, z), (stretch * k[0], stretch * k[1], stretch * k[2], stretch * k[3])]


def _product(a: Sequence[float], b: Sequence[float]) -> float:
    return a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]


__all__ = ["Parton", "branching_record"]
