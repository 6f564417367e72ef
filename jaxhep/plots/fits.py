"""What a fit found: the profile scan of one parameter, the contours of two."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, BLUE, GREY, SKY, VERMILION, Axes
from jaxhep.plots._checks import Values, interval_of, number, numbers


def profile_scan(
    values: Values,
    delta_chi2: Values,
    *,
    best: Any,
    interval: Sequence[Any] | None = None,
    label: str,
    hessian_error: Any | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """The profile Δχ² of one parameter, with the interval Δχ² ≤ 1 and the parabola of the Hessian beside it.

    The parabola is (x − best)²/σ², with σ the `hessian_error`; without one, half the width of `interval`. Where curve
    and parabola part, the likelihood is not Gaussian.

    Args:
        values: parameter values, shape (points,), increasing.
        delta_chi2: χ² minimised over the other parameters, less its minimum, shape (points,).
        best: the best-fit value.
        interval: (low, high) where Δχ² = 1; shaded.
        label: name of the parameter with its unit, for the x axis.
        hessian_error: standard error from the second derivative of χ² at the minimum.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: lengths that disagree, values that do not increase, NaN, an interval that is none, an error ≤ 0.

    Example:
        >>> ax = profile_scan([0.1, 0.2, 0.3], [1.0, 0.0, 1.0], best=0.2, interval=(0.1, 0.3),
        ...                   label=r"$\\Lambda$ [GeV]")
        >>> ax.get_ylabel()
        '$\\\\Delta\\\\chi^2$'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    x = numbers("values", values)
    y = numbers("delta_chi2", delta_chi2, x.size)
    if x.size < 2 or not np.all(np.diff(x) > 0):
        raise ValueError("values must increase strictly and hold at least two points; sort the scan first")
    middle = number("best", best)
    span = None if interval is None else interval_of("interval", interval)
    sigma = None if hessian_error is None else number("hessian_error", hessian_error, positive=True)
    if sigma is None and span is not None:
        sigma = 0.5 * (span[1] - span[0])

    with _canvas.canvas(ax, size=(6.0, 4.4)) as (one,):
        from matplotlib.patches import Rectangle

        # Beyond 3σ a curve tells nothing; it is cut there, and the uppermost part is the legend's.
        top = float(np.clip(1.05 * np.max(y), 5.0, 10.0))
        below = Rectangle((0, 0), 1, 1 / 1.35, transform=one.transAxes)
        if span is not None:
            name = rf"$\Delta\chi^2 \leq 1$: {_with_errors(middle, span)}"
            one.axvspan(*span, ymax=1 / 1.35, facecolor=SKY, alpha=0.25, linewidth=0, label=name, zorder=0)
        curves = one.plot(x, y, color=BLUE, linewidth=2, label="profile", zorder=3)
        if sigma is not None:
            fine = np.linspace(x[0], x[-1], 201)
            curves += one.plot(
                fine,
                ((fine - middle) / sigma) ** 2,
                "--",
                color=VERMILION,
                label="parabola" if hessian_error is None else "parabola (Hessian)",
                zorder=2,
            )
        one.axvline(middle, ymax=1 / 1.35, color=BLACK, linewidth=0.9, label="best fit" if span is None else None)
        for level, sigmas in ((1, r"$1\sigma$"), (4, r"$2\sigma$")):
            one.axhline(level, color=GREY, linewidth=0.8, linestyle=":")
            one.annotate(
                sigmas, (0.985, level), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
                ha="right", va="bottom", color=GREY, fontsize=10,
            )  # fmt: skip
        one.set_xlim(x[0], x[-1])
        one.set_ylim(0, 1.35 * top)
        for curve in curves:
            curve.set_clip_path(below)
        one.set_xlabel(label)
        one.set_ylabel(r"$\Delta\chi^2$")
        one.set_title(title, loc="left")
        one.legend(loc="upper center", ncols=2, columnspacing=1.2)
    return one


def _with_errors(best: float, span: tuple[float, float]) -> str:
    """`0.207 −0.011 +0.012` as mathtext, with two digits in the smaller error."""
    down, up = best - span[0], span[1] - best
    smaller = min(abs(down), abs(up))
    digits = max(0, 1 - int(np.floor(np.log10(smaller)))) if smaller > 0 else 3
    return f"${best:.{digits}f}_{{-{down:.{digits}f}}}^{{+{up:.{digits}f}}}$"


def contour_plot(
    contours: Mapping[Any, tuple[Values, Values]],
    best: Sequence[Any],
    xlabel: str,
    ylabel: str,
    *,
    truth: Sequence[Any] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Contours of two parameters, filled, with the best fit as a star.

    Args:
        contours: level → (x, y), the points of a curve in order, each of shape (points,). A level between 0 and 1 is
            read as a probability content, another number as Δχ², a text as it stands.
        best: (x, y) of the minimum.
        xlabel: label of the first parameter, with unit.
        ylabel: label of the second parameter, with unit.
        truth: (x, y) of the values that pseudo-data were made with; a cross.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: no contour, one with fewer than three points or with x and y of different length, NaN.

    Example:
        >>> ax = contour_plot({0.68: ([0, 1, 0, -1], [1, 0, -1, 0])}, (0, 0), r"$\\Lambda$ [GeV]", r"$\\Omega_1$ [GeV]")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['68 % CL', 'best fit']
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    if not contours:
        raise ValueError("contours is empty; pass at least one level: (x, y)")
    curves = []
    for level, (x, y) in contours.items():
        first = numbers(f"contours[{level!r}] x", x)
        if first.size < 3:
            raise ValueError(f"contours[{level!r}] has {first.size} points; a closed curve needs at least three")
        curves.append((level, first, numbers(f"contours[{level!r}] y", y, first.size)))
    middle = numbers("best", best, 2)
    right = None if truth is None else numbers("truth", truth, 2)
    # The widest first, so that the narrower ones lie on top; the legend keeps the order of the caller.
    order = sorted(range(len(curves)), key=lambda i: -float(np.ptp(curves[i][1]) * np.ptp(curves[i][2])))

    with _canvas.canvas(ax, size=(5.4, 4.6)) as (one,):
        from matplotlib.colors import to_rgb

        drawn = {}
        for rank, index in enumerate(order):
            level, x, y = curves[index]
            share = (rank + 1) / (len(order) + 1)
            fill = tuple(1 - (1 - c) * (0.15 + 0.6 * share) for c in to_rgb(BLUE))
            drawn[index] = one.fill(x, y, facecolor=fill, edgecolor=BLUE, linewidth=1.3, label=_level_name(level))[0]
        handles = [drawn[index] for index in range(len(curves))]
        handles += one.plot(
            *middle, "*", color=BLACK, markersize=11, markeredgecolor="white", label="best fit", zorder=5
        )
        if right is not None:
            handles += one.plot(*right, "x", color=VERMILION, markersize=9, markeredgewidth=2, label="truth", zorder=6)
        one.margins(0.08)
        one.set_xlabel(xlabel)
        one.set_ylabel(ylabel)
        one.set_title(title, loc="left")
        one.legend(handles=handles, loc="best")
    return one


def _level_name(level: Any) -> str:
    """A level as a reader writes it."""
    if isinstance(level, str):
        return level
    value = number("contour level", level, positive=True)
    return f"{100 * value:.3g} % CL" if value < 1 else rf"$\Delta\chi^2 = {value:.3g}$"
