"""`jaxhep optimise-detector`: a better calorimeter for the same budget, by gradients."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import whole_number

_HELP = """Optimise a sampling calorimeter by gradients under its budgets; check it with hard thresholds.

DESIGN is a JSON or YAML document (write one with --example design.json); without it, 10 equal layers of lead and liquid
argon under their own depth and number of channels. Writes a folder with the optimised document, result.json,
trajectory, curves, front, sensitivities, and pictures. An interrupted run goes on with --resume, on its trajectory.

Exit code 0: done; 1: the optimised design is not better than the start by two standard errors; 2: wrong arguments.
"""

_STATE = "state.npz"


def optimise_detector(
    design: Annotated[Path | None, typer.Argument(help="Design document, .json or .yaml.", show_default=False)] = None,
    num_steps: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Steps of the optimiser, at most.")
    ] = 300,
    batch_size: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Events of a step.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, in free coordinates.")] = 0.05,
    restarts: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Starts: the document's own, then random ones.")
    ] = 1,
    num_random: Annotated[int, typer.Option(help="Random designs of the same budgets; 0 for none.")] = 200,
    hard_events: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Events of the hard re-evaluation.")
    ] = 2048,
    curve_events: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Photons of each curve and of the information.")
    ] = 8192,
    sensitivity: Annotated[int, typer.Option(help="Batches of 512 events for the sensitivities; 0 for none.")] = 8,
    front: Annotated[int, typer.Option(help="Further points of the Pareto front, 0 to 8.")] = 2,
    second: Annotated[
        bool, typer.Option("--second/--no-second", help="Second derivatives and tolerances (dear).")
    ] = False,
    weight: Annotated[
        list[str] | None, typer.Option(help="OBJECTIVE=WEIGHT in place of the document's; repeatable.")
    ] = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="BUDGET=LIMIT in place of the document's; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all noise.")] = 1,
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder.")] = Path("jaxhep-detector"),
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier run folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in the folder.")] = False,
    example: Annotated[
        Path | None, typer.Option(help="Write the default document here and do nothing else.", show_default=False)
    ] = None,
) -> None:
    """See `_HELP`, which is what the user reads."""
    from ._session import UsageError, report_errors, start_session

    with report_errors():
        # First of all: what quietens JAX counts only before it is loaded.
        start_session()
        from ..studies.detector_optimisation_document import DetectorDesign, read_design

        if example is not None:
            _write_example(example, force)
            return
        import importlib.util

        if importlib.util.find_spec("optax") is None:
            raise UsageError('the optimiser needs optax: pip install "jaxhep[learn]"')
        if not 0 <= seed < 2**63:
            raise UsageError(f"--seed must be a whole number from 0 to 2^63 − 1, got {seed}")
        if not 0 <= front <= 8:
            raise UsageError(f"--front must be from 0 to 8, got {front}")
        if sensitivity and sensitivity < 4:
            raise UsageError(f"--sensitivity must be 0 or at least 4, got {sensitivity}")
        if curve_events < 256:
            raise UsageError(f"--curve-events must be at least 256, got {curve_events}")
        if num_random < 0:
            raise UsageError(f"--num-random must be at least 0, got {num_random}")
        document = DetectorDesign.uniform(10) if design is None else read_design(design)
        content = document.to_dict()
        for name, texts in (("weights", weight), ("budgets", budget)):
            content[name] |= _pairs(name[:-1], texts or [])
        document = DetectorDesign.from_dict(content)
        config = {
            "command": "optimise-detector",
            "num_steps": num_steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "restarts": restarts,
            "num_random": num_random,
            "hard_events": hard_events,
            "curve_events": curve_events,
            "sensitivity": sensitivity,
            "front": front,
            "second": second,
            "seed": seed,
            "design": document.to_dict(),
        }
        _run(document, config, output, force, resume)


optimise_detector.__doc__ = _HELP


def _write_example(path: Path, force: bool) -> None:
    from ..studies.detector_optimisation_document import DetectorDesign
    from ._session import UsageError

    if path.exists() and not force:
        raise UsageError(f"{path} exists; choose another name or overwrite it with --force")
    document = DetectorDesign.uniform(10)
    if path.suffix in (".yaml", ".yml"):
        import yaml

        path.write_text(yaml.safe_dump(document.to_dict(), sort_keys=False, allow_unicode=True))
    else:
        path.write_text(document.to_json())
    typer.echo(f"{path}: change it, then run jaxhep optimise-detector {path}")


def _pairs(word: str, texts: list[str]) -> dict[str, float]:
    from ._session import UsageError

    answer = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            answer[name] = float(number)
        except ValueError:
            raise UsageError(f"--{word} {text}: write NAME=NUMBER, e.g. depth=20") from None
    return answer


def _run(document: Any, config: dict[str, Any], output: Path, force: bool, resume: bool) -> None:
    import dataclasses
    import time

    from rich.console import Console

    from ..studies import detector_optimisation as study_module
    from ..studies.detector_optimisation_report import content, draw, report
    from ..studies.detector_optimisation_task import DetectorTask
    from ._session import UsageError, open_run_folder, progress, write_json

    if output.exists() and not (force or resume):
        raise UsageError(f"{output} exists; choose another --output or overwrite it with --force")
    begin = time.perf_counter()
    settings = dataclasses.replace(
        study_module.DEFAULT,
        **{name: config[name] for name in ("num_steps", "batch_size", "learning_rate", "restarts")},
    )
    # What cannot be met is refused before the folder is made.
    from ..design.lagrangian import feasible

    feasible(DetectorTask(document).problem(), document.values())
    folder = open_run_folder(output, config, force, resume)
    (folder / "design_start.json").write_text(document.to_json())
    console = Console()
    console.print(
        f"Optimising {document.num_layers} layers of {document.passive} and {document.active}; compiling takes a while "
        "the first time."
    )
    state = folder / _STATE
    steps = -(-settings.num_steps // settings.check_every) * settings.check_every * settings.batch_size
    size = settings.check_size
    with progress(steps + size * config["num_random"] + config["hard_events"], "steps, random, hard") as bar:

        def advance(step: Any) -> None:
            bar(step.step * settings.batch_size)

        def on_stage(stage: str, done: int, count: int) -> None:
            before = {"random": steps, "hard": steps + size * config["num_random"]}[stage]
            bar(before + done * (size if stage == "random" else 1))

        study = study_module.optimise_detector(
            document,
            seed=config["seed"],
            settings=settings,
            num_random=config["num_random"],
            hard_events=config["hard_events"],
            checkpoint=state,
            resume=resume and state.exists(),
            on_progress=advance,
            on_stage=on_stage,
        )
    console.print(study.result.table(), markup=False, highlight=False)
    study.result.write_trajectory(folder / "trajectory.csv")
    factors = _factors(config["front"])
    with progress(max(len(factors), 1), "curves, sensitivities, front") as bar:
        more = report(
            study,
            num_events=config["curve_events"],
            num_sensitivity=config["sensitivity"],
            second=config["second"],
            front_factors=factors,
            on_stage=lambda stage, done, count: bar(done) if stage == "front" else None,
        )
    draw(study, more, folder)
    (folder / "design.json").write_text(study.hard.design.to_json())
    write_json(folder / "result.json", content(study, more) | {"wall_seconds": time.perf_counter() - begin})
    state.unlink(missing_ok=True)
    _show(console, study, more, folder)
    if not study.hard.over_baseline.value > 2 * study.hard.over_baseline.error:
        raise typer.Exit(1)


def _factors(count: int) -> tuple[float, ...]:
    """Factors on the weight of separation, spread evenly in logarithm from 1/6 to 6, without 1."""
    if count == 0:
        return ()
    import numpy as np

    half = -(-count // 2)
    lower = 1 / np.geomspace(6 ** (1 / half), 6, half)
    upper = np.geomspace(6 ** (1 / half), 6, half)[: count - half]
    return tuple(float(x) for x in sorted([*lower, *upper]))


def _show(console: Any, study: Any, more: Any, folder: Path) -> None:
    from rich.table import Table

    table = Table(title="Hard re-evaluation, on the same fresh events")
    table.add_column("objective")
    names = list(study.hard.measured)
    for name in names:
        table.add_column(name.replace("rival", "best random"), justify="right")
    for objective in study.problem.objective_names:
        cells = [study.hard.measured[name].objectives[objective] for name in names]
        table.add_row(objective, *(f"{value:.4g} ± {error:.2g}" for value, error in cells))
    table.add_row("total", *(f"{study.hard.measured[n].value:.4f} ± {study.hard.measured[n].error:.4f}" for n in names))
    console.print(table)
    for name, one in (("start", more.before), ("optimised", more.after)):
        if one.fit is not None:
            console.print(f"{name}: {one.fit!r}", markup=False, highlight=False)
    for name, found in more.information.items():
        console.print(
            f"{name}: σ/E at 62.6 GeV {found.achieved:.4f}, Cramér–Rao bound {found.bound:.4f}", highlight=False
        )
    console.print(study.verdict(), markup=False)
    console.print(f"{folder}: design.json, result.json, trajectory.csv, config.yaml and pictures", markup=False)
