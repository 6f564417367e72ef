"""Materials: the table against Tsai's formula, mixtures and stacks against their rules in plain numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.detector.materials import MATERIALS, Material, Mixture, effective, material, mixture, sampling_fractions
from tests.detector import gflash

ELEMENTS = ("Pb", "W", "Fe", "Cu", "Al", "Si", "U", "LAr", "LKr", "LXe")


def tsai(z, a):
    """X0 in g/cm²: Y.-S. Tsai, Rev. Mod. Phys. 46 (1974) 815, eq. (3.66), with the Coulomb correction."""
    square = (z / 137.036) ** 2
    coulomb = square * (1 / (1 + square) + 0.20206 - 0.0369 * square + 0.0083 * square**2 - 0.002 * square**3)
    return 716.408 * a / (z**2 * (np.log(184.15 * z ** (-1 / 3)) - coulomb) + z * np.log(1194 * z ** (-2 / 3)))


@pytest.mark.parametrize("name", ELEMENTS)
def test_radiation_lengths_of_elements(name):
    one = MATERIALS[name]
    assert one.radiation_length == pytest.approx(tsai(one.z, one.a), rel=1.5e-3)


@pytest.mark.parametrize("name", MATERIALS)
def test_columns_of_the_table_agree(name):
    one = MATERIALS[name]
    assert one.radiation_length / one.density == pytest.approx(one.radiation_length_cm, rel=2e-3)
    assert 21.2052 * one.radiation_length_cm / one.critical_energy == pytest.approx(one.moliere_radius_cm, rel=5e-3)
    # The paper's formula describes solids and heavy elements to some per cent.
    assert one.paper_critical_energy == pytest.approx(one.critical_energy, rel=0.2)


def test_unknown_and_wrong_materials():
    with pytest.raises(ValueError, match=r"unknown material 'pb'; did you mean 'Pb'\?"):
        material("pb")
    with pytest.raises(ValueError, match=r"did you mean 'polystyrene'"):
        material("polystyren")
    with pytest.raises(ValueError, match="known are Pb, W"):
        mixture("unobtainium")
    with pytest.raises(TypeError):
        material(82)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="density of the material 'x' must be a positive number, got -1"):
        Material("x", 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0)
    for bad in ([-0.1, 1.1], [0.0, 0.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="not negative, and not all zero"):
            Mixture(["Pb", "W"], bad)
    with pytest.raises(ValueError, match=r"must have shape \(2,\)"):
        Mixture(["Pb", "W"], [1.0])
    with pytest.raises(ValueError, match="at least one material"):
        mixture({})
    with pytest.raises((TypeError, ValueError)):
        mixture("Pb").medium("mine")  # type: ignore[arg-type]


def test_mixture_rules():
    with jax.enable_x64(True):
        got = mixture({"Cu": 3.0, "Fe": 1.0}).medium("pdg")
        numbers = (got.z, got.density, got.radiation_length, got.critical_energy, got.moliere_radius)
        values = [float(v) for v in numbers]
    cu, fe = MATERIALS["Cu"], MATERIALS["Fe"]
    x0 = 1 / (0.75 / cu.radiation_length + 0.25 / fe.radiation_length)
    loss = 0.75 * cu.critical_energy / cu.radiation_length + 0.25 * fe.critical_energy / fe.radiation_length
    density = 1 / (0.75 / cu.density + 0.25 / fe.density)
    expected = (0.75 * 29 + 0.25 * 26, density, x0, x0 * loss, 21.2 / loss / density)
    np.testing.assert_allclose(values, expected, rtol=1e-13)


STACKS = [
    ("W", "Si", 45, 0.14, 0.03),
    ("PbWO4", "LAr", 50, 0.23, 0.57),
    ("Pb", "LAr", 7, 0.2, 0.4),
    ("Fe", "PVT", 1, 2, 1),
]


@pytest.mark.parametrize("choice", ["paper", "pdg"])
@pytest.mark.parametrize(("passive", "active", "count", "d_p", "d_a"), STACKS)
def test_stacks_of_equal_layers(passive, active, count, d_p, d_a, choice):
    parts = (MATERIALS[passive], MATERIALS[active])
    ec = [m.critical_energy if choice == "pdg" else gflash.paper_ec(m.z, m.a, m.radiation_length) for m in parts]
    want = gflash.stack(parts, (d_p, d_a), ec)
    with jax.enable_x64(True):
        thick = jnp.full(count, d_p, float), jnp.full(count, d_a, float)
        got = effective(passive, active, *thick, critical_energy=choice)
        share = sampling_fractions(passive, active, *thick, critical_energy=choice)
        found = {
            "z": got.z, "a": got.a, "rho": got.density, "x0": got.radiation_length, "x0_cm": got.radiation_length_cm,
            "rm_cm": got.moliere_radius, "ec": got.critical_energy, "fs": got.sampling_frequency, "e": got.e_over_mip,
        }  # fmt: skip
        values = {name: float(value) for name, value in found.items()}
    for name, value in values.items():
        assert value == pytest.approx(want[name], rel=1e-9), name
    loss = [e / m.radiation_length * m.density * d for e, m, d in zip(ec, parts, (d_p, d_a), strict=True)]
    np.testing.assert_allclose(share, loss[1] / sum(loss), rtol=1e-12)


def test_values_of_the_note():
    """Our notes' numbers for W/Si and PbWO4/LAr, with the PDG critical energies."""
    rows = {
        ("W", "Si", 45, 0.14, 0.03): (72.48759, 0.4219344, 1.0873977, 8.226069, 2.481967, 0.7042254),
        ("PbWO4", "LAr", 50, 0.23, 0.57): (53.54425, 2.6753719, 4.4318186, 12.797880, 3.344215, 0.7393606),
    }
    with jax.enable_x64(True):
        for (passive, active, n, d_p, d_a), want in rows.items():
            m = effective(passive, active, jnp.full(n, d_p), jnp.full(n, d_a), critical_energy="pdg")
            got = (m.z, m.radiation_length_cm, m.moliere_radius, m.critical_energy, m.sampling_frequency, m.e_over_mip)
            np.testing.assert_allclose([float(v) for v in got], want, rtol=1.2e-7)


