"""`jaxhep shower`: events into a file, streaming and resumable."""

import contextlib
import functools
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ._options import (
    AlphaS,
    BatchSize,
    Capacity,
    Cmw,
    Cutoff,
    Energy,
    Mode,
    NumFlavours,
    ScaleFactor,
    Seed,
    whole_number,
)

_HELP = """Shower e+e− → qq̄ events and write them to a file, by suffix .hepmc, .hepmc.gz, .h5, .hdf5, .root or
.parquet.

Events are written batch by batch. After an interrupt or on a full disk nothing written is lost: run the same
command with --resume. The file remembers its parameters and seed, so that `jaxhep move` can move the events to
another Λ or α_s.
"""


def shower(
    output: Annotated[Path, typer.Argument(help="File to write; its suffix says the format.")],
    num_events: Annotated[
        int, typer.Option("--num-events", "-n", parser=whole_number, metavar="N", help="Number of events, e.g. 1e6.")
    ] = 100_000,
    shower: Annotated[
        Literal["discrete", "dipole"], typer.Option(help="Discrete QCD, with Λ; or the dipole shower, with α_s(m_Z).")
    ] = "discrete",
    energy: Energy = 91.1876,
    lambda_qcd: Annotated[
        float | None, typer.Option("--lambda-qcd", help="Λ of Discrete QCD in GeV.", show_default="0.2")
    ] = None,
    alpha_s: AlphaS = None,
    cutoff: Cutoff = None,
    scale_factor: ScaleFactor = None,
    cmw: Cmw = None,
    capacity: Capacity = None,
    mode: Mode = None,
    n_f: NumFlavours = None,
    matrix_element: Annotated[
        bool,
        typer.Option("--matrix-element/--no-matrix-element", help="First emission by its matrix element."),
    ] = False,
    quark_colour: Annotated[
        Literal["C_A/2", "C_F"] | None,
        typer.Option(help="Colour factor at the quark ends in Discrete QCD.", show_default="C_A/2"),
    ] = None,
    hard_process: Annotated[
        bool,
        typer.Option(
            "--hard-process/--no-hard-process", help="Flavours and angles of γ*/Z → qq̄; without, quarks fly along z."
        ),
    ] = True,
    lowest_lambda: Annotated[
        float | None,
        typer.Option(help="Smallest Λ in GeV to which events of Discrete QCD can be moved.", show_default="Λ/1.25"),
    ] = None,
    seed: Seed = 1,
    noise: Annotated[Literal["random", "sobol"], typer.Option(help="Pseudo-random or quasi-random noise.")] = "random",
    batch_size: BatchSize = 20_000,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run of this file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file or unfinished run.")] = False,
) -> None:
    """See `_HELP`, which is what the user reads."""
    from ._session import report_errors, start_session

    with report_errors():
        start_session()
        from ..studies.dipole_run import run_of

        kind = run_of({"shower": shower})
        common: dict[str, Any] = {
            "num_events": num_events,
            "energy": energy,
            "matrix_element": matrix_element,
            "hard_process": hard_process,
            "seed": seed,
            "noise": noise,
        }
        own: dict[str, Any] = {"lambda_qcd": lambda_qcd, "mode": mode, "n_f": n_f, "quark_colour": quark_colour}
        own |= {"lowest_lambda": lowest_lambda, "alpha_s": alpha_s, "cutoff": cutoff}
        own |= {"scale_factor": scale_factor, "cmw": cmw, "capacity": capacity}
        given = {name: value for name, value in own.items() if value is not None}
        check_options(shower, given, kind)
        run = kind(**common, **given)
        _write(run, output, min(batch_size, num_events), resume, force)


shower.__doc__ = _HELP


def check_options(shower: str, given: dict[str, Any], kind: type) -> None:
    """Refuses options of the other shower."""
    from ._session import UsageError

    foreign = [name for name in given if name not in kind.__dataclass_fields__]  # type: ignore[attr-defined]
    if foreign:
        option = "--" + foreign[0].replace("_", "-")
        raise UsageError(f"{option} is no option of --shower {shower}; leave it out or choose the other shower")


def _write(run: Any, output: Path, batch_size: int, resume: bool, force: bool) -> None:
    from ._session import progress

    sums, begin = Sums(), time.perf_counter()
    with contextlib.ExitStack() as stack:
        state: dict[str, Any] = {}

        def on_batch(done: int, total: int) -> None:
            if "update" not in state:
                state["first"] = done
                sums.add_stored(output, done, batch_size)
                state["update"] = stack.enter_context(progress(total - done, "showering")) if done < total else None
            elif state["update"] is not None:
                state["update"](done - state["first"])

        simulator = run.simulator()

        def make_batch(start: int, count: int) -> Any:
            events = run.events(start, count, simulator=simulator, compiled_size=batch_size)
            sums.add(events, batch_size)
            return events

        summary = stream_with_advice(
            output, make_batch, run.num_events, batch_size, run.start[0], run.metadata(), resume, force, on_batch
        )
    sums.report(summary, time.perf_counter() - begin)


