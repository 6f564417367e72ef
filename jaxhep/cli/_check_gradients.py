"""`jaxhep check-gradients`: autodiff gradients against central differences of independent samples."""

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

_HELP = """Check the gradients: d/dlnΛ (dipole shower: of α_s, cut-off or scale factor) of every observable mean and
thrust bin by autodiff, against independent samples at Λe^±h.

Exit code 0: they agree; 1: some pull is beyond 5, or the χ² of all together has p < 1e-4; 2: wrong arguments. In
lattice mode expectations jump where N = ⌊ln(s/Λ²)/2δ⌋ does; the gradient does not see these jumps, and a difference
across one disagrees. An interrupted check goes on with --resume.
"""


def check_gradients(
    lambda_qcd: Annotated[
        list[float] | None, typer.Option("--lambda-qcd", help="Λ in GeV; repeatable.", show_default="0.2")
    ] = None,
    shower: Annotated[Literal["discrete", "dipole"], typer.Option(help="Which shower.")] = "discrete",
    parameter: Annotated[
        Literal["alpha_s", "cutoff", "scale_factor"] | None,
        typer.Option(help="Parameter of the dipole shower to differentiate in.", show_default="alpha_s"),
    ] = None,
    gradient: Annotated[
        Literal["weight", "pathwise"] | None,
        typer.Option(help="How α_s acts in the dipole shower.", show_default="weight"),
    ] = None,
    alpha_s: AlphaS = None,
    cutoff: Cutoff = None,
    scale_factor: ScaleFactor = None,
    cmw: Cmw = None,
    matrix_element: Annotated[
        bool | None,
        typer.Option(
            "--matrix-element/--no-matrix-element",
            help="First emission of the dipole shower by its matrix element.",
            show_default="off",
        ),
    ] = None,
    capacity: Capacity = None,
    num_events: Annotated[
        int,
        typer.Option(
            "--num-events",
            "-n",
            parser=whole_number,
            metavar="N",
            help="Events of each of the three samples at each Λ.",
        ),
    ] = 1_000_000,
    observable: Annotated[
        list[str] | None, typer.Option(help="Observable whose mean is checked; repeatable.", show_default="all")
    ] = None,
    bins: Annotated[
        str, typer.Option(help="Observable whose bins (of the ALEPH measurement) are checked; 'none' for none.")
    ] = "thrust",
    step: Annotated[
        float | None,
        typer.Option(
            help="h, the step in the logarithm of the central difference.",
            show_default="0.1; dipole shower 0.02 (α_s), 0.05",
        ),
    ] = None,
    seed: Seed = 1,
    energy: Energy = 91.1876,
    mode: Mode = None,
    n_f: NumFlavours = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(help="Kernel width of the flux across bin edges.", show_default="1/8 of the narrowest bin"),
    ] = None,
    batch_size: BatchSize = 65_536,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for result.json and gradient_check.png.")
    ] = Path("gradient-check"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted check in the folder.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier folder of this command.")] = False,
) -> None:
    """See `_HELP`, which is what the user reads."""
    from ._session import UsageError, open_run_folder, progress, report_errors, start_session, write_json
    from ._shower import resume_command

    with report_errors():
        start_session()
        from ..observables import OBSERVABLES, get_observable
        from ..studies.gradient_check import check_arguments
        from ..studies.gradient_check import check_gradients as check

        if not 0 <= seed < 2**63:
            raise UsageError(f"--seed must be a whole number from 0 to 2^63 − 1, got {seed}")
        names = [get_observable(name).name for name in observable] if observable else list(OBSERVABLES)
        discrete: dict[str, Any] = {"lambda_qcd": lambda_qcd, "mode": mode, "n_f": n_f}
        dipole: dict[str, Any] = {"alpha_s": alpha_s, "cutoff": cutoff, "scale_factor": scale_factor, "cmw": cmw}
        dipole |= {"matrix_element": matrix_element, "gradient": gradient, "parameter": parameter, "capacity": capacity}
        for name, value in (dipole if shower == "discrete" else discrete).items():
            if value is not None:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} is no option of --shower {shower}; leave it out or choose the other shower")
        settings: dict[str, Any] = {
            "observables": names,
            "bins": None if bins == "none" else bins,
            "step": default_step(shower, parameter) if step is None else step,
            "seed": seed,
            "bandwidth": bandwidth,
        }
        if shower == "discrete":
            values = lambda_qcd or [0.2]
            settings |= {"energy": energy, "mode": mode or "smooth", "n_f": n_f or 0}
            written = {"lambda_qcd": values, **settings}
        else:
            from ..shower import DipoleShower

            dipole = {name: value for name, value in dipole.items() if value is not None}
            settings["parameter"] = dipole.pop("parameter", "alpha_s")
            settings["shower"] = DipoleShower(energy, **dipole)
            values = [float(getattr(settings["shower"], settings["parameter"]))]
            written = {**settings, "energy": energy, **dipole, "shower": shower}
        # Everything is refused before the folder is made or anything compiled.
        check_arguments(values, num_events, **{k: v for k, v in settings.items() if k != "seed"})
        config = {"command": "check-gradients", "num_events": num_events, "batch_size": batch_size, **written}
        folder = open_run_folder(output, config, force, resume)
        keep: dict[str, Any] = {"checkpoint": folder / "partial.npz", "resume": resume}
        try:
            with progress(3 * num_events * len(values), "comparing gradients") as update:
                result = check(values, num_events, chunk_size=batch_size, on_chunk=update, **keep, **settings)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"to go on: {resume_command()}")
            raise
        write_json(folder / "result.json", result.to_dict())
        draw(result, folder)
        show(result, folder)
    if not result.passed:
        raise typer.Exit(1)


