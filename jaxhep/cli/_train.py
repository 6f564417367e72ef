"""`jaxhep train`: a density learned from a data file."""

from pathlib import Path
from typing import Annotated, Any

import typer

_HELP = """Learn a density p(x|c) from weighted events, validate it on events held out, and publish it as one file.

CONFIG is a YAML file of five entries. data: file (.h5, .parquet, .npz, .csv), columns, condition, weights, and kinds
(positive, discrete or bounds of a column). density: family (flow, flow_matching, edm, vp, vae, gan) and options.
training: epochs, batch_size, learning_rate, patience, ema and the other settings of jaxhep.training. seed. name.

The run folder holds config.yaml, log.jsonl, checkpoint/, training.json, losses.png, corner.png, metrics.json and
density.npz, which `jaxhep sample` and jaxhep.densities.publish.read_density read. After an interrupt run the same
command with --resume. Exit code 0: trained; 2: wrong arguments or data.
"""


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of data, density and training.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder.")] = Path("jaxhep-train"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run of this folder.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier run folder.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write scalars for TensorBoard.")] = False,
) -> None:
    """See `_HELP`, which is what the user reads."""
    from ._session import report_errors, require_extra, start_session

    with report_errors():
        require_extra("flax", "learn")
        start_session()
        from ..studies.density_run import DensityRun, check

        run = DensityRun.read(config)
        if force and output.exists():
            check(run)  # An earlier run is not given up for one that would be refused.
        folder = _folder(run, output, resume, force)
        _run(run, folder, resume, tensorboard)


train.__doc__ = _HELP


def _folder(run: Any, output: Path, resume: bool, force: bool) -> Path:
    """A new run folder with config.yaml, or the one to resume, if it was begun with this configuration."""
    import yaml

    from ._session import UsageError, make_run_folder

    stored = output / "config.yaml"
    if resume and output.exists():
        if not stored.is_file():
            raise UsageError(f"{output} is no run folder of jaxhep train (no config.yaml); choose another --output")
        before = yaml.safe_load(stored.read_text())
        before.pop("command", None)
        now = run.to_dict()
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            raise UsageError(f"{output} was begun with another {changed[0]}; resume with its own config.yaml")
        return output
    folder = make_run_folder(output, force)
    content = {"command": "train", **run.to_dict()}
    stored.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return folder


def _run(run: Any, folder: Path, resume: bool, tensorboard: bool) -> None:
    import shutil
    import sys

    from rich.console import Console
    from rich.table import Table

    from ..studies.density_run import learn
    from ..training import JsonLines, NonFiniteLossError, ProgressBar, TensorBoard
    from ._session import UsageError
    from ._shower import resume_command

    bar = ProgressBar(f"training {run.name}")
    callbacks: list[Any] = [JsonLines(folder / "log.jsonl"), bar]
    if tensorboard:
        callbacks.append(TensorBoard(folder / "tensorboard"))
    try:
        learned = learn(run, folder, resume=resume, callbacks=callbacks)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"to go on: {resume_command()}")
        raise
    except NonFiniteLossError as error:
        raise UsageError(str(error)) from error
    except (ValueError, OSError, ImportError):
        # Refused before the first step: the folder holds nothing but the configuration.
        if not resume and not any((folder / "checkpoint").glob("[0-9]*")):
            shutil.rmtree(folder)
        raise
    finally:
        bar.close()
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(str(learned.training), markup=False)
    table = Table("metric", "value", title=f"{run.name}: events that were not trained on")
    for name, value in learned.rows():
        table.add_row(name, value)
    console.print(table)
    console.print(f"{folder}: density.npz, metrics.json, losses.png, corner.png, log.jsonl, checkpoint/", markup=False)
