"""Where the error of a fitted parameter comes from: data, Monte Carlo sample, hadronisation, renormalisation scale."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np

from .._types import Array
from ..inference import ChiSquare, FitResult, Parameter, combine, fit
from ..inference.templates import EventShapeModel, MovedSpectra, moved_spectra
from ..observables import get_observable
from ..shower.coupling import RunningCoupling
from ..simulator import with_parameters
from .event_shape_fit import GRID_RANGES, OMEGA_LIMITS, SAMPLE_STREAM, EventShapeFit, densities

_SCALE_STREAM = 4000
SCALE_EVENTS = 262_144
"""Most events that are reweighted to another scale by default: the shift is 10 %, its Monte Carlo error far less."""
LEAST_WORTH = 0.1
"""A reweighted sample that is worth less than this fraction of its events gives way to one of its own."""


@dataclass(frozen=True)
class ScaleVariation:
    """The fit with another renormalisation scale.

    **Fields**: `factor` on the scale; `value` of the fitted parameter; `worth`: the fraction of its events,
    (Σw)²/(N Σw²), that the reweighted sample is worth at `value`; `worth_at_fit`: the same at the value of the fit
    itself, where the band of the prediction is taken; `regenerated`: the reweighted sample was worth too little, and
    `value` is that of a sample of its own.
    """

    factor: float
    value: float
    worth: float
    worth_at_fit: float
    regenerated: bool


@dataclass(frozen=True)
class Uncertainties:
    r"""Contributions to the uncertainty of one parameter, in its own unit.

    **Fields**: `data` and `monte_carlo`, which add in squares to the error of the fit; `hadronisation` and `scale`:
    the shifts (lowest, highest) under the variations, `scale` None for a shower without that parameter; `variations`
    of the scale, one by one; `bands`: for each observable the densities in the fitted bins as arrays `edges`, `fit`,
    `parameter_low`, `parameter_high` (± one standard deviation of the parameter alone) and, where there is a scale,
    `scale_low`, `scale_high` (the envelope of fit and variations at the fitted parameters).
    """

    parameter: str
    value: float
    data: float
    monte_carlo: float
    hadronisation: tuple[float, float]
    scale: tuple[float, float] | None
    variations: tuple[ScaleVariation, ...] = ()
    bands: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

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
            "scale_variations": [vars(one) for one in self.variations],
            "bands": {name: {k: v.tolist() for k, v in one.items()} for name, one in self.bands.items()},
        }


def uncertainties(
    study: EventShapeFit,
    *,
    shapes: Sequence[float] = (2.0, 4.0),
    scale_factors: Sequence[float] = (0.5, 2.0),
    num_events: int | None = None,
    regenerate: bool = False,
    on_events: Callable[[str, int, int], None] | None = None,
) -> Uncertainties:
    r"""Splits the uncertainty of the shower's parameter.

    - Data and Monte Carlo: to first order the fit is linear, \(\delta\theta=CJ^TV^{-1}\delta d\) with
      \(C=(J^TV^{-1}J)^{-1}\) and \(V=V_\mathrm{data}+V_\mathrm{MC}\), so that C is the sum of two parts.
    - Hadronisation: fits with other exponents of the shape function, with the same events.
    - Scale: fits with the renormalisation scale times `scale_factors`, where the shower has a `scale_factor`, with the
      same events and exact weights: their Monte Carlo fluctuation is common to all fits. The events are reweighted
      around the α_s that has the same coupling at f m_Z, where the weights vary least. A factor for which they are
      worth less than a tenth of their number, or whose fit leaves the range, gets a sample of its own. With fewer
      events than the study has, the shifts are those from a fit with the same events at the study's own scale.

    **Arguments**: `study`: a valid fit; `shapes`: exponents; `num_events`: how many of the events are reweighted
    (default: all, at most `SCALE_EVENTS`), also the size of samples of their own; `regenerate`: give every scale factor
    a sample of its own;
    `on_events`: as for `fit_event_shapes`, with the stage "scale".

    **Returns** `Uncertainties`.

    **Raises** `InvalidFitError` if the fit, or one of the variations, is not valid.
    """
    study.result.raise_if_invalid()
    name, value = study.parameter, study.result.values[study.parameter]
    data, simulated = _linear_split(study)
    varied = [_other_shape(study, float(shape)) - value for shape in shapes]
    count, nodes = min(num_events or SCALE_EVENTS, study.num_events), len(study.kind.factors)
    variations, varied_models, centre = [], [], value
    if "scale_factor" in study.options:
        samples = len(scale_factors) + (count < study.num_events)

        def report(done: int, number: int) -> None:
            if on_events is not None:
                on_events("scale", number * nodes * count + done, samples * nodes * count)

        for number, factor in enumerate(map(float, scale_factors)):
            one, models = _scale_variation(study, factor, count, regenerate, partial(report, number=number))
            variations.append(one)
            varied_models += [models] if models else []
        if count < study.num_events:
            centre = _scale_variation(study, 1.0, count, False, partial(report, number=samples - 1))[0].value
    moved = [one.value - centre for one in variations]
    return Uncertainties(
        name,
        value,
        data,
        simulated,
        (min(varied), max(varied)),
        (min(moved), max(moved)) if moved else None,
        tuple(variations),
        _bands(study, varied_models),
    )


def _scale_variation(
    study: EventShapeFit, factor: float, num_events: int, regenerate: bool, report: Callable[[int], None]
) -> tuple[ScaleVariation, dict[str, EventShapeModel]]:
    """The fit at another scale, and its models (none if their range does not reach the fitted parameter)."""
    spectra = _spectra(study, factor, num_events, report)
    models = {name: model.like(spectra) for name, model in study.models.items()}
    fitted = study.result.values[study.parameter]
    # From there: far above it few events carry the weight, and a large Monte Carlo error makes every fit good.
    begin = fitted * _matched(study, factor) / study.reference_value
    result = _refitted(study, models, begin)
    found = result.values[study.parameter]
    worth, worth_at_fit = (
        float(np.interp(np.log(x), spectra.log_values, spectra.effective_events)) / num_events for x in (found, fitted)
    )
    low, high = np.exp(spectra.log_values[[0, -1]])
    poor = not (result.valid and low < found < high and worth > LEAST_WORTH)
    if regenerate or poor:
        spectra = _spectra(study, factor, num_events, report, own=True)
        models = {name: model.like(spectra) for name, model in study.models.items()}
        result = _refitted(study, models, begin)
        found = result.values[study.parameter]
    result.raise_if_invalid()
    inside = spectra.log_values[0] < np.log(fitted) < spectra.log_values[-1]
    return ScaleVariation(factor, found, worth, worth_at_fit, regenerate or poor), models if inside else {}


def _matched(study: EventShapeFit, factor: float) -> float:
    """α_s(m_Z) for which the coupling at f m_Z is that of the sample at m_Z."""
    shower = study.shower
    running = RunningCoupling(shower.alpha_s, shower.reference_scale * factor, shower.loops, shower.thresholds)
    return float(running(shower.reference_scale**2))


def _spectra(
    study: EventShapeFit, factor: float, num_events: int, report: Callable[[int], None] | None, own: bool = False
) -> MovedSpectra:
    """Spectra at another scale, around the coupling that makes up for it: of the study's events, or of `own` ones."""
    shower = study.shower
    scale = factor * float(shower.scale_factor)
    there = {study.parameter: _matched(study, factor), "scale_factor": scale}
    options = {**study.options, "scale_factor": scale}
    study.kind.make(float(shower.energy), there[study.parameter], options)  # refuses a pole above the cut-off
    at = with_parameters(shower, there)
    factors, number = study.kind.nodes(at), SAMPLE_STREAM
    if own:
        shower, number = at, _SCALE_STREAM + round(1000 * factor)
    else:
        factors = tuple(f * there[study.parameter] / study.reference_value for f in factors)
    return moved_spectra(
        shower,
        jax.random.fold_in(jax.random.key(study.seed), number),
        num_events,
        {name: get_observable(name).function for name in study.measurements},
        {name: GRID_RANGES[name] for name in study.measurements},
        parameter=study.parameter,
        factors=factors,
        at={"scale_factor": scale},
        on_chunk=report,
    )


