r"""Durham clustering histories: which particles are in the two jets that merge at each wanted step. Not differentiated.

The merging scale is a smooth function of the two jets' momenta, and these are sums of the particles' momenta: so the
search gives only the two sets of particles, and the scale (with its derivative) is computed from them afterwards.
One scale of a small event goes through `_unrolled_clustering`, all else through a loop with an updated matrix of
scales.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from jaxhep.observables._particles import Column, Particles, each, safe_divide, stacked, total, unit
from jaxhep.observables._unrolled_clustering import UNROLLED_CLUSTERING, measure, unrolled_pair

Pair = tuple[Column, Column]
"""The members (1 or 0) of two jets."""


class Tie(NamedTuple):
    """A turn whose two closest pairs are nearly equally far: these pairs, and the pairs found if they are swapped."""

    closest: Pair
    next_closest: Pair
    found: list[Pair]


def merging_jets(event: Particles, steps: Sequence[int]) -> list[Pair]:
    """For each m in steps: the two jets whose scale is y_{m-1,m}.

    That scale is the largest y of all mergings down to m → m−1 jets: above it the event has fewer than m jets. The sets
    are empty where the event has fewer than m particles with energy.
    """
    frozen = _frozen(event)
    num = len(frozen.x)
    # One step only: with several results XLA writes the common history into each of them, and compiling takes minutes.
    if frozen.x[0].ndim == 0 and num <= UNROLLED_CLUSTERING and len(steps) == 1:
        # Barriers: before, so that two observables in one program do not share a history; after, so that one does not
        # repeat it.
        code = lax.optimization_barrier(unrolled_pair(lax.optimization_barrier(frozen), steps[0]))
        flags = [jnp.where(code & (1 << k) != 0, 1, 0).astype(frozen.x[0].dtype) for k in range(2 * num)]
        return [(tuple(flags[:num]), tuple(flags[num:]))]
    return _pairs(event, _history(_matrix(frozen), tuple(steps), -1).found)


def nearest_ties(event: Particles, steps: Sequence[int], num_ties: int) -> tuple[list[Pair], list[Tie]]:
    """The merging jets, and the turns with the smallest ln(y_2/y_1) of the two closest pairs.

    Where there is no such choice the closest pair is empty.
    """
    momenta = _matrix(_frozen(event))
    found, leads, _, _ = _history(momenta, tuple(steps), -1)
    turns = []
    for _ in range(num_ties):
        turns.append(jnp.argmin(leads))
        leads = jnp.where(jnp.arange(leads.size) == turns[-1], jnp.inf, leads)
    histories = jax.vmap(lambda turn: _history(momenta, tuple(steps), turn))(jnp.stack(turns))
    ties = []
    for k in range(num_ties):
        closest, following = _pairs(event, jnp.stack([histories.closest[k], histories.next_closest[k]]))
        ties.append(Tie(closest, following, _pairs(event, histories.found[k])))
    return _pairs(event, found), ties


def pair_scale(event: Particles, pair: Pair) -> Array:
    """y of two jets, 0 for an empty one."""
    visible = total(event.energy)
    (energy_a, *a), (energy_b, *b) = (
        [total(each(jnp.multiply, members, column)) for column in event] for members in pair
    )
    share_a, share_b = safe_divide(energy_a, visible), safe_divide(energy_b, visible)
    return measure(share_a, share_b, unit((a[0], a[1], a[2])), unit((b[0], b[1], b[2])))


def _frozen(event: Particles) -> Particles:
    return Particles(*(tuple(lax.stop_gradient(entry) for entry in column) for column in event))


def _matrix(event: Particles) -> Array:
    return jnp.stack([stacked(column) for column in event], axis=-1)


def _pairs(event: Particles, members: Array) -> list[Pair]:
    """(…, 2, particle) members in the form of the event's columns."""
    if event.x[0].ndim == 1:
        return [((pair[0],), (pair[1],)) for pair in members]
    return [(tuple(pair[0]), tuple(pair[1])) for pair in members]


