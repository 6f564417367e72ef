"""The optimiser: budgets and their prices against closed forms, the same trajectory after an interruption, refusals."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.design import (
    Budget,
    CheckpointError,
    InfeasibleError,
    Problem,
    Progress,
    Settings,
    Variable,
    compare,
    evaluate,
    optimise,
    optimum_slope,
    sensitivity,
    trace_front,
)
from jaxhep.noise import normal, uniforms

CURVATURE, TARGET = np.array([1.0, 2.0, 4.0]), np.array([3.0, 2.0, 1.0])
SHORT = Settings(num_steps=20, batch_size=128, check_every=20, check_size=512)


LONG = Settings(num_steps=500, batch_size=128, check_every=20, check_size=512, final_events=2048, patience=100)


def simulate(design, u):
    """Σ a_i (x_i + noise − t_i)²: the mean is Σ a_i [(x_i − t_i)² + 0.01]."""
    x = design["x"] + 0.1 * normal(u)
    return jnp.sum(jnp.asarray(CURVATURE, x.dtype) * (x - jnp.asarray(TARGET, x.dtype)) ** 2)


def noise(key):
    return uniforms(key, (3,))


def sum_of(design):
    return jnp.sum(design["x"])


def solution(limit):
    """x and λ of the least Σ a (x − t)² with Σ x = B."""
    price = (TARGET.sum() - limit) / np.sum(1 / (2 * CURVATURE))
    return TARGET - price / (2 * CURVATURE), price


def bounded(**more):
    return Variable("x", np.full(3, 1.0), lower=0.01, **more)


@pytest.fixture(scope="module")
def budgeted():
    """Three times the same quadratic, under a limit that binds, under an exact budget, and with an exact total; and a
    limit that does not bind. One problem, so that one program serves all."""

    def three(design, u):
        return sum(simulate({"x": design[name]}, u) for name in ("x", "y", "z"))

    problem = Problem(
        [
            bounded(),
            Variable("y", np.full(3, 1.0), lower=0.01),
            Variable("z", [1.0, 1.0, 2.0], lower=0.01, total=4.0),
        ],
        three,
        noise,
        budgets=[
            Budget("length", sum_of, 4.0, unit="m"),
            Budget("weight", lambda d: jnp.sum(d["y"]), 3.5, exact=True),
            Budget("loose", sum_of, 50.0),
        ],
    )
    return optimise(problem, jax.random.key(0), LONG)


def test_a_budget_binds_and_its_multiplier_is_its_price(budgeted):
    for name, spent, limit in zip("xy", budgeted.budgets, (4.0, 3.5), strict=False):
        expected, price = solution(limit)
        np.testing.assert_allclose(budgeted.design[name], expected, atol=0.03)
        assert abs(spent.excess) < 2e-3
        # dL*/dB = −λ. 25 and more gradients and 8 residuals stand behind the error: |t| < 8 has a rate of 3e-6.
        assert abs(spent.price - price) < 8 * spent.price_error
        assert spent.price_error < 0.03 * price
    assert "price of length" in budgeted.table()
    assert budgeted.to_dict()["budgets"][0]["price_error"] == budgeted.budgets[0].price_error


def test_a_budget_that_does_not_bind_costs_nothing(budgeted):
    assert (budgeted.budgets[2].price, budgeted.budgets[2].price_error) == (0, 0)
    assert budgeted.budgets[2].excess < -0.5


def test_a_total_is_exact_at_every_step_and_reaches_the_same_point(budgeted):
    np.testing.assert_allclose(budgeted.trajectory["theta"][..., 6:].sum(axis=-1), 4.0, rtol=1e-5)
    np.testing.assert_allclose(budgeted.design["z"], solution(4.0)[0], atol=0.05)


def test_a_budget_that_cannot_be_met_is_refused_with_the_nearest_cost():
    problem = Problem(
        [Variable("x", np.full(3, 2.0), lower=1.0)], simulate, noise, budgets=[Budget("length", sum_of, 2.5, unit="m")]
    )
    with pytest.raises(InfeasibleError, match=r"length ≤ 2.5 m \(nearest found 3"):
        optimise(problem, jax.random.key(0), SHORT)


@pytest.fixture(scope="module")
def two():
    return Problem(
        [bounded(), Variable("y", 0.5, lower=0.0, upper=1.0)],
        lambda d, u: jnp.stack([simulate(d, u), (d["y"] - u[0]) ** 2]),
        noise,
        objectives={"first": lambda m, d: m[0], "second": lambda m, d: jnp.sqrt(m[1]) + 0.1 * jnp.sum(d["x"])},
        weights={"second": 3.0},
        budgets=[Budget("length", sum_of, 5.0)],
    )


RESTARTED = Settings(num_steps=60, batch_size=64, restarts=3, check_every=20, check_size=64, final_events=1024)


def test_an_interrupted_run_resumes_with_the_same_trajectory_bit_for_bit(two, tmp_path):
    whole = optimise(two, jax.random.key(3), RESTARTED)
    file = tmp_path / "state.npz"

    def kill(progress):
        if progress.step == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        optimise(two, jax.random.key(3), RESTARTED, checkpoint=file, on_progress=kill)
    assert "40 of 60 steps" in stopped.value.__notes__[0]
    with pytest.raises(CheckpointError, match="resume=True"):
        optimise(two, jax.random.key(3), RESTARTED, checkpoint=file)
    seen: list[Progress] = []
    resumed = optimise(two, jax.random.key(3), RESTARTED, checkpoint=file, resume=True, on_progress=seen.append)
    assert [p.step for p in seen] == [60]
    for name, values in whole.trajectory.items():
        np.testing.assert_array_equal(resumed.trajectory[name], values)
    for name, value in whole.design.items():
        np.testing.assert_array_equal(resumed.design[name], value)
    assert (resumed.objective, resumed.gain, resumed.calls) == (whole.objective, whole.gain, whole.calls)
    # Another seed or other settings are not continued, nor a file that was cut short, nor one that is not there.
    with pytest.raises(CheckpointError, match="another problem"):
        optimise(two, jax.random.key(4), RESTARTED, checkpoint=file, resume=True)
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(CheckpointError, match="damaged"):
        optimise(two, jax.random.key(3), RESTARTED, checkpoint=file, resume=True)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        optimise(two, jax.random.key(3), RESTARTED, checkpoint=tmp_path / "none.npz", resume=True)


def test_result_as_table_json_html_and_csv(two, tmp_path):
    result = optimise(two, jax.random.key(3), RESTARTED)
    stored = json.loads(result.to_json())
    assert stored["budgets"][0]["name"] == "length"
    assert set(stored["objective"]["objectives"]) == {"first", "second"}
    assert len(stored["restarts"]) == 3
    for text in (repr(result), result._repr_html_()):
        assert "x[2]" in text
        assert "second" in text
    result.write_trajectory(tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert len(rows) == 3 * result.num_steps
    theta = [float(rows[5][f"x[{i}]"]) for i in range(3)]
    np.testing.assert_allclose(theta, result.trajectory["theta"][1, 2, :3], rtol=1e-6)
    assert result.calls == 3 * (60 * 64 + 2 * 3 * 64)
    assert "excess of length" in rows[0]


def test_reported_error_is_the_spread_of_repeats_and_pairing_shrinks_it(two):
    design = {"x": np.array([1.0, 1.5, 2.0]), "y": np.array(0.4)}
    near = {"x": np.array([1.0, 1.5, 2.0]), "y": np.array(0.45)}
    runs = [evaluate(two, design, jax.random.key(i), 1024, batch_size=512) for i in range(60)]
    spread = np.std([run.value for run in runs], ddof=1)
    # The spread of 60 repeats is known to 9 %.
    assert np.mean([run.error for run in runs]) == pytest.approx(spread, rel=0.45)
    pairs = [compare(two, design, near, jax.random.key(100 + i), 1024, batch_size=512) for i in range(60)]
    assert np.mean([p.error for p in pairs]) == pytest.approx(np.std([p.value for p in pairs], ddof=1), rel=0.45)
    assert pairs[0].error < 0.5 * spread
    exact = 3 * (np.sqrt(1 / 12 + 0.1**2) - np.sqrt(1 / 12 + 0.05**2))
    average = np.mean([p.value for p in pairs])
    assert abs(average - exact) < 5.2 * pairs[0].error / np.sqrt(60) + 1e-4


def test_sensitivity_is_that_of_the_closed_form(two):
    design = {"x": np.array([2.0, 1.5, 1.2]), "y": np.array(0.5)}
    found = sensitivity(two, design, jax.random.key(9), num_batches=16, batch_size=256)
    slope = np.append(2 * CURVATURE * (design["x"] - TARGET) + 0.3, 0.0)
    # 15 degrees of freedom: |t| < 9 has a false-alarm rate of 2e-7.
    assert np.all(np.abs(found.gradient - slope) < 9 * found.gradient_error + 1e-4)
    curvature = np.append(2 * CURVATURE, 3 * np.sqrt(12.0))
    np.testing.assert_allclose(np.diag(found.hessian), curvature, rtol=0.05)
    total = found.objective[0]
    np.testing.assert_allclose(found.tolerance, np.sqrt(0.02 * total / curvature), rtol=0.05)
    np.testing.assert_allclose(found.elasticity, found.values * found.gradient / total)
    assert found.to_dict()["labels"] == ["x[0]", "x[1]", "x[2]", "y"]
    assert "y: dlnL/dlnθ" in repr(found)
    with pytest.raises(ValueError, match="at least 4"):
        sensitivity(two, design, jax.random.key(9), num_batches=2)


def test_front_is_traced_and_its_slope_foretold():
    """(x − 1)² + w (x − 3)²: x* = (1 + 3w)/(1 + w), dx*/dw = 2/(1 + w)²."""
    problem = Problem(
        [Variable("x", 2.0)],
        lambda d, u: jnp.stack([(d["x"] - 1 + 0.1 * normal(u)) ** 2, (d["x"] - 3 + 0.1 * normal(u)) ** 2]),
        lambda key: uniforms(key, ()),
        objectives={"one": lambda m, d: m[0], "three": lambda m, d: m[1]},
    )
    settings = Settings(num_steps=150, batch_size=64, learning_rate=0.2, check_every=50, check_size=256,
                        final_events=2048)  # fmt: skip
    front = trace_front(problem, jax.random.key(1), [{"three": 0.5}, {"three": 2.0}], settings)
    for point, w in zip(front, (0.5, 2.0), strict=True):
        assert float(point.design["x"]) == pytest.approx((1 + 3 * w) / (1 + w), abs=0.05)
        assert point.weights == {"one": 1.0, "three": w}
    one = [point.measured.objectives["one"][0] for point in front]
    assert one[0] < one[1]
    assert json.dumps(front[0].to_dict())
    slope = optimum_slope(problem, {"x": np.array(2.0)}, jax.random.key(2), "three", batch_size=512)
    np.testing.assert_allclose(slope, [0.5], rtol=0.02)
    with pytest.raises(ValueError, match="no objective"):
        optimum_slope(problem, {"x": np.array(2.0)}, jax.random.key(2), "two")


def test_a_number_that_is_not_finite_stops_the_run():
    problem = Problem([Variable("x", 0.3)], lambda d, u: jnp.log(d["x"]) + 0 * u, lambda key: uniforms(key, ()))
    with pytest.raises(FloatingPointError, match=r"not finite at step \d+, restart 0: x = -"):
        optimise(problem, jax.random.key(0), Settings(num_steps=20, batch_size=2, learning_rate=0.2, check_every=10,
                                                      check_size=2, final_events=2))  # fmt: skip


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Settings(batch_size=1), "batch_size must be at least 2"),
        (lambda: Settings(learning_rate=0.0), "learning_rate"),
        (lambda: Budget("b", sum_of, 0.0), "not 0"),
        (lambda: Problem([bounded()], simulate, noise, objectives={}), "empty"),
        (lambda: Problem([bounded()], simulate, noise, weights={"speed": 1.0}), "unknown objective"),
        (lambda: Problem([bounded()], simulate, noise, weights={"objective": np.inf}), "finite"),
    ],
)
def test_bad_arguments_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
