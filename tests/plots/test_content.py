"""What each picture shows is what was handed over: numbers, ratios, pulls, texts; and the sentences of refusals."""

from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.stats

from jaxhep import plots

EDGES = np.array([0.0, 0.02, 0.04, 0.08, 0.12, 0.2, 0.3])
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])
DATA = np.array([12.0, 18.0, 9.0, 4.0, 1.2, 0.2])
ERROR = 0.05 * DATA
LABELS = {"xlabel": "$1-T$", "ylabel": "density"}


@pytest.fixture(autouse=True)
def no_figure_is_left():
    plt.close("all")
    yield
    plt.close("all")


def stairs_of(ax, filled):
    from matplotlib.patches import StepPatch

    return [patch.get_data() for patch in ax.patches if isinstance(patch, StepPatch) and patch.get_fill() is filled]


def points_of(ax):
    return [container.lines[0].get_xydata() for container in ax.containers if hasattr(container, "has_yerr")]


def bars_of(container):
    """Half-lengths of the y error bars."""
    return np.array([0.5 * (segment[1, 1] - segment[0, 1]) for segment in container.lines[2][-1].get_segments()])


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_data_and_ratio_are_those_handed_over():
    before, after = 1.1 * DATA, 0.98 * DATA
    main, ratio = plots.data_mc_ratio(
        EDGES,
        DATA,
        ERROR,
        {"before": (before, 0.02 * DATA), "after": (after, 0.01 * DATA)},
        fit_range=(0.02, 0.2),
        **LABELS,
    )
    assert main.get_yscale() == "log"
    assert ratio.get_yscale() == "linear"
    np.testing.assert_allclose(points_of(main)[0], np.column_stack([CENTRES, DATA]))
    np.testing.assert_allclose(bars_of(main.containers[0]), ERROR)
    for drawn, expected in zip(stairs_of(main, False), (before, after), strict=True):
        np.testing.assert_allclose(drawn.values, expected)
    for drawn, level in zip(stairs_of(ratio, False), (1.1, 0.98), strict=True):
        np.testing.assert_allclose(drawn.values, level)
        np.testing.assert_allclose(drawn.edges, EDGES)
    data_band, before_band, after_band = stairs_of(ratio, True)
    np.testing.assert_allclose([data_band.values, data_band.baseline], [np.full(6, 1.05), np.full(6, 0.95)])
    np.testing.assert_allclose([before_band.values, before_band.baseline], [np.full(6, 1.12), np.full(6, 1.08)])
    np.testing.assert_allclose([after_band.values, after_band.baseline], [np.full(6, 0.99), np.full(6, 0.97)])
    assert legend_of(main) == ["data", "before", "after", "not fitted"]
    assert (main.get_ylabel(), ratio.get_xlabel()) == ("density", "$1-T$")


def test_greyed_is_what_lies_outside_of_the_fit_range():
    from matplotlib.patches import Rectangle

    main, _ = plots.data_mc_ratio(EDGES, DATA, ERROR, {"fit": (DATA, ERROR)}, fit_range=(0.04, 0.12), **LABELS)
    spans = sorted((p.get_x(), p.get_x() + p.get_width()) for p in main.patches if isinstance(p, Rectangle))
    np.testing.assert_allclose(spans, [(0.0, 0.04), (0.12, 0.3)])
    all_fitted, _ = plots.data_mc_ratio(EDGES, DATA, ERROR, {"fit": (DATA, ERROR)}, fit_range=(0.0, 0.3), **LABELS)
    assert not [p for p in all_fitted.patches if isinstance(p, Rectangle)]


def test_ratio_too_far_off_is_marked_at_the_rim():
    wild = DATA * np.array([9.0, 1.0, 1.0, 1.0, 1.0, 0.01])
    _, ratio = plots.data_mc_ratio(EDGES, DATA, ERROR, {"fit": (wild, ERROR)}, fit_range=(0.02, 0.2), **LABELS)
    marks = {line.get_marker(): line.get_xdata() for line in ratio.lines if line.get_marker() in ("^", "v")}
    np.testing.assert_allclose(marks["^"], [CENTRES[0]])
    np.testing.assert_allclose(marks["v"], [CENTRES[-1]])


