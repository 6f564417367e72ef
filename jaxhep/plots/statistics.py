"""How far a fit's numbers can be trusted: correlations of the parameters, pulls of toys."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxhep.plots import _canvas
from jaxhep.plots._canvas import BLACK, BLUE, SKY, Axes
from jaxhep.plots._checks import Values, numbers


def correlation_matrix(names: Sequence[str], matrix: Any, *, title: str = "", ax: Axes | None = None) -> Axes:
    """A correlation matrix in colours, blue for −1 through white to red for +1, with its numbers where they fit.

    Args:
        names: of the parameters or bins, length n; thinned out on the axes beyond 25.
        matrix: shape (n, n), symmetric, with ones on the diagonal and entries in [−1, 1].
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: a matrix that is not square, not symmetric, not of unit diagonal, beyond ±1 or NaN; names of
            another number.

    Example:
        >>> ax = correlation_matrix(["a", "b"], [[1.0, -0.4], [-0.4, 1.0]])
        >>> ax.texts[1].get_text()
        '−0.40'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    table = np.asarray(matrix, dtype=np.float64)
    size = len(names)
    if size == 0 or table.shape != (size, size):
        raise ValueError(f"matrix must have shape ({size}, {size}) for {size} names, but has {table.shape}")
    if not np.all(np.isfinite(table)):
        raise ValueError("matrix holds NaN or infinity; a variance of zero has no correlation")
    # Wide enough for float32, narrow enough to catch a covariance matrix handed over by mistake.
    if not np.allclose(table, table.T, atol=1e-4) or not np.allclose(np.diag(table), 1, atol=1e-4):
        raise ValueError(
            "matrix is no correlation matrix (symmetric, ones on the diagonal); divide a covariance by σ_i σ_j"
        )
    if np.max(np.abs(table)) > 1 + 1e-4:
        raise ValueError("matrix has entries beyond ±1; it is no correlation matrix")

    width = float(np.clip(2.6 + 0.45 * size, 4.2, 7.5))
    with _canvas.canvas(ax, size=(width, 0.86 * width), layout="compressed") as (one,):
        image = one.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        step = 1 if size <= 25 else int(np.ceil(size / 20))
        places = np.arange(0, size, step)
        one.set_xticks(
            places,
            [names[int(i)] for i in places],
            rotation=45 if size <= 25 else 90,
            rotation_mode="anchor",
            ha="right",
            va="center" if size > 25 else "top",
        )
        one.set_yticks(places, [names[int(i)] for i in places])
        one.minorticks_off()
        if size <= 12:
            for row in range(size):
                for column in range(size):
                    text = f"{table[row, column]:.2f}".replace("-", "−")
                    ink = "white" if abs(table[row, column]) > 0.6 else BLACK
                    one.text(column, row, text, ha="center", va="center", color=ink, fontsize=10 if size <= 8 else 8)
        bar = one.figure.colorbar(image, ax=one, label="correlation", fraction=0.046, pad=0.03)
        bar.ax.tick_params(direction="out", labelsize=10.5)
        one.set_title(title, loc="left")
    if ax is None:
        one.tick_params(which="both", length=0)
    return one


def pull_histogram(pulls: Values, *, bins: int | None = None, title: str = "", ax: Axes | None = None) -> Axes:
    """Pulls of toys as points, with the unit Gaussian that they should follow, their mean and their width.

    A pull is (fitted − true)/σ. The mean of n good pulls is 0 ± 1/√n, their width 1 ± 1/√(2n); the errors written are
    s/√n and s/√(2n), with s the width.

    Args:
        pulls: shape (toys,), at least two.
        bins: number of bins; None takes about √toys, from 8 to 40.
        title: title of the picture.
        ax: where to draw; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: fewer than two pulls, NaN, fewer than one bin.

    Example:
        >>> ax = pull_histogram([-1.2, -0.5, 0.1, 0.4, 1.3])
        >>> ax.get_xlabel()
        'pull'
        >>> import matplotlib.pyplot as plt; plt.close(ax.figure)
    """
    sample = numbers("pulls", pulls)
    if sample.size < 2:
        raise ValueError("pulls needs at least two entries to have a width")
    if bins is not None and bins < 1:
        raise ValueError(f"bins must be at least 1, but is {bins}")
    count = int(np.clip(np.sqrt(sample.size), 8, 40)) if bins is None else bins
    # Symmetric, and wide enough for the worst toy: an outlier must be seen, not cut.
    reach = max(3.5, 1.05 * float(np.max(np.abs(sample))))
    heights, x = np.histogram(sample, bins=count, range=(-reach, reach))
    mean, width = float(np.mean(sample)), float(np.std(sample, ddof=1))

    with _canvas.canvas(ax, size=(5.6, 4.2)) as (one,):
        fine = np.linspace(-reach, reach, 301)
        curve = sample.size * (x[1] - x[0]) * np.exp(-0.5 * fine**2) / np.sqrt(2 * np.pi)
        one.fill_between(fine, curve, color=SKY, alpha=0.3, linewidth=0)
        one.plot(fine, curve, color=BLUE, label="unit Gaussian")
        some = heights > 0
        one.errorbar(
            (0.5 * (x[1:] + x[:-1]))[some],
            heights[some],
            yerr=np.sqrt(heights[some]),
            fmt="o",
            color=BLACK,
            markersize=4.5,
            linewidth=1.1,
            label=f"{sample.size} toys",
            zorder=3,
        )
        one.set_xlim(-reach, reach)
        one.set_ylim(0, 1.25 * float(max(np.max(heights + np.sqrt(heights)), np.max(curve))))
        text = (
            f"mean ${mean:.2f} \\pm {width / np.sqrt(sample.size):.2f}$\n"
            f"width ${width:.2f} \\pm {width / np.sqrt(2 * sample.size):.2f}$"
        )
        one.text(0.04, 0.95, text, transform=one.transAxes, ha="left", va="top", linespacing=1.5)
        one.set_xlabel("pull")
        one.set_ylabel("toys per bin")
        one.set_title(title, loc="left")
        one.legend(loc="upper right")
    return one
