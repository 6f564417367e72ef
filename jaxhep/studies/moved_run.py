"""A stored run moved to another Λ or α_s: verified against what is stored, then as events or as histograms."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..event import Event
from ..formats import EventFileError, file_info, read_events, suffixes
from ..observables import get_observable
from ..simulator import AbstractSimulator
from ._shapes import Shapes
from .dipole_run import run_of
from .event_run import AbstractEventRun
from .gradient_check import reference_edges

_DEFAULT_BATCH = 20_000


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A run on the disk whose events can be made again.

    **Fields**: `path`; `run`, its parameters; `batch_size`; `is_file`: whether events are stored with which `verify`
    can compare.
    """

    path: Path
    run: AbstractEventRun
    batch_size: int
    is_file: bool

    def at(self, values: float | Mapping[str, float]) -> AbstractSimulator:
        """The simulator at Λ in GeV (or α_s, or values by name); `ValueError` where the events cannot be moved to."""
        return self.run.simulator_at(values)

    def events(self, start: int, count: int, values: float | Mapping[str, float]) -> Event:
        """The events start … start + count − 1 at Λ (or α_s, or values by name)."""
        return self.run.events(
            start,
            count,
            simulator=self.at(values),
            reference=self.run.simulator(),
            compiled_size=self.batch_size,
        )

    def verify(self) -> None:
        """Compares the first batch with what is stored.

        **Raises** `ValueError` where they differ (another version or machine type, or an edited file).
        """
        if not self.is_file:
            return
        stored = next(iter(read_events(self.path, 0, self.batch_size, batch_size=self.batch_size)))
        again = self.events(0, stored.num_events, self.run.value)
        mask = np.asarray(again.mask)
        # The file may have fewer slots than the simulator (HepMC of its longest event): particles come first in both.
        slots = min(mask.shape[1], stored.capacity)
        same = (
            np.array_equal(mask.sum(1), stored.mask.sum(1))
            and np.array_equal(mask[:, :slots], stored.mask[:, :slots])
            and np.allclose(
                np.where(mask[:, :slots, None], np.asarray(again.momenta)[:, :slots], 0),
                np.where(stored.mask[:, :slots, None], stored.momenta[:, :slots], 0),
                rtol=1e-4,
                atol=1e-5 * self.run.start[0],
            )
            and np.allclose(np.asarray(again.weight), stored.weight, rtol=1e-3)
        )
        if not same:
            raise ValueError(
                f"{self.path}: its first events do not come out again from the stored seed and parameters; the "
                f"file was "
                "changed, or written by another version of jaxhep; shower the events again"
            )


def open_run(path: Path, batch_size: int | None = None) -> StoredRun:
    """An event file of `jaxhep shower`, or the folder of a fit, as a run that can be made again.

    **Raises** `ValueError` if the path does not say how its events were made.
    """
    if not path.exists():
        raise EventFileError(path, "no such file or folder")
    if path.is_dir():
        return StoredRun(path, _from_folder(path), batch_size or _DEFAULT_BATCH, False)
    if not any(path.name.lower().endswith(suffix) for suffix in suffixes()):
        raise ValueError(f"{path} is no event file ({', '.join(suffixes())}) and no run folder")
    info = file_info(path)
    if info.metadata.get("program") == "jaxhep move":
        raise ValueError(
            f"{path} holds events that were moved already; move those of the original run instead "
            f"({info.metadata.get('moved_from')})"
        )
    run = run_of(info.metadata).from_metadata({"num_events": info.num_events, **info.metadata}, str(path))
    size = batch_size or int(info.metadata.get("batch_size", _DEFAULT_BATCH))
    return StoredRun(path, run, min(size, run.num_events), True)


