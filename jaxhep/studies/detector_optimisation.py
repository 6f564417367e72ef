"""Optimising a sampling calorimeter: baseline, gradients under budgets, random rivals, and the hard re-evaluation."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from .._types import Key
from ..design import DesignResult, Measured, Problem, Progress, Sample, Settings, optimise
from .detector_optimisation_document import AREA, DesignError, DetectorDesign
from .detector_optimisation_task import DetectorTask

_STEP = 0.01
"""Thicknesses are rounded to this, in cm."""
_BASE, _RIVALS, _FINAL = 1, 2, 3
"""Numbers of the keys of the study's parts; the optimiser has key 0."""

DEFAULT = Settings(num_steps=300, batch_size=256, learning_rate=0.05, check_every=25, check_size=1024,
                   final_events=4096, patience=5)  # fmt: skip
"""Settings of the study."""


@dataclass(frozen=True)
class Rivals:
    """Random designs that spend the same budgets.

    Arguments:
        designs: their documents.
        found: their objectives, all on the same events.
        best: position of the best on these events; its value there is the lowest of many noisy ones, so biased low.
        measured: the best on fresh events.
    """

    designs: tuple[DetectorDesign, ...]
    found: tuple[Measured, ...]
    best: int
    measured: Measured


@dataclass(frozen=True)
class HardCheck:
    """Designs with whole numbers of cells, rounded thicknesses, hard thresholds and spots, on the same fresh events.

    Arguments:
        design: the optimised document after rounding.
        baseline: that of the start.
        rival: the best random design after rounding; None without rivals.
        measured: objectives by design, `baseline`, `optimised`, and `rival`.
        over_baseline, over_rival: baseline (rival) minus optimised, paired: positive is better.
        smooth: the optimised design before rounding, as it was optimised, on other events.
    """

    design: DetectorDesign
    baseline: DetectorDesign
    rival: DetectorDesign | None
    measured: Mapping[str, Measured]
    over_baseline: Measured
    over_rival: Measured | None
    smooth: Measured

    @property
    def gap(self) -> tuple[float, float]:
        """Hard minus smooth value of the objective, and its error."""
        hard = self.measured["optimised"]
        return hard.value - self.smooth.value, math.hypot(hard.error, self.smooth.error)


@dataclass(frozen=True)
class DetectorStudy:
    """An optimised detector and what speaks for it.

    Arguments:
        document: the start.
        optimised: the design found, not rounded.
        result: of the optimiser.
        scales: values of the objectives that count as 1: those of the start.
        rivals: random designs, or None.
        hard: the re-evaluation.
        seed: of all noise.
        problem: what was minimised.
    """

    document: DetectorDesign
    optimised: DetectorDesign
    result: DesignResult
    scales: Mapping[str, float]
    rivals: Rivals | None
    hard: HardCheck
    seed: int
    problem: Problem

    def __repr__(self) -> str:
        return f"{self.result.table()}\n{self.verdict()}"

    def _repr_html_(self) -> str:
        from html import escape

        return f"{self.result._repr_html_()}<p>{escape(self.verdict())}</p>"

    def verdict(self) -> str:
        """What the hard re-evaluation says, in sentences."""
        hard = self.hard
        lines = [
            "Hard re-evaluation (whole cells, spots, hard threshold, fresh events): the optimised design is better "
            f"than the start by {hard.over_baseline.value:.4f} ± {hard.over_baseline.error:.4f} of the objective"
        ]
        if hard.over_rival is not None and self.rivals is not None:
            lines.append(
                f" and than the best of {len(self.rivals.designs)} random designs by {hard.over_rival.value:.4f} ± "
                f"{hard.over_rival.error:.4f}"
            )
        gap, error = hard.gap
        return f"{''.join(lines)}; hard minus smooth value {gap:+.4f} ± {error:.4f}."


def to_budgets(document: DetectorDesign) -> DetectorDesign:
    """The document with its free thicknesses, and its cells, scaled by a factor, so that the budgets are spent.

    Arguments:
        document: with budgets on depth or channels; other budgets are left alone.

    Returns:
        A document whose depth and channels equal their limits, where a free row allows it and bounds do not interfere.
    """
    values = document.values()
    thick = [name for name in ("passive_thickness", "active_thickness") if name in document.free]
    if "depth" in document.budgets and thick:
        fixed = document.depth - sum(values[name].sum() for name in thick)
        factor = (document.budgets["depth"] - fixed) / sum(values[name].sum() for name in thick)
        for name in thick:
            values[name] = np.clip(values[name] * factor, *document.bounds[name])
    if "channels" in document.budgets and "cell_size" in document.free:
        factor = math.sqrt(document.channels / document.budgets["channels"])
        values["cell_size"] = np.clip(values["cell_size"] * factor, *document.bounds["cell_size"])
    return document.with_values(values)


