"""Autodiff gradients of expectations against central differences of independent samples."""

import contextlib
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..observables import OBSERVABLES, get_observable
from ..reference import available, load
from ..shower import DipoleShower, DiscreteQCD
from ..simulator import AbstractSimulator, generate, with_parameters
from ._accumulator import GradientSums
from ._shapes import Shapes
from ._sums_store import SumsStore
from .event_run import num_columns
from .gradient_result import GradientCheck

_CUT = 1e-3
_SLOPE_EVENTS = 1_000_000
"""Events of the two outer samples that are differentiated as well, for the bias of the difference."""
_BANDWIDTHS = 8
"""Kernel widths in the narrowest bin."""


def check_gradients(
    lambdas: Sequence[float | int] = (0.2,),
    num_events: int = 1_000_000,
    *,
    observables: Sequence[str] | None = None,
    bins: str | None = "thrust",
    step: float | int = 0.1,
    seed: int = 1,
    energy: float | int = 91.1876,
    mode: Any = "smooth",
    n_f: int = 0,
    bandwidth: float | None = None,
    shower: AbstractSimulator | None = None,
    parameter: str = "lambda_qcd",
    chunk_size: int = 65_536,
    on_chunk: Callable[[int], None] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> GradientCheck:
    r"""The derivative of each expectation by autodiff, from one sample, against two independent samples at
    \(\Lambda e^{\pm h}\).

    Autodiff: \(\partial\langle f\rangle/\partial\ln\Lambda=\langle\partial f\rangle+\langle(f-\bar
    f)\,\partial w\rangle\); for a bin \(f\) is its indicator and \(\partial f\) the flux across its edges,
    estimated with the kernel of `expectation.histogram`. Central difference: \((\langle f\rangle_+-\langle
    f\rangle_-)/2h\), whose bias \(h^2f^{(3)}/6\) is estimated from the gradients of the three samples (of the outer
    ones' first million events) as \((\dot f_++\dot f_--2\dot f_0)/6\) and reported, not corrected. χ² is that of all
    quantities of one Λ with their covariance, in the directions whose variance is above 1/1000 of the mean one (1 − T
    and T are the same information). Events are summed chunk by chunk: memory does not grow with their number.

    In lattice mode expectations jump where N does; neither derivative-based moving nor the gradient sees that, and a
    difference across a jump disagrees. The result says so in `notes`.

    **Arguments**: `lambdas` in GeV; `num_events` of each of the three samples at each Λ; `observables`: names of the
    registry, default all; `bins`: an observable with a published binning in `jaxhep.reference`, or None;
    `step`: h in lnΛ;
    `bandwidth`: kernel width, default 1/8 of the narrowest bin, half that of `histogram` (the bias is
    16 times smaller, the noise of the flux still below that of the difference); `shower` and `parameter`: another
    simulator than Discrete QCD and the name of its parameter, whose values `lambdas` then are (energy, mode and n_f are
    the simulator's); `on_chunk(done)`: events done so far; `checkpoint`: a file that the sums are written to twice
    a minute and when interrupted, removed at the end; `resume`: go on from it.

    **Raises** `ValueError` before anything is compiled, also for a checkpoint that cannot be read or is of another
    check; `FileExistsError` for one that is there without `resume`.
    """
    scales, names, edges, bandwidth = check_arguments(
        lambdas,
        num_events,
        observables=observables,
        bins=bins,
        step=step,
        energy=energy,
        mode=mode,
        n_f=n_f,
        bandwidth=bandwidth,
        shower=shower,
        parameter=parameter,
    )
    # One shower for all Λ, so that one program is compiled.
    low = min(scales) * math.exp(-step) * 0.999
    simulator = shower or DiscreteQCD(energy, scales[0], mode, n_f, lambda_range=(low, float(energy)))

    begin, size = time.perf_counter(), min(chunk_size, num_events)
    wanted = names if bins is None or bins in names else (*names, bins)
    observe = Shapes(wanted)
    labels = (*names, *(() if edges is None else bin_labels(bins or "", edges)))
    store = None
    if checkpoint is not None:
        leaves = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(simulator)]
        asked = [scales, num_events, wanted, labels, float(step), seed, bandwidth, parameter, size]
        store = SumsStore(checkpoint, [*asked, repr(simulator), leaves, jax.default_backend()], resume)
    done = [0]

    def sample(scale: float, number: int, slopes: int) -> tuple[GradientSums, GradientSums]:
        """Sums over all events, and over the first ones that are differentiated (at least `slopes`)."""
        begun = None if store is None else store.found(number)
        first, sums, differentiated = begun or (0, GradientSums(len(labels)), GradientSums(len(labels)))
        done[0] += min(first, num_events)
        key = jax.random.fold_in(jax.random.key(seed), number)
        point = jnp.log(jnp.asarray(scale, jax.tree.leaves(simulator)[0].dtype))

        def run(log_scale: Any, start: int) -> Any:
            moved = with_parameters(simulator, {parameter: jnp.exp(log_scale)})
            return generate(moved, key, size, observables=observe, first_event=start, chunk_size=size)

        for start in range(first, num_events, size):
            count, part = min(size, num_events - start), functools.partial(run, start=start)
            # The primal and tangent of a whole chunk; of the last one only as many events as were asked for.
            if start < slopes:
                (f, w, overflow), (df, dw, _) = jax.jvp(part, (point,), (jnp.ones_like(point),))
            else:
                (f, w, overflow), (df, dw) = part(point), (None, None)
            f, w, lost = np.asarray(f, float)[:count], np.asarray(w, float)[:count], np.asarray(overflow)[:count].sum()
            df, dw = (None if x is None else np.asarray(x, float)[:count] for x in (df, dw))
            if edges is not None and bandwidth is not None:
                column = wanted.index(bins)
                slope = np.zeros(count) if df is None else df[:, column]
                inside, flux = flux_columns(f[:, column], slope, edges, bandwidth)
                f = np.concatenate([f[:, : len(names)], inside], axis=1)
                df = None if df is None else np.concatenate([df[:, : len(names)], flux], axis=1)
            if df is None or dw is None:
                sums.add_values(f, w, int(lost))
            else:
                differentiated.add(f, df, w, dw, int(lost))
            done[0] += count
            if store is not None:
                store.keep(number, start + size, sums, differentiated)
            if on_chunk is not None:
                on_chunk(done[0])
        return sums.merge(differentiated), differentiated

    rows: list[dict[str, np.ndarray]] = []
    overflow = 0
    with store or contextlib.nullcontext():
        for i, scale in enumerate(scales):
            centre, up, down = (
                sample(scale * math.exp(s * step), 3 * i + n, _SLOPE_EVENTS if s else num_events)
                for n, s in enumerate((0, 1, -1))
            )
            overflow += sum(sums.overflow for sums, _ in (centre, up, down))
            rows.append(_compare(centre[0], up, down, float(step)))
    stack = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    if shower is not None:
        mode = getattr(shower, "gradient", type(shower).__name__)
    notes = _notes(scales, float(step), float(energy), mode, n_f, overflow, stack)
    if not stack["ndf"].sum():
        notes = (*notes, "Nothing varied: there is nothing to compare at these Λ with so few events.")
    return GradientCheck(
        lambdas=np.asarray(scales),
        names=labels,
        num_observables=len(names),
        binned=bins,
        num_events=num_events,
        step=float(step),
        mode=mode,
        seed=seed,
        overflow=overflow,
        seconds=time.perf_counter() - begin,
        notes=notes,
        parameter=parameter,
        **stack,
    )


