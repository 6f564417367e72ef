"""The Catani–Seymour dipole shower."""

import dataclasses
import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._types import Array, Float, Key, Scalar
from ..event import Branchings, Event
from ..noise import stream
from ..simulator import AbstractSimulator
from ._antenna import momentum_spinors, spinor_momenta
from ._dipole_scale import LOG_4, Bound
from ._dipole_trial import Record, Rules, Settings, State, Trajectory, trial_step
from .coupling import RunningCoupling

Gradient = Literal["pathwise", "weight"]

_ROUNDS = ((8, 4, 8), (12, 12, 12))
"""Partons, and trials as a + b·headroom, of the rounds before the last: at the Z 13 % and 0.2 % of the events go on."""
_GRID = 48
"""Points at which the overestimate of the coupling is held against the coupling."""


class DipoleShower(AbstractSimulator):
    r"""e+e−→qq̄ dressed by a dipole shower with any number of emissions, differentiable in α_s(m_Z), cut-off, scales
    and √s.

    **Model** (S. Catani, M. Seymour, hep-ph/9605323; S. Schumann, F. Krauss, arXiv:0709.1027; S. Höche,
    arXiv:1411.4085; M. Seymour, S. Sule, arXiv:2403.08692). A colour dipole of mass m, emitter ij and spectator k,
    branches at \(t=k_T^2=y\,z(1-z)\,m^2\) with \(y=p_ip_j/(p_ip_j+p_ip_k+p_jp_k)\), \(z=p_ip_k/((p_i+p_j)p_k)\) at the
    rate

    \[dP=\frac{dt}{t}\,dz\,\frac{d\varphi}{2\pi}\,(1-y)\,\frac{\alpha_s(f^2t)}{2\pi}\,P(z,y),\]
    \[P_{qq}=C_F\Big[\tfrac2{1-z(1-y)}-(1+z)\Big],\quad P_{gg}=\tfrac{C_A}2\Big[\tfrac2{1-z(1-y)}-2+z(1-z)\Big],\quad
      P_{gq}=\tfrac{T_R}2\big[1-2z(1-z)\big],\]

    P_gg and P_gq per colour line, P_gq per flavour, from t = s/4 down to the cut-off; partons are massless, colour is
    leading, and the recoil goes to the spectator. The next branching is found by a veto algorithm whose overestimate is
    close: 8 trials an event at the Z for 3.2 branchings (twice that with `headroom=2`).

    **Arguments**

    - `energy`: √s in GeV.
    - `alpha_s`: MS-bar coupling at `reference_scale`.
    - `cutoff`: smallest k_T in GeV, below √s/2 and above the Landau pole.
    - `scale_factor`: f, renormalisation scale over k_T; 1/2 and 2 span the usual band.
    - `loops`, `thresholds`, `reference_scale`, `cmw`: see `RunningCoupling`, in the expanded solution.
    - `flavours`: massless quarks in g → q q̄, 0 to 6.
    - `matrix_element`: the first branching follows \((x_1^2+x_2^2)/((1-x_1)(1-x_2))\), exactly: the veto uses
      \(1+x_q\) in place of 1 + z, with which both ends of the dipole add up to it.
    - `gradient`: how α_s and f act. `"weight"` (default): the trials are those of the reference, and the whole
      derivative is in the weights of accepted and vetoed trials; another α_s or f is then a pure, exact reweighting of
      one sample (`moved`; for several values at once `jax.vmap` over them repeats the weights only). `"pathwise"`: the
      scales of the trials move with α_s. Its weights vary more, not less, because moving scales change which dipole
      radiates: at the Z, cut-off 1 GeV, α_s ∂⟨1−T⟩/∂α_s has a standard deviation per event of 0.42 with weights and
      1.4 with paths, that of the mean number of partons 15 and 44.
    - `headroom`: factor on the overestimate of the coupling, at least 1; default 2 for `"weight"`, 1 for `"pathwise"`.
      A weight of a veto is 1 − p: the more p stays below 1, the less it varies, and the more trials there are. It also
      is how far a reweighting to a larger coupling can go before veto weights turn negative.
    - `capacity`: largest number of partons; `trials`: largest number of trials, default 24 (1 + headroom). An event
      that needs more sets `overflow` (none in 10⁶ at the Z). The first rounds of `generate` use fewer.

    **Noise**: (trial, 4) uniforms: scale, channel and acceptance, z, azimuth; more trials begin with the same rows
    (`noise.stream`).

    **Returns** events whose partons stand in colour order from the quark to the antiquark (`Branchings` says how g → q
    q̄ divides the line); q q̄ without a branching have weight 1 like all others unless they are moved.

    **Gradient.** Unbiased for means of any function, in every parameter. Cut-off and energy always act pathwise: scales
    stay between the cut-off and the last one, momenta move, and the probabilities of choices go into the weight. A
    reference with its own cut-off and energy is followed by a second trajectory. Forward and reverse mode, to any
    order.

    **Raises** `ValueError` with cause and cure for arguments out of range. What only traced values show (a Landau pole
    above the cut-off, an event with √s above 2 `energy`) sets `overflow`.

    >>> import jax
    >>> from jaxhep.shower import DipoleShower
    >>> shower = DipoleShower(alpha_s=0.118, cutoff=1.0)
    >>> event = shower(shower.sample_noise(jax.random.key(0)))
    >>> event.momenta.shape, int(event.pdg_id[0])
    ((20, 4), 1)
    """

    energy: Scalar
    alpha_s: Scalar
    cutoff: Scalar
    scale_factor: Scalar
    loops: int = eqx.field(static=True)
    thresholds: tuple[float, ...] = eqx.field(static=True)
    reference_scale: float = eqx.field(static=True)
    cmw: bool = eqx.field(static=True)
    flavours: int = eqx.field(static=True)
    matrix_element: bool = eqx.field(static=True)
    gradient: Gradient = eqx.field(static=True)
    headroom: float = eqx.field(static=True)
    capacity: int = eqx.field(static=True)
    trials: int = eqx.field(static=True)

    def __init__(
        self,
        energy: Any = 91.1876,
        alpha_s: Any = 0.118,
        cutoff: Any = 1.0,
        scale_factor: Any = 1.0,
        *,
        loops: int = 2,
        thresholds: tuple[float, ...] = (1.27, 4.75),
        reference_scale: float = 91.1876,
        cmw: bool = False,
        flavours: int = 5,
        matrix_element: bool = False,
        gradient: Gradient = "weight",
        headroom: float | None = None,
        capacity: int = 20,
        trials: int | None = None,
    ):
        numbers = {"energy": energy, "alpha_s": alpha_s, "cutoff": cutoff, "scale_factor": scale_factor}
        values = {name: _concrete(name, value) for name, value in numbers.items()}
        for name, value in values.items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}")
        root_s, lowest, factor = values["energy"], values["cutoff"], values["scale_factor"]
        if root_s is not None and lowest is not None and not 2 * lowest < root_s:
            raise ValueError(
                f"cutoff = {lowest:g} GeV leaves no room: no emission has more transverse momentum than half the "
                f"energy, {root_s / 2:g} GeV; lower the cutoff"
            )
        if isinstance(flavours, bool) or not isinstance(flavours, int) or not 0 <= flavours <= 6:
            raise ValueError(f"flavours must be a whole number from 0 to 6, not {flavours!r}")
        if gradient not in ("pathwise", "weight"):
            raise ValueError(f"gradient must be 'pathwise' or 'weight', not {gradient!r}")
        if headroom is None:
            headroom = 2.0 if gradient == "weight" else 1.0
        if not (math.isfinite(headroom) and headroom >= 1):
            raise ValueError(f"headroom must be at least 1, got {headroom}")
        if trials is None:
            trials = int(24 + 24 * headroom)
        for name, count, least in (("capacity", capacity, 3), ("trials", trials, 1)):
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {count!r}")
        running = RunningCoupling(alpha_s, reference_scale, loops, thresholds, cmw=cmw)
        if lowest is not None and factor is not None:
            running.check((factor * lowest) ** 2)
        self.energy, self.alpha_s = jnp.asarray(energy, float), jnp.asarray(alpha_s, float)
        self.cutoff, self.scale_factor = jnp.asarray(cutoff, float), jnp.asarray(scale_factor, float)
        self.loops, self.thresholds, self.reference_scale, self.cmw = (
            loops,
            running.thresholds,
            running.reference_scale,
            bool(cmw),
        )
        self.flavours, self.matrix_element, self.gradient = flavours, bool(matrix_element), gradient
        self.headroom, self.capacity, self.trials = float(headroom), capacity, trials

    @property
    def coupling(self) -> RunningCoupling:
        """α_s(μ²) of the shower."""
        return RunningCoupling(self.alpha_s, self.reference_scale, self.loops, self.thresholds, cmw=self.cmw)

    def rounds(self) -> tuple["DipoleShower", ...]:
        """Few partons and trials before the full number."""
        rounds = [(p, int(a + b * self.headroom)) for p, a, b in _ROUNDS]
        return (*(self._with_sizes(p, t) for p, t in rounds if p < self.capacity and t < self.trials), self)

    def _with_sizes(self, capacity: int, trials: int) -> "DipoleShower":
        copy = object.__new__(type(self))
        for field in dataclasses.fields(self):
            object.__setattr__(copy, field.name, getattr(self, field.name))
        object.__setattr__(copy, "capacity", capacity)
        object.__setattr__(copy, "trials", trials)
        return copy

    def sample_noise(self, key: Key, dtype: Any = None) -> Float[Array, "trial 4"]:
        """Uniform variates (scale, channel and acceptance, z, azimuth) for each trial; more trials begin with the same
        ones."""
        return stream(key, self.trials, 4, dtype)

    def __call__(
        self, noise: Float[Array, "trial 4"], event: Event | None = None, *, reference: AbstractSimulator | None = None
    ) -> Event:
        r"""Showers one event.

        **Arguments**

        - `noise`: from `sample_noise`, shape (trial, 4); rows beyond `trials` are not used.
        - `event`: quark and antiquark as the first two particles (from `ElectroweakQQbar`, say); then √s, directions,
          flavours and weight are theirs. By default a d quark flies along +z with energy √s/2.
        - `reference`: the simulator whose parameters make the discrete choices (see `AbstractSimulator`).

        **Returns** an `Event` of up to `capacity` partons with `Branchings` as history.
        """
        if noise.ndim != 2 or noise.shape[0] < self.trials or noise.shape[1] != 4:
            raise ValueError(f"noise must have shape {(self.trials, 4)}, got {noise.shape}; use sample_noise(key)")
        if reference is not None and not isinstance(reference, DipoleShower):
            raise TypeError(
                f"the reference of a DipoleShower is a DipoleShower, not {type(reference).__name__}; make it with "
                "with_parameters(shower, {...})"
            )
        noise = noise[: self.trials]
        dtype = noise.dtype
        settings = self._settings(dtype)
        reference_settings = None if reference is None else lax.stop_gradient(reference)._settings(dtype)
        if self.gradient == "weight":
            frozen = lax.stop_gradient((self if reference is None else reference)._settings(dtype).bound)
            settings = settings._replace(bound=settings.bound._replace(intercept=frozen.intercept, slope=frozen.slope))
        start, s = self._start(event, dtype)
        own = self._trajectory(start, s)
        if reference is None:
            other, limit = None, self.energy
        else:
            reference_start, reference_s = reference._start(event, dtype)
            other, limit = lax.stop_gradient(self._trajectory(reference_start, reference_s)), reference.energy
        pdg_id = jnp.array([1, -1]) if event is None else event.pdg_id[:2]
        empty = jnp.zeros_like(pdg_id[0])
        healthy = jnp.isfinite(settings.bound.intercept + settings.bound.slope) & (s > 0)
        state = State(
            own=own,
            reference=other,
            flavours=[pdg_id[0], pdg_id[1], *([empty] * (self.capacity - 2))],
            number=jnp.asarray(2, jnp.int32),
            running=jnp.asarray(True),
            # The overestimate of the coupling reaches up to x = 2 ln(energy).
            overflow=~healthy | (s > 4 * limit.astype(dtype) ** 2),
            weight=jnp.ones((), dtype) if event is None else event.weight.astype(dtype),
        )
        rules = Rules(self.flavours, self.matrix_element)

        @jax.checkpoint
        def step(state: State, row: tuple[Scalar, ...]) -> tuple[State, Record]:
            return trial_step(state, row, settings, reference_settings, rules)

        # Four columns: in a batch each is then read in the order in which it lies in memory.
        state, records = lax.scan(step, state, tuple(noise[:, i] for i in range(4)))
        spinors = jnp.stack([jnp.stack([spinor[c] for spinor in state.own.spinors]) for c in range(4)])
        overflow = state.overflow | state.running
        return Event(
            momenta=spinor_momenta(spinors),
            mask=jnp.arange(self.capacity) < state.number,
            pdg_id=jnp.stack(state.flavours),
            weight=state.weight,
            overflow=overflow if event is None else overflow | event.overflow,
            history=_branchings(records, self.capacity - 2),
        )

    def _settings(self, dtype: Any) -> Settings:
        """The coupling and its overestimate: a line in 1/α_s between the cut-off and x = 2 ln(energy)."""
        running = RunningCoupling(
            self.alpha_s.astype(dtype), self.reference_scale, self.loops, self.thresholds, cmw=self.cmw
        )
        shift = 2 * jnp.log(self.scale_factor.astype(dtype))
        low, high = 2 * jnp.log(self.cutoff.astype(dtype)), 2 * jnp.log(self.energy.astype(dtype))

        def coupling(log_scale: Float[Array, "*n"]) -> Float[Array, "*n"]:
            return running.at_log(log_scale + shift) / (2 * math.pi)

        grid = jnp.linspace(0, 1, _GRID, dtype=dtype)
        values = 1 / coupling(low + grid * (high - low))
        line = values[0] + grid * (values[-1] - values[0])
        # Thresholds that make 1/α_s jump bend it the wrong way; the line is lowered until it lies below.
        lower = jnp.min(values / line) / (self.headroom * 1.0005)
        slope = (values[-1] - values[0]) / (high - low) * lower
        return Settings(Bound(low, values[0] * lower - slope * low, slope), coupling)

    def _start(self, event: Event | None, dtype: Any) -> tuple[Float[Array, "4 2"], Scalar]:
        """Spinors of quark and antiquark, and s."""
        if event is None:
            energy = self.energy.astype(dtype)
            return jnp.array([[1, 0], [0, 0], [0, 1], [0, 0]], dtype) * jnp.sqrt(energy), energy**2
        momenta = event.momenta[:2].astype(dtype)
        total = jnp.sum(momenta, axis=0)
        return momentum_spinors(momenta), total[0] ** 2 - jnp.sum(total[1:] ** 2)

    def _trajectory(self, start: Float[Array, "4 2"], s: Scalar) -> Trajectory:
        zero = jnp.zeros((), start.dtype)
        columns = [[*start[c], *([zero] * (self.capacity - 2))] for c in range(4)]
        # No emission has t > s/4.
        return Trajectory([(a, b, c, d) for a, b, c, d in zip(*columns, strict=True)], jnp.log(s) - LOG_4)


def _branchings(records: Record, capacity: int) -> Branchings:
    """The accepted trials, moved to the front."""
    number = jnp.cumsum(records.accepted) - 1
    place = records.accepted[None, :] & (number[None, :] == jnp.arange(capacity)[:, None])
    mask = jnp.any(place, axis=1)

    def pick(values: Array) -> Array:
        return jnp.sum(jnp.where(place, values[None, :], 0), axis=1)

    v, y = records.v, records.y
    return Branchings(
        kt=pick(jnp.exp(records.log_scale / 2)),
        z=pick(1 - v),
        y=pick(y),
        azimuth=pick(2 * math.pi * records.turn),
        dipole_mass=pick(jnp.exp(records.log_mass2 / 2)),
        rapidity=pick(jnp.log(v * (1 - y) / y) / 2),
        dipole=pick(records.dipole),
        right_emits=jnp.any(place & records.right_emits[None, :], axis=1),
        flavour=pick(records.emitted),
        mask=mask,
    )


def _concrete(name: str, value: Any) -> float | None:
    """The value as a Python float, None for a traced one."""
    if isinstance(value, jax.core.Tracer):
        return None
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be one real number, got {value!r}")
    return float(array)


__all__ = ["DipoleShower"]
