r"""One trial of the veto algorithm: a scale, a dipole and a kernel, z and φ, accepted or vetoed.

Every discrete outcome (is there another trial above the cut-off; which channel; accepted or not) is decided with the
quantities of the reference, and its probability divided by that of the reference goes into the weight. The continuous
draws are conditional on the outcome and go through the parameters. With an explicit reference two trajectories are
therefore followed with the same decisions.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from .._fence import fence, hidden_one
from .._types import Array, Bool, Int, Scalar
from ..units import C_A, C_F
from ._colour_chain import Spinor, chosen, chosen_spinor, insert, new_flavours, pair_mass2, split
from ._dipole_scale import LOG_4, Bound, Span, descend, make_span
from ._kernels import FLAVOUR_RATE, Splitting, draw

GLUON = 21


class Rules(NamedTuple):
    """The static choices."""

    flavours: int
    """Massless flavours in g → q q̄."""
    matrix_element: bool


class Settings(NamedTuple):
    """What one trajectory is made with."""

    bound: Bound
    coupling: Callable[[Scalar], Scalar]
    """α_s/2π as a function of x = ln t."""


class Trajectory(NamedTuple):
    """The continuous state of the shower."""

    spinors: list[Spinor]
    log_scale: Scalar


class Decision(NamedTuple):
    """The outcome of a trial."""

    flags: list[Bool[Array, ""]]
    """Which dipole."""
    none: Bool[Array, ""]
    """The overestimate of the sum left over: nothing is tried."""
    gluon_emission: Bool[Array, ""]
    right_emits: Bool[Array, ""]
    flavour: Int[Array, ""]
    left: Int[Array, ""]
    right: Int[Array, ""]
    """PDG numbers of the ends."""
    accept_below: Scalar
    """Uniform: accepted if below the share of the kernel."""


class Dipoles(NamedTuple):
    """The dipoles of a trajectory."""

    log_mass2: list[Scalar]
    active: list[Bool[Array, ""]]
    span: Span


class Trial(NamedTuple):
    """A trial at a given scale."""

    log_scale: Scalar
    log_mass2: Scalar
    splitting: Splitting
    share_of_channel: Scalar
    """Probability of the channel that was chosen, or of none."""
    acceptance: Scalar
    left: Spinor
    right: Spinor


def colour_factor(flavour: Int[Array, ""], dtype: jnp.dtype) -> Scalar:
    """C_A/2 of a gluon end, C_F of a quark end."""
    return jnp.where(flavour == GLUON, C_A / 2, C_F).astype(dtype)


def find_dipoles(trajectory: Trajectory, flavours: list[Int[Array, ""]], settings: Settings, rules: Rules) -> Dipoles:
    """Masses, which dipoles can still branch, and the bound on the sum of the rates."""
    bound, x = settings.bound, trajectory.log_scale
    dtype = x.dtype
    masses, active = [], []
    now = at_cutoff = jnp.zeros((), dtype)
    for s in range(len(flavours) - 1):
        joined = (flavours[s] > 0) & (flavours[s + 1] != 0)
        mass2 = pair_mass2(trajectory.spinors[s], trajectory.spinors[s + 1])
        real = joined & (mass2 > 0)
        log_mass2 = jnp.log(jnp.where(real, mass2, 1))
        on = real & (log_mass2 > bound.log_cutoff + LOG_4)
        slope, constant = _rates(flavours[s], flavours[s + 1], dtype, rules)
        now = now + jnp.where(on, slope * jnp.maximum(log_mass2 - x, 0) + constant, 0)
        at_cutoff = at_cutoff + jnp.where(on, slope * (log_mass2 - bound.log_cutoff) + constant, 0)
        masses.append(log_mass2)
        active.append(on)
    return Dipoles(masses, active, make_span(bound, x, now, at_cutoff))


def _rates(left: Array, right: Array, dtype: jnp.dtype, rules: Rules) -> tuple[Scalar, Scalar]:
    """Rate of gluon emission per unit of ln(m²/t), and of g → q q̄."""
    gluons = (left == GLUON).astype(dtype) + (right == GLUON).astype(dtype)
    return 2 * C_F + (C_A / 2 - C_F) * gluons, rules.flavours * FLAVOUR_RATE * gluons


def next_scale(dipoles: Dipoles, settings: Settings, u: Scalar) -> Scalar:
    """x of the next trial, given that there is one: u is uniform in (0, 1)."""
    missed = jnp.exp(-dipoles.span.trials)
    expected = -jnp.log1p(-u * (1 - missed))
    return settings.bound.log_cutoff + descend(dipoles.span, expected)


def channel_rates(dipoles: Dipoles, flavours: list[Int[Array, ""]], log_scale: Scalar, rules: Rules) -> list[Scalar]:
    """The rate of each dipole at x, without α̂/2π."""
    result = []
    for s, (mass, on) in enumerate(zip(dipoles.log_mass2, dipoles.active, strict=True)):
        slope, constant = _rates(flavours[s], flavours[s + 1], log_scale.dtype, rules)
        result.append(jnp.where(on, slope * jnp.maximum(mass - log_scale, 0) + constant, 0))
    return result


def decide(
    dipoles: Dipoles,
    flavours: list[Int[Array, ""]],
    log_scale: Scalar,
    cutoff: Scalar,
    u: Scalar,
    rules: Rules,
    one: Scalar,
) -> Decision:
    """Dipole, end, kernel and flavour from one uniform; what is left of it decides on acceptance."""
    rates = channel_rates(dipoles, flavours, log_scale, rules)
    place = u * dipoles.span.height(log_scale - cutoff)
    below, flags, start = jnp.zeros_like(place), [], jnp.zeros_like(place)
    for rate in rates:
        above = (below + rate) / one
        flag = (place >= below) & (place < above)
        start = jnp.where(flag, below, start)
        flags.append(flag)
        below = above
    left, right = chosen(flags, flavours[:-1]), chosen(flags, flavours[1:])
    log_ratio = jnp.maximum(chosen(flags, dipoles.log_mass2) - log_scale, 0)
    rest = place - start
    left_rate, right_rate = (colour_factor(f, place.dtype) * log_ratio for f in (left, right))
    gluon_emission = rest < left_rate + right_rate
    late = rest >= left_rate
    emission = jnp.where(late, rest - left_rate, rest) / jnp.maximum(jnp.where(late, right_rate, left_rate), 1e-20)
    if rules.flavours == 0:
        flavour, quark, far = jnp.ones_like(left), emission, late
    else:
        steps = (rest - left_rate - right_rate) / FLAVOUR_RATE
        far = steps >= jnp.where(left == GLUON, rules.flavours, 0)
        steps = jnp.where(far & (left == GLUON), steps - rules.flavours, steps)
        whole = jnp.clip(jnp.floor(steps), 0, rules.flavours - 1)
        flavour, quark = whole.astype(left.dtype) + 1, steps - whole
    decision = Decision(
        flags=flags,
        none=place >= below,
        gluon_emission=gluon_emission,
        right_emits=jnp.where(gluon_emission, late, far),
        flavour=flavour,
        left=left,
        right=right,
        accept_below=jnp.where(gluon_emission, emission, quark),
    )
    return decision._replace(flags=flags, **fence({k: v for k, v in decision._asdict().items() if k != "flags"}, one))


def evaluate(
    trajectory: Trajectory,
    dipoles: Dipoles,
    flavours: list[Int[Array, ""]],
    log_scale: Scalar,
    decision: Decision,
    settings: Settings,
    u: Scalar,
    exact: Bool[Array, ""],
    rules: Rules,
) -> Trial:
    """z and the probabilities of what was decided."""
    log_mass2 = chosen(decision.flags, dipoles.log_mass2)
    log_ratio = jnp.maximum(log_mass2 - log_scale, 1e-6)
    emitter = jnp.where(decision.right_emits, decision.right, decision.left)
    splitting = draw(log_ratio, u, decision.gluon_emission, emitter == GLUON, exact)
    ratio = settings.coupling(log_scale) * settings.bound.inverse_coupling(log_scale)
    height = dipoles.span.height(log_scale - settings.bound.log_cutoff)
    height = jnp.where(height > 0, height, 1)
    rate = jnp.where(decision.gluon_emission, colour_factor(emitter, log_scale.dtype) * log_ratio, FLAVOUR_RATE)
    total = sum(channel_rates(dipoles, flavours, log_scale, rules))
    return Trial(
        log_scale=log_scale,
        log_mass2=log_mass2,
        splitting=splitting,
        share_of_channel=jnp.where(decision.none, 1 - total / height, rate / height),
        acceptance=jnp.where(decision.none, 0, splitting.share * ratio),
        left=chosen_spinor(decision.flags, trajectory.spinors[:-1]),
        right=chosen_spinor(decision.flags, trajectory.spinors[1:]),
    )


def advance(
    trajectory: Trajectory,
    trial: Trial,
    decision: Decision,
    goes_on: Bool[Array, ""],
    accepted: Bool[Array, ""],
    turn: Scalar,
    one: Scalar,
) -> Trajectory:
    """The state after the trial."""
    made = fence(split(trial.left, trial.right, trial.splitting, decision.right_emits, turn), one)
    flags = [flag & accepted for flag in decision.flags]
    columns = [insert([s[c] for s in trajectory.spinors], [new[c] for new in made], flags) for c in range(4)]
    spinors = [(a, b, c, d) for a, b, c, d in zip(*columns, strict=True)]
    return Trajectory(spinors, jnp.where(goes_on, trial.log_scale, trajectory.log_scale))


class State(NamedTuple):
    """What is carried from trial to trial."""

    own: Trajectory
    reference: Trajectory | None
    flavours: list[Int[Array, ""]]
    number: Int[Array, ""]
    running: Bool[Array, ""]
    overflow: Bool[Array, ""]
    weight: Scalar


class Record(NamedTuple):
    """What a trial leaves behind; meaningful where `accepted`."""

    accepted: Bool[Array, ""]
    log_scale: Scalar
    log_mass2: Scalar
    v: Scalar
    y: Scalar
    turn: Scalar
    dipole: Int[Array, ""]
    right_emits: Bool[Array, ""]
    emitted: Int[Array, ""]


def trial_step(
    state: State, noise: tuple[Scalar, ...], own: Settings, reference: Settings | None, rules: Rules
) -> tuple[State, Record]:
    """One trial of one event; `noise` decides on scale, channel and acceptance, z, φ."""
    u_scale, u_channel, u_z, turn = noise
    capacity = len(state.flavours)
    one = hidden_one(turn)
    dipoles = fence(find_dipoles(state.own, state.flavours, own, rules), one)
    if reference is None:
        leads, leader, leading = dipoles, own, state.own
    else:
        assert state.reference is not None
        leads, leader, leading = (
            fence(find_dipoles(state.reference, state.flavours, reference, rules), one),
            reference,
            state.reference,
        )
    # Is there another trial above the cut-off?
    chance = 1 - jnp.exp(-lax.stop_gradient(leads.span.trials))
    goes_on = state.running & (u_scale < chance)
    u = lax.stop_gradient(jnp.clip(u_scale / jnp.maximum(chance, 1e-20), 0, 1 - 1e-7))
    log_scale = fence(next_scale(dipoles, own, u), one)
    leading_scale = lax.stop_gradient(log_scale if reference is None else fence(next_scale(leads, leader, u), one))
    decision = decide(
        lax.stop_gradient(leads),
        state.flavours,
        leading_scale,
        lax.stop_gradient(leader.bound.log_cutoff),
        u_channel,
        rules,
        one,
    )
    exact = (state.number == 2) & rules.matrix_element
    trial = fence(evaluate(state.own, dipoles, state.flavours, log_scale, decision, own, u_z, exact, rules), one)
    if reference is None:
        led = trial
    else:
        led = fence(
            evaluate(leading, leads, state.flavours, leading_scale, decision, reference, u_z, exact, rules), one
        )
    accepted = goes_on & ~decision.none & (decision.accept_below < led.acceptance)
    full = accepted & (state.number >= capacity)
    accepted = fence(accepted & ~full, one)

    def probability(trial: Trial, dipoles: Dipoles) -> Scalar:
        """Of what happened in this trial."""
        outcome = jnp.where(accepted, trial.acceptance, jnp.where(decision.none, 1, 1 - trial.acceptance))
        return jnp.where(
            goes_on, -jnp.expm1(-dipoles.span.trials) * trial.share_of_channel * outcome, jnp.exp(-dipoles.span.trials)
        )

    here = probability(trial, dipoles)
    there = lax.stop_gradient(here if reference is None else probability(led, leads))
    valid = state.running & ~full & (there > 0)
    ratio = jnp.where(valid, here / jnp.where(valid, there, 1), 1)

    new = fence(
        new_flavours(decision.left, decision.right, decision.gluon_emission, decision.right_emits, decision.flavour),
        one,
    )
    flags = [flag & accepted for flag in decision.flags]
    after = State(
        own=advance(state.own, trial, decision, goes_on, accepted, turn, one),
        reference=None if reference is None else advance(leading, led, decision, goes_on, accepted, turn, one),
        flavours=insert(state.flavours, new, flags),
        number=state.number + accepted,
        running=goes_on & ~full,
        overflow=state.overflow | full,
        weight=state.weight * ratio,
    )
    numbers = [jnp.asarray(s, jnp.int32) for s in range(capacity - 1)]
    record = Record(
        accepted=accepted,
        log_scale=trial.log_scale,
        log_mass2=trial.log_mass2,
        v=trial.splitting.v,
        y=trial.splitting.y,
        turn=turn,
        dipole=chosen(decision.flags, numbers),
        right_emits=decision.right_emits,
        emitted=jnp.where(decision.gluon_emission, GLUON, decision.flavour),
    )
    return after, record