def check_arguments(
    lambdas: Sequence[float | int],
    num_events: int,
    *,
    observables: Sequence[str] | None = None,
    bins: str | None = "thrust",
    step: float | int = 0.1,
    energy: float | int = 91.1876,
    mode: Any = "smooth",
    n_f: int = 0,
    bandwidth: float | None = None,
    shower: AbstractSimulator | None = None,
    parameter: str = "lambda_qcd",
) -> tuple[list[float], tuple[str, ...], np.ndarray | None, float | None]:
    """The arguments of `check_gradients`, checked without compiling: (Λ, names, bin edges, kernel width).

    **Raises** `ValueError` with cause and cure.
    """
    scales = [float(x) for x in lambdas]
    names = tuple(OBSERVABLES) if observables is None else tuple(dict.fromkeys(observables))
    for name in names:
        get_observable(name)
    if not scales:
        raise ValueError("lambdas is empty; give at least one Λ in GeV")
    if isinstance(num_events, bool) or not isinstance(num_events, int) or num_events < 2:
        raise ValueError(f"num_events must be a whole number of at least 2, got {num_events!r}")
    if not (math.isfinite(step) and 0 < step <= 1):
        raise ValueError(f"step is a difference of ln Λ between 0 and 1, got {step}")
    if not names and bins is None:
        raise ValueError("nothing to check: give observables, or bins")
    edges = None if bins is None else reference_edges(bins)
    if bandwidth is None and edges is not None:
        bandwidth = float(np.min(np.diff(edges))) / _BANDWIDTHS
    if bandwidth is not None and not (math.isfinite(bandwidth) and bandwidth > 0):
        raise ValueError(f"bandwidth must be positive, got {bandwidth}")
    if shower is not None:
        with_parameters(shower, {parameter: scales[0]})  # refuses a name that it does not have
    for scale in scales:
        high = scale * math.exp(step)
        if shower is None:
            DiscreteQCD(energy, scale, mode, n_f)
            if high >= energy:
                raise ValueError(
                    f"Λ = {scale:g} GeV is too near the energy {energy:g} GeV: the upper sample would have "
                    f"{high:g} GeV; take a smaller Λ or step"
                )
        elif isinstance(shower, DipoleShower):
            for end in (scale * math.exp(-step), scale, high):
                there: dict[str, Any] = {parameter: end}
                dataclasses.replace(shower, **there)  # its constructor refuses what is out of range
    return scales, names, edges, bandwidth


