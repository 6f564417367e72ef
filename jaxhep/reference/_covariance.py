"""Covariance models for published errors, and the merging of bins."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .measurement import Measurement

Correlation = Literal["uncorrelated", "correlated", "minimum_overlap"]
"""How systematic errors are taken to be correlated between bins."""


def component(errors: NDArray[np.float64], correlation: str) -> NDArray[np.float64]:
    r"""Covariance of one source of error of sizes \(s_i\): diagonal, \(s_is_j\), or \(\min(s_i,s_j)^2\)."""
    if correlation not in get_args(Correlation):
        raise ValueError(f"unknown correlation model {correlation!r}; choose one of {list(get_args(Correlation))}.")
    if correlation == "correlated":
        return np.outer(errors, errors)
    if correlation == "minimum_overlap":
        return np.minimum.outer(errors, errors) ** 2
    return np.diag(errors**2)


def bin_names(measurement: "Measurement", which: NDArray[np.bool_]) -> str:
    """The bins flagged in `which`, in words."""
    edges = measurement.edges
    return ", ".join(f"bin {i} [{edges[i]:g}, {edges[i + 1]:g}]" for i in np.flatnonzero(which))


def covariance(
    measurement: "Measurement", correlation: str, statistical_fraction: float | int | None
) -> NDArray[np.float64]:
    """See `Measurement.covariance`."""
    component(measurement.values[:1], correlation)  # an unknown model is told before anything else
    zero = measurement.zero_error_bins
    if zero.any():
        raise ValueError(
            f"{measurement.name!r}: zero error in {bin_names(measurement, zero)}, so the covariance cannot be inverted"
            "; drop such bins with select(drop_zero_errors=True) or choose a range without them."
        )
    correlatable = measurement.correlated or frozenset()
    pieces = {label: errors for label, errors in measurement.systematics.items() if label in correlatable}
    diagonal = np.zeros_like(measurement.values) if measurement.stat is None else measurement.stat**2
    for label, errors in measurement.systematics.items():
        if label not in correlatable:
            diagonal = diagonal + errors**2
    if statistical_fraction is not None:
        if measurement.stat is not None:
            raise ValueError(f"{measurement.name!r} has its own statistical errors; leave out statistical_fraction.")
        if not 0 < statistical_fraction < 1:
            raise ValueError(f"statistical_fraction must lie between 0 and 1, got {statistical_fraction}.")
        pieces = {"rest": np.sqrt(1 - statistical_fraction**2) * measurement.total}
        diagonal = (statistical_fraction * measurement.total) ** 2
    elif correlation != "uncorrelated" and measurement.stat is None:
        raise ValueError(
            f"{measurement.name!r} publishes no statistical errors apart, so {correlation!r} would leave "
            "the covariance singular; use 'uncorrelated', or say which part is statistical with statistical_fraction=."
        )
    return np.diag(diagonal) + sum((component(errors, correlation) for errors in pieces.values()), np.zeros(()))


def merging(measurement: "Measurement", edges: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix of width-weighted averages (new bins, old bins), and the new edges."""
    old = measurement.edges
    if isinstance(edges, int | np.integer):
        if edges < 1 or measurement.num_bins % int(edges):
            raise ValueError(f"{edges} does not divide the {measurement.num_bins} bins of {measurement.name!r}.")
        positions = np.arange(0, old.size, int(edges))
    else:
        wanted = np.asarray(edges, np.float64)
        if wanted.ndim != 1 or wanted.size < 2 or not np.all(np.diff(wanted) > 0):
            raise ValueError("new edges must be at least two growing numbers.")
        positions = np.abs(old[None, :] - wanted[:, None]).argmin(axis=1)
        missing = ~np.isclose(old[positions], wanted, rtol=1e-9, atol=1e-9 * float(np.diff(old).min()))
        if missing.any() or len(set(positions.tolist())) != positions.size:
            raise ValueError(
                f"edges {wanted[missing].tolist()} are not edges of {measurement.name!r}; it has {old.tolist()}."
            )
    groups = np.zeros((positions.size - 1, measurement.num_bins))
    for row, (start, stop) in enumerate(pairwise(positions.tolist())):
        widths = measurement.widths[start:stop]
        groups[row, start:stop] = widths / widths.sum()
    return groups, old[positions]


__all__ = ["Correlation", "bin_names", "component", "covariance", "merging"]
