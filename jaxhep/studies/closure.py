"""Closure of the event-shape fit: pseudo-data from independent samples, and the fit against a brute-force scan."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._types import Array, Float, Key
from ..inference import AbstractObjective, ChiSquare, CombinedObjective, Parameter, Prediction, ToyStudy, fit, toys
from .event_shape_fit import LIMITS, EventShapeFit, sampled_shapes

_TRUTH_STREAM, _SCAN_STREAM = 1000, 2000


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
        """Pseudo-data: truth + N(0, V_data + V_MC)."""
        drawn = self.chi_square.sample(parameters, key)
        off = self.truth - self.predict(parameters).values
        return eqx.tree_at(lambda tree: tree.data, drawn, drawn.data + off)


def closure(
    study: EventShapeFit,
    factors: Sequence[float | int] = (0.85, 1.0, 1.18),
    num_toys: int = 200,
    *,
    num_events: int | None = None,
    coverage: bool = True,
    on_events: Callable[[int], None] | None = None,
) -> dict[float, ToyStudy]:
    r"""Fits of the study's model to pseudo-data made at other Λ, by independent samples.

    At each \(\Lambda_t\), the factor times the Λ of the study's sample, an independent sample is hadronised with the
    fitted Ω₁ and fluctuated `num_toys` times with the covariance of the data; each toy is fitted by the moved
    templates of the study. The pulls \((\hat\theta-\theta_t)/\sigma\) have mean 0 and width 1 if the templates are
    right where they were moved to and the errors are right. Mean pulls of all toys share the Monte Carlo
    fluctuation of the two samples.

    **Arguments**: `study`: a valid fit; `factors` within the range that its sample was moved over (0.8 to 1.25);
    `num_events` of each sample (default: as the study's); `coverage`: also the coverage of Δχ² = 1.

    **Returns** a `ToyStudy` for each Λ_t in GeV.

    **Raises** `ValueError` for a factor outside the templates' range; `InvalidFitError` if the fit is not valid.
    """
    study.result.raise_if_invalid()
    low, high = np.exp(study.spectra.log_values[[0, -1]])
    for factor in factors:
        if not low <= study.reference_lambda * factor <= high:
            raise ValueError(f"factor {factor} is outside the range of the templates, {low:.4g} to {high:.4g} GeV")
    found = {}
    for number, factor in enumerate(factors):
        value = study.reference_lambda * float(factor)
        truth = {"lambda_qcd": value, "omega_1": study.result.values["omega_1"]}
        shapes = sampled_shapes(study, value, _TRUTH_STREAM + number, num_events, on_events)
        with jax.enable_x64(True):
            parts = [PseudoData(p, np.asarray(shapes[p.label](truth).values)) for p in study.objective.leaves()]
        objective = parts[0] if len(parts) == 1 else CombinedObjective(parts)
        at_truth = dataclasses.replace(study.result, values={**study.result.values, **truth})
        key = jax.random.fold_in(jax.random.key(study.seed), _TRUTH_STREAM + number)
        found[value] = toys(objective, at_truth, num_toys, key, coverage=coverage, batch_size=16)
    return found


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
    best, error = study.result.values["lambda_qcd"], study.result.errors["lambda_qcd"]
    lambdas = best * np.exp(np.linspace(-num_sigma, num_sigma, num_points) * error / best)
    start = Parameter("omega_1", study.result.values["omega_1"], *LIMITS["omega_1"])
    chi2 = []
    for number, value in enumerate(lambdas):
        shapes = sampled_shapes(study, float(value), _SCAN_STREAM + number, num_events, on_events)
        parts: list[Any] = [
            ChiSquare(part.data, part.data_covariance, shapes[part.label], label=part.label)
            for part in study.objective.leaves()
        ]
        found = fit(parts[0] if len(parts) == 1 else CombinedObjective(parts), [start])
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


__all__ = ["BruteForce", "PseudoData", "brute_force", "closure"]
