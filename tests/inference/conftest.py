"""Shared fits: each is compiled once for the whole folder."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.inference import (
    BinnedPoisson,
    ChiSquare,
    FitResult,
    Gaussian,
    Parameter,
    Prediction,
    fit,
)

X = np.linspace(0.0, 1.0, 10)


class Line(eqx.Module):
    """intercept + slope·x, with a constant Monte Carlo variance."""

    x: np.ndarray
    variance: np.ndarray

    def __call__(self, p):
        return Prediction(p["intercept"] + p["slope"] * jnp.asarray(self.x), jnp.diag(jnp.asarray(self.variance)))


class Decay(eqx.Module):
    """number·exp(−x/tau) + background, with a Monte Carlo variance that follows the prediction."""

    x: np.ndarray
    spread: np.ndarray

    def __call__(self, p):
        values = p["number"] * jnp.exp(-jnp.asarray(self.x) / p["tau"]) + p["background"]
        return Prediction(values, jnp.diag(jnp.asarray(self.spread) * values))


@dataclass(frozen=True)
class Case:
    objective: object
    parameters: tuple
    result: FitResult


def full_covariance(size=10, seed=3):
    """A positive-definite matrix with correlations of order one half."""
    root = np.random.default_rng(seed).normal(size=(size, 3)) * 0.06
    return np.diag(np.linspace(0.005, 0.02, size)) + root @ root.T


@pytest.fixture(scope="session")
def line_case():
    """Linear, correlated data, constant Monte Carlo covariance, free slope and intercept, one prior."""
    rng = np.random.default_rng(5)
    covariance = full_covariance()
    data = 1.0 + 2.0 * X + np.linalg.cholesky(covariance) @ rng.normal(size=X.size)
    objective = ChiSquare(data, covariance, Line(X, np.full(X.size, 0.004)))
    parameters = (Parameter("intercept", 0.0), Parameter("slope", -1.0, prior=Gaussian(2.2, 0.3)))
    return Case(objective, parameters, fit(objective, parameters))


@pytest.fixture(scope="session")
def poisson_case():
    """Non-linear, Poisson with Monte Carlo error, one-sided and two-sided bounds and a prior."""
    counts = np.random.default_rng(1).poisson(100 * np.exp(-X / 0.4) + 5)
    objective = BinnedPoisson(counts, Decay(X, np.full(X.size, 0.1)))
    parameters = (
        Parameter("number", 60.0, lower=0.0),
        Parameter("tau", 0.8, lower=0.01, upper=5.0),
        Parameter("background", 3.0, prior=Gaussian(5.0, 3.0)),
    )
    return Case(objective, parameters, fit(objective, parameters))


@pytest.fixture(scope="session")
def chi2_case():
    """Non-linear χ² whose Monte Carlo covariance depends on the parameters (log-determinant on)."""
    rng = np.random.default_rng(2)
    data = 100 * np.exp(-X / 0.4) + 5 + rng.normal(size=X.size) * 3
    objective = ChiSquare(data, np.full(X.size, 9.0), Decay(X, np.full(X.size, 0.2)), log_det=True)
    parameters = (
        Parameter("number", 60.0, lower=0.0),
        Parameter("tau", 0.8, lower=0.01, upper=5.0),
        Parameter("background", 3.0),
    )
    return Case(objective, parameters, fit(objective, parameters))
