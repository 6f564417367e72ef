"""Does the compiler of this machine compute what NumPy computes?

XLA has, in some releases, miscompiled fused reductions, scatters and loops on CPU for odd sizes. If a test here
fails, the fault is
below jaxhep: change the JAX release before looking for an error in the physics.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

SIZES = (1, 7, 33, 1021)


def _masked_sum(x, mask, index):
    return jnp.sum(jnp.where(mask, x, 0), axis=0)


def _masked_sum_reference(x, mask, index):
    return np.sum(np.where(mask, x, 0), axis=0)


def _masked_max(x, mask, index):
    return jnp.max(x, where=mask, initial=-10.0), jnp.argmax(jnp.where(mask, x, -jnp.inf))


def _masked_max_reference(x, mask, index):
    return np.max(x, where=mask, initial=-10.0), np.argmax(np.where(mask, x, -np.inf))


def _scatter_add(x, mask, index):
    return jnp.zeros(5, x.dtype).at[index].add(jnp.where(mask, x, 0))


def _scatter_add_reference(x, mask, index):
    return np.bincount(index, weights=np.where(mask, x, 0), minlength=5)


def _scatter_set(x, mask, index):
    return jnp.zeros(x.shape[0] + 1, x.dtype).at[jnp.where(mask, jnp.arange(x.shape[0]), x.shape[0])].set(x)[:-1]


def _scatter_set_reference(x, mask, index):
    return np.where(mask, x, 0)


def _searchsorted(x, mask, index):
    return jnp.searchsorted(jnp.sort(x), jnp.asarray([-2.0, -0.3, 0.0, 0.7, 5.0], x.dtype), side="right")


def _searchsorted_reference(x, mask, index):
    return np.searchsorted(np.sort(x), np.asarray([-2.0, -0.3, 0.0, 0.7, 5.0], x.dtype), side="right")


def _cumsum(x, mask, index):
    return jnp.cumsum(x), jnp.cumsum(mask)


def _cumsum_reference(x, mask, index):
    return np.cumsum(x), np.cumsum(mask)


def _logsumexp(x, mask, index):
    return jax.scipy.special.logsumexp(30 * x, where=mask | (jnp.arange(x.shape[0]) == 0))


def _logsumexp_reference(x, mask, index):
    return scipy.special.logsumexp(30 * x.astype(np.float64), b=(mask | (np.arange(x.shape[0]) == 0)).astype(float))


def _while_loop(x, mask, index):
    """Adds entries in order until the running sum of their squares passes 10 or the array ends."""

    def unfinished(state):
        i, square, _ = state
        return (i < x.shape[0]) & (square < 10)

    def step(state):
        i, square, total = state
        return i + 1, square + x[i] ** 2, total + jnp.where(mask[i], x[i], 0)

    return jax.lax.while_loop(unfinished, step, (jnp.asarray(0), jnp.zeros((), x.dtype), jnp.zeros((), x.dtype)))


def _while_loop_reference(x, mask, index):
    i, square, total = 0, 0.0, 0.0
    while i < x.shape[0] and square < 10:
        square, total, i = square + float(x[i]) ** 2, total + (float(x[i]) if mask[i] else 0.0), i + 1
    return i, square, total


PROGRAMS = {
    "masked sum": (_masked_sum, _masked_sum_reference),
    "masked max": (_masked_max, _masked_max_reference),
    "scatter add": (_scatter_add, _scatter_add_reference),
    "scatter set": (_scatter_set, _scatter_set_reference),
    "searchsorted": (_searchsorted, _searchsorted_reference),
    "cumsum": (_cumsum, _cumsum_reference),
    "logsumexp": (_logsumexp, _logsumexp_reference),
    "while loop": (_while_loop, _while_loop_reference),
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_eager_and_numpy_agree(name, precision):
    program, reference = PROGRAMS[name]
    generator = np.random.default_rng(20260101)
    with jax.enable_x64(precision == "float64"):
        for size in SIZES if name != "while loop" else SIZES[:-1]:
            x = generator.normal(size=size).astype(precision)
            mask = generator.random(size) < 0.6
            index = generator.integers(0, 5, size)
            arguments = (jnp.asarray(x), jnp.asarray(mask), jnp.asarray(index))
            eager, compiled, expected = program(*arguments), jax.jit(program)(*arguments), reference(x, mask, index)
            # Sums of n terms in another order differ by about n ulp at most.
            tolerance = {"rtol": 4 * np.finfo(precision).eps, "atol": 4 * size * np.finfo(precision).eps}
            for a, b, c in zip(
                jax.tree.leaves(eager), jax.tree.leaves(compiled), jax.tree.leaves(expected), strict=True
            ):
                np.testing.assert_allclose(b, a, **tolerance, err_msg=f"{name}, size {size}: jit against eager")
                np.testing.assert_allclose(b, c, **tolerance, err_msg=f"{name}, size {size}: jit against NumPy")
                if np.issubdtype(a.dtype, np.floating):
                    assert a.dtype == b.dtype == np.dtype(precision)


def test_batched_and_compiled_masked_sum_agree_over_odd_batches():
    generator = np.random.default_rng(7)
    for batch, size in ((3, 5), (17, 31), (129, 7)):
        x = generator.normal(size=(batch, size)).astype("float32")
        mask = generator.random((batch, size)) < 0.5
        got = jax.jit(jax.vmap(lambda a, m: jnp.sum(jnp.where(m, a, 0))))(x, mask)
        np.testing.assert_allclose(got, np.sum(np.where(mask, x, 0), axis=1), rtol=1e-5, atol=1e-5)
