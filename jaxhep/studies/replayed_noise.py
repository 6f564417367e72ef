r"""Published flows learned from their own noise: what a family of flows reaches when nothing is left to chance.

From 32 000 places alone, or with the exact ln p there, a flow of five columns is known to a few hundredths of a nat
(`known_densities`). The draws of the WET and ATLAS flows (arXiv:2502.09494) are x = g(z) with normal z from a known key
of JAX, so that the noise can be replayed: from the pairs (z, x) a flow can be taught the map itself, and not only its
density. `python -m jaxhep.studies.replayed_noise` does so.
"""

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Key
from ..densities._arguments import check_sizes
from ..densities.bijections import Affine, AffineSplineTransformer, SoftplusAffineTransformer, SplineTransformer
from ..densities.flows import Flow, Normal
from ..densities.mixture import Mixture
from ..densities.preprocessing import PreprocessedTractableDensity, preprocess
from ..training import TrainingSettings
from .known_densities import Score, compare, fit_flow, read_published


class Recipe(NamedTuple):
    """How a published flow is learned."""

    order: tuple[int, ...]
    """Number of the column of x that each latent is paired with."""
    members: int
    flow: Mapping[str, Any]
    """Arguments of `autoregressive_flow`."""
    settings: TrainingSettings
    likelihood: float = 0.0
    """Of the `MapLoss`."""


RECIPES: dict[str, Recipe] = {
    # The published flow: two affine layers with the columns in reverse between them (found by regression, layer by
    # layer). A little narrower, two of them together have fewer numbers than its 37,041. About 50 s a flow on one core.
    "wet": Recipe(
        (4, 3, 2, 1, 0),
        2,
        {"num_layers": 2, "width": 62, "depth": 3, "transformer": SoftplusAffineTransformer(), "activation": "relu",
         "permutation": "reverse"},
        TrainingSettings(batch_size=256, epochs=400, learning_rate=4e-3, clip_norm=5.0, ema=0.999, warmup_steps=200),
    ),
    # Published: eight spline layers in random orders that are not known. The correlations of the latents with columns
    # (0.95, 0.96, 0.97, 0.81, 0.69) leave one pairing. About six minutes a flow on one core.
    "atlas": Recipe(
        (4, 0, 1, 3, 2),
        4,
        {"num_layers": 4, "width": 128, "depth": 2, "activation": "gelu", "permutation": "reverse",
         "transformer": AffineSplineTransformer(SoftplusAffineTransformer(1e-3), SplineTransformer(16))},
        TrainingSettings(batch_size=256, epochs=300, learning_rate=4e-3, clip_norm=5.0, ema=0.999, warmup_steps=200),
        likelihood=0.1,
    ),
}  # fmt: skip
"""How each published flow is learned here."""


def replayed_latents(num_events: int, dim: int = 5, seed: int = 1) -> np.ndarray:
    """The normal variates behind the reference draws: one key an event, split from `seed`.

    They were drawn with JAX 0.4.30, whose keys split in the older of JAX's two layouts; it is asked for here, whatever
    the session's is.

    **Returns** an array (event, dim), float32.

    >>> from jaxhep.studies.replayed_noise import replayed_latents
    >>> replayed_latents(3).shape
    (3, 5)
    """
    with jax.threefry_partitionable(False):
        keys = jax.random.split(jax.random.key(seed), num_events)
        return np.asarray(jax.vmap(lambda key: jax.random.normal(key, (dim,), jnp.float32))(keys))


@dataclasses.dataclass(frozen=True)
class MapLoss:
    r"""\(|f^{-1}(x)-z|^2+\sqrt{1+\Delta^2}-1-a\Delta\): the latent of x against the noise z behind it, and
    \(\Delta=\ln q-\ln p\).

    The columns of an event: "x", "z" and "log_p".

    **Arguments**: `order`, whose k-th number is the column of the base that \(z_k\) is compared with: that of a flow's
    base is free; `likelihood`, a as in `ValueLoss`.
    """

    order: tuple[int, ...]
    likelihood: float = 0.0

    def __call__(self, model: PreprocessedTractableDensity, event: Any, key: Key) -> Any:
        """The loss of one event."""
        inner, outer_log = model.events.inverse(event["x"])
        flow: Any = model.density
        latent, log = flow.bijection.inverse(inner)
        delta = flow.base.log_prob(latent) + log + outer_log - event["log_p"]
        distance = jnp.sum((latent[np.array(self.order)] - event["z"]) ** 2)
        return distance + jnp.sqrt(1 + delta**2) - 1 - self.likelihood * delta


