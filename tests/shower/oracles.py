"""Independent calculations that the shower is held against, and two statistical verdicts."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.stats

ENERGY = 91.1876
DELTA = 11 / 6
FALSE_ALARM = 2e-7
"""Probability that a correct program fails one of the statistical tests."""
PULL = float(scipy.stats.norm.isf(FALSE_ALARM / 2))
"""Largest allowed pull of a Gaussian estimate, 5.2, for that probability (two-sided)."""


def check_frequencies(counts, probabilities):
    """χ² of multinomial counts, cells with an expectation below 25 put together; false alarm rate FALSE_ALARM."""
    counts, probabilities = np.asarray(counts, float), np.asarray(probabilities, float)
    total = counts.sum()
    assert np.all(counts[probabilities == 0] == 0)
    expected = total * probabilities
    rare = expected < 25
    cells = [(c, e) for c, e in zip(counts[~rare], expected[~rare], strict=True)]
    if expected[rare].sum() >= 25:
        cells.append((counts[rare].sum(), expected[rare].sum()))
    observed, wanted = np.array(cells).T
    assert abs(wanted.sum() / total - 1) < 1e-3
    chi2 = np.sum((observed - wanted) ** 2 / wanted)
    assert len(cells) > 1
    assert chi2 < scipy.stats.chi2.isf(FALSE_ALARM, len(cells) - 1), (chi2, len(cells) - 1)


def check_pull(value, error, expected, expected_error=0.0):
    """|value − expected| within PULL standard errors."""
    pull = (float(value) - float(expected)) / math.hypot(float(error), float(expected_error))
    assert abs(pull) < PULL, (float(value), float(expected), pull)


def lattice_scale(levels, delta=DELTA):
    """A Λ in the middle of the range in which the lattice has N = levels."""
    return ENERGY * math.exp(-(levels + 0.5) * delta)


# The lattice: by enumeration, and by the recursion of the generating function.


def column_groves(height):
    """All contents of a column as nested tuples (level, side, side) with their probabilities."""
    result: list[Any] = [((), Fraction(1, height))]
    for level in range(1, height):
        side: list[Any] = [((), Fraction(1))]
        for column in range(1, level + 1):
            side = [((*a, b), p * q) for a, p in side for b, q in column_groves(column)]
        result += [((level, a, b), p * q / height) for a, p in side for b, q in side]
    return result


def groves(levels):
    """All groves of the lattice with N levels, primary columns −(N−1)…N−1, with their probabilities."""
    result: list[Any] = [((), Fraction(1))]
    for column in range(1 - levels, levels):
        result = [((*a, b), p * q) for a, p in result for b, q in column_groves(levels - abs(column))]
    return result


def _times(a, b):
    result = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] += x * y
    return result


def _plus(a, b):
    size = max(len(a), len(b))
    return [x + y for x, y in zip(a + [0] * (size - len(a)), b + [0] * (size - len(b)), strict=True)]


def gluon_probabilities(levels):
    """P(n) from C_h(z) = (1/h)[1 + z Σ_{m<h} S_m(z)²], S_m = Π C_i, Q_N = C_N S_{N−1}², in exact fractions."""
    side = [[Fraction(1)]]
    column = {}
    for height in range(1, levels + 1):
        total = [Fraction(1)]
        for m in range(1, height):
            total = _plus(total, [Fraction(0), *_times(side[m], side[m])])
        column[height] = [x / height for x in total]
        side.append(_times(side[-1], column[height]))
    return _times(column[levels], _times(side[levels - 1], side[levels - 1]))


# The smooth mode: quadrature.

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def _integral(function, points):
    """Gauss–Legendre over each piece between the points."""
    points = np.asarray(points, float)
    half, middle = np.diff(points) / 2, (points[1:] + points[:-1]) / 2
    return float(np.sum(half[:, None] * _WEIGHTS * function(middle[:, None] + half[:, None] * _NODES)))


def _smooth_step(t):
    t = np.clip(t, 0, 1)
    return 3 * t**2 - 2 * t**3


def smooth_means(lambda_qcd, n_f=0, thinning=1.0, opening=0.5):
    """Mean multiplicity and P(0) of the smooth mode, from the model's definition."""
    delta = 11 / 6 - n_f / 9
    log_scale = 2 * math.log(ENERGY / lambda_qcd)
    subtree: dict[int, float] = {}

    def fold(x):
        """Gluons on one side of a fold of height x, on average."""
        result = np.zeros_like(x)
        for k, mean in subtree.items():
            result = result + _smooth_step((x - k) / opening) * (k - 1) / k * mean
        return result

    def gluon_integral(height):
        """∫_1^h dX (1 + 2 F(X))."""
        inner = np.arange(1, height, 0.5)
        return _integral(lambda x: 1 + 2 * fold(x), [*inner, height])

    def height(y):
        return (log_scale - 2 * np.log(2 * np.cosh(y))) / (2 * delta)

    for k in range(2, math.ceil(height(0.0)) + 1):
        subtree[k] = gluon_integral(k) / (k - 1)
    edge = math.acosh(math.exp(log_scale / 2 - delta) / 2)
    per_rapidity = np.vectorize(lambda y: gluon_integral(height(y)) / height(y))
    mean = 2 * thinning * _integral(per_rapidity, np.linspace(0, edge, 101)) / delta
    empty, column = 1.0, 0
    while (column - 0.5) * delta < edge:
        low, high = max((column - 0.5) * delta, -edge), min((column + 0.5) * delta, edge)
        full = thinning * _integral(lambda y: 1 - 1 / height(y), np.linspace(low, high, 21)) / delta
        empty *= (1 - full) ** (1 if column == 0 else 2)
        column += 1
    return mean, empty
