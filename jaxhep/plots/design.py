"""Pictures of an optimised design: the way there, resolution, trade-offs, sensitivities, the detector."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, BLUE, CYCLE, GREY, LIGHT, ORANGE, SKY, VERMILION, Axes
from jaxhep.plots._checks import Values, numbers


def design_trajectory(
    objective: Any,
    error: Any = None,
    *,
    best: int = 0,
    ylabel: str = "objective",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """The objective at each step, one line a restart, with the error of a batch as a band of the best.

    Args:
        objective: shape (step,) or (step, restart).
        error: of the same shape, not negative, or None.
        best: the restart drawn in front.
        ylabel, title: words.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: another shape, NaN, a `best` that is not there.

    Example:
        >>> ax = design_trajectory([3.0, 2.0, 1.5])
        >>> ax.get_xlabel()
        'step'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    values = _table("objective", objective)
    spread = np.zeros_like(values) if error is None else _table("error", error)
    if spread.shape != values.shape:
        raise ValueError(f"error has shape {spread.shape}, but objective has {values.shape}: entries must pair up")
    if np.any(spread < 0):
        raise ValueError("error is negative somewhere; give standard errors")
    if not 0 <= best < values.shape[1]:
        raise ValueError(f"best must be a restart from 0 to {values.shape[1] - 1}, but is {best}")
    step = np.arange(len(values))
    with _canvas.canvas(ax, size=(6.0, 4.0)) as (one,):
        for restart in range(values.shape[1]):
            if restart != best:
                one.plot(step, values[:, restart], color=LIGHT, linewidth=1.0, zorder=1)
        low, high = values[:, best] - spread[:, best], values[:, best] + spread[:, best]
        one.fill_between(step, low, high, color=SKY, alpha=0.35, linewidth=0)
        one.plot(step, values[:, best], color=BLUE, label="batch estimate")
        one.set_xlabel("step")
        one.set_ylabel(ylabel)
        one.set_title(title, loc="left")
        one.legend(loc="upper right")
    return one


def _table(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape (step,) or (step, restart), but has {np.shape(values)}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} holds NaN or infinity")
    return array


def resolution_curves(
    energies: Values,
    curves: Mapping[str, tuple[Values, Values, Values, Values]],
    *,
    fits: Mapping[str, Callable[[np.ndarray], Any]] | None = None,
    title: str = "",
    axes: Any | None = None,
) -> tuple[Axes, Axes]:
    """Relative resolution above, bias below, against energy, of one or several detectors.

    Args:
        energies: in GeV, above zero, shape (bin,).
        curves: by name, (resolution, its error, bias, its error), each of shape (bin,), as fractions.
        fits: by name, σ/E as a function of energy (`jaxhep.reconstruction.fit_resolution`).
        title: title of the picture.
        axes: two axes; None makes a figure.

    Returns:
        The two axes.

    Raises:
        ValueError: no curve, lengths that differ, NaN, negative errors, energies not above zero.

    Example:
        >>> curve = ([0.1, 0.03], [0.01, 0.01], [0.0, 0.0], [0.01, 0.01])
        >>> upper, lower = resolution_curves([1.0, 10.0], {"now": curve})
        >>> lower.get_xlabel()
        'energy [GeV]'
        >>> import matplotlib.pyplot as plt; plt.close(upper.figure)
    """
    x = numbers("energies", energies)
    if np.any(x <= 0):
        raise ValueError("energies must be above zero")
    if not curves:
        raise ValueError("curves is empty; give at least one detector")
    parts: dict[str, list[np.ndarray]] = {}
    for name, row in curves.items():
        words = ("resolution", "its error", "bias", "error of the bias")
        pairs = zip(words, row, strict=True)
        parts[name] = [numbers(f"curves[{name!r}] {word}", values, x.size) for word, values in pairs]
        if any(np.any(parts[name][i] < 0) for i in (1, 3)):
            raise ValueError(f"curves[{name!r}] holds a negative error")
    fine = np.geomspace(x.min(), x.max(), 200)
    with _canvas.canvas(axes, panels=2, size=(6.0, 5.0), heights=(2.0, 1.0)) as (upper, lower):
        for i, (name, (width, width_error, bias, bias_error)) in enumerate(parts.items()):
            style = {"fmt": "osD^v<"[i % 6], "color": CYCLE[i % len(CYCLE)], "markersize": 5, "linewidth": 1.1}
            upper.errorbar(x, 100 * width, yerr=100 * width_error, label=name, **style)
            lower.errorbar(x, 100 * bias, yerr=100 * bias_error, **style)
            if fits is not None and name in fits:
                upper.plot(fine, 100 * np.asarray(fits[name](fine)), color=style["color"], linewidth=1.2, zorder=1)
        lower.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
        upper.set_xscale("log")
        upper.set_ylabel(r"$\sigma/E$ [%]")
        lower.set_ylabel("bias [%]")
        lower.set_xlabel("energy [GeV]")
        upper.set_ylim(bottom=0)
        upper.set_title(title, loc="left")
        upper.legend(loc="upper right")
    return upper, lower


