"""The densities that `jaxhep train` can learn, by the name of their family, and how each is trained."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from .._types import Key, Scalar
from ..densities import AbstractDensity
from ..densities.preprocessing import PreprocessedDensity
from ..training import Objective, density_loss

Builder = Callable[[int, int, Any, dict[str, Any]], AbstractDensity]


def _flow(dim: int, condition_dim: int, key: Any, options: dict[str, Any]) -> AbstractDensity:
    from ..densities.flows import make_flow

    return make_flow(options.pop("preset", "coupling"), dim, condition_dim, key=key, **options)


def _diffusion(path: str) -> Builder:
    def build(dim: int, condition_dim: int, key: Any, options: dict[str, Any]) -> AbstractDensity:
        from ..densities import diffusion
        from ..networks import make_network

        sizes: dict[str, Any] = {"in_size": dim, "out_size": dim, "condition_size": condition_dim}
        network = make_network(options.pop("network", "diffusion"), **sizes, key=key, **options)
        made: Any = diffusion.Diffusion
        return made(network, dim=dim, condition_dim=condition_dim, path=getattr(diffusion, path)())

    return build


def _take(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those of the options that are there, taken out."""
    return {name: options.pop(name) for name in names if name in options}


def _networks(key: Any, condition_dim: int, options: dict[str, Any], *sizes: tuple[int, int]) -> list[Any]:
    """Two networks of one architecture, with inputs and outputs of the given sizes."""
    import jax

    from ..networks import make_network

    name = options.pop("network", "mlp")
    return [
        make_network(
            name, in_size=i, out_size=o, condition_size=condition_dim, key=jax.random.fold_in(key, n), **options
        )
        for n, (i, o) in enumerate(sizes)
    ]


def _vae(dim: int, condition_dim: int, key: Any, options: dict[str, Any]) -> AbstractDensity:
    from ..densities.autoencoders import VAE

    latent = options.pop("latent_dim", dim)
    own = _take(options, "beta", "free_bits")
    encoder, decoder = _networks(key, condition_dim, options, (dim, 2 * latent), (latent, dim))
    return VAE(encoder, decoder, dim, latent, condition_dim, **own)


def _gan(dim: int, condition_dim: int, key: Any, options: dict[str, Any]) -> AbstractDensity:
    from ..densities.adversarial import ConditionalGAN

    latent = options.pop("latent_dim", max(dim, 8))
    own = _take(options, "game", "penalty", "on_generated")
    generator, critic = _networks(key, condition_dim, options, (latent, dim), (dim, 1))
    return ConditionalGAN(generator, critic, dim, latent, condition_dim, **own)


FAMILIES: dict[str, Builder] = {
    "flow": _flow,
    "flow_matching": _diffusion("FlowMatching"),
    "edm": _diffusion("EDM"),
    "vp": _diffusion("VariancePreserving"),
    "vae": _vae,
    "gan": _gan,
}
"""Family → builder(dim, condition_dim, key, options).

`flow` takes `preset` and the options of `make_flow`; the others `network` and the options of `make_network`, `vae` also
`latent_dim`, `beta` and `free_bits`, `gan` also `latent_dim`, `game`, `penalty` and `on_generated`.
"""


@dataclasses.dataclass(frozen=True)
class InnerLoss:
    """The loss of a density at the preprocessed event and condition, for densities with several losses."""

    loss: Callable[[Any, Any, Key], Scalar]

    def __call__(self, model: PreprocessedDensity, event: Any, key: Key) -> Scalar:
        """The loss of one event."""
        x, condition = model.standardised(event["x"], event.get("c"), key)
        inner = {"x": x} if condition is None else {"x": x, "c": condition}
        return self.loss(model.density, inner, key)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a density is trained, as arguments of `fit`.

    **Fields**: `loss`; `trainable`; `monitored`: whether the loss of held-out events says which epoch was best.
    """

    loss: Any
    trainable: dict[str, Any] | None = None
    monitored: bool = True


def recipe(density: AbstractDensity, conditional: bool) -> Recipe:
    """The recipe of a density with its preprocessing.

    The loss of a player says nothing about how good a game's generator is: its last epoch is taken.
    """
    from ..densities.adversarial import ConditionalGAN

    inner = getattr(density, "density", None)
    if not isinstance(inner, ConditionalGAN):
        return Recipe(density_loss(conditional=conditional))
    players: Sequence[Objective] = inner.objectives(conditional)
    loss = [dataclasses.replace(player, loss=InnerLoss(player.loss)) for player in players]
    return Recipe(loss, {f"density.{path}": label for path, label in inner.trainable.items()}, monitored=False)


__all__ = ["FAMILIES", "InnerLoss", "Recipe", "recipe"]
