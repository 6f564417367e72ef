"""The formulas of the shower parametrisation in plain NumPy, written from the note (no bounds): the tests' oracle."""

import numpy as np
from scipy import special

E_S = 21.2


def paper_ec(z, a, x0):
    return 2.66 * (x0 * z / a) ** 1.1


def stack(parts, thickness, ec):
    """Effective numbers of equal layers; parts = (passive, active) materials, thickness in cm, ec in MeV."""
    rho = np.array([m.density for m in parts])
    mass = rho * np.array(thickness)
    w = mass / mass.sum()
    z = np.array([m.z for m in parts])
    x0 = np.array([m.radiation_length for m in parts])
    loss = np.sum(w * np.array(ec) / x0)
    x0_eff = 1 / np.sum(w / x0)
    density = mass.sum() / sum(thickness)
    return {
        "z": np.sum(w * z),
        "a": np.sum(w * np.array([m.a for m in parts])),
        "rho": density,
        "x0": x0_eff,
        "x0_cm": x0_eff / density,
        "rm_cm": E_S / loss / density,
        "ec": x0_eff * loss,
        "fs": x0_eff / density / sum(thickness),
        "e": 1 / (1 + 0.007 * (z[0] - z[1])),
    }


def longitudinal(energy, ec, z, fs=None, e=1.0):
    """T, α of the mean profile; ⟨ln T⟩, σ, ⟨ln α⟩, σ, ρ of single showers."""
    ly = np.log(1000 * energy / ec)
    t, a = ly - 0.858, 0.21 + (0.492 + 2.38 / z) * ly
    lt, la = ly - 0.812, 0.81 + (0.458 + 2.26 / z) * ly
    if fs is None:
        return t, a, np.log(lt), 1 / (-1.4 + 1.26 * ly), np.log(la), 1 / (-0.58 + 0.86 * ly), 0.705 - 0.023 * ly
    return (
        t - 0.59 / fs - 0.53 * (1 - e),
        a - 0.444 / fs,
        np.log(lt - 0.55 / fs - 0.69 * (1 - e)),
        1 / (-2.5 + 1.25 * ly),
        np.log(la - 0.476 / fs),
        1 / (-0.82 + 0.79 * ly),
        0.784 - 0.023 * ly,
    )


def radial(energy, z, tau, fs=None, e=1.0):
    """R_C, R_T, p."""
    le = np.log(energy)
    rc = 0.0251 + 0.00319 * le + (0.1162 - 0.000381 * z) * tau
    k1, k2, k3, k4 = 0.659 - 0.00309 * z, 0.645, -2.59, 0.3585 + 0.0421 * le
    rt = k1 * (np.exp(k3 * (tau - k2)) + np.exp(k4 * (tau - k2)))
    p1, p2, p3 = 2.632 - 0.00094 * z, 0.401 + 0.00187 * z, 1.313 - 0.0686 * le
    p = p1 * np.exp((p2 - tau) / p3 - np.exp((p2 - tau) / p3))
    if fs is None:
        return rc, rt, p
    return (
        rc - 0.0203 * (1 - e) + 0.0397 / fs * np.exp(-tau),
        rt - 0.14 * (1 - e) - 0.495 / fs * np.exp(-tau),
        p + (1 - e) * (0.348 - 0.642 / fs * np.exp(-((tau - 1) ** 2))),
    )


def layer_parts(t, a, edges):
    """Parts of the energy between depths in X0."""
    return np.diff(special.gammainc(a, (a - 1) / t * edges))
