"""What holds for every picture: it draws without a warning, changes no setting, uses given axes, refuses bad input."""

import os
import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxhep import plots

RNG = np.random.default_rng(7)
EDGES = np.array([0.0, 0.02, 0.04, 0.08, 0.12, 0.2, 0.3])
HEIGHTS = np.array([12.0, 18.0, 9.0, 4.0, 1.2, 0.2])
ERRORS = 0.05 * HEIGHTS
NAMES = ["thrust", "C parameter", "heavy jet mass", "y23", "wide broadening", "multiplicity"]
ANGLE = np.linspace(0, 2 * np.pi, 40)
SCAN = np.linspace(0.18, 0.24, 25)
KT, RAPIDITY = 0.2 * np.exp(RNG.uniform(0, 5, 500)), RNG.uniform(-3, 3, 500)

# name: (positional arguments, keywords, number of panels)
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any], int]] = {
    "data_mc_ratio": (
        (EDGES, HEIGHTS, ERRORS, {"before": (1.2 * HEIGHTS, 0.1 * ERRORS), "after": (HEIGHTS, 0.1 * ERRORS)}),
        {"xlabel": "$1-T$", "ylabel": r"$1/\sigma\ d\sigma/dT$", "title": "ALEPH", "fit_range": (0.02, 0.2)},
        2,
    ),
    "moved_vs_regenerated": (
        (EDGES, HEIGHTS, 1.1 * HEIGHTS, 1.08 * HEIGHTS, 0.1 * ERRORS, ERRORS),
        {"xlabel": "$1-T$", "title": r"$\Lambda$ moved"},
        2,
    ),
    "uncertainty_band": (
        (EDGES, HEIGHTS, {"scale": (0.9 * HEIGHTS, 1.1 * HEIGHTS), "coupling": (0.98 * HEIGHTS, 1.02 * HEIGHTS)}),
        {"xlabel": "$1-T$", "ylabel": "density", "data": 1.05 * HEIGHTS, "data_error": ERRORS, "title": "bands"},
        2,
    ),
    "profile_scan": (
        (SCAN, ((SCAN - 0.21) / 0.01) ** 2),
        {"best": 0.21, "interval": (0.2, 0.22), "hessian_error": 0.011, "label": r"$\Lambda$ [GeV]"},
        1,
    ),
    "contour_plot": (
        ({0.68: (np.cos(ANGLE), np.sin(ANGLE)), 0.95: (2 * np.cos(ANGLE), np.sin(ANGLE))}, (0.0, 0.0), "x [GeV]", "y"),
        {"truth": (0.3, 0.2)},
        1,
    ),
    "gradient_check": (
        (NAMES, np.arange(6) * 0.1, np.full(6, 0.01), np.arange(6) * 0.1 + 0.01, np.full(6, 0.02)),
        {"title": "check"},
        2,
    ),
    "template_derivative": (
        (EDGES, HEIGHTS, np.linspace(-2, 1, 6), np.full(6, 0.1)),
        {"xlabel": "$1-T$", "reference": (np.linspace(-2, 1, 6), np.full(6, 0.2))},
        2,
    ),
    "lund_plane": ((KT, RAPIDITY, np.ones(500), 91.2, 0.2), {"bins": 15, "title": "emissions"}, 1),
    "correlation_matrix": ((["a", "b"], np.array([[1.0, -0.3], [-0.3, 1.0]])), {"title": "correlations"}, 1),
    "pull_histogram": ((RNG.normal(size=200),), {"title": "pulls"}, 1),
    "longitudinal_profile": ((EDGES, HEIGHTS, ERRORS), {"expected": 1.1 * HEIGHTS, "title": "10 GeV"}, 1),
    "shower_picture": (
        (np.outer(HEIGHTS, [1.0, 0.2, 1e-9]), EDGES, np.array([0.0, 1.0, 2.0, 5.0])), {"title": "electron"}, 1
    ),
    "corner": ((RNG.normal(size=(300, 2)), RNG.normal(size=(200, 2)), ["x", "y"]), {"title": "corner", "bins": 8}, 5),
    "loss_curves": (({"loss": HEIGHTS}, 1.1 * HEIGHTS), {"best_epoch": 4, "title": "losses"}, 1),
    "benchmark_bars": ((["a", "b"], np.array([2e6, 2e4])), {"reference": "b", "rate_error": ERRORS[:2]}, 1),
    "design_trajectory": ((np.linspace(3, 1, 8), ERRORS[0] * np.ones(8)), {"title": "way"}, 1),
    "resolution_curves": (
        (EDGES[1:], {"now": (0.1 * HEIGHTS, 0.1 * ERRORS, 0.01 * HEIGHTS, ERRORS)}), {"title": "resolution"}, 2
    ),
    "pareto_front": (
        (np.array([[1.0, 3.0], [2.0, 2.0]]),), {"xlabel": "a", "ylabel": "b", "others": {"start": [[3.0, 3.0]]}}, 1
    ),
    "sensitivity_profile": (({"passive": (HEIGHTS, ERRORS)},), {"title": "answer"}, 1),
    "detector_drawing": (({"start": (HEIGHTS, HEIGHTS, HEIGHTS)},), {"title": "detector"}, 1),
}  # fmt: skip
# Here a shorter array is another valid input, not a mistake.
ANY_LENGTH = {"pull_histogram": {0}, "pareto_front": {0}, "corner": {0, 1}}


