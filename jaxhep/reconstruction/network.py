"""A small network for the energy, on top of the linear calibration."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key, Scalar
from .energy import EnergyScale, fit_energy_scale


class EnergyNetwork(eqx.Module):
    r"""\(\hat E=(w\cdot x)\,e^{g(z)}\): the linear energy times a correction that a network learns.

    z are the standardised shares \(w_ix_i/(w\cdot x)\) of the layers and \(\ln(w\cdot x)\); the last layer of g begins
    at zero, so that training begins at the linear calibration.

    Arguments:
        scale: the linear calibration.
        network: g, an `equinox.nn.MLP`.
        centre, spread: of the inputs, shape (layer + 1,).
    """

    scale: EnergyScale
    network: eqx.nn.MLP
    centre: Float[Array, " input"]
    spread: Float[Array, " input"]

    def __call__(self, signals: Float[Array, " layer"]) -> Float[Array, ""]:
        """The energy in GeV of one shower from its layer signals."""
        linear = self.scale(signals)
        z = (_inputs(self.scale, signals) - self.centre) / self.spread
        return linear * jnp.exp(self.network(z))


def _inputs(scale: EnergyScale, signals: Array) -> Array:
    linear = scale(signals)
    safe = jnp.where(linear > 0, linear, 1.0)
    return jnp.append(scale.weights * signals / safe, jnp.log(safe))


def fit_energy_network(
    signals: Float[Array, "event layer"],
    energies: Float[Array, " event"],
    key: Key,
    *,
    width: int = 16,
    depth: int = 2,
    num_steps: int = 1000,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    ridge: float = 1e-6,
    on_step: Callable[[int], None] | None = None,
) -> EnergyNetwork:
    r"""Fits the linear calibration in closed form and then the network to the least \(E[(\hat E/E-1)^2]\).

    Arguments:
        signals: x, shape (event, layer).
        energies: true energies in GeV, above 0.
        key: of the initial network and of the batches.
        width, depth: of the hidden layers (tanh).
        num_steps, batch_size, learning_rate: of Adam, with a cosine to zero.
        ridge: of the linear calibration.
        on_step: called with the number of steps done, at least every hundred.

    Returns:
        `EnergyNetwork`. Its error on the fitted sample is smaller than on a new one: judge it on a new one.

    Raises:
        ValueError: too few events (see `fit_energy_scale`).
    """
    # Here, not above: the core, which has no optax, imports this module.
    from ..training import Dataset, TrainingSettings, fit

    scale = fit_energy_scale(signals, energies, ridge=ridge)
    inputs = jax.vmap(partial(_inputs, scale))(signals)
    spread = jnp.std(inputs, axis=0)
    first, second = jax.random.split(key)
    network = eqx.nn.MLP(inputs.shape[1], "scalar", width, depth, activation=jnp.tanh, key=first)
    network = eqx.tree_at(lambda net: (net.layers[-1].weight, net.layers[-1].bias), network, replace_fn=jnp.zeros_like)
    model = EnergyNetwork(scale, network, jnp.mean(inputs, axis=0), jnp.where(spread > 0, spread, 1.0))
    settings = TrainingSettings(
        batch_size=min(batch_size, signals.shape[0]), steps=num_steps, learning_rate=learning_rate, schedule="cosine"
    )
    callbacks = [] if on_step is None else [lambda report: on_step(report.step)]
    data = Dataset({"signals": signals, "energy": energies})
    only = {"network.*": True, "scale.*": False, "centre": False, "spread": False}
    trained: EnergyNetwork = fit(
        model, _relative_error, data, key=second, settings=settings, trainable=only, callbacks=callbacks
    ).model
    return trained


def _relative_error(model: EnergyNetwork, event: dict[str, Array], key: Key) -> Scalar:
    return (model(event["signals"]) / event["energy"] - 1) ** 2


__all__ = ["EnergyNetwork", "fit_energy_network"]