def test_bin_without_data_has_no_ratio():
    data = DATA.copy()
    data[2] = 0.0
    main, ratio = plots.data_mc_ratio(EDGES, data, ERROR, {"fit": (DATA, ERROR)}, **LABELS)
    values = stairs_of(ratio, False)[0].values
    assert np.flatnonzero(np.isnan(values)).tolist() == [2]
    main.figure.canvas.draw()
    assert np.all(np.isfinite(ratio.get_ylim()))


def test_flat_heights_stay_linear():
    main, _ = plots.data_mc_ratio(EDGES, np.full(6, 2.0), ERROR, {"fit": (np.full(6, 2.1), ERROR)}, **LABELS)
    assert main.get_yscale() == "linear"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fit_range": (0.2, 0.1)}, "low < high"),
        ({"fit_range": (0.5, 0.6)}, "outside of the bins"),
        ({"fit_range": (0.1, np.nan)}, "fit_range is not finite"),
    ],
)
def test_bad_fit_range_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        plots.data_mc_ratio(EDGES, DATA, ERROR, {"fit": (DATA, ERROR)}, **LABELS, **change)


def test_predictions_are_checked_by_name():
    with pytest.raises(ValueError, match="predictions is empty"):
        plots.data_mc_ratio(EDGES, DATA, ERROR, {}, **LABELS)
    with pytest.raises(ValueError, match=r"predictions\['Pythia'\] error has 5 entries"):
        plots.data_mc_ratio(EDGES, DATA, ERROR, {"Pythia": (DATA, ERROR[:-1])}, **LABELS)


def test_moved_and_regenerated_are_drawn_as_ratios():
    moved_error, new_error = 0.01 * DATA, 0.05 * DATA
    ratio, lower = plots.moved_vs_regenerated(
        EDGES, DATA, 1.1 * DATA, 1.2 * DATA, moved_error, new_error, xlabel="$1-T$"
    )
    np.testing.assert_allclose(stairs_of(ratio, False)[0].values, 1.1)
    np.testing.assert_allclose(points_of(ratio)[0], np.column_stack([CENTRES, np.full(6, 1.2)]))
    np.testing.assert_allclose(bars_of(ratio.containers[0]), 0.05)
    np.testing.assert_allclose([drawn.values for drawn in stairs_of(lower, False)], [np.full(6, 1.0), np.full(6, 5.0)])
    assert lower.texts[0].get_text() == "median variance ratio: 25"
    with pytest.raises(ValueError, match="no filled bin"):
        plots.moved_vs_regenerated(EDGES, 0 * DATA, DATA, DATA, ERROR, ERROR, xlabel="")


def test_empty_bins_of_a_moved_template_are_left_out():
    base, error = DATA.copy(), ERROR.copy()
    base[0] = error[0] = 0.0
    ratio, lower = plots.moved_vs_regenerated(EDGES, base, base, base, 0.1 * error, error, xlabel="")
    ratio.figure.canvas.draw()
    assert lower.texts[0].get_text() == "median variance ratio: 100"
    assert np.isnan(stairs_of(ratio, False)[0].values[0])


