"""The track fit: global least squares with the full covariance of the scattering, and the same as a Kalman filter."""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ..._positive_definite import inverse_and_log_det
from ..._types import Scalar
from .layers import Hits, Tracker, Transport
from .propagation import TrackState

Method = Literal["global", "kalman"]


class TrackFit(eqx.Module):
    """A fitted track.

    **Fields**

    - `parameters`: impact (m), angle (rad) and, with curvature, κ (1/m), as in `TrackState`.
    - `covariance`: of these, shape (parameter, parameter).
    - `chi2`, `ndf`: least sum of squares, and hits less parameters.
    - `valid`: False where there are fewer hits than parameters; parameters are then those of the start, and the
      covariance is the unit matrix: do not use them.
    """

    parameters: Float[Array, "*batch parameter"]
    covariance: Float[Array, "*batch parameter parameter"]
    chi2: Float[Array, "*batch"]
    ndf: Int[Array, "*batch"]
    valid: Bool[Array, "*batch"]


class _Normal(NamedTuple):
    """Normal equations: information I, right-hand side y, and the χ² of no change at all."""

    information: Float[Array, "parameter parameter"]
    right: Float[Array, " parameter"]
    chi2: Scalar


def fit_track(
    tracker: Tracker, hits: Hits, start: TrackState, *, method: Method = "global", iterations: int = 2
) -> TrackFit:
    r"""The best linear unbiased estimate of a track from its hits, iterated around the helix.

    With residuals r against the helix of the last estimate, A = ∂u/∂(parameters), and V the covariance of the hits

    \[V_{ij}=\delta_{ij}\sigma_i^2+\sum_{k<\min(i,j)}\mathbf g_{ik}\cdot\mathbf g_{jk},\qquad
      \delta=(A^TV^{-1}A)^{-1}A^TV^{-1}r,\quad C=(A^TV^{-1}A)^{-1},\]

    \(\mathbf g_{ik}\) the change of u on layer i by the scattering (angle and correlated offset) behind layer k. For
    planes without field \(V_{ij}\) is the familiar \(\sum\theta_k^2(x_i-x_k)(x_j-x_k)\) for thin layers.
    `"kalman"` computes the same from the outermost layer inwards, with the information matrix as its state, so that it
    begins with exactly no knowledge; a scan over layers in place of matrices of their number.

    **Arguments**

    - `tracker`, `hits`: as simulated, or measured.
    - `start`: first estimate; its momentum and cot θ are those of the scattering, and stay. With `curved=False` its
      curvature stays, too.
    - `method`: "global" or "kalman".
    - `iterations`: Gauss–Newton steps, at least 1; 1 is exact for small angles, curvatures and impacts.

    **Returns** a `TrackFit`. Use float64 (`jax.enable_x64`): the coordinates are metres, the errors micrometres.

    **Gradient** exact in hits and all leaves of the tracker: everything is closed form.

    **Raises** `ValueError` for an unknown method, no iteration, or too few layers.

    Sources: Gluckstern, NIM 24 (1963) 381; Frühwirth, NIM A262 (1987) 444; Review of Particle Physics, "Measurement of
    particle momenta in a uniform magnetic field".

    >>> import jax
    >>> with jax.enable_x64(True):
    ...     tracker = Tracker([0.1, 0.2, 0.3, 0.4], resolutions=1e-5, thicknesses=0.01, field=2.0)
    ...     truth = tracker.track(pt=5.0, charge=1)
    ...     noise = tracker.sample_noise(jax.random.key(0))
    ...     fit = jax.jit(lambda noise: fit_track(tracker, tracker(noise, truth), truth))(noise)
    >>> fit.parameters.shape, int(fit.ndf)
    ((3,), 1)
    """
    if method not in ("global", "kalman"):
        raise ValueError(f"method must be 'global' or 'kalman', not {method!r}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    _enough(tracker)
    number = tracker.num_parameters
    solve = _global if method == "global" else _kalman
    weights = hits.mask.astype(hits.measured.dtype)
    valid = jnp.sum(hits.mask) >= number
    local = start.local().astype(hits.measured.dtype)

    def state(local: Array) -> TrackState:
        return TrackState(local[0], local[1], local[2], start.momentum, start.cot_theta)

    def step(local: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        transport = tracker.transport(state(local))
        residuals = jnp.where(hits.mask, hits.measured - transport.predicted, 0)
        normal = solve(transport, tracker.resolutions, residuals, weights, number)
        # Too few hits: a unit matrix in place of a singular one, and no change.
        information = jnp.where(valid, normal.information, jnp.eye(number, dtype=local.dtype))
        right = jnp.where(valid, normal.right, 0)
        covariance = inverse_and_log_det(information)[0]
        change = covariance @ right
        return local.at[:number].add(change), (covariance, normal.chi2 - change @ right)

    local, (covariances, sums) = lax.scan(step, local, None, length=iterations)
    covariance, chi2 = covariances[-1], sums[-1]
    return TrackFit(local[:number], covariance, chi2, jnp.sum(hits.mask) - number, valid)


def expected_covariance(
    tracker: Tracker, track: TrackState, *, hit_weights: Float[Array, " layer"] | None = None, method: Method = "global"
) -> Float[Array, "parameter parameter"]:
    r"""Covariance of the fitted parameters for a given track, without a single hit drawn: a function of the design.

    **Arguments**

    - `tracker`, `track`: design and particle.
    - `hit_weights`: factor in [0, 1] on the information 1/σ² of each hit; by default the efficiencies. It is exact for
      0 and 1; between, it interpolates smoothly (the mean over found and lost hits is that of `fit_track` with
      weights).
    - `method`: as `fit_track`.

    **Returns** the matrix, as `TrackFit.covariance`. **Gradient** exact in positions, matter, resolutions, weights.

    >>> import jax
    >>> with jax.enable_x64(True):
    ...     tracker = Tracker([1.0, 2.0], resolutions=1e-4)
    ...     covariance = jax.jit(expected_covariance)(tracker, TrackState())
    ...     print(f"{jnp.sqrt(covariance[0, 0]) / 1e-4:.4f}")  # √(2² + 1²)
    2.2361
    """
    if method not in ("global", "kalman"):
        raise ValueError(f"method must be 'global' or 'kalman', not {method!r}")
    _enough(tracker)
    weights = tracker.efficiencies if hit_weights is None else hit_weights
    solve = _global if method == "global" else _kalman
    transport = tracker.transport(track)
    zeros = jnp.zeros_like(transport.predicted)
    normal = solve(transport, tracker.resolutions, zeros, weights, tracker.num_parameters)
    return inverse_and_log_det(normal.information)[0]


def pt_resolution(tracker: Tracker, track: TrackState) -> Scalar:
    r"""\(\sigma(p_T)/p_T=\sigma(\kappa)/|\kappa|\) of a track in this tracker, dimensionless (first order).

    **Raises** `ValueError` for a tracker that does not fit the curvature.

    >>> import jax
    >>> with jax.enable_x64(True):
    ...     tracker = Tracker(jnp.linspace(0.1, 1.0, 10), resolutions=1e-4, field=2.0)
    ...     print(f"{jax.jit(pt_resolution)(tracker, tracker.track(pt=10.0, charge=1)):.4f}")
    0.0145
    """
    if not tracker.curved:
        raise ValueError("this tracker does not fit the curvature: give it a field, or curved=True")
    return jnp.sqrt(expected_covariance(tracker, track)[2, 2]) / jnp.abs(track.curvature)


def _enough(tracker: Tracker) -> None:
    layers, number = tracker.positions.shape[0], tracker.num_parameters
    if layers < number:
        raise ValueError(f"{layers} layers cannot determine {number} parameters: add layers")


def _safe_sqrt(x: Array) -> Array:
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def _global(transport: Transport, sigma: Array, residuals: Array, weights: Array, number: int) -> _Normal:
    """Normal equations from the covariance of all hits."""
    layers = residuals.shape[0]

    def step(carry: tuple[Array, Array], layer: Any) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        matrix, kicks = carry  # ∂state/∂start, and ∂state/∂(scattering in each layer before), (3, 2·layers)
        forward, kick, k = layer
        matrix, kicks = forward @ matrix, forward @ kicks
        row = (matrix[0], kicks[0])
        # What happens behind this layer acts on the next ones.
        kicks = lax.dynamic_update_slice(kicks, kick, (jnp.zeros_like(k), 2 * k))
        return (matrix, kicks), row

    dtype = residuals.dtype
    begin = (jnp.eye(3, dtype=dtype), jnp.zeros((3, 2 * layers), dtype))
    _, (design, scatter) = lax.scan(step, begin, (transport.step, transport.kick, jnp.arange(layers)))
    # In units of the measurement errors; a hit of weight 0 drops out without a division by zero.
    scale = _safe_sqrt(weights) / sigma
    a, g, r = scale[:, None] * design[:, :number], scale[:, None] * scatter, scale * residuals
    inverse = inverse_and_log_det(jnp.eye(layers, dtype=dtype) + g @ g.T)[0]
    return _Normal(a.T @ inverse @ a, a.T @ inverse @ r, r @ inverse @ r)


def _kalman(transport: Transport, sigma: Array, residuals: Array, weights: Array, number: int) -> _Normal:
    """The same from the outermost layer inwards: information Y and vector y of the state on each layer."""

    def step(carry: _Normal, layer: Any) -> tuple[_Normal, None]:
        information, right, chi2 = carry
        forward, kick, error, residual, weight = layer
        # Scattering behind this layer loses information, one variate after the other (Sherman, Morrison).
        for j in range(2):
            turned = information @ kick[:, j]
            lost = 1 + kick[:, j] @ turned
            along = kick[:, j] @ right
            information = information - jnp.outer(turned, turned) / lost
            right = right - turned * along / lost
            chi2 = chi2 - along**2 / lost
        strength = weight / error**2
        information = information.at[0, 0].add(strength)
        right = right.at[0].add(strength * residual)
        chi2 = chi2 + strength * residual**2
        return _Normal(forward.T @ information @ forward, forward.T @ right, chi2), None

    dtype = residuals.dtype
    begin = _Normal(jnp.zeros((3, 3), dtype), jnp.zeros(3, dtype), jnp.zeros((), dtype))
    layers = (transport.step, transport.kick, sigma, residuals, weights)
    end, _ = lax.scan(step, begin, layers, reverse=True)
    return _Normal(end.information[:number, :number], end.right[:number], end.chi2)


__all__ = ["TrackFit", "expected_covariance", "fit_track", "pt_resolution"]
