"""The notebooks run from any folder, at reduced size, and what they claim in words holds in their numbers."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOK = NOTEBOOKS / "alpha_s_fit.ipynb"
EVENTS = 8192
MAX_BYTES = 1_000_000

# Read in the kernel after the last cell: the numbers that the notebook's words rest on.
_PROBE = """
import json
print(json.dumps({
    "events": EVENTS,
    "energy": [float(x) for x in event.momenta[event.mask].sum(0)],
    "recoil": [float(x) for x in slope.momenta[event.mask].sum(0)],
    "moved": [moved_shift, moved_shift_error],
    "regenerated": [new_shift, new_shift_error],
    "jvp": float(gradient),
    "gradient": [float(estimate.value), float(estimate.error)],
    "path_only": [float(path_only.value), float(path_only.error)],
    "difference": [difference, difference_error],
    "valid": study.result.valid,
    "alpha_s": study.alpha_s[:2],
    "lambda": [study.result.values["lambda_qcd"], study.result.errors["lambda_qcd"]],
    "interval": [float(x) for x in interval],
    "html": study.result._repr_html_(),
}))
"""

_DETECTOR_PROBE = """
import json
print(json.dumps({
    "steps": study.result.num_steps,
    "depth": study.hard.design.depth,
    "limit": start.budgets["depth"],
    "slope": float(total.mean()),
    "slope_error": float(total.std() / len(total) ** 0.5),
}))
"""


def _read(path):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run in an empty folder, and the numbers of the probe."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = _read(NOTEBOOK)
    probe = nbformat.v4.new_code_cell(_PROBE)
    notebook.cells.append(probe)
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXHEP_NOTEBOOK_EVENTS", str(EVENTS))
        # The many devices of the other tests only cost threads here.
        patch.setenv("XLA_FLAGS", "")
        nbclient.NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    numbers = json.loads("".join(output.text for output in notebook.cells.pop().outputs))
    return notebook, numbers, folder


def _sigmas(first, second):
    return abs(first[0] - second[0]) / (first[1] ** 2 + second[1] ** 2) ** 0.5


def test_runs_without_warnings_and_leaves_no_files(executed):
    notebook, numbers, folder = executed
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert numbers["events"] == EVENTS
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 4
    assert any(o.get("data", {}).get("text/html") == numbers["html"] for o in outputs)
    assert list(folder.iterdir()) == []


def test_one_event_conserves_momentum_and_so_does_its_derivative(executed):
    _, numbers, _ = executed
    assert numbers["energy"] == pytest.approx([91.1876, 0, 0, 0], abs=1e-3)
    # The single derivatives are tens of GeV per GeV.
    assert numbers["recoil"] == pytest.approx([0, 0, 0, 0], abs=1e-2)


def test_moved_events_agree_with_new_ones_at_a_smaller_error(executed):
    _, numbers, _ = executed
    # 5.2 standard errors: false alarms below 2e-7.
    assert _sigmas(numbers["moved"], numbers["regenerated"]) < 5.2
    assert numbers["moved"][1] < numbers["regenerated"][1] / 4


def test_gradient_is_that_of_independent_samples_and_needs_the_weights(executed):
    _, numbers, _ = executed
    assert numbers["jvp"] == pytest.approx(numbers["gradient"][0], rel=1e-3)
    assert _sigmas(numbers["gradient"], numbers["difference"]) < 5.2
    assert _sigmas(numbers["gradient"], numbers["path_only"]) > 5


def test_fit_is_valid_and_its_interval_holds_the_best_value(executed):
    _, numbers, _ = executed
    best, error = numbers["lambda"]
    low, high = numbers["interval"]
    assert numbers["valid"] is True
    assert 0.08 < numbers["alpha_s"][0] < 0.13
    assert low < best < high
    assert (high - low) / 2 == pytest.approx(error, rel=0.3)


def test_detector_notebook_runs_at_reduced_size(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = _read(NOTEBOOKS / "detector_design.ipynb")
    notebook.cells.append(nbformat.v4.new_code_cell(_DETECTOR_PROBE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXHEP_NOTEBOOK_LAYERS", "3")
        patch.setenv("JAXHEP_NOTEBOOK_STEPS", "25")
        patch.setenv("XLA_FLAGS", "")
        nbclient.NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
    numbers = json.loads("".join(output.text for output in notebook.cells.pop().outputs))
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 4
    assert any("price of depth" in o.get("data", {}).get("text/html", "") for o in outputs)
    assert numbers["steps"] == 25
    assert numbers["depth"] <= numbers["limit"] + 1e-9
    # More lead in front of a leaking calorimeter keeps more of the energy in it.
    assert numbers["slope"] > 5 * numbers["slope_error"] > 0
    assert list(tmp_path.iterdir()) == []


def test_stored_notebooks_are_small_ran_in_order_and_carry_no_times():
    found = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert NOTEBOOK in found
    for path in found:
        text = path.read_text(encoding="utf-8")
        code = [cell for cell in _read(path).cells if cell.cell_type == "code"]
        assert len(text.encode()) < MAX_BYTES, path
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), path
        outputs = [output for cell in code for output in cell.outputs]
        assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == [], path
        assert all("execution" not in cell.metadata for cell in code), path
        # Neither the folder of who ran it nor a time of day.
        assert re.search(r"/(home|root|Users|tmp|work)/|iopub\.|\d\d:\d\d:\d\d", text) is None, path
