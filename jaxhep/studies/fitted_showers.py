"""What the event-shape fit knows of each shower: its parameter, where to look for it, and how to make the shower."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..inference.templates import FACTORS
from ..shower import DipoleShower, DiscreteQCD
from ..simulator import AbstractSimulator

_TIERS = (0.13, 0.06, 0.02)
"""Lowest Λ in GeV for which the arrays of Discrete QCD are sized; pilots and sample share one compiled program."""
_ORDERING_SCALE = 0.2


@dataclass(frozen=True)
class FittedShower:
    """A shower and the parameter of it that is fitted.

    **Fields**

    - `parameter`: name of the array leaf; `symbol`, `tex` and `unit` for texts and plots.
    - `start`, `limits`: of the fit.
    - `factors`: where a sample is moved to, in units of its own parameter (`inference.moved_spectra`).
    - `close`: a pilot is believed if its fit lies within this distance in the logarithm; `stride`: the largest factor
      from one pilot to the next; `shift`: factor of the pictures of moved templates.
    - `defaults`: the options of the shower that the fit sets, and all that it takes.
    - `make`: (√s, parameter, options) → simulator.
    - `coupling`: (shower, value, error) → α_s(m_Z), its error and the words that say which coupling it is.
    - `lacks`: what the model lacks, in a sentence.
    """

    parameter: str
    symbol: str
    tex: str
    unit: str
    start: float
    limits: tuple[float, float]
    factors: tuple[float, ...]
    close: float
    stride: float
    shift: float
    defaults: Mapping[str, Any]
    make: Callable[[float, float, Mapping[str, Any]], AbstractSimulator]
    coupling: Callable[[Any, float, float], tuple[float, float, str]]
    lacks: str

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults with what is given. **Raises** `ValueError` for an option that this shower does not have."""
        unknown = set(given) - set(self.defaults)
        if unknown:
            raise ValueError(
                f"{', '.join(sorted(unknown))}: no option of the fit with this shower; it takes "
                + ", ".join(self.defaults)
            )
        return {**self.defaults, **given}

    def nodes(self, shower: AbstractSimulator) -> tuple[float, ...]:
        """`factors`, those left out at which the coupling has a Landau pole above the cut-off."""
        return tuple(f for f in self.factors if self._healthy(shower, f))

    def _healthy(self, shower: AbstractSimulator, factor: float) -> bool:
        if isinstance(shower, DipoleShower):
            there: dict[str, Any] = {self.parameter: factor * float(getattr(shower, self.parameter))}
            try:
                replace(shower, **there)
            except ValueError:
                return False
        return True

    def nearby(self, found: float, reference: float) -> float:
        """The fitted value, at most one stride from the reference."""
        return min(max(found, reference / self.stride), reference * self.stride)


def _discrete(energy: float, value: float, options: Mapping[str, Any]) -> DiscreteQCD:
    low = next((tier for tier in _TIERS if tier <= value), value / 1.25)
    return DiscreteQCD(energy, value, lambda_range=(low, energy), ordering_scale=_ORDERING_SCALE, **options)


def _discrete_coupling(shower: DiscreteQCD, value: float, error: float) -> tuple[float, float, str]:
    """α_s = 12π/((33−2n_f) ln(m_Z²/Λ²))."""
    log = 2 * math.log(91.1876 / value)
    coupling = 12 * math.pi / ((33 - 2 * shower.n_f) * log)
    words = f"one loop, n_f = {shower.n_f}, in the scheme of the shower"
    return coupling, coupling * 2 / log * error / value, words


def _dipole(energy: float, value: float, options: Mapping[str, Any]) -> DipoleShower:
    return DipoleShower(energy, value, **options)


def _dipole_coupling(shower: DipoleShower, value: float, error: float) -> tuple[float, float, str]:
    words = f"{shower.loops} loops, MS-bar{' with the CMW correction' if shower.cmw else ''}, in a leading-order shower"
    return value, error, words


SHOWERS: dict[str, FittedShower] = {
    "discrete": FittedShower(
        parameter="lambda_qcd",
        symbol="Λ",
        tex=r"\Lambda",
        unit="GeV",
        start=0.2,
        limits=(0.02, 1.0),
        factors=FACTORS,
        close=0.35,
        stride=1.5,
        shift=1.1,
        defaults={"mode": "smooth", "n_f": 0, "matrix_element": True, "quark_colour": "C_F"},
        make=_discrete,
        coupling=_discrete_coupling,
        lacks=(
            "The model is a leading-order, leading-colour shower of massless partons without g→qq̄ splittings and hard-"
            "collinear terms, with hadronisation as a shift of mean 2Ω₁/Q (thrust): its Λ is a scale of this scheme, "
            "not the MS-bar one."
        ),
    ),
    "dipole": FittedShower(
        parameter="alpha_s",
        symbol="α_s",
        tex=r"\alpha_s",
        unit="",
        start=0.118,
        limits=(0.09, 0.15),
        # Seven of the fit's errors to each side. Weights to larger couplings vary fast: at 1.15 they leave 7 % of the
        # events' worth (at 1.07 71 %), and toys then find minima where the Monte Carlo error is large.
        factors=(0.88, 0.94, 1.0, 1.055, 1.11),
        close=0.08,
        stride=1.1,
        shift=1.03,
        defaults={"cutoff": 1.0, "scale_factor": 1.0, "cmw": True, "matrix_element": True},
        make=_dipole,
        coupling=_dipole_coupling,
        lacks=(
            "The model is a leading-logarithmic, leading-colour shower of massless partons with the exact first "
            "emission, and hadronisation as a shift of mean 2Ω₁/Q (thrust): its α_s has the uncertainty of higher "
            "orders, which the variation of the renormalisation scale shows only in part."
        ),
    ),
}

__all__ = ["SHOWERS", "FittedShower"]
