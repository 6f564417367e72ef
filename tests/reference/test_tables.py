"""The shipped tables equal the published numbers; a measurement keeps its errors apart and refuses nonsense."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxhep.reference
from jaxhep.reference import DataFileError, Measurement, available, read_table
from jaxhep.reference.tables import MAGIC

LEP = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "lep"
SOURCES = {
    "aleph_2004_thrust": "d54-x01-y01__thrust_T",
    "aleph_2004_heavy_jet_mass": "d62-x01-y01__heavy_jet_mass_rho",
    "aleph_2004_total_broadening": "d70-x01-y01__BT",
    "aleph_2004_wide_broadening": "d78-x01-y01__BW",
    "aleph_2004_c_parameter": "d86-x01-y01__C",
    "aleph_2004_thrust_major": "d94-x01-y01__Tmajor",
    "aleph_2004_sphericity": "d141-x01-y01__sphericity",
    "aleph_2004_minus_log_y23": "d157-x01-y01__minus_ln_y23_durham",
    "aleph_2004_minus_log_y34": "d165-x01-y01__minus_ln_y34_durham",
    "aleph_2004_minus_log_y45": "d173-x01-y01__minus_ln_y45_durham",
}


def load(name):
    """Untyped, for the many attributes that may be None elsewhere."""
    return jaxhep.reference.load(name)


def column(path, *names):
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [np.array([float(row[name]) for row in rows]) for name in names]


def toy(**changes):
    fields: dict[str, Any] = {
        "name": "toy",
        "observable": "thrust",
        "edges": [0.0, 0.1, 0.3, 0.4, 0.8],
        "values": [1.0, 2.0, 4.0, 0.5],
        "stat": [0.1, 0.2, 0.3, 0.05],
        "systematics": {"scale": [0.1, 0.1, 0.2, 0.1], "noise": [0.3, 0.1, 0.1, 0.1]},
        "correlated": frozenset({"scale"}),
        **changes,
    }
    for key in ("edges", "values", "stat"):
        fields[key] = None if fields[key] is None else np.array(fields[key])
    fields["systematics"] = {label: np.array(error) for label, error in fields["systematics"].items()}
    return Measurement(**fields)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_tables_equal_the_published_ones(name):
    low, high, values, total = column(
        LEP / f"ALEPH_2004_S5765862__{SOURCES[name]}.csv", "x_lo", "x_hi", "y", "total_up"
    )
    data = load(name)
    np.testing.assert_array_equal(data.edges, [*low, high[-1]])
    np.testing.assert_array_equal(data.values, values)
    np.testing.assert_allclose(data.total, total, rtol=1e-6)


def test_thrust_keeps_its_three_errors_apart():
    path = LEP / "ALEPH_2004__thrust_91.2GeV__stat_sys1_sys2.csv"
    values, stat, sys1, sys2 = column(path, "dsigma_dT_over_sigma", "stat", "sys1", "sys2")
    data = load("thrust")
    np.testing.assert_array_equal(data.values, values)
    np.testing.assert_array_equal(data.stat, stat)
    np.testing.assert_array_equal(data.systematics["sys1"], sys1)
    np.testing.assert_array_equal(data.systematics["sys2"], sys2)
    assert data.correlated == {"sys1", "sys2"}


def test_all_tables_are_normalised_and_tell_their_source():
    assert set(available()) == {*SOURCES, "aleph_2004_charged_multiplicity"}
    for name in available():
        data = load(name)
        assert data.name == name
        assert data.energy == 91.2
        assert "Eur. Phys. J. C 35 (2004) 457" in data.citation
        assert data.doi == "10.1140/epjc/s2004-01891-4"
        assert "ins636645" in data.hepdata
        assert not data.zero_error_bins.any()
        if data.kind == "density":
            assert abs((data.values * data.widths).sum() - 1) < 1e-5
        assert load(name.split("_", 2)[2]).name == name


def test_mean_multiplicity():
    data = load("charged_multiplicity")
    assert (data.values.tolist(), data.total.tolist()) == ([20.73], [0.21])
    assert data.covariance().tolist() == [[0.21**2]]
    for action in (data.to_hist, lambda: data.select(0, 1), lambda: data.rebin(1)):
        with pytest.raises(ValueError, match="single number"):
            action()
    assert "20.73 ± 0.21" in repr(data)
    assert Measurement.from_dict(json.loads(data.to_json())).edges.tolist() == [-np.inf, np.inf]


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match=r"'thrsut'.*Did you mean 'thrust'"):
        load("thrsut")
    with pytest.raises(ValueError, match="Available: aleph_2004_c_parameter"):
        load("zzzzzz")


def test_covariance_models_against_their_definition():
    data = toy()
    scale, noise = data.systematics["scale"], data.systematics["noise"]
    diagonal = np.diag(data.stat**2 + noise**2)
    np.testing.assert_allclose(data.covariance(), np.diag(data.total**2))
    np.testing.assert_allclose(data.covariance("correlated"), diagonal + np.outer(scale, scale))
    overlap = [[min(a, b) ** 2 for a in scale] for b in scale]
    np.testing.assert_allclose(data.covariance("minimum_overlap"), diagonal + overlap)
    with pytest.raises(ValueError, match=r"unknown correlation model 'full'.*minimum_overlap"):
        data.covariance("full")
    with pytest.raises(ValueError, match="has its own statistical errors"):
        data.covariance("correlated", statistical_fraction=0.5)


@pytest.mark.parametrize("model", ["uncorrelated", "correlated", "minimum_overlap"])
@pytest.mark.parametrize("name", available())
def test_covariances_of_the_tables_are_positive_definite(name, model):
    data = load(name)
    fraction = None if data.stat is not None else 0.3
    matrix = data.covariance(model, statistical_fraction=fraction)
    np.testing.assert_allclose(np.diag(matrix), data.total**2)
    scaled = matrix / np.outer(data.total, data.total)
    assert np.linalg.eigvalsh(scaled).min() > 0
    if fraction is not None and model != "uncorrelated":
        with pytest.raises(ValueError, match="statistical_fraction"):
            data.covariance(model)
        for bad in (0.0, 1.0, -1.0, float("nan")):
            with pytest.raises(ValueError, match="between 0 and 1"):
                data.covariance(model, statistical_fraction=bad)


def test_bins_without_error_are_named_and_dropped():
    errors: dict[str, Any] = {"stat": [0.0, 0.2, 0.3, 0.05], "systematics": {}, "correlated": None}
    data = toy(**errors)
    assert data.zero_error_bins.tolist() == [True, False, False, False]
    with pytest.raises(ValueError, match=r"zero error in bin 0 \[0, 0\.1\].*drop_zero_errors=True"):
        data.covariance()
    kept = data.select(drop_zero_errors=True)
    assert kept.edges.tolist() == [0.1, 0.3, 0.4, 0.8]
    np.testing.assert_allclose(kept.covariance(), np.diag([0.04, 0.09, 0.0025]))
    with pytest.raises(ValueError, match=r"between good bins \(bin 2"):
        toy(**{**errors, "stat": [0.1, 0.2, 0.0, 0.05]}).select(drop_zero_errors=True)
    with pytest.raises(ValueError, match="every bin"):
        data.select(0, 0.1, drop_zero_errors=True)


def test_select_takes_whole_bins_and_explains_an_empty_range():
    data = load("thrust")
    part = data.select(0.7, 0.95)
    assert (part.edges[0], part.edges[-1], part.num_bins) == (0.7, 0.95, 25)
    np.testing.assert_array_equal(part.systematics["sys2"], data.systematics["sys2"][12:37])
    assert data.select(0.695, 0.955).edges.tolist() == part.edges.tolist()
    assert data.select(None, None).num_bins == data.num_bins
    for low, high in [(1.0, 2.0), (0.9, 0.8), (0.701, 0.709)]:
        with pytest.raises(ValueError, match=r"The data cover 0\.58 to 1 in 42 bins"):
            data.select(low, high)
    with pytest.raises(ValueError, match="finite number"):
        data.select(float("nan"))


def test_rebin_keeps_the_integral_and_propagates_each_error():
    data = toy()
    merged = data.rebin([0.0, 0.3, 0.8])
    np.testing.assert_allclose(merged.values, [(1 * 0.1 + 2 * 0.2) / 0.3, (4 * 0.1 + 0.5 * 0.4) / 0.5])
    np.testing.assert_allclose(merged.stat[0], np.hypot(0.1 * 0.1, 0.2 * 0.2) / 0.3)
    np.testing.assert_allclose(merged.systematics["scale"][0], np.hypot(0.1 * 0.1, 0.1 * 0.2) / 0.3)
    linear = data.rebin([0.0, 0.3, 0.8], "correlated")
    np.testing.assert_allclose(linear.systematics["scale"], [0.1, (0.2 * 0.1 + 0.1 * 0.4) / 0.5])
    np.testing.assert_allclose(linear.systematics["noise"], merged.systematics["noise"])
    for model in ("uncorrelated", "correlated", "minimum_overlap"):
        weights = np.array([[1 / 3, 2 / 3, 0, 0], [0, 0, 0.2, 0.8]])
        exact = np.diag(weights @ data.covariance(model) @ weights.T)
        np.testing.assert_allclose(data.rebin(2, model).total ** 2, exact)
    with pytest.raises(ValueError, match="does not divide the 4 bins"):
        data.rebin(3)
    with pytest.raises(ValueError, match=r"\[0\.25\] are not edges"):
        data.rebin([0.0, 0.25, 0.8])
    with pytest.raises(ValueError, match="growing"):
        data.rebin([0.3, 0.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": [0.0, 0.1, 0.3, 0.4]}, "4 values need 5 edges"),
        ({"edges": [0.0, 0.1, 0.1, 0.4, 0.8]}, "must grow"),
        ({"values": [1.0, np.nan, 1.0, 1.0]}, "not finite"),
        ({"stat": [0.1, -0.2, 0.3, 0.05]}, "not negative"),
        ({"systematics": {"scale": [0.1]}}, "have shape"),
        ({"stat": None, "systematics": {}, "correlated": None}, "no errors given"),
        ({"correlated": frozenset({"jes"})}, r"correlated names \['jes'\]"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        toy(**change)


def test_hist_json_and_tables():
    data = load("c_parameter").select(0, 0.1)
    histogram = data.to_hist()
    np.testing.assert_array_equal(histogram.values(), data.values)
    np.testing.assert_allclose(histogram.variances(), data.total**2)
    np.testing.assert_array_equal(histogram.axes[0].edges, data.edges)
    for original in (data, load("thrust"), toy()):
        back = Measurement.from_dict(json.loads(original.to_json()))
        for field in dataclasses.fields(original):
            one, two = getattr(original, field.name), getattr(back, field.name)
            if field.name == "systematics":
                assert one.keys() == two.keys()
                for key in one:
                    np.testing.assert_array_equal(one[key], two[key])
            else:
                assert np.array_equal(one, two), field.name
    text = load("thrust").table()
    assert len(text.splitlines()) == 44
    assert "sys1" in text
    assert "1.31186" in text
    assert load("thrust").rich_table().row_count == 42
    assert load("thrust")._repr_html_().count("<tr>") == 43
    assert "42 bins of T in [0.58, 1], errors stat, sys1, sys2, 91.2 GeV" in repr(load("thrust"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n", "line 1: is not a jaxhep table"),
        (MAGIC + "\n# name: a\n", "low,high,value"),
        (
            MAGIC + "\nlow,high,value,stat\n0,1,2,0.1\n",
            "lacks the header lines # name:, # observable:",
        ),
        (MAGIC + "\n# name: a\nlow,high,value,stat\n0,1,2,0.1\n1,2,3\n", "line 5: has 3 columns"),
        (MAGIC + "\n# name: a\nlow,high,value,stat\n0,1,two,0.1\n", "line 4: holds something"),
        (
            MAGIC + "\n# name: a\nlow,high,value,stat\n0,1,2,0.1\n2,3,2,0.1\n",
            "line 5: bins must be",
        ),
        (
            MAGIC + "\n# name: a\n# observable: b\nlow,high,value,stat\n0,1,2,-0.1\n",
            "does not describe a measurement",
        ),
        # Cut inside the last number: 0.1234 would be read as 0.12.
        (
            MAGIC + "\n# name: a\n# observable: b\nlow,high,value,stat\n0,1,2,0.12",
            "line 5: ends in the middle of a line",
        ),
    ],
)
def test_malformed_tables_are_clear_errors(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(DataFileError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    with pytest.raises(DataFileError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")