def rounded(document: DetectorDesign) -> DetectorDesign:
    """What can be built: thicknesses in steps of 0.1 mm, a whole number of cells along each side of a square metre.

    Budgets are kept: cells are rounded down, and up again where channels are left; where thicknesses spend too much,
    the thickest layer loses a step.

    Arguments:
        document: any design.

    Returns:
        The rounded document; rows that are not free stay as they are.
    """
    values = document.values()
    thick = [name for name in ("passive_thickness", "active_thickness") if name in document.free]
    for name in thick:
        low, high = document.bounds[name]
        steps = np.clip(np.round(values[name] / _STEP), np.ceil(low / _STEP - 1e-9), np.floor(high / _STEP + 1e-9))
        values[name] = steps * _STEP
    limit = document.budgets.get("depth", math.inf)
    while thick and sum(values[n].sum() for n in ("passive_thickness", "active_thickness")) > limit + 1e-9:
        name = max(thick, key=lambda n: values[n].max())
        values[name][np.argmax(values[name])] -= _STEP
    if "cell_size" in document.free:
        side = math.sqrt(AREA)
        low, high = document.bounds["cell_size"]
        wanted = side / values["cell_size"]
        count = np.maximum(np.floor(wanted + 1e-9), math.ceil(side / high - 1e-9))
        # Up again, those that lost most first, as long as the budget allows.
        for layer in np.argsort(count - wanted):
            more = np.sum(count**2) + 2 * count[layer] + 1
            if more <= document.budgets.get("channels", math.inf) + 1e-6 and side / (count[layer] + 1) >= low:
                count[layer] += count[layer] < wanted[layer] - 1e-9
        values["cell_size"] = side / count
    return document.with_values(values)


def random_designs(document: DetectorDesign, count: int, seed: int) -> list[DetectorDesign]:
    """Random designs that spend the depth and the channels of the document's budgets.

    Free rows are drawn log-uniformly within a factor of three about the document's values, then scaled to the budgets.

    Arguments:
        document: start, budgets, bounds.
        count: how many.
        seed: of the draw.

    Returns:
        Documents.
    """
    rng = np.random.default_rng(seed)
    answer = []
    for _ in range(count):
        values = document.values()
        for name in document.free:
            common, each = rng.uniform(-0.5, 0.5), rng.uniform(-1.0, 1.0, document.num_layers)
            values[name] = np.clip(values[name] * 3.0 ** (common + each), *document.bounds[name])
        # A bound that cuts one layer after the scaling shifts the sum: a few rounds settle it.
        drawn = document.with_values(values)
        for _ in range(30):
            drawn = to_budgets(drawn)
        answer.append(drawn)
    return answer


def _rivals(
    problem: Problem,
    document: DetectorDesign,
    key: Key,
    seed: int,
    count: int,
    num_events: int,
    batch_size: int,
    on_design: Callable[[int], None] | None,
) -> Rivals:
    designs = random_designs(document, count, seed)
    found: list[Measured] = []
    # Two at a time, as the optimiser measures: no further program.
    for number in range(0, count, 2):
        two = [designs[min(number + i, count - 1)].values() for i in range(2)]
        sample = Sample.draw(problem, two, key, num_events, batch_size=batch_size)
        found += [sample.measured([1.0, 0.0]), sample.measured([0.0, 1.0])]
        if on_design is not None:
            on_design(min(number + 2, count))
    found = found[:count]
    best = int(np.argmin([one.value for one in found]))
    again = [designs[best].values()] * 2
    fresh = Sample.draw(problem, again, jax.random.fold_in(key, 1), 4 * num_events, batch_size=batch_size)
    return Rivals(tuple(designs), tuple(found), best, fresh.measured([1.0, 0.0]))


