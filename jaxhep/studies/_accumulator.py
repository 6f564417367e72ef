"""Sums over events from which means, gradients and their covariances follow; they add up over chunks."""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass
class GradientSums:
    r"""Sums for K quantities f with derivative ∂f, weight w and derivative ∂w, in float64.

    Mean \(r=\sum wf/\sum w\); gradient \(\frac1W\sum t\) with \(t=w\,\partial f+\frac{N}{N-1}(f-r)\,\partial w\), as in
    `expectation.derivative`. Everything is a polynomial in r with sums over events as coefficients, so chunks and
    processes can be added in any order.
    """

    size: int

    def __post_init__(self) -> None:
        k = self.size
        self.events = self.differentiated = self.overflow = 0
        self.w = self.ww = self.v = self.vv = 0.0
        self.wf, self.wwf, self.a, self.vf, self.av, self.vvf = (np.zeros(k) for _ in range(6))
        self.wwff, self.aa, self.afv, self.vvff = (np.zeros((k, k)) for _ in range(4))

    def add(self, f: np.ndarray, df: np.ndarray, w: np.ndarray, dw: np.ndarray, overflow: int = 0) -> None:
        """Adds a chunk: f, ∂f with shape (event, quantity), w, ∂w with shape (event,)."""
        _check_finite({"derivatives": df, "weight derivatives": dw})
        self.add_values(f, w, overflow)
        a = w[:, None] * df
        vf = dw[:, None] * f
        self.differentiated += f.shape[0]
        self.v += float(dw.sum())
        self.vv += float((dw**2).sum())
        self.a += a.sum(0)
        self.vf += vf.sum(0)
        self.av += dw @ a
        self.vvf += dw @ vf
        self.aa += a.T @ a
        self.afv += a.T @ vf
        self.vvff += vf.T @ vf

    def add_values(self, f: np.ndarray, w: np.ndarray, overflow: int = 0) -> None:
        """Adds a chunk without derivatives; then there is a mean only."""
        _check_finite({"values": f, "weights": w})
        wf = w[:, None] * f
        self.events += f.shape[0]
        self.overflow += overflow
        self.w += float(w.sum())
        self.ww += float((w**2).sum())
        self.wf += wf.sum(0)
        self.wwf += w @ wf
        self.wwff += wf.T @ wf

    def merge(self, other: "GradientSums") -> "GradientSums":
        """The sums of both samples."""
        if other.size != self.size:
            raise ValueError(f"sums of {self.size} and {other.size} quantities do not add up")
        total = GradientSums(self.size)
        for name in vars(total):
            if name != "size":
                setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    def mean(self) -> tuple[np.ndarray, np.ndarray]:
        """r and its covariance."""
        r = self.wf / self.w
        cross = np.outer(r, self.wwf)
        return r, (self.wwff - cross - cross.T + self.ww * np.outer(r, r)) / self.w**2

    def derivative(self) -> tuple[np.ndarray, np.ndarray]:
        """The gradient and its covariance.

        **Raises** `ValueError` if some events came without derivatives.
        """
        if self.differentiated != self.events:
            raise ValueError(f"only {self.differentiated} of {self.events} events have derivatives")
        n, r = self.events, self.wf / self.w
        c = n / (n - 1)
        total = self.a + c * (self.vf - r * self.v)
        cross = self.afv - np.outer(self.av, r)
        mixed = np.outer(r, self.vvf)
        square = self.aa + c * (cross + cross.T) + c**2 * (self.vvff - mixed - mixed.T + self.vv * np.outer(r, r))
        centred = square - np.outer(total, total) / n
        return total / self.w, centred * n / (n - 1) / self.w**2


def _check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        if not np.all(np.isfinite(values)):
            raise FloatingPointError(f"{int(np.sum(~np.isfinite(values)))} {name} of a chunk are not finite")


__all__ = ["GradientSums"]
