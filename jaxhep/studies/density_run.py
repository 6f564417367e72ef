"""A density learned from a data file: configuration, training, validation, run folder."""

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..densities import AbstractDensity
from ..densities.publish import PublishedDensity, publish
from ..training import AbstractDataset, TrainingResult, TrainingSettings, fit, open_dataset
from ..training.files import column_names
from .density_families import FAMILIES, recipe

_MOST_ROWS = 200_000
"""Rows at most from which the preprocessing is found and to which the model is compared."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """Where the events are.

    **Fields**: `file` (.h5, .hdf5, .parquet, .npz, .csv); `columns` of x and `condition` of c, in order; `weights`;
    `kinds`: column → `real` (default), `positive`, `discrete`, or `[low, high]` for a bounded one; `test_fraction` and
    `validation_fraction`: shares held out from the training, the first also from the choice of the epoch.
    """

    file: Path
    columns: tuple[str, ...] = Field(min_length=1)
    condition: tuple[str, ...] = ()
    weights: str | None = None
    kinds: dict[str, Literal["real", "positive", "discrete"] | tuple[float, float]] = {}
    test_fraction: float = Field(0.1, gt=0, lt=1)
    validation_fraction: float = Field(0.1, gt=0, lt=1)


class DensityConfig(_Strict):
    """Which density: `family`, one of `FAMILIES`, and `options` of its constructor."""

    family: str = "flow"
    options: dict[str, Any] = {}

    @field_validator("family")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FAMILIES:
            raise ValueError(f"there is no family {value!r}, there are {', '.join(FAMILIES)}")
        return value


class DensityRun(_Strict):
    """The whole configuration of `jaxhep train`.

    **Fields**: `data`; `density`; `training`, arguments of `TrainingSettings`; `seed`; `name` and `description` of the
    published density.
    """

    data: DataConfig
    density: DensityConfig = DensityConfig()
    training: dict[str, Any] = {}
    seed: int = Field(1, ge=0, lt=2**31)
    name: str = "density"
    description: str = ""

    @classmethod
    def read(cls, path: str | Path) -> "DensityRun":
        """The configuration in a YAML file; the data file is looked for beside it.

        **Raises** `ValueError` with one line for each wrong entry, `FileNotFoundError`.
        """
        import yaml

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; the configuration is a YAML file")
        try:
            content = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML: {str(error).splitlines()[0]}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path} must map names to values, beginning with data:")
        data = content.get("data")
        if isinstance(data, dict) and isinstance(data.get("file"), str):
            file = (path.parent / Path(data["file"]).expanduser()).resolve()
            content = content | {"data": data | {"file": str(file)}}
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: dict[str, Any], source: str = "configuration") -> "DensityRun":
        """The configuration in a mapping; every mistake as a line of a `ValueError`."""
        try:
            run = cls.model_validate(content)
        except ValidationError as error:
            extra = "no such entry; is it misspelt or indented wrongly?"
            lines = [
                f"{'.'.join(map(str, e['loc'])) or 'top'}: {extra if e['type'] == 'extra_forbidden' else e['msg']}"
                for e in error.errors()
            ]
            raise ValueError(f"{source}: " + "; ".join(dict.fromkeys(lines))) from error
        known = [field.name for field in dataclasses.fields(TrainingSettings)]
        for name in run.training:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
                raise ValueError(f"{source}: training: there is no setting {name!r}; {hint}")
        try:
            run.settings()
        except TypeError as error:
            raise ValueError(f"{source}: training: {error}") from error
        return run

    def settings(self) -> TrainingSettings:
        """The settings of the training."""
        return TrainingSettings(**self.training)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written to config.yaml."""
        return self.model_dump(mode="json")


