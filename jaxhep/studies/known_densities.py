r"""Flows against densities that are known: how many nats are lost, on events that the fit has not seen.

The figure of merit is \(\mathrm{KL}(p\Vert q)=\langle\ln p-\ln q\rangle\) over held-out events of p; both logarithms
are of the same events, so that its error is that of the paired difference. `python -m jaxhep.studies.known_densities`
runs all of them.

Two ways of learning. From the events alone, by maximum likelihood: K parameters that matter cost about K/2N nats for N
events, whatever the family. Or from the exact values of ln p at the training events (`ValueLoss`): they have no noise,
so that the loss that remains is what the family cannot express.
"""

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Key
from ..densities import AbstractTractableDensity
from ..densities._arguments import check_sizes
from ..densities.flows import autoregressive_flow
from ..densities.mixture import Mixture
from ..densities.preprocessing import PreprocessedTractableDensity, fit_preprocessing, preprocess
from ..training import Dataset, TrainingSettings, density_loss, fit


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean of ln p − ln q over held-out events, its standard error, and the size of q.

    **Fields**: `name`; `loss_nats`, `error`; `train_nats`, the same over training events, lower by the overfit;
    `num_parameters`; `num_events`, held out; `seconds` of the fit.
    """

    name: str
    loss_nats: float
    error: float
    train_nats: float
    num_parameters: int
    num_events: int
    seconds: float

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.name}: ln p − ln q = {self.loss_nats:.4f} ± {self.error:.4f} nats on {self.num_events:,} events "
            f"not used ({self.train_nats:.4f} on those used), {self.num_parameters:,} parameters, {self.seconds:.0f} s"
        )


def _banana(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = u[:, 0]
    y = 0.5 * u[:, 1] + 0.7 * (x**2 - 1)
    return np.stack([x, y], 1), -0.5 * (u**2).sum(1) - math.log(2 * math.pi * 0.5)


def _ring(u: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    radius = np.abs(2.0 + 0.3 * u[:, 0])
    angle = rng.uniform(0, 2 * math.pi, len(u))
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    log_radius = np.logaddexp(-0.5 * ((radius - 2) / 0.3) ** 2, -0.5 * ((radius + 2) / 0.3) ** 2)
    return x, log_radius - math.log(0.3 * math.sqrt(2 * math.pi)) - np.log(2 * math.pi * radius)


def _eight(u: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    angles = np.arange(8) * math.pi / 4
    centres = 2.0 * np.stack([np.cos(angles), np.sin(angles)], 1)
    width = 0.35
    x = centres[rng.integers(0, 8, len(u))] + width * u
    square = ((x[:, None] - centres) ** 2).sum(-1) / width**2
    logs = -0.5 * square - math.log(8 * 2 * math.pi * width**2)
    return x, np.logaddexp.reduce(logs, axis=1)


def target(name: str, num_events: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Events of a two-dimensional density and their exact ln p.

    **Arguments**: `name`, one of `TARGETS`; `num_events`; `seed`.

    **Returns** events (event, 2) and ln p (event,), float64.

    >>> from jaxhep.studies.known_densities import target
    >>> target("banana", 5, 0)[0].shape
    (5, 2)
    """
    if name not in TARGETS:
        raise ValueError(f"there is no target {name!r}, known are {', '.join(TARGETS)}")
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(num_events, 2))
    return _banana(u) if name == "banana" else {"ring": _ring, "eight gaussians": _eight}[name](u, rng)


TARGETS = ("banana", "ring", "eight gaussians")
"""Names of the two-dimensional densities."""


def log_probs(density: AbstractTractableDensity, x: np.ndarray, chunk: int = 4096) -> np.ndarray:
    """ln q of many events in chunks of one shape, as float64.

    **Arguments**: `density`; `x`, shape (event, dim); `chunk`, events a call.
    """
    run = eqx.filter_jit(lambda model, part: jax.vmap(model.log_prob)(part))
    parts = []
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        padded = np.concatenate([part, np.repeat(part[-1:], chunk - len(part), axis=0)])
        parts.append(np.asarray(run(density, jnp.asarray(padded, jnp.float32)), float)[: len(part)])
    return np.concatenate(parts)


