"""The Discrete-QCD shower."""

import dataclasses
import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key, Scalar
from ..event import Event
from ..noise import uniforms
from ..simulator import AbstractSimulator
from ._antenna import momentum_spinors, spinor_momenta
from ._branching import UNROLLED_CAPACITY, branch
from ._grove import Geometry, draw_grove
from ._layout import Layout, make_layout

Mode = Literal["smooth", "lattice"]
QuarkColour = Literal["C_A/2", "C_F"]

_MARGIN = 1.25
_ROUNDS = (4, 8, 16, 32, 64)
_SAVING = 1.3
"""A round that is not smaller than the full one by this factor is not worth its program."""
# Measured, 131072 events each, Λ from 0.02 to 0.2 GeV with n_f = 0 and 5: at most 2e-5 of the events have more gluons.
_CAPACITY_OVER_MEAN = 2.2


class DiscreteQCD(AbstractSimulator):
    r"""e+e−→qq̄ dressed with gluons by Discrete QCD, differentiable in Λ and √s.

    **Model** (Andersson, Gustafson, Samuelsson, Nucl. Phys. B463 (1996) 217; Gustafson, Prestel, Spannowsky, Williams,
    arXiv:2207.10694). With κ = ln(k⊥²/Λ²) and L = ln(s/Λ²), one-loop running and C_A/2 at every dipole end turn the
    emission density into \(dP=\frac{d\kappa}{\kappa}\frac{dy}{\delta}\), δ = 11/6 − n_f/9. In a slice of rapidity of
    width δ the
    κ of its one effective gluon is uniform on [0, κ_max]; a gluon below κ = 2δ, k⊥ = Λe^δ, is not resolved. A resolved
    gluon
    opens a fold of length κ/2 on each side, whose columns are filled by the same rule.

    **Modes**

    - `"lattice"`: as published. N = ⌊L/2δ⌋; the column at y = jδ has height N − |j| and picks each level m with
      probability 1/(N−|j|); a gluon of level m has columns 1…m on each side. The grove probabilities do not depend on Λ
      except
      through jumps of N (at the Z: Λ = 0.0596 and 0.3727 GeV), where expectations jump too: the gradient is that
      between jumps.
      κ and y are spread over the tile; y keeps to the triangle |y| ≤ (L−κ)/2.
    - `"smooth"` (default): real heights. y is uniform in the slice, \(h(y)=\ln(s/(4\Lambda^2\cosh^2y))/2\delta\), a
      gluon exists with probability 1 − 1/h and has X = κ/2δ uniform on [1, h]; column k of its folds opens while X goes
      from k to k+½.
      Every expectation is a continuously differentiable function of Λ.

    **Momenta.** Gluons are inserted from the highest κ down between their colour neighbours by an exact massless 2→3
    map with the recoil of ARIADNE. The place on the folded baseline and the mass of the dipole at that moment fix (k⊥,
    y) so
    that every gluon fits (`_branching.py` states the map). In smooth mode the order is that of X at the fixed scale
    `ordering_scale`, so that no two gluons swap places while Λ moves.

    **Arguments**

    - `energy`: √s in GeV, positive.
    - `lambda_qcd`: Λ in GeV, 0 < Λ < √s. In-scheme and leading-order: α_s(μ) = 12π/((33−2n_f) ln(μ²/Λ²)), not MS-bar.
    - `mode`: `"smooth"` or `"lattice"`.
    - `n_f`: flavours in δ and in the coupling, 0 to 6.
    - `lambda_range`: (lowest, highest) Λ for which the arrays are sized; default from Λ/1.25 up. A Λ below sets
      `overflow`.
    - `matrix_element`: multiply the weight by (x_1²+x_3²)/2 of the first branching, which gives the three-parton matrix
      element for γ*→qq̄g.
    - `quark_colour`: `"C_A/2"` as published, or `"C_F"`: keep primary gluons with probability 2C_F/C_A = 8/9.
    - `capacity`: largest number of gluons; more set `overflow`. Default: twice the number of primary slices plus 4 (14
      at Λ = 0.2 GeV, √s = m_Z) or 2.2 times a bound on the mean number of gluons, the larger; all slots if
      these are fewer. A sample says how often that happened.
    - `ordering_scale`: Λ in GeV at which the emission order is defined; default 0.2·4ⁿ GeV, nearest to Λ.

    **Gradient.** Pathwise in every κ, y and momentum; existence of gluons and columns by score weights
    (`Event.weight`).

    **Raises** `ValueError` with cause and cure for arguments out of range.

    >>> import jax
    >>> from jaxhep.shower import DiscreteQCD
    >>> shower = DiscreteQCD(lambda_qcd=0.2)
    >>> event = shower(shower.sample_noise(jax.random.key(0)))
    >>> event.momenta.shape[-1]
    4
    """

    energy: Scalar
    lambda_qcd: Scalar
    mode: Mode = eqx.field(static=True)
    n_f: int = eqx.field(static=True)
    matrix_element: bool = eqx.field(static=True)
    quark_colour: QuarkColour = eqx.field(static=True)
    capacity: int = eqx.field(static=True)
    lambda_range: tuple[float, float] = eqx.field(static=True)
    ordering_scale: float = eqx.field(static=True)
    log_scale_limit: float = eqx.field(static=True)
    layout: Layout = eqx.field(static=True, repr=False)

    def __init__(
        self,
        energy: Any = 91.1876,
        lambda_qcd: Any = 0.2,
        mode: Mode = "smooth",
        n_f: int = 0,
        *,
        lambda_range: tuple[float, float] | None = None,
        matrix_element: bool = False,
        quark_colour: QuarkColour = "C_A/2",
        capacity: int | None = None,
        ordering_scale: float | None = None,
    ):
        if mode not in ("smooth", "lattice"):
            raise ValueError(f"mode must be 'smooth' or 'lattice', not {mode!r}")
        if isinstance(n_f, bool) or not isinstance(n_f, int) or not 0 <= n_f <= 6:
            raise ValueError(f"n_f must be a whole number of flavours from 0 to 6, not {n_f!r}")
        if quark_colour not in ("C_A/2", "C_F"):
            raise ValueError(f"quark_colour must be 'C_A/2' or 'C_F', not {quark_colour!r}")
        root_s, scale = _concrete("energy", energy), _concrete("lambda_qcd", lambda_qcd)
        if root_s is None or (scale is None and lambda_range is None):
            raise ValueError(
                "the shower sizes its arrays from numbers: build it outside jit/grad and set traced values with "
                "with_parameters(shower, {'lambda_qcd': value}), or give lambda_range for a traced lambda_qcd"
            )
        if not (math.isfinite(root_s) and root_s > 0):
            raise ValueError(f"energy must be a positive number of GeV, got {root_s}")
        if scale is not None and not (math.isfinite(scale) and 0 < scale < root_s):
            raise ValueError(f"lambda_qcd must lie between 0 and the energy {root_s:g} GeV, got {scale}")
        if lambda_range is None:
            assert scale is not None
            lambda_range = (scale / _MARGIN, root_s)
        low, high = (float(x) for x in lambda_range)
        if not 0 < low < high <= root_s:
            raise ValueError(f"lambda_range must satisfy 0 < low < high <= energy, got {lambda_range}")
        if scale is not None and not low <= scale <= high:
            raise ValueError(f"lambda_qcd = {scale:g} GeV lies outside lambda_range = {lambda_range}")
        if ordering_scale is None:
            middle = scale if scale is not None else math.sqrt(low * min(high, 4 * low))
            ordering_scale = 0.2 * 4.0 ** round(math.log(middle / 0.2, 4))
        if not (math.isfinite(ordering_scale) and ordering_scale > 0):
            raise ValueError(f"ordering_scale must be a positive number of GeV, got {ordering_scale}")
        delta = 11 / 6 - n_f / 9
        # A relative margin of 1e-6 keeps the stated lowest Λ itself inside in float32.
        log_scale_limit = 2 * math.log(root_s / low) + 1e-6
        layout = make_layout(_primary_heights(mode, log_scale_limit, delta))
        if capacity is None:
            primary = layout.levels[0][1] if layout.levels else 0
            wanted = max(2 * primary + 4, math.ceil(_CAPACITY_OVER_MEAN * layout.mean_gluons))
            capacity = max(1, min(layout.num_slots, wanted))
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            raise ValueError(f"capacity must be a whole number of gluons of at least 1, got {capacity!r}")
        self.energy = jnp.asarray(energy, float)
        self.lambda_qcd = jnp.asarray(lambda_qcd, float)
        self.mode, self.n_f = mode, n_f
        self.matrix_element, self.quark_colour = bool(matrix_element), quark_colour
        self.capacity = min(capacity, max(layout.num_slots, 1))
        self.lambda_range, self.ordering_scale = (low, high), float(ordering_scale)
        self.log_scale_limit, self.layout = log_scale_limit, layout

    @property
    def delta(self) -> float:
        """δ = 11/6 − n_f/9, the rapidity width of one effective gluon."""
        return 11 / 6 - self.n_f / 9

    @property
    def geometry(self) -> Geometry:
        """What distinguishes the modes and options in the code that fills the slots."""
        return Geometry(
            smooth=self.mode == "smooth",
            delta=self.delta,
            thinning=8 / 9 if self.quark_colour == "C_F" else 1.0,
            ordering_log_scale=self.log_scale_limit - 2 * math.log(self.ordering_scale / self.lambda_range[0]),
        )

    def rounds(self) -> tuple["DiscreteQCD", ...]:
        """Capacities of 4, 8, 16, … gluons before the full one, as far as they hold many events and save time."""
        least, most = self.layout.mean_gluons / 2, self.capacity / _SAVING
        return (*(self._with_capacity(n) for n in _ROUNDS if least <= n <= most), self)

    def _with_capacity(self, capacity: int) -> "DiscreteQCD":
        """A copy that differs in the number of gluons it holds; `__init__` would size everything anew."""
        copy = object.__new__(type(self))
        for field in dataclasses.fields(self):
            object.__setattr__(copy, field.name, getattr(self, field.name))
        object.__setattr__(copy, "capacity", capacity)
        return copy

    def sample_noise(self, key: Key, dtype: Any = None) -> Float[Array, "slot 3"]:
        """Uniform variates (choice and height, place, azimuth) for each slot of the folded phase space."""
        return uniforms(key, (self.layout.num_slots, 3), dtype)

    def __call__(
        self, noise: Float[Array, "slot 3"], event: Event | None = None, *, reference: AbstractSimulator | None = None
    ) -> Event:
        r"""Showers one event.

        **Arguments**

        - `noise`: from `sample_noise`, shape (slot, 3).
        - `event`: quark and antiquark as the first two particles (from `ElectroweakQQbar`, say); then √s, directions,
          flavours and weight are theirs. By default the quark flies along +z with energy √s/2.
        - `reference`: the simulator whose parameters make the discrete choices (see `AbstractSimulator`).

        **Returns** an `Event` with `capacity` + 2 particles: quark, antiquark, gluons in the order of emission.
        """
        if noise.shape != (self.layout.num_slots, 3):
            raise ValueError(
                f"noise must have shape {(self.layout.num_slots, 3)}, got {noise.shape}; use sample_noise(key)"
            )
        if reference is not None and not isinstance(reference, DiscreteQCD):
            raise TypeError(
                f"the reference of a DiscreteQCD is a DiscreteQCD, not {type(reference).__name__}; make it with "
                "with_parameters(shower, {...})"
            )
        dtype = noise.dtype
        start, s = self._start(event, dtype)
        log_scale = jnp.log(s / self.lambda_qcd.astype(dtype) ** 2)
        reference_scale, crossed = None, jnp.asarray(False)
        if reference is not None:
            _, ref_s = reference._start(event, dtype)
            reference_scale = jnp.log(ref_s / reference.lambda_qcd.astype(dtype) ** 2)
            if self.mode == "lattice":
                width = 2 * self.delta
                crossed = jnp.floor(log_scale / width) != jnp.floor(reference_scale / width)
        pdg_id = jnp.array([1, -1]) if event is None else event.pdg_id[:2]
        weight = jnp.ones((), dtype) if event is None else event.weight
        # The slots that can be filled are those of the reference.
        overflow = ((log_scale if reference_scale is None else reference_scale) > self.log_scale_limit) | crossed
        if event is not None:
            overflow = overflow | event.overflow
        if self.layout.num_slots == 0:
            momenta = jnp.concatenate([spinor_momenta(start), jnp.zeros((self.capacity, 4), dtype)])
            mask = jnp.arange(self.capacity + 2) < 2
            return Event(momenta, mask, jnp.pad(pdg_id, (0, self.capacity)), weight, overflow)
        grove = draw_grove(
            self.layout, self.geometry, noise, log_scale, reference_scale, unrolled=self.capacity <= UNROLLED_CAPACITY
        )
        spinors, emitted, emissions, first = branch(grove, self.geometry, self.layout.rank, start, self.capacity)
        overflow = overflow | (grove.num_gluons > self.capacity)
        weight = weight * grove.weight
        if self.matrix_element:
            weight = weight * first
        return Event(
            momenta=spinor_momenta(spinors),
            mask=jnp.concatenate([jnp.ones(2, bool), emitted]),
            pdg_id=jnp.concatenate([pdg_id, jnp.where(emitted, 21, 0).astype(pdg_id.dtype)]),
            weight=weight,
            overflow=overflow,
            history=emissions,
        )

    def _start(self, event: Event | None, dtype: Any) -> tuple[Float[Array, "4 2"], Scalar]:
        """Spinors of quark and antiquark, and s."""
        if event is None:
            root = jnp.sqrt(self.energy.astype(dtype))
            quarks = jnp.array([[1, 0], [0, 0], [0, 1], [0, 0]], dtype)
            return quarks * root, self.energy.astype(dtype) ** 2
        momenta = event.momenta[:2].astype(dtype)
        total = jnp.sum(momenta, axis=0)
        return momentum_spinors(momenta), total[0] ** 2 - jnp.sum(total[1:] ** 2)


def _concrete(name: str, value: Any) -> float | None:
    """The value as a Python float, None for a traced one."""
    if isinstance(value, jax.core.Tracer):
        return None
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be one real number, got {value!r}")
    return float(array)


def _primary_heights(mode: Mode, log_scale: float, delta: float) -> dict[int, float]:
    """Largest height of each primary slice at L = log_scale, in units of 2δ."""
    heights = {}
    reach = math.ceil(log_scale / (2 * delta)) + 1
    for column in range(-reach, reach + 1):
        if mode == "lattice":
            heights[column] = float(math.floor(log_scale / (2 * delta)) - abs(column))
        else:
            y = max(0.0, (abs(column) - 0.5) * delta)
            heights[column] = (log_scale - 2 * (y + math.log1p(math.exp(-2 * y)))) / (2 * delta)
    return heights


__all__ = ["DiscreteQCD"]
