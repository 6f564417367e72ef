"""The three terms of a calorimeter's resolution from a measured curve."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

TERMS = ("stochastic", "noise", "constant")
_UNITS = ("√GeV", "GeV", "")


@dataclass(frozen=True, eq=False)
class ResolutionFit:
    r"""\(\sigma/E=a/\sqrt E\oplus b/E\oplus c\).

    Arguments:
        values: a in √GeV, b in GeV, c, all ≥ 0.
        covariance: of (a, b, c); zero rows for a term that was left out, NaN for one at zero.
        chi2, ndf: goodness of fit.
        at_zero: names of the terms that the fit puts at 0: their `upper_limits` are 95 %, their errors mean nothing.
        upper_limits: 95 % upper limit of each term.
    """

    values: Float[np.ndarray, "3"]
    covariance: Float[np.ndarray, "3 3"]
    chi2: float
    ndf: int
    at_zero: tuple[str, ...]
    upper_limits: Float[np.ndarray, "3"]

    @property
    def errors(self) -> Float[np.ndarray, "3"]:
        """Standard errors of a, b, c; NaN for a term at zero."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diag(self.covariance))

    def __call__(self, energy: Any) -> np.ndarray:
        """σ/E at energies in GeV."""
        e = np.asarray(energy, np.float64)
        a, b, c = self.values
        return np.sqrt(a**2 / e + b**2 / e**2 + c**2)

    def __repr__(self) -> str:
        parts = []
        for name, value, error, limit, unit in zip(
            TERMS, self.values, self.errors, self.upper_limits, _UNITS, strict=True
        ):
            known = f"< {limit:.3g} (95 %)" if name in self.at_zero else f"= {value:.4g} ± {error:.2g}"
            parts.append(f"{name} {known} {unit}".rstrip())
        return f"{', '.join(parts)}; χ²/ndf = {self.chi2:.1f}/{self.ndf}"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        named = {}
        for name, value, error, limit in zip(TERMS, self.values, self.errors, self.upper_limits, strict=True):
            named[name] = {
                "value": float(value),
                "error": float(error) if np.isfinite(error) else None,
                "upper_limit_95": float(limit) if np.isfinite(limit) else None,
            }
        return {"terms": named, "chi2": self.chi2, "ndf": self.ndf, "at_zero": list(self.at_zero)}


def fit_resolution(energies: Any, resolution: Any, errors: Any, *, terms: tuple[str, ...] = TERMS) -> ResolutionFit:
    r"""Least squares of \(\sigma^2/E^2=a^2/E+b^2/E^2+c^2\), linear in the squares, which are kept ≥ 0.

    A square that comes out negative is set to zero and the rest fitted again (all subsets are tried: the best with
    squares ≥ 0 is the constrained minimum). Errors are propagated from the squares, \(\sigma_a=\sigma_{a^2}/2a\).

    Arguments:
        energies: E > 0 in GeV, shape (point,).
        resolution: σ/E > 0, shape (point,).
        errors: of σ/E, > 0.
        terms: which to fit; the others are 0.

    Returns:
        `ResolutionFit`.

    Raises:
        ValueError: fewer points than terms, numbers out of range, unknown terms.

    >>> e = np.array([1.0, 4.0, 16.0, 64.0])
    >>> fit = fit_resolution(e, np.sqrt(0.1**2 / e + 0.01**2), np.full(4, 1e-3))
    >>> [round(float(x), 4) for x in fit.values]
    [0.1, 0.0, 0.01]
    """
    from itertools import combinations

    e, s, d = (np.asarray(x, np.float64) for x in (energies, resolution, errors))
    unknown = [name for name in terms if name not in TERMS]
    if unknown or not terms:
        raise ValueError(f"terms must be taken from {', '.join(TERMS)}, got {terms!r}")
    if e.ndim != 1 or s.shape != e.shape or d.shape != e.shape:
        raise ValueError(f"energies, resolution and errors must be of one shape, got {e.shape}, {s.shape}, {d.shape}")
    if e.size < len(terms):
        raise ValueError(f"{len(terms)} terms need at least as many points, got {e.size}; leave some out with `terms`")
    if not all(np.all(np.isfinite(x)) and np.all(x > 0) for x in (e, s, d)):
        raise ValueError("energies, resolution and errors must be finite and above zero (drop empty bins)")
    columns = np.stack([1 / e, 1 / e**2, np.ones_like(e)], axis=1)
    chosen = [TERMS.index(name) for name in TERMS if name in terms]
    sigma = 2 * s * d
    best: tuple[float, tuple[int, ...], np.ndarray] | None = None
    for size in range(len(chosen), 0, -1):
        for subset in combinations(chosen, size):
            a = columns[:, subset] / sigma[:, None]
            squares = np.linalg.lstsq(a, s**2 / sigma, rcond=None)[0]
            if np.all(squares >= 0):
                chi2 = float(np.sum((a @ squares - s**2 / sigma) ** 2))
                if best is None or chi2 < best[0] - 1e-12:
                    best = (chi2, subset, squares)
    assert best is not None  # one column alone is positive, and so is its coefficient
    chi2, subset, squares = best
    full = np.zeros(3)
    full[list(subset)] = squares
    a = columns[:, chosen] / sigma[:, None]
    scale = np.linalg.norm(a, axis=0)
    # Limits from the covariance of all fitted squares, bound or not.
    wide = np.zeros(3)
    wide[chosen] = np.sqrt(np.diag(np.linalg.pinv((a / scale).T @ (a / scale)))) / scale
    limits = np.where(np.isin(np.arange(3), chosen), np.sqrt(full + 1.645 * wide), 0.0)
    values = np.sqrt(full)
    at_zero = tuple(TERMS[i] for i in chosen if full[i] <= 1e-6 * wide[i])
    covariance = np.zeros((3, 3))
    inside = [i for i in subset if TERMS[i] not in at_zero]
    part = columns[:, inside] / sigma[:, None]
    norm = np.linalg.norm(part, axis=0)
    of_squares = np.linalg.pinv((part / norm).T @ (part / norm)) / np.outer(norm, norm)
    covariance[np.ix_(inside, inside)] = of_squares / (4 * np.outer(values[inside], values[inside]))
    for name in at_zero:
        covariance[TERMS.index(name), :] = covariance[:, TERMS.index(name)] = np.nan
    return ResolutionFit(values, covariance, chi2, e.size - len(chosen), at_zero, limits)


__all__ = ["TERMS", "ResolutionFit", "fit_resolution"]
