"""Histograms beside each other: data with predictions, and moved with regenerated templates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, CYCLE, DASHES, GREY, Axes
from jaxhep.plots._checks import Values, bin_edges, errors, interval_of, numbers


def data_mc_ratio(
    edges: Values,
    data: Values,
    data_error: Values,
    predictions: Mapping[str, tuple[Values, Values]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    fit_range: Sequence[Any] | None = None,
    axes: Any | None = None,
) -> tuple[Axes, Axes]:
    """Data with one or more predictions, and below the ratio of each prediction to data.

    The upper panel is logarithmic where the heights span a factor of 30 or more. Bands are the standard errors:
    coloured those of the predictions, grey in the lower panel that of the data. What is outside of `fit_range` is
    greyed. A ratio that does not fit into the lower panel is marked by a triangle at its rim; a bin with no data has
    no ratio.

    Args:
        edges: bin edges, shape (bins + 1,), increasing, in the units of `xlabel`.
        data: heights of the data, shape (bins,).
        data_error: their standard errors, shape (bins,).
        predictions: label → (heights, standard errors), each of shape (bins,); drawn in this order, e.g. before and
            after the fit.
        xlabel: label of the observable, with unit.
        ylabel: label of the heights, with unit.
        title: title of the upper panel.
        fit_range: (low, high) on the x axis; None greys nothing.
        axes: two axes to draw into (main, ratio); None makes a figure.

    Returns:
        (main, ratio), the two axes.

    Raises:
        ValueError: lengths that disagree, edges that do not increase, NaN, negative errors, no prediction, an empty
            range.

    Example:
        >>> main, ratio = data_mc_ratio([0, 1, 2], [4.0, 2.0], [0.2, 0.1], {"fit": ([4.2, 1.9], [0.1, 0.1])},
        ...                             xlabel=r"$1-T$", ylabel=r"$1/\\sigma\\ d\\sigma/dT$")
        >>> ratio.get_ylabel()
        'MC / data'
        >>> import matplotlib.pyplot as plt; plt.close(main.figure)
    """
    x = bin_edges(edges)
    bins = x.size - 1
    seen, seen_error = numbers("data", data, bins), errors("data_error", data_error, bins)
    if not predictions:
        raise ValueError("predictions is empty; pass at least one label: (values, error)")
    curves = {
        label: (numbers(f"predictions[{label!r}] values", v, bins), errors(f"predictions[{label!r}] error", e, bins))
        for label, (v, e) in predictions.items()
    }
    limits = None if fit_range is None else interval_of("fit_range", fit_range)
    if limits is not None and not (limits[0] < x[-1] and limits[1] > x[0]):
        raise ValueError(f"fit_range {limits} lies outside of the bins, [{x[0]}, {x[-1]}]")
    centre = 0.5 * (x[1:] + x[:-1])
    filled = seen > 0
    scale = np.where(filled, seen, np.nan)

    with _canvas.canvas(axes, panels=2, size=(6.2, 6.0), heights=(2.6, 1.0)) as (main, ratio):
        if limits is not None:
            _canvas.shade_outside(main, x, limits, "not fitted")
            _canvas.shade_outside(ratio, x, limits)
        _canvas.band(
            ratio, x, 1 - seen_error / scale, 1 + seen_error / scale, color=GREY, alpha=0.35, label="data error"
        )
        ratio.axhline(1.0, color=BLACK, linewidth=0.8)
        for index, (label, (values, error)) in enumerate(curves.items()):
            colour, dash = CYCLE[index % len(CYCLE)], DASHES[index % len(DASHES)]
            for ax, unit in ((main, np.ones(bins)), (ratio, scale)):
                _canvas.band(ax, x, (values - error) / unit, (values + error) / unit, color=colour, alpha=0.28)
                ax.stairs(values / unit, x, baseline=None, color=colour, linestyle=dash, linewidth=1.7, label=label)
        main.errorbar(
            centre, seen, yerr=seen_error, fmt="o", color=BLACK, markersize=4, linewidth=1.1, label="data", zorder=5
        )
        heights = np.concatenate([seen, *(values for values, _ in curves.values())])
        if not _canvas.log_or_linear(main, heights):
            _canvas.headroom(main, 0.15)
        _ratio_limits(ratio, x, limits, seen_error / scale, [values / scale for values, _ in curves.values()])
        ratio.set_xlim(x[0], x[-1])
        main.set_xlim(x[0], x[-1])
        main.set_ylabel(ylabel)
        ratio.set_ylabel("MC / data", loc="center")
        ratio.set_xlabel(xlabel)
        main.set_title(title, loc="left")
        handles, names = main.get_legend_handles_labels()
        order = sorted(range(len(names)), key=lambda i: (names[i] == "not fitted", names[i] != "data"))
        main.legend([handles[i] for i in order], [names[i] for i in order], loc="best")
    return main, ratio


def _ratio_limits(
    ax: Axes, edges: np.ndarray, limits: tuple[float, float] | None, error: np.ndarray, ratios: list[np.ndarray]
) -> None:
    """Chooses the range of the ratio by the fitted bins, and marks with triangles what falls outside of it."""
    inside = np.isfinite(error)
    if limits is not None:
        chosen = inside & (edges[:-1] >= limits[0] - 1e-12) & (edges[1:] <= limits[1] + 1e-12)
        inside = chosen if np.any(chosen) else inside
    if not np.any(inside):
        return
    far = max(np.max(np.abs(r[inside] - 1)) for r in ratios)
    half = float(np.clip(1.3 * max(far, 1.5 * np.median(error[inside])), 0.02, 0.95))
    ax.set_ylim(1 - half, 1 + half)
    centre = 0.5 * (edges[1:] + edges[:-1])
    for index, values in enumerate(ratios):
        rim = 0.05 + 0.09 * index
        for away, place, marker in ((values > 1 + half, 1 - rim, "^"), (values < 1 - half, rim, "v")):
            if np.any(away):
                ax.plot(
                    centre[away], np.full(int(np.sum(away)), place), marker, transform=ax.get_xaxis_transform(),
                    color=CYCLE[index % len(CYCLE)], markersize=5,
                    markeredgecolor="white", markeredgewidth=0.4, zorder=6,
                )  # fmt: skip


def moved_vs_regenerated(
    edges: Values,
    base: Values,
    moved: Values,
    regenerated: Values,
    moved_error: Values,
    regenerated_error: Values,
    *,
    xlabel: str,
    title: str = "",
    moved_label: str = "moved, same events",
    regenerated_label: str = "regenerated, new events",
    axes: Any | None = None,
) -> tuple[Axes, Axes]:
    """A moved and a regenerated template as ratios to their base, and below the errors of the two ratios.

    The errors are those of the **shift**, template − base. A moved template shares its events with the base, so the
    error of its shift is much smaller than that of the template itself; a regenerated one has the errors of both
    samples. The median over the bins of (regenerated error / moved error)² is the factor of events saved; it is
    written into the lower panel.

    Args:
        edges: bin edges, shape (bins + 1,), increasing.
        base: heights at the starting parameters, shape (bins,).
        moved: heights after moving the same events, shape (bins,).
        regenerated: heights of a new sample at the new parameters, shape (bins,).
        moved_error: standard error of moved − base, shape (bins,).
        regenerated_error: standard error of regenerated − base, shape (bins,).
        xlabel: label of the observable, with unit.
        title: title of the upper panel, e.g. which parameter was moved from where to where.
        moved_label: name of the moved template.
        regenerated_label: name of the regenerated template.
        axes: two axes to draw into (ratio, error); None makes a figure.

    Returns:
        (ratio, error), the two axes.

    Raises:
        ValueError: lengths that disagree, edges that do not increase, NaN, negative errors, a base without a filled
            bin.

    Example:
        >>> upper, lower = moved_vs_regenerated([0, 1, 2], [4.0, 2.0], [4.2, 1.9], [4.3, 1.8], [0.02, 0.02], [0.1, 0.1],
        ...                                     xlabel=r"$1-T$")
        >>> lower.texts[0].get_text()
        'median variance ratio: 25'
        >>> import matplotlib.pyplot as plt; plt.close(upper.figure)
    """
    x = bin_edges(edges)
    bins = x.size - 1
    start = numbers("base", base, bins)
    kinds = (
        (moved_label, numbers("moved", moved, bins), errors("moved_error", moved_error, bins)),
        (
            regenerated_label,
            numbers("regenerated", regenerated, bins),
            errors("regenerated_error", regenerated_error, bins),
        ),
    )
    if not np.any(start > 0):
        raise ValueError("base has no filled bin; there is nothing to take a ratio to")
    scale = np.where(start > 0, start, np.nan)
    centre = 0.5 * (x[1:] + x[:-1])

    with _canvas.canvas(axes, panels=2, size=(6.2, 5.6), heights=(2.0, 1.0)) as (ratio, error_ax):
        ratio.axhline(1.0, color=GREY, linewidth=0.9, linestyle=":", label="base")
        reach = []
        for (label, values, error), colour, is_moved in zip(kinds, CYCLE, (True, False), strict=False):
            value, spread = values / scale, error / scale
            if is_moved:
                _canvas.band(ratio, x, value - spread, value + spread, color=colour, alpha=0.35, zorder=2)
                ratio.stairs(value, x, baseline=None, color=colour, linewidth=1.7, label=label, zorder=3)
            else:
                ratio.errorbar(
                    centre, value, yerr=spread, fmt="o", color=colour, markersize=3.6, linewidth=1.1,
                    label=label, zorder=4,
                )  # fmt: skip
            # Unfilled rather than zero in a bin without events: a logarithm follows.
            shown = np.where(spread > 0, spread, np.nan)
            error_ax.stairs(
                100 * shown, x, baseline=None, color=colour, linewidth=1.7, linestyle="-" if is_moved else "--"
            )
            reach.append(np.array([value - spread, value + spread]))
        if not _canvas.log_or_linear(error_ax, *(100 * np.nan_to_num(e / scale) for _, _, e in kinds)):
            _canvas.headroom(error_ax, 0.35)
        ratio.set_ylim(*_reach(np.stack(reach), start))
        error_ax.set_xlim(x[0], x[-1])
        ratio.set_xlim(x[0], x[-1])
        ratio.set_ylabel("template / base")
        error_ax.set_ylabel("error [%]", loc="center")
        error_ax.set_xlabel(xlabel)
        ratio.set_title(title, loc="left")
        ratio.legend(loc="best")
        both = (kinds[0][2] > 0) & (kinds[1][2] > 0) & (start > 0)
        if np.any(both):
            saved = float(np.median((kinds[1][2][both] / kinds[0][2][both]) ** 2))
            error_ax.text(
                0.5, 0.93, f"median variance ratio: {saved:.3g}", transform=error_ax.transAxes, ha="center", va="top",
                fontsize=10.5,
            )  # fmt: skip
    return ratio, error_ax


def _reach(spans: np.ndarray, base: np.ndarray) -> tuple[float, float]:
    """Limits that hold the error bars of all but the emptiest bins, with room for a legend above."""
    full = base >= 1e-3 * np.max(base)
    low, high = float(np.nanmin(spans[..., full])), float(np.nanmax(spans[..., full]))
    low, high = min(low, 1.0), max(high, 1.0)
    room = max(high - low, 0.02)
    return low - 0.08 * room, high + 0.5 * room