def pareto_front(
    points: Any,
    errors: Any = None,
    *,
    others: Mapping[str, Any] | None = None,
    xlabel: str,
    ylabel: str,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Two objectives of the designs on a front, joined in order, among other designs.

    Args:
        points: shape (design, 2), both small when good.
        errors: of the same shape, or None.
        others: further designs by name, each of shape (design, 2): a cloud of random ones, the start.
        xlabel, ylabel, title: words.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: other shapes, NaN, negative errors.

    Example:
        >>> ax = pareto_front([[1.0, 2.0], [2.0, 1.0]], xlabel="σ/E", ylabel="price")
        >>> ax.get_ylabel()
        'price'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    front = _pairs("points", points)
    spread = np.zeros_like(front) if errors is None else _pairs("errors", errors)
    if spread.shape != front.shape or np.any(spread < 0):
        raise ValueError(f"errors must not be negative and of shape {front.shape}, but have {spread.shape}")
    clouds = {name: _pairs(f"others[{name!r}]", cloud) for name, cloud in (others or {}).items()}
    with _canvas.canvas(ax, size=(6.0, 4.4)) as (one,):
        for i, (name, cloud) in enumerate(clouds.items()):
            if len(cloud) > 3:
                one.plot(*cloud.T, ".", color=GREY, markersize=4, alpha=0.6, label=name, zorder=1)
            else:
                colour = (VERMILION, ORANGE, BLACK)[i % 3]
                one.plot(*cloud.T, "D*s^"[i % 4], color=colour, markersize=9, label=name, zorder=4)
        order = np.argsort(front[:, 0])
        x, y = front[order].T
        one.errorbar(x, y, xerr=spread[order, 0], yerr=spread[order, 1], fmt="o-", color=BLUE, markersize=5,
                     linewidth=1.2, label="front" if len(front) > 1 else "optimum", zorder=3)  # fmt: skip
        one.set_xlabel(xlabel)
        one.set_ylabel(ylabel)
        one.set_title(title, loc="left")
        one.legend(loc="upper right")
    return one


def _pairs(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ValueError(f"{name} must have shape (design, 2), but has {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} holds NaN or infinity")
    return array


def sensitivity_profile(
    rows: Mapping[str, tuple[Values, Values]],
    *,
    ylabel: str = r"$\partial\ln L/\partial\ln\theta$",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """The answer of the objective to each layer's numbers, with errors, one colour a kind of number.

    Args:
        rows: by name, (values, errors), each of shape (layer,).
        ylabel, title: words.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: nothing to draw, lengths that differ, NaN, negative errors.

    Example:
        >>> ax = sensitivity_profile({"passive": ([0.1, -0.2], [0.01, 0.02])})
        >>> ax.get_xlabel()
        'layer'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    if not rows:
        raise ValueError("rows is empty; give at least one kind of number")
    with _canvas.canvas(ax, size=(6.4, 4.0)) as (one,):
        for i, (name, (values, errors)) in enumerate(rows.items()):
            y = numbers(f"rows[{name!r}]", values)
            e = numbers(f"errors of rows[{name!r}]", errors, y.size)
            if np.any(e < 0):
                raise ValueError(f"errors of rows[{name!r}] are negative somewhere")
            shift = 0.16 * (i - (len(rows) - 1) / 2)
            one.errorbar(np.arange(y.size) + 1 + shift, y, yerr=e, fmt="osD^v<"[i % 6], color=CYCLE[i % len(CYCLE)],
                         markersize=5, linewidth=1.2, label=name)  # fmt: skip
        one.axhline(0, color=GREY, linewidth=0.8)
        one.xaxis.get_major_locator().set_params(integer=True)
        one.set_xlabel("layer")
        one.set_ylabel(ylabel)
        one.set_title(title, loc="left")
        _canvas.headroom(one, 0.15)
        one.legend(loc="upper right", ncols=len(rows))
    return one


def detector_drawing(
    designs: Mapping[str, tuple[Values, Values, Values]],
    *,
    height: float = 20.0,
    materials: Sequence[str] = ("passive", "active"),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Sampling calorimeters from the side, to scale: passive layers dark, active ones light with the cells' walls.

    Args:
        designs: by name, (passive thickness, active thickness, cell size) in cm, each of shape (layer,), above zero.
        height: how much of the front face is drawn, in cm.
        materials: names of the passive and the active matter.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: nothing to draw, lengths that differ, numbers not above zero.

    Example:
        >>> ax = detector_drawing({"uniform": ([1.0, 1.0], [0.5, 0.5], [2.0, 4.0])})
        >>> ax.get_xlabel()
        'depth [cm]'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    from matplotlib.patches import Rectangle

    if not designs:
        raise ValueError("designs is empty; give at least one detector")
    if not height > 0:
        raise ValueError(f"height must be above zero, but is {height}")
    parts: dict[str, list[np.ndarray]] = {}
    for name, row in designs.items():
        words = ("passive thickness", "active thickness", "cell size")
        first = numbers(f"designs[{name!r}] passive thickness", row[0])
        parts[name] = [numbers(f"designs[{name!r}] {w}", v, first.size) for w, v in zip(words, row, strict=True)]
        if any(np.any(part <= 0) for part in parts[name]):
            raise ValueError(f"designs[{name!r}] holds a thickness or a cell size that is not above zero")
    longest = max(float(np.sum(p[0] + p[1])) for p in parts.values())
    with _canvas.canvas(ax, size=(7.0, 1.0 + 1.6 * len(parts))) as (one,):
        labelled = False
        for k, (_, (passive, active, cell)) in enumerate(reversed(parts.items())):
            base, z = k * 1.25 * height, 0.0
            for p, a, c in zip(passive, active, cell, strict=True):
                label: dict[str, Any] = {} if labelled else {"label": materials[0]}
                one.add_patch(Rectangle((z, base), p, height, facecolor="#5B6770", linewidth=0, **label))
                label = {} if labelled else {"label": f"{materials[1]}, with cells"}
                one.add_patch(Rectangle((z + p, base), a, height, facecolor=SKY, alpha=0.6, linewidth=0, **label))
                labelled = True
                walls = base + height / 2 + c * (np.arange(np.ceil(height / c) + 1) - np.ceil(height / c) / 2)
                inside = walls[(walls > base) & (walls < base + height)]
                one.hlines(inside, z + p, z + p + a, color=BLUE, linewidth=0.8)
                z += p + a
        one.set_xlim(0, longest * 1.01)
        one.set_ylim(-0.05 * height, height * (1.25 * len(parts) + 0.15))
        one.set_yticks([(k * 1.25 + 0.5) * height for k in range(len(parts))], list(reversed(parts)))
        one.yaxis.set_minor_locator(_canvas.no_ticks())
        one.set_xlabel("depth [cm]")
        one.set_title(title, loc="left")
        one.legend(loc="upper right", ncols=2, fontsize=9.5)
    return one
