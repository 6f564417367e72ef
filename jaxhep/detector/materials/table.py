"""The table of materials, with its source."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

SOURCE: Final = (
    "Particle Data Group, Atomic and nuclear properties of materials (pdg.lbl.gov/AtomicNuclearProperties), with the "
    "critical energy of electrons. The radiation lengths of the elements agree with Tsai's formula to 0.1 %, the "
    "Molière radii with 21.2052 MeV X0/Ec to 0.5 % (tests/detector/test_materials.py)."
)
"""Where the numbers of `MATERIALS` come from."""


@dataclasses.dataclass(frozen=True)
class Material:
    r"""What an electromagnetic shower needs to know of a material. Constants of nature: never a trainable leaf.

    **Fields**

    - `name`: as used in `material(name)`.
    - `z`, `a`: atomic number and mass number in g/mol; for a compound their means weighted by mass.
    - `density`: ρ in g/cm³.
    - `radiation_length`: X0 in g/cm².
    - `radiation_length_cm`: X0 in cm as tabulated; the code divides `radiation_length` by `density`.
    - `critical_energy`: Ec of electrons in MeV, as tabulated.
    - `moliere_radius_cm`: R_M in cm, as tabulated.
    - `source`: of the numbers.

    **Raises** `ValueError` unless all numbers are finite and positive.

    >>> from jaxhep.detector.materials import Material
    >>> snow = Material("snow", 7.217, 13.0, 0.1, 36.08, 360.8, 78.33, 97.7, "water of PDG, a tenth as dense")
    """

    name: str
    z: float
    a: float
    density: float
    radiation_length: float
    radiation_length_cm: float
    critical_energy: float
    moliere_radius_cm: float
    source: str = SOURCE

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("name", "source") and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name} of the material {self.name!r} must be a positive number, got {value!r}")

    @property
    def paper_critical_energy(self) -> float:
        r"""Ec in MeV by the formula of the shower parametrisation, \(2.66\,(X_0Z/A)^{1.1}\) with X0 in g/cm²
        (hep-ex/0001020, appendix): the one its other constants were fitted with."""
        return 2.66 * (self.radiation_length * self.z / self.a) ** 1.1


_ROWS: Final[tuple[Any, ...]] = (
    ("Pb", 82.0, 207.2, 11.35, 6.37, 0.5612, 7.43, 1.602),
    ("W", 74.0, 183.84, 19.30, 6.76, 0.3504, 7.97, 0.9327),
    ("Fe", 26.0, 55.845, 7.874, 13.84, 1.757, 21.68, 1.719),
    ("Cu", 29.0, 63.546, 8.96, 12.86, 1.436, 19.42, 1.568),
    ("Al", 13.0, 26.98, 2.699, 24.01, 8.897, 42.70, 4.419),
    ("Si", 14.0, 28.0855, 2.329, 21.82, 9.370, 40.19, 4.944),
    ("U", 92.0, 238.03, 18.95, 6.00, 0.3166, 6.65, 1.009),
    ("LAr", 18.0, 39.948, 1.396, 19.55, 14.00, 32.84, 9.043),
    ("LKr", 36.0, 83.798, 2.418, 11.37, 4.703, 17.03, 5.857),
    ("LXe", 54.0, 131.29, 2.953, 8.48, 2.872, 11.66, 5.224),
    ("PbWO4", 68.36, 170.9, 8.30, 7.39, 0.8903, 9.64, 1.959),
    ("CsI", 54.02, 130.0, 4.51, 8.39, 1.860, 11.17, 3.531),
    ("NaI", 46.56, 111.0, 3.667, 9.49, 2.588, 13.37, 4.105),
    ("BGO", 62.52, 155.4, 7.13, 7.97, 1.118, 10.53, 2.259),
    ("polystyrene", 5.613, 11.16, 1.06, 43.79, 41.31, 93.11, 9.409),
    ("PVT", 5.574, 11.07, 1.032, 43.90, 42.54, 94.11, 9.584),
)

MATERIALS: Final[Mapping[str, Material]] = MappingProxyType(
    {name: Material(name, *numbers) for name, *numbers in _ROWS}
)
"""The materials by name; read-only. Source: `SOURCE`."""


def material(name: str | Material) -> Material:
    """The material of this name; a `Material` is returned as it is.

    **Raises** `ValueError` for an unknown name, with the nearest known one.

    >>> from jaxhep.detector.materials import material
    >>> material("Pb").radiation_length
    6.37
    """
    if isinstance(name, Material):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a material is a name or a Material, not {type(name).__name__}")
    if name not in MATERIALS:
        folded = {known.casefold(): known for known in MATERIALS}
        close = difflib.get_close_matches(name.casefold(), list(folded), n=1)
        hint = f"; did you mean {folded[close[0]]!r}" if close else ""
        raise ValueError(
            f"unknown material {name!r}{hint}; known are {', '.join(MATERIALS)}; any other is a Material(...)"
        )
    return MATERIALS[name]


__all__ = ["MATERIALS", "SOURCE", "Material", "material"]