def _compare(
    centre: GradientSums, up: tuple[GradientSums, GradientSums], down: tuple[GradientSums, GradientSums], step: float
) -> dict[str, np.ndarray]:
    """Values, both derivatives, the bias of the difference and the joint χ² at one Λ; the pairs are those of `sample`
    in `check_gradients`."""
    autodiff, autodiff_cov = centre.derivative()
    value, value_cov = centre.mean()
    high, high_cov = up[0].mean()
    low, low_cov = down[0].mean()
    slopes = (up[1].derivative(), down[1].derivative())
    difference, difference_cov = (high - low) / (2 * step), (high_cov + low_cov) / (2 * step) ** 2
    chi2, ndf = chi_square(autodiff - difference, autodiff_cov + difference_cov)
    return {
        "value": value,
        "value_error": np.sqrt(np.diag(value_cov)),
        "autodiff": autodiff,
        "autodiff_error": np.sqrt(np.diag(autodiff_cov)),
        "difference": difference,
        "difference_error": np.sqrt(np.diag(difference_cov)),
        "bias": (slopes[0][0] + slopes[1][0] - 2 * autodiff) / 6,
        "bias_error": np.sqrt(np.diag(slopes[0][1] + slopes[1][1] + 4 * autodiff_cov)) / 6,
        "chi2": np.asarray(chi2),
        "ndf": np.asarray(ndf),
    }


def chi_square(residual: np.ndarray, covariance: np.ndarray, cut: float = _CUT) -> tuple[float, int]:
    """χ² in the directions of the correlation matrix with eigenvalues above `cut`, and their number."""
    sigma = np.sqrt(np.diag(covariance))
    kept = sigma > 0
    if not np.any(kept):
        return 0.0, 0
    pulls, scale = residual[kept] / sigma[kept], np.outer(sigma[kept], sigma[kept])
    values, vectors = np.linalg.eigh(covariance[np.ix_(kept, kept)] / scale)
    good = values > cut
    return float(np.sum((vectors[:, good].T @ pulls) ** 2 / values[good])), int(good.sum())


