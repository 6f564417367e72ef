"""Two detectors with numbers of their own: one like those at LEP, one like those at the LHC."""

import math
from typing import Any

from .detector import Detector
from .solenoid import Solenoid
from .towers import TowerLayer
from .tracks import TrackResponse

_OPTIONS = ("particles", "capacity", "softness", "spread")


def _options(name: str, more: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the detector and those of its towers; ValueError for others."""
    unknown = sorted(set(more) - set(_OPTIONS))
    if unknown:
        raise ValueError(
            f"{name} has no option {', '.join(map(repr, unknown))}; it has {', '.join(_OPTIONS)}. Physical numbers are "
            "changed afterwards: with_parameters(detector, {'field': 2.0})"
        )
    sizes = ("particles", "capacity")
    return {k: v for k, v in more.items() if k in sizes}, {k: v for k, v in more.items() if k not in sizes}


def lep_like(**options: Any) -> Detector:
    r"""A detector like ALEPH at LEP: towers in θ–φ.

    1.5 T, tracks over |cos θ| < 0.95 with σ(p_T)/p_T = 0.005 ⊕ 0.0006 p_T/GeV and 98.6 % efficiency, ECAL 18 %/√E ⊕
    0.9 % in towers of 0.9°, HCAL 85 %/√E in towers of 3.7°, both to |cos θ| < 0.98.

    **Sources**: ALEPH, Nucl. Instrum. Meth. A294 (1990) 121 and A360 (1995) 481, all figures **from memory, not
    checked** (the ECAL terms add linearly there). Our own choices: turn-on at 0.1 GeV, angles of 0.5 mrad, thresholds
    of 0.2 and 0.8 GeV, hadrons with 30 % of their energy in the ECAL, muons with 0.3 and 2 GeV.

    **Arguments** (keywords): `particles` (default 128), `capacity` of `Detector`; `softness`, `spread` of both tower
    layers.

    **Returns** a `Detector`. **Raises** `ValueError` for an unknown option.

    >>> from jaxhep.detector import lep_like
    >>> from jaxhep.simulator import get_parameters
    >>> print(f"{get_parameters(lep_like())['field']:.1f} T")
    1.5 T
    """
    whole, towers = _options("lep_like", options)
    polar = math.asin(0.98)
    return Detector(
        TrackResponse(
            plateau=0.986,
            half_pt=0.1,
            eta_max=math.atanh(0.95),
            multiple_scattering=0.005,
            curvature=0.0006,
            steepness=6.0,
            sigma_phi=0.0005,
            sigma_eta=0.0005,
        ),
        Solenoid(field=1.5, radius=1.85, half_length=2.5),
        TowerLayer(174, 400, polar, 0.18, 0.0, 0.009, 0.2, coordinate="theta", **towers),
        TowerLayer(42, 96, polar, 0.85, 0.0, 0.0, 0.8, coordinate="theta", **towers),
        ecal_fraction=(0.0, 1.0, 1.0, 0.0, 0.3, 0.3, 0.3, 0.3),
        muon_deposit=(0.3, 2.0),
        **{"particles": 128, **whole},
    )


def lhc_like(**options: Any) -> Detector:
    r"""A detector like CMS at the LHC: towers in η–φ.

    3.8 T inside R = 1.29 m, L = 3 m; tracks to |η| < 2.5; ECAL towers of 0.0174 × 0.0174 and HCAL towers of 0.087 ×
    0.087 to |η| < 5.

    **Source**: `delphes_card_CMS.tcl` of Delphes (github.com/delphes/delphes): field, momentum resolutions, tower
    resolutions, thresholds (0.5 and 1 GeV), significance, and fractions are its numbers. What differs: the efficiency's
    steps in p_T (70 % to 1 GeV, 95 % above, for barrel hadrons) are a smooth turn-on at 0.27 GeV; the growth of the
    ECAL terms with |η| is averaged over |η| < 1.5 (factor 1.48) and 1.5 to 2.5 (2.63); towers keep one size in all
    directions; muons deposit nothing, partons 30 % of their energy in the ECAL (our choice), Σ and Ξ count as charged
    hadrons.

    **Arguments** (keywords): `particles` (default 512), `capacity` of `Detector`; `softness`, `spread` of both tower
    layers.

    **Returns** a `Detector`. **Raises** `ValueError` for an unknown option.

    >>> from jaxhep.detector import lhc_like
    >>> detector = lhc_like(particles=64)
    >>> detector.ecal.rows, detector.ecal.columns
    (574, 360)
    """
    whole, towers = _options("lhc_like", options)
    return Detector(
        TrackResponse(
            plateau=((0.95, 0.95, 0.83), (0.99, 0.99, 0.98), (0.95, 0.95, 0.85)),
            half_pt=0.27,
            eta_max=2.5,
            multiple_scattering=((0.03, 0.05, 0.15), (0.01, 0.015, 0.025), (0.01, 0.015, 0.025)),
            curvature=((1.3e-3, 1.7e-3, 3.1e-3), (1.0e-4, 1.5e-4, 3.5e-4), (1.5e-4, 2.5e-4, 5.5e-4)),
            edges=(0.5, 1.5),
        ),
        Solenoid(field=3.8, radius=1.29, half_length=3.0),
        TowerLayer(
            574,
            360,
            5.0,
            (0.163, 0.289, 2.08),
            (0.592, 1.05, 0.0),
            (0.0118, 0.021, 0.107),
            0.5,
            edges=(1.5, 2.5),
            **towers,
        ),
        TowerLayer(114, 72, 5.0, (1.5, 2.7), 0.0, (0.05, 0.13), 1.0, edges=(3.0,), **towers),
        ecal_fraction=(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.3, 0.3),
        muon_deposit=0.0,
        **{"particles": 512, **whole},
    )


__all__ = ["lep_like", "lhc_like"]
