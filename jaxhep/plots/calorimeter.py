"""Pictures of showers in a calorimeter: energy along the depth, and in depth and radius."""

from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, BLUE, Axes
from jaxhep.plots._checks import Values, bin_edges, errors, number, numbers


def longitudinal_profile(
    edges: Values,
    energies: Values,
    spread: Values,
    *,
    expected: Values | None = None,
    xlabel: str = "depth [$X_0$]",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """The energy in each layer of a calorimeter over the depth, divided by the layer's thickness.

    Bars are the mean over showers with their spread from shower to shower; layers without thickness are left out.

    Args:
        edges: where the layers begin and end, shape (layer + 1,), not falling, in the unit of `xlabel`
            (`Layers.depth_edges`).
        energies: mean energy of each layer in GeV, shape (layer,).
        spread: its standard deviation from shower to shower, shape (layer,).
        expected: another profile to compare with, in GeV, shape (layer,).
        xlabel: label of the depth, with unit.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: shapes that disagree, NaN, edges that do not increase, negative spreads.

    Example:
        >>> ax = longitudinal_profile([0.0, 2.0, 4.0], [3.0, 1.0], [0.5, 0.4])
        >>> ax.get_xlabel()
        'depth [$X_0$]'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    places = numbers("edges", edges)
    keep = np.concatenate([[True], np.diff(places) != 0])
    kept = bin_edges(places[keep])
    count = places.size - 1
    height, width = numbers("energies", energies, count), errors("spread", spread, count)
    other = None if expected is None else numbers("expected", expected, count)
    layers = keep[1:]
    thickness = np.diff(kept)
    density, error = height[layers] / thickness, width[layers] / thickness
    with _canvas.canvas(ax) as (one,):
        one.stairs(density, kept, color=BLUE, linewidth=1.8, label="mean")
        _canvas.band(one, kept, density - error, density + error, color=BLUE, alpha=0.25, label="spread")
        if other is not None:
            one.stairs(other[layers] / thickness, kept, color=BLACK, linestyle="--", label="expected")
        one.set_xlim(kept[0], kept[-1])
        one.set_ylim(bottom=min(0.0, float(np.min(density - error))))
        _canvas.headroom(one, 0.12)
        unit = xlabel.rpartition("[")[2].rstrip("]") if "[" in xlabel else "unit"
        one.set_xlabel(xlabel)
        one.set_ylabel(f"energy per depth [GeV / {unit}]")
        one.set_title(title, loc="left")
        one.legend(loc="upper right")
    return one


def shower_picture(
    energies: Any,
    layer_edges: Values,
    radius_edges: Values,
    *,
    decades: Any = 5.0,
    xlabel: str = "depth [cm]",
    ylabel: str = "radius [cm]",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """The energy of a shower, or the mean of many, in depth and radius (or depth and x).

    Args:
        energies: in GeV, shape (layer, ring): `cells.sum(axis=1)` of a calorimeter with `Rings`.
        layer_edges: shape (layer + 1,), increasing.
        radius_edges: shape (ring + 1,), increasing.
        decades: what lies further below the largest energy is left white.
        xlabel: label of the depth.
        ylabel: label of the radius.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: shapes that disagree, NaN, edges that do not increase, no energy above zero.

    Example:
        >>> ax = shower_picture([[1.0, 0.1], [2.0, 0.0]], [0.0, 1.0, 2.0], [0.0, 1.0, 3.0])
        >>> ax.get_ylabel()
        'radius [cm]'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    from matplotlib.colors import LogNorm

    depth, radius = bin_edges(layer_edges), bin_edges(radius_edges)
    span = number("decades", decades, positive=True)
    table = np.asarray(energies, dtype=np.float64)
    if table.shape != (depth.size - 1, radius.size - 1):
        raise ValueError(
            f"energies must have shape {(depth.size - 1, radius.size - 1)}, layers and rings of the edges, not "
            f"{table.shape}"
        )
    if not np.all(np.isfinite(table)):
        raise ValueError("energies holds NaN or infinity; a calorimeter gives neither")
    top = float(table.max())
    if top <= 0:
        raise ValueError("no energy lies above zero; there is no shower to draw")
    with _canvas.canvas(ax, size=(6.8, 4.0)) as (one,):
        shown = np.ma.masked_less(table.T, top * 10.0**-span)
        scale = LogNorm(top * 10.0**-span, top)
        image = one.pcolormesh(depth, radius, shown, cmap="viridis", norm=scale, rasterized=True, linewidth=0)
        one.set_xlim(depth[0], depth[-1])
        one.set_ylim(radius[0], radius[-1])
        one.set_xlabel(xlabel)
        one.set_ylabel(ylabel)
        one.set_title(title, loc="left")
        bar = one.figure.colorbar(image, ax=[one], label="energy [GeV]", pad=0.02, fraction=0.05)
        bar.ax.tick_params(direction="out", labelsize=10.5, which="both")
    return one


__all__ = ["longitudinal_profile", "shower_picture"]
