"""Events for the tests of the observables: numpy, float64, (particle, 4) with a mask."""

import itertools
from collections.abc import Sequence

import numpy as np

CAPACITIES = (7, 12, 30)  # one for each thrust search: all subsets, loop over pairs, planes as matrix products


def balanced(rng: np.random.Generator, num: int, energy: float = 91.2) -> np.ndarray:
    """num massless momenta that add up to (energy, 0, 0, 0)."""
    p = rng.normal(size=(num, 3)) * rng.exponential(size=(num, 1))
    p -= p.mean(axis=0)
    momenta = np.concatenate([np.linalg.norm(p, axis=1, keepdims=True), p], axis=1)
    return momenta * (energy / momenta[:, 0].sum())


def padded(momenta: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Fill up with masked zeros."""
    momenta = np.asarray(momenta, float).reshape(-1, 4)
    out = np.zeros((capacity, 4))
    out[: len(momenta)] = momenta
    return out, np.arange(capacity) < len(momenta)


def massless(*directions: Sequence[float] | np.ndarray) -> np.ndarray:
    """Massless momenta from three-vectors."""
    p = np.array(directions, float).reshape(-1, 3)
    return np.concatenate([np.linalg.norm(p, axis=1, keepdims=True), p], axis=1)


def three_partons(x1: float, x2: float, energy: float = 91.2) -> np.ndarray:
    """Three massless partons with energy fractions x1, x2, 2 − x1 − x2 in a general plane."""
    x3 = 2 - x1 - x2
    cos = 1 - 2 * (x1 + x2 - 1) / (x1 * x2)
    sin = np.sqrt(max(0.0, 1 - cos**2))
    flat = np.array([[0, 0, x1], [0, x2 * sin, x2 * cos], [0, -x2 * sin, -x1 - x2 * cos]]) * energy / 2
    turned = flat @ rotation(np.random.default_rng(5)).T
    return np.concatenate([np.array([[x1], [x2], [x3]]) * energy / 2, turned], axis=1)


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A random proper rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


STAR = massless((0, 0, 1), (0, np.sqrt(0.75), -0.5), (0, -np.sqrt(0.75), -0.5))

EDGES: dict[str, np.ndarray] = {
    "empty": np.zeros((0, 4)),
    "one particle": massless((0, 0, 3)),
    "back to back": massless((0, 0, 3), (0, 0, -3)),
    "back to back, not on an axis": massless((1, 2, 3), (-1, -2, -3)),
    "two parallel": massless((1, 2, 3), (1, 2, 3)),
    "identical": massless(*[(1, 2, 3)] * 5),
    "collinear pencil": massless((1, 2, 2), (2, 4, 4), (-0.5, -1, -1), (-2.5, -5, -5)),
    "zero momenta": np.concatenate([massless((0, 0, 3), (0, 0, -3)), np.zeros((2, 4))]),
    "all zero": np.zeros((4, 4)),
    "at rest": np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 0], [2.0, 0, 0, 0]]),
    "tiny": massless((1e-25, 0, 0), (0, 0, 3), (0, 0, -3), (0, 1e-15, 0)),
    "star": STAR,
    "cross": massless((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)),
    "octahedron": massless(*[s * row for s in (1.0, -1.0) for row in np.eye(3)]),
    "tetrahedron": massless((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)),
    "planar six": massless(*[(np.cos(a), np.sin(a), 0) for a in np.arange(6) * np.pi / 3]),
}


def brute_force_thrust(momenta: np.ndarray) -> float:
    """The largest |Σ s p|/Σ|p| over all signs."""
    p = momenta[:, 1:]
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(p))))
    return float(np.linalg.norm(signs @ p, axis=1).max() / np.linalg.norm(p, axis=1).sum())
