"""Laws that every observable of the registry obeys."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.observables import OBSERVABLES, event_shapes
from tests.observables.samples import EDGES, balanced, massless, padded, rotation

NAMES = tuple(OBSERVABLES)
SAFE = tuple(name for name, o in OBSERVABLES.items() if o.infrared_safe)
EAGER = ("thrust", "c_parameter", "heavy_jet_mass", "multiplicity")
UNSAFE = tuple(name for name, o in OBSERVABLES.items() if not o.infrared_safe)
_batched = jax.jit(jax.vmap(event_shapes))
SMALL = 6
CAPACITIES = (SMALL, 12, 30)  # one for each thrust search of samples.py, where they compile fastest


def shapes(events: list[np.ndarray], capacity: int, dtype: str = "float64") -> dict[str, np.ndarray]:
    """All observables of a list of events."""
    momenta, mask = (np.stack(part) for part in zip(*(padded(e, capacity) for e in events), strict=True))
    with jax.enable_x64(True):
        return {k: np.asarray(v) for k, v in _batched(jnp.asarray(momenta.astype(dtype)), jnp.asarray(mask)).items()}


def sample() -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [balanced(rng, num) for num in (6, 6, 6, 5, 4, 3, 2, 5) * 2]  # as many as EDGES: one compilation


@cache
def reference(capacity: int) -> dict[str, np.ndarray]:
    return shapes(sample(), capacity)


@cache
def rotated(capacity: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(12)
    events = []
    for event in sample():
        turned = event.copy()
        turned[:, 1:] = event[:, 1:] @ rotation(rng).T
        events.append(turned)
    return shapes(events, capacity)


@cache
def permuted(capacity: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(13)
    return shapes([rng.permutation(event) for event in sample()], capacity)


@cache
def single_precision(capacity: int) -> dict[str, np.ndarray]:
    return shapes(sample(), capacity, "float32")


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("name", NAMES)
def test_rotation_changes_nothing(name: str, capacity: int) -> None:
    np.testing.assert_allclose(rotated(capacity)[name], reference(capacity)[name], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("name", NAMES)
def test_order_of_particles_is_irrelevant(name: str, capacity: int) -> None:
    np.testing.assert_allclose(permuted(capacity)[name], reference(capacity)[name], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("capacity", CAPACITIES[1:])
@pytest.mark.parametrize("name", NAMES)
def test_padding_is_irrelevant_and_all_algorithms_agree(name: str, capacity: int) -> None:
    np.testing.assert_allclose(reference(capacity)[name], reference(CAPACITIES[0])[name], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_bounds(name: str) -> None:
    low, high = OBSERVABLES[name].bounds
    values = reference(SMALL)[name]
    assert np.all(np.isfinite(values))
    assert np.all(values >= low - 1e-12)
    assert high is None or np.all(values <= high + 1e-12)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("name", NAMES)
def test_float32_is_close_to_float64(name: str, capacity: int) -> None:
    single, double = single_precision(capacity)[name], reference(capacity)[name]
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=3e-6, rtol=3e-5)


@pytest.mark.parametrize("name", NAMES)
def test_masked_entries_are_ignored_whatever_they_hold(name: str) -> None:
    np.testing.assert_allclose(with_garbage_in_masked_entries()[name], reference(SMALL)[name], rtol=3e-5, atol=3e-6)


@cache
def with_garbage_in_masked_entries() -> dict[str, np.ndarray]:
    momenta, mask = (np.stack(part) for part in zip(*(padded(e, SMALL) for e in sample()), strict=True))
    momenta[~mask] = [5.0, 1.0, -2.0, 3.0]
    with jax.enable_x64(True):  # as in `shapes`, whose compilation it shares
        return {
            k: np.asarray(v) for k, v in _batched(jnp.asarray(momenta.astype("float32")), jnp.asarray(mask)).items()
        }


@cache
def functions_over_the_last_axis() -> dict[str, np.ndarray]:
    """Each observable's own function, under jit and vmap over the last axis, for the five-particle event twice."""
    momenta, mask = padded(sample()[3], 5)
    single, flags = jnp.asarray(momenta.astype("float32")), jnp.asarray(mask)

    def functions(p: jax.Array, m: jax.Array) -> dict[str, jax.Array]:
        return {name: observable.function(p, m) for name, observable in OBSERVABLES.items()}

    values = jax.jit(jax.vmap(functions, in_axes=-1))(
        jnp.stack([single, single], axis=-1), jnp.stack([flags, flags], axis=-1)
    )
    return {name: np.asarray(value) for name, value in values.items()}


@pytest.mark.parametrize("name", NAMES)
def test_function_and_shared_computation_agree_with_jit_and_vmap_over_the_last_axis(name: str) -> None:
    values, expected = functions_over_the_last_axis()[name], float(reference(SMALL)[name][3])
    assert values.shape == (2,)
    np.testing.assert_allclose(values, expected, rtol=3e-5, atol=3e-6)


@pytest.mark.parametrize("name", EAGER)
def test_without_jit(name: str) -> None:
    momenta, mask = padded(sample()[4], 4)
    value = OBSERVABLES[name](jnp.asarray(momenta.astype("float32")), jnp.asarray(mask))
    np.testing.assert_allclose(float(value), float(reference(SMALL)[name][4]), rtol=3e-5, atol=3e-6)