@dataclasses.dataclass(frozen=True)
class ValueLoss:
    r"""\(\sqrt{1+\Delta^2}-1-a\Delta\) with \(\Delta=\ln q(x)-\ln p(x)\), the exact ln p in the column "log_p".

    Near Δ = 0 the mean over p of the first two terms is the Kullback–Leibler divergence to second order; large Δ count
    linearly. They hardly see mass that q puts where no event lies, as that lowers all Δ by a little; the likelihood,
    the last term, sees it in the first order.

    **Arguments**: `likelihood`, a in [0, 1).
    """

    likelihood: float = 0.0

    def __post_init__(self) -> None:
        """Checks a: from 1 on the loss has no lower bound."""
        if not 0 <= self.likelihood < 1:
            raise ValueError(f"likelihood is in [0, 1), got {self.likelihood}")

    def __call__(self, model: Any, event: Any, key: Key) -> Any:
        """The loss of one event."""
        delta = model.log_prob(event["x"]) - event["log_p"]
        return jnp.sqrt(1 + delta**2) - 1 - self.likelihood * delta


def fit_flow(
    x: np.ndarray, key: Key, settings: TrainingSettings, validation: float | None = 0.1, loss: Any = None,
    columns: Mapping[str, np.ndarray] | None = None, **flow: Any,
) -> PreprocessedTractableDensity:  # fmt: skip
    """A standardised autoregressive flow trained on events; the averaged model where the settings ask for one.

    **Arguments**: `x`, shape (event, dim); `key`; `settings`; `validation`, the share held out to choose the epoch;
    `loss`, by default −ln q, and the `columns` that it reads besides "x"; `flow`, arguments of `autoregressive_flow`.
    """
    first, second = jax.random.split(key)
    model = preprocess(autoregressive_flow(x.shape[1], key=first, **flow), fit_preprocessing(x))
    data = Dataset({name: np.asarray(one, np.float32) for name, one in {"x": x, **(columns or {})}.items()})
    result = fit(model, loss or density_loss(), data, key=second, settings=settings, validation=validation)
    chosen: PreprocessedTractableDensity = result.ema if settings.ema else result.model
    return chosen


def count(model: Any) -> int:
    """Numbers in the trained leaves of the flow of `fit_flow`, or of all flows of a mixture."""
    if isinstance(model, Mixture):
        return sum(count(member) for member in model.members)
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model.density.bijection, eqx.is_inexact_array)))


def score(
    name: str, x: np.ndarray, log_p: np.ndarray, num_train: int, key: Key, settings: TrainingSettings,
    values: bool = False, likelihood: float = 0.0, members: int = 1, **flow: Any,
) -> tuple[Score, AbstractTractableDensity]:  # fmt: skip
    """Trains on the first `num_train` events, from their exact ln p if `values`, and compares on the others.

    **Arguments** besides: `likelihood` of the `ValueLoss`; `members`, flows with keys of their own, whose `Mixture` is
    compared; `flow`, what `fit_flow` takes.

    **Returns** the `Score` and the trained density.
    """
    check_sizes(members=members)
    start = time.perf_counter()
    if likelihood and not values:
        raise ValueError("likelihood is a share in learning from exact values; give values=True (--values), too")
    if values:
        flow |= {"loss": ValueLoss(likelihood), "columns": {"log_p": log_p[:num_train]}}
    keys = [key] if members == 1 else list(jax.random.split(key, members))
    flows = [fit_flow(x[:num_train], one, settings, **flow) for one in keys]
    model: AbstractTractableDensity = flows[0] if members == 1 else Mixture(flows)
    return compare(name, model, x, log_p, num_train, time.perf_counter() - start), model


def compare(
    name: str, model: AbstractTractableDensity, x: np.ndarray, log_p: np.ndarray, num_train: int, seconds: float
) -> Score:
    """ln p − ln q of a density that has seen the first `num_train` events: its mean over the others, and over these."""
    difference = log_p[num_train:] - log_probs(model, x[num_train:])
    error = float(difference.std(ddof=1) / math.sqrt(len(difference)))
    used = float(np.mean(log_p[:num_train] - log_probs(model, x[:num_train])))
    return Score(name, float(difference.mean()), error, used, count(model), len(difference), seconds)


