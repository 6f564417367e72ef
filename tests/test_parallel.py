"""Events over devices (eight, by tests/conftest.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxhep.parallel import EVENTS, event_mesh, over_devices, shard_events


def test_mesh_and_sharding():
    mesh = event_mesh()
    assert mesh.axis_names == (EVENTS,)
    assert mesh.devices.size == len(jax.devices()) > 1
    x = jnp.arange(32.0).reshape(16, 2)
    placed = shard_events({"x": x}, event_mesh(jax.devices()[:4]))["x"]
    assert len(placed.sharding.device_set) == 4
    assert {shard.data.shape for shard in placed.addressable_shards} == {(4, 2)}
    np.testing.assert_array_equal(placed, x)
    with pytest.raises(ValueError, match="multiple of the number of devices"):
        shard_events(jnp.arange(10.0), event_mesh(jax.devices()[:4]))
    with pytest.raises(ValueError, match="multiple of the number of devices"):
        shard_events(jnp.asarray(1.0), event_mesh(jax.devices()[:4]))
    with pytest.raises(ValueError, match="at least one device"):
        event_mesh([])


def test_over_devices_is_the_function_itself_with_its_derivatives():
    x = jnp.linspace(0.1, 2.0, 24)

    def function(a, b, batch):
        return jnp.sin(a * batch) + b

    mapped = over_devices(function, jax.devices()[:8])
    a, b = jnp.asarray(1.3), jnp.asarray(0.2)
    np.testing.assert_allclose(mapped((a, b), x), function(a, b, x), rtol=1e-6)
    one = jax.grad(lambda a, b: jnp.mean(function(a, b, x)), argnums=(0, 1))(a, b)
    many = jax.grad(lambda a, b: jnp.mean(mapped((a, b), x)), argnums=(0, 1))(a, b)
    np.testing.assert_allclose(many, one, rtol=1e-5)
    forward = jax.jvp(lambda a: mapped((a, b), x), (a,), (jnp.ones(()),))[1]
    np.testing.assert_allclose(forward, x * jnp.cos(a * x), rtol=1e-5, atol=1e-6)


def test_mean_of_gradients_inside_shard_map_is_too_large_by_the_number_of_devices():
    """The trap named in `over_devices`: for a replicated parameter shard_map's transpose sums over devices itself."""
    mesh = event_mesh(jax.devices()[:8])
    x = jnp.arange(1.0, 17.0)

    def local_mean(theta, batch):
        return jnp.mean(theta**2 * batch)

    def wrong(theta, batch):
        return jax.lax.pmean(jax.grad(local_mean)(theta, batch), EVENTS)

    def right(theta, batch):
        return jax.grad(lambda t: jax.lax.pmean(local_mean(t, batch), EVENTS))(theta)

    exact = 2 * 3.0 * np.mean(np.asarray(x))
    got = {
        f.__name__: float(jax.shard_map(f, mesh=mesh, in_specs=(P(), P(EVENTS)), out_specs=P())(jnp.asarray(3.0), x))
        for f in (wrong, right)
    }
    assert got["wrong"] == pytest.approx(8 * exact)
    assert got["right"] == pytest.approx(exact)
