"""`jaxhep shower`, `move` and `check-gradients` with the dipole shower, and what they refuse."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from jaxhep.cli import app
from jaxhep.formats import file_info, read_events
from jaxhep.studies import DipoleRun, open_run

SMALL = ["--shower", "dipole", "--cutoff", 15, "--capacity", 4]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def whole(path, *names):
    batches = list(read_events(path))
    return [np.concatenate([getattr(b, name) for b in batches]) for name in names]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("dipole") / "run.hepmc"
    result = run("shower", path, *SMALL, "--num-events", 2500, "--batch-size", 1000)
    assert result.exit_code == 0, result.output
    return path


def test_hepmc_file_has_the_colour_lines_of_the_run(stored):
    pyhepmc = pytest.importorskip("pyhepmc")
    metadata = file_info(stored).metadata
    assert (metadata["shower"], metadata["alpha_s"], metadata["cutoff"]) == ("dipole", 0.118, 15.0)
    own = DipoleRun(num_events=2500, cutoff=15.0, capacity=4, hard_process=True).events(0, 1000)
    with pyhepmc.open(stored) as file:
        for number, event in zip(range(200), file, strict=False):
            final = [p for p in event.particles if p.status == 1]
            flows = [{name: int(str(p.attributes[name])) for name in p.attributes} for p in final]
            mask = np.asarray(own.mask[number])
            assert [p.pid for p in final] == np.asarray(own.pdg_id[number])[mask].tolist()
            momenta = [[p.momentum.e, p.momentum.px, p.momentum.py, p.momentum.pz] for p in final]
            np.testing.assert_allclose(momenta, np.asarray(own.momenta[number])[mask], rtol=1e-5, atol=1e-5)
            # Each colour ends as the anticolour of one other parton.
            starts, ends = (sorted(flow[name] for flow in flows if name in flow) for name in ("flow1", "flow2"))
            assert starts == ends
            assert len(starts) == len(set(starts)) > 0
            for particle, flow in zip(final, flows, strict=True):
                assert ("flow1" in flow, "flow2" in flow) == (particle.pid > 0, particle.pid < 0 or particle.pid == 21)


def test_moved_events_keep_momenta_and_carry_weights(stored, tmp_path):
    path = tmp_path / "moved.h5"
    result = run("move", stored, "--alpha-s", 0.121, "--scale-factor", 0.8, "--output", path)
    assert result.exit_code == 0, result.output
    assert "from α_s = 0.118, scale factor = 1 to α_s = 0.121, scale factor = 0.8" in " ".join(result.output.split())
    momenta, weight = whole(path, "momenta", "weight")
    before = whole(stored, "momenta")[0]
    np.testing.assert_allclose(momenta[:, : before.shape[1]], before, rtol=1e-4, atol=1e-3)
    assert np.ptp(weight) > 0.1
    assert abs(weight.mean() - 1) < 5.2 * weight.std() / np.sqrt(weight.size)
    again = run("move", path, "--alpha-s", 0.12, "--output", tmp_path / "back.h5")
    assert again.exit_code == 2
    assert "moved already" in again.output


def test_folder_of_a_fit_is_a_run(tmp_path):
    """The sample behind `jaxhep fit --shower dipole`."""
    (tmp_path / "config.yaml").write_text("shower: dipole\nseed: 3\nnum_events: 100\ncmw: true\ncutoff: 2.0\n")
    (tmp_path / "result.json").write_text('{"reference_value": 0.115}')
    found = open_run(tmp_path).run
    assert isinstance(found, DipoleRun)
    assert (found.alpha_s, found.cmw, found.cutoff, found.seed) == (0.115, True, 2.0, 3)


def test_gradients_agree(tmp_path):
    folder = tmp_path / "check"
    few = ["--num-events", 20000, "--batch-size", 10000, "--observable", "multiplicity", "--step", 0.1]
    result = run("check-gradients", *SMALL, *few, "--output", folder)
    assert result.exit_code == 0, result.output
    record = json.loads((folder / "result.json").read_text())
    assert record["passed"] is True
    assert record["parameter"] == "alpha_s"
    quantities = record["scales"][0]["quantities"]
    assert record["scales"][0]["alpha_s"] == pytest.approx(0.118)
    assert quantities["multiplicity"]["autodiff"] > 5 * quantities["multiplicity"]["autodiff_error"] > 0
    assert len(quantities) == 1 + 42
    assert "shower: dipole" in (folder / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shower", "OUT", "--shower", "dipole", "--cutoff", 46], "leaves no room"),
        (["shower", "OUT", "--shower", "dipole", "--cutoff", 0.2], "Landau pole at or above 0.2 GeV"),
        (["shower", "OUT", "--shower", "dipole", "--cutoff", -1], "cutoff must be a positive number"),
        (["shower", "OUT", "--shower", "dipole", "--alpha-s", "nan"], "alpha_s must be a positive number"),
        (["shower", "OUT", "--shower", "dipole", "--scale-factor", 0], "scale_factor must be a positive number"),
        (["shower", "OUT", "--shower", "dipole", "--lambda-qcd", 0.2], "--lambda-qcd is no option of --shower dipole"),
        (["shower", "OUT", "--alpha-s", 0.12], "--alpha-s is no option of --shower discrete"),
        (["shower", "OUT", "--shower", "dipole", "--noise", "sobol"], "no quasi-random form"),
        (["check-gradients", "--shower", "dipole", "--cutoff", 0.3, "--step", 0.1, "-o", "OUT"], "= 0.13041 at 2 loop"),
        (["check-gradients", "--shower", "dipole", "--parameter", "cutoff", "--cutoff", 44, "--step", 0.1, "-o", "OUT"],
         "leaves no room"),
        (["check-gradients", "--shower", "dipole", "--n-f", 5, "-o", "OUT"], "--n-f is no option"),
        (["check-gradients", "--gradient", "weight", "-o", "OUT"], "--gradient is no option"),
        (["fit", "--shower", "dipole", "--cutoff", 46, "-o", "OUT"], "leaves no room"),
        (["fit", "--shower", "dipole", "--cutoff", 0.2, "-o", "OUT"], "Landau pole"),
        (["fit", "--shower", "dipole", "--scale-factor", "nan", "-o", "OUT"], "scale_factor must be a positive number"),
    ],
)  # fmt: skip
def test_bad_input_is_a_sentence(tmp_path, arguments, message):
    out = tmp_path / "x.h5"
    result = run(*[out if one == "OUT" else one for one in arguments])
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_moving_where_it_cannot_be_done_is_a_sentence(stored, tmp_path):
    out = ["--output", tmp_path / "out.h5"]
    for arguments, message in (
        (["--lambda-qcd", 0.3], "moved in alpha_s, scale_factor, cutoff"),
        (["--alpha-s", -0.1], "alpha_s must be a positive number"),
        (["--cutoff", 60], "leaves no room"),
        ([], "say where to move the events"),
    ):
        result = run("move", stored, *arguments, *out)
        assert result.exit_code == 2, arguments
        assert message in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []
