"""Inverse and log-determinant without LAPACK, and what that is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.inference import ChiSquare
from jaxhep.inference.positive_definite import inverse_and_log_det
from jaxhep.inference.prediction import Prediction


def covariance(size: int, condition: float) -> np.ndarray:
    """Random rotation, eigenvalues spread over `condition`, entries of very different units."""
    rng = np.random.default_rng(size)
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    units = 10.0 ** rng.uniform(-4, 4, size)
    return (rotation * np.geomspace(1, condition, size)) @ rotation.T * np.outer(units, units)


@pytest.mark.parametrize(("size", "condition"), [(1, 1.0), (2, 10.0), (20, 1e4), (60, 1e8)])
def test_agrees_with_lapack(size, condition):
    matrix = covariance(size, condition)
    scale = np.sqrt(np.diag(matrix))
    with jax.enable_x64(True):
        inverse, log_det = jax.device_get(inverse_and_log_det(jnp.asarray(matrix)))
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrix)[1], rtol=1e-10, atol=1e-8)
    # In units in which the diagonal is 1, where condition × 1e-16 bounds the rounding.
    correlation, inverse = matrix / np.outer(scale, scale), inverse * np.outer(scale, scale)
    np.testing.assert_allclose(inverse @ correlation, np.eye(size), atol=1e-15 * size * condition + 1e-14)


def test_derivatives_of_both_modes_and_orders():
    first, second = covariance(6, 100.0), np.diag(np.diag(covariance(6, 100.0)))

    def function(x, lapack):
        matrix = first + x * second + x**2 * second / 3
        if lapack:
            inverse, log_det = jnp.linalg.inv(matrix), jnp.linalg.slogdet(matrix)[1]
        else:
            inverse, log_det = inverse_and_log_det(matrix)
        vector = jnp.sqrt(jnp.diag(second)) * jnp.arange(1.0, 7.0)
        return vector @ inverse @ vector + log_det

    with jax.enable_x64(True):
        for transform in (
            jax.jacfwd,
            jax.jacrev,
            lambda f: jax.jacfwd(jax.jacfwd(f)),
            lambda f: jax.jacfwd(jax.jacrev(f)),
        ):
            ours, theirs = (transform(lambda x, a=lapack: function(x, a))(0.4) for lapack in (False, True))
            np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_a_matrix_that_is_not_positive_definite_gives_nan():
    for matrix in ([[1.0, 2.0], [2.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]):
        inverse, log_det = inverse_and_log_det(jnp.asarray(matrix))
        assert np.all(np.isnan(inverse))
        assert np.isnan(log_det)


def test_batched_fits_call_no_lapack():
    # Two batched LAPACK calls at once wait for each other for ever on two threads.
    objective = ChiSquare(np.ones(5), np.eye(5), lambda p: Prediction(p["a"] * jnp.ones(5), p["a"] ** 2 * jnp.eye(5)))
    hessian = jax.vmap(jax.jacfwd(jax.jacfwd(lambda a: objective.value({"a": a}))))
    text = jax.jit(hessian).lower(jnp.ones(4)).as_text()
    assert "lapack" not in text.lower()
    control = jax.jit(jax.vmap(jnp.linalg.inv)).lower(jnp.ones((4, 5, 5))).as_text()
    assert "lapack" in control.lower() or jax.default_backend() != "cpu"
