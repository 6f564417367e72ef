"""The derivative of averages of observables that jump where two thrust partitions, or two pairs to cluster, tie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.observables import _jumps, _merging_jumps, event_shapes

JUMPING = (
    "heavy_jet_mass",
    "light_jet_mass",
    "total_broadening",
    "wide_broadening",
    "narrow_broadening",
    "thrust_major",
    "thrust_minor",
    "oblateness",
)
DURHAM = ("y23", "minus_log_y23", "y34", "minus_log_y34")
STEP = 0.02


def balanced(normal: jax.Array, stretch: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """Five massless particles, the first one stretched by e^x, the second by e^-x, then balanced by shifts."""
    p = jnp.asarray(normal) * jnp.exp(jnp.asarray([1.0, -1.0, 0.0, 0.0, 0.0]) * stretch)[:, None]
    p = p - jnp.mean(p, axis=0)
    momenta = jnp.concatenate([jnp.linalg.norm(p, axis=-1, keepdims=True), p], axis=-1)
    return jnp.zeros((capacity, 4), p.dtype).at[:5].set(momenta), jnp.arange(capacity) < 5


def shapes(normal: jax.Array, stretch: jax.Array, capacity: int, names: tuple[str, ...]) -> jax.Array:
    found = event_shapes(*balanced(normal, stretch, capacity))
    return jnp.stack([found[name] for name in names])


def pulls(capacity: int, num_events: int, names: tuple[str, ...]) -> dict[str, float]:
    """(autodiff − frozen-noise difference)/σ of the averages: over many events the difference holds every jump that
    happened within the step. σ is that of the event-by-event difference of the two."""
    with jax.enable_x64(True):
        noise = np.random.default_rng(3).normal(size=(num_events, 5, 3))
        run = jax.jit(lambda x: jax.lax.map(lambda one: shapes(one, x, capacity, names), noise, batch_size=2048))
        centre = jnp.asarray(0.4)
        change = np.asarray(jax.jvp(run, (centre,), (jnp.ones(()),))[1])
        difference = np.asarray(run(centre + STEP) - run(centre - STEP)) / (2 * STEP)
    apart = change - difference
    found = apart.mean(axis=0) / (apart.std(axis=0) / np.sqrt(num_events))
    return dict(zip(names, found.tolist(), strict=True))


@pytest.mark.parametrize(
    ("names", "capacity", "num_events"),
    [(JUMPING, 5, 100_000), (JUMPING, 10, 50_000), (JUMPING, 26, 10_000), (DURHAM, 5, 100_000), (DURHAM, 7, 50_000)],
)
def test_the_gradient_of_an_average_includes_the_jumps(names, capacity, num_events):
    # False alarm 2e-7 each at 5.2 σ.
    found = pulls(capacity, num_events, names)
    assert all(abs(pull) < 5.2 for pull in found.values()), found


def test_without_the_jumps_the_average_would_be_wrong(monkeypatch):
    # The test above has the power to see the term: a vanishing kernel is found out.
    monkeypatch.setattr(_jumps, "JUMP_WIDTH", 1e-12)
    monkeypatch.setattr(_merging_jumps, "WIDTH", 1e-12)
    found = pulls(5, 100_000, ("light_jet_mass", "narrow_broadening", "minus_log_y34"))
    assert all(abs(pull) > 5.5 for pull in found.values()), found


@pytest.mark.parametrize(("names", "capacity"), [(JUMPING, 5), (JUMPING, 10), (JUMPING, 26), (DURHAM, 7)])
def test_forward_and_reverse_agree_and_are_finite(names, capacity):
    with jax.enable_x64(True):
        noise = np.random.default_rng(8).normal(size=(200, 5, 3))
        zero = jnp.asarray(0.3)
        forward = jax.jit(jax.vmap(lambda u: jax.jacfwd(lambda x: shapes(u, x, capacity, names))(zero)))(noise)
        backward = jax.jit(jax.vmap(lambda u: jax.jacrev(lambda x: shapes(u, x, capacity, names))(zero)))(noise)
    assert np.all(np.isfinite(forward))
    np.testing.assert_allclose(forward, backward, rtol=1e-9, atol=1e-9)