def draw(name, args=None, **more):
    own_args, keywords, panels = CALLS[name]
    result = getattr(plots, name)(*(own_args if args is None else args), **{**keywords, **more})
    return (result if isinstance(result, tuple) else (result,)), panels


def arrays_of(name):
    return [i for i, value in enumerate(CALLS[name][0]) if isinstance(value, np.ndarray)]


@pytest.fixture(autouse=True)
def no_figure_is_left():
    plt.close("all")
    yield
    plt.close("all")


def test_every_picture_is_in_the_table():
    assert set(CALLS) == set(plots.__all__) - {"save_figure"}


@pytest.mark.parametrize("name", CALLS)
def test_given_axes_are_used_and_no_figure_is_opened(name):
    panels = CALLS[name][2]
    figure, given = plt.subplots(panels, 1)
    key = "axes" if panels == 2 else "ax"
    returned, _ = draw(name, **{key: given})
    assert all(a is b for a, b in zip(returned, np.ravel(np.asarray(given, dtype=object)), strict=True))
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()


@pytest.mark.parametrize("name", CALLS)
def test_settings_are_left_alone_and_every_word_lies_inside_the_figure(name):
    before = dict(mpl.rcParams)
    axes, panels = draw(name)
    assert dict(mpl.rcParams) == before
    assert len(axes) == panels
    figure = axes[0].figure
    figure.canvas.draw()
    outer = figure.bbox
    seen = 0
    for ax in figure.axes:
        words = [ax.xaxis.label, ax.yaxis.label, ax.title, ax._left_title]
        words += [label for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels()]
        for word in words:
            if word.get_visible() and word.get_text():
                low, high = ax.get_xlim() if word in ax.get_xticklabels() else ax.get_ylim()
                place = word.get_position()[0 if word in ax.get_xticklabels() else 1]
                is_tick = word in ax.get_xticklabels() or word in ax.get_yticklabels()
                if is_tick and not min(low, high) <= place <= max(low, high):
                    continue  # matplotlib keeps labels beyond the limits but does not draw them
                box = word.get_window_extent()
                assert outer.x0 - 1 <= box.x0, word
                assert box.x1 <= outer.x1 + 1, word
                assert outer.y0 - 1 <= box.y0, word
                assert box.y1 <= outer.y1 + 1, word
                seen += 1
    assert seen > 5
    last = axes[-1]
    assert last.get_xlabel() or {label.get_text() for label in last.get_xticklabels()} & {*NAMES, "a", "b"}


