"""The stability study: what its rows say, without making events."""

import sys
from types import SimpleNamespace

import pytest

from jaxhep.studies import stability as run
from jaxhep.studies.event_shape_fit import check_arguments
from jaxhep.studies.stability import VARIATIONS


def fake(calls):
    def fit(observables=("thrust",), *, num_events, **options):
        calls.append((observables, num_events, options))
        values = {"lambda_qcd": 0.3, "omega_1": 0.6}
        result = SimpleNamespace(
            values=values, errors={"lambda_qcd": 0.02, "omega_1": 0.1}, chi2=17.7, ndf=18, reasons=()
        )
        return SimpleNamespace(result=result, alpha_s=(0.1, 0.001, "words"))

    return fit


def test_each_variation_is_one_fit(monkeypatch):
    calls: list = []
    seen: list = []
    monkeypatch.setattr(sys.modules[run.__module__], "fit_event_shapes", fake(calls))
    rows = run(1000, ["four times the events", "C-parameter", "published shower (neither)"], on_row=seen.append)
    assert rows == seen
    assert calls == [
        (("thrust",), 4000, {}),
        (("c_parameter",), 1000, {}),
        (("thrust",), 1000, {"matrix_element": False, "quark_colour": "C_A/2"}),
    ]
    shown = "| C-parameter | 0.3000 ± 0.0200 | 0.600 ± 0.100 | 17.7/18 | 0.1000 ± 0.0010 | valid |"
    assert rows[1].markdown() == shown
    assert run(500, {"mine": {"seed": 7, "scale": 0.5}})[0].name == "mine"
    assert calls[-1] == (("thrust",), 250, {"seed": 7})


def test_options_of_all_variations_are_accepted():
    for options in VARIATIONS.values():
        kept = {name: value for name, value in options.items() if name not in ("scale", "shape", "observables")}
        assert check_arguments(options.get("observables", ("thrust",)), **kept)


def test_an_unknown_name_is_said_before_any_fit():
    with pytest.raises(ValueError, match="no variation 'thurst'"):
        run(1000, ["thurst"])