def test_profile_scan_draws_curve_parabola_levels_and_interval():
    x = np.linspace(0.1, 0.3, 21)
    y = ((x - 0.2) / 0.05) ** 2
    ax = plots.profile_scan(x, y, best=0.2, interval=(0.14, 0.27), hessian_error=0.04, label=r"$\Lambda$ [GeV]")
    lines = {line.get_label(): line.get_xydata() for line in ax.lines}
    np.testing.assert_allclose(lines["profile"], np.column_stack([x, y]))
    parabola = lines["parabola (Hessian)"]
    np.testing.assert_allclose(parabola[:, 1], ((parabola[:, 0] - 0.2) / 0.04) ** 2, atol=1e-12)
    levels = [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 2 and np.ptp(line.get_ydata()) == 0]
    assert levels == [1, 4]
    assert legend_of(ax)[0] == r"$\Delta\chi^2 \leq 1$: $0.200_{-0.060}^{+0.070}$"
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"$\Lambda$ [GeV]", r"$\Delta\chi^2$")


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"best": np.nan}, "best must be one finite number"),
        ({"best": 1.0, "interval": (2.0, 1.0)}, "low < high"),
        ({"best": 1.0, "hessian_error": 0.0}, "above zero"),
    ],
)
def test_profile_scan_refuses(keywords, sentence):
    with pytest.raises(ValueError, match=sentence):
        plots.profile_scan([0.0, 1.0, 2.0], [1.0, 0.0, 1.0], label="x", **keywords)
    with pytest.raises(ValueError, match="increase strictly"):
        plots.profile_scan([0.0, 2.0, 1.0], [1.0, 0.0, 1.0], label="x", best=1.0)


def test_contours_keep_their_points_and_the_narrow_one_lies_on_top():
    t = np.linspace(0, 2 * np.pi, 30)
    small, large = (np.cos(t), np.sin(t)), (2 * np.cos(t), 2 * np.sin(t))
    ax = plots.contour_plot({2.3: small, "95 %": large}, (0, 0), "x", "y", truth=(1, 1))
    np.testing.assert_allclose(ax.patches[0].get_xy()[:30], np.column_stack(large))
    np.testing.assert_allclose(ax.patches[1].get_xy()[:30], np.column_stack(small))
    assert legend_of(ax) == [r"$\Delta\chi^2 = 2.3$", "95 %", "best fit", "truth"]


@pytest.mark.parametrize(
    ("contours", "sentence"),
    [({}, "empty"), ({1.0: ([0, 1], [0, 1])}, "at least three"), ({-1.0: ([0, 1, 1], [0, 1, 0])}, "above zero"),
     ({1.0: ([0, 1, 1], [0, 1])}, "entries where")],
)  # fmt: skip
def test_contours_refused(contours, sentence):
    with pytest.raises(ValueError, match=sentence):
        plots.contour_plot(contours, (0, 0), "x", "y")


def test_pulls_and_chi_square_of_a_gradient_check():
    auto, auto_error = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.3, 0.0])
    finite, finite_error = np.array([1.5, -1.0, 0.5]), np.array([0.4, 0.4, 0.0])
    upper, lower = plots.gradient_check(["a", "b", "empty"], auto, auto_error, finite, finite_error)
    pulls = next(line for line in lower.lines if line.get_marker() == "o").get_ydata()
    np.testing.assert_allclose(pulls[:2], [-1.0, -2.0])
    assert np.isnan(pulls[2])
    assert upper.get_title(loc="left") == rf"$\chi^2/n = 5.0/2$, $p = {scipy.stats.chi2.sf(5, 2):.2g}$"
    np.testing.assert_allclose([points_of(upper)[i][:, 1] for i in (0, 1)], [auto, finite])
    np.testing.assert_allclose(bars_of(upper.containers[1]), finite_error, atol=1e-15)
    spans = {(p.get_y(), p.get_y() + p.get_height()) for p in lower.patches}
    assert spans == {(-3, 3), (-1, 1)}


def test_gradients_that_differ_without_an_error_are_refused():
    with pytest.raises(ValueError, match="'b' differ but have no error"):
        plots.gradient_check(["a", "b"], [1.0, 2.0], [0.1, 0.0], [1.0, 2.1], [0.1, 0.0])
    with pytest.raises(ValueError, match="names is empty"):
        plots.gradient_check([], [], [], [], [])


