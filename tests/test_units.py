"""Constants against relations between them."""

import math

import pytest

from jaxhep import units


def test_colour_factors_follow_from_three_colours() -> None:
    assert pytest.approx((3**2 - 1) / (2 * 3)) == units.C_F
    assert (units.C_A, units.T_R) == (3, 0.5)


def test_conversion_constant_from_the_exact_si_values() -> None:
    hbar_c = 6.62607015e-34 / (2 * math.pi) * 299792458 / 1.602176634e-10  # GeV m
    assert pytest.approx(hbar_c**2 * 1e40, rel=1e-9) == units.HBAR_C_SQUARED  # 1 m² = 1e40 pb


def test_the_z_partial_width_to_leptons_from_the_constants() -> None:
    vector = 1 - 4 * units.SIN2_THETA_W_EFFECTIVE
    width = units.FERMI_CONSTANT * units.Z_MASS**3 / (24 * math.sqrt(2) * math.pi) * (1 + vector**2)
    assert width == pytest.approx(0.083984, rel=0.01)  # LEP measured 83.984 MeV; 1% for radiative corrections


def test_units_are_in_gev() -> None:
    assert (units.GeV, units.MeV, units.TeV) == (1, 1e-3, 1e3)