@dataclasses.dataclass(frozen=True, eq=False)
class LearnedDensity:
    """What a run has made: the `training` result, the `published` density, test events and draws at their conditions
    (`events`, `weights`, `draws`), and `distances`, a `Metric` of each column."""

    run: DensityRun
    training: TrainingResult
    published: PublishedDensity
    events: np.ndarray
    weights: np.ndarray
    draws: np.ndarray
    distances: dict[str, Any]

    def rows(self) -> list[tuple[str, str]]:
        """The metric table: validation, then the distance of each column."""
        rows = self.published.report.rows()
        for name, metric in self.distances.items():
            text = f"{float(metric.value):.4g} ± {float(metric.error):.2g}, floor {float(metric.floor):.2g}"
            rows.append((f"W1 of {name}", f"{text} ± {float(metric.floor_spread):.2g}"))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for metrics.json."""
        distances = {name: metric.to_dict() for name, metric in self.distances.items()}
        report = self.published.report.to_dict()
        return {"validation": report, "wasserstein": distances, "sha256": self.published.sha256}

    def draw(self, folder: str | Path) -> tuple[Path, ...]:
        """losses.png and corner.png in a folder; the latter with at most eight columns."""
        from .. import plots

        validation = [entry for entry in self.training.validation_losses if entry is not None]
        curve = plots.loss_curves(
            self.training.train_losses, validation or None, best_epoch=self.training.best_epoch, title=self.run.name
        )
        written = plots.save_figure(curve.figure, Path(folder) / "losses", ("png",), overwrite=True)
        few = slice(0, 8)
        effective = self.weights.sum() ** 2 / (self.weights**2).sum()
        axes = plots.corner(
            self.events[:, few], self.draws[:, few], list(self.run.data.columns)[few], truth_weights=self.weights,
            model_weights=self.weights if self.run.data.condition else None, title=self.run.name,
            bins=int(np.clip(effective**0.5, 8, 40)),
        )  # fmt: skip
        return written + plots.save_figure(axes[0].figure, Path(folder) / "corner", ("png",), overwrite=True)


def check(run: DensityRun) -> None:
    """Reads the data and builds the density without training it.

    **Raises** what `learn` would for data or options that do not fit.
    """
    build_density(run, _open(run.data), jax.random.key(run.seed))


def learn(
    run: DensityRun, folder: str | Path, *, resume: bool = False, callbacks: Sequence[Callable[..., Any]] = ()
) -> LearnedDensity:
    """Trains, validates and publishes the density of a configuration.

    Test events are split off first; the preprocessing is found on the training events only, so that nothing of the test
    events is known to the model. Writes `checkpoint/`, `training.json`, `density.npz`, `metrics.json`, `losses.png` and
    `corner.png` into the folder.

    **Arguments**

    - `run`: the configuration.
    - `folder`: an existing folder.
    - `resume`: go on from `checkpoint/`.
    - `callbacks`: of `fit`.

    **Returns** a `LearnedDensity`.

    **Raises** `ValueError` for data or options that do not fit, before anything is trained.
    """
    folder = Path(folder)
    data = _open(run.data)
    rest, test = data.split(run.data.test_fraction, run.seed)
    train, held = rest.split(run.data.validation_fraction, run.seed)
    keys = jax.random.split(jax.random.key(run.seed), 3)
    density = build_density(run, train, keys[0])
    how = recipe(density, bool(run.data.condition))
    settings = run.settings()
    result = fit(
        density, how.loss, train, key=keys[1], settings=settings, trainable=how.trainable,
        validation=held if how.monitored else None, callbacks=callbacks, checkpoint=folder / "checkpoint",
        resume=resume,
    )  # fmt: skip
    (folder / "training.json").write_text(result.to_json() + "\n")
    best = result.model if settings.ema is None else result.ema
    return _finish(run, folder, result, best, test, keys[2])


def _open(config: DataConfig) -> AbstractDataset:
    wanted = {"x": list(config.columns)} | ({"c": list(config.condition)} if config.condition else {})
    for name in config.kinds:
        if name not in (*config.columns, *config.condition):
            raise ValueError(f"data.kinds names {name!r}, which is neither in columns nor in condition")
    double = {name for name in config.columns if [*config.columns, *config.condition].count(name) > 1}
    if double:
        raise ValueError(f"the column {sorted(double)[0]!r} is named twice in data.columns and data.condition")
    return open_dataset(config.file, wanted, config.weights)


def build_density(run: DensityRun, train: AbstractDataset, key: Any) -> AbstractDensity:
    """The density of a configuration, with the preprocessing of its training events, before training.

    **Raises** `ValueError` for a constant column, values outside of a range, or an option that the family lacks.
    """
    from ..densities.preprocessing import bounded, discrete, fit_preprocessing, positive, preprocess, real

    def kind(name: str) -> Any:
        value = run.data.kinds.get(name, "real")
        if isinstance(value, tuple):
            return bounded(*value)
        return {"real": real, "positive": positive, "discrete": discrete}[value]()

    rows = np.arange(min(train.num_rows, _MOST_ROWS))
    table, weights = train.take(rows), train.weights[rows]
    names, given = list(run.data.columns), list(run.data.condition)
    events = fit_preprocessing(table["x"], weights, [kind(name) for name in names], names)
    conditions = fit_preprocessing(table["c"], weights, [kind(n) for n in given], given) if given else None
    try:
        inner = FAMILIES[run.density.family](len(names), len(given), key, dict(run.density.options))
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument ('\w+')", str(error))
        text = f"there is no option {unknown[1]}" if unknown else str(error)
        raise ValueError(f"density.options of the family {run.density.family!r}: {text}") from error
    density: AbstractDensity = preprocess(inner, events, conditions)
    return density


def _finish(
    run: DensityRun, folder: Path, result: TrainingResult, density: Any, test: AbstractDataset, key: Any
) -> LearnedDensity:
    from ..metrics import wasserstein

    rows = np.arange(min(test.num_rows, _MOST_ROWS))
    table, weights = test.take(rows), test.weights[rows]
    x, c = table["x"], table.get("c")
    keys = jax.random.split(key, 3)
    published = publish(
        folder / "density.npz", density, x, c, weights, key=keys[0], name=run.name, description=run.description,
        columns=run.data.columns, condition_columns=run.data.condition, overwrite=True, **_effort(run),
    )  # fmt: skip
    draws = np.asarray(published.sample(keys[1], len(x), c))
    of_draws = weights if c is not None else None
    w = jax.numpy.asarray(weights)
    distances = {}
    for i, name in enumerate(run.data.columns):
        other = None if of_draws is None else w
        distances[name] = wasserstein(
            jax.numpy.asarray(x[:, i]), jax.numpy.asarray(draws[:, i]), w, other, key=jax.random.fold_in(keys[2], i)
        )
    learned = LearnedDensity(run, result, published, x, weights, draws, distances)
    (folder / "metrics.json").write_text(json.dumps(learned.to_dict(), indent=2) + "\n")
    learned.draw(folder)
    return learned


def _effort(run: DensityRun) -> dict[str, Any]:
    """Events and draws of the coverage test: fewer where log p is the solution of a differential equation."""
    return {} if run.density.family == "flow" else {"coverage_events": 100, "coverage_samples": 50}


__all__ = [
    "FAMILIES",
    "DataConfig",
    "DensityConfig",
    "DensityRun",
    "LearnedDensity",
    "build_density",
    "check",
    "column_names",
    "learn",
]
