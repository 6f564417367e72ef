"""`jaxhep move`: the events of a stored run at another Λ or α_s."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import whole_number

_HELP = """Move the events of a stored run to another Λ (Discrete QCD) or α_s, scale or cut-off (dipole shower): same
events, same noise, new kinematics and weights; exact, not first order.

RUN is an event file of `jaxhep shower`, or the folder of `jaxhep fit` (then its seed and parameters make the
events). The noise is drawn again from the seed, and the first batch must come out as it is stored. With an event
file as --output (by suffix) the moved events are written with their weights; otherwise --output is a folder for
histograms, before and after, with errors.
"""


def move(
    run: Annotated[Path, typer.Argument(help="Event file of `jaxhep shower`, or run folder of `jaxhep fit`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Event file (by suffix) or folder for histograms.")],
    lambda_qcd: Annotated[
        float | None, typer.Option("--lambda-qcd", help="The new Λ in GeV, of events of Discrete QCD.")
    ] = None,
    alpha_s: Annotated[
        float | None, typer.Option("--alpha-s", help="The new α_s(m_Z), of events of the dipole shower.")
    ] = None,
    scale_factor: Annotated[
        float | None, typer.Option(help="The new renormalisation scale over k_T, of events of the dipole shower.")
    ] = None,
    cutoff: Annotated[
        float | None, typer.Option(help="The new cut-off in GeV, of events of the dipole shower.")
    ] = None,
    observable: Annotated[
        list[str] | None,
        typer.Option(help="Observable to fill a histogram of; repeatable; folders only.", show_default="thrust"),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="N", help="Events in memory at once.", show_default="as stored"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished output file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output.")] = False,
) -> None:
    """See `_HELP`, which is what the user reads."""
    from ._session import UsageError, report_errors, start_session

    with report_errors():
        start_session()
        from ..formats import suffixes
        from ..observables import get_observable
        from ..studies.moved_run import open_run

        to_file = any(output.name.lower().endswith(suffix) for suffix in suffixes())
        if to_file and observable:
            raise UsageError("an event file holds no histograms; leave --observable out or give a folder as --output")
        if resume and not to_file:
            raise UsageError("--resume goes on with an event file; histograms are made anew with --force")
        names = tuple(dict.fromkeys(get_observable(name).name for name in observable or ["thrust"]))
        if output.resolve() == run.resolve():
            raise UsageError("--output is the run itself; choose another name")
        given = {"lambda_qcd": lambda_qcd, "alpha_s": alpha_s, "scale_factor": scale_factor, "cutoff": cutoff}
        values = {name: value for name, value in given.items() if value is not None}
        if not values:
            raise UsageError("say where to move the events: --lambda-qcd, or --alpha-s, --scale-factor, --cutoff")
        stored = open_run(run, batch_size)
        stored.at(values)  # refuses what cannot be reached
        if to_file:
            _events(stored, values, output, resume, force)
        else:
            _histograms(stored, values, names, output, force)


move.__doc__ = _HELP


def _events(stored: Any, values: dict[str, float], output: Path, resume: bool, force: bool) -> None:
    """The moved events into a file."""
    import contextlib

    from ..studies.moved_run import said
    from ._session import progress
    from ._shower import stream_with_advice

    total, (before, after) = stored.run.num_events, said(stored.run, values)
    weights = {"events": 0, "sum": 0.0, "square": 0.0}
    with contextlib.ExitStack() as stack:
        state: dict[str, Any] = {}

        def on_batch(done: int, total: int) -> None:
            if "update" not in state:
                stored.verify()
                state["first"] = done
                state["update"] = stack.enter_context(progress(total - done, "moving")) if done < total else None
            elif state["update"] is not None:
                state["update"](done - state["first"])

        def make_batch(start: int, count: int) -> Any:
            import numpy as np

            events = stored.events(start, count, values)
            weight = np.asarray(events.weight, float)
            weights["events"] += count
            weights["sum"] += float(weight.sum())
            weights["square"] += float((weight**2).sum())
            return events

        metadata = {
            "program": "jaxhep move",
            "moved_from": before,
            **values,
            "source": {**stored.run.metadata(), "num_events": total},
        }
        energy = stored.run.start[0]
        summary = stream_with_advice(
            output, make_batch, total, stored.batch_size, energy, metadata, resume, force, on_batch
        )
    typer.echo(f"{summary.path}: {summary.num_events:,} events moved from {before} to {after}")
    if weights["events"]:
        share = weights["sum"] ** 2 / weights["square"] / weights["events"]
        typer.echo(
            f"mean weight {weights['sum'] / weights['events']:.4f}; the weighted events count as "
            f"{100 * share:.1f} % of as many "
            "unweighted ones"
        )


def _histograms(stored: Any, values: dict[str, float], names: tuple[str, ...], output: Path, force: bool) -> None:
    """Histograms before and after: moved.json and one picture an observable."""
    from ..studies.moved_run import moved_histograms
    from ._session import make_run_folder, open_run_folder, progress, write_json

    if output.exists() and not force:
        make_run_folder(output, force)  # says that it exists, before anything is compiled
    stored.verify()
    settings = {"command": "move", "run": str(stored.path), **values, "observables": list(names)}
    folder = open_run_folder(output, settings, force, resume=False)
    with progress(stored.run.num_events, "moving") as update:
        result = moved_histograms(stored, values, names, on_chunk=update)
    write_json(folder / "moved.json", result.to_dict())
    for name in names:
        result.draw(name, folder / f"moved_{name}")
    typer.echo(f"{stored.run.num_events:,} events moved from {result.moved_from} to {result.moved_to}")
    for name in names:
        typer.echo(result.sentence(name))
    typer.echo(f"{folder}: moved.json, config.yaml, {', '.join(f'moved_{name}.png' for name in names)}")