@pytest.mark.parametrize("size", [1, 5, 11, 25, 26, 120])
def test_names_of_a_gradient_check_never_touch(size):
    names = [f"{0.4 * i / size:.3f}" for i in range(size)] if size > 11 else ["heavy jet mass"] * size
    value = np.linspace(-1, 1, size)
    _, lower = plots.gradient_check(names, value, np.full(size, 0.1), value, np.full(size, 0.1))
    lower.figure.canvas.draw()
    labels = lower.get_xticklabels()
    assert 0 < len(labels) <= 26
    angle = labels[0].get_rotation()
    if angle in (0, 90):
        boxes = [label.get_window_extent() for label in labels]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    else:  # slanted: the distance of two lines of text is the spacing times the sine
        places = lower.transData.transform([(i, 0) for i in range(size)])[:, 0]
        height = labels[0].get_fontsize() * lower.figure.dpi / 72
        assert np.diff(places).min() * np.sin(np.deg2rad(angle)) > height


def test_wide_spans_of_gradients_get_a_symmetric_logarithm():
    value = np.array([1e-3, -2e-3, 4e-3, -1e-3, 5.0])
    upper, _ = plots.gradient_check(list("abcde"), value, 0.1 * np.abs(value), value, 0.1 * np.abs(value))
    assert upper.get_yscale() == "symlog"
    assert upper.get_ylim()[0] < -2e-3
    assert upper.get_ylim()[1] > 5.0


def test_template_derivative_relative_and_absolute():
    slope = np.linspace(-3, 3, 6)
    upper, lower = plots.template_derivative(EDGES, DATA, slope, ERROR, xlabel="$1-T$")
    np.testing.assert_allclose(stairs_of(upper, False)[0].values, DATA)
    np.testing.assert_allclose(stairs_of(lower, False)[0].values, slope)
    _, lower = plots.template_derivative(
        EDGES, DATA, slope, ERROR, xlabel="", relative=True, reference=(2 * slope, ERROR)
    )
    np.testing.assert_allclose(stairs_of(lower, False)[0].values, slope / DATA)
    np.testing.assert_allclose(points_of(lower)[0][:, 1], 2 * slope / DATA)
    assert r"\ln h" in lower.get_ylabel()


def test_lund_density_counts_emissions_per_event():
    rng = np.random.default_rng(3)
    shape, energy, scale = (50, 4), 91.2, 0.2
    kt, y = scale * np.exp(rng.uniform(0, 4, shape)), rng.uniform(-1, 1, shape)
    mask, weight = rng.uniform(size=shape) < 0.7, rng.uniform(0.5, 1.5, 50)
    kt[~mask] = 0.0  # as padding may be
    ax = plots.lund_plane(kt, y, weight, energy, scale, mask=mask, bins=20)
    mesh = ax.collections[0]
    corners = mesh.get_coordinates()
    area = (corners[0, 1, 0] - corners[0, 0, 0]) * (corners[1, 0, 1] - corners[0, 0, 1])
    np.testing.assert_allclose(mesh.get_array().filled(0).sum() * area, np.sum(weight[:, None] * mask) / 50)
    flat = plots.lund_plane(kt[mask], y[mask], None, energy, scale, bins=20, num_events=50).collections[0]
    np.testing.assert_allclose(flat.get_array().filled(0).sum() * area, mask.sum() / 50)