def hard_check(
    document: DetectorDesign,
    optimised: DetectorDesign,
    rival: DetectorDesign | None,
    scales: Mapping[str, float],
    key: Key,
    num_events: int,
    smooth: Measured,
    *,
    batch_size: int = 64,
    on_events: Callable[[int], None] | None = None,
) -> HardCheck:
    """Designs after rounding, with spots and a hard threshold, on the same fresh events.

    Arguments:
        document: the start; its own numbers, rounded, are the baseline.
        optimised, rival: what is compared with it.
        scales: of the objectives.
        key: of the events.
        num_events: of each design.
        smooth: the optimised design as it was optimised.
        batch_size: events in memory at once: each has tens of thousands of spots.
        on_events: called with the number of events done.

    Returns:
        `HardCheck`.
    """
    given = {"baseline": rounded(document), "optimised": rounded(optimised)}
    if rival is not None:
        given["rival"] = rounded(rival)
    problem = DetectorTask(document, hard=True).problem(scales)
    names = list(given)
    sample = Sample.draw(
        problem, [given[n].values() for n in names], key, num_events, batch_size=batch_size, on_events=on_events
    )

    def measured(factors: Mapping[str, float]) -> Measured:
        return sample.measured([factors.get(name, 0.0) for name in names])

    return HardCheck(
        given["optimised"],
        given["baseline"],
        given.get("rival"),
        {name: measured({name: 1.0}) for name in names},
        measured({"baseline": 1.0, "optimised": -1.0}),
        measured({"rival": 1.0, "optimised": -1.0}) if rival is not None else None,
        smooth,
    )


def optimise_detector(
    document: DetectorDesign,
    *,
    seed: int = 1,
    settings: Settings = DEFAULT,
    num_random: int = 200,
    random_events: int = 512,
    hard_events: int = 4096,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_stage: Callable[[str, int, int], None] | None = None,
) -> DetectorStudy:
    """Optimises a detector design by gradients and checks the result against the start and against random designs.

    Arguments:
        document: the start, what is free, budgets, weights.
        seed: of all noise; the same seed gives the same trajectory.
        settings: of the optimiser.
        num_random: random rivals with the same budgets; 0 for none.
        random_events: events of each rival, the same for all.
        hard_events: events of the hard re-evaluation of each design.
        checkpoint, resume: as for `jaxhep.design.optimise`.
        on_progress: called with the optimiser's progress.
        on_stage: called with a stage ("random", "hard"), what is done and what there is to do.

    Returns:
        `DetectorStudy`.

    Raises:
        DesignError, InfeasibleError, CheckpointError: before anything long begins.
    """
    if num_random < 0 or hard_events < 2 or random_events < 2:
        raise DesignError("num_random must be at least 0, random_events and hard_events at least 2")
    key = jax.random.key(seed)
    task = DetectorTask(document)
    bare = task.problem()
    base = Sample.draw(
        bare,
        [document.values()] * 2,
        jax.random.fold_in(key, _BASE),
        settings.final_events,
        batch_size=settings.check_size,
    ).measured([1.0, 0.0])
    scales = {name: value for name, (value, _) in base.objectives.items()}
    problem = bare.with_weights(
        {name: w / scales[name] for name, w in document.weights.items() if w} | {n: 0.0 for n in bare.objective_names
         if not document.weights.get(n, 0.0)}
    )  # fmt: skip
    result = optimise(
        problem, jax.random.fold_in(key, 0), settings, checkpoint=checkpoint, resume=resume, on_progress=on_progress
    )
    optimised = document.with_values(result.design)
    rivals = None
    if num_random:
        stage = None if on_stage is None else (lambda done: on_stage("random", done, num_random))
        rivals = _rivals(
            problem,
            document,
            jax.random.fold_in(key, _RIVALS),
            seed,
            num_random,
            random_events,
            settings.check_size,
            stage,
        )
    report = None if on_stage is None else (lambda done: on_stage("hard", done, hard_events))
    hard = hard_check(
        document,
        optimised,
        rivals.designs[rivals.best] if rivals else None,
        scales,
        jax.random.fold_in(key, _FINAL),
        hard_events,
        result.objective,
        on_events=report,
    )
    return DetectorStudy(document, optimised, result, scales, rivals, hard, seed, problem)


__all__ = [
    "DEFAULT",
    "DetectorStudy",
    "HardCheck",
    "Rivals",
    "hard_check",
    "optimise_detector",
    "random_designs",
    "rounded",
    "to_budgets",
]