def _from_folder(path: Path) -> AbstractEventRun:
    """The sample behind a run folder: config.yaml, and Λ or α_s of the sample from result.json or the configuration."""
    import yaml

    content: dict[str, Any] = {}
    for name, read in (("config.yaml", yaml.safe_load), ("result.json", json.loads)):
        file = path / name
        if file.exists():
            try:
                found = read(file.read_text())
            except (ValueError, yaml.YAMLError) as error:
                raise ValueError(
                    f"{file} cannot be read ({str(error).splitlines()[0]}); it may be cut short"
                ) from error
            if isinstance(found, dict):
                content = {**found, **{k: v for k, v in content.items() if v is not None}}
    kind = run_of(content)
    names, wanted = {field.name for field in dataclasses.fields(kind)}, kind.parameter
    # A fit samples at one value and moves from there; it may call this value by another name than the fitted one.
    for name in ("reference_value", "sample_lambda", "lambda_start"):
        if name in content and wanted not in content:
            content[wanted] = content[name]
    missing = [name for name in ("seed", "num_events", wanted) if not isinstance(content.get(name), int | float)]
    if missing:
        raise ValueError(
            f"{path} does not say how its events were made: no {', '.join(missing)} in config.yaml or result.json"
        )
    return kind(**{name: value for name, value in content.items() if name in names and value is not None})


@dataclasses.dataclass
class _Bins:
    """Sums of one observable before (0) and after (1) moving; they add up over chunks."""

    edges: np.ndarray

    def __post_init__(self) -> None:
        n = self.edges.size - 1
        self.total = np.zeros(2)
        self.squares = np.zeros((2, 2))
        self.filled, self.weighted = np.zeros((2, n)), np.zeros((2, 2, n))
        self.both = np.zeros((2, 2, n))

    def add(self, values: tuple[np.ndarray, np.ndarray], weights: tuple[np.ndarray, np.ndarray]) -> None:
        """Adds a chunk: values and weights before and after, each of shape (event,)."""
        n = self.edges.size - 1
        index = []
        for x in values:
            found = np.searchsorted(self.edges, x, side="right") - 1
            found = np.where(x == self.edges[-1], n - 1, found)
            index.append(np.where((found >= 0) & (found < n), found, n))
        same = np.where(index[0] == index[1], index[0], n)

        def count(where: np.ndarray, weight: np.ndarray) -> np.ndarray:
            return np.bincount(where, weight, minlength=n + 1)[:n]

        for i in range(2):
            self.total[i] += weights[i].sum()
            self.filled[i] += count(index[i], weights[i])
            for j in range(2):
                product = weights[i] * weights[j]
                self.squares[i, j] += product.sum()
                self.weighted[i, j] += count(index[i], product)
                self.both[i, j] += count(index[i] if i == j else same, product)

    def result(self) -> dict[str, np.ndarray]:
        """Fractions before and after, and their shift, each with its error; the shift's knows that the events
        are the same."""
        r = self.filled / self.total[:, None]

        def covariance(i: int, j: int) -> np.ndarray:
            middle = self.both[i, j] - r[j] * self.weighted[i, j] - r[i] * self.weighted[j, i]
            out: np.ndarray = (middle + r[i] * r[j] * self.squares[i, j]) / (self.total[i] * self.total[j])
            return out

        before, after, cross = covariance(0, 0), covariance(1, 1), covariance(0, 1)
        root = [np.sqrt(np.maximum(v, 0)) for v in (before, after, before + after - 2 * cross)]
        keys = ("original", "moved", "shift")
        return {
            key: value
            for name, values, error in zip(keys, (r[0], r[1], r[1] - r[0]), root, strict=True)
            for key, value in ((name, values), (f"{name}_error", error))
        }


