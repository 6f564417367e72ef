"""Variables and their free coordinates: inverse maps, bounds, an exact total, and the sentences of refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxhep.design import Space, Variable

KINDS = {
    "none": Variable("a", [0.5, -2.0, 3.0]),
    "scaled": Variable("a", [0.5, -2.0, 3.0], scale=10.0),
    "lower": Variable("a", [0.5, 1.0, 3.0], lower=0.1),
    "upper": Variable("a", [0.5, -2.0, 3.0], upper=4.0),
    "both": Variable("a", [0.5, 1.0, 3.0], lower=[0.1, 0.5, 2.0], upper=4.0),
    "total": Variable("a", [0.5, 1.0, 3.0], lower=0.2, total=4.5),
    "some": Variable("a", [0.5, 1.0, 3.0], lower=0.0, upper=4.0, free=[True, False, True]),
    "number": Variable("a", 0.7, lower=0.0, upper=1.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_external_undoes_internal(kind):
    space = Space([KINDS[kind], Variable("fixed", 2.0, free=False)])
    with jax.enable_x64(True):
        back = space.external(space.internal(space.start))
        np.testing.assert_allclose(back["a"], KINDS[kind].value, rtol=1e-9)
        assert float(back["fixed"]) == 2.0
        np.testing.assert_allclose(space.flatten(space.unflatten(space.flatten(back))), space.flatten(back))
    assert space.size == len(space.labels) == np.sum(KINDS[kind].mask)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_no_coordinate_leaves_the_bounds(kind, data):
    space = Space([KINDS[kind]])
    u = data.draw(st.lists(st.floats(-30, 30), min_size=space.size, max_size=space.size))
    with jax.enable_x64(True):
        found = np.asarray(space.external(jnp.asarray(u))["a"])
    variable = KINDS[kind]
    if variable.lower is not None:
        assert np.all(found >= np.asarray(variable.lower) - 1e-12)
    if variable.upper is not None:
        assert np.all(found <= np.asarray(variable.upper) + 1e-12)
    if variable.total is not None:
        assert found.sum() == pytest.approx(variable.total, rel=1e-12)


@pytest.mark.parametrize("kind", ["lower", "both", "total"])
def test_a_start_on_its_bound_can_still_move(kind):
    variable = KINDS[kind]
    value = np.array(variable.value)
    value[0] = np.ravel(variable.lower)[0]
    if variable.total is not None:
        value[2] += variable.total - value.sum()
    space = Space([Variable("a", value, variable.lower, variable.upper, variable.total)])
    u = space.internal(space.start)
    slope = jax.jacrev(lambda u: space.external(u)["a"])(u)
    assert np.all(np.isfinite(u))
    assert np.all(np.diag(slope) > 0)
    np.testing.assert_allclose(space.external(u)["a"], value, atol=5e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_random_designs_are_allowed_and_differ(kind):
    space, rng = Space([KINDS[kind]]), np.random.default_rng(1)
    drawn = np.array([np.ravel(space.random(rng)["a"]) for _ in range(50)])
    low = np.broadcast_to(-np.inf if KINDS[kind].lower is None else KINDS[kind].lower, drawn[0].shape)
    high = np.broadcast_to(np.inf if KINDS[kind].upper is None else KINDS[kind].upper, drawn[0].shape)
    assert np.all((drawn >= low - 1e-12) & (drawn <= high + 1e-12))
    assert np.all((drawn.std(axis=0) > 0) == np.ravel(KINDS[kind].mask))
    total = KINDS[kind].total
    if total is not None:
        np.testing.assert_allclose(drawn.sum(axis=1), total)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "", "value": 1.0}, "needs a name"),
        ({"value": []}, "non-empty"),
        ({"value": [np.nan]}, "not finite"),
        ({"value": 1.0, "lower": 2.0}, "outside of its bounds"),
        ({"value": [1.0, 5.0], "upper": 2.0}, r"a\[1\].*start value 5"),
        ({"value": 1.0, "lower": 2.0, "upper": 1.0}, "not below"),
        ({"value": [1.0, 2.0], "lower": [0.0, 0.0, 0.0]}, "shape"),
        ({"value": 1.0, "lower": np.nan}, "NaN"),
        ({"value": 1.0, "scale": 0.0}, "scale"),
        ({"value": [1.0, 2.0], "total": 3.0}, "lower bound"),
        ({"value": [1.0, 2.0], "lower": 0.0, "total": 4.0}, "add up to 3"),
        ({"value": [1.0, 2.0], "lower": 1.0, "total": 1.5}, "leaves nothing"),
    ],
)
def test_bad_variables_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Variable(**{"name": "a"} | arguments)


def test_bad_spaces_are_refused():
    with pytest.raises(ValueError, match="given twice: a"):
        Space([Variable("a", 1.0), Variable("a", 2.0)])
    with pytest.raises(ValueError, match="no free variable"):
        Space([Variable("a", 1.0, free=False)])
    with pytest.raises(TypeError, match="Variable"):
        Space([1.0])  # type: ignore[list-item]
