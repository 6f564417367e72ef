"""The result of a fit: numbers, covariance, and whether they can be believed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxhep.inference.parameters import Parameter
from jaxhep.inference.priors import Gaussian


class InvalidFitError(RuntimeError):
    """Raised by `FitResult.raise_if_invalid` with the reasons."""


@dataclass(frozen=True)
class Interval:
    """Where −2 ln L, minimised over the other parameters, has risen by `delta` on both sides of the minimum.

    Arguments:
        name: the parameter.
        lower, upper: the ends, in the unit of the parameter.
        value: the best value.
        delta: the rise.
        valid: both ends are true crossings.
        reasons: what is wrong otherwise (for instance, a bound came first).
    """

    name: str
    lower: float
    upper: float
    value: float
    delta: float = 1.0
    valid: bool = True
    reasons: tuple[str, ...] = ()

    @property
    def lower_error(self) -> float:
        """Distance to the lower end, negative."""
        return self.lower - self.value

    @property
    def upper_error(self) -> float:
        """Distance to the upper end, positive."""
        return self.upper - self.value


@dataclass(frozen=True, eq=False)
class FitResult:
    """Best values, covariance V = 2 H⁻¹ (H the Hessian of −2 ln L, priors included), goodness of fit and flags.

    Arguments:
        parameters: the parameters as they were given to the fit.
        values: best values by name, fixed ones included.
        covariance: over all parameters in order, zero rows for fixed ones, NaN if the Hessian is not positive definite.
        chi2: goodness of fit with priors, without ln det V.
        objective_value: the minimised −2 ln L.
        num_data: number of bins.
        ndf: bins + priors − free parameters.
        p_value: probability of a larger χ²; NaN if ndf ≤ 0.
        converged: the estimated distance to the minimum is below the tolerance.
        positive_definite: the Hessian over the free parameters is.
        at_bound: names of free parameters that sit on a bound.
        edm: estimated distance to the minimum, ½ gᵀH⁻¹g, in units of −2 ln L.
        gradient_norm: length of the gradient in units of one standard deviation a parameter, 2√EDM-like; NaN unless
            positive definite.
        num_evaluations: evaluations of the objective with gradient (each BFGS and Newton step is one).
        reasons: why the fit is not valid; empty if it is.
        warnings: what deserves a look although the fit is valid.
        intervals: asymmetric intervals, where computed.
    """

    parameters: tuple[Parameter, ...]
    values: Mapping[str, float]
    covariance: Float[np.ndarray, "parameter parameter"]
    chi2: float
    objective_value: float
    num_data: int
    ndf: int
    p_value: float
    converged: bool
    positive_definite: bool
    at_bound: tuple[str, ...]
    edm: float
    gradient_norm: float
    num_evaluations: int
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """True if nothing speaks against the fit."""
        return not self.reasons

    @property
    def names(self) -> tuple[str, ...]:
        """All parameter names, in order."""
        return tuple(entry.name for entry in self.parameters)

    @property
    def free_names(self) -> tuple[str, ...]:
        """Names of the free parameters, in order."""
        return tuple(entry.name for entry in self.parameters if not entry.fixed)

    @property
    def errors(self) -> dict[str, float]:
        """Standard deviations by name, √V_ii; 0 for fixed parameters."""
        with np.errstate(invalid="ignore"):
            return dict(zip(self.names, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))

    @property
    def correlation(self) -> Float[np.ndarray, "parameter parameter"]:
        """V_ij/√(V_ii V_jj); zero for fixed parameters."""
        variance = np.diag(self.covariance)
        scale = np.sqrt(np.outer(variance, variance))
        return np.divide(self.covariance, scale, out=np.zeros_like(scale), where=scale != 0)

    def raise_if_invalid(self) -> "FitResult":
        """This result, or `InvalidFitError` with the reasons.

        Raises:
            InvalidFitError: the fit is not valid.
        """
        if self.reasons:
            raise InvalidFitError("the fit is not valid: " + "; ".join(self.reasons))
        return self

    def with_interval(self, *intervals: Interval) -> "FitResult":
        """A copy that carries asymmetric intervals."""
        return replace(self, intervals={**self.intervals, **{entry.name: entry for entry in intervals}})

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings; what is not finite becomes `None` (JSON has no NaN)."""
        errors = self.errors
        entries = {}
        for entry in self.parameters:
            stated = asdict(entry)
            stated["start"] = stated.pop("value")
            interval = self.intervals.get(entry.name)
            entries[entry.name] = {
                "value": _plain(self.values[entry.name]),
                "error": _plain(errors[entry.name]),
                "lower_error": _plain(interval.lower_error) if interval else None,
                "upper_error": _plain(interval.upper_error) if interval else None,
                "interval": {**asdict(interval), "reasons": list(interval.reasons)} if interval else None,
                **stated,
            }
        answer = {
            "valid": self.valid,
            "parameters": entries,
            "names": list(self.names),
            "covariance": [[_plain(x) for x in row] for row in self.covariance.tolist()],
            "correlation": [[_plain(x) for x in row] for row in self.correlation.tolist()],
        }
        for name in ("chi2", "objective_value", "p_value", "edm", "gradient_norm"):
            answer[name] = _plain(getattr(self, name))
        for name in ("num_data", "ndf", "converged", "positive_definite", "num_evaluations"):
            answer[name] = getattr(self, name)
        for name in ("at_bound", "reasons", "warnings"):
            answer[name] = list(getattr(self, name))
        return answer

    def to_json(self, **options: Any) -> str:
        """`to_dict` as JSON text; `options` go to `json.dumps`."""
        return json.dumps(self.to_dict(), **{"indent": 2, "allow_nan": False, "ensure_ascii": False, **options})

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "FitResult":
        """The result behind `to_dict`.

        Raises:
            ValueError: an entry is missing.
        """
        try:
            return _from_dict(stored)
        except KeyError as error:
            raise ValueError(f"not a stored FitResult: the entry {error} is missing") from error

    @classmethod
    def from_json(cls, text: str) -> "FitResult":
        """The result behind `to_json`.

        Raises:
            ValueError: the text is not JSON, or an entry is missing.
        """
        return cls.from_dict(json.loads(text))

    def table(self) -> str:
        """The result as text in a frame, in the manner of iminuit."""
        from jaxhep.inference.table import text_table

        return text_table(self)

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        from jaxhep.inference.table import html_table

        return html_table(self)


