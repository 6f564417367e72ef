"""The detector study: documents, budgets and rounding, the derivative of the objective, an interrupted run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.design import InfeasibleError, Sample, Settings, optimise
from jaxhep.design.evaluation import batch_objectives
from jaxhep.studies.detector_optimisation import random_designs, rounded, to_budgets
from jaxhep.studies.detector_optimisation_document import DesignError, DetectorDesign, Physics, read_design
from jaxhep.studies.detector_optimisation_task import DetectorTask

LAYERS = 3


@pytest.fixture(scope="module")
def document():
    return DetectorDesign.uniform(LAYERS, passive_thickness=(3.0,) * LAYERS, physics=Physics(window=3))


def test_a_document_goes_through_json_and_yaml(document, tmp_path):
    import yaml

    for name, text in (("a.json", document.to_json()), ("a.yaml", yaml.safe_dump(document.to_dict()))):
        (tmp_path / name).write_text(text)
        assert read_design(tmp_path / name) == document


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"passive_thickness": [1.0, -1.0, 1.0]}, r"passive_thickness\[1\] must be above 0 cm, got -1"),
        ({"passive_thickness": [], "active_thickness": [], "cell_size": []}, "stack is empty"),
        ({"passive_thickness": [1.0, 1.0]}, "active_thickness has 3 entries, the stack has 2 layers"),
        ({"passive": "Pbx"}, "Pbx"),
        ({"cell_size": [2.0, 2.0, 99.0]}, r"cell_size\[2\] = 99 cm is outside of its bounds"),
        ({"cell_sizes": []}, "unknown entry 'cell_sizes'; did you mean 'cell_size'"),
        ({"budgets": {"deph": 20}}, "did you mean 'depth'"),
        ({"budgets": {"depth": -20}}, "budget depth must be a number above 0"),
        ({"weights": {"resolution": 0.0}}, "nothing is optimised"),
        ({"free": []}, "nothing is free"),
        ({"bounds": {"cell_size": [2.0]}}, "two numbers"),
        ({"physics": {"lowest": 200.0}}, "below highest"),
        ({"physics": {"window": 2}}, "window"),
        ({"physics": 3}, "must be a mapping"),
        ({"passive_thickness": "1.0"}, "list of numbers"),
        ({"format": "other"}, "format"),
    ],
)
def test_bad_documents_are_refused(document, change, words):
    with pytest.raises(DesignError, match=words):
        DetectorDesign.from_dict(document.to_dict() | change)


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(DesignError, match="does not exist"):
        read_design(tmp_path / "none.json")
    for name, text, words in (
        ("a.json", '{"passive": ', "no JSON: .* in line 1"),
        ("a.yaml", "a: [1", "no YAML"),
        ("b.json", "[1]", "must be a mapping"),
        ("c.json", "{}", "lacks passive, active"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DesignError, match=words):
            read_design(tmp_path / name)


def test_random_designs_spend_the_budgets_and_rounding_keeps_them(document):
    for drawn in random_designs(document, 20, seed=1):
        assert drawn.depth == pytest.approx(document.depth, rel=1e-3)
        assert drawn.channels == pytest.approx(document.channels, rel=1e-3)
        built = rounded(drawn)
        assert built.depth <= document.budgets["depth"] + 1e-9
        assert built.channels <= document.budgets["channels"] + 1e-6
        sides = 100 / np.array(built.cell_size)
        np.testing.assert_allclose(sides, np.round(sides), atol=1e-9)
        steps = np.array(built.passive_thickness + built.active_thickness) / 0.01
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
        assert built.depth == pytest.approx(drawn.depth, abs=0.01 * LAYERS)
    fixed = DetectorDesign.from_dict(document.to_dict() | {"free": ["cell_size"]})
    assert to_budgets(fixed).passive_thickness == document.passive_thickness


def test_a_depth_that_no_bound_allows_is_refused(document):
    impossible = DetectorDesign.from_dict(document.to_dict() | {"budgets": {"depth": 0.5}})
    with pytest.raises(InfeasibleError, match=r"depth ≤ 0.5 cm \(nearest found 0.6"):
        optimise(DetectorTask(impossible).problem(), jax.random.key(0), Settings(num_steps=1))


def test_tasks_share_programs_if_only_free_numbers_and_weights_differ(document):
    content = document.to_dict()

    def task(hard=False, **change):
        return DetectorTask(DetectorDesign.from_dict(content | change), hard=hard)

    same = task(weights={"resolution": 2.0}, cell_size=[2.0, 3.0, 4.0])
    assert same == task()
    assert hash(same) == hash(task())
    assert same.problem() == task().problem({"resolution": 0.1, "separation": 0.4, "mass": 0.1})
    assert task(hard=True) != task()
    assert task(budgets={"depth": 20.0}) != task()
    assert task(physics={"threshold": 0.1}) != task()
    # Rows that are not free are constants of the program.
    rows = [{"free": ["cell_size"], "passive_thickness": [x] * LAYERS} for x in (1.0, 2.0)]
    assert task(**rows[0]).problem() != task(**rows[1]).problem()


@pytest.fixture(scope="module")
def problem(document):
    return DetectorTask(document).problem({"resolution": 0.08, "separation": 0.4, "mass": 0.04})


# Sizes and design of tests/cli/test_optimise_detector.py, so that both share their compiled programs.
SHORT = Settings(num_steps=50, batch_size=64, check_every=25, check_size=512, final_events=512)


def test_an_interrupted_optimisation_resumes_with_the_same_trajectory(problem, tmp_path):
    whole = optimise(problem, jax.random.key(2), SHORT)
    file = tmp_path / "state.npz"

    def kill(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimise(problem, jax.random.key(2), SHORT, checkpoint=file, on_progress=kill)
    resumed = optimise(problem, jax.random.key(2), SHORT, checkpoint=file, resume=True)
    for name, values in whole.trajectory.items():
        np.testing.assert_array_equal(resumed.trajectory[name], values)
    assert resumed.objective == whole.objective
    assert json.loads(whole.to_json())["num_steps"] == 50
    assert np.all(np.isfinite(whole.trajectory["theta"]))


def test_derivative_of_the_objective_is_that_of_independent_samples(problem, document):
    """Along a direction in which layers grow and cells shrink; batches at ±h have noise of their own."""
    design = {name: jnp.asarray(value, float) for name, value in document.values().items()}
    direction = {
        "passive_thickness": jnp.linspace(-0.5, 0.5, LAYERS),
        "active_thickness": jnp.linspace(0.1, -0.1, LAYERS),
        "cell_size": jnp.linspace(-0.5, 0.0, LAYERS),
    }
    share = jnp.asarray(problem.weights, float)

    @jax.jit
    def slope(number):
        noise = problem.draw(jax.random.fold_in(jax.random.key(3), number), 512)
        return jax.jvp(lambda d: share @ batch_objectives(problem, d, noise).value, (design,), (direction,))[1]

    slopes = np.array([slope(jnp.asarray(i, jnp.uint32)) for i in range(16)])
    differences, h = [], 0.5
    for i in range(12):
        ends = []
        for sign in (1, -1):
            at = {name: np.asarray(design[name] + sign * h * direction[name]) for name in design}
            key = jax.random.fold_in(jax.random.key(4), 2 * i + (sign > 0))
            ends.append(Sample.draw(problem, [at, at], key, 1024, batch_size=512).measured([1.0, 0.0]).value)
        differences.append((ends[0] - ends[1]) / (2 * h))
    error = np.hypot(slopes.std(ddof=1) / np.sqrt(16), np.std(differences, ddof=1) / np.sqrt(12))
    # Student's t with at least 11 degrees of freedom: 8.5 has a false-alarm rate of 4e-6.
    assert abs(slopes.mean() - np.mean(differences)) < 8.5 * error
    # The derivative itself is far from zero; the differences of independent runs know it to a third.
    assert abs(slopes.mean()) > 8.5 * slopes.std(ddof=1) / np.sqrt(16)
