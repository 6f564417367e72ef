"""HEPData YAML and YODA files: good ones are read, bad ones are refused with path, line and cure."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import jaxhep.reference
from jaxhep.reference import DataFileError, Measurement, read_measurement

PEER = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "peer-mc" / "gaps_v1_paper_gpu.yoda"

HEPDATA = """\
independent_variables:
- header: {name: T}
  values:
  - {low: 0.9, high: 1.0}
  - {low: 0.8, high: 0.9}
  - {low: 0.7, high: 0.8}
  - {low: 0.6, high: 0.7}
dependent_variables:
- header: {name: '1/SIG DSIG/DT'}
  qualifiers:
  - {name: SQRT(S), units: GeV, value: '91.2'}
  values:
  - value: 6.0
    errors:
    - {symerror: 0.1, label: stat}
    - {asymerror: {plus: 0.3, minus: -0.1}, label: 'sys,detector'}
    - {symerror: '2%', label: 'sys,model'}
  - value: 3.0
    errors:
    - {symerror: 0.2, label: stat}
    - {symerror: 0.1, label: 'sys,detector'}
  - value: 1.0
    errors:
    - {symerror: 0.3, label: stat}
    - {symerror: 0.1, label: 'sys,detector'}
    - {symerror: 0.5, label: 'sys,model'}
  - value: '-'
- header: {name: second}
  values:
  - {value: 1, errors: [{symerror: 0.5}]}
  - {value: 2, errors: [{symerror: 0.5}]}
  - {value: 3, errors: [{symerror: 0.5}]}
  - {value: 4, errors: [{symerror: 0.0}]}
"""

SCATTER = """\
BEGIN YODA_SCATTER2D_V2 /REF/A/d01-x01-y01
Path: /REF/A/d01-x01-y01
Title: a title
Type: Scatter2D
---
# xval xerr- xerr+ yval yerr- yerr+
5.000000e-01\t5.000000e-01\t5.000000e-01\t2.000000e+00\t1.000000e-01\t3.000000e-01
2.000000e+00\t1.000000e+00\t1.000000e+00\t1.000000e+00\t2.000000e-01\t2.000000e-01
END YODA_SCATTER2D_V2
"""

HISTO2 = """\
BEGIN YODA_HISTO1D_V2 /A/h
Path: /A/h
Type: Histo1D
---
# Mean: 1.0
# ID\tID\tsumw\tsumw2\tsumwx\tsumwx2\tnumEntries
Total   \tTotal   \t1.0e+01\t4.0e+00\t1.0\t1.0\t10
Underflow\tUnderflow\t2.0e+00\t1.0e+00\t1.0\t1.0\t2
Overflow\tOverflow\t0.0\t0.0\t0.0\t0.0\t0
# xlow\txhigh\tsumw\tsumw2\tsumwx\tsumwx2\tnumEntries
0.0\t1.0\t5.0\t4.0\t1.0\t1.0\t5
1.0\t3.0\t3.0\t1.0\t1.0\t1.0\t3
END YODA_HISTO1D_V2
"""

HISTO3 = """\
BEGIN YODA_{kind}_V3 /A/h
Path: /A/h
Type: Histo1D
---
# Mean: 1.0
Edges(A1): [0.0, 1.0, 3.0]
# sumW\tsumW2\tsumW(A1)\tsumW2(A1)\tnumEntries
2.0\t1.0\t1.0\t1.0\t2
5.0\t4.0\t1.0\t1.0\t5
3.0\t1.0\t1.0\t1.0\t3
0.0\t0.0\t0.0\t0.0\t0
END YODA_{kind}_V3
"""

ESTIMATE = """\
BEGIN YODA_COUNTER_V3 /_EVTCOUNT
Path: /_EVTCOUNT
---
1.0\t1.0\t1
END YODA_COUNTER_V3

BEGIN YODA_ESTIMATE1D_V3 /A/e
Path: /A/e
Title: estimate
---
Edges(A1): [0.0, 1.0, 3.0]
ErrorLabels: ["stats", "scale"]
# value\terrDn(1)\terrUp(1)\terrDn(2)\terrUp(2)
nan\t---\t---\t---\t---
5.0e-01\t-2.0e-01\t2.0e-01\t-1.0e-01\t3.0e-01
1.5e-01\t-5.0e-02\t5.0e-02\t---\t---
nan\t---\t---\t---\t---
END YODA_ESTIMATE1D_V3
"""


def read_yoda(*args, **options):
    return jaxhep.reference.read_yoda(*args, **options)


def read_hepdata_yaml(*args, **options):
    return jaxhep.reference.read_hepdata_yaml(*args, **options)


def put(tmp_path, text, name="file.yoda"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_hepdata_table(tmp_path):
    path = put(tmp_path, HEPDATA, "Table1.yaml")
    data = read_hepdata_yaml(path, observable="thrust", citation="mine")
    np.testing.assert_allclose(data.edges, [0.7, 0.8, 0.9, 1.0])  # turned round, the empty bin dropped
    assert data.values.tolist() == [1, 3, 6]
    assert data.stat.tolist() == [0.3, 0.2, 0.1]
    np.testing.assert_allclose(data.systematics["sys,detector"], [0.1, 0.1, 0.2])
    np.testing.assert_allclose(data.systematics["sys,model"], [0.5, 0, 0.12])
    assert (data.energy, data.observable, data.name, data.citation) == (91.2, "thrust", "Table1", "mine")
    assert data.correlated == {"sys,detector", "sys,model"}
    larger = read_hepdata_yaml(path, asymmetric="larger", uncorrelated=["sys,model"], energy=90.0)
    np.testing.assert_allclose(larger.systematics["sys,detector"], [0.1, 0.1, 0.3])
    assert larger.correlated == {"sys,detector"}
    assert larger.energy == 90.0
    with pytest.raises(DataFileError, match=r"asymmetric errors.*'average'"):
        read_hepdata_yaml(path, asymmetric="error")
    with pytest.raises(ValueError, match=r"uncorrelated names \['jes'\]"):
        read_hepdata_yaml(path, uncorrelated=["jes"])


def test_hepdata_second_column_and_zero_errors(tmp_path):
    path = put(tmp_path, HEPDATA, "t.yaml")
    by_name = read_hepdata_yaml(path, column="second")
    assert by_name.values.tolist() == read_hepdata_yaml(path, column=1).values.tolist() == [4, 3, 2, 1]
    assert by_name.stat is None
    assert by_name.zero_error_bins.tolist() == [True, False, False, False]
    with pytest.raises(ValueError, match=r"bin 0 \[0\.6, 0\.7\]"):
        by_name.covariance()
    for column in (2, "third"):
        with pytest.raises(DataFileError, match=r"has no column .*second"):
            read_hepdata_yaml(path, column=column)


def test_hepdata_points_need_edges(tmp_path):
    text = HEPDATA
    for low, high in (("0.9", "1.0"), ("0.8", "0.9"), ("0.7", "0.8"), ("0.6", "0.7")):
        text = text.replace(f"{{low: {low}, high: {high}}}", f"{{value: {low}}}")
    path = put(tmp_path, text, "t.yaml")
    with pytest.raises(DataFileError, match=r"line 4: gives a point.*Pass edges="):
        read_hepdata_yaml(path, column=1)
    assert read_hepdata_yaml(path, column=1, edges=[0, 1, 2, 3, 4]).values.tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="4 bins need 5 edges"):
        read_hepdata_yaml(path, column=1, edges=[0, 1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("high: 1.0}", "high: 1.0", r"line \d+: .*|line \d+"),
        ("{low: 0.8, high: 0.9}", "{low: 0.8, high: 0.85}", "do not touch"),
        ("value: 3.0", "value: three", r"line 18: holds 'three'"),
        ("value: 3.0", "value: '-'", "no value in the bin"),
        ("independent_variables", "variables", "no table"),
        ("  - {low: 0.6, high: 0.7}\n", "", "3 bins and 4 values"),
        ("{symerror: 0.2, label: stat}", "{error: 0.2, label: stat}", "line 18: .*neither symerror nor asymerror"),
        ("- header: {name: T}", "- header: {name: T}\n  values: []\n- header: {name: S}", "2 independent variables"),
    ],
)
def test_malformed_hepdata_is_a_clear_error(tmp_path, old, new, message):
    assert old in HEPDATA
    path = put(tmp_path, HEPDATA.replace(old, new), "t.yaml")
    with pytest.raises(DataFileError, match=message) as caught:
        read_hepdata_yaml(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("length", [0, 40, 150, 380, 700, 900])
def test_truncated_hepdata_is_never_read_in_silence(tmp_path, length):
    path = put(tmp_path, HEPDATA[:length], "t.yaml")
    with pytest.raises(DataFileError, match=r"t\.yaml"):
        read_hepdata_yaml(path, column=1)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataFileError, match="cannot be read as text"):
        read_hepdata_yaml(path)
    with pytest.raises(DataFileError, match="cannot be read"):
        read_hepdata_yaml(tmp_path / "absent.yaml")


def test_yoda_scatter(tmp_path):
    data = read_yoda(put(tmp_path, SCATTER), "d01-x01-y01", observable="thrust", energy=91.2)
    assert isinstance(data, Measurement)
    assert data.edges.tolist() == [0, 1, 3]
    assert data.values.tolist() == [2, 1]
    np.testing.assert_allclose(data.total, [0.2, 0.2])
    assert (data.title, data.observable, data.energy) == ("a title", "thrust", 91.2)
    larger = read_yoda(put(tmp_path, SCATTER), "/REF/A/d01-x01-y01", asymmetric="larger")
    np.testing.assert_allclose(larger.total, [0.3, 0.2])
    with pytest.raises(DataFileError, match="asymmetric"):
        read_yoda(put(tmp_path, SCATTER), asymmetric="error")


@pytest.mark.parametrize("text", [HISTO2, HISTO3.format(kind="HISTO1D"), HISTO3.format(kind="BINNEDHISTO<D>")])
def test_yoda_histograms_of_both_versions(tmp_path, text):
    path = tmp_path / "h.yoda.gz"
    path.write_bytes(gzip.compress(text.encode()))
    data = read_yoda(path, "h")
    np.testing.assert_allclose(data.values, [0.5, 0.15])  # underflow counts in the normalisation
    np.testing.assert_allclose(data.stat, [0.2, 0.05])
    whole = read_yoda(path, "h", normalize=False)
    np.testing.assert_allclose(whole.values, [5, 1.5])
    np.testing.assert_allclose(whole.stat, [2, 0.5])


def test_yoda_estimate_and_objects_that_are_passed_over(tmp_path):
    found = read_yoda(put(tmp_path, ESTIMATE))
    assert list(found) == ["/A/e"]
    data = found["/A/e"]
    assert data.values.tolist() == [0.5, 0.15]
    np.testing.assert_allclose(data.stat, [0.2, 0.05])
    np.testing.assert_allclose(data.systematics["scale"], [0.2, 0])
    with pytest.raises(DataFileError, match="is a COUNTER"):
        read_yoda(put(tmp_path, ESTIMATE), "_EVTCOUNT")
    with pytest.raises(DataFileError, match=r"no object called 'x'.*It holds: /_EVTCOUNT, /A/e"):
        read_yoda(put(tmp_path, ESTIMATE), "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no YODA object"),
        ("mass,width\n1,2\n", "line 1: is not a YODA text file"),
        (SCATTER[:-30], r"line 1: .*no END line: the file was cut short"),
        (SCATTER.replace("END YODA_SCATTER2D_V2\n", "") + HISTO2, "line 9: unexpected BEGIN"),
        (SCATTER.replace("\t2.000000e-01\n", "\n"), "line 8: .*5 columns"),
        (SCATTER.replace("1.000000e-01", "big"), "line 7: .*not a number"),
        (SCATTER.replace("2.000000e+00\t1.000000e+00", "2.500000e+00\t1.000000e+00"), "line 8: .*do not touch"),
        (HISTO3.format(kind="HISTO1D").replace("3.0\t1.0\t1.0\t1.0\t3\n", ""), "3 lines of data, its edges need 4"),
        (HISTO3.format(kind="HISTO1D").replace("Edges(A1)", "Edge"), "no readable line 'Edges"),
        (ESTIMATE.replace('"scale"]', '"scale"'), "unreadable line 'ErrorLabels"),
        (HISTO2.replace("1.0e+01", "0.0"), "normalize=False"),
        ("BEGIN YODA_COUNTER_V3 /c\n---\n1 1 1\nEND YODA_COUNTER_V3\n", "no one-dimensional binned object"),
        ("BEGIN YODA_SCATTER2D_V2 /c\n---\nEND YODA_SCATTER2D_V2\n", "has no data"),
        ("BEGIN YODA_BINNEDESTIMATE<S>_V3 /c\n---\nEND YODA_BINNEDESTIMATE<S>_V3\n", "only BINNEDESTIMATE<S>"),
    ],
)
def test_malformed_yoda_is_a_clear_error(tmp_path, text, message):
    path = put(tmp_path, text)
    with pytest.raises(DataFileError, match=message) as caught:
        read_yoda(path)
    assert str(path) in str(caught.value)


def test_truncated_gzip_and_missing_file(tmp_path):
    path = tmp_path / "h.yoda.gz"
    path.write_bytes(gzip.compress(HISTO2.encode())[:-20])
    for broken in (path, tmp_path / "absent.yoda"):
        with pytest.raises(DataFileError, match="cannot be read"):
            read_yoda(broken)


def test_the_file_of_a_peer():
    if not PEER.is_file():
        pytest.skip(f"{PEER} is not here")
    found = read_yoda(PEER)
    assert len(found) == 10
    data = found["/gaps/tvalue"]
    assert data.num_bins == 100
    assert (data.edges[0], data.edges[-1]) == (0, 0.5)
    integral = (data.values * data.widths).sum()
    assert 0.95 < integral < 1  # the rest fell outside of the bins
    log_y = found["/gaps/log10y23"]
    outside = 2.031686e3 / 4.254189e4  # Underflow over Total, as printed in the file
    np.testing.assert_allclose((log_y.values * log_y.widths).sum(), 1 - outside, rtol=1e-5)
    assert (data.stat[data.values > 0] > 0).all()


def test_any_file_by_its_suffix(tmp_path):
    table = put(tmp_path, HEPDATA, "t.yaml")
    assert read_measurement(table, observable="thrust").observable == "thrust"
    assert read_measurement(table, "second").values.tolist() == read_measurement(table, "1").values.tolist()
    one, two = put(tmp_path, SCATTER, "one.yoda"), put(tmp_path, SCATTER + SCATTER.replace("d01", "d02"), "two.yoda")
    assert read_measurement(one).values.tolist() == [2.0, 1.0]
    assert read_measurement(two, "d02-x01-y01", observable="thrust").observable == "thrust"
    with pytest.raises(DataFileError, match=r"holds 2 objects\. Say which: /REF/A/d01"):
        read_measurement(two)
    with pytest.raises(DataFileError, match="of no kind that can be read"):
        read_measurement(tmp_path / "data.xlsx")
    with pytest.raises(DataFileError, match=r"absent\.csv: cannot be read"):
        read_measurement(tmp_path / "absent.csv")
    with pytest.raises(DataFileError, match="has no part '2'"):
        read_measurement(tmp_path / "table.csv", "2")
