"""e⁺e⁻ → γ*/Z → qq̄ at tree level: cross sections, asymmetries, and the simulator of the hard process."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._types import Array, Float, Key, Scalar
from ..event import Event
from ..noise import categorical, uniforms
from ..simulator import AbstractSimulator
from ..units import HBAR_C_SQUARED
from ._polar import inverse_polar_cdf

_COLOURS = 3
_ELECTRON = (-1.0, -0.5)
"""Charge and weak isospin T₃ (left-handed)."""


class HardNoise(NamedTuple):
    """The three U(0,1) variates of one hard event: flavour, polar angle, azimuth."""

    flavour: Float[Array, ""]
    cos_theta: Float[Array, ""]
    azimuth: Float[Array, ""]


class ElectroweakQQbar(AbstractSimulator):
    r"""The hard process e⁺e⁻ → γ*/Z → qq̄ with unpolarised beams along z (e⁻ along +z).

    Per flavour, with \(c=\cos\theta\) between e⁻ and q,

    \[\frac{d\sigma_f}{dc}=\frac{N_c\pi\alpha^2}{2s}\left[(1+c^2)A_f+2cB_f\right],\]
    \[A_f=Q_e^2Q_f^2+2Q_eQ_fv_ev_f\,\mathrm{Re}\chi+(v_e^2+a_e^2)(v_f^2+a_f^2)|\chi|^2,\quad
      B_f=2Q_eQ_fa_ea_f\,\mathrm{Re}\chi+4v_ea_ev_fa_f|\chi|^2,\]
    \[\chi=\frac{1}{4\sin^2\theta_W\cos^2\theta_W}\,\frac{s}{s-m_Z^2+im_Z\Gamma_Z},\quad v=T_3-2Q\sin^2\theta_W,\
    a=T_3.\]

    **What it leaves out**: quark masses (cross section, thresholds, and kinematics), QCD and QED corrections,
    initial-state radiation,
    the running of α and of the width, and flavour-dependent weak vertices. α(m_Z) and the effective mixing angle
    absorb most of the weak
    corrections at the pole; far below it hand over another `alpha` (1/137.036 in the Thomson limit) and the open
    `flavours`.

    **Arguments**

    - `energy`: √s > 0 in GeV.
    - `z_mass`, `z_width`: in GeV; defaults 91.1880 and 2.4955 (PDG 2024).
    - `sin2_theta`: sin²θ_eff of leptons in (0, 1); default 0.23153 (LEP and SLC, hep-ex/0509008).
    - `alpha`: α; default 1/128.946, the on-shell coupling at m_Z: α(0)(1 − Δα)⁻¹ with Δα = 0.03150 (leptons) + 0.02761
      (five quarks) − 0.00007 (top).
    - `flavours`: PDG numbers out of 1…5 (d, u, s, c, b), a static choice.

    The first five are differentiable array leaves.

    **Raises** ValueError for values outside their ranges (if known before compilation) and unknown flavours.

    **As a simulator** it maps `HardNoise` to an `Event` of two particles: the quark in slot 0 along (θ, φ), the
    antiquark opposite, each
    of energy √s/2. The flavour is chosen with the probabilities of `reference`, and the weight is \(p/p_{ref}\).
    The angle goes through the inverse of its cubic distribution function.

    **Gradient**: the flavour's in the weight (score), that of the angle and the energy pathwise. `weight · f(event)`
    averages to the
    expectation of f and its derivative to that of the expectation.

    Source: Particle Data Group, Review of Particle Physics, reviews "Electroweak model" and "Cross-section
    formulae"; the precision
    electroweak report hep-ex/0509008.

    >>> import jax
    >>> process = ElectroweakQQbar(energy=91.1876)
    >>> event = process(process.sample_noise(jax.random.key(0)))
    >>> event.momenta.shape, float(event.weight)
    ((2, 4), 1.0)
    >>> print(f"{process.forward_backward_asymmetry(flavour=5):.3f}")
    0.103
    """

    energy: Scalar
    z_mass: Scalar
    z_width: Scalar
    sin2_theta: Scalar
    alpha: Scalar
    flavours: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        energy: ArrayLike = 91.1876,
        z_mass: ArrayLike = 91.1880,
        z_width: ArrayLike = 2.4955,
        sin2_theta: ArrayLike = 0.23153,
        alpha: ArrayLike = 1 / 128.946,
        flavours: tuple[int, ...] = (1, 2, 3, 4, 5),
    ) -> None:
        """See the class."""
        self.energy = _leaf("energy", energy, np.inf, "√s is a positive energy in GeV")
        self.z_mass = _leaf("z_mass", z_mass, np.inf, "the Z mass is a positive energy in GeV")
        self.z_width = _leaf("z_width", z_width, np.inf, "the Z width is a positive energy in GeV")
        self.sin2_theta = _leaf("sin2_theta", sin2_theta, 1.0, "sin²θ lies between 0 and 1")
        self.alpha = _leaf("alpha", alpha, 1.0, "the fine-structure constant is about 1/129 at the Z")
        if not flavours or any(f not in (1, 2, 3, 4, 5) for f in flavours) or len(set(flavours)) != len(flavours):
            raise ValueError(
                f"flavours = {flavours}: give different PDG numbers out of 1 (d), 2 (u), 3 (s), 4 (c), 5 (b)"
            )
        self.flavours = tuple(flavours)

    # Cross sections

    def angular_coefficients(
        self, energy: ArrayLike | None = None
    ) -> tuple[Float[Array, " flavour"], Float[Array, " flavour"]]:
        r"""\(A_f\) and \(B_f\) of dσ/dc ∝ (1+c²)A + 2cB, for each of `flavours`; dimensionless. `energy`: √s in GeV,
        default the own."""
        energy = self.energy if energy is None else jnp.asarray(energy)
        dtype = jnp.result_type(energy, self.sin2_theta)
        charge = jnp.asarray([2 / 3 if f in (2, 4) else -1 / 3 for f in self.flavours], dtype)
        axial = jnp.asarray([0.5 if f in (2, 4) else -0.5 for f in self.flavours], dtype)
        vector = axial - 2 * charge * self.sin2_theta
        electron_charge, electron_axial = _ELECTRON
        electron_vector = electron_axial - 2 * electron_charge * self.sin2_theta
        # Everything in units of m_Z², so that float32 keeps its digits near the pole.
        ratio = energy / self.z_mass
        distance = (ratio - 1) * (ratio + 1)
        width = self.z_width / self.z_mass
        propagator = ratio**2 / (4 * self.sin2_theta * (1 - self.sin2_theta) * (distance**2 + width**2))
        real, square = propagator * distance, propagator**2 * (distance**2 + width**2)
        mixed = 2 * electron_charge * charge * real
        even = (
            (electron_charge * charge) ** 2
            + mixed * electron_vector * vector
            + (electron_vector**2 + electron_axial**2) * (vector**2 + axial**2) * square
        )
        odd = mixed * electron_axial * axial + 4 * electron_vector * electron_axial * vector * axial * square
        return even, odd

    def cross_section(self, energy: ArrayLike | None = None, flavour: int | None = None) -> Scalar:
        r"""\(\sigma=\tfrac{4\pi\alpha^2}{3s}N_cA_f\) in pb.

        **Arguments**: `energy`: √s in GeV, default the own; `flavour`: a PDG number of `flavours`, or None for the
        sum over them.

        **Returns** a scalar in pb. Tree level: at the pole the measured hadronic one is higher by 1 + α_s/π + … ≈
        1.04 (and lower by
        initial-state radiation, unless that was unfolded).

        >>> print(f"{ElectroweakQQbar().cross_section() / 1000:.1f} nb")
        39.5 nb
        """
        s = (self.energy if energy is None else jnp.asarray(energy)) ** 2
        even, _ = self._select(self.angular_coefficients(energy), flavour)
        return HBAR_C_SQUARED * 4 * jnp.pi * self.alpha**2 / (3 * s) * _COLOURS * even

    def differential_cross_section(
        self, cos_theta: ArrayLike, energy: ArrayLike | None = None, flavour: int | None = None
    ) -> Float[Array, "*n"]:
        r"""\(d\sigma/d\cos\theta\) in pb at `cos_theta` (any shape, in [−1, 1]) between e⁻ and quark; the rest as
        `cross_section`."""
        s = (self.energy if energy is None else jnp.asarray(energy)) ** 2
        even, odd = self._select(self.angular_coefficients(energy), flavour)
        c = jnp.asarray(cos_theta)
        return HBAR_C_SQUARED * jnp.pi * self.alpha**2 / (2 * s) * _COLOURS * ((1 + c**2) * even + 2 * c * odd)

    def forward_backward_asymmetry(self, energy: ArrayLike | None = None, flavour: int | None = None) -> Scalar:
        r"""\(A_{FB}=(\sigma_F-\sigma_B)/(\sigma_F+\sigma_B)=\tfrac34B_f/A_f\), dimensionless; arguments as
        `cross_section`.

        For `flavour=None` the quarks (never the antiquarks) of all flavours are counted.
        """
        even, odd = self._select(self.angular_coefficients(energy), flavour)
        return 0.75 * odd / even

    def r_ratio(self, energy: ArrayLike | None = None) -> Scalar:
        r"""\(R=\sigma(e^+e^-\to q\bar q)/\tfrac{4\pi\alpha^2}{3s}\), the cross section in units of the pointlike QED
        one."""
        return _COLOURS * jnp.sum(self.angular_coefficients(energy)[0])

    def flavour_probabilities(self, energy: ArrayLike | None = None) -> Float[Array, " flavour"]:
        r"""\(p_f=\sigma_f/\sum\sigma\) for each of `flavours`."""
        even, _ = self.angular_coefficients(energy)
        return even / jnp.sum(even)

    def _select(self, pair: tuple[Array, Array], flavour: int | None) -> tuple[Array, Array]:
        if flavour is None:
            return jnp.sum(pair[0]), jnp.sum(pair[1])
        if flavour not in self.flavours:
            raise ValueError(f"flavour {flavour} is none of the flavours {self.flavours} of this process")
        place = self.flavours.index(flavour)
        return pair[0][place], pair[1][place]

    # The simulator

    def sample_noise(self, key: Key, dtype: Any = None) -> HardNoise:
        """Three independent U(0,1) variates, of the dtype of `energy` unless another is given."""
        draws = uniforms(key, (3,), self.energy.dtype if dtype is None else dtype)
        return HardNoise(flavour=draws[0], cos_theta=draws[1], azimuth=draws[2])

    def __call__(
        self, noise: HardNoise, event: Event | None = None, *, reference: AbstractSimulator | None = None
    ) -> Event:
        r"""One quark–antiquark event.

        **Arguments**

        - `noise`: a `HardNoise`.
        - `event`: must be None; the hard process is the first stage of a chain.
        - `reference`: the process whose flavour probabilities make the choice; default this one, held fixed.

        **Returns** an `Event` of two particles with weight \(p_f/p_f^{ref}\), whose derivative is the score.

        **Raises** ValueError if it is handed an event, or a reference of other flavours; TypeError for a reference
        of another kind.
        """
        if event is not None:
            raise ValueError("ElectroweakQQbar makes the hard event itself: put it first in the chain")
        chooser = self if reference is None else reference
        if not isinstance(chooser, ElectroweakQQbar):
            raise TypeError(
                f"the reference is a {type(chooser).__name__}; "
                "hand over an ElectroweakQQbar with the parameters to choose with"
            )
        if chooser.flavours != self.flavours:
            raise ValueError(
                f"the reference has flavours {chooser.flavours}, this process {self.flavours}: they must agree"
            )
        even, odd = self.angular_coefficients()
        place, weight = categorical(noise.flavour, even / jnp.sum(even), chooser.flavour_probabilities())

        cosine = inverse_polar_cdf(noise.cos_theta, odd[place] / even[place])
        sine2 = (1 - cosine) * (1 + cosine)
        sine = jnp.where(sine2 > 0, jnp.sqrt(jnp.where(sine2 > 0, sine2, jnp.ones_like(sine2))), jnp.zeros_like(sine2))
        phi = 2 * jnp.pi * noise.azimuth
        direction = jnp.stack([sine * jnp.cos(phi), sine * jnp.sin(phi), cosine])
        one = jnp.ones((1,), direction.dtype)
        momenta = 0.5 * self.energy * jnp.stack([jnp.concatenate([one, direction]), jnp.concatenate([one, -direction])])
        quark = jnp.asarray(self.flavours)[place]
        return Event(
            momenta=momenta,
            mask=jnp.ones(2, bool),
            pdg_id=jnp.stack([quark, -quark]),
            weight=weight,
            overflow=jnp.zeros((), bool),
        )


def _leaf(name: str, value: ArrayLike, below: float, cure: str) -> Scalar:
    """`value` as a scalar float array; ValueError if it is known and not a finite number in (0, below)."""
    if not isinstance(value, jax.core.Tracer):
        number = np.asarray(value)
        if number.shape != () or not np.isfinite(number) or not 0 < number < below:
            raise ValueError(f"{name} = {value} is not allowed: {cure}")
    array = jnp.asarray(value)
    floating = jnp.issubdtype(array.dtype, jnp.floating) and not array.weak_type
    return array if floating else array.astype(jnp.result_type(float))
