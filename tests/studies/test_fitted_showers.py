"""The fit with each shower: its options before anything is compiled, and α_s from the dipole shower."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from jaxhep.cli import app
from jaxhep.studies import fit_event_shapes, uncertainties
from jaxhep.studies.event_shape_fit import check_arguments
from jaxhep.studies.fitted_showers import SHOWERS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shower": "dipole", "n_f": 5}, "n_f: no option of the fit with this shower; it takes cutoff"),
        ({"shower": "discrete", "cutoff": 1.0}, "cutoff: no option"),
        ({"shower": "pythia"}, "discrete or dipole"),
        ({"shower": "dipole", "cutoff": 0.1}, "Landau pole"),
        ({"shower": "dipole", "cutoff": 60.0}, "leaves no room"),
        ({"shower": "dipole", "scale_factor": -1.0}, "scale_factor must be a positive number"),
    ],
)
def test_options_of_the_shower(options, words):
    with pytest.raises(ValueError, match=words):
        check_arguments(**options)


def test_couplings_at_the_z():
    discrete, dipole = (kind.make(91.1876, kind.start, kind.options({})) for kind in SHOWERS.values())
    value, error, words = SHOWERS["discrete"].coupling(discrete, 0.2, 0.02)
    assert value == pytest.approx(0.09330, abs=1e-5)  # 12π/(33 ln(m_Z²/Λ²))
    above, *_ = SHOWERS["discrete"].coupling(discrete, 0.2001, 0.02)
    assert error == pytest.approx((above - value) / 0.0001 * 0.02, rel=1e-3)
    assert "n_f = 0" in words
    assert SHOWERS["dipole"].coupling(dipole, 0.12, 0.001)[:2] == (0.12, 0.001)


def test_small_fit_of_alpha_s(tmp_path: Path):
    folder = tmp_path / "run"
    arguments = ["fit", "--shower", "dipole", "--num-events", "8192", "--no-validation", "--output", str(folder)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    content = json.loads((folder / "result.json").read_text())
    assert content["valid"]
    assert content["num_overflow"] == 0
    found = content["parameters"]["alpha_s"]
    assert 0.105 < found["value"] < 0.135
    assert 0.0005 < found["error"] < 0.01
    assert content["alpha_s_mz"]["value"] == found["value"]
    assert 0 < content["parameters"]["omega_1"]["value"] < 1.2
    for name in ("data_mc_thrust", "profile_alpha_s", "contour"):
        assert (folder / f"{name}.png").stat().st_size > 10_000


def test_scale_variation_by_weights_is_that_of_new_samples(monkeypatch):
    """The same program, data and size as the fit above: only numbers change."""
    study = fit_event_shapes(num_events=8192, shower="dipole")
    split = uncertainties(study, scale_factors=(0.5, 2.0))
    assert split.scale is not None
    assert split.scale[0] < 0 < split.scale[1]
    # The coupling that makes up for the scale leaves almost all of the events' worth.
    assert [one.regenerated for one in split.variations] == [False, False]
    assert min(one.worth for one in split.variations) > 0.5
    band = split.bands["thrust"]
    for kind in ("scale", "parameter"):
        assert np.all(band[f"{kind}_low"] <= band["fit"])
        assert np.all(band["fit"] <= band[f"{kind}_high"])
    assert np.max(band["scale_high"] / band["fit"]) > 1.02
    shown = split.to_dict()
    assert json.loads(json.dumps(shown))["scale_variations"][0]["factor"] == 0.5
    # Against samples of their own: these have the Monte Carlo errors of two samples.
    (there,) = uncertainties(study, scale_factors=(0.5,), regenerate=True).variations
    assert there.regenerated
    assert abs(split.variations[0].value - there.value) < 5.2 * np.sqrt(2) * split.monte_carlo

    # Of fewer events the shifts are those from a fit with the same events: here both are given the same spectra.
    asked = []

    def same(study, factor, num_events, report, own=False):
        asked.append((factor, num_events))
        return study.spectra

    monkeypatch.setattr(sys.modules[uncertainties.__module__], "_spectra", same)
    fewer = uncertainties(study, scale_factors=(1.0,), num_events=4096)
    assert asked == [(1.0, 4096), (1.0, 4096)]
    assert fewer.scale == pytest.approx((0, 0), abs=1e-3 * split.data)


def test_uncertainties_of_the_fit():
    study = fit_event_shapes(num_events=65_536)
    split = uncertainties(study)
    # The two parts add up to the error of the fit, up to the second derivatives of the model (5 % here).
    assert np.hypot(split.data, split.monte_carlo) == pytest.approx(study.result.errors["lambda_qcd"], rel=0.15)
    assert split.scale is None
    low, high = split.hadronisation
    assert low < high
    assert max(abs(low), abs(high)) < 2 * study.result.errors["lambda_qcd"]
