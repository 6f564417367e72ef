"""Closure of the event-shape fit: pseudo-data from independent samples, and the fit against a brute-force scan."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._types import Array, Float, Key
from ..inference import AbstractObjective, ChiSquare, Parameter, Prediction, ToyStudy, combine, fit, toys
from ..inference.moved_events import SharedCount
from ..inference.templates import moved_spectra
from ..inference.toys import Measured
from ..observables import get_observable
from .event_shape_fit import GRID_RANGES, OMEGA_LIMITS, EventShapeFit, sampled_shapes

_TRUTH_STREAM, _SCAN_STREAM, _TEMPLATE_STREAM = 1000, 2000, 3000


class PseudoData(AbstractObjective):
    """A χ² whose pseudo-data fluctuate around a given spectrum, not around the model's own prediction."""

    chi_square: ChiSquare
    truth: Float[np.ndarray, " bin"]

    @property
    def num_data(self) -> int:
        """Number of bins."""
        return self.chi_square.num_data

    def leaves(self) -> tuple[AbstractObjective, ...]:
        """This objective."""
        return (self,)

    def predict(self, parameters: Mapping[str, Any]) -> Prediction:
        """The model's prediction."""
        return self.chi_square.predict(parameters)

    def value(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """As `ChiSquare`."""
        return self.chi_square.value(parameters)

    def goodness(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """As `ChiSquare`."""
        return self.chi_square.goodness(parameters)

    def sample(self, parameters: Mapping[str, Any], key: Key) -> ChiSquare:
        """Pseudo-data: truth + N(0, V_data), as data are: the Monte Carlo error is in the templates."""
        covariance = jax.numpy.asarray(self.chi_square.data_covariance)
        noise = jax.random.normal(key, self.truth.shape, covariance.dtype)
        drawn = jax.numpy.asarray(self.truth) + jax.numpy.linalg.cholesky(covariance) @ noise
        return eqx.tree_at(lambda tree: tree.data, self.chi_square, drawn)


@dataclasses.dataclass(frozen=True, eq=False)
class ClosureToys(ToyStudy):
    """Toys that share simulated samples.

    **Field** `common`: standard deviation of the mean pulls that comes from the samples of truth and templates, which
    all toys have in common; shape (free,). `pull_mean` has it in its error.
    """

    common: np.ndarray

    def pull_mean(self, name: str) -> Measured:
        """Mean pull; its error contains that of the toys and the common one."""
        mean = super().pull_mean(name)
        return Measured(mean.value, math.hypot(mean.error, float(self.common[self.names.index(name)])))


def closure(
    study: EventShapeFit,
    factors: Sequence[float | int] = (0.85, 1.0, 1.18),
    num_toys: int = 200,
    *,
    num_samples: int = 4,
    num_events: int | None = None,
    coverage: bool = True,
    on_events: Callable[[int], None] | None = None,
) -> dict[float, ClosureToys]:
    r"""Fits of the study's model to pseudo-data made at other Λ, by independent samples.

    At each \(\Lambda_t\), the factor times the Λ of the study's sample, an independent sample is hadronised with the
    fitted Ω₁ and fluctuated with the covariance of the data; each toy is fitted by moved templates. The pulls
    \((\hat\theta-\theta_t)/\sigma\) have mean 0 and width 1 if the templates are right where they were moved to and
    the errors, which contain the Monte Carlo error of the templates, are right. Toys fitted with the same templates
    share their fluctuation, so that the toys are divided among `num_samples` template samples.

    **Arguments**: `study`: a valid fit; `factors` within the range that its sample was moved over; `num_toys` at each
    Λ_t; `num_samples`: the study's sample and so many less one more of its size and Λ; `num_events` of the sample of
    the truth (default: ten times the study's); `coverage`: also the coverage of Δχ² = 1; `on_events`: called with the
    number of events made.

    **Returns** `ClosureToys` for each Λ_t in GeV.

    **Raises** `ValueError` for a factor outside the templates' range or fewer than 2 toys for each template sample;
    `InvalidFitError` if the fit is not valid.
    """
    study.result.raise_if_invalid()
    low, high = np.exp(study.spectra.log_values[[0, -1]])
    for factor in factors:
        if not low <= study.reference_value * factor <= high:
            raise ValueError(f"factor {factor} is outside the range of the templates, {low:.4g} to {high:.4g} GeV")
    if num_samples < 1 or num_toys < 2 * num_samples:
        raise ValueError(f"{num_toys} toys cannot be divided among {num_samples} samples: at least 2 for each")
    count = SharedCount(on_events)
    objectives = [study.objective, *(_other_templates(study, n, count.sample()) for n in range(1, num_samples))]
    values = [study.reference_value * float(factor) for factor in factors]
    places = [(value, _TRUTH_STREAM + number) for number, value in enumerate(values)]
    samples = sampled_shapes(study, places, num_events or 10 * study.num_events, count.sample())
    found = {}
    for value, stream, shapes in zip(values, (stream for _, stream in places), samples, strict=True):
        truth = {study.parameter: value, "omega_1": study.result.values["omega_1"]}
        at_truth = dataclasses.replace(study.result, values={**study.result.values, **truth})
        with jax.enable_x64(True):
            exact = {name: shape(truth) for name, shape in shapes.items()}
        key, groups = jax.random.fold_in(jax.random.key(study.seed), stream), []
        for number, objective in enumerate(objectives):
            with jax.enable_x64(True):
                parts = [PseudoData(p, np.asarray(exact[p.label].values)) for p in objective.leaves()]
            pseudo = combine(parts)
            share = num_toys // num_samples + (number < num_toys % num_samples)
            groups.append(
                toys(pseudo, at_truth, share, jax.random.fold_in(key, number), coverage=coverage, batch_size=4)
            )
        found[value] = _together(groups, _common_error(study.objective, exact, groups[0], num_samples))
    return found


def _other_templates(study: EventShapeFit, number: int, on_events: Callable[[int], None] | None) -> AbstractObjective:
    """The study's objective with templates of another sample of the same size at the same Λ."""
    functions = {name: get_observable(name).function for name in study.measurements}
    grids = {name: GRID_RANGES[name] for name in study.measurements}
    key = jax.random.fold_in(jax.random.key(study.seed), _TEMPLATE_STREAM + number)
    chosen: dict[str, Any] = {"parameter": study.parameter, "factors": study.kind.nodes(study.shower)}
    spectra = moved_spectra(study.shower, key, study.num_events, functions, grids, on_chunk=on_events, **chosen)
    parts = []
    for part in study.objective.leaves():
        model = study.models[part.label].like(spectra)
        parts.append(eqx.tree_at(lambda tree: tree.model, part, model))
    return combine(parts)


def _common_error(
    objective: AbstractObjective, truth: Mapping[str, Prediction], group: ToyStudy, num_samples: int
) -> np.ndarray:
    """Standard deviation of the mean pulls from truth and templates, to first order; between observables the samples'
    correlation is neglected."""
    names, at = group.names, group.truth
    information, scores = np.zeros((at.size, at.size)), np.zeros((at.size, at.size))
    with jax.enable_x64(True):
        for part in (leaf for leaf in objective.leaves() if isinstance(leaf, ChiSquare)):

            def values(theta: Array, part: ChiSquare = part) -> Array:
                return jax.numpy.asarray(part.predict(dict(zip(names, theta, strict=True))).values)

            theta = jax.numpy.asarray(at)
            slope = np.asarray(jax.jacfwd(values)(theta))
            simulated = np.asarray(part.predict(dict(zip(names, theta, strict=True))).covariance)
            weights = slope.T @ np.linalg.inv(np.asarray(part.data_covariance) + simulated)
            information += weights @ slope
            shared = np.asarray(truth[part.label].covariance) + simulated / num_samples
            scores += weights @ shared @ weights.T
    covariance = np.linalg.inv(information)
    return np.sqrt(np.diag(covariance @ scores @ covariance) / np.diag(covariance))


def _together(groups: Sequence[ToyStudy], common: np.ndarray) -> ClosureToys:
    first, arrays = groups[0], ("values", "errors", "chi2", "delta", "valid")
    joined = {name: np.concatenate([getattr(group, name) for group in groups]) for name in arrays}
    return ClosureToys(names=first.names, truth=first.truth, common=common, **joined)


@dataclasses.dataclass(frozen=True, eq=False)
class BruteForce:
    """χ² of regenerated samples against the one-sample fit.

    **Fields**: `lambdas` in GeV and `chi2`, minimised over Ω₁, of an independent sample at each; `best` and `error`,
    the minimum of the parabola through them and its uncertainty by the scatter of the samples around the parabola;
    `fitted` and `fitted_error` of the one-sample gradient fit (its error is that of the data).
    """

    lambdas: np.ndarray
    chi2: np.ndarray
    best: float
    error: float
    fitted: float
    fitted_error: float

    def __repr__(self) -> str:
        return (
            f"one sample, gradients: Λ = {self.fitted:.4f} ± {self.fitted_error:.4f} GeV; {self.lambdas.size} "
            f"regenerated samples: Λ = {self.best:.4f} ± {self.error:.4f} (Monte Carlo only)"
        )


def brute_force(
    study: EventShapeFit,
    num_points: int = 9,
    num_sigma: float | int = 3,
    *,
    num_events: int | None = None,
    on_events: Callable[[int], None] | None = None,
) -> BruteForce:
    """Scans Λ as one would without gradients: a new sample at each point, its own Monte Carlo noise in each χ².

    **Arguments**: `study`: a valid fit; `num_points` evenly spaced in ln Λ over `num_sigma` standard deviations to
    each side; `num_events` of each sample.

    **Raises** `ValueError` for fewer than 5 points; `InvalidFitError` if the fit is not valid.
    """
    if num_points < 5:
        raise ValueError(f"a parabola and its scatter need at least 5 points, got {num_points}")
    study.result.raise_if_invalid()
    best, error = study.result.values[study.parameter], study.result.errors[study.parameter]
    lambdas = best * np.exp(np.linspace(-num_sigma, num_sigma, num_points) * error / best)
    start = Parameter("omega_1", study.result.values["omega_1"], *OMEGA_LIMITS)
    chi2 = []
    places = [(float(value), _SCAN_STREAM + number) for number, value in enumerate(lambdas)]
    for shapes in sampled_shapes(study, places, num_events, on_events):
        parts: list[Any] = [
            ChiSquare(part.data, part.data_covariance, shapes[part.label], label=part.label)
            for part in study.objective.leaves()
        ]
        found = fit(combine(parts), [start])
        found.raise_if_invalid()
        chi2.append(found.objective_value)
    x, y = np.log(lambdas / best), np.asarray(chi2)
    (a, b, _), covariance = np.polyfit(x, y, 2, cov=True)
    if a <= 0:
        raise ValueError("the scan shows no minimum: take more events, more points or a wider range")
    minimum = -b / (2 * a)
    slopes = np.array([-minimum / a, -1 / (2 * a)])
    spread = math.sqrt(slopes @ covariance[:2, :2] @ slopes)
    centre = best * math.exp(minimum)
    return BruteForce(lambdas, y, centre, centre * spread, best, error)


__all__ = ["BruteForce", "ClosureToys", "PseudoData", "brute_force", "closure"]
