"""Gradients to look at: autodiff against finite differences, and the derivative of a template."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, BLUE, GREY, SKY, VERMILION, Axes
from jaxhep.plots._checks import Values, bin_edges, errors, numbers


def gradient_check(
    names: Sequence[str],
    autodiff: Values,
    autodiff_error: Values,
    finite_difference: Values,
    fd_error: Values,
    *,
    xlabel: str = "",
    ylabel: str = r"$\partial\langle O\rangle/\partial\ln\Lambda$",
    title: str = "",
    axes: Any | None = None,
) -> tuple[Axes, Axes]:
    """Gradients of expectations by autodiff and by finite differences of independent samples, and their pulls.

    pull = (a − f)/√(σ_a² + σ_f²); χ² is the sum of their squares, its p-value that of as many degrees of freedom as
    there are pulls. An entry whose two errors are zero and whose values agree (an empty bin) has no pull and is not
    counted. The upper axis is linear near zero and logarithmic beyond where the sizes span more than a factor of 20
    above their median.

    Args:
        names: of the observables or bins, length n; thinned out on the axis beyond 25.
        autodiff: derivatives a, shape (n,).
        autodiff_error: σ_a, shape (n,).
        finite_difference: derivatives f, shape (n,).
        fd_error: σ_f, shape (n,).
        xlabel: label below the names, e.g. the observable whose bins they are.
        ylabel: label of the derivative.
        title: put before χ² in the title.
        axes: two axes to draw into (value, pull); None makes a figure.

    Returns:
        (value, pull), the two axes.

    Raises:
        ValueError: lengths that disagree, NaN, negative errors, two values that differ with no error at all.

    Example:
        >>> upper, lower = gradient_check(["1-T", "C"], [0.10, 0.41], [0.01, 0.03], [0.11, 0.38], [0.01, 0.03])
        >>> upper.get_title(loc="left")
        '$\\\\chi^2/n = 1.0/2$, $p = 0.61$'
        >>> import matplotlib.pyplot as plt; plt.close(upper.figure)
    """
    from scipy.stats import chi2

    size = len(names)
    if size == 0:
        raise ValueError("names is empty; there is nothing to compare")
    auto, auto_error = numbers("autodiff", autodiff, size), errors("autodiff_error", autodiff_error, size)
    finite, finite_error = numbers("finite_difference", finite_difference, size), errors("fd_error", fd_error, size)
    total = np.hypot(auto_error, finite_error)
    counted = total > 0
    if np.any(~counted & (auto != finite)):
        first = names[int(np.flatnonzero(~counted & (auto != finite))[0])]
        raise ValueError(f"the gradients of {first!r} differ but have no error; give at least one of them its error")
    pulls = np.where(counted, (auto - finite) / np.where(counted, total, 1.0), np.nan)
    num_pulls = int(np.sum(counted))
    chi_square = float(np.nansum(pulls**2))
    verdict = "no entry with an error"
    if num_pulls:
        p_value = float(chi2.sf(chi_square, num_pulls))
        verdict = rf"$\chi^2/n = {chi_square:.1f}/{num_pulls}$, $p = {_short(p_value)}$"

    place = np.arange(size)
    shift = 0.14 if size <= 25 else 0.2
    small = {"markersize": 5.5 if size <= 25 else 3.2, "linewidth": 1.2 if size <= 25 else 1.0}
    width = float(np.clip(4 + 0.35 * size, 5.6, 9))
    with _canvas.canvas(axes, panels=2, size=(width, 5.6), heights=(1.5, 1.0)) as pair:
        upper, lower = pair
        upper.axhline(0, color=GREY, linewidth=0.8)
        upper.errorbar(place - shift, auto, yerr=auto_error, fmt="o", color=BLUE, label="autodiff", **small)
        upper.errorbar(
            place + shift, finite, yerr=finite_error, fmt="s", color=VERMILION, mfc="white", label="finite difference",
            **small,
        )  # fmt: skip
        sizes = np.abs(np.concatenate([auto, finite]))
        sizes = sizes[sizes > 0]
        if sizes.size and np.max(sizes) > 20 * np.median(sizes):
            upper.set_yscale("symlog", linthresh=_decade(float(np.percentile(sizes, 20))))
            _thin_symlog(upper)
        else:
            _canvas.headroom(upper, 0.2)
        for reach, strength in ((3, 0.18), (1, 0.32)):
            lower.axhspan(-reach, reach, facecolor=SKY, alpha=strength, linewidth=0, zorder=0)
        lower.axhline(0, color=GREY, linewidth=0.8)
        lower.plot(place, pulls, "o", color=BLACK, markersize=small["markersize"])
        lower.vlines(place, 0, pulls, color=BLACK, linewidth=0.9)
        far = max(3.6, 1.15 * float(np.nanmax(np.abs(pulls)))) if num_pulls else 3.6
        lower.set_ylim(-far, far)
        if far < 8:
            lower.set_yticks([-3, -1, 1, 3])
        lower.yaxis.set_minor_locator(_canvas.no_ticks())
        lower.set_ylabel("pull", loc="center")
        upper.set_ylabel(ylabel)
        lower.set_xlabel(xlabel)
        step = 1 if size <= 25 else int(np.ceil(size / 25))
        shown = place[::step]
        longest = max(len(names[i].replace("$", "").replace("\\", "")) for i in shown)
        steep = size > 25 or longest * size > 60
        lower.set_xticks(
            shown,
            [names[i] for i in shown],
            rotation=90 if size > 25 else (40 if steep else 0),
            ha="right" if steep and size <= 25 else "center",
            rotation_mode="anchor" if steep and size <= 25 else "default",
        )
        for one in pair:
            one.xaxis.set_minor_locator(_canvas.no_ticks())
            one.set_xlim(-0.6, size - 0.4)
        upper.set_title(", ".join(part for part in (title, verdict) if part), loc="left")
        upper.legend(loc="best", ncols=2)
    return upper, lower


def _short(p_value: float) -> str:
    """A p-value with two digits, as mathtext."""
    if p_value >= 0.001:
        return f"{p_value:.2g}"
    if p_value < 1e-99:
        return r"0"
    mantissa, exponent = f"{p_value:.1e}".split("e")
    return rf"{mantissa} \times 10^{{{int(exponent)}}}"


def _decade(value: float) -> float:
    """The power of ten below `value`."""
    return float(10.0 ** np.floor(np.log10(value)))


def _thin_symlog(ax: Axes) -> None:
    """Keeps the decades of a symlog axis from crowding: the innermost labels of the two sides would touch the zero."""
    low, high = ax.get_ylim()
    ax.set_ylim(low * 1.5 if low < 0 else low, high * 4 if high > 0 else high)


def _breathe(ax: Axes) -> None:
    """Keeps steps, which stick to the frame, and points off it."""
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.06 * (high - low), high + 0.08 * (high - low))


def template_derivative(
    edges: Values,
    values: Values,
    derivative: Values,
    derivative_error: Values,
    *,
    xlabel: str,
    ylabel: str = "template",
    derivative_label: str | None = None,
    reference: tuple[Values, Values] | None = None,
    relative: bool = False,
    title: str = "",
    axes: Any | None = None,
) -> tuple[Axes, Axes]:
    """A histogram, and below its derivative with respect to a parameter, bin by bin.

    Args:
        edges: bin edges, shape (bins + 1,), increasing.
        values: heights, shape (bins,).
        derivative: derivative of each height, shape (bins,).
        derivative_error: its Monte Carlo error, shape (bins,).
        xlabel: label of the observable, with unit.
        ylabel: label of the heights.
        derivative_label: label of the derivative; None writes ∂/∂lnΛ of the height h, or of ln h.
        reference: (derivative, error) from somewhere else, e.g. a finite difference; drawn as points.
        relative: whether the lower panel shows the derivative divided by the height, so that tails are seen.
        title: title of the upper panel.
        axes: two axes to draw into (value, derivative); None makes a figure.

    Returns:
        (value, derivative), the two axes.

    Raises:
        ValueError: lengths that disagree, edges that do not increase, NaN, negative errors.

    Example:
        >>> upper, lower = template_derivative([0, 1, 2], [4.0, 2.0], [-0.5, 0.5], [0.1, 0.1], xlabel=r"$1-T$")
        >>> lower.get_xlabel()
        '$1-T$'
        >>> import matplotlib.pyplot as plt; plt.close(upper.figure)
    """
    x = bin_edges(edges)
    bins = x.size - 1
    heights = numbers("values", values, bins)
    slope, slope_error = numbers("derivative", derivative, bins), errors("derivative_error", derivative_error, bins)
    other = None
    if reference is not None:
        other = numbers("reference derivative", reference[0], bins), errors("reference error", reference[1], bins)

    with _canvas.canvas(axes, panels=2, size=(6.2, 5.6), heights=(1.3, 1.0)) as (upper, lower):
        _canvas.band(upper, x, np.zeros(bins), heights, color=SKY, alpha=0.3)
        upper.stairs(heights, x, baseline=None, color=BLUE, linewidth=1.7)
        if not _canvas.log_or_linear(upper, heights):
            _canvas.headroom(upper, 0.05)
        lower.axhline(0, color=GREY, linewidth=0.8)
        unit = np.where(heights > 0, heights, np.nan) if relative else np.ones(bins)
        slope, slope_error = slope / unit, slope_error / unit
        _canvas.band(lower, x, slope - slope_error, slope + slope_error, color=BLUE, alpha=0.3)
        lower.stairs(slope, x, baseline=None, color=BLUE, linewidth=1.5, label="autodiff")
        if other is not None:
            lower.errorbar(
                0.5 * (x[1:] + x[:-1]),
                other[0] / unit,
                yerr=other[1] / unit,
                fmt="o",
                color=VERMILION,
                markersize=3.6,
                linewidth=1.1,
                label="finite difference",
            )
            lower.legend(loc="best")
        _breathe(lower)
        for one in (upper, lower):
            one.set_xlim(x[0], x[-1])
        upper.set_ylabel(ylabel)
        height = r"\ln h" if relative else "h"
        own_label = rf"$\partial {height}\,/\,\partial\ln\Lambda$"
        lower.set_ylabel(own_label if derivative_label is None else derivative_label, loc="center")
        lower.set_xlabel(xlabel)
        upper.set_title(title, loc="left")
    return upper, lower
