"""The look of the pictures: palette, type, ticks; a canvas that brings them without touching matplotlib's settings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

Axes = Any
"""A `matplotlib.axes.Axes`; matplotlib is imported by the functions, so its names are not at hand for annotations."""

# Okabe and Ito's colours: told apart with each kind of colour blindness, and in print.
BLACK, GREY, LIGHT = "#000000", "#6F6F6F", "#DADADA"
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PINK, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY)
DASHES = ("--", "-", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))

_TICKS = {"direction": "in", "top": True, "right": True, "labelsize": 10.5}


def style() -> dict[str, Any]:
    """The house style: mplhep's ATLAS sheet for ticks and labels, with type and sizes fit for a page."""
    import mplhep
    from matplotlib import font_manager

    sheet = {k: v for k, v in mplhep.style.ATLAS.items() if k.startswith(("xtick.", "ytick.", "xaxis.", "yaxis."))}
    # Concrete family names, since "sans-serif" would be looked up again, under other settings, when the figure is
    # saved.
    fonts = [name for name in ("TeX Gyre Heros", "DejaVu Sans") if name in font_manager.get_font_names()]
    return sheet | {
        "font.family": fonts,
        "font.size": 11,
        "mathtext.fontset": "stixsans",
        "axes.labelsize": 13,
        "axes.titlesize": 12,
        "axes.linewidth": 0.9,
        "xtick.labelsize": 10.5,
        "ytick.labelsize": 10.5,
        "xtick.major.size": 6,
        "xtick.minor.size": 3,
        "ytick.major.size": 6,
        "ytick.minor.size": 3,
        "lines.linewidth": 1.6,
        "legend.frameon": False,
        "legend.fontsize": 10.5,
        "legend.handlelength": 2.0,
        "figure.dpi": 110,
        "figure.facecolor": "white",
    }


@contextmanager
def canvas(
    axes: Any | None,
    *,
    panels: int = 1,
    size: tuple[float, float] = (6.0, 4.4),
    heights: Sequence[float] = (3.0, 1.0),
    layout: Any = "constrained",
) -> Iterator[tuple[Axes, ...]]:
    """Gives `panels` axes, stacked and sharing x, in the house style; or those of the caller, in the caller's style.

    matplotlib's settings are as before afterwards. Ticks are made when the figure is drawn, under whatever settings
    hold then, so their look is written into the axes here.

    Args:
        axes: None for a new figure; otherwise one axes, or a sequence of `panels` of them.
        panels: how many axes.
        size: of a new figure, width and height in inches.
        heights: relative heights of the panels of a new figure.
        layout: matplotlib's layout engine; "compressed" for axes of fixed aspect.
    """
    import matplotlib as mpl

    if axes is not None:
        given = tuple(np.ravel(np.asarray(axes, dtype=object)))
        if len(given) != panels:
            raise ValueError(f"this picture needs {panels} axes, but {len(given)} were given")
        if not all(hasattr(one, "get_xlim") for one in given):
            raise TypeError(f"axes must be matplotlib axes, not {type(given[0]).__name__}")
        yield given
        return
    settings: Any = style()
    with mpl.rc_context(settings):
        figure = _new_figure(size, layout)
        figure.get_layout_engine().set(rect=(0.012, 0.012, 0.976, 0.976))
        if panels == 1:
            own = (figure.subplots(),)
        else:
            own = tuple(figure.subplots(panels, 1, sharex=True, gridspec_kw={"height_ratios": list(heights)}))
            figure.get_layout_engine().set(hspace=0.0, h_pad=0.03)
        try:
            yield own
        except BaseException:
            close(figure)  # a refused picture leaves no empty figure behind
            raise
        for one in own:
            one.tick_params(which="both", **_TICKS)
            one.tick_params(which="major", length=6, width=0.9)
            one.tick_params(which="minor", length=3, width=0.7)
        figure.align_ylabels(own)


def _new_figure(size: tuple[float, float], layout: Any) -> Any:
    """A pyplot figure, which notebooks show; a bare one where the chosen backend has no display to open."""
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    try:
        return plt.figure(figsize=size, layout=layout)
    except ImportError:
        return Figure(figsize=size, layout=layout)


def close(figure: Any) -> None:
    """Takes a figure out of pyplot's list of open figures."""
    import matplotlib.pyplot as plt

    plt.close(figure)


def band(ax: Axes, edges: np.ndarray, low: np.ndarray, high: np.ndarray, **options: Any) -> Any:
    """A filled step from `low` to `high`, bin by bin; bins that are not finite stay empty."""
    return ax.stairs(high, edges, baseline=low, fill=True, linewidth=0, **options)


def shade_outside(ax: Axes, edges: np.ndarray, fit_range: tuple[float, float], label: str | None = None) -> None:
    """Greys what lies outside of the fit range."""
    low, high = max(fit_range[0], edges[0]), min(fit_range[1], edges[-1])
    for start, stop in ((edges[0], low), (high, edges[-1])):
        if stop > start:
            ax.axvspan(start, stop, facecolor=LIGHT, alpha=0.55, linewidth=0, zorder=0, label=label)
            label = None
    for place in (low, high):
        if edges[0] < place < edges[-1]:
            ax.axvline(place, color=GREY, linewidth=0.8, linestyle=":", zorder=0.5)


def log_or_linear(ax: Axes, *arrays: np.ndarray) -> bool:
    """Makes y logarithmic where the values span a factor of 30 and none is negative; says whether it did."""
    everything = np.concatenate([np.ravel(a) for a in arrays])
    positive = everything[everything > 0]
    if np.any(everything < 0) or positive.size < 2 or positive.max() < 30 * positive.min():
        return False
    ax.set_yscale("log")
    ax.set_ylim(positive.min() / 2.5, positive.max() * 4)
    return True


def no_ticks() -> Any:
    """A locator without ticks, for the minor ticks between names."""
    from matplotlib.ticker import NullLocator

    return NullLocator()


def headroom(ax: Axes, share: float) -> None:
    """Leaves `share` of a linear y axis free above what is drawn, for a legend."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + share * (high - low))
