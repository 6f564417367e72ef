r"""Cross-validated log-likelihood of small data sets, against a published flow on the same events.

Each event is scored by flows that have not seen it; all differences are paired, event by event. The density of a fold
is the mean of a few flows, each stopped early on a split of its own. `python -m jaxhep.studies.cross_validation`
runs it on the B⁺ → D⁺D⁻K⁺ candidates of arXiv:2502.09494 in square-Dalitz coordinates.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._types import Key
from ..densities.flows import autoregressive_flow
from ..densities.mixture import Mixture
from ..training import Dataset, TrainingSettings, density_loss, fit
from .known_densities import log_probs

SETTINGS = TrainingSettings(batch_size=128, epochs=150, learning_rate=3e-3, weight_decay=0.03, patience=25)
"""Settings of one flow."""
FLOW = {"base": "uniform", "num_layers": 2, "num_bins": 6, "width": 24, "depth": 2}
"""Sizes of one flow, on the unit box."""


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """Mean ln q of two densities over the same events.

    **Fields**: `name`; `ours`, `other`, the means; `difference` with its paired `error`; `num_events`.
    """

    name: str
    ours: float
    other: float
    difference: float
    error: float
    num_events: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.name}: {self.ours:.4f} against {self.other:.4f}, difference {self.difference:+.4f} ± "
            f"{self.error:.4f} nats over {self.num_events} events"
        )


def paired(name: str, ours: np.ndarray, other: np.ndarray) -> PairedDifference:
    """The difference of two sets of log densities of the same events.

    >>> import numpy as np
    >>> from jaxhep.studies.cross_validation import paired
    >>> print(paired("a", np.array([1.0, 2.0]), np.array([0.0, 1.0])))
    a: 1.5000 against 0.5000, difference +1.0000 ± 0.0000 nats over 2 events
    """
    ours, other = np.asarray(ours, float), np.asarray(other, float)
    if ours.shape != other.shape or ours.ndim != 1 or len(ours) < 2:
        raise ValueError(f"two log densities of the same events are compared, got shapes {ours.shape}, {other.shape}")
    gap = ours - other
    error = float(gap.std(ddof=1) / math.sqrt(len(gap)))
    return PairedDifference(name, float(ours.mean()), float(other.mean()), float(gap.mean()), error, len(gap))


def bagged_log_prob(
    train: np.ndarray,
    test: np.ndarray,
    key: Key,
    *,
    num_members: int = 3,
    settings: TrainingSettings = SETTINGS,
    **flow: Any,
) -> np.ndarray:
    r"""ln of the mean density of a few flows, \(\ln\frac1M\sum_mq_m(x)\), at events that none of them has seen.

    **Arguments**: `train`, `test`, shape (event, dim), in the unit box; `key`; `num_members` M, each with weights and a
    validation split (15 %) of its own; `settings`; `flow`, changes to `FLOW`.
    """
    data = Dataset({"x": np.asarray(train, np.float32)})
    members = []
    for member in jax.random.split(key, num_members):
        first, second = jax.random.split(member)
        model = autoregressive_flow(train.shape[1], key=first, **{**FLOW, **flow})
        result = fit(model, density_loss(), data, key=second, settings=settings, validation=0.15)
        members.append(result.model)
    return log_probs(Mixture(members), test, chunk=1024)


def cross_validate(x: np.ndarray, key: Key, *, num_folds: int = 5, **options: Any) -> np.ndarray:
    """ln q of every event by flows trained on the other folds.

    **Arguments**: `x`, shape (event, dim), in the unit box; `key`; `num_folds`; `options` of `bagged_log_prob`.
    """
    if not 2 <= num_folds <= len(x):
        raise ValueError(f"num_folds lies between 2 and {len(x)}, got {num_folds}")
    order = np.random.default_rng(0).permutation(len(x))
    scores = np.full(len(x), np.nan)
    for i, fold in enumerate(np.array_split(order, num_folds)):
        rest = np.setdiff1d(order, fold)
        scores[fold] = bagged_log_prob(x[rest], x[fold], jax.random.fold_in(key, i), **options)
    return scores


def main(arguments: Sequence[str] | None = None, show: Callable[[str], Any] = print) -> None:
    """The published split, then all events cross-validated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="../shared/reference/nabu")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--members", type=int, default=3)
    options = parser.parse_args(arguments)
    folder = Path(options.folder)
    if not (folder / "lhcb-dataset.npz").exists():
        raise FileNotFoundError(f"{folder}/lhcb-dataset.npz does not exist; give the nabu reference with --folder")
    with np.load(folder / "lhcb-dataset.npz") as data, np.load(folder / "lhcb-model-evaluated.npz") as model:
        train, test = data["X_train"], data["X_test"]
        theirs_train, theirs_test = (model[f"log_prob_{part}"].astype(float) for part in ("train", "test"))
    key = jax.random.key(0)
    ours = bagged_log_prob(train, test, key, num_members=options.members)
    show(str(paired("published split, test", ours, theirs_test)))
    scores = cross_validate(np.concatenate([train, test]), key, num_folds=options.folds, num_members=options.members)
    both = np.concatenate([theirs_train, theirs_test])
    show(str(paired("cross-validated, all (the published flow has seen 740 of them)", scores, both)))
    show(str(paired("cross-validated, its test events", scores[len(train) :], theirs_test)))
    error = scores.std(ddof=1) / math.sqrt(len(scores))
    show(f"cross-validated mean ln q = {scores.mean():.4f} ± {error:.4f} nats per event, {len(scores)} events")


__all__ = [
    "FLOW",
    "SETTINGS",
    "PairedDifference",
    "bagged_log_prob",
    "cross_validate",
    "main",
    "paired",
]

if __name__ == "__main__":
    main()
