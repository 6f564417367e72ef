"""Toys: pseudo-data from the fitted model, refitted, for pulls and coverage."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxhep._types import Key
from jaxhep.inference.fit import invert_hessian, make_settings
from jaxhep.inference.layout import Layout, make_layout
from jaxhep.inference.minimise import Minimum, Settings, minimise
from jaxhep.inference.objectives import AbstractObjective
from jaxhep.inference.prediction import Numbers
from jaxhep.inference.profile import curvature, free_covariance
from jaxhep.inference.result import FitResult


class Measured(NamedTuple):
    """A number with its standard error."""

    value: float
    error: float


@dataclass(frozen=True, eq=False)
class ToyStudy:
    """The fits to pseudo-data.

    Arguments:
        names: free parameters.
        truth: values at which the pseudo-data were drawn, shape `(free,)`.
        values: best values, failed toys included, shape `(toy, free)`.
        errors: standard deviations from each toy's Hessian, shape `(toy, free)`.
        chi2: goodness of fit, shape `(toy,)`.
        delta: rise of −2 ln L, minimised over the others, at the true value of each parameter; NaN if coverage was
            not asked for; shape `(toy, free)`.
        valid: toys whose fits (all of them, where coverage is asked for) converged, shape `(toy,)`.
    """

    names: tuple[str, ...]
    truth: Float[np.ndarray, " free"]
    values: Float[np.ndarray, "toy free"]
    errors: Float[np.ndarray, "toy free"]
    chi2: Float[np.ndarray, " toy"]
    delta: Float[np.ndarray, "toy free"]
    valid: Bool[np.ndarray, " toy"]

    @property
    def num_toys(self) -> int:
        """All toys, failed ones included."""
        return self.valid.size

    @property
    def num_failed(self) -> int:
        """Toys whose fit was not valid."""
        return int(np.sum(~self.valid))

    @property
    def pulls(self) -> Float[np.ndarray, "valid free"]:
        """(θ̂ − θ_true)/σ of the valid toys."""
        return ((self.values - self.truth) / self.errors)[self.valid]

    def pull_mean(self, name: str) -> Measured:
        """Mean pull, 0 for an unbiased fit, with error s/√n."""
        pulls = self.pulls[:, self._index(name)]
        return Measured(float(np.mean(pulls)), float(np.std(pulls, ddof=1) / np.sqrt(pulls.size)))

    def pull_width(self, name: str) -> Measured:
        """Standard deviation s of the pulls, 1 for right errors, with error s/√(2(n − 1)) (normal pulls)."""
        pulls = self.pulls[:, self._index(name)]
        width = float(np.std(pulls, ddof=1))
        return Measured(width, width / float(np.sqrt(2 * (pulls.size - 1))))

    def coverage(self, name: str, delta: float | int = 1.0) -> Measured:
        """Fraction of valid toys whose Δ(−2 ln L) ≤ `delta` interval holds the truth, with binomial error.

        The likelihood-ratio test at the truth is the same as asking whether the interval holds it, without finding
        its ends. The error is √(p(1−p)/n) with p = (k + ½)/(n + 1), so that it is not 0 at the edges.
        Expected for `delta=1`: 0.6827.

        Raises:
            ValueError: unknown name, or the study was made without coverage.
        """
        rise = self.delta[self.valid, self._index(name)]
        if not np.all(np.isfinite(rise)):
            raise ValueError("this study has no coverage: run toys(..., coverage=True)")
        inside, number = int(np.sum(rise <= delta)), rise.size
        smooth = (inside + 0.5) / (number + 1)
        return Measured(inside / number, float(np.sqrt(smooth * (1 - smooth) / number)))

    def to_dict(self) -> dict[str, Any]:
        """Summary with plain numbers."""
        with_coverage = bool(np.all(np.isfinite(self.delta[self.valid])))
        answer: dict[str, Any] = {"num_toys": self.num_toys, "num_failed": self.num_failed, "parameters": {}}
        for k, name in enumerate(self.names):
            entry: dict[str, Any] = {
                "truth": float(self.truth[k]),
                "pull_mean": self.pull_mean(name)._asdict(),
                "pull_width": self.pull_width(name)._asdict(),
            }
            if with_coverage:
                entry["coverage"] = self.coverage(name)._asdict()
            answer["parameters"][name] = entry
        return answer

    def table(self) -> str:
        """The summary as text."""
        lines = [f"{self.num_toys} toys, {self.num_failed} failed"]
        for name, entry in self.to_dict()["parameters"].items():
            parts = [f"{key.replace('_', ' ')} {entry[key]['value']:+.3f} ± {entry[key]['error']:.3f}"
                     for key in ("pull_mean", "pull_width", "coverage") if key in entry]  # fmt: skip
            lines.append(f"{name}: " + ", ".join(parts))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.table()

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(f"no free parameter {name!r}; the study has: {', '.join(self.names)}")
        if int(np.sum(self.valid)) < 2:
            raise ValueError(f"only {int(np.sum(self.valid))} of {self.num_toys} toys are valid: nothing to summarise")
        return self.names.index(name)


def toys(
    objective: AbstractObjective,
    result: FitResult,
    num_toys: int,
    key: Key,
    *,
    coverage: bool = True,
    batch_size: int | None = None,
    autodiff: str = "forward",
) -> ToyStudy:
    """Draw pseudo-data at the fitted values, fit each, and compare with the truth.

    `objective.sample` draws the data: prediction + N(0, V_data + V_MC) for `ChiSquare`, Poisson counts for
    `BinnedPoisson`. The centres of the priors are drawn too, N(θ_true, width), for they stand for measurements. All
    fits, and for the coverage one more for each parameter held at its true value, are one vmapped and jitted call.
    Toy i uses `fold_in(key, i)`.

    Arguments:
        objective: the objective of the fit.
        result: a valid fit: its values are the truth.
        num_toys: number of toys, ≥ 2.
        key: random key.
        coverage: also fit with each parameter held at its true value.
        batch_size: toys at a time; `None` for all.
        autodiff: as in `fit`.

    Returns:
        The study; failed toys are kept, marked and counted.

    Raises:
        ValueError: fewer than 2 toys.
        InvalidFitError: the fit is not valid.
    """
    if num_toys < 2:
        raise ValueError(f"toys need num_toys >= 2, got {num_toys}")
    result.raise_if_invalid()
    layout = make_layout(result.parameters)
    truth = np.array([result.values[name] for name in layout.free_names], np.float64)
    settings = make_settings(autodiff)
    size = truth.size
    masks = np.concatenate([np.zeros((1, size), bool), np.eye(size if coverage else 0, size, dtype=bool)])
    with jax.enable_x64(True):
        numbers = (truth, masks, curvature(free_covariance(result, layout)))
        fitted = _fit_toys(objective, layout, *numbers, key, num_toys, settings, batch_size)
        minimum, chi2 = jax.device_get(fitted)
    return _study(layout, truth, minimum, np.asarray(chi2), settings)


@eqx.filter_jit
def _fit_toys(
    objective: AbstractObjective,
    layout: Layout,
    truth: Numbers,
    masks: Numbers,
    hessian: Numbers,
    key: Array,
    num_toys: int,
    settings: Settings,
    batch_size: int | None,
) -> tuple[Minimum, Array]:
    truth, masks, hessian = jnp.asarray(truth), jnp.asarray(masks), jnp.asarray(hessian)

    def one(index: Array) -> tuple[Minimum, Array]:
        key_data, key_prior = jax.random.split(jax.random.fold_in(key, index))
        pseudo = objective.sample(layout.as_dict(truth), key_data)
        width = jnp.asarray(layout.prior_width)
        noise = jax.random.normal(key_prior, truth.shape, width.dtype)
        centre = jnp.where(jnp.isfinite(width), truth + noise * jnp.where(jnp.isfinite(width), width, 0.0), 0.0)
        drawn = eqx.tree_at(lambda tree: tree.prior_mean, layout, centre)
        minimum = jax.vmap(lambda held: minimise(pseudo, drawn, truth, held, hessian, settings))(masks)
        best = minimum.theta[0]
        return minimum, pseudo.goodness(drawn.as_dict(best)) + drawn.penalty(best)

    indices = jnp.arange(num_toys)
    if batch_size is None:
        return jax.vmap(one)(indices)
    return jax.lax.map(one, indices, batch_size=batch_size)


def _study(layout: Layout, truth: np.ndarray, minimum: Minimum, chi2: np.ndarray, settings: Settings) -> ToyStudy:
    theta = np.asarray(minimum.theta)[:, 0]
    hessians = np.asarray(minimum.hessian)[:, 0]
    errors = np.full(theta.shape, np.nan)
    for k, hessian in enumerate(hessians):
        inverse, _ = invert_hessian(hessian, layout.free_names)
        if inverse is not None:
            errors[k] = np.sqrt(np.diag(inverse))
    edges = np.stack([theta - layout.lower, layout.upper - theta])
    on_bound = np.any(edges.min(axis=0) <= 1e-2 * np.nan_to_num(errors), axis=1)
    fitted = np.isfinite(minimum.value) & (np.asarray(minimum.edm) <= settings.tolerance)
    valid = np.all(fitted, axis=1) & np.all(np.isfinite(errors), axis=1) & ~on_bound
    rise = np.asarray(minimum.value)[:, 1:] - np.asarray(minimum.value)[:, :1]
    if rise.shape[1] == 0:
        rise = np.full(theta.shape, np.nan)
    return ToyStudy(layout.free_names, truth, theta, errors, chi2, rise, valid)


__all__ = ["Measured", "ToyStudy", "toys"]
