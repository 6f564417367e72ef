"""The static tree of places where a Discrete-QCD gluon may sit.

All sizes of a shower follow from this table, which is made once, in Python, from the largest column heights that a
parameter range allows. A *slot* is one column of the folded phase space: a primary slice of rapidity, or column `k` on
one side of the fold opened by the slot's parent.
"""

import math
from typing import NamedTuple


class Slot(NamedTuple):
    """One column of the folded phase space."""

    parent: int
    """Index of the slot whose gluon opens this fold, −1 for a primary slice."""
    column: int
    """Primary: the slice number j (centre at jδ). Fold: the column number k, counted from the tip of the fold."""
    side: int
    """Primary: 0. Fold: +1 on the side of the quark, −1 on the side of the antiquark."""


class Layout(NamedTuple):
    """Slots ordered by depth, so that parents come before their children.

    `levels[d]` is the half-open range of slots at depth d; `rank[i]` the place of slot i along the colour line;
    `mean_gluons` a bound on their mean number: all of a slice as tall as its tallest place, folds open from the start.
    """

    slots: tuple[Slot, ...]
    levels: tuple[tuple[int, int], ...]
    rank: tuple[int, ...]
    mean_gluons: float

    @property
    def num_slots(self) -> int:
        """Number of slots, which bounds the number of gluons."""
        return len(self.slots)


def make_layout(primary_heights: dict[int, float], max_slots: int = 20_000) -> Layout:
    """Builds the tree for primary slices with the given largest heights (in units of 2δ).

    A gluon at height X < h opens on each side the columns k = 2, 3, … below X (column 1 never holds a gluon), and
    column k is itself a column of height k. `max_slots` guards against parameters for which the tree would not fit in
    memory.
    """
    slots: list[Slot] = []
    children: dict[int, dict[tuple[int, int], int]] = {}
    levels = []
    tallest: list[float] = []
    filled: list[float] = []
    for column, height in sorted(primary_heights.items()):
        if height > 1:
            slots.append(Slot(-1, column, 0))
            tallest.append(height)
            filled.append(1 - 1 / height)
    start = 0
    while start < len(slots):
        stop = len(slots)
        levels.append((start, stop))
        for parent in range(start, stop):
            children[parent] = {}
            top = tallest[parent]
            for column in range(2, math.ceil(top)):
                open_and_filled = filled[parent] * (top - column) / (top - 1) * (1 - 1 / column)
                for side in (1, -1):
                    children[parent][column, side] = len(slots)
                    slots.append(Slot(parent, column, side))
                    tallest.append(column)
                    filled.append(open_and_filled)
            if len(slots) > max_slots:
                raise ValueError(
                    f"the folded phase space needs more than {max_slots} slots; the logarithm of energy/lambda_qcd is "
                    "too large for Discrete QCD on this machine: raise lambda_qcd or lower the energy"
                )
        start = stop
    rank = [0] * len(slots)
    count = 0

    def walk(slot: int) -> None:
        nonlocal count
        inner = children[slot]
        for column in sorted({k for k, _ in inner}, reverse=True):
            walk(inner[column, 1])
        rank[slot] = count
        count += 1
        for column in sorted({k for k, _ in inner}):
            walk(inner[column, -1])

    for slot in range(levels[0][1] if levels else 0):
        walk(slot)
    return Layout(tuple(slots), tuple(levels), tuple(rank), sum(filled))
