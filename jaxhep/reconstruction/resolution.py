"""Bias and resolution of an estimate against the truth, in bins, with errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class ResolutionCurve:
    r"""Bias and width of \(\rho=\hat E/E-1\) in bins of the true E.

    Arguments:
        edges: of the bins in E, shape (bin + 1,).
        truth: mean true E in each bin.
        count: events in each bin; a bin with fewer than 10 has NaN numbers.
        bias, bias_error: mean of ρ.
        rms, rms_error: standard deviation of ρ; error \(\sqrt{(\kappa-1)/4n}\,\)rms with the sample's kurtosis κ.
        width68, width68_error: half the width of the central 68.27 % of ρ; the error from the density at its ends.
        core, core_error: width of a Gaussian fitted within two widths of the peak.
        core_bias: mean of that Gaussian.
    """

    edges: Float[np.ndarray, " edge"]
    truth: Float[np.ndarray, " bin"]
    count: np.ndarray
    bias: Float[np.ndarray, " bin"]
    bias_error: Float[np.ndarray, " bin"]
    rms: Float[np.ndarray, " bin"]
    rms_error: Float[np.ndarray, " bin"]
    width68: Float[np.ndarray, " bin"]
    width68_error: Float[np.ndarray, " bin"]
    core: Float[np.ndarray, " bin"]
    core_error: Float[np.ndarray, " bin"]
    core_bias: Float[np.ndarray, " bin"]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists; NaN becomes None."""
        return {
            name: [float(x) if np.isfinite(x) else None for x in np.asarray(value, float)]
            for name, value in vars(self).items()
        }

    def __repr__(self) -> str:
        lines = [f"{'E':>10} {'n':>8}  {'bias':>18}  {'rms':>18}  {'core':>18}"]
        for i in range(len(self.truth)):
            pairs = ((self.bias, self.bias_error), (self.rms, self.rms_error), (self.core, self.core_error))
            cells = "  ".join(f"{v[i]:9.5f} ± {e[i]:.5f}" for v, e in pairs)
            lines.append(f"{self.truth[i]:10.4g} {int(self.count[i]):8d}  {cells}")
        return "\n".join(lines)


def resolution_curve(truth: Any, estimate: Any, edges: Any) -> ResolutionCurve:
    """Bias and resolution in bins of the truth.

    Arguments:
        truth: E > 0, shape (event,).
        estimate: Ê, shape (event,).
        edges: of the bins in E, growing, shape (bin + 1,).

    Returns:
        `ResolutionCurve`.

    Raises:
        ValueError: shapes that do not fit, NaN, a truth that is not above zero, edges that do not grow.

    >>> rng = np.random.default_rng(1)
    >>> truth = rng.uniform(10, 20, 10_000)
    >>> curve = resolution_curve(truth, truth * rng.normal(1.0, 0.05, 10_000), [10.0, 20.0])
    >>> abs(float(curve.rms[0]) - 0.05) < 4 * float(curve.rms_error[0])
    True
    """
    true, found, bounds = (np.asarray(x, np.float64) for x in (truth, estimate, edges))
    if true.ndim != 1 or found.shape != true.shape:
        raise ValueError(f"truth and estimate must be of one shape (event,), got {true.shape} and {found.shape}")
    if not (np.all(np.isfinite(true)) and np.all(np.isfinite(found))):
        raise ValueError("truth or estimate holds NaN or infinity")
    if np.any(true <= 0):
        raise ValueError("truth must be above zero: the resolution is relative to it")
    if bounds.ndim != 1 or bounds.size < 2 or not np.all(np.diff(bounds) > 0):
        raise ValueError("edges must be at least two growing numbers")
    ratio = found / true - 1
    place = np.digitize(true, bounds) - 1
    rows, means, counts = [], [], []
    for b in range(bounds.size - 1):
        inside = place == b
        rho = ratio[inside]
        counts.append(rho.size)
        means.append(true[inside].mean() if rho.size else np.nan)
        rows.append(_numbers(rho) if rho.size >= 10 else (np.nan,) * 9)
    columns = np.array(rows).T
    return ResolutionCurve(bounds, np.array(means), np.array(counts), *columns)