def _bands(study: EventShapeFit, varied: Sequence[Mapping[str, EventShapeModel]]) -> dict[str, dict[str, np.ndarray]]:
    """The prediction at the fitted parameters with its bands, in the fitted bins."""
    at, error = dict(study.result.values), study.result.errors[study.parameter]
    found = {}
    for name, model in study.models.items():
        fitted = densities(model, **at)[0]
        sides = [densities(model, **{**at, study.parameter: at[study.parameter] + s * error})[0] for s in (-1, 1)]
        moved = np.stack([fitted, *sides])
        one = {
            "edges": np.asarray(model.edges, float),
            "fit": fitted,
            "parameter_low": moved.min(axis=0),
            "parameter_high": moved.max(axis=0),
        }
        if varied:
            rows = np.stack([fitted, *(densities(models[name], **at)[0] for models in varied)])
            one |= {"scale_low": rows.min(axis=0), "scale_high": rows.max(axis=0)}
        found[name] = one
    return found


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
    result = _refitted(study, {name: model.like(study.spectra, shape) for name, model in study.models.items()})
    result.raise_if_invalid()
    return result.values[study.parameter]


def _refitted(study: EventShapeFit, models: Mapping[str, EventShapeModel], begin: float | None = None) -> FitResult:
    """The fit to the same data with other models, from `begin` (default: the fitted parameter)."""
    parts = [
        ChiSquare(part.data, part.data_covariance, models[part.label], label=part.label)
        for part in study.objective.leaves()
    ]
    start = [
        Parameter(study.parameter, begin or study.result.values[study.parameter], *study.kind.limits),
        Parameter("omega_1", study.result.values["omega_1"], *OMEGA_LIMITS),
    ]
    return fit(combine(parts), start)


__all__ = ["LEAST_WORTH", "SCALE_EVENTS", "ScaleVariation", "Uncertainties", "uncertainties"]
