"""`jaxhep sample`: draws from a learned density."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._options import whole_number

_HELP = """Draw events from a density that `jaxhep train` has learned.

RUN is a run folder or its density.npz. A density with conditions needs --condition NAME=VALUE for each of them, or
--conditions FILE with one row an event. The output's suffix says its format: .npz, .h5, .parquet or .csv.
"""


def sample(
    run: Annotated[Path, typer.Argument(help="Run folder, or a published density.", show_default=False)],
    num_events: Annotated[
        int | None,
        typer.Option("--num-events", "-n", parser=whole_number, metavar="N", help="Events.", show_default="10000"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("samples.npz"),
    condition: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for all events; repeatable.", metavar="NAME=VALUE")
    ] = None,
    conditions: Annotated[Path | None, typer.Option(help="File with a column for each condition.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 1,
    batch_size: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Events in memory at once.")
    ] = 65_536,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """See `_HELP`, which is what the user reads."""
    from ._session import UsageError, report_errors, require_extra, start_session

    with report_errors():
        if output.suffix not in _WRITERS:
            raise UsageError(f"{output}: the suffix must be one of {', '.join(_WRITERS)}")
        if output.exists() and not force:
            raise UsageError(f"{output} exists; choose another --output or overwrite it with --force")
        require_extra("flax", "learn")
        start_session()
        from ..densities.publish import read_density

        path = run / "density.npz" if run.is_dir() else run
        if run.is_dir() and not path.is_file():
            raise UsageError(f"{run} holds no density.npz: the training has not ended; run jaxhep train with --resume")
        published = read_density(path)
        given, count = _conditions(published, condition or [], conditions, num_events)
        _write(published, given, count, seed, batch_size, output)


sample.__doc__ = _HELP


def _conditions(published: Any, values: list[str], file: Path | None, num_events: int | None) -> tuple[Any, int]:
    """The condition of each event (or None), and the number of events."""
    import numpy as np

    from ._session import UsageError

    names = published.condition_columns
    if file is not None:
        from ..training import open_dataset

        if values or not names:
            why = "--condition is given too" if values else f"{published.name!r} has no condition"
            raise UsageError(f"--conditions {file}: {why}; leave one out")
        data = open_dataset(file, {"c": list(names)})
        count = data.num_rows if num_events is None else num_events
        if count > data.num_rows:
            raise UsageError(f"--num-events {count}: {file} has {data.num_rows} rows, one an event")
        return data.take(np.arange(count))["c"], count
    given: dict[str, float] = {}
    for text in values:
        name, equals, value = text.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or name not in names:
            raise UsageError(f"--condition {text}: write NAME=VALUE with a name of {', '.join(names) or 'none'}")
    if missing := [name for name in names if name not in given]:
        raise UsageError(f"{published.name!r} needs a condition: --condition {missing[0]}=VALUE, or --conditions FILE")
    count = 10_000 if num_events is None else num_events
    if not names:
        return None, count
    row = np.array([given[name] for name in names], np.float32)
    if not bool(published.inside(row)):
        typer.echo("warning: the condition lies outside of the range that the density was tested on", err=True)
    return np.broadcast_to(row, (count, len(names))), count


def _write(published: Any, conditions: Any, count: int, seed: int, batch_size: int, output: Path) -> None:
    """Draws in batches of one compiled size and writes the columns."""
    import jax
    import numpy as np

    from ._session import progress

    key, size = jax.random.key(seed), min(batch_size, count)
    parts = []
    with progress(count, "sampling") as update:
        for start in range(0, count, size):
            rows = np.minimum(np.arange(start, start + size), count - 1)
            c = None if conditions is None else conditions[rows]
            draws = published.sample(key, size, c, first=start)
            parts.append(np.asarray(draws)[: count - start])
            update(min(start + size, count))
    table = np.concatenate(parts)
    columns = {name: table[:, i] for i, name in enumerate(published.columns)}
    if conditions is not None:
        columns |= {name: conditions[:, i] for i, name in enumerate(published.condition_columns)}
    temporary = output.with_name(f".{output.name}.part{output.suffix}")
    try:
        _WRITERS[output.suffix](temporary, columns)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
    typer.echo(f"{output}: {count:,} events of {', '.join(columns)}, drawn from {published.name!r}")


def _npz(path: Path, columns: dict[str, Any]) -> None:
    import numpy as np

    np.savez(path, allow_pickle=False, **columns)


def _h5(path: Path, columns: dict[str, Any]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values


def _parquet(path: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table(columns), path)


def _csv(path: Path, columns: dict[str, Any]) -> None:
    import numpy as np

    table = np.stack(list(columns.values()), axis=1)
    np.savetxt(path, table, delimiter=",", header=",".join(columns), comments="", fmt="%.9g")


_WRITERS = {".npz": _npz, ".h5": _h5, ".hdf5": _h5, ".parquet": _parquet, ".csv": _csv}
