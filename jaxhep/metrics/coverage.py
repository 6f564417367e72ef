"""Whether posterior samples cover the truth: simulation-based calibration and TARP."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key
from ..noise import uniforms
from ._measures import bootstrapped, check_replicas, check_sample, normalised
from ._result import Metric
from .latent import GoodnessOfFit, kolmogorov_smirnov


class Ranks(eqx.Module):
    """Simulation-based calibration: `ranks` (event, parameter) in (0, 1), uniform if the posterior is right, and one
    Kolmogorov–Smirnov test for each parameter."""

    ranks: Float[Array, "event parameter"]
    tests: tuple[GoodnessOfFit, ...]

    def __repr__(self) -> str:
        return f"Ranks(p = {', '.join(f'{test.p_value:.3g}' for test in self.tests)})"


class Coverage(eqx.Module):
    """Expected coverage: at each `credibility` the weighted fraction of events whose truth lies inside, its `error`
    under perfect coverage; the largest distance from the diagonal as a `Metric`; a Kolmogorov–Smirnov `test` of the
    whole curve."""

    credibility: Float[Array, " level"]
    coverage: Float[Array, " level"]
    error: Float[Array, " level"]
    distance: Metric
    test: GoodnessOfFit

    def __repr__(self) -> str:
        return f"Coverage(largest distance {self.distance}, p = {self.test.p_value:.3g})"


def _check(truth: Any, samples: Any) -> None:
    if samples.ndim != 3 or truth.ndim != 2 or samples.shape[::2] != truth.shape:
        raise ValueError(
            f"truth must have shape (event, parameter) and samples (event, sample, parameter), got {truth.shape} and "
            f"{samples.shape}"
        )
    if samples.shape[1] < 1:
        raise ValueError("each event needs at least one posterior sample")


def simulation_based_calibration(
    truth: Float[Array, "event parameter"],
    samples: Float[Array, "event sample parameter"],
    weights: Float[Array, " event"] | None = None,
    *,
    key: Key,
) -> Ranks:
    r"""The rank of each true value among its posterior samples, which is uniform if the posterior is right.

    \((r+u)/(S+1)\) with r the number of samples below the truth and u of U(0,1), exactly uniform for S samples and
    truths from the prior (S. Talts et al., arXiv:1804.06788). Ties are broken at random.

    **Arguments**: `truth`, `samples`; `weights` of the events; `key` of u.

    **Returns** `Ranks`. **Raises** `ValueError` for wrong shapes, NaN, or weights whose sum is not positive.

    >>> import jax
    >>> from jaxhep.metrics import simulation_based_calibration
    >>> x = jax.random.normal(jax.random.key(0), (500, 10, 1))
    >>> simulation_based_calibration(x[:, 0], x[:, 1:], key=jax.random.key(1)).tests[0].p_value > 1e-3
    True
    """
    _check(truth, samples)
    check_sample("truth", truth, weights, columns=True)
    ranks = _ranks(truth, samples, key)
    return Ranks(ranks, tuple(kolmogorov_smirnov(ranks[:, k], weights) for k in range(truth.shape[1])))


@jax.jit
def _ranks(truth: Array, samples: Array, key: Key) -> Array:
    u = uniforms(key, truth.shape, truth.dtype)
    below = jnp.sum(samples < truth[:, None, :], axis=1)
    ties = jnp.sum(samples == truth[:, None, :], axis=1)
    return (below + u * (ties + 1)) / (samples.shape[1] + 1)


def tarp(
    truth: Float[Array, "event parameter"],
    samples: Float[Array, "event sample parameter"],
    weights: Float[Array, " event"] | None = None,
    *,
    key: Key,
    references: Float[Array, "event parameter"] | None = None,
    num_levels: int = 20,
    num_replicas: int = 200,
) -> Coverage:
    r"""Expected coverage of regions around random points (TARP: P. Lemos et al., arXiv:2302.03026).

    For each event the samples nearer to a reference point than the truth are counted; their fraction f is uniform if
    the posterior is right, and the fraction of events with f below a level is the coverage at that credibility. To find
    a wrong posterior that is right on average over the events, references must depend on the data (section 3 of the
    paper).

    **Arguments**

    - `truth`, `samples`, `weights`: as for `simulation_based_calibration`; columns scaled alike.
    - `references`: one point an event; default uniform in the box of all true values.
    - `num_levels`: credibilities; `num_replicas`: of the bootstrap and of the floor.

    **Returns** a `Coverage`. **Raises** as `simulation_based_calibration`.

    >>> import jax
    >>> from jaxhep.metrics import tarp
    >>> x = jax.random.normal(jax.random.key(0), (500, 10, 2))
    >>> tarp(x[:, 0], x[:, 1:], key=jax.random.key(1)).test.p_value > 1e-3
    True
    """
    _check(truth, samples)
    mass = check_sample("truth", truth, weights, columns=True)
    if num_levels < 1:
        raise ValueError(f"num_levels must be at least 1, got {num_levels}")
    check_replicas(num_replicas)
    if references is not None and references.shape != truth.shape:
        raise ValueError(f"references must have shape {truth.shape}, one an event, got {references.shape}")
    levels, curve, error, distance, u = _tarp(truth, samples, mass, key, references, num_levels, num_replicas)
    return Coverage(levels, curve, error, distance, kolmogorov_smirnov(u, weights))


@partial(jax.jit, static_argnames=("num_levels", "num_replicas"))
def _tarp(
    truth: Array,
    samples: Array,
    weights: Array,
    key: Key,
    references: Array | None,
    num_levels: int,
    num_replicas: int,
) -> tuple[Array, Array, Array, Metric, Array]:
    mass, keys = normalised(weights), jax.random.split(key, 4)
    if references is None:
        low, high = jnp.min(truth, axis=0), jnp.max(truth, axis=0)
        references = low + (high - low) * uniforms(keys[0], truth.shape, truth.dtype)
    radius = jnp.sum((truth - references) ** 2, axis=-1)
    nearer = jnp.sum((samples - references[:, None, :]) ** 2, axis=-1) < radius[:, None]
    u = (jnp.sum(nearer, axis=1) + uniforms(keys[1], radius.shape, truth.dtype)) / (samples.shape[1] + 1)
    levels = jnp.asarray(np.arange(1, num_levels + 1) / (num_levels + 1), truth.dtype)

    def curve(masses: Array, values: Array) -> Array:
        return jnp.sum(jnp.where(values[..., None] < levels, masses[..., None], 0.0), axis=-2)

    def distance(masses: Array, values: Array) -> Array:
        return jnp.max(jnp.abs(curve(masses, values) - levels), axis=-1)

    replicas = jax.lax.map(lambda m: distance(m, u), bootstrapped(keys[2], mass, num_replicas))
    null = jax.lax.map(
        lambda k: distance(mass, uniforms(k, u.shape, truth.dtype)), jax.random.split(keys[3], num_replicas)
    )
    metric = Metric(distance(mass, u), jnp.std(replicas, ddof=1), jnp.mean(null), jnp.std(null, ddof=1))
    error = jnp.sqrt(levels * (1 - levels) * jnp.sum(mass**2))
    return levels, curve(mass, u), error, metric, u


__all__ = ["Coverage", "Ranks", "simulation_based_calibration", "tarp"]