def reference_edges(name: str) -> np.ndarray:
    """Edges of the published measurement of an observable; `ValueError` where there is none."""
    get_observable(name)
    tables = [load(one) for one in available()]
    for table in tables:
        if table.observable == name and table.kind == "density":
            return np.asarray(table.edges, float)
    known = sorted({t.observable for t in tables if t.kind == "density"} & set(OBSERVABLES))
    raise ValueError(f"no published binning of {name!r}; there is one of {', '.join(known)}")


def bin_labels(name: str, edges: np.ndarray) -> tuple[str, ...]:
    """`thrust [0.98, 0.99)` for each bin."""
    return tuple(f"{name} [{low:.4g}, {high:.4g})" for low, high in itertools.pairwise(edges))


def flux_columns(x: np.ndarray, dx: np.ndarray, edges: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Indicators of the bins, and the derivative of their kernel-smoothed form, both (event, bin).

    The smoothed step at an edge e is Φ(t) + t φ(t)/2 with t = (e − x)/width (`expectation.histogram`), its derivative
    −φ(t)(3 − t²)/2 · dx/width. The last edge counts as inside and has no flux: it is the end of the range (T = 1), or
    else no more than one bin's loss.
    """
    last = edges.size - 1
    index = np.searchsorted(edges, x, side="right") - 1
    index = np.where(x == edges[-1], last - 1, index)
    inside = (index[:, None] == np.arange(last)).astype(float)
    crossing = np.zeros((x.size, edges.size))
    near = np.flatnonzero((dx != 0) & np.isfinite(dx))
    # Only the edges within 6 widths matter.
    low = np.searchsorted(edges, x[near] - 6 * width)
    high = np.searchsorted(edges, x[near] + 6 * width)
    for offset in range(int((high - low).max(initial=0))):
        chosen = low + offset < high
        event, edge = near[chosen], (low + offset)[chosen]
        t = (edges[edge] - x[event]) / width
        crossing[event, edge] = np.exp(-(t**2) / 2) * (3 - t**2) / (2 * width * math.sqrt(2 * math.pi)) * dx[event]
    if math.isclose(edges[-1], 1.0):
        crossing[:, -1] = 0.0
    return inside, crossing[:, :-1] - crossing[:, 1:]


def _notes(
    scales: Sequence[float],
    step: float,
    energy: float,
    mode: str,
    n_f: int,
    overflow: int,
    found: Mapping[str, np.ndarray],
) -> tuple[str, ...]:
    notes = []
    sigma = np.hypot(found["autodiff_error"], found["difference_error"])
    scaled = [np.where(sigma > 0, found[k] / np.where(sigma > 0, sigma, 1), 0) for k in ("bias", "bias_error")]
    typical, noise = (float(np.sqrt(np.mean(part**2))) for part in scaled)
    notes.append(
        f"The central difference with h = {step:g} in the logarithm has a bias of O(h²): {typical:.2f} σ (rms) by "
        f"the gradients at the three values, an estimate whose own noise is {noise:.2f} σ; take a smaller --step if "
        "this is not small."
    )
    if mode == "lattice":
        for scale in scales:
            n = [num_columns(energy, scale * math.exp(s * step), n_f) for s in (-1, 1)]
            jump = (
                f"N jumps from {n[0]} to {n[1]} between Λe^−h and Λe^h, and the difference cannot agree"
                if n[0] != n[1]
                else f"N = {n[0]} on both sides"
            )
            notes.append(f"Lattice at Λ = {scale:g} GeV: {jump}; the gradient does not see jumps of N.")
    if overflow:
        notes.append(f"{overflow} events overflowed their arrays and are no fair draws.")
    return tuple(notes)


__all__ = [
    "GradientCheck",
    "bin_labels",
    "check_arguments",
    "check_gradients",
    "chi_square",
    "flux_columns",
    "reference_edges",
]
