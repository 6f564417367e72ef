"""The main job: Λ (or α_s) and Ω₁ from measured event shapes, by gradients, from one event sample."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..inference import ChiSquare, FitResult, Parameter, combine, fit
from ..inference.moved_events import SharedCount, in_threads, moved_events
from ..inference.templates import EventShapeModel, MovedSpectra, SampledShape, moved_spectra
from ..observables import get_observable
from ..reference import Measurement, load
from ..simulator import AbstractSimulator, with_parameters
from .fitted_showers import SHOWERS, FittedShower

FIT_RANGES: dict[str, tuple[float, float]] = {
    "thrust": (0.75, 0.95),
    "c_parameter": (0.26, 0.70),
    "heavy_jet_mass": (0.06, 0.20),
}
"""Default fit ranges: between the two-jet peak, where the shape function is more than its first moment, and the
kinematic edge of three partons."""

GRID_RANGES: dict[str, tuple[float, float]] = {
    "thrust": (0.5, 1.0),
    "c_parameter": (0.0, 1.0),
    "heavy_jet_mass": (0.0, 0.5),
}
"""Ranges of the fine parton-level grids."""

OMEGA_START, OMEGA_LIMITS = 0.4, (0.01, 3.0)
_PILOT_EVENTS = 65_536
_MAX_PILOTS = 6
SAMPLE_STREAM = _MAX_PILOTS
"""Number of the random stream of the sample; those before it belong to the pilots."""


@dataclass
class EventShapeFit:
    """All that the fit produced: result, model and the numbers for the report.

    `kind` says which shower and which parameter; `reference_value` is that parameter of the sample; `shower_name`,
    `options` and `correlation` are the arguments that the fit was made with.
    """

    result: FitResult
    objective: Any
    kind: FittedShower
    shower: Any
    measurements: dict[str, Measurement]
    models: dict[str, EventShapeModel]
    spectra: MovedSpectra
    num_events: int
    seed: int
    reference_value: float
    shower_name: str = "discrete"
    options: dict[str, Any] = field(default_factory=dict)
    correlation: str = "uncorrelated"
    pilots: list[dict[str, float]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def parameter(self) -> str:
        """Name of the shower's fitted parameter."""
        return self.kind.parameter

    @property
    def alpha_s(self) -> tuple[float, float, str]:
        """α_s(m_Z), its error, and which coupling it is."""
        return self.kind.coupling(
            self.shower, *(part[self.parameter] for part in (self.result.values, self.result.errors))
        )