PUBLISHED: dict[str, tuple[int, dict[str, Any]]] = {
    "wet": (37_041, {"num_layers": 2, "num_bins": 8, "width": 48, "depth": 2, "transformer": "affine spline"}),
    "atlas": (1_603_153, {"num_layers": 3, "num_bins": 12, "width": 64, "depth": 2, "transformer": "affine spline"}),
}
"""Parameters of the published flow, and ours, by name of the sample (arXiv:2502.09494)."""


def read_published(folder: str | Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The draws (event, 5) of a published density and their exact ln p (event,), float64.

    **Arguments**: `folder` with the files `<name>-model-samples-40k.npz`; `name`, one of `PUBLISHED`.

    **Raises** `ValueError` for another name, `FileNotFoundError`.
    """
    if name not in PUBLISHED:
        raise ValueError(f"the published densities are {', '.join(PUBLISHED)}, not {name!r}")
    file = Path(folder) / f"{name}-model-samples-40k.npz"
    if not file.exists():
        raise FileNotFoundError(f"{file} does not exist; the folder must hold the nabu reference samples")
    with np.load(file) as data:
        return data["x"].astype(float), data["log_prob"].astype(float)


def published(
    folder: str | Path, name: str, *, num_held_out: int = 8000, settings: TrainingSettings | None = None, seed: int = 0,
    **changes: Any,
) -> Score:  # fmt: skip
    """One of the two published five-dimensional densities, by its 40 000 draws with exact ln p.

    **Arguments**: `folder` and `name` as for `read_published`; `num_held_out`; `settings`; `seed`; `changes` to the
    flow's sizes, and what else `score` takes.
    """
    x, log_p = read_published(folder, name)
    sizes = {**PUBLISHED[name][1], **changes}
    settings = settings or SETTINGS
    return score(name, x, log_p, len(x) - num_held_out, jax.random.key(seed), settings, **sizes)[0]


SETTINGS = TrainingSettings(batch_size=512, epochs=40, learning_rate=3e-3, clip_norm=5.0, ema=0.999, warmup_steps=100)
"""Settings of the large samples."""


def main(arguments: Sequence[str] | None = None, show: Callable[[str], Any] = print) -> None:
    """Runs the study: `python -m jaxhep.studies.known_densities wet atlas banana … --folder …`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[*PUBLISHED, *TARGETS])
    parser.add_argument("--folder", default="../shared/reference/nabu")
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--batch-size", type=int, default=SETTINGS.batch_size)
    parser.add_argument("--learning-rate", type=float, default=SETTINGS.learning_rate)
    parser.add_argument("--values", action="store_true", help="learn from the exact ln p of the training events")
    parser.add_argument("--likelihood", type=float, help="share of the likelihood in learning from values, below 1")
    parser.add_argument("--members", type=int, help="flows to train, whose mixture is compared")
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--width", type=int)
    parser.add_argument("--depth", type=int)
    parser.add_argument("--activation")
    parser.add_argument("--permutation", choices=("random", "reverse", "lu"))
    parser.add_argument("--transformer")
    parser.add_argument("--validation", type=float)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--bins", type=int)
    options = parser.parse_args(arguments)
    settings = dataclasses.replace(
        SETTINGS, epochs=options.epochs, batch_size=options.batch_size, learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
    )  # fmt: skip
    given = {
        "width": options.width,
        "depth": options.depth,
        "activation": options.activation,
        "likelihood": options.likelihood,
        "members": options.members,
        "num_layers": options.layers,
        "num_bins": options.bins,
        "permutation": options.permutation,
        "transformer": options.transformer,
        "validation": options.validation,
    }
    changes = {name: value for name, value in given.items() if value is not None} | {"values": options.values}
    for name in options.names:
        if name in PUBLISHED:
            show(str(published(options.folder, name, settings=settings, **changes)))
        else:
            x, log_p = target(name, 40_000, 1)
            sizes = {"num_layers": 3, "num_bins": 12, "width": 48, "depth": 2, **changes}
            show(str(score(name, x, log_p, 32_000, jax.random.key(0), settings, **sizes)[0]))


__all__ = [
    "PUBLISHED",
    "SETTINGS",
    "TARGETS",
    "Score",
    "ValueLoss",
    "compare",
    "count",
    "fit_flow",
    "log_probs",
    "main",
    "published",
    "read_published",
    "score",
    "target",
]

if __name__ == "__main__":
    main()
