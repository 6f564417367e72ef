"""Observables against closed forms and brute force."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.observables import (
    OBSERVABLES,
    Observable,
    c_parameter,
    d_parameter,
    durham_merging_scales,
    event_shapes,
    get_observable,
    light_jet_mass,
    minus_log_y23,
    one_minus_thrust,
    register,
    thrust,
    thrust_axis,
)
from tests.observables.samples import (
    CAPACITIES,
    EDGES,
    STAR,
    balanced,
    brute_force_thrust,
    massless,
    padded,
    three_partons,
)

FRACTIONS = [(0.9, 0.8), (0.95, 0.94), (0.7, 0.68), (0.99, 0.6), (0.999, 0.99)]
_thrust = jax.jit(thrust)
_shapes = jax.jit(event_shapes)


def evaluate(function: Callable, momenta: np.ndarray, capacity: int, dtype: str = "float64") -> Any:
    padded_momenta, mask = padded(momenta, capacity)
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, function(jnp.asarray(padded_momenta.astype(dtype)), jnp.asarray(mask)))


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize(("x1", "x2"), FRACTIONS)
def test_three_partons(x1: float, x2: float, capacity: int) -> None:
    x = np.sort([x1, x2, 2 - x1 - x2])[::-1]
    shapes = evaluate(_shapes, three_partons(x1, x2), capacity)
    largest = x[0]
    across = (
        2 * np.sqrt((1 - x[0]) * (1 - x[1]) * (1 - x[2])) / x[0]
    )  # pT of the two softer partons to the axis, in units of E_vis/2
    expected = {
        "thrust": largest,
        "one_minus_thrust": 1 - largest,
        "thrust_major": across,
        "thrust_minor": 0,
        "oblateness": across,
        "c_parameter": 6 * np.prod(1 - x) / np.prod(x),
        "d_parameter": 0,
        "heavy_jet_mass": 1 - largest,
        "light_jet_mass": 0,
        "total_broadening": across / 2,
        "wide_broadening": across / 2,
        "narrow_broadening": 0,
        "aplanarity": 0,
        # y_ij = min(x_i, x_j)/max(x_i, x_j) (1 − x_k), because 1 − cosθ_ij = 2 (1 − x_k)/(x_i x_j)
        "y23": min(x[j] / x[i] * (1 - x[3 - i - j]) for i, j in ((0, 1), (0, 2), (1, 2))),
        "y34": 0,
        "multiplicity": 3,
    }
    assert expected.keys() < shapes.keys()
    for name, value in expected.items():
        assert shapes[name] == pytest.approx(value, abs=1e-12), name


def test_symmetric_three_jets() -> None:
    shapes = evaluate(_shapes, STAR, 7)
    expected = {"thrust": 2 / 3, "c_parameter": 3 / 4, "y23": 1 / 3, "sphericity": 3 / 4, "minus_log_y23": np.log(3)}
    assert {k: float(shapes[k]) for k in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_two_partons_are_a_pencil(capacity: int) -> None:
    shapes = evaluate(_shapes, EDGES["back to back, not on an axis"], capacity)
    vanishing = [name for name, o in OBSERVABLES.items() if o.vanishes_for_pencil]
    assert len(vanishing) > 10
    for name in vanishing:
        assert shapes[name] == pytest.approx(0, abs=1e-12), name
    assert shapes["thrust"] == pytest.approx(1, abs=1e-15)
    assert shapes["minus_log_y23"] == pytest.approx(10 * np.log(10))


def test_isotropic_events() -> None:
    for name in ("octahedron", "tetrahedron"):
        shapes = evaluate(_shapes, EDGES[name], 7)
        for observable, value in {"c_parameter": 1, "d_parameter": 1, "sphericity": 1, "aplanarity": 0.5}.items():
            assert shapes[observable] == pytest.approx(value, abs=1e-12)
    # Six unit vectors along the axes: the best partition sums to (2, 2, 2).
    assert evaluate(_shapes, EDGES["octahedron"], 7)["thrust"] == pytest.approx(1 / np.sqrt(3), abs=1e-12)


def test_planar_events_have_no_d_parameter_aplanarity_or_minor() -> None:
    rng = np.random.default_rng(3)
    flat = rng.normal(size=(6, 3)) @ np.diag([1.0, 1.0, 0.0])
    shapes = evaluate(_shapes, massless(*(flat - flat.mean(axis=0))), 7)
    for name in ("d_parameter", "aplanarity", "thrust_minor"):
        assert shapes[name] == pytest.approx(0, abs=1e-12), name
    assert shapes["c_parameter"] <= 0.75


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_thrust_is_the_brute_force_maximum(capacity: int) -> None:
    rng = np.random.default_rng(4)
    events = [balanced(rng, num) for num in range(2, min(capacity, 11) + 1) for _ in range(6)]
    events += [rng.normal(size=(5, 4)) for _ in range(5)]  # momentum not balanced, energies meaningless
    for event in events:
        assert evaluate(_thrust, event, capacity) == pytest.approx(brute_force_thrust(event), abs=1e-12)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_thrust_is_exact_where_planes_and_lines_coincide(capacity: int, dtype: str) -> None:
    rng = np.random.default_rng(6)
    events = [
        e for name, e in EDGES.items() if 0 < len(e) <= capacity and np.abs(e[:, 1:]).max() > 0 and name != "tiny"
    ]
    for _ in range(10):
        flat = rng.normal(size=(7, 3)) @ np.diag([1.0, 1.0, 0.0])
        events.append(massless(*flat))  # all in one plane
        line = rng.normal(size=(2, 3))
        events.append(massless(*(line[[0, 0, 0, 1, 1, 1, 0]] * rng.normal(size=(7, 1)))))  # along two lines
        events.append(np.repeat(massless(*rng.normal(size=(3, 3))), 2, axis=0))  # pairs of equals
    tolerance = 1e-12 if dtype == "float64" else 3e-6
    for event in events:
        assert evaluate(_thrust, event, capacity, dtype) == pytest.approx(brute_force_thrust(event), abs=tolerance)


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_axis_is_a_unit_vector_in_the_hemisphere_of_the_largest_momentum(capacity: int) -> None:
    rng = np.random.default_rng(8)
    axis_of = jax.jit(thrust_axis)
    for num in (2, 3, 5, 7):
        event = balanced(rng, num)
        axis = evaluate(axis_of, event, capacity)
        assert np.linalg.norm(axis) == pytest.approx(1, abs=1e-14)
        assert np.abs(event[:, 1:] @ axis).sum() / event[:, 0].sum() == pytest.approx(
            brute_force_thrust(event), abs=1e-12
        )
        assert event[np.argmax(event[:, 0]), 1:] @ axis > 0


def test_one_minus_thrust_keeps_its_digits_in_float32() -> None:
    event = three_partons(1 - 1e-5, 0.7)
    value = evaluate(one_minus_thrust, event, 3, "float32")
    assert value.dtype == np.float32
    assert value == pytest.approx(1e-5, rel=1e-2)


def test_second_derivative_of_thrust() -> None:
    momenta, mask = padded(balanced(np.random.default_rng(9), 4), 4)
    with jax.enable_x64(True):
        flags, direction = jnp.asarray(mask), jnp.asarray(np.random.default_rng(10).normal(size=momenta.shape))

        def along(t: jax.Array) -> jax.Array:
            return jnp.stack(
                [
                    thrust(jnp.asarray(momenta) + t * direction, flags),
                    1 - one_minus_thrust(jnp.asarray(momenta) + t * direction, flags),
                ]
            )

        slope = jax.jit(jax.jacfwd(along))
        second = jax.jit(jax.jacfwd(jax.jacrev(along)))(0.0)
        difference = (slope(1e-5) - slope(-1e-5)) / 2e-5
    assert float(second[0]) == pytest.approx(float(second[1]), rel=1e-9)
    np.testing.assert_allclose(second, difference, rtol=1e-6)
    assert abs(float(second[0])) > 1e-6


def test_second_derivatives_of_sphericity_and_aplanarity() -> None:
    momenta, mask = padded(balanced(np.random.default_rng(14), 4), 4)
    with jax.enable_x64(True):
        flags, direction = jnp.asarray(mask), jnp.asarray(np.random.default_rng(15).normal(size=momenta.shape))

        def along(t: jax.Array) -> jax.Array:
            at = jnp.asarray(momenta) + t * direction
            return jnp.stack([get_observable(name)(at, flags) for name in ("sphericity", "aplanarity")])

        slope = jax.jit(jax.jacfwd(along))
        second = jax.jit(jax.jacfwd(jax.jacfwd(along)))(0.0)
        difference = (slope(1e-5) - slope(-1e-5)) / 2e-5
    np.testing.assert_allclose(second, difference, rtol=1e-6)
    assert np.all(np.abs(np.asarray(second)) > 1e-7)


def test_merging_scales_of_five_and_of_too_few_particles() -> None:
    five = evaluate(lambda p, m: durham_merging_scales(p, m, 6), balanced(np.random.default_rng(16), 5), 7)
    assert five.shape == (4,)
    assert np.all(np.diff(five) <= 0)
    assert np.all(five[:3] > 0)
    assert five[3] == 0
    with pytest.raises(ValueError, match="at least 3"):
        durham_merging_scales(jnp.ones((3, 4)), jnp.ones(3, bool), 2)


def test_minus_log_y_is_finite_with_zero_slope_for_a_pencil() -> None:
    momenta, mask = (
        jnp.asarray(part, dtype)
        for part, dtype in zip(padded(EDGES["back to back"], 4), (jnp.float32, bool), strict=True)
    )
    value, slope = jax.value_and_grad(minus_log_y23)(momenta, mask)
    assert float(value) == pytest.approx(23.0259, abs=1e-3)
    np.testing.assert_array_equal(slope, 0)


def test_lookup_by_name_and_its_errors() -> None:
    assert get_observable("thrust").function is thrust
    assert get_observable("c_parameter").power_coefficient == pytest.approx(3 * np.pi)
    with pytest.raises(ValueError, match="did you mean 'thrust'"):
        get_observable("trust")
    with pytest.raises(ValueError, match="known names: thrust, "):
        get_observable("zzzzzz")
    with pytest.raises(ValueError, match="registered already"):
        register(Observable("thrust", thrust, "T", (0.0, 1.0)))
    assert all(name == observable.name for name, observable in OBSERVABLES.items())
    assert set(event_shapes(jnp.ones((2, 4)), jnp.ones(2, bool))) == set(OBSERVABLES)


@pytest.mark.parametrize("function", [thrust, c_parameter, d_parameter, light_jet_mass])
def test_wrong_arguments_are_python_errors(function: Callable) -> None:
    good = jnp.ones((3, 4))
    with pytest.raises(Exception, match=r"momenta|shape"):
        function(good[None], jnp.ones((1, 3), bool))
    with pytest.raises(Exception, match=r"mask|shape"):
        function(good, jnp.ones(2, bool))
    with pytest.raises(Exception, match=r"mask|Bool|bool"):
        function(good, jnp.ones(3))