def test_a_layer_that_vanishes_is_as_good_as_not_there():
    with jax.enable_x64(True):
        thick = jnp.array([0.2, 0.0, 0.3]), jnp.array([0.4, 0.0, 0.1])
        there = jnp.array([0, 2])
        with_it = effective("Pb", "LAr", *thick)
        without = effective("Pb", "LAr", thick[0][there], thick[1][there])
        for a, b in zip(jax.tree.leaves(with_it), jax.tree.leaves(without), strict=True):
            assert float(a) == pytest.approx(float(b), rel=1e-10)

        def number(p, a):
            medium = effective("Pb", "LAr", p, a)
            return medium.period + medium.critical_energy

        slopes = jax.jit(jax.grad(number, (0, 1)))
        for passive in (thick[0], jnp.zeros(3)):
            assert all(np.all(np.isfinite(s)) for s in slopes(passive, thick[1]))


def test_gradients_in_thickness_and_fraction():
    """Forward derivative against central differences in float64; a common factor of the fractions changes nothing."""

    def numbers(x):
        passive = Mixture(("Pb", "Cu"), x[:2])
        m = effective(passive, "LAr", x[2] * jnp.array([1.0, 2.0]), jnp.array([0.3, 0.4]))
        return jnp.stack([m.z, m.radiation_length, m.critical_energy, m.period, m.e_over_mip, m.moliere_radius])

    with jax.enable_x64(True):
        x = jnp.array([0.7, 0.3, 0.2])
        jacobian = jax.jit(jax.jacfwd(numbers))(x)
        f = jax.jit(numbers)
        for i in range(3):
            h = 1e-5
            difference = (f(x.at[i].add(h)) - f(x.at[i].add(-h))) / (2 * h)
            np.testing.assert_allclose(jacobian[:, i], difference, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(jacobian[:, :2] @ x[:2], 0, atol=1e-12)
