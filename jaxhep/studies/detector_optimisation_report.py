"""What a designer wants to see of an optimised detector: curves, sensitivities, information, front, pictures, files."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Key
from ..design import (
    FrontPoint,
    Measured,
    Sensitivity,
    Settings,
    cramer_rao,
    gaussian_information,
    hypervolume,
    non_dominated,
    sensitivity,
    trace_front,
)
from ..plots import (
    design_trajectory,
    detector_drawing,
    pareto_front,
    resolution_curves,
    save_figure,
    sensitivity_profile,
)
from ..reconstruction import (
    ResolutionCurve,
    ResolutionFit,
    best_weights,
    fit_energy_scale,
    fit_resolution,
    resolution_curve,
)
from .detector_optimisation import DetectorStudy
from .detector_optimisation_document import FREE, DetectorDesign
from .detector_optimisation_task import HIGGS_PHOTON, DetectorTask

_TRAIN, _TEST, _INFORMATION, _SENSITIVITY, _FRONT = 11, 12, 13, 14, 15
_STEP = 0.05
"""Of ln E, for the derivatives of means and covariances with respect to the energy: ± this."""


@dataclasses.dataclass(frozen=True)
class EnergyPerformance:
    """A design's energy measurement on new photons, calibrated on others.

    Arguments:
        weights: of the layers.
        curve: bias and resolution.
        fit: the three terms, from the rms; None where fewer than three bins are filled.
    """

    weights: np.ndarray
    curve: ResolutionCurve
    fit: ResolutionFit | None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "layer_weights": self.weights.tolist(),
            "curve": self.curve.to_dict(),
            "fit": None if self.fit is None else self.fit.to_dict(),
        }


@dataclasses.dataclass(frozen=True)
class EnergyInformation:
    r"""What the layer signals of a photon of 62.6 GeV know about ln E, and how much of it the linear calibration uses.

    Arguments:
        information: Fisher information on ln E of Gaussian signals, with the part of their covariance.
        bound: \(1/\sqrt I\), the least σ/E of an unbiased estimate.
        achieved: σ/E of the best linear weights for this energy, from the same moments: the mean's part alone.
    """

    information: float
    bound: float
    achieved: float

    def to_dict(self) -> dict[str, float]:
        """Plain numbers."""
        return dataclasses.asdict(self)


@partial(jax.jit, static_argnames=("task", "size"))
def _signals(task: DetectorTask, design: dict[str, Array], key: Key, low: Array, high: Array, size: int) -> Any:
    def one(number: Array) -> tuple[Array, Array]:
        noise = task.noise(jax.random.fold_in(key, number))
        energy = low * (high / low) ** noise["energy"]
        return task.signals(design, energy, jax.tree.map(lambda x: x[0], noise["photons"])), energy

    return jax.vmap(one)(jnp.arange(size))


def energy_performance(
    document: DetectorDesign, key: Key, num_events: int = 16_384, num_bins: int = 6, task: DetectorTask | None = None
) -> EnergyPerformance:
    """Calibrates a design on one sample of photons and measures bias and resolution on another.

    Arguments:
        document: the design.
        key: of both samples.
        num_events: of each.
        num_bins: in ln E.
        task: to share a compiled program among designs of one document.

    Returns:
        `EnergyPerformance`.
    """
    task = DetectorTask(document) if task is None else task
    physics = document.physics
    design = {name: jnp.asarray(value, float) for name, value in document.values().items()}
    samples = [
        _signals(task, design, jax.random.fold_in(key, i), jnp.asarray(physics.lowest), jnp.asarray(physics.highest),
                 num_events)
        for i in (_TRAIN, _TEST)
    ]  # fmt: skip
    scale = fit_energy_scale(*samples[0], ridge=1e-5)
    signals, energies = samples[1]
    edges = np.geomspace(physics.lowest, physics.highest, num_bins + 1)
    curve = resolution_curve(energies, signals @ scale.weights, edges)
    good = np.isfinite(curve.rms) & (curve.rms_error > 0)
    fit = None
    if good.sum() >= 3:
        fit = fit_resolution(curve.truth[good], curve.rms[good], curve.rms_error[good])
    return EnergyPerformance(np.asarray(scale.weights, np.float64), curve, fit)


def energy_information(
    document: DetectorDesign, key: Key, num_events: int = 16_384, task: DetectorTask | None = None
) -> EnergyInformation:
    """The Fisher information of the layer signals on ln E at 62.6 GeV; arguments as for `energy_performance`.

    Means and covariances at E e^{±0.05} on the same noise give the derivatives.
    """
    task = DetectorTask(document) if task is None else task
    design = {name: jnp.asarray(value, float) for name, value in document.values().items()}
    moments = []
    for shift in (-_STEP, 0.0, _STEP):
        energy = jnp.asarray(HIGGS_PHOTON * math.exp(shift))
        signals, _ = _signals(task, design, jax.random.fold_in(key, _INFORMATION), energy, energy, num_events)
        rows = np.asarray(signals, np.float64)
        moments.append((rows.mean(0), np.cov(rows, rowvar=False)))
    slope, covariance_slope = ((up - down) / (2 * _STEP) for up, down in zip(moments[2], moments[0], strict=True))
    mean, covariance = moments[1]
    # A ridge as in the calibration: a layer that hardly ever sees the shower must not carry the answer.
    ridge = 1e-5 * np.trace(covariance) / len(mean) * np.eye(len(mean))
    with jax.enable_x64(True):
        noisy = jnp.asarray(covariance + ridge)
        information = gaussian_information(
            jnp.asarray(slope)[:, None], noisy, jnp.asarray(covariance_slope)[:, :, None]
        )[0, 0]
        bound = float(cramer_rao(information))
        centre = jnp.asarray(mean)
        weights = np.asarray(best_weights(centre, jnp.asarray(covariance) + jnp.outer(centre, centre), 1e-5))
    achieved = math.sqrt(weights @ covariance @ weights) / float(weights @ mean)
    return EnergyInformation(float(information), bound, achieved)


@dataclasses.dataclass(frozen=True)
class DetectorReport:
    """Everything about a study that is not in the optimisation itself.

    Arguments:
        before, after: energy performance of the start and of the optimised design, both rounded.
        information: by design, `before` and `after`.
        sensitivity: of the optimised design; None if not asked for.
        front: optima for other weights of separation against resolution; empty if not asked for.
        hypervolume: of the front with the optimum and the random designs, and of the random designs alone, in
            (resolution, separation) relative to the start; None without a front.
    """

    before: EnergyPerformance
    after: EnergyPerformance
    information: Mapping[str, EnergyInformation]
    sensitivity: Sensitivity | None
    front: tuple[FrontPoint, ...]
    hypervolume: tuple[float, float] | None


def report(
    study: DetectorStudy,
    *,
    num_events: int = 16_384,
    num_sensitivity: int = 8,
    second: bool = False,
    front_factors: tuple[float, ...] = (0.2, 5.0),
    front_settings: Settings | None = None,
    on_stage: Callable[[str, int, int], None] | None = None,
) -> DetectorReport:
    """Curves, information, sensitivities and front of a finished study.

    Arguments:
        study: of `optimise_detector`.
        num_events: photons of each curve.
        num_sensitivity: batches of the sensitivities; 0 for none.
        second: also second derivatives and tolerances (by differences of gradients; as many times dearer as there are
            free numbers).
        front_factors: the weight of `separation` times each of these gives a point of the front; empty for none.
        front_settings: of each of these optimisations, which begin at the optimum.
        on_stage: called with a stage, what is done and what there is to do.

    Returns:
        `DetectorReport`.
    """
    key = jax.random.fold_in(jax.random.key(study.seed), 100)
    task = DetectorTask(study.document)
    stage = on_stage or (lambda *_: None)
    performance, information = {}, {}
    for name, document in (("before", study.hard.baseline), ("after", study.hard.design)):
        performance[name] = energy_performance(document, key, num_events, task=task)
        information[name] = energy_information(document, key, num_events, task=task)
    found = None
    problem = study.problem
    if num_sensitivity:
        found = sensitivity(
            problem,
            study.result.design,
            jax.random.fold_in(key, _SENSITIVITY),
            num_batches=max(4, num_sensitivity),
            batch_size=512,
            second="difference" if second else "none",
            on_batch=lambda done: stage("sensitivity", done, max(4, num_sensitivity)),
        )
    front: list[FrontPoint] = []
    weight = float(problem.weights[problem.objective_names.index("separation")])
    volumes = None
    if front_factors and weight > 0:
        settings = front_settings or Settings(
            num_steps=75, batch_size=256, check_size=1024, final_events=4096, learning_rate=0.03, patience=3
        )
        front = trace_front(
            problem,
            jax.random.fold_in(key, _FRONT),
            [{"separation": weight * factor} for factor in sorted(front_factors)],
            settings,
            start=study.result.design,
            on_point=lambda done: stage("front", done, len(front_factors)),
        )
        volumes = _volumes(study, front)
    return DetectorReport(performance["before"], performance["after"], information, found, tuple(front), volumes)


def _relative(study: DetectorStudy, measured: Any) -> tuple[list[float], list[float]]:
    """(resolution, separation) over those of the start, and errors."""
    names = ("resolution", "separation")
    return [measured.objectives[n][0] / study.scales[n] for n in names], [
        measured.objectives[n][1] / study.scales[n] for n in names
    ]


def _with_origin(front: Sequence[FrontPoint]) -> list[Measured]:
    """What the points of the front and, last, the optimum that they were begun at have on the same events."""
    return [*(point.measured for point in front), front[0].origin]


def _volumes(study: DetectorStudy, front: list[FrontPoint]) -> tuple[float, float] | None:
    if study.rivals is None:
        return None
    random = [_relative(study, one)[0] for one in study.rivals.found]
    own = [_relative(study, one)[0] for one in _with_origin(front)]
    corner = [1.5, 1.5]
    return hypervolume(own + random, corner), hypervolume(random, corner)


def content(study: DetectorStudy, more: DetectorReport) -> dict[str, Any]:
    """The numbers of `result.json`."""
    hard = study.hard
    answer: dict[str, Any] = {
        "optimisation": study.result.to_dict(),
        "scales": dict(study.scales),
        "seed": study.seed,
        "hard": {
            "designs": {name: one.to_dict() for name, one in hard.measured.items()},
            "better_than_start": hard.over_baseline.to_dict(),
            "better_than_best_random": None if hard.over_rival is None else hard.over_rival.to_dict(),
            "hard_minus_smooth": {"value": hard.gap[0], "error": hard.gap[1]},
        },
        "random": None,
        "energy": {"before": more.before.to_dict(), "after": more.after.to_dict()},
        "information": {name: one.to_dict() for name, one in more.information.items()},
        "sensitivity": None if more.sensitivity is None else more.sensitivity.to_dict(),
        "front": [point.to_dict() for point in more.front],
        "hypervolume": None,
        "verdict": study.verdict(),
    }
    if study.rivals is not None:
        rivals = study.rivals
        answer["random"] = {
            "count": len(rivals.designs),
            "best_on_the_sample_it_was_chosen_on": rivals.found[rivals.best].to_dict(),
            "best_on_fresh_events": rivals.measured.to_dict(),
            "design": rivals.designs[rivals.best].to_dict(),
        }
    if more.hypervolume is not None:
        answer["hypervolume"] = {"front_and_random": more.hypervolume[0], "random_alone": more.hypervolume[1]}
    return answer


def draw(study: DetectorStudy, more: DetectorReport, folder: Path) -> list[Path]:
    """The pictures of a study as PNG; returns the files."""
    files: list[Path] = []

    def keep(axes: Any, name: str) -> None:
        files.extend(save_figure(axes.figure, folder / name, ("png",)))

    result = study.result
    path = result.trajectory
    keep(
        design_trajectory(
            path["objective"], path["error"], best=result.best_restart, ylabel="objective (start: sum of weights)"
        ),
        "trajectory",
    )
    curves, fits = {}, {}
    for name, one in (("start", more.before), ("optimised", more.after)):
        curve = one.curve
        curves[name] = (curve.rms, curve.rms_error, curve.bias, curve.bias_error)
        if one.fit is not None:
            fits[name] = one.fit
    if all(np.all(np.isfinite(x)) for row in curves.values() for x in row):
        keep(resolution_curves(more.after.curve.truth, curves, fits=fits)[0], "resolution")
    rows = {
        name: (one.passive_thickness, one.active_thickness, one.cell_size)
        for name, one in (("start", study.hard.baseline), ("optimised", study.hard.design))
    }
    keep(detector_drawing(rows, materials=(study.document.passive, study.document.active)), "detector")
    if more.sensitivity is not None:
        found, parts = more.sensitivity, {}
        for name in FREE:
            where = [i for i, label in enumerate(found.labels) if label.split("[")[0] == name]
            if where:
                parts[name.replace("_", " ")] = (found.elasticity[where], found.elasticity_error[where])
        keep(sensitivity_profile(parts), "sensitivity")
    if more.front:
        points, errors = zip(*(_relative(study, one) for one in _with_origin(more.front)), strict=True)
        good = non_dominated(points, errors)
        others: dict[str, Any] = {"start": [[1.0, 1.0]], "optimised": [points[-1]]}
        if study.rivals is not None:
            others["random designs"] = [_relative(study, one)[0] for one in study.rivals.found]
        keep(
            pareto_front(
                np.array(points)[good],
                np.array(errors)[good],
                others=others,
                xlabel=r"$\sigma_E/E$ over that of the start",
                ylabel=r"$\gamma/\pi^0$ confusion over that of the start",
            ),
            "pareto_front",
        )
    return files


__all__ = [
    "DetectorReport",
    "EnergyInformation",
    "EnergyPerformance",
    "content",
    "draw",
    "energy_information",
    "energy_performance",
    "report",
]