def fit_event_shapes(
    observables: Sequence[str] = ("thrust",),
    *,
    num_events: int = 1_000_000,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    rebin: int = 1,
    seed: int = 1,
    energy: float = 91.1876,
    correlation: str = "uncorrelated",
    shape: float = 3.0,
    data: Mapping[str, Measurement] | None = None,
    on_events: Callable[[str, int, int], None] | None = None,
    shower: str = "discrete",
    **shower_options: Any,
) -> EventShapeFit:
    r"""Fits Λ_QCD (Discrete QCD) or α_s(m_Z) (dipole shower) and Ω₁ to measured event shapes.

    A pilot sample finds the neighbourhood of the minimum; then **one** sample of `num_events` is drawn there, moved to
    four other values of the parameter (Λ: from 0.64 to 1.56 times its own; α_s: from 0.88 to 1.11), and differentiated
    at all five, which gives every template as a smooth function of its logarithm (`inference.templates`). The χ²
    contains the covariance of the data and of the Monte Carlo sample.

    **Arguments**

    - `observables`: of `thrust`, `c_parameter`, `heavy_jet_mass` (those with a universal power correction); several are
      fitted together, their correlation in the data (not published) being neglected.
    - `num_events`: size of the sample, at least 1000.
    - `ranges`: (low, high) for an observable, in its own units; default `FIT_RANGES`.
    - `rebin`: merge so many neighbouring bins of the data.
    - `seed`: seed of sample and pilots.
    - `energy`: √s in GeV.
    - `correlation`: of the systematic errors of the data between bins, see `Measurement.covariance`.
    - `shape`: exponent of the shape function (`ShapeFunction`).
    - `data`: measurements by observable instead of ALEPH's.
    - `on_events`: called with (stage, done, total) while events are made.
    - `shower`: `"discrete"` for `DiscreteQCD`, `"dipole"` for `DipoleShower`.
    - `shower_options`: of that shower. `DiscreteQCD`: `matrix_element`, `quark_colour` (on here, because without them
      the model misses the three-jet region; `False` and `"C_A/2"` are the published shower), `mode` and `n_f`.
      `DipoleShower`: `cutoff`, `scale_factor`, `cmw` and `matrix_element` (both on here).

    **Returns** an `EventShapeFit`; look at `result.valid`.

    **Raises** `ValueError` before any event is made, for unknown observables, empty ranges, too few events.
    """
    measurements = check_arguments(
        observables,
        num_events=num_events,
        ranges=ranges,
        rebin=rebin,
        seed=seed,
        energy=energy,
        data=data,
        correlation=correlation,
        shower=shower,
        **shower_options,
    )
    kind = SHOWERS[shower]
    parameter, options = kind.parameter, kind.options(shower_options)
    functions = {name: get_observable(name).function for name in measurements}
    grids = {name: GRID_RANGES[name] for name in measurements}
    covariances = {name: m.covariance(correlation) for name, m in measurements.items()}
    start = {parameter: kind.start, "omega_1": OMEGA_START}
    seconds: dict[str, float] = {}
    pilots: list[dict[str, float]] = []

    def attempt(simulator: AbstractSimulator, events: int, key_number: int, stage: str) -> tuple[Any, ...]:
        begin = time.perf_counter()
        nodes = kind.nodes(simulator)
        report = None if on_events is None else (lambda done: on_events(stage, done, len(nodes) * events))
        key = jax.random.fold_in(jax.random.key(seed), key_number)
        spectra = moved_spectra(
            simulator, key, events, functions, grids, parameter=parameter, factors=nodes, on_chunk=report
        )
        seconds[f"{stage} events"] = seconds.get(f"{stage} events", 0) + time.perf_counter() - begin
        begin = time.perf_counter()
        models = {
            n: EventShapeModel(spectra, n, m.edges, energy=energy, shape=shape, parameter=parameter)
            for n, m in measurements.items()
        }
        parts = [ChiSquare(m.values, covariances[n], models[n], label=n) for n, m in measurements.items()]
        objective = combine(parts)
        parameters = [
            Parameter(parameter, start[parameter], *kind.limits, label=kind.tex, unit=kind.unit),
            Parameter("omega_1", start["omega_1"], *OMEGA_LIMITS, label=r"\Omega_1", unit="GeV"),
        ]
        result = fit(objective, parameters)
        seconds[f"{stage} fit"] = seconds.get(f"{stage} fit", 0) + time.perf_counter() - begin
        return result, objective, models, spectra

    reference = start[parameter]
    for number in range(_MAX_PILOTS):
        simulator = kind.make(energy, reference, options)
        result, *_ = attempt(simulator, min(_PILOT_EVENTS, num_events), number, "pilot")
        found = kind.nearby(result.values[parameter], reference)
        pilots.append({"reference": reference, parameter: result.values[parameter]})
        close = abs(math.log(found / reference)) < kind.close
        start = {parameter: found, "omega_1": min(max(result.values["omega_1"], 0.05), 2.5)}
        reference = round(found, 4)
        if close:
            break
    while True:
        simulator = kind.make(energy, reference, options)
        result, objective, models, spectra = attempt(simulator, num_events, SAMPLE_STREAM, "sample")
        found = result.values[parameter]
        low, high = np.exp(spectra.log_values[[0, -1]])
        if low < found < high or len(pilots) > _MAX_PILOTS:
            break
        # The minimum lies where the sample was not moved to: draw it there instead.
        reference = round(kind.nearby(found, reference), 4)
        pilots.append({"reference": reference, parameter: found})
    return EventShapeFit(
        result=result,
        objective=objective,
        kind=kind,
        shower=simulator,
        measurements=measurements,
        models=models,
        spectra=spectra,
        num_events=num_events,
        seed=seed,
        reference_value=reference,
        shower_name=shower,
        options=options,
        correlation=correlation,
        pilots=pilots,
        seconds=seconds,
    )


def check_arguments(
    observables: Sequence[str] = ("thrust",),
    *,
    num_events: int = 1_000_000,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    rebin: int = 1,
    seed: int = 1,
    energy: float = 91.1876,
    correlation: str = "uncorrelated",
    data: Mapping[str, Measurement] | None = None,
    shower: str = "discrete",
    **shower_options: Any,
) -> dict[str, Measurement]:
    """Raises `ValueError` for any argument that `fit_event_shapes` cannot use; returns the data in the fit ranges."""
    measurements = _measurements(observables, ranges or {}, rebin, data)
    if isinstance(num_events, bool) or not isinstance(num_events, int) or num_events < 1000:
        raise ValueError(f"num_events must be a whole number of at least 1000 for a fit, got {num_events!r}")
    if not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be a whole number between 0 and 2147483647, got {seed!r}")
    for measurement in measurements.values():
        measurement.covariance(correlation)
    if shower not in SHOWERS:
        raise ValueError(f"shower must be {' or '.join(SHOWERS)}, not {shower!r}")
    SHOWERS[shower].make(energy, SHOWERS[shower].start, SHOWERS[shower].options(shower_options))
    return measurements