@dataclasses.dataclass(frozen=True)
class MovedHistograms:
    """Densities of observables before and after moving, by name: `edges`, `original`, `moved`, `shift` and
    their errors; `moved_from` and `moved_to`, the parameters that changed, as text."""

    moved_from: str
    moved_to: str
    num_events: int
    overflow: int
    histograms: dict[str, dict[str, np.ndarray]]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values; densities per unit of the observable."""
        plain = {n: {k: v.tolist() for k, v in h.items()} for n, h in self.histograms.items()}
        return {
            "moved_from": self.moved_from,
            "moved_to": self.moved_to,
            "num_events": self.num_events,
            "overflow": self.overflow,
            "histograms": plain,
        }

    def sentence(self, name: str) -> str:
        """How much the noise in the shift was reduced by keeping the events."""
        h = self.histograms[name]
        shift = h["shift_error"]
        good = shift > 0
        independent = np.hypot(h["original_error"], h["moved_error"])
        gain = float(np.median((independent[good] / shift[good]) ** 2)) if np.any(good) else float("nan")
        return (
            f"{name}: largest shift {np.max(np.abs(h['shift'])):.3g}; two samples would need {gain:.1f} "
            f"times the events"
        )

    def draw(self, name: str, path: Path) -> None:
        """Original and moved with errors, and their ratio, as PNG."""
        from .. import plots

        h, label = self.histograms[name], get_observable(name).label
        original = f"{_tex(self.moved_from)}, original"
        main, ratio = plots.data_mc_ratio(
            h["edges"],
            h["original"],
            h["original_error"],
            {f"{_tex(self.moved_to)}, moved": (h["moved"], h["moved_error"])},
            xlabel=f"${label}$",
            ylabel=rf"$1/\sigma\ d\sigma/d{label}$" if len(label) < 3 else "density",
            title=f"{self.num_events:,} events",
        )
        handles, labels = main.get_legend_handles_labels()
        main.legend(handles, [original if one == "data" else one for one in labels], loc="best")
        ratio.set_ylabel("ratio", loc="center")
        plots.save_figure(main.figure, path, ("png",))


def _tex(text: str) -> str:
    return text.replace("Λ", r"$\Lambda$").replace("α_s", r"$\alpha_s$")


def said(run: AbstractEventRun, values: float | Mapping[str, float]) -> tuple[str, str]:
    """The values of a run before and after moving, as text: `Λ = 0.2 GeV`, `α_s = 0.118, scale_factor = 1`."""
    moved = values if isinstance(values, Mapping) else {run.parameter: values}
    before, after = [], []
    for name, value in moved.items():
        own = name == run.parameter
        symbol, unit = (run.symbol, f" {run.unit}".rstrip()) if own else (name.replace("_", " "), "")
        before.append(f"{symbol} = {getattr(run, name):g}{unit}")
        after.append(f"{symbol} = {value:g}{unit}")
    return ", ".join(before), ", ".join(after)


def moved_histograms(
    stored: StoredRun,
    values: float | Mapping[str, float],
    names: tuple[str, ...],
    *,
    on_chunk: Callable[[int], None] | None = None,
) -> MovedHistograms:
    """Histograms of a stored run before and after moving to another Λ or α_s, or values by name; batch by batch.

    Published binnings where there are any, else 50 bins between the bounds of the observable.
    """
    run, size = stored.run, stored.batch_size
    sums = {name: _Bins(binning(name)) for name in names}
    observe = jax.jit(jax.vmap(Shapes(names).values))
    overflow = 0
    for start in range(0, run.num_events, size):
        count = min(size, run.num_events - start)
        # Always a whole batch, and both from one compiled program: at its own values the weights are 1.
        pair = [stored.events(start, size, at) for at in (run.value, values)]
        found = [np.asarray(observe(e.momenta, e.mask), float)[:count] for e in pair]
        weights = [np.asarray(e.weight, float)[:count] for e in pair]
        overflow += int(np.asarray(pair[1].overflow)[:count].sum())
        for k, name in enumerate(names):
            sums[name].add((found[0][:, k], found[1][:, k]), (weights[0], weights[1]))
        if on_chunk is not None:
            on_chunk(start + count)
    densities = {}
    for name, one in sums.items():
        widths = np.diff(one.edges)
        densities[name] = {"edges": one.edges, **{key: value / widths for key, value in one.result().items()}}
    return MovedHistograms(*said(run, values), run.num_events, overflow, densities)


def binning(name: str) -> np.ndarray:
    """The published edges, else 50 bins between the bounds, else whole numbers to 40."""
    observable = get_observable(name)
    try:
        return reference_edges(name)
    except ValueError:
        low, high = observable.bounds
        return np.arange(low, 41) - 0.5 if high is None else np.linspace(low, high, 51)


__all__ = ["MovedHistograms", "StoredRun", "binning", "moved_histograms", "open_run", "said"]
