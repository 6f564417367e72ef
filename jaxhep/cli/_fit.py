"""`jaxhep fit`: Λ or α_s and Ω₁ from event shapes."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ._options import Cutoff, Energy, FittedCmw, Mode, NumFlavours, ScaleFactor, Seed, whole_number

_HELP = """Fit Λ_QCD (Discrete QCD) or α_s (dipole shower) and Ω₁ to measured event shapes, from one event sample.

Writes a run folder with result.json, config.yaml and pictures. Exit code 0: valid fit; 1: the fit failed (the reasons
are in the table); 2: wrong arguments.
"""


def fit(
    observable: Annotated[
        list[str] | None, typer.Option(help="thrust, c_parameter or heavy_jet_mass; repeatable.", show_default="thrust")
    ] = None,
    num_events: Annotated[
        int, typer.Option("--num-events", "-n", parser=whole_number, metavar="N", help="Size of the event sample.")
    ] = 1_000_000,
    fit_range: Annotated[
        list[str] | None,
        typer.Option("--range", help="LOW:HIGH of the fit, or OBSERVABLE=LOW:HIGH; repeatable.", metavar="RANGE"),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Your data: [OBSERVABLE=]FILE[#PART], a .csv, HEPData .yaml or .yoda file and, if it holds several, "
            "the column or object; repeatable.",
            metavar="DATA",
            show_default="ALEPH 2004",
        ),
    ] = None,
    energy: Energy = 91.1876,
    rebin: Annotated[int, typer.Option(help="Merge so many neighbouring bins of the data.")] = 1,
    seed: Seed = 1,
    shower: Annotated[
        Literal["discrete", "dipole"], typer.Option(help="Discrete QCD, fits Λ; or dipole shower, fits α_s(m_Z).")
    ] = "discrete",
    matrix_element: Annotated[
        bool, typer.Option("--matrix-element/--no-matrix-element", help="First emission by the exact matrix element.")
    ] = True,
    mode: Mode = None,
    n_f: NumFlavours = None,
    quark_colour: Annotated[
        Literal["C_F", "C_A/2"] | None,
        typer.Option(help="Colour factor of primary gluons in Discrete QCD.", show_default="C_F"),
    ] = None,
    cutoff: Cutoff = None,
    scale_factor: ScaleFactor = None,
    cmw: FittedCmw = None,
    correlation: Annotated[
        Literal["uncorrelated", "correlated", "minimum_overlap"],
        typer.Option(help="Systematic errors of the data between bins."),
    ] = "uncorrelated",
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder.")] = Path("jaxhep-fit"),
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier run folder.")] = False,
    validation: Annotated[
        bool,
        typer.Option("--validation/--no-validation", help="Also moved templates, gradients, error budget."),
    ] = True,
) -> None:
    """See `_HELP`, which is what the user reads."""
    from ._session import report_errors

    with report_errors():
        names = observable or ["thrust"]
        ranges = _ranges(fit_range or [], names)
        config = {
            "observables": names,
            "num_events": num_events,
            "ranges": {name: list(bounds) for name, bounds in ranges.items()},
            "data": _data_files(data or [], names),
            "energy": energy,
            "rebin": rebin,
            "seed": seed,
            "correlation": correlation,
            "shower": shower,
            "matrix_element": matrix_element,
        }
        own: dict[str, Any] = {"mode": mode, "n_f": n_f, "quark_colour": quark_colour}
        own |= {"cutoff": cutoff, "scale_factor": scale_factor, "cmw": cmw}
        config |= {name: value for name, value in own.items() if value is not None}
        _run(config, output, force, validation)


fit.__doc__ = _HELP


def _data_files(texts: list[str], names: list[str]) -> dict[str, str]:
    """FILE[#PART] by observable."""
    from ._session import UsageError

    result = {}
    for text in texts:
        name, _, file = text.rpartition("=")
        if not name:
            if len(names) > 1:
                raise UsageError(f"--data {text}: with several observables write OBSERVABLE=FILE")
            name = names[0]
        if name not in names:
            raise UsageError(f"--data {text}: {name} is not fitted; add --observable {name}")
        if name in result:
            raise UsageError(f"--data {text}: {name} has data already; a fit takes one file for each observable")
        result[name] = file
    return result


def _read_data(files: dict[str, str], energy: float) -> dict[str, Any] | None:
    """The measurements in those files; refused at another energy than the shower's."""
    from ..reference import read_measurement
    from ._session import UsageError

    result = {}
    for name, text in files.items():
        path, _, part = text.partition("#")
        result[name] = found = read_measurement(path, part or None, observable=name)
        if found.energy is not None and abs(found.energy - energy) > 0.5:
            raise UsageError(f"{path}: these data are at {found.energy:g} GeV; add --energy {found.energy:g}")
    return result or None


def _ranges(texts: list[str], names: list[str]) -> dict[str, tuple[float, float]]:
    from ._session import UsageError

    result = {}
    for text in texts:
        name, _, bounds = text.rpartition("=")
        if not name:
            if len(names) > 1:
                raise UsageError(f"--range {text}: with several observables write OBSERVABLE=LOW:HIGH")
            name = names[0]
        low, colon, high = bounds.partition(":")
        try:
            values = float(low), float(high)
        except ValueError:
            values = (float("nan"), float("nan"))
        if not colon or not values[0] < values[1]:
            raise UsageError(f"--range {text}: write LOW:HIGH with two numbers, the lower one first, e.g. 0.75:0.95")
        result[name] = values
    return result


def _run(config: dict, output: Path, force: bool, validation: bool) -> None:
    import time

    import yaml
    from rich.console import Console

    from ._session import make_run_folder, progress, start_session, write_json

    start_session()
    begin = time.perf_counter()
    compile_seconds = _count_compilation()
    from ..studies.event_shape_fit import check_arguments, fit_event_shapes
    from ..studies.fit_report import draw_bands, draw_fit, draw_scans, draw_validation, scans, summary
    from ..studies.fitted_showers import SHOWERS
    from ..studies.uncertainties import SCALE_EVENTS, uncertainties

    arguments = dict(config)
    names = arguments.pop("observables")
    arguments["ranges"] = {name: (low, high) for name, (low, high) in config["ranges"].items()}
    arguments["data"] = _read_data(config["data"], config["energy"])
    measurements = check_arguments(names, **arguments)
    kind = SHOWERS[config["shower"]]
    config |= kind.options({name: value for name, value in config.items() if name in kind.defaults})
    folder = make_run_folder(output, force)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    console = Console()
    source = ", ".join(measurement.name for measurement in measurements.values())
    console.print(f"Fitting {kind.symbol} and Ω₁ to {source}; compiling takes a while the first time.")
    nodes = len(kind.factors)
    with progress(nodes * config["num_events"], f"events ({nodes} values of {kind.symbol})") as bar:
        study = fit_event_shapes(
            names, **arguments, on_events=lambda stage, done, total: bar(done) if stage == "sample" else None
        )
    console.print(study.result.table(), markup=False, highlight=False)
    coupling, error, words = study.alpha_s
    console.print(f"α_s(m_Z), {words}: {coupling:.4f} ± {error:.4f}")
    console.print(kind.lacks)
    content = summary(study)
    write_json(folder / "result.json", content | _times(begin, compile_seconds))
    draw_fit(study, folder)
    if study.result.valid:
        found = scans(study)
        content["parameters"] = study.result.with_interval(found["interval"]).to_dict()["parameters"]
        content["scans"] = {
            "profile": found["profile"].to_dict(),
            "contours": {str(level): line.to_dict() for level, line in found["contours"].items()},
        }
        draw_scans(study, found, folder)
        if validation:
            with progress(2 * config["num_events"], "independent samples") as bar:
                content["validation"] = draw_validation(study, folder, lambda done, total: bar(done))
            if "scale_factor" in kind.defaults:
                samples = 2 + (config["num_events"] > SCALE_EVENTS)
                with progress(samples * nodes * min(config["num_events"], SCALE_EVENTS), "scale variation") as bar:
                    split = uncertainties(study, on_events=lambda stage, done, total: bar(done))
                console.print(repr(split))
                content["uncertainties"] = split.to_dict()
                draw_bands(study, split, folder)
    write_json(folder / "result.json", content | _times(begin, compile_seconds))
    console.print(f"Results and pictures are in {folder}")
    if not study.result.valid:
        raise typer.Exit(1)


def _times(begin: float, compile_seconds: list[float]) -> dict[str, float]:
    import time

    return {"wall_seconds": time.perf_counter() - begin, "compile_seconds": sum(compile_seconds)}


def _count_compilation() -> list[float]:
    """A list that grows by the seconds of each XLA compilation in this process."""
    import jax

    seconds: list[float] = []

    def listen(event: str, duration_secs: float, **_: object) -> None:
        if event.endswith("backend_compile_duration"):
            seconds.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seconds
