"""Rates of events side by side."""

from collections.abc import Sequence

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, BLUE, GREY, Axes
from jaxhep.plots._checks import Values, errors, numbers


def benchmark_bars(
    names: Sequence[str],
    rates: Values,
    *,
    rate_error: Values | None = None,
    reference: str | None = None,
    xlabel: str = "events per second",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Horizontal bars of rates, each with its number and, if wanted, its ratio; logarithmic beyond a factor of 30.

    Args:
        names: of the programs or configurations, length n, all different; the first is drawn on top.
        rates: shape (n,), above zero, events/s.
        rate_error: standard errors of the rates, shape (n,).
        reference: the name that the others are compared with; it is drawn in grey.
        xlabel: label of the rates.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: lengths that disagree, rates ≤ 0 or NaN, a doubled name, a reference that is not among the names.

    Example:
        >>> ax = benchmark_bars(["jaxhep", "Pythia 8"], [2.0e6, 2.5e4], reference="Pythia 8")
        >>> ax.texts[0].get_text()
        '2.0M  (80×)'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    size = len(names)
    if size == 0 or len(set(names)) != size:
        raise ValueError("names must hold at least one entry, and none twice")
    values = numbers("rates", rates, size)
    if np.any(values <= 0):
        raise ValueError("rates must be above zero; leave out what did not run")
    spread = None if rate_error is None else errors("rate_error", rate_error, size)
    if reference is not None and reference not in names:
        raise ValueError(f"reference {reference!r} is not among the names {list(names)}")
    unit = None if reference is None else values[list(names).index(reference)]

    with _canvas.canvas(ax, size=(6.4, 1.3 + 0.48 * size)) as (one,):
        colours = [GREY if name == reference else BLUE for name in names]
        place = np.arange(size)[::-1]
        one.barh(place, values, height=0.62, color=colours, xerr=spread, error_kw={"ecolor": BLACK, "elinewidth": 1.1})
        logarithmic = np.max(values) > 30 * np.min(values)
        if logarithmic:
            one.set_xscale("log")
            least, most = float(np.min(values)), float(np.max(values))
            one.set_xlim(10 ** np.floor(np.log10(least) - 0.3), most * (most / least) ** 0.45)
        else:
            one.set_xlim(0, 1.35 * np.max(values))
        bars = np.zeros(size) if spread is None else spread
        for height, name, value, error in zip(place, names, values, bars, strict=True):
            ratio = "" if unit is None or name == reference else f"  ({_times(value / unit)}×)"
            one.annotate(
                _compact(value) + ratio,
                (value + error, height),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                ha="left",
                fontsize=10.5,
            )
        one.set_yticks(place, list(names))
        one.set_ylim(-0.6, size - 0.4)
        one.set_xlabel(xlabel)
        one.set_title(title, loc="left")
    if ax is None:
        one.tick_params(axis="y", which="both", length=0)
        one.tick_params(axis="x", which="both", top=False)
    return one


def _times(ratio: float) -> str:
    """A ratio in three digits, without powers of ten: 80, 0.52, 12,900."""
    return f"{float(f'{ratio:.3g}'):,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def _compact(value: float) -> str:
    """A rate in few signs: 25k, 2.0M, 1.3G."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.0f}{sign}" if scaled >= 10 else f"{scaled:.1f}{sign}"
    return f"{value:.3g}"