@cache
def derivatives(capacity: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Forward mode, reverse mode and central difference along one direction, for one generic massive event.

    Generic also: far from any change of the thrust axis or of the clustering, where averages have more derivative than
    the event itself, and with two particles at least in each hemisphere (one alone lies along the axis as long as
    momentum balances: its p_T has a kink).
    """
    rng = np.random.default_rng(30)
    event = balanced(rng, 6)
    event[:, 0] = np.sqrt(event[:, 0] ** 2 + 1)
    momenta, mask = padded(event, capacity)
    direction = np.where(mask[:, None], rng.normal(size=momenta.shape), 0)
    step = 1e-5
    with jax.enable_x64(True):
        flags = jnp.asarray(mask)

        def along(t: jax.Array) -> dict[str, jax.Array]:
            return event_shapes(jnp.asarray(momenta) + t * jnp.asarray(direction), flags)

        slope = jax.jit(lambda t: jax.jvp(along, (t,), (jnp.ones_like(t),)))
        forward = slope(jnp.zeros(()))[1]
        # With 12 particles the reverse of all observables in one program compiles for minutes; `test_jumps` has 10.
        reverse = forward if capacity == 12 else jax.jit(jax.jacrev(along))(jnp.zeros(()))
        up, down = slope(jnp.asarray(step))[0], slope(jnp.asarray(-step))[0]
        difference = {k: (up[k] - down[k]) / (2 * step) for k in up}
    return tuple({k: np.asarray(v) for k, v in d.items()} for d in (forward, reverse, difference))  # type: ignore[return-value]


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("name", NAMES)
def test_forward_reverse_and_difference_derivatives_agree(name: str, capacity: int) -> None:
    forward, reverse, difference = derivatives(capacity)
    np.testing.assert_allclose(forward[name], reverse[name], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(forward[name], difference[name], rtol=1e-6, atol=1e-9)
    assert name == "multiplicity" or abs(forward[name]) > 1e-8  # the direction moves every observable


def edges(capacity: int) -> tuple[jax.Array, jax.Array]:
    momenta, mask = (np.stack(part) for part in zip(*(padded(e, capacity) for e in EDGES.values()), strict=True))
    return jnp.asarray(momenta.astype("float32")), jnp.asarray(mask)


@cache
def edge_values(capacity: int) -> dict[str, np.ndarray]:
    momenta, mask = edges(capacity)
    with jax.enable_x64(True):  # as in `shapes`, whose compilation it shares
        return {k: np.asarray(v) for k, v in _batched(momenta, mask).items()}


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("name", NAMES)
def test_values_are_finite_at_the_edges(name: str, capacity: int) -> None:
    for event, value in zip(EDGES, edge_values(capacity)[name], strict=True):
        assert np.isfinite(value), event


@cache
def edge_gradients(capacity: int) -> dict[str, np.ndarray]:
    """Reverse mode through all observables at once."""
    gradients = jax.jit(jax.vmap(jax.jacrev(event_shapes)))(*edges(capacity))
    return {name: np.asarray(value) for name, value in gradients.items()}


@pytest.mark.parametrize("capacity", [6, 30])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_at_the_edges(name: str, capacity: int) -> None:
    gradients = edge_gradients(capacity)[name]
    assert gradients.shape == (len(EDGES), capacity, 4)
    for event, gradient in zip(EDGES, gradients, strict=True):
        assert np.all(np.isfinite(gradient)), event


def test_gradients_of_one_scale_alone_are_finite_at_the_edges() -> None:
    # One scale alone takes another clustering than several do.
    gradients = jax.jit(jax.vmap(jax.grad(OBSERVABLES["y23"].function)))(*edges(6))
    for event, gradient in zip(EDGES, gradients, strict=True):
        assert np.all(np.isfinite(gradient)), event


@cache
def emissions(kind: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """|O(event with an emission of size λ) − O(event)| for λ = 1e-2, 1e-4, 1e-6."""
    rng = np.random.default_rng(31)
    event = balanced(rng, 5)
    sizes = np.array([1e-2, 1e-4, 1e-6])
    events = [event]
    for size in sizes:
        if kind == "soft":
            events.append(np.concatenate([event, massless((0.3 * size, -0.5 * size, 0.8 * size)) * 20]))
        else:
            parent = event[2, 1:]
            across = np.cross(parent, [0.3, 0.5, -0.7]) * size / np.sqrt(np.linalg.norm(parent) ** 2)
            parts = massless(0.4 * parent + across, 0.6 * parent - across)
            events.append(np.concatenate([np.delete(event, 2, axis=0), parts]))
    values = shapes(events + [event] * (len(EDGES) - len(events)), SMALL)
    return sizes, {k: np.abs(v[1:4] - v[0]) for k, v in values.items()}


@pytest.mark.parametrize("kind", ["soft", "collinear"])
@pytest.mark.parametrize("name", SAFE)
def test_infrared_and_collinear_safety_by_scaling(name: str, kind: str) -> None:
    sizes, change = emissions(kind)
    change = np.maximum(change[name], 1e-14)
    assert change[2] < 2e-4 * max(1.0, change[0])
    power = np.log(change[0] / change[2]) / np.log(sizes[0] / sizes[2])
    assert power > 0.7 or change[0] < 1e-12


@pytest.mark.parametrize("name", UNSAFE)
def test_flagged_unsafe_observables_do_change_under_a_collinear_splitting(name: str) -> None:
    _, change = emissions("collinear")
    assert change[name][2] > 1e-5  # at an opening of 1e-6, where a safe observable has changed by 1e-6 at most
