"""Classifier two-sample test: the area under the ROC curve of held-out scores, with its null distribution."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Key
from ._measures import bootstrapped, check_pair, check_replicas, check_sample, effective_sample_size, normalised
from ._result import Metric

Scorer = Callable[[Array], Array]
Fit = Callable[..., Scorer]


@partial(jax.jit, static_argnames="num_replicas")
def _area(x: Array, y: Array, x_weights: Array, y_weights: Array, key: Key, num_replicas: int) -> Metric:
    p, q = normalised(x_weights), normalised(y_weights)
    first, second = jax.random.split(key)
    p_rows = jnp.concatenate([p[None], bootstrapped(first, p, num_replicas)])
    q_rows = jnp.concatenate([q[None], bootstrapped(second, q, num_replicas)])
    order = jnp.argsort(y)
    ranked = y[order]
    below, upto = jnp.searchsorted(ranked, x, side="left"), jnp.searchsorted(ranked, x, side="right")

    def one(rows: tuple[Array, Array]) -> Array:
        p, q = rows
        cumulative = jnp.concatenate([jnp.zeros(1, q.dtype), jnp.cumsum(q[order])])
        return jnp.sum(p * (cumulative[below] + cumulative[upto])) / 2

    areas = jax.lax.map(one, (p_rows, q_rows))
    n, m = effective_sample_size(p), effective_sample_size(q)
    spread = jnp.sqrt((n + m + 1) / (12 * n * m))
    return Metric(areas[0], jnp.std(areas[1:], ddof=1), jnp.full_like(spread, 0.5), spread)


def roc_area(
    x_scores: Float[Array, " event"],
    y_scores: Float[Array, " other"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    key: Key,
    num_replicas: int = 100,
) -> Metric:
    r"""The area under the ROC curve, \(P(s_x>s_y)+\frac12P(s_x=s_y)\), with its null distribution.

    For scores of one distribution it is 1/2 with variance \((N_1+N_2+1)/(12N_1N_2)\), exact for unit weights and a
    score fixed beforehand (H. Mann, D. Whitney, Ann. Math. Stat. 18 (1947) 50); with weights N is \(N_\mathrm{eff}\).

    **Arguments**: scores of held-out events of both samples, weights as for `wasserstein`; `key` and `num_replicas` of
    the bootstrap of the error.

    **Returns** a `Metric`. It is a sum over ranks: its derivative is zero.

    **Raises** `ValueError` for wrong shapes, NaN, or weights whose sum is not positive.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import roc_area
    >>> float(roc_area(jnp.array([0.5, 0.9]), jnp.array([0.1, 0.5]), key=jax.random.key(0)).value)
    0.875
    """
    p, q = check_pair(x_scores, y_scores, x_weights, y_weights)
    check_replicas(num_replicas)
    return _area(x_scores, y_scores, p, q, key, num_replicas)


def cross_fitted_scores(
    x: Float[Array, "event column"],
    y: Float[Array, "other column"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    fit: Fit,
    key: Key,
    folds: int = 2,
) -> tuple[Float[Array, " event"], Float[Array, " other"]]:
    """Scores of every event from a classifier that has not seen it, larger for events of x.

    **Arguments**

    - `x`, `y` and their weights, each normalised to the same sum before it enters the fit.
    - `fit`: called `folds` times as `fit(events, labels, weights, key=key)`, labels 1 for x and 0 for y; returns a
      function from events (event, column) to scores (event,).
    - `folds`: parts of the samples; each is scored by the fit to the others.

    **Returns** the scores of x and of y. Scores of different folds come from different classifiers: `two_sample_test`
    takes the area fold by fold. **Raises** `ValueError` as `wasserstein`, and for fewer than two folds.
    """
    out = _by_fold(x, y, x_weights, y_weights, fit, key, folds)
    scores = []
    for side, count in ((0, x.shape[0]), (1, y.shape[0])):
        scores.append(jnp.zeros(count, x.dtype))
        for fold in out:
            scores[side] = scores[side].at[fold[side]].set(fold[2 + side])
    return scores[0], scores[1]


def _by_fold(x: Array, y: Array, x_weights: Any, y_weights: Any, fit: Fit, key: Key, folds: int) -> list[tuple]:
    p, q = (np.asarray(w) for w in check_pair(x, y, x_weights, y_weights, columns=True))
    events, others = np.asarray(x), np.asarray(y)
    if not 2 <= folds <= min(x.shape[0], y.shape[0]) // 2:
        raise ValueError(f"folds must be at least 2 and leave two events in each, got {folds}")
    keys = jax.random.split(key, folds + 2)
    parts = [
        np.array_split(np.asarray(jax.random.permutation(k, n)), folds)
        for k, n in ((keys[0], x.shape[0]), (keys[1], y.shape[0]))
    ]
    out = []
    for i in range(folds):
        ours, theirs = (np.concatenate([part for j, part in enumerate(side) if j != i]) for side in parts)
        half = (ours.size + theirs.size) / 2
        w = np.concatenate([p[ours] * (half / p[ours].sum()), q[theirs] * (half / q[theirs].sum())])
        labels = np.repeat([1.0, 0.0], [ours.size, theirs.size]).astype(events.dtype)
        train = np.concatenate([events[ours], others[theirs]])
        score = fit(*(jnp.asarray(a) for a in (train, labels, w)), key=keys[i + 2])
        held_x, held_y = parts[0][i], parts[1][i]
        out.append((held_x, held_y, score(jnp.asarray(events[held_x])), score(jnp.asarray(others[held_y]))))
    return out


def two_sample_test(
    x: Float[Array, "event column"],
    y: Float[Array, "other column"],
    x_weights: Float[Array, " event"] | None = None,
    y_weights: Float[Array, " other"] | None = None,
    *,
    key: Key,
    fit: Fit | None = None,
    folds: int = 2,
    num_replicas: int = 100,
) -> Metric:
    r"""The classifier two-sample test: how well a classifier, cross-fitted, tells x from y.

    The mean over folds of `roc_area` on the held-out fold (D. Lopez-Paz, M. Oquab, arXiv:1610.06545; with weights, C.
    Krause et al., arXiv:2305.16774). 1/2 means that this classifier sees no difference; a stronger one might. The null
    variance takes the folds as independent, which they nearly are.

    **Arguments**: as for `cross_fitted_scores`; `fit` by default `fit_classifier`, a small network.

    **Returns** a `Metric` with floor 1/2. **Raises** as `cross_fitted_scores`.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.metrics import two_sample_test
    >>> x = jax.random.normal(jax.random.key(0), (400, 1))
    >>> direction = lambda events, labels, weights, key: lambda held: held[:, 0]
    >>> float(two_sample_test(x + 3, x, key=jax.random.key(1), fit=direction).value) > 0.9
    True
    """
    fit = fit_classifier if fit is None else fit
    p = np.asarray(check_sample("x", x, x_weights, columns=True))
    q = np.asarray(check_sample("y", y, y_weights, columns=True))
    first, second = jax.random.split(key)
    areas = []
    for i, (ours, theirs, scores, others) in enumerate(_by_fold(x, y, x_weights, y_weights, fit, first, folds)):
        own = jax.random.fold_in(second, i)
        w, v = jnp.asarray(p[ours]), jnp.asarray(q[theirs])
        areas.append(roc_area(scores, others, w, v, key=own, num_replicas=num_replicas).to_dict())
    error, spread = (np.sqrt(sum(a[name] ** 2 for a in areas)) / folds for name in ("error", "floor_spread"))
    value = np.mean([a["value"] for a in areas])
    return Metric(*(np.asarray(a) for a in (value, error, 0.5, spread)))


def fit_classifier(
    events: Float[Array, "event column"],
    labels: Float[Array, " event"],
    weights: Float[Array, " event"],
    *,
    key: Key,
    width: int = 64,
    epochs: int = 20,
) -> Scorer:
    r"""A small network that tells label 1 from label 0, fitted by the weighted cross-entropy.

    Two hidden layers on standardised columns, Adam, a fifth of the events held out to stop early. A ratio of densities
    is \(e^\mathrm{score}\) where it is well trained; for the two-sample test that does not matter.

    **Arguments**: as `cross_fitted_scores` calls it; `width` of the layers, `epochs` at most.

    **Returns** a function from events (event, column) to logits (event,).
    """
    from ..networks import make_network
    from ..training import Dataset, TrainingSettings, fit

    table = np.asarray(events)
    mean, spread = table.mean(axis=0), table.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    network = make_network("mlp", in_size=table.shape[1], out_size=1, width=width, depth=2, key=key)
    settings = TrainingSettings(batch_size=128, epochs=epochs, learning_rate=1e-2, patience=3)
    data = Dataset({"x": (table - mean) / spread, "label": np.asarray(labels)}, np.asarray(weights))
    model = fit(network, cross_entropy, data, key=key, settings=settings, validation=0.2).model
    run = jax.jit(lambda held: jax.vmap(model)((held - mean) / spread)[:, 0])
    return lambda held: run(held)


def cross_entropy(model: Any, event: Any, key: Key) -> Array:
    """The logistic loss of one event with columns `x` and `label`."""
    logit = model(event["x"])[0]
    return jax.nn.softplus(logit) - event["label"] * logit


__all__ = ["cross_fitted_scores", "fit_classifier", "roc_area", "two_sample_test"]