def _numbers(rho: np.ndarray) -> tuple[float, ...]:
    n, mean, rms = rho.size, float(rho.mean()), float(rho.std(ddof=1))
    if rms == 0:
        return mean, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, mean
    kurtosis = float(np.mean((rho - mean) ** 4)) / rms**4
    rms_error = rms * np.sqrt(max(kurtosis - 1, 0.0) / (4 * n))
    low, high = np.quantile(rho, [0.158655, 0.841345])
    half = float(high - low) / 2
    core_bias, core, core_error = gaussian_core(rho)
    return mean, rms / np.sqrt(n), rms, rms_error, half, _half_error(rho, low, high), core, core_error, core_bias


def _half_error(rho: np.ndarray, low: float, high: float) -> float:
    """Of half the distance of two quantiles: variance p(1 − p)/(n ρ²) each, covariance p²/(n ρρ′), by symmetry."""
    n, p = rho.size, 0.158655
    reach = (high - low) * 0.1
    if reach <= 0:
        return 0.0
    a, b = (max(float(np.mean(np.abs(rho - q) < reach)), 1 / n) / (2 * reach) for q in (low, high))
    variance = p * (1 - p) * (1 / a**2 + 1 / b**2) - 2 * p * p / (a * b)
    return float(np.sqrt(max(variance, 0.0) / n) / 2)


def gaussian_core(sample: Any, num_widths: float = 2.0) -> tuple[float, float, float]:
    r"""Mean, width and the width's error of the Gaussian core of a sample, whatever its tails.

    The width σ of a Gaussian whose second moment within ±kσ of its mean is that of the sample there (the maximum
    likelihood of a truncated Gaussian in a window of fixed k), iterated from the central 68 %.

    Arguments:
        sample: shape (event,), at least 10.
        num_widths: k.

    Returns:
        (mean, width, error of the width), in the unit of the sample.

    >>> sample = np.concatenate([np.random.default_rng(3).normal(0, 1, 20_000), np.full(500, 30.0)])
    >>> mean, width, error = gaussian_core(sample)
    >>> abs(width - 1) < 0.03
    True
    """
    from scipy.stats import norm

    values = np.asarray(sample, np.float64)
    if values.ndim != 1 or values.size < 10:
        raise ValueError(f"a Gaussian core needs at least 10 numbers, got shape {values.shape}")
    k = num_widths
    inside = 2 * norm.cdf(k) - 1
    # Variance of a unit Gaussian cut at ±k.
    cut = 1 - 2 * k * norm.pdf(k) / inside
    low, middle, high = np.quantile(values, [0.158655, 0.5, 0.841345])
    mean, width, used = middle, (high - low) / 2, values
    for _ in range(50):
        if width <= 0:
            return float(mean), 0.0, 0.0
        used = values[np.abs(values - mean) < k * width]
        if used.size < 5:
            break
        new_mean, new_width = used.mean(), np.sqrt(used.var() / cut)
        done = abs(new_width - width) < 1e-6 * width and abs(new_mean - mean) < 1e-6 * width
        mean, width = new_mean, new_width
        if done:
            break
    # The window moves with the width: its error is that of a maximum-likelihood fit in a fixed window of ±k.
    fourth = _cut_moment(k, 4) / cut**2
    return float(mean), float(width), float(width * np.sqrt((fourth - 1) / (4 * used.size)) / _gain(k, inside, cut))


def _cut_moment(k: float, order: int) -> float:
    from scipy.integrate import quad
    from scipy.stats import norm

    top, _ = quad(lambda x: x**order * norm.pdf(x), -k, k)
    return float(top / (2 * norm.cdf(k) - 1))


def _gain(k: float, inside: float, cut: float) -> float:
    """1 − d ln(width found)/d ln(width of the window): how much of a fluctuation the iteration leaves uncorrected."""
    from scipy.stats import norm

    edge = 2 * k * norm.pdf(k) / inside
    return 1 - edge * (k**2 - cut) / (2 * cut)


__all__ = ["ResolutionCurve", "gaussian_core", "resolution_curve"]
