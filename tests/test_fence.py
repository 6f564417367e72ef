"""Stored numbers: the same values and derivatives of every type and shape, in a division that the compiler keeps."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxhep._fence import fence, hidden_one


def test_values_and_derivatives_are_the_same():
    tree = {
        "scalar": jnp.float32(0.3), "array": jnp.linspace(-2, 3, 12).reshape(3, 4), "flags": jnp.array([True, False]),
        "numbers": jnp.array([-3, 0, 70_000], jnp.int32), "empty": jnp.zeros((0, 2)),
    }  # fmt: skip
    found = jax.jit(lambda tree, u: fence(tree, hidden_one(u)))(tree, jnp.float32(0.7))
    for name, value in tree.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)

    def loss(x, u):
        return jnp.sum(jnp.sin(fence(x, hidden_one(u))))

    x, u = tree["array"], jnp.float32(0.2)
    slope, by_variate = jax.jit(jax.grad(loss, argnums=(0, 1)))(x, u)
    np.testing.assert_allclose(slope, np.cos(x), rtol=1e-6)
    assert by_variate == 0
    np.testing.assert_allclose(jax.jvp(lambda x: loss(x, u), (x,), (x,))[1], np.sum(np.cos(x) * x), rtol=1e-5)


def test_the_compiler_keeps_the_division():
    """By a number for each element: a division by one number for all of them would become a product and be fused."""
    text = (
        jax.jit(lambda x, u: fence(x, hidden_one(u)) * 2).lower(jnp.ones((5, 7)), jnp.float32(0.5)).compile().as_text()
    )
    assert text is not None
    divisions = [line for line in text.splitlines() if " divide(" in line]
    assert any("f32[5,7]" in line.split(" divide(")[0] for line in divisions)
