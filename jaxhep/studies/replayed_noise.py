r"""A published flow learned from its own noise: what a family of flows reaches when nothing is left to chance.

From 32 000 places alone, or with the exact ln p there, a flow of five columns is known to a few hundredths of a nat
(`known_densities`). The draws of the WET flow (arXiv:2502.09494) are x = g(z) with normal z from a known key of JAX, so
that the noise can be replayed: from the pairs (z, x) a flow can be taught the map itself, and not its density only.
`python -m jaxhep.studies.replayed_noise` does so.
"""

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Key
from ..densities._arguments import check_sizes
from ..densities.bijections import Affine, SoftplusAffineTransformer
from ..densities.flows import Flow, Normal
from ..densities.mixture import Mixture
from ..densities.preprocessing import PreprocessedTractableDensity, preprocess
from ..training import TrainingSettings
from .known_densities import Score, compare, fit_flow, read_published

SHAPE: dict[str, Any] = {
    "num_layers": 2, "width": 62, "depth": 3, "transformer": SoftplusAffineTransformer(), "activation": "relu",
    "permutation": "reverse",
}  # fmt: skip
"""The published WET flow, two affine layers with the columns in reverse between them, a little narrower: two such flows
together have fewer numbers than its 37,041."""

SETTINGS = TrainingSettings(
    batch_size=256, epochs=400, learning_rate=4e-3, clip_norm=5.0, ema=0.999, warmup_steps=200
)  # fmt: skip
"""Settings of the default run, about 40 s a flow on one core."""


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
    r"""\(|f^{-1}(x)-z|^2+\sqrt{1+\Delta^2}-1\): the latent of x against the noise z behind it, and
    \(\Delta=\ln q-\ln p\).

    The order of the base's columns is free; the published flow counts them from the other end. The columns of an event:
    "x", "z" and "log_p".
    """

    def __call__(self, model: PreprocessedTractableDensity, event: Any, key: Key) -> Any:
        """The loss of one event."""
        inner, outer_log = model.events.inverse(event["x"])
        flow: Any = model.density
        latent, log = flow.bijection.inverse(inner)
        delta = flow.base.log_prob(latent) + log + outer_log - event["log_p"]
        return jnp.sum((latent[::-1] - event["z"]) ** 2) + jnp.sqrt(1 + delta**2) - 1


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
    x: np.ndarray, latents: np.ndarray, log_p: np.ndarray, key: Key, settings: TrainingSettings = SETTINGS, **flow: Any
) -> PreprocessedTractableDensity:
    """A standardised autoregressive flow taught from events, the noise behind them, and their exact ln p.

    **Arguments**: `x` and `latents`, shape (event, dim); `log_p` (event,); `key`; `settings`; `flow`, arguments of
    `autoregressive_flow`, by default those of `SHAPE`.
    """
    if np.shape(x) != np.shape(latents) or np.shape(log_p) != np.shape(x)[:1]:
        raise ValueError(
            f"each event needs its latent and its ln p, got x of shape {np.shape(x)}, latents of shape "
            f"{np.shape(latents)} and log_p of shape {np.shape(log_p)}"
        )
    known = {"z": latents, "log_p": log_p}
    return fit_flow(x, key, settings, validation=None, loss=MapLoss(), columns=known, **{**SHAPE, **flow})


def wet(
    folder: str | Path,
    *,
    num_held_out: int = 8000,
    settings: TrainingSettings = SETTINGS,
    members: int = 2,
    seed: int = 0,
) -> Score:
    """The published WET density: learned from all but the last `num_held_out` draws, compared on those.

    **Arguments**: `folder` as for `read_published`; `num_held_out`; `settings`; `members`, flows to train; `seed`.
    """
    check_sizes(members=members)
    x, log_p = read_published(folder, "wet")
    num_train = len(x) - num_held_out
    start = time.perf_counter()
    known = x[:num_train], replayed_latents(len(x))[:num_train], log_p[:num_train]
    flows = [learn_map(*known, key, settings) for key in jax.random.split(jax.random.key(seed), members)]
    return compare("wet from its noise", defended(flows), x, log_p, num_train, time.perf_counter() - start)


def main(arguments: Sequence[str] | None = None, show: Callable[[str], Any] = print) -> None:
    """Runs the study: `python -m jaxhep.studies.replayed_noise --folder …`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="../shared/reference/nabu")
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    settings = dataclasses.replace(SETTINGS, epochs=options.epochs)
    show(str(wet(options.folder, settings=settings, members=options.members, seed=options.seed)))


__all__ = ["SETTINGS", "SHAPE", "MapLoss", "defended", "learn_map", "main", "replayed_latents", "wet"]

if __name__ == "__main__":
    main()