check_gradients.__doc__ = _HELP


def default_step(shower: str, parameter: str | None) -> float:
    """h whose O(h²) bias lies below the error of 10⁶ events; the multiplicity of the dipole shower bends most."""
    if shower == "discrete":
        return 0.1
    return 0.05 if parameter in ("cutoff", "scale_factor") else 0.02


def draw(result: Any, folder: Path) -> None:
    """gradient_check.png: the means; gradient_check_bins.png: the bins. With several Λ, one picture each."""
    import numpy as np

    from .. import plots

    several = len(result.lambdas) > 1
    for i, scale in enumerate(result.lambdas):
        ending = f"_{'lambda' if result.parameter == 'lambda_qcd' else result.parameter}_{scale:g}" if several else ""
        count = result.num_observables
        for name, part in (("", slice(0, count)), ("_bins", slice(count, None))):
            sigma = np.hypot(result.autodiff_error[i, part], result.difference_error[i, part])
            filled = sigma > 0
            if not np.any(filled):
                continue
            if name:
                names = [label.split("[")[1].split(",")[0] for label in result.names[part]]
            else:
                names = [label.replace("_", " ") for label in result.names[part]]
            names = [label for label, keep in zip(names, filled, strict=True) if keep]
            numbers = (result.autodiff, result.autodiff_error, result.difference, result.difference_error)
            upper, _ = plots.gradient_check(
                names,
                *(array[i, part][filled] for array in numbers),
                xlabel=f"lower edge of the bin in {result.binned}" if name else "",
                title=f"{result.num_events:.2g} events",
            )
            # The title's own χ² would count correlated quantities as independent; ours is in the table.
            title = f"{_at(result, scale)}, {result.num_events:,} events, {result.mode}"
            upper.set_title(title, loc="left")
            plots.save_figure(upper.figure, folder / f"gradient_check{name}{ending}", ("png",))


def _at(result: Any, value: float) -> str:
    """Where the check was made, for the title of a picture."""
    tex = {"lambda_qcd": r"\Lambda", "alpha_s": r"\alpha_s", "cutoff": r"k_{T,\min}", "scale_factor": "f"}
    unit = " GeV" if result.parameter in ("lambda_qcd", "cutoff") else ""
    return f"${tex.get(result.parameter, result.parameter)} = {value:g}${unit}"


def show(result: Any, folder: Path) -> None:
    """The table of the means, one line for the bins, the verdict, and the notes."""
    import sys

    import numpy as np
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    symbol = result.symbol
    table = Table("Λ [GeV]" if symbol == "Λ" else symbol, "quantity", title=f"∂⟨O⟩/∂ln {symbol}")
    for name in ("autodiff", "central difference", "pull"):
        table.add_column(name, justify="right")
    pulls = result.pulls
    for i, scale in enumerate(result.lambdas):
        for k, name in enumerate(result.names[: result.num_observables]):
            cells = [
                f"{v[i, k]:.5g} ± {e[i, k]:.2g}"
                for v, e in ((result.autodiff, result.autodiff_error), (result.difference, result.difference_error))
            ]
            pull = f"{pulls[i, k]:.2f}"
            table.add_row(f"{scale:g}", name, *cells, f"[red]{pull}[/]" if abs(pulls[i, k]) > 5 else pull)
        part = pulls[i, result.num_observables :]
        if np.any(np.isfinite(part)):
            worst = int(np.nanargmax(np.abs(part)))
            table.add_row(
                f"{scale:g}",
                f"{int(np.isfinite(part).sum())} {result.binned} bins",
                "largest pull:",
                result.names[result.num_observables + worst],
                f"{part[worst]:.2f}",
            )
        table.add_section()
    console.print(table)
    console.print(f"[bold {'green' if result.passed else 'red'}]{result.verdict()}[/]")
    for note in result.notes:
        console.print(f"· {note}", markup=False)
    console.print(f"{folder}: result.json, config.yaml, gradient_check*.png", markup=False)
