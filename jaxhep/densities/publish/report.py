"""Whether a density is right, on events that it was not trained on."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Key
from ...metrics import effective_sample_size, kolmogorov_smirnov, latent_test, pearson, sliced_wasserstein
from .._base import AbstractDensity, AbstractTractableDensity

LEVELS = (0.5, 0.6827, 0.9, 0.9545)
"""Credibilities at which the coverage is quoted."""


@dataclasses.dataclass(frozen=True)
class ValidationReport:
    r"""Goodness of fit of a density on unseen events.

    **Fields**

    - `num_events`, `effective_events`: of the test sample, \(N_\mathrm{eff}=(\sum w)^2/\sum w^2\).
    - `mean_log_prob`, `mean_log_prob_error`: weighted mean in nats and its standard error; None without log_prob.
    - `latent`: for a flow, p-values `ks` and `pearson` of \(|z|^2\sim\chi^2(d)\), and the contents of ten bins of equal
      probability, relative to their expectation; None otherwise.
    - `coverage`: for each credibility the share of events inside the highest-density region and its error; None without
      log_prob.
    - `coverage_ks`: p-value that the credibility of the smallest region holding an event is U(0,1).
    - `float_gap`: largest difference of log p between float32 and float64.
    - `distance`: sliced Wasserstein distance of draws to the events, as value, error, floor and its spread.
    """

    num_events: int
    effective_events: float
    mean_log_prob: float | None = None
    mean_log_prob_error: float | None = None
    latent: dict[str, Any] | None = None
    coverage: list[list[float]] | None = None
    coverage_ks: float | None = None
    float_gap: float | None = None
    distance: dict[str, float] | None = None

    @property
    def p_values(self) -> dict[str, float]:
        """All p-values by name."""
        found = {} if self.latent is None else {f"latent {name}": self.latent[name] for name in ("ks", "pearson")}
        return found if self.coverage_ks is None else found | {"coverage KS": self.coverage_ks}

    @property
    def smallest_p(self) -> float | None:
        """The smallest p-value; with k tests a value of 0.05/k is as rare as 0.05 for one."""
        return min(self.p_values.values(), default=None)

    def rows(self) -> list[tuple[str, str]]:
        """Name and text of each number."""
        rows = [("test events", f"{self.num_events:,} (N_eff {self.effective_events:,.0f})")]
        if self.mean_log_prob is not None:
            rows.append(("mean log p", f"{self.mean_log_prob:.4f} ± {self.mean_log_prob_error:.4f} nats"))
        rows += [(f"p-value, {name}", f"{value:.3g}") for name, value in self.p_values.items()]
        for level, inside, error in self.coverage or ():
            rows.append((f"coverage of {100 * level:.4g} %", f"{100 * inside:.1f} ± {100 * error:.1f} %"))
        if self.float_gap is not None:
            rows.append(("float32 − float64", f"{self.float_gap:.2g} nats at most"))
        if self.distance is not None:
            d = self.distance
            text = f"{d['value']:.4g} ± {d['error']:.2g}, floor {d['floor']:.2g} ± {d['floor_spread']:.2g}"
            rows.append(("sliced W1 of draws", text))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """One line a number."""
        return "\n".join(f"{name}: {text}" for name, text in self.rows())


def latent_of(density: Any, x: Array, condition: Any = None) -> Array | None:
    """The standard normal latent of one event, if the density is a flow, with or without preprocessing; else None."""
    if hasattr(density, "events") and hasattr(density, "density"):
        inner = condition
        if condition is not None and density.conditions is not None:
            inner = density.conditions.inverse(condition)[0]
        return latent_of(density.density, density.events.inverse(x)[0], inner)
    if not hasattr(density, "latent"):
        return None
    base = type(density.base).__name__
    if base == "Normal":
        return density.latent(x, condition)
    if base == "Uniform":
        u = (density.latent(x, condition) - density.base.low) / (density.base.high - density.base.low)
        tiny = jnp.finfo(u.dtype).eps
        return jax.scipy.special.ndtri(jnp.clip(u, tiny, 1 - tiny))
    return None


def validate(
    density: AbstractDensity,
    x: np.ndarray,
    condition: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    *,
    key: Key,
    coverage_events: int = 1000,
    coverage_samples: int = 100,
) -> ValidationReport:
    r"""Tests a density on events that it was not trained on.

    Coverage: the credibility of the smallest highest-density region that holds event i is found as the rank of
    \(\log p(x_i\mid c_i)\) among draws at the same condition, which is uniform if the density is right (ties and the
    discreteness of the rank are spread evenly).

    **Arguments**

    - `density`: any; without log_prob only the distance of its draws is found.
    - `x`, `condition`, `weights`: the test events, (event, dim), (event, condition_dim), (event,).
    - `key`: key of the draws.
    - `coverage_events`, `coverage_samples`: events whose coverage is tested, and draws for each.

    **Returns** a `ValidationReport`.

    **Raises** `ValueError` for fewer than 20 events, or sizes that do not fit.
    """
    x = jnp.asarray(x)
    if x.ndim != 2 or x.shape[1] != density.dim:
        raise ValueError(f"the test events have shape {x.shape}, the density takes (event, {density.dim})")
    if len(x) < 20:
        raise ValueError(f"a validation needs at least 20 events, got {len(x)}")
    c = None if condition is None else jnp.asarray(condition)
    given = 0 if c is None else int(c.shape[-1])
    if given != density.condition_dim or (c is not None and c.shape != (len(x), given)):
        got = "none" if c is None else str(c.shape)
        raise ValueError(f"the density needs conditions of shape ({len(x)}, {density.condition_dim}), got {got}")
    w = jnp.ones(len(x)) if weights is None else jnp.asarray(weights)
    few = jnp.arange(min(len(x), coverage_events))
    keys = jax.random.split(key, 3)
    draws = _draw(density, c, len(x), keys[0])
    numbers: dict[str, Any] = {
        "num_events": len(x),
        "effective_events": float(effective_sample_size(w)),
        "distance": sliced_wasserstein(x, draws, w, w if c is not None else None, key=keys[2]).to_dict(),
    }
    if isinstance(density, AbstractTractableDensity):
        log_prob = np.asarray(_log_prob(density, x, c), np.float64)
        if not np.all(np.isfinite(log_prob)):
            bad = np.flatnonzero(~np.isfinite(log_prob))
            raise ValueError(f"log p is not finite for {len(bad)} of {len(x)} test events, first row {bad[0]}")
        weight = np.asarray(w, np.float64)
        mean = float(weight @ log_prob / weight.sum())
        error = float(np.sqrt(weight**2 @ (log_prob - mean) ** 2) / weight.sum())
        numbers |= {"mean_log_prob": mean, "mean_log_prob_error": error}
        numbers |= _latent(density, x, c, w) | _float_gap(density, x[:256], None if c is None else c[:256])
        numbers |= _coverage(density, x[few], None if c is None else c[few], w[few], coverage_samples, keys[1])
    return ValidationReport(**numbers)


@jax.jit
def _log_prob(density: Any, x: Array, c: Any) -> Array:
    return jax.vmap(density.log_prob, (0, None if c is None else 0))(x, c)


def _draw(density: Any, c: Any, count: int, key: Key) -> Array:
    @jax.jit
    def draw(density: Any, c: Any, keys: Any) -> Array:
        def one(k: Any, c: Any) -> Array:
            return density.sample(density.sample_noise(k), c)

        return jax.vmap(one, (0, None if c is None else 0))(keys, c)

    return draw(density, c, jax.random.split(key, count))


def _latent(density: Any, x: Array, c: Any, w: Array) -> dict[str, Any]:
    if jax.eval_shape(lambda d: latent_of(d, x[0], None if c is None else c[0]), density) is None:
        return {}
    z = jax.jit(jax.vmap(latent_of, (None, 0, None if c is None else 0)))(density, x, c)
    ks, chi_square = latent_test(z, w)
    u = jax.scipy.special.gammainc(z.shape[1] / 2, jnp.sum(z**2, axis=1) / 2)
    place = np.clip((np.asarray(u) * 10).astype(int), 0, 9)
    share = np.bincount(place, np.asarray(w, np.float64), 10) / float(w.sum())
    return {"latent": {"ks": ks.p_value, "pearson": chi_square.p_value, "bins": (10 * share).tolist()}}


def _float_gap(density: Any, x: Array, c: Any) -> dict[str, Any]:
    if x.dtype == jnp.float64:
        x, c = jax.tree.map(lambda a: a.astype(jnp.float32), (x, c))
        density = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float64 else a, density)
    single = np.asarray(_log_prob(density, x, c), np.float64)
    with jax.enable_x64(True):
        wide = jax.tree.map(
            lambda a: jnp.asarray(np.asarray(a), jnp.float64) if a.dtype == jnp.float32 else a, (density, x, c)
        )
        double = np.asarray(_log_prob(*wide), np.float64)
    gap = float(np.max(np.abs(single - double)))
    return {"float_gap": gap if math.isfinite(gap) else None}


def _coverage(density: Any, x: Array, c: Any, w: Array, samples: int, key: Key) -> dict[str, Any]:
    @jax.jit
    def rank(density: Any, x: Array, c: Any, keys: Any) -> Array:
        def one(row: Any) -> Array:
            x, c, key = row

            def log_prob_of_draw(k: Any) -> Array:
                return density.sample_and_log_prob(density.sample_noise(k), c)[1]

            of_draws = jax.vmap(log_prob_of_draw)(jax.random.split(key, samples))
            above = jnp.sum(of_draws > density.log_prob(x, c))
            return (above + jax.random.uniform(jax.random.fold_in(key, 1))) / (samples + 1)

        return jax.lax.map(one, (x, c, keys), batch_size=64)

    u = rank(density, x, c, jax.random.split(key, len(x)))
    mass = np.asarray(w, np.float64) / float(np.asarray(w, np.float64).sum())
    table = []
    for level in LEVELS:
        inside = np.asarray(u) <= level
        share = float(mass @ inside)
        table.append([level, share, float(np.sqrt(mass**2 @ (inside - share) ** 2))])
    return {"coverage": table, "coverage_ks": kolmogorov_smirnov(u, w).p_value}


__all__ = ["LEVELS", "ValidationReport", "latent_of", "pearson", "validate"]
