"""Corners that a run meets: one bin, empty histograms, no errors, flat or far numbers; each draws without a warning."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxhep import plots

LABELS = {"xlabel": "x", "ylabel": "y"}
ZERO, ONE = np.zeros(3), np.ones(3)
CORNERS = {
    "one bin": lambda: plots.data_mc_ratio([0, 1], [2.0], [0.1], {"fit": ([2.1], [0.1])}, **LABELS),
    "no data": lambda: plots.data_mc_ratio([0, 1, 2, 3], ZERO, ZERO, {"fit": (ONE, ONE)}, **LABELS),
    "all zero": lambda: plots.data_mc_ratio([0, 1, 2, 3], ZERO, ZERO, {"fit": (ZERO, ZERO)}, **LABELS),
    "errors above heights": lambda: plots.data_mc_ratio(
        [0, 1, 2, 3], [1, 1e-3, 10], [0.1, 1, 20], {"fit": ([1, 0, 9], [0.1, 1, 20])}, **LABELS
    ),
    "no errors": lambda: plots.data_mc_ratio([0, 1, 2, 3], ONE, ZERO, {"fit": (ONE, ZERO)}, **LABELS),
    "negative heights": lambda: plots.data_mc_ratio([0, 1, 2, 3], [1, -1, 50], ONE, {"fit": (ONE, ONE)}, **LABELS),
    "range within a bin": lambda: plots.data_mc_ratio(
        [0, 1, 2, 3], ONE, ONE, {"fit": (ONE, ONE)}, fit_range=(1.2, 1.4), **LABELS
    ),
    "seven predictions": lambda: plots.data_mc_ratio(
        [0, 1, 2, 3], ONE, ONE, {str(i): (ONE * (1 + i / 9), ZERO) for i in range(7)}, **LABELS
    ),
    "moved by nothing": lambda: plots.moved_vs_regenerated([0, 1, 2, 3], ONE, ONE, ONE, ZERO, ZERO, xlabel="x"),
    "one gradient": lambda: plots.gradient_check(["a"], [0.0], [0.0], [0.0], [0.0]),
    "far pull": lambda: plots.gradient_check(["a", "b"], [1.0, 2.0], [1e-3, 1e-3], [0.0, 2.0], [1e-3, 1e-3]),
    "flat derivative": lambda: plots.template_derivative([0, 1, 2, 3], ZERO, ZERO, ZERO, xlabel="x", relative=True),
    "flat scan": lambda: plots.profile_scan([0, 1], [0, 0], best=0.5, interval=(0.2, 0.5), label="x"),
    "one emission": lambda: plots.lund_plane([60.0], [7.0], None, 91.2, 0.2),
    "below the cut-off": lambda: plots.lund_plane([0.01, 1.0], [0.0, 0.0], [1e-6, 1.0], 91.2, 0.2),
    "equal pulls": lambda: plots.pull_histogram(np.zeros(4)),
    "one bar": lambda: plots.benchmark_bars(["a"], [1e-3]),
    "one parameter": lambda: plots.correlation_matrix(["a"], [[1.0]]),
    "equal contours": lambda: plots.contour_plot({i: ([0, 1, 1], [0, 0, 1]) for i in (1, 4)}, (1, 0), "x", "y"),
}  # fmt: skip


@pytest.mark.parametrize("corner", CORNERS)
def test_corner_is_drawn(corner):
    plt.close("all")
    axes = CORNERS[corner]()
    axes = axes if isinstance(axes, tuple) else (axes,)
    axes[0].figure.canvas.draw()
    assert all(np.all(np.isfinite([*ax.get_xlim(), *ax.get_ylim()])) for ax in axes)
    assert all(ax.has_data() for ax in axes)
    plt.close("all")
