"""All columns of two samples against each other: truth and model, with their ratios."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, BLUE, GREY, VERMILION, Axes
from jaxhep.plots._checks import Values, numbers


def corner(
    truth: Values,
    model: Values,
    names: Sequence[str],
    *,
    truth_weights: Values | None = None,
    model_weights: Values | None = None,
    bins: int = 30,
    coverage: float = 0.995,
    labels: tuple[str, str] = ("truth", "model"),
    title: str = "",
    ax: Any | None = None,
) -> tuple[Axes, ...]:
    r"""Histograms of each column with the ratio model/truth below, and for each pair the regions of 39 and 86 %.

    Each histogram has unit sum; errors are \(\sqrt{\sum w^2}\) of the bin. The regions of a pair are the smallest that
    hold 39 % and 86 % of the weight, those of one and two standard deviations of a normal density in two dimensions:
    filled for the truth, lines for the model. The range of a column holds the share `coverage` of the truth.

    Args:
        truth: shape (event, column).
        model: shape (event, column), any number of events.
        names: of the columns, with unit.
        truth_weights: shape (event,), negative ones allowed; None for ones.
        model_weights: the same for the model.
        bins: number of bins of a column.
        coverage: share of the truth that lies in the range of a column, in (0, 1].
        labels: what the two samples are called.
        title: title of the figure's first panel.
        ax: the axes to draw into, in the order of the result; None makes a figure.

    Returns:
        The axes: histogram and ratio of each column in turn, then the pairs (0, 1), (0, 2), (1, 2) …

    Raises:
        ValueError: shapes that disagree, NaN, a column without spread, weights whose sum is not above zero.

    Example:
        >>> import numpy as np
        >>> draws = np.random.default_rng(0).normal(size=(2, 500, 2))
        >>> axes = corner(draws[0], draws[1], ["x", "y"])
        >>> len(axes)
        5
        >>> import matplotlib.pyplot as plt; plt.close(axes[0].figure)
    """
    count = len(names)
    tables = [_table(what, values, count) for what, values in (("truth", truth), ("model", model))]
    weights = [
        _weights(what, given, len(table))
        for (what, given), table in zip(
            (("truth_weights", truth_weights), ("model_weights", model_weights)), tables, strict=True
        )
    ]
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage}")
    edges = [_edges(names[i], tables[0][:, i], bins, coverage) for i in range(count)]
    panels = 2 * count + count * (count - 1) // 2
    import matplotlib as mpl

    if ax is not None:
        with _canvas.canvas(ax, panels=panels) as given:
            _draw(given, tables, weights, names, edges, labels, title)
        return given
    settings: Any = _canvas.style()
    with mpl.rc_context(settings):
        axes = _grid(count)
        try:
            _draw(axes, tables, weights, names, edges, labels, title)
        except BaseException:
            _canvas.close(axes[0].figure)
            raise
    return axes


def _table(what: str, values: Any, count: int) -> np.ndarray:
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or table.shape[1] != count or len(table) < 2:
        raise ValueError(f"{what} must have shape (event, {count}) as there are names, got {table.shape}")
    if not np.all(np.isfinite(table)):
        rows = np.flatnonzero(~np.isfinite(table).all(axis=1))
        raise ValueError(f"{what} is not finite in {len(rows)} rows (first row {rows[0]}); remove or repair them")
    return table


def _weights(what: str, values: Any, count: int) -> np.ndarray:
    array = np.ones(count) if values is None else numbers(what, values, count)
    if not array.sum() > 0:
        raise ValueError(f"{what} sum to {array.sum():.3g}; a histogram of unit sum needs a sum above zero")
    return array / array.sum()


def _edges(name: str, column: np.ndarray, bins: int, coverage: float) -> np.ndarray:
    low, high = np.quantile(column, [(1 - coverage) / 2, (1 + coverage) / 2])
    if not low < high:
        raise ValueError(f"the column {name!r} of truth has no spread; leave it out")
    return np.linspace(low, high, bins + 1)


def _grid(count: int) -> tuple[Axes, ...]:
    """The axes of a new figure: a lower triangle, each diagonal cell with its ratio below."""
    size = 1.2 + 2.3 * count
    figure = _canvas._new_figure((size, size), "constrained")
    figure.get_layout_engine().set(rect=(0.012, 0.012, 0.976, 0.976))
    grid = figure.add_gridspec(count, count)
    diagonal: list[Axes] = []
    for i in range(count):
        inner = grid[i, i].subgridspec(2, 1, height_ratios=(2.4, 1.0), hspace=0.0)
        upper = figure.add_subplot(inner[0])
        diagonal += [upper, figure.add_subplot(inner[1], sharex=upper)]
    pairs = [figure.add_subplot(grid[j, i]) for i in range(count) for j in range(i + 1, count)]
    return (*diagonal, *pairs)


def _draw(
    axes: Sequence[Axes],
    tables: list[np.ndarray],
    weights: list[np.ndarray],
    names: Sequence[str],
    edges: list[np.ndarray],
    labels: tuple[str, str],
    title: str,
) -> None:
    count = len(names)
    for i in range(count):
        _column(axes[2 * i], axes[2 * i + 1], [t[:, i] for t in tables], weights, edges[i], labels)
        axes[2 * i + 1].set_xlabel(names[i])
    axes[0].set_title(title, loc="left")
    axes[0].legend(loc="best", fontsize=9)
    place = 2 * count
    for i in range(count):
        for j in range(i + 1, count):
            _pair(axes[place], [t[:, [i, j]] for t in tables], weights, (edges[i], edges[j]))
            axes[place].set_xlabel(names[i])
            axes[place].set_ylabel(names[j])
            place += 1


def _column(
    main: Axes, ratio: Axes, columns: list[np.ndarray], weights: list[np.ndarray], edges: np.ndarray,
    labels: tuple[str, str],
) -> None:  # fmt: skip
    heights, errors = [], []
    for column, weight in zip(columns, weights, strict=True):
        heights.append(np.histogram(column, edges, weights=weight)[0])
        errors.append(np.sqrt(np.histogram(column, edges, weights=weight**2)[0]))
    centre = 0.5 * (edges[1:] + edges[:-1])
    main.errorbar(
        centre, heights[0], yerr=errors[0], fmt="o", color=BLACK, markersize=2.5, linewidth=0.9, label=labels[0]
    )
    main.stairs(heights[1], edges, baseline=None, color=VERMILION, linewidth=1.4, label=labels[1])
    _canvas.headroom(main, 0.25)
    main.tick_params(labelbottom=False)
    scale = np.where(heights[0] > 0, heights[0], np.nan)
    _canvas.band(ratio, edges, 1 - errors[0] / scale, 1 + errors[0] / scale, color=GREY, alpha=0.35)
    ratio.axhline(1.0, color=BLACK, linewidth=0.8)
    ratio.errorbar(
        centre, heights[1] / scale, yerr=errors[1] / scale, fmt=".", color=VERMILION, markersize=3, linewidth=0.9
    )
    ratio.set_ylim(0.45, 1.55)
    main.set_xlim(edges[0], edges[-1])
    ratio.set_xlim(edges[0], edges[-1])
    main.set_ylabel("share per bin", fontsize=9)
    ratio.set_ylabel("ratio", loc="center", fontsize=9)


def _pair(ax: Axes, tables: list[np.ndarray], weights: list[np.ndarray], edges: tuple[np.ndarray, np.ndarray]) -> None:
    """Contours of the smallest regions with 39 and 86 % of the weight."""
    coarse = tuple(np.linspace(e[0], e[-1], max(12, len(e) // 2)) for e in edges)
    centres = [0.5 * (e[1:] + e[:-1]) for e in coarse]
    for which, (table, weight) in enumerate(zip(tables, weights, strict=True)):
        content = _smooth(np.histogram2d(table[:, 0], table[:, 1], coarse, weights=weight)[0])
        levels = _levels(content)
        if len(levels) < 2:
            continue
        if which == 0:
            ax.contourf(*centres, content.T, [*levels, content.max() * 1.01], colors=[BLUE], alpha=0.25)
            ax.contourf(*centres, content.T, [levels[1], content.max() * 1.01], colors=[BLUE], alpha=0.25)
        else:
            ax.contour(*centres, content.T, levels, colors=[VERMILION], linewidths=1.3)
    ax.set_xlim(edges[0][0], edges[0][-1])
    ax.set_ylim(edges[1][0], edges[1][-1])


def _smooth(content: np.ndarray) -> np.ndarray:
    """Binomial smoothing by one bin, for contours that do not follow every event."""
    for axis in (0, 1):
        padded = np.pad(content, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        parts = [np.take(padded, range(k, k + content.shape[axis]), axis) for k in range(3)]
        content = 0.25 * parts[0] + 0.5 * parts[1] + 0.25 * parts[2]
    return np.maximum(content, 0)


def _levels(content: np.ndarray) -> list[float]:
    """Contents above which lie 86 and 39 % of the weight; increasing, without doubles."""
    order = np.sort(content.ravel())[::-1]
    total = np.cumsum(order)
    found = [float(order[np.searchsorted(total, share * total[-1])]) for share in (0.8647, 0.3935)]
    return sorted({level for level in found if 0 < level < content.max()})