def _plain(number: float) -> float | None:
    return float(number) if isfinite(number) else None


def _number(stored: float | None) -> float:
    return float("nan") if stored is None else float(stored)


def _from_dict(stored: Mapping[str, Any]) -> FitResult:
    parameters, values, intervals = [], {}, {}
    for name in stored["names"]:
        entry = stored["parameters"][name]
        prior = entry["prior"]
        parameters.append(
            Parameter(
                name,
                entry["start"],
                entry["lower"],
                entry["upper"],
                None if prior is None else Gaussian(**prior),
                entry["fixed"],
                entry["label"],
                entry["unit"],
            )
        )
        values[name] = _number(entry["value"])
        if entry["interval"] is not None:
            intervals[name] = Interval(**{**entry["interval"], "reasons": tuple(entry["interval"]["reasons"])})
    return FitResult(
        parameters=tuple(parameters),
        values=values,
        covariance=np.array([[_number(x) for x in row] for row in stored["covariance"]], np.float64),
        chi2=_number(stored["chi2"]),
        objective_value=_number(stored["objective_value"]),
        num_data=stored["num_data"],
        ndf=stored["ndf"],
        p_value=_number(stored["p_value"]),
        converged=stored["converged"],
        positive_definite=stored["positive_definite"],
        at_bound=tuple(stored["at_bound"]),
        edm=_number(stored["edm"]),
        gradient_norm=_number(stored["gradient_norm"]),
        num_evaluations=stored["num_evaluations"],
        reasons=tuple(stored["reasons"]),
        warnings=tuple(stored["warnings"]),
        intervals=intervals,
    )


__all__ = ["FitResult", "Interval", "InvalidFitError"]
