"""The result of comparing gradients with differences of independent samples."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GradientCheck:
    r"""What `check_gradients` found; one entry a Λ (or value of another parameter) and quantity.

    **Fields** (NumPy, shape (scale, quantity) unless said otherwise)

    - `lambdas`: the Λ in GeV, or the values of `parameter`, shape (scale,); `names`: the quantities, observable means
      first, then bins.
    - `value`, `autodiff`, `difference`: expectation, its autodiff derivative ∂/∂lnΛ, and the central difference; each
      with its `_error`.
    - `bias`: O(h²) bias of the central difference as estimated from the gradients at the three scales, with its
      `_error`.
    - `chi2`, `ndf`: of all quantities of one Λ together, with their covariance, shape (scale,).
    - `notes`: sentences about what limits the check.
    """

    lambdas: np.ndarray
    names: tuple[str, ...]
    num_observables: int
    binned: str | None
    value: np.ndarray
    value_error: np.ndarray
    autodiff: np.ndarray
    autodiff_error: np.ndarray
    difference: np.ndarray
    difference_error: np.ndarray
    bias: np.ndarray
    bias_error: np.ndarray
    chi2: np.ndarray
    ndf: np.ndarray
    num_events: int
    step: float
    mode: str
    seed: int
    overflow: int
    seconds: float
    notes: tuple[str, ...] = ()
    parameter: str = "lambda_qcd"

    @property
    def symbol(self) -> str:
        """The parameter as text."""
        return "Λ" if self.parameter == "lambda_qcd" else self.parameter

    @property
    def pulls(self) -> np.ndarray:
        """(autodiff − difference)/σ; NaN where nothing was filled."""
        sigma = np.hypot(self.autodiff_error, self.difference_error)
        return np.where(sigma > 0, (self.autodiff - self.difference) / np.where(sigma > 0, sigma, 1.0), np.nan)

    @property
    def max_pull(self) -> float:
        """Largest |pull|; 0 where there is none."""
        return float(np.max(np.abs(self.pulls), where=np.isfinite(self.pulls), initial=0.0))

    @property
    def p_value(self) -> float:
        """Probability of a larger χ², all Λ together; 0 where nothing could be compared."""
        from scipy.stats import chi2

        if not self.ndf.sum():
            return 0.0

        return float(chi2.sf(float(self.chi2.sum()), int(self.ndf.sum())))

    @property
    def passed(self) -> bool:
        """No |pull| above 5 and p ≥ 1e-4."""
        return self.max_pull <= 5 and self.p_value >= 1e-4

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        pulls = self.pulls
        scales = []
        for i, scale in enumerate(self.lambdas):
            rows = {
                name: {
                    "value": float(self.value[i, k]),
                    "value_error": float(self.value_error[i, k]),
                    "autodiff": float(self.autodiff[i, k]),
                    "autodiff_error": float(self.autodiff_error[i, k]),
                    "difference": float(self.difference[i, k]),
                    "difference_error": float(self.difference_error[i, k]),
                    "difference_bias": float(self.bias[i, k]),
                    "difference_bias_error": float(self.bias_error[i, k]),
                    "pull": None if np.isnan(pulls[i, k]) else float(pulls[i, k]),
                }
                for k, name in enumerate(self.names)
            }
            scales.append(
                {
                    self.parameter: float(scale),
                    "chi2": float(self.chi2[i]),
                    "ndf": int(self.ndf[i]),
                    "quantities": rows,
                }
            )
        return {
            "passed": self.passed,
            "parameter": self.parameter,
            "max_pull": self.max_pull,
            "chi2": float(self.chi2.sum()),
            "ndf": int(self.ndf.sum()),
            "p_value": self.p_value,
            "num_events": self.num_events,
            "step": self.step,
            "mode": self.mode,
            "seed": self.seed,
            "binned": self.binned,
            "overflow": self.overflow,
            "wall_seconds": self.seconds,
            "notes": list(self.notes),
            "scales": scales,
        }

    def table(self, bins: bool = False) -> str:
        """Plain text: the observables, and with `bins` each bin, else their worst pull."""
        unit = {"lambda_qcd": "Λ [GeV]", "scale_factor": "f"}.get(self.parameter, self.parameter)
        head = f"{unit:>8}  {'quantity':<22} {'autodiff':>24} {'central difference':>24} {'pull':>6}"
        lines, pulls = [head], self.pulls
        for i, scale in enumerate(self.lambdas):
            for k, name in enumerate(self.names):
                if k >= self.num_observables and not bins:
                    continue
                both = [
                    f"{v[i, k]:.5g} ± {e[i, k]:.2g}"
                    for v, e in ((self.autodiff, self.autodiff_error), (self.difference, self.difference_error))
                ]
                lines.append(f"{scale:>8.4g}  {name:<22} {both[0]:>24} {both[1]:>24} {pulls[i, k]:>6.2f}")
            part = pulls[i, self.num_observables :]
            if self.binned and not bins and np.any(np.isfinite(part)):
                worst = f"largest |pull| of {int(np.isfinite(part).sum())} bins"
                lines.append(f"{scale:>8.4g}  {self.binned + ' bins':<22} {worst:>49} {np.nanmax(np.abs(part)):>6.2f}")
        return "\n".join(lines)

    def verdict(self) -> str:
        """The result in one sentence."""
        word = "agree" if self.passed else "DISAGREE"
        return (
            f"gradients {word}: χ²/n = {self.chi2.sum():.1f}/{int(self.ndf.sum())}, p = {self.p_value:.2g}, "
            f"largest |pull| {self.max_pull:.2f} of {int(np.isfinite(self.pulls).sum())}"
        )

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.verdict()}"

    def _repr_html_(self) -> str:
        return f"<pre>{self!r}</pre>"


__all__ = ["GradientCheck"]
