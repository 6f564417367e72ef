r"""The derivative of averages of Durham scales, which jump where another pair of jets is clustered first.

At each turn of the clustering the closest pair leads the next closest one by \(g=\ln(y_2/y_1)\). Where g = 0 the
history, and with it a scale F, changes: an average has the flux \(E[\delta(g)(F_1-F_2)\partial_\theta g]\) that no
event sees (`_jumps` does the same for the thrust axis). F₂ is the scale of the history that takes the second pair at
that turn, and the nearest pair at all others; the delta function is a kernel of fourth order of width `WIDTH`. The
turns add up; only the `NUM_TIES` with the smallest g are followed, since the kernel nearly never reaches more.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxhep.observables._clustering import Tie, nearest_ties, pair_scale
from jaxhep.observables._particles import Particles

WIDTH = 0.02
"""Width of the kernel in ln y."""

NUM_TIES = 2

SMALLEST_Y = 1e-10
"""−ln y of an event without a resolved jet is −ln of this."""

Jumps = tuple[tuple[Array, ...], tuple[Array, ...]]


def minus_log(scale: Array) -> Array:
    """−ln max(y, 10⁻¹⁰)."""
    return -jnp.log(jnp.maximum(scale, SMALLEST_Y))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def merging_jumps(steps: tuple[int, ...], event: Particles) -> Jumps:
    """Zeros to be added to y and to −ln y of each step; their derivative is the flux through the jumps.

    Nothing is computed unless a derivative is taken.
    """
    zeros = (jnp.zeros((), event.x[0].dtype),) * len(steps)
    return zeros, zeros


@merging_jumps.defjvp
def _merging_jumps_jvp(
    steps: tuple[int, ...], primals: tuple[Particles], tangents: tuple[Particles]
) -> tuple[Jumps, Jumps]:
    (event,) = primals
    zeros, log_zeros = merging_jumps(steps, event)
    jumps, log_jumps = list(zeros), list(log_zeros)
    if event.x[0].size < min(steps):
        return (zeros, log_zeros), (zeros, log_zeros)
    found, ties = nearest_ties(event, steps, NUM_TIES)
    usual = [pair_scale(event, pair) for pair in found]
    for tie in ties:

        def lead(event: Particles, tie: Tie = tie) -> Array:
            near, far = pair_scale(event, tie.closest), pair_scale(event, tie.next_closest)
            # Below, y is rounding.
            there = jnp.minimum(near, far) > float(jnp.finfo(near.dtype).eps) ** 2
            return jnp.where(there, jnp.log(jnp.where(there, far, 1) / jnp.where(there, near, 1)), 0)

        g, slope = jax.jvp(lead, primals, tangents)
        t = g / WIDTH
        flow = jnp.exp(-t * t / 2) * (3 - t * t) * float(1 / (2 * np.sqrt(2 * np.pi) * WIDTH)) * slope
        for k, (y, pair) in enumerate(zip(usual, tie.found, strict=True)):
            other = pair_scale(event, pair)
            jumps[k] += flow * (y - other)
            log_jumps[k] += flow * (minus_log(y) - minus_log(other))
    return (zeros, log_zeros), (tuple(jumps), tuple(log_jumps))
