"""What every command shares: the compilation cache, run folders, progress, and errors as sentences."""

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def start_session() -> None:
    """Prepares JAX for a command-line run: quiet, and with compiled programs kept between runs.

    The cache lies in $JAXHEP_CACHE or the user's cache folder. This is done by commands only, never by the library.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Our products of matrices are small and gain nothing from threads, which burn the cores waiting for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import jax

    root = os.environ.get("JAXHEP_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "jaxhep"
    )
    with contextlib.suppress(OSError):
        os.makedirs(root, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", root)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


class UsageError(Exception):
    """A wrong argument: the message is all the user needs."""


def require_extra(package: str, extra: str) -> None:
    """Raises `UsageError` with the command that installs `package`, if it is missing."""
    if importlib.util.find_spec(package) is None:
        raise UsageError(f'this command needs {package}: pip install "jaxhep[{extra}]"')


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turns the errors that a user can cause into one sentence on stderr and a non-zero exit code."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        notes = "\n".join(getattr(interrupt, "__notes__", ()))
        sys.stderr.write(f"interrupted{': ' + notes if notes else ''}\n")
        sys.exit(130)
    except (UsageError, ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("JAXHEP_DEBUG"):
            raise
        notes = "".join("\n  " + note for note in getattr(error, "__notes__", ()))
        sys.stderr.write(f"error: {error}{notes}\n")
        sys.exit(2)


def make_run_folder(path: Path, force: bool) -> Path:
    """A new folder for the results; an existing one is only replaced with --force, and only if it is one of ours."""
    if path.exists():
        if not force:
            raise UsageError(f"{path} exists; choose another --output or overwrite it with --force")
        if not path.is_dir():
            raise UsageError(f"{path} is a file; choose another --output")
        if any(path.iterdir()) and not (path / "config.yaml").exists():
            raise UsageError(f"{path} is not a run folder of jaxhep (no config.yaml); it is not overwritten")
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path


def open_run_folder(path: Path, config: dict[str, Any], force: bool, resume: bool) -> Path:
    """A new folder with config.yaml, or that of the interrupted run with the same configuration."""
    import yaml

    file = path / "config.yaml"
    if resume:
        if not file.exists():
            raise UsageError(f"{path} holds no run to go on with (no config.yaml); start it without --resume")
        stored = yaml.safe_load(file.read_text())
        other = [name for name in {**config, **stored} if stored.get(name) != config.get(name)]
        if other:
            raise UsageError(f"{path} was begun with other {', '.join(other)}; resume with the same arguments")
        if (path / "result.json").exists():
            raise UsageError(f"the run in {path} is complete; there is nothing to resume")
        return path
    folder = make_run_folder(path, force)
    file.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return folder


def write_json(path: Path, content: Any) -> None:
    """Writes JSON under a temporary name and moves it into place."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    os.replace(temporary, path)


@contextlib.contextmanager
def progress(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """A progress bar in events with the rate; yields a function that takes the number of events done so far."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, rate="")
        begin = time.perf_counter()

        def update(done: int) -> None:
            rate = done / max(time.perf_counter() - begin, 1e-9)
            bar.update(task, completed=done, rate=f"{rate:,.0f} events/s")

        yield update