def defended(members: Sequence[PreprocessedTractableDensity], share: float = 3e-4, widening: float = 1.5) -> Mixture:
    r"""\((1-\epsilon)q+\epsilon b\): the members in equal parts, q, and a broad normal b around all events.

    An affine flow far from all events it has seen can be wrong by hundreds of nats: \(-\ln\epsilon\) and the broad
    density bound that, for ε nats elsewhere.

    **Arguments**: `members`, with their preprocessing, of which the first one's places b; `share` ε; `widening`, the
    width of b in standard deviations.
    """
    dim = members[0].dim
    broad = Flow(Normal(dim), Affine(jnp.zeros(dim), jnp.full(dim, math.log(widening))))
    equal = [(1 - share) / len(members)] * len(members)
    return Mixture([*members, preprocess(broad, members[0].events)], [*equal, share])


def learn_map(
    x: np.ndarray, latents: np.ndarray, log_p: np.ndarray, key: Key, recipe: Recipe = RECIPES["wet"]
) -> PreprocessedTractableDensity:
    """A standardised autoregressive flow taught from events, the noise behind them, and their exact ln p.

    **Arguments**: `x` and `latents`, shape (event, dim); `log_p` (event,); `key`; `recipe`.

    **Raises** `ValueError` for shapes that do not belong together.
    """
    if np.shape(x) != np.shape(latents) or np.shape(log_p) != np.shape(x)[:1]:
        raise ValueError(
            f"each event needs its latent and its ln p, got x of shape {np.shape(x)}, latents of shape "
            f"{np.shape(latents)} and log_p of shape {np.shape(log_p)}"
        )
    if sorted(recipe.order) != list(range(np.shape(x)[1])):
        raise ValueError(f"the order of {np.shape(x)[1]} latents names each column once, got {recipe.order}")
    known, loss = {"z": latents, "log_p": log_p}, MapLoss(recipe.order, recipe.likelihood)
    return fit_flow(x, key, recipe.settings, validation=None, loss=loss, columns=known, **recipe.flow)


def replay(
    folder: str | Path,
    name: str,
    *,
    num_train: int | None = None,
    num_held_out: int = 8000,
    recipe: Recipe | None = None,
    seed: int = 0,
    on_member: Callable[[int], None] | None = None,
) -> Score:
    """A published density: learned from all but the last `num_held_out` draws, compared on those.

    **Arguments**: `folder` and `name` as for `read_published`; `num_train`, draws to learn from, by default all that
    are not held out; `num_held_out`; `recipe`, by default that of `RECIPES`; `seed`; `on_member`, called with the
    number of flows done.

    **Raises** `ValueError` for an unknown name, or for more draws than there are besides those held out.
    """
    x, log_p = read_published(folder, name)
    recipe = RECIPES[name] if recipe is None else recipe
    check_sizes(members=recipe.members)
    first_held_out = len(x) - num_held_out
    count = first_held_out if num_train is None else num_train
    if not 0 < count <= first_held_out:
        raise ValueError(f"num_train is 1 … {first_held_out}, the draws that are not held out, got {count}")
    start = time.perf_counter()
    known = x[:count], replayed_latents(len(x))[:count], log_p[:count]
    flows: list[PreprocessedTractableDensity] = []
    for key in jax.random.split(jax.random.key(seed), recipe.members):
        flows.append(learn_map(*known, key, recipe))
        if on_member is not None:
            on_member(len(flows))
    shown = np.r_[:count, first_held_out : len(x)]
    seconds = time.perf_counter() - start
    return compare(f"{name} from its noise", defended(flows), x[shown], log_p[shown], count, seconds)


def main(arguments: Sequence[str] | None = None, show: Callable[[str], Any] = print) -> None:
    """Runs the study: `python -m jaxhep.studies.replayed_noise wet atlas --folder …`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["wet"], help=f"of {', '.join(RECIPES)}; by default wet")
    parser.add_argument("--folder", default="../shared/reference/nabu")
    parser.add_argument("--epochs", type=int, help="passes over the draws")
    parser.add_argument("--members", type=int, help="flows to train, whose mixture is compared")
    parser.add_argument("--train", type=int, help="draws to learn from")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in RECIPES]
    if unknown:
        parser.error(f"there is no published flow {unknown[0]!r}, known are {', '.join(RECIPES)}")
    for name in options.names:
        recipe = RECIPES[name]
        if options.epochs is not None:
            recipe = recipe._replace(settings=dataclasses.replace(recipe.settings, epochs=options.epochs))
        if options.members is not None:
            recipe = recipe._replace(members=options.members)

        def report(done: int, name: str = name, members: int = recipe.members) -> None:
            sys.stderr.write(f"{name}: flow {done} of {members} trained\n")

        result = replay(
            options.folder, name, num_train=options.train, recipe=recipe, seed=options.seed, on_member=report
        )
        show(str(result))


__all__ = ["RECIPES", "MapLoss", "Recipe", "defended", "learn_map", "main", "replay", "replayed_latents"]

if __name__ == "__main__":
    main()
