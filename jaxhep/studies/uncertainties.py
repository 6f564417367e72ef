"""Where the error of a fitted parameter comes from: data, Monte Carlo sample, hadronisation, renormalisation scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .._types import Array
from ..inference import ChiSquare, Parameter, combine, fit
from .event_shape_fit import OMEGA_LIMITS, EventShapeFit, fit_event_shapes


@dataclass(frozen=True)
class Uncertainties:
    r"""Contributions to the uncertainty of one parameter, in its own unit.

    **Fields**: `data` and `monte_carlo`, which add in squares to the error of the fit; `hadronisation` and `scale`:
    the shifts (lowest, highest) under the variations, `scale` None for a shower without that parameter.
    """

    parameter: str
    value: float
    data: float
    monte_carlo: float
    hadronisation: tuple[float, float]
    scale: tuple[float, float] | None

    def __repr__(self) -> str:
        parts = [f"{self.parameter} = {self.value:.4f} ± {self.data:.4f} (data) ± {self.monte_carlo:.4f} (Monte Carlo)"]
        for name, shifts in (("hadronisation", self.hadronisation), ("scale", self.scale)):
            if shifts is not None:
                parts.append(f"{shifts[0]:+.4f} {shifts[1]:+.4f} ({name})")
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "data": self.data,
            "monte_carlo": self.monte_carlo,
            "hadronisation": list(self.hadronisation),
            "scale": None if self.scale is None else list(self.scale),
        }


def uncertainties(
    study: EventShapeFit,
    *,
    shapes: Sequence[float] = (2.0, 4.0),
    scale_factors: Sequence[float] = (0.5, 2.0),
    num_events: int | None = None,
    on_events: Callable[[str, int, int], None] | None = None,
) -> Uncertainties:
    r"""Splits the uncertainty of the shower's parameter.

    - Data and Monte Carlo: to first order the fit is linear, \(\delta\theta=CJ^TV^{-1}\delta d\) with
      \(C=(J^TV^{-1}J)^{-1}\) and \(V=V_\mathrm{data}+V_\mathrm{MC}\), so that C is the sum of two parts.
    - Hadronisation: fits with other exponents of the shape function, with the same events.
    - Scale: fits with the renormalisation scale times `scale_factors`, where the shower has a `scale_factor`, each with
      samples of its own; their Monte Carlo errors are part of the shift.

    **Arguments**: `study`: a valid fit; `shapes`: exponents; `num_events` of the samples of the scale variation
    (default: as the study's); `on_events`: as for `fit_event_shapes`, with the stage "scale".

    **Returns** `Uncertainties`.

    **Raises** `InvalidFitError` if the fit, or one of the variations, is not valid.
    """
    study.result.raise_if_invalid()
    name, value = study.parameter, study.result.values[study.parameter]
    data, simulated = _linear_split(study)
    varied = [_other_shape(study, float(shape)) - value for shape in shapes]
    scale = None
    if "scale_factor" in study.options:
        moved = []
        for number, factor in enumerate(scale_factors):

            def report(stage: str, done: int, total: int, number: int = number) -> None:
                if on_events is not None and stage == "sample":
                    on_events("scale", number * total + done, len(scale_factors) * total)

            changed = {**study.options, "scale_factor": float(factor) * study.options["scale_factor"]}
            moved.append(_repeated(study, changed, num_events or study.num_events, report) - value)
        scale = (min(moved), max(moved))
    return Uncertainties(name, value, data, simulated, (min(varied), max(varied)), scale)


def _linear_split(study: EventShapeFit) -> tuple[float, float]:
    """Standard deviations of the parameter from V_data and V_MC."""
    names = list(study.result.values)
    index, count = names.index(study.parameter), len(names)
    information, data, simulated = (np.zeros((count, count)) for _ in range(3))
    with jax.enable_x64(True):
        theta = jax.numpy.asarray([study.result.values[n] for n in names])
        for part in (leaf for leaf in study.objective.leaves() if isinstance(leaf, ChiSquare)):

            def values(theta: Array, part: ChiSquare = part) -> Array:
                return jax.numpy.asarray(part.predict(dict(zip(names, theta, strict=True))).values)

            slope = np.asarray(jax.jacfwd(values)(theta))
            monte_carlo = np.asarray(part.predict(dict(zip(names, theta, strict=True))).covariance)
            measured = np.asarray(part.data_covariance)
            weights = slope.T @ np.linalg.inv(measured + monte_carlo)
            information += weights @ slope
            data += weights @ measured @ weights.T
            simulated += weights @ monte_carlo @ weights.T
    covariance = np.linalg.inv(information)
    first, second = ((covariance @ part @ covariance)[index, index] for part in (data, simulated))
    return float(np.sqrt(first)), float(np.sqrt(second))


def _other_shape(study: EventShapeFit, shape: float) -> float:
    """The fitted parameter with another shape function and the same events."""
    parts = []
    for part in study.objective.leaves():
        model = study.models[part.label].like(study.spectra, shape)
        parts.append(ChiSquare(part.data, part.data_covariance, model, label=part.label))
    start = [
        Parameter(study.parameter, study.result.values[study.parameter], *study.kind.limits),
        Parameter("omega_1", study.result.values["omega_1"], *OMEGA_LIMITS),
    ]
    result = fit(combine(parts), start)
    result.raise_if_invalid()
    return result.values[study.parameter]


def _repeated(
    study: EventShapeFit, options: dict[str, Any], num_events: int, report: Callable[[str, int, int], None]
) -> float:
    """The fitted parameter of a new sample with other options of the shower, the same data and model otherwise."""
    model = next(iter(study.models.values()))
    again = fit_event_shapes(
        tuple(study.measurements),
        num_events=num_events,
        ranges={n: (float(m.edges[0]), float(m.edges[-1])) for n, m in study.measurements.items()},
        seed=study.seed,
        energy=model.energy,
        correlation=study.correlation,
        shape=model.shape,
        data=study.measurements,
        on_events=report,
        shower=study.shower_name,
        **options,
    )
    again.result.raise_if_invalid()
    return again.result.values[study.parameter]


__all__ = ["Uncertainties", "uncertainties"]
