"""Units and physical constants, each with its source and year.

Energies, momenta and masses are in GeV, angles in radians, cross sections in pb; c = ħ = 1. The constants are plain
Python floats (exact in float64, and taking the dtype of the arrays they meet): hand them to a module as arrays where
they are
parameters.

>>> Z_MASS / GeV
91.1876
"""

from typing import Final

GeV: Final = 1.0
"""The unit of energy."""
MeV: Final = 1e-3
"""10⁻³ GeV."""
TeV: Final = 1e3
"""10³ GeV."""

Z_MASS: Final = 91.1876
"""Mass of the Z, GeV: ± 0.0021 (LEP electroweak working group 2006, hep-ex/0509008; PDG 2022)."""
Z_WIDTH: Final = 2.4952
"""Width of the Z, GeV: ± 0.0023 (hep-ex/0509008; PDG 2022)."""
SIN2_THETA_W_EFFECTIVE: Final = 0.23153
"""Effective leptonic sin²θ: ± 0.00016 (LEP and SLD combined, hep-ex/0509008)."""
ALPHA_EM_Z: Final = 1 / 127.951
"""Electromagnetic coupling at m_Z in the MS-bar scheme: 1/α = 127.951 ± 0.009 (PDG 2022)."""
FERMI_CONSTANT: Final = 1.1663787e-5
"""G_F, GeV⁻²: ± 0.0000006e-5 (MuLan 2013; PDG 2022)."""
ALPHA_S_Z: Final = 0.1180
"""World average of α_s(m_Z), MS-bar, five flavours: ± 0.0009 (PDG 2023)."""

HBAR_C_SQUARED: Final = 3.893793721e8
"""(ħc)², GeV² pb: a cross section in GeV⁻² times this is in pb (0.3893793721 GeV² mb, exact in the SI; PDG 2022)."""

C_F: Final = 4 / 3
"""Colour factor of a quark, (N² − 1)/2N at N = 3."""
C_A: Final = 3.0
"""Colour factor of a gluon, N."""
T_R: Final = 0.5
"""Normalisation of the generators."""