def stream_with_advice(
    output: Path,
    make_batch: Any,
    num_events: int,
    batch_size: int,
    energy: float,
    metadata: dict[str, Any],
    resume: bool,
    force: bool,
    on_batch: Any,
) -> Any:
    """`stream_events`; when it is interrupted or the disk is full, the error also says which command goes on."""
    from ..formats import OutputExistsError, RunMismatchError, stream_events
    from ..formats.run import partial_folder

    try:
        return stream_events(
            output,
            make_batch,
            num_events,
            batch_size=batch_size,
            energy=energy,
            metadata=metadata,
            resume=resume,
            force=force,
            on_batch=on_batch,
        )
    except BaseException as error:
        if not isinstance(error, OutputExistsError | RunMismatchError) and partial_folder(output).is_dir():
            error.add_note(f"to go on: {resume_command()}")
        raise


def resume_command() -> str:
    """The command line of this process with --resume in place of --force."""
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--force", "--resume")]
    return shlex.join(["jaxhep", *arguments, "--resume"])


class Sums:
    """Running sums over the events for the summary, in float64."""

    def __init__(self) -> None:
        self.weight = self.square = self.particles = self.shape = self.shape_square = self.shape_linear = 0.0
        self.events = self.overflow = 0

    def add(self, events: Any, size: int) -> None:
        """Adds a batch, filled up to `size` events so that one compiled program serves all batches."""
        import jax
        import numpy as np

        momenta, mask = np.asarray(events.momenta), np.asarray(events.mask)
        count = momenta.shape[0]
        if count < size:
            momenta = np.concatenate([momenta, np.repeat(momenta[-1:], size - count, axis=0)])
            mask = np.concatenate([mask, np.repeat(mask[-1:], size - count, axis=0)])
        # Few events have as many particles as there are slots; a shorter array is as good and much faster.
        longest = int(mask.sum(1).max())
        slots = min(mask.shape[1], max(8, 1 << (longest - 1).bit_length()))
        shape = np.asarray(jax.device_get(_shapes()(momenta[:, :slots], mask[:, :slots])), float)[:count]
        weight = np.asarray(events.weight, float)
        self.events += count
        self.overflow += int(np.sum(np.asarray(events.overflow)))
        self.weight += float(weight.sum())
        self.square += float((weight**2).sum())
        self.particles += float(weight @ mask[:count].sum(1))
        self.shape += float(weight @ shape)
        self.shape_linear += float(weight**2 @ shape)
        self.shape_square += float(weight**2 @ shape**2)

    def add_stored(self, output: Path, done: int, batch_size: int) -> None:
        """Adds what an earlier, interrupted process wrote."""
        if not done:
            return
        from ..formats import read_events
        from ..formats.run import partial_folder

        source = partial_folder(output)
        for batch in read_events(source if source.is_dir() else output, 0, done, batch_size=batch_size):
            self.add(batch, batch_size)

    def mean_shape(self) -> tuple[float, float]:
        """⟨1−T⟩ and its error."""
        mean = self.shape / self.weight
        spread = self.shape_square - 2 * mean * self.shape_linear + mean**2 * self.square
        return mean, max(spread, 0.0) ** 0.5 / self.weight

    def report(self, summary: Any, seconds: float) -> None:
        """Prints the summary."""
        from rich.console import Console
        from rich.table import Table

        mean, error = self.mean_shape()
        table = Table(show_header=False, box=None)
        resumed = f" ({summary.num_resumed:,} of them from before)" if summary.num_resumed else ""
        for name, value in (
            ("file", str(summary.path)),
            ("size", f"{summary.num_bytes / 1e6:,.1f} MB"),
            ("events", f"{summary.num_events:,}{resumed}"),
            (
                "rate",
                f"{(summary.num_events - summary.num_resumed) / seconds:,.0f} events/s, compiling and writing included",
            ),
            ("mean number of partons", f"{self.particles / self.weight:.4f}"),
            ("⟨1 − T⟩", f"{mean:.6f} ± {error:.6f}"),
            ("overflow", f"{self.overflow} events"),
        ):
            table.add_row(name, value)
        console = Console(width=None if sys.stdout.isatty() else 140)
        console.print(table)
        if self.overflow:
            console.print("Overflowed events are no fair draws; leave them out (they are marked in the file).")


@functools.cache
def _shapes() -> Any:
    """1 − T of a batch; jit keeps one program for each shape."""
    import jax

    from ..observables import one_minus_thrust

    return jax.jit(jax.vmap(one_minus_thrust))