def test_lund_bounds_are_the_triangle_and_the_hyperbola():
    ax = plots.lund_plane([1.0, 2.0], [0.1, 0.2], None, 91.2, 0.2)
    triangle, hyperbola = (line.get_xydata() for line in ax.lines)
    length = 2 * np.log(91.2 / 0.2)
    np.testing.assert_allclose(triangle, [[-length / 2, 0], [0, length], [length / 2, 0]])
    kt = 0.2 * np.exp(hyperbola[:, 1] / 2)
    np.testing.assert_allclose(2 * kt * np.cosh(hyperbola[:, 0]), 91.2)
    assert np.all(np.abs(hyperbola[:, 0]) < (length - hyperbola[:, 1]) / 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lambda_qcd": 100.0}, "below the energy"),
        ({"lambda_qcd": 0.0}, "above zero"),
        ({"energy": np.nan}, "finite"),
        ({"kt": [0.0, 1.0]}, "kt must be above zero"),
        ({"kt": [1.0]}, "one shape"),
        ({"mask": [False, False]}, "no emission"),
        ({"mask": [True]}, "mask has shape"),
        ({"weights": [0.0, 0.0]}, "nothing above zero"),
        ({"weights": [-2.0, 1.0]}, "sum of weights"),
        ({"num_events": 0}, "num_events"),
        ({"bins": 0}, "bins"),
    ],
)
def test_lund_plane_refuses(change, sentence):
    arguments = {"kt": [1.0, 2.0], "rapidity": [0.0, 0.1], "weights": None, "energy": 91.2, "lambda_qcd": 0.2} | change
    with pytest.raises(ValueError, match=sentence):
        plots.lund_plane(**arguments)
    assert plt.get_fignums() == []


def test_correlations_are_written_and_thinned_out():
    matrix = np.array([[1.0, 0.25, -0.5], [0.25, 1.0, 0.0], [-0.5, 0.0, 1.0]])
    ax = plots.correlation_matrix(["a", "b", "c"], matrix)
    np.testing.assert_allclose(ax.images[0].get_array(), matrix)
    assert [text.get_text() for text in ax.texts[:3]] == ["1.00", "0.25", "−0.50"]
    many = plots.correlation_matrix([str(i) for i in range(60)], np.eye(60))
    assert len(many.texts) == 0
    assert len(many.get_xticks()) == 20


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        [[1.0, 0.2], [0.3, 1.0]],
        [[4.0, 0.2], [0.2, 1.0]],
        [[1.0, 1.2], [1.2, 1.0]],
        [[1, np.nan], [np.nan, 1]],
    ],
)
def test_what_is_no_correlation_matrix_is_refused(matrix):
    with pytest.raises(ValueError, match="matrix"):
        plots.correlation_matrix(["a", "b"], matrix)


def test_pull_histogram_holds_every_toy_and_its_moments():
    sample = np.concatenate([np.random.default_rng(1).normal(size=400), [7.5]])
    ax = plots.pull_histogram(sample)
    assert points_of(ax)[0][:, 1].sum() == 401
    text = ax.texts[0].get_text()
    assert rf"mean ${sample.mean():.2f} \pm {sample.std(ddof=1) / np.sqrt(401):.2f}$" in text
    assert rf"width ${sample.std(ddof=1):.2f} \pm {sample.std(ddof=1) / np.sqrt(802):.2f}$" in text
    curve = ax.lines[0].get_xydata()
    width = 2 * 1.05 * 7.5 / 20
    np.testing.assert_allclose(curve[:, 1], 401 * width * scipy.stats.norm.pdf(curve[:, 0]), rtol=1e-6)
    with pytest.raises(ValueError, match="two entries"):
        plots.pull_histogram([1.0])


def test_benchmark_bars_have_their_rates_and_ratios():
    ax = plots.benchmark_bars(["H200", "2 cores", "Pythia 8"], [3.1e8, 1.9e6, 2.4e4], reference="Pythia 8")
    assert [bar.get_width() for bar in ax.containers[-1]] == [3.1e8, 1.9e6, 2.4e4]
    assert [text.get_text() for text in ax.texts] == ["310M  (12,900×)", "1.9M  (79.2×)", "24k"]
    assert ax.get_xscale() == "log"
    good: dict[str, Any] = {"names": ["a", "b"], "rates": [1.0, 2.0]}
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"rates": [1.0, 0.0]}, "above zero"),
        ({"names": ["a", "a"]}, "twice"),
        ({"reference": "c"}, "'c'"),
    ]
    for wrong, sentence in wrongs:
        with pytest.raises(ValueError, match=sentence):
            plots.benchmark_bars(**{**good, **wrong})
