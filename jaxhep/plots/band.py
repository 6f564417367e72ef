"""A prediction with its uncertainty bands."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, CYCLE, Axes
from jaxhep.plots._checks import Values, bin_edges, errors, numbers


def uncertainty_band(
    edges: Values,
    nominal: Values,
    bands: Mapping[str, tuple[Values, Values]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    nominal_label: str = "prediction",
    data: Values | None = None,
    data_error: Values | None = None,
    axes: Any | None = None,
) -> tuple[Axes, Axes]:
    """A histogram with bands of variations, and below all of it as ratios to the histogram, with data if there are any.

    Bands are drawn in the order given, each over those before: put the widest first.

    Args:
        edges: bin edges, shape (bins + 1,), increasing, in the units of `xlabel`.
        nominal: heights of the prediction, shape (bins,).
        bands: label → (lowest, highest heights), each of shape (bins,), as `Band.envelope` of `expectation.band`.
        xlabel: label of the observable, with unit.
        ylabel: label of the heights, with unit.
        title: title of the upper panel.
        nominal_label: name of the prediction.
        data: measured heights, shape (bins,); None for none.
        data_error: their standard errors, shape (bins,).
        axes: two axes to draw into (main, ratio); None makes a figure.

    Returns:
        (main, ratio), the two axes.

    Raises:
        ValueError: lengths that disagree, edges that do not increase, NaN, no band, a band whose lower side is above
            its upper side, a prediction without a filled bin, data without errors.

    Example:
        >>> main, ratio = uncertainty_band([0, 1, 2], [4.0, 2.0], {"scale": ([3.8, 1.9], [4.1, 2.2])},
        ...                                xlabel=r"$1-T$", ylabel=r"$1/\\sigma\\ d\\sigma/dT$")
        >>> len(ratio.patches)
        2
        >>> import matplotlib.pyplot as plt; plt.close(main.figure)
    """
    x = bin_edges(edges)
    bins = x.size - 1
    centre_line = numbers("nominal", nominal, bins)
    if not bands:
        raise ValueError("bands is empty; pass at least one label: (low, high)")
    if (data is None) != (data_error is None):
        raise ValueError("data and data_error belong together; pass both or neither")
    shown = {}
    for label, (low, high) in bands.items():
        pair = numbers(f"bands[{label!r}] low", low, bins), numbers(f"bands[{label!r}] high", high, bins)
        if np.any(pair[0] > pair[1]):
            raise ValueError(f"bands[{label!r}] has its lower side above the upper one; pass (low, high)")
        shown[label] = pair
    if not np.any(centre_line > 0):
        raise ValueError("nominal has no filled bin; there is nothing to take a ratio to")
    scale = np.where(centre_line > 0, centre_line, np.nan)
    centre = 0.5 * (x[1:] + x[:-1])
    seen = None if data is None else numbers("data", data, bins)
    seen_error = None if data_error is None else errors("data_error", data_error, bins)

    with _canvas.canvas(axes, panels=2, size=(6.2, 6.0), heights=(2.0, 1.4)) as (main, ratio):
        reach = [0.02]
        for index, (label, (low, high)) in enumerate(shown.items()):
            colour = CYCLE[index % len(CYCLE)]
            for ax, unit in ((main, np.ones(bins)), (ratio, scale)):
                _canvas.band(ax, x, low / unit, high / unit, color=colour, alpha=0.4, label=label)
            reach += [float(np.nanmax(np.abs(side / scale - 1))) for side in (low, high)]
        for ax, unit in ((main, np.ones(bins)), (ratio, scale)):
            ax.stairs(centre_line / unit, x, baseline=None, color=BLACK, linewidth=1.3, label=nominal_label)
            if seen is not None and seen_error is not None:
                ax.errorbar(
                    centre, seen / unit, yerr=seen_error / unit, fmt="o", color=BLACK, markersize=3.6, linewidth=1.1,
                    label="data", zorder=5,
                )  # fmt: skip
        heights = [centre_line, *(side for pair in shown.values() for side in pair)]
        if seen is not None and seen_error is not None:
            heights.append(seen)
            away = np.abs(seen / scale - 1) + seen_error / scale
            reach.append(float(np.nanquantile(away, 0.9)))
        if not _canvas.log_or_linear(main, *heights):
            _canvas.headroom(main, 0.15)
        half = min(1.15 * max(reach), 0.95)
        ratio.set_ylim(1 - half, 1 + half)
        for ax in (main, ratio):
            ax.set_xlim(x[0], x[-1])
        main.set_ylabel(ylabel)
        main.set_title(title, loc="left")
        ratio.set_ylabel(f"ratio to {nominal_label}", loc="center")
        ratio.set_xlabel(xlabel)
        main.legend(loc="best")
    return main, ratio


__all__ = ["uncertainty_band"]