def _measurements(
    observables: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
    rebin: int,
    data: Mapping[str, Measurement] | None,
) -> dict[str, Measurement]:
    if not observables:
        raise ValueError("name at least one observable to fit: " + ", ".join(FIT_RANGES))
    result = {}
    for name in observables:
        get_observable(name)
        if name not in FIT_RANGES:
            raise ValueError(
                f"{name} has no universal power correction, so its hadronisation cannot be described by omega_1; "
                f"fit {', '.join(FIT_RANGES)}"
            )
        if name in result:
            raise ValueError(f"observable {name} is given twice")
        measurement = load(name) if data is None or name not in data else data[name]
        low, high = ranges.get(name, FIT_RANGES[name])
        measurement = measurement.select(low, high)
        if rebin != 1:
            measurement = measurement.rebin(rebin)
        if measurement.num_bins < 3:
            raise ValueError(
                f"the range [{low}, {high}] leaves {measurement.num_bins} bins of {name}; a fit needs at least 3"
            )
        result[name] = measurement
    unknown = set(ranges) - set(observables)
    if unknown:
        raise ValueError(f"a range is given for {', '.join(sorted(unknown))}, which is not fitted")
    return result


def sampled_shapes(
    study: EventShapeFit,
    samples: Sequence[tuple[float, int]],
    num_events: int | None = None,
    on_events: Callable[[int], None] | None = None,
) -> list[dict[str, SampledShape]]:
    """Templates of independent samples, by observable.

    **Arguments**: `samples`: the shower's parameter and number of the random stream of each; `num_events` of each
    (default: as the study's); `on_events`: called with the number of events done, over all samples.
    """
    functions = {name: get_observable(name).function for name in study.measurements}
    count = SharedCount(on_events)

    def one(sample: tuple[float, int]) -> dict[str, SampledShape]:
        value, stream = sample
        shower = with_parameters(study.shower, {study.parameter: value})
        key = jax.random.fold_in(jax.random.key(study.seed), stream)
        number = num_events or study.num_events
        events, _ = moved_events(shower, shower, shower, key, number, functions, on_chunk=count.sample())
        return {name: SampledShape(model, events[name], events["weight"]) for name, model in study.models.items()}

    return in_threads(one, samples)


def densities(model: Any, **parameters: float) -> tuple[np.ndarray, np.ndarray]:
    """Density of a model in the fitted bins, and its Monte Carlo error."""
    with jax.enable_x64(True):
        prediction = _predict(model, {name: jax.numpy.asarray(value) for name, value in parameters.items()})
        return np.asarray(prediction.values), np.sqrt(np.diagonal(np.asarray(prediction.covariance)))


@eqx.filter_jit
def _predict(model: Any, parameters: Any) -> Any:
    return model(parameters)


@eqx.filter_jit
def _smearing_matrix(model: EventShapeModel, omega_1: Any) -> Any:
    return model.smearing_matrix(omega_1)


def template(study: EventShapeFit, name: str, value: float, omega_1: float) -> tuple[np.ndarray, np.ndarray]:
    """Density in the fitted bins, and its Monte Carlo error, at other parameter values (from the moved sample)."""
    return densities(study.models[name], **{study.parameter: value}, omega_1=omega_1)


def template_slope(study: EventShapeFit, name: str) -> tuple[np.ndarray, np.ndarray]:
    """d(density)/d ln θ at the sample's own parameter θ by autodiff, and its error from eight parts of the sample."""
    model = study.models[name]
    with jax.enable_x64(True):
        matrix = np.asarray(_smearing_matrix(model, jax.numpy.asarray(study.result.values["omega_1"])))
    widths = np.diff(model.edges)
    middle = int(np.argmin(np.abs(study.spectra.log_values - math.log(study.reference_value))))
    slope = matrix @ study.spectra.slopes[name][middle] / widths
    parts = study.spectra.slope_batches[name] @ matrix.T / widths
    return slope, parts.std(axis=0, ddof=1) / math.sqrt(parts.shape[0])
