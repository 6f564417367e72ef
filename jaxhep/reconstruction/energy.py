"""The calibrated energy as a weighted sum of layer signals: the best weights in closed form, differentiable."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .solve import solve


def best_weights(
    mean: Float[Array, " layer"], second: Float[Array, "layer layer"], ridge: float | Float[Array, ""] = 0.0
) -> Float[Array, " layer"]:
    r"""The weights w of least \(E[(w\cdot r-1)^2]\) among those with \(E[w\cdot r]=1\), for relative signals r = x/E.

    With m = E[r], V = Cov(r): \(w=V^{-1}m/(m^TV^{-1}m)\), the best linear unbiased combination; the variance it reaches
    is \(1/(m^TV^{-1}m)\). By the envelope theorem the derivative of that variance is the one at fixed w.

    Arguments:
        mean: m = E[x/E], shape (layer,).
        second: E[(x/E)(x/E)ᵀ], shape (layer, layer).
        ridge: ρ ≥ 0 adds ρ·tr(V)/n to the diagonal of V: smaller weights for signals that say the same; 0 for none.

    Returns:
        w in GeV per unit of signal, shape (layer,); differentiable. NaN where V is singular (a layer without signal):
        a ridge cures it.

    >>> import jax.numpy as jnp
    >>> mean = jnp.array([0.5, 0.25])
    >>> best_weights(mean, jnp.outer(mean, mean) + jnp.diag(jnp.array([0.01, 0.01]))).tolist()
    [1.6, 0.8]
    """
    solution, denominator = _normal(mean, second, ridge)
    return solution / denominator


def squared_resolution(
    mean: Float[Array, " layer"], second: Float[Array, "layer layer"], ridge: float | Float[Array, ""] = 0.0
) -> Float[Array, ""]:
    r"""\((\sigma_E/E)^2=1/(m^TV^{-1}m)\): what the best linear calibration reaches; arguments as for `best_weights`.

    Differentiable in the moments, and through them in the detector. From a sample of N events of which it also takes
    the moments it is too small by a factor 1 − (layers − 1)/N.
    """
    return 1 / _normal(mean, second, ridge)[1]


def _normal(mean: Array, second: Array, ridge: float | Array) -> tuple[Array, Array]:
    covariance = second - mean[:, None] * mean[None, :]
    size = mean.shape[0]
    covariance = covariance + ridge * jnp.trace(covariance) / size * jnp.eye(size, dtype=mean.dtype)
    solution = solve(covariance, mean)
    return solution, mean @ solution


class EnergyScale(eqx.Module):
    r"""\(\hat E=w\cdot x\): a weight for each layer.

    Arguments:
        weights: w in GeV per unit of signal, shape (layer,).
    """

    weights: Float[Array, " layer"]

    def __call__(self, signals: Float[Array, " layer"]) -> Float[Array, ""]:
        """The energy in GeV of one shower from its layer signals."""
        return self.weights @ signals

    def __repr__(self) -> str:
        return f"EnergyScale({', '.join(f'{float(w):.4g}' for w in self.weights)})"


def fit_energy_scale(
    signals: Float[Array, "event layer"],
    energies: Float[Array, " event"],
    *,
    weights: Float[Array, " event"] | None = None,
    ridge: float | Float[Array, ""] = 1e-6,
) -> EnergyScale:
    """Layer weights of least relative resolution with unit mean response, by weighted least squares.

    Arguments:
        signals: x, shape (event, layer), more events than layers.
        energies: true energies in GeV, above 0, shape (event,).
        weights: of the events (`Event.weight`); default 1.
        ridge: see `best_weights`; the default only guards against a layer without signal.

    Returns:
        `EnergyScale`; differentiable in signals and weights.

    Raises:
        ValueError: fewer events than layers + 2.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 0.9], [2.1, 2.0], [2.9, 3.1], [4.0, 4.0]])
    >>> scale = fit_energy_scale(x, jnp.array([2.0, 4.0, 6.0, 8.0]))
    >>> round(float(scale(jnp.array([1.0, 1.0]))), 2)
    2.01
    """
    count, layers = signals.shape
    if count < layers + 2:
        raise ValueError(f"{layers} layer weights need at least {layers + 2} events, got {count}")
    share = jnp.ones(count, signals.dtype) if weights is None else weights
    share = share / jnp.sum(share)
    relative = signals / energies[:, None]
    mean = share @ relative
    # From centred signals: the difference of two large moments would lose the small variances in float32.
    centred = relative - mean
    second = (centred * share[:, None]).T @ centred + mean[:, None] * mean[None, :]
    return EnergyScale(best_weights(mean, second, ridge))


__all__ = ["EnergyScale", "best_weights", "fit_energy_scale", "squared_resolution"]