@pytest.mark.parametrize("name", CALLS)
def test_jax_arrays_and_lists_draw_the_same(name):
    args = CALLS[name][0]

    def counts(axes):
        return [(len(ax.lines), len(ax.patches), len(ax.collections), len(ax.texts)) for ax in axes]

    expected = counts(draw(name)[0])
    # JAX arrays and lists in turn, in one call.
    kinds = [(jnp.asarray, np.ndarray.tolist)[i % 2](a) if isinstance(a, np.ndarray) else a for i, a in enumerate(args)]
    assert counts(draw(name, kinds)[0]) == expected


@pytest.mark.parametrize(("name", "index"), [(name, i) for name in CALLS for i in arrays_of(name)])
def test_nan_is_refused_and_leaves_no_figure(name, index):
    args = list(CALLS[name][0])
    args[index] = args[index].copy()
    args[index].flat[1] = np.nan
    with pytest.raises(ValueError, match=r"not finite|NaN"):
        draw(name, args)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("name", "index"), [(name, i) for name in CALLS for i in arrays_of(name) if i not in ANY_LENGTH.get(name, set())]
)
def test_wrong_length_is_refused(name, index):
    args = list(CALLS[name][0])
    args[index] = args[index][:-1]
    with pytest.raises(ValueError, match=r"entries where|shape"):
        draw(name, args)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", ["data_mc_ratio", "moved_vs_regenerated", "template_derivative"])
@pytest.mark.parametrize("edges", [EDGES[::-1], np.zeros(7)], ids=["falling", "equal"])
def test_edges_must_increase(name, edges):
    with pytest.raises(ValueError, match="edges must increase strictly"):
        draw(name, (edges, *CALLS[name][0][1:]))


@pytest.mark.parametrize(("name", "index"), [("data_mc_ratio", 2), ("moved_vs_regenerated", 4), ("gradient_check", 4)])
def test_negative_errors_are_refused(name, index):
    args = list(CALLS[name][0])
    args[index] = -np.asarray(args[index])
    with pytest.raises(ValueError, match="negative"):
        draw(name, args)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_number_of_axes_is_refused(name):
    _, given = plt.subplots(3, 1)
    key = "axes" if CALLS[name][2] == 2 else "ax"
    with pytest.raises(ValueError, match="axes, but 3 were given"):
        draw(name, **{key: given})


def test_ticks_keep_their_look_when_drawn_under_other_settings():
    axes, _ = draw("pull_histogram")
    axes[0].figure.canvas.draw()
    tick = axes[0].xaxis.get_major_ticks()[0]
    assert mpl.rcParams["xtick.direction"] == "out"
    assert tick.get_tickdir() == "in"
    assert tick.tick2line.get_visible()


def test_what_is_no_axes_is_refused():
    with pytest.raises(TypeError, match="matplotlib axes"):
        draw("pull_histogram", ax="axes")


# Machado, Oliveira, Fernandes (2009), severity 1: linear RGB as seen without the red- or the green-sensitive cones.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_differ_for_the_colour_blind(kind):
    from matplotlib.colors import to_rgb

    from jaxhep.plots._canvas import CYCLE

    linear = np.array([to_rgb(colour) for colour in CYCLE]) ** 2.2
    seen = np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1) ** (1 / 2.2)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(len(CYCLE), 1)]
    # matplotlib's own red, green and brown are too close: the measure can tell.
    usual = np.array([to_rgb(colour) for colour in ("tab:red", "tab:green", "tab:brown")]) ** 2.2
    close = np.clip(usual @ np.array(BLINDNESS[kind]).T, 0, 1) ** (1 / 2.2)
    assert np.linalg.norm(close[:, None] - close[None], axis=-1)[np.triu_indices(3, 1)].min() < 0.18
    assert apart.min() > 0.18


def test_package_is_light_and_needs_no_display():
    program = (
        "import sys; from jaxhep import plots\n"
        "assert not any(m in sys.modules for m in ('matplotlib', 'mplhep', 'scipy'))\n"
        "ax = plots.pull_histogram([-1.0, 0.5, 0.2]); print(ax.get_xlabel())\n"
        "import tempfile, pathlib\n"
        "print(len(plots.save_figure(ax.figure, pathlib.Path(tempfile.mkdtemp()) / 'x')))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")} | {
        "MPLBACKEND": "TkAgg"
    }
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["pull", "2"]
