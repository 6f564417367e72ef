"""The first branching of the dipole shower by quadrature, coded here once more from the formulas."""

import itertools
import math

import numpy as np

C_F = 4 / 3


def two_loop(alpha_s, mu2, mass_z=91.1876, charm=1.27, bottom=4.75):
    """α_s(μ²) of arXiv:1411.4085 and arXiv:2403.08692, for an array of μ²."""

    def run(a, log_ratio, flavours):
        b0 = (33 - 2 * flavours) / (12 * math.pi)
        b1 = (153 - 19 * flavours) / (24 * math.pi**2)
        w = 1 + b0 * a * log_ratio
        return a / w * (1 - b1 / b0 * a * np.log(w) / w)

    at_bottom = run(alpha_s, 2 * math.log(bottom / mass_z), 5)
    at_charm = run(at_bottom, 2 * math.log(charm / bottom), 4)
    x = np.log(mu2)
    high, middle, low = (
        run(a, np.maximum(x - 2 * math.log(m), floor), n)
        for a, m, n, floor in (
            (alpha_s, mass_z, 5, 2 * math.log(bottom / mass_z)),
            (at_bottom, bottom, 4, 2 * math.log(charm / bottom)),
            (at_charm, charm, 3, -5.0),
        )
    )
    return np.where(mu2 >= bottom**2, high, np.where(mu2 >= charm**2, middle, low))


def kernel(t, z, s, matrix_element=False):
    """(1 − y) P_qq(z, y) for one end of the q q̄ dipole, 0 outside the phase space, and y."""
    y = t / (s * z * (1 - z))
    inside = y < 1
    y = np.where(inside, y, 0)
    hard = 1 + z + (y * (1 - z) if matrix_element else 0)
    return np.where(inside, (1 - y) * C_F * (2 / (1 - z * (1 - y)) - hard), 0), y


def z_grid(t, s, points):
    """Gauss–Legendre nodes and weights in ln(z/(1−z)) over the phase space at t; shape (t, point)."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    edge = 2 * np.arctanh(np.sqrt(np.maximum(1 - 4 * t / s, 0)))
    w = edge[:, None] * nodes
    z = 1 / (1 + np.exp(-w))
    return z, weights * edge[:, None] * z * (1 - z)


def first_branching(alpha_s, energy, cutoff, log_edges, z_edges, points=40):
    """Probabilities of the first branching in cells of (ln t, z), shape (t bin, z bin), and of none; both ends
    added."""
    s = energy**2
    nodes, weights = np.polynomial.legendre.leggauss(points)
    fine = np.linspace(2 * math.log(cutoff), math.log(s / 4), 4001)
    t = np.exp((fine[1:] + fine[:-1]) / 2)
    z, dz = z_grid(t, s, 60)
    rate = two_loop(alpha_s, t) / math.pi * np.sum(kernel(t[:, None], z, s)[0] * dz, axis=1)
    below = np.concatenate([np.cumsum((rate * np.diff(fine))[::-1])[::-1], [0]])
    cells = np.zeros((len(log_edges) - 1, len(z_edges) - 1))
    for i, (low, high) in enumerate(itertools.pairwise(log_edges)):
        x = (low + high) / 2 + (high - low) / 2 * nodes
        scale = np.exp(x)
        survive = np.exp(-np.interp(x, fine, below)) * two_loop(alpha_s, scale) / math.pi * weights * (high - low) / 2
        for j, (a, b) in enumerate(itertools.pairwise(z_edges)):
            # The integrand ends at the phase space limit with slope: many nodes inside the part that is open.
            root = np.sqrt(np.maximum(1 - 4 * scale / s, 0))
            start, end = np.clip(a, (1 - root) / 2, (1 + root) / 2), np.clip(b, (1 - root) / 2, (1 + root) / 2)
            u = (start + end)[:, None] / 2 + (end - start)[:, None] / 2 * nodes
            inner = np.sum(kernel(scale[:, None], u, s)[0] * weights, axis=1) * (end - start) / 2
            cells[i, j] = np.sum(survive * inner)
    return cells, math.exp(-below[0])


def fixed_order(energy, cutoff, observable, points=400):
    """∫ observable × matrix element per α_s/2π, over k_T above the cut-off at each end; observable(x1, x2)."""
    s = energy**2
    edges = np.linspace(2 * math.log(cutoff), math.log(s / 4), points + 1)
    t = np.exp((edges[1:] + edges[:-1]) / 2)
    z, dz = z_grid(t, s, 200)
    density, y = kernel(t[:, None], z, s, matrix_element=True)
    spectator, emitter = 1 - y, 1 - (1 - z) * (1 - y)
    return 2 * float(np.sum(density * observable(emitter, spectator) * dz * np.diff(edges)[:, None]))