class _History(NamedTuple):
    r"""`found` (step, 2, particle): the merging pairs. `leads` (turn): \(\ln(y_2/y_1)\), infinite without a choice.

    `closest`, `next_closest` (2, particle): the pairs of the turn `swap`.
    """

    found: Array
    leads: Array
    closest: Array
    next_closest: Array


@partial(jax.jit, static_argnums=1)
def _history(momenta: Array, steps: tuple[int, ...], swap: Array | int) -> _History:
    """Clusters (particle, 4) momenta; at the turn `swap`, counted from 0, the next closest pair is merged instead."""
    num = momenta.shape[0]
    slots = jnp.arange(num)
    alive = jnp.any(momenta != 0, axis=-1)

    def row(jet: Array, jets: Array) -> Array:
        own, others = _directions(jet), _directions(jets)
        smaller = jnp.minimum(jet[0], jets[:, 0])
        return smaller * smaller * jnp.sum((own - others) ** 2, axis=-1)

    apart = (slots[:, None] != slots[None, :]) & alive[:, None] & alive[None, :]
    scales = jnp.where(apart, jax.vmap(lambda jet: row(jet, momenta))(momenta), jnp.inf)
    count = jnp.sum(alive)

    def members(label: Array, place: Array) -> Array:
        return jnp.stack([label == place // num, label == place % num]).astype(momenta.dtype)

    def merge(turn: Array, state: tuple[Any, ...]) -> tuple[Any, ...]:
        jets, label, scales, largest, pair, history = state
        place, smallest = jnp.argmin(scales), jnp.min(scales)
        first, other = slots == place // num, slots == place % num
        here_too = (first[:, None] & other[None, :]) | (other[:, None] & first[None, :])
        rest = jnp.where(here_too, jnp.inf, scales)
        rival, second = jnp.argmin(rest), jnp.min(rest)
        choice = jnp.isfinite(second) & (smallest > 0)
        lead = jnp.where(choice, jnp.log(jnp.where(choice, second, 1) / jnp.where(choice, smallest, 1)), jnp.inf)
        here = (turn == swap) & jnp.isfinite(second)
        closest = jnp.where(here, members(label, place), history.closest)
        next_closest = jnp.where(here, members(label, rival), history.next_closest)
        place, smallest = jnp.where(here, rival, place), jnp.where(here, second, smallest)
        i, j = place // num, place % num
        larger = smallest > largest
        largest, pair = jnp.where(larger, smallest, largest), jnp.where(larger, members(label, place), pair)
        now = jnp.asarray(np.array(steps)) == count - turn
        found = jnp.where(now[:, None, None], pair, history.found)
        jets = jnp.where((slots == i)[:, None], jets[i] + jets[j], jnp.where((slots == j)[:, None], 0, jets))
        label = jnp.where(label == j, i, label)
        fresh = row(jets[i], jets)
        gone = ~jnp.isfinite(scales[i]) | (slots == j)
        fresh = jnp.where(gone, jnp.inf, fresh)
        scales = jnp.where(
            (slots == i)[:, None], fresh[None, :], jnp.where((slots == i)[None, :], fresh[:, None], scales)
        )
        scales = jnp.where((slots == j)[:, None] | (slots == j)[None, :], jnp.inf, scales)
        leads = jnp.where(slots == turn, lead, history.leads)
        return jets, label, scales, largest, pair, _History(found, leads, closest, next_closest)

    zero = jnp.zeros((2, num), momenta.dtype)
    found = jnp.zeros((len(steps), 2, num), momenta.dtype)
    empty = _History(found, jnp.full((num,), jnp.inf, momenta.dtype), zero, zero)
    start = (momenta, slots, scales, jnp.zeros((), momenta.dtype), zero, empty)
    history: _History = lax.fori_loop(0, jnp.maximum(count - min(steps) + 1, 0), merge, start)[5]
    return history


def _directions(momenta: Array) -> Array:
    size = jnp.sqrt(jnp.sum(momenta[..., 1:] ** 2, axis=-1, keepdims=True))
    return jnp.where(size > 0, momenta[..., 1:] / jnp.where(size > 0, size, 1), 0)
