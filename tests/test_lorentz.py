"""Four-vector functions: identities, and finite gradients at the singular points."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep import lorentz

SCALARS = {f.__name__: f for f in (
    lorentz.mass2, lorentz.mass, lorentz.pt, lorentz.momentum, lorentz.rapidity, lorentz.pseudorapidity, lorentz.phi,
)}  # fmt: skip
PAIRS = {f.__name__: f for f in (lorentz.dot, lorentz.angle, lorentz.boost_to_rest_frame)}
POINTS = {
    "zero": [0, 0, 0, 0], "at rest": [2, 0, 0, 0], "on the axis": [1, 0, 0, 1], "against the axis": [1, 0, 0, -1],
    "light-like": [3, 1, 2, 2], "space-like": [1, 1, 2, 2], "tiny": [1e-30, 1e-30, 0, 0],
}  # fmt: skip


def massive(rng: np.random.Generator, num: int) -> np.ndarray:
    p = rng.normal(size=(num, 3)) * 5
    return np.concatenate([np.sqrt(1.5**2 + (p**2).sum(axis=1, keepdims=True)), p], axis=1)


@pytest.mark.parametrize("function", SCALARS.values(), ids=SCALARS)
@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_scalars_are_finite_with_finite_gradients(function: Callable, point: list[float]) -> None:
    value, gradient = jax.value_and_grad(function)(jnp.array(point, jnp.float32))
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize("function", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_pairs_are_finite_with_finite_gradients(function: Callable, point: list[float]) -> None:
    p = jnp.array(point, jnp.float32)
    for q in (p, -p, jnp.array([3.0, 1, 2, 1])):
        gradients = jax.jacfwd(function, argnums=(0, 1))(p, q)
        assert all(bool(jnp.all(jnp.isfinite(g))) for g in gradients)


def test_boost_to_the_rest_frame_and_back_keeps_products() -> None:
    with jax.enable_x64(True):
        p, q = (jnp.asarray(massive(np.random.default_rng(seed), 20)) for seed in (1, 2))
        rest = lorentz.boost_to_rest_frame(p, p)
        np.testing.assert_allclose(rest, np.tile([1.5, 0, 0, 0], (20, 1)), atol=1e-12)
        moved = lorentz.boost_to_rest_frame(q, p)
        np.testing.assert_allclose(lorentz.boost(moved, p[:, 1:] / p[:, :1]), q, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(lorentz.dot(moved, rest), lorentz.dot(p, q), rtol=1e-10)
        np.testing.assert_allclose(lorentz.mass2(moved), 1.5**2, rtol=1e-9)


def test_angles_rapidities_and_rotations_against_numpy() -> None:
    with jax.enable_x64(True):
        p, q = massive(np.random.default_rng(3), 20), massive(np.random.default_rng(4), 20)
        cos = (p[:, 1:] * q[:, 1:]).sum(axis=1) / np.linalg.norm(p[:, 1:], axis=1) / np.linalg.norm(q[:, 1:], axis=1)
        np.testing.assert_allclose(lorentz.angle(jnp.asarray(p), jnp.asarray(q)), np.arccos(cos), rtol=1e-10)
        np.testing.assert_allclose(lorentz.rapidity(jnp.asarray(p)), np.arctanh(p[:, 3] / p[:, 0]), rtol=1e-10)
        np.testing.assert_allclose(
            lorentz.pseudorapidity(jnp.asarray(p)), np.arcsinh(p[:, 3] / np.hypot(p[:, 1], p[:, 2])), rtol=1e-10
        )
        np.testing.assert_allclose(lorentz.phi(jnp.asarray(p)), np.arctan2(p[:, 2], p[:, 1]), rtol=1e-12)
        turned = lorentz.rotate(jnp.asarray(p), jnp.array([0.0, 0, 3]), jnp.array(0.4))
        shift = np.angle(np.exp(1j * (np.asarray(lorentz.phi(turned)) - np.arctan2(p[:, 2], p[:, 1]))))
        np.testing.assert_allclose(shift, 0.4, rtol=1e-10)
        np.testing.assert_allclose(lorentz.pt(turned), np.hypot(p[:, 1], p[:, 2]), rtol=1e-12)
