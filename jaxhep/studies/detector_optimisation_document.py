"""The design document: a sampling calorimeter, what of it may move, its budgets, and what it is judged by."""

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "jaxhep detector design 1"
FREE = ("passive_thickness", "active_thickness", "cell_size")
OBJECTIVES = ("resolution", "bias", "separation", "mass", "price")
BUDGETS = ("depth", "channels", "price", "radiation_lengths")
AREA = 10_000.0
"""Channels and price are counted for a module of 1 m² front face, in cm²."""


class DesignError(ValueError):
    """A design document that makes no sense; the message says which entry and what is allowed."""


@dataclasses.dataclass(frozen=True)
class Physics:
    """What the calorimeter is tried with, and its electronics.

    Arguments:
        lowest, highest: photon energies of the calibration in GeV, uniform in ln E.
        pion_energy: energy of the π⁰ and of the photons it is to be told from, in GeV.
        distance: from the vertex to the front face, in cm.
        noise: of a cell in GeV of active matter, and of what is summed for an energy by the area of a cluster.
        threshold: of a cell in GeV on the electromagnetic scale, in the search for two photons.
        threshold_width: width of its smooth form during the optimisation, in GeV.
        cluster_side: side of the square summed for an energy, in cm.
        sampling_coefficient: k of Wigmans' rule in √GeV/√mm.
        window: cells along each side of the square in which the width of a shower is measured.
    """

    lowest: float | int = 5.0
    highest: float | int = 100.0
    pion_energy: float | int = 40.0
    distance: float | int = 150.0
    noise: float | int = 0.001
    threshold: float | int = 0.05
    threshold_width: float | int = 0.02
    cluster_side: float | int = 12.0
    sampling_coefficient: float | int = 0.027
    window: int = 5


@dataclasses.dataclass(frozen=True)
class Prices:
    """Per cm³ of passive and active matter and per channel, in any currency.

    The defaults are illustrative numbers, not quotations.
    """

    passive: float | int = 0.05
    active: float | int = 0.01
    channel: float | int = 10.0


@dataclasses.dataclass(frozen=True)
class DetectorDesign:
    r"""A sampling calorimeter in layers and the task of improving it.

    Arguments:
        passive, active: names of materials (`jaxhep.detector.materials`).
        passive_thickness, active_thickness: of each layer in cm, shape (layer,).
        cell_size: side of the square cells of each layer in cm, shape (layer,).
        free: which of the three may move.
        bounds: (low, high) in cm of each of the three.
        budgets: upper limits by name: `depth` in cm, `channels` and `price` for a front face of 1 m²,
            `radiation_lengths`.
        weights: of the objectives, each relative to its value for the document's own design: `resolution`, `bias`,
            `separation`, `mass`, `price`.
        physics, prices: see `Physics`, `Prices`.

    Raises:
        DesignError: an entry that is wrong, with the cure.

    >>> design = DetectorDesign.uniform(12)
    >>> round(design.depth, 6), round(design.channels)
    (19.2, 30000)
    """

    passive: str
    active: str
    passive_thickness: tuple[float | int, ...]
    active_thickness: tuple[float | int, ...]
    cell_size: tuple[float | int, ...]
    free: tuple[str, ...] = FREE
    bounds: Mapping[str, tuple[float | int, float | int]] = dataclasses.field(
        default_factory=lambda: {
            "passive_thickness": (0.1, 4.0), "active_thickness": (0.1, 2.0), "cell_size": (0.4, 12.0)
        }
    )  # fmt: skip
    budgets: Mapping[str, float | int] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, float | int] = dataclasses.field(
        default_factory=lambda: {"resolution": 1.0, "bias": 0.0, "separation": 0.5, "mass": 0.5, "price": 0.0}
    )
    physics: Physics = dataclasses.field(default_factory=Physics)
    prices: Prices = dataclasses.field(default_factory=Prices)

    def __post_init__(self) -> None:
        _check_materials(self)
        _check_arrays(self)
        _check_choices(self)
        _check_physics(self)

    @classmethod
    def uniform(cls, num_layers: int = 12, **changes: Any) -> "DetectorDesign":
        """Equal layers of 1 cm lead and 0.6 cm liquid argon with cells of 2 cm, and budgets that it just meets.

        Arguments:
            num_layers: at least 1.
            changes: other fields, as for the class; `budgets` are by default its own depth and channels.
        """
        if num_layers < 1:
            raise DesignError(f"the stack is empty: num_layers must be at least 1, got {num_layers}")
        given: dict[str, Any] = {
            "passive": "Pb", "active": "LAr", "passive_thickness": (1.0,) * num_layers,
            "active_thickness": (0.6,) * num_layers, "cell_size": (2.0,) * num_layers,
        } | changes  # fmt: skip
        design = cls(**given)
        if "budgets" in changes:
            return design
        return dataclasses.replace(design, budgets={"depth": design.depth, "channels": design.channels})

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.passive_thickness)

    @property
    def depth(self) -> float:
        """Of all layers, in cm."""
        return float(sum(self.passive_thickness) + sum(self.active_thickness))

    @property
    def channels(self) -> float:
        """Cells of all layers of a module of 1 m², not rounded."""
        return float(sum(AREA / size**2 for size in self.cell_size))

    def values(self) -> dict[str, np.ndarray]:
        """The three rows of numbers as arrays by name."""
        return {name: np.array(getattr(self, name), np.float64) for name in FREE}

    def with_values(self, values: Mapping[str, Any]) -> "DetectorDesign":
        """The same document with other numbers."""
        rows: dict[str, Any] = {
            name: tuple(float(x) for x in np.asarray(values[name])) for name in FREE if name in values
        }
        return dataclasses.replace(self, **rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain content, as it stands in a file."""
        return {"format": FORMAT, **_plain(dataclasses.asdict(self))}

    def to_json(self) -> str:
        """The document as JSON text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, content: Any, where: str = "the design document") -> "DetectorDesign":
        """The design behind `to_dict`; entries left out have their defaults.

        Arguments:
            content: a mapping.
            where: what to call it in messages.

        Raises:
            DesignError: an unknown or missing entry, a number out of range, an unknown material.
        """
        if not isinstance(content, Mapping):
            raise DesignError(f"{where} must be a mapping of names to values, not {type(content).__name__}")
        given = dict(content)
        if given.pop("format", FORMAT) != FORMAT:
            raise DesignError(f"{where} has format {content['format']!r}; this version reads {FORMAT!r}")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        _known(where, given, fields)
        missing = [name for name in ("passive", "active", *FREE) if name not in given]
        if missing:
            raise DesignError(f"{where} lacks {', '.join(missing)}")
        for name, kind in (("physics", Physics), ("prices", Prices)):
            if name in given:
                if not isinstance(given[name], Mapping):
                    raise DesignError(f"{where}: {name} must be a mapping, got {given[name]!r}")
                _known(f"{where}, {name}", given[name], {field.name for field in dataclasses.fields(kind)})
                given[name] = kind(**given[name])
        for name in FREE:
            row = given[name]
            if not isinstance(row, list | tuple) or not all(_is_number(x) for x in row):
                raise DesignError(f"{where}: {name} must be a list of numbers, one a layer, got {row!r}")
            given[name] = tuple(float(x) for x in row)
        for name in ("bounds", "budgets", "weights"):
            if name in given and not isinstance(given[name], Mapping):
                raise DesignError(f"{where}: {name} must be a mapping, got {given[name]!r}")
        if "free" in given:
            row = given["free"]
            given["free"] = (row,) if isinstance(row, str) else tuple(row)
        if "bounds" in given:
            default = DetectorDesign.uniform(1).bounds
            _known(f"{where}, bounds", given["bounds"], FREE)
            given["bounds"] = dict(default) | {k: _pair(where, k, v) for k, v in given["bounds"].items()}
        return cls(**given)


def read_design(path: Path) -> DetectorDesign:
    """A design document from a JSON or YAML file.

    Arguments:
        path: ending in .json, .yaml or .yml.

    Returns:
        The design.

    Raises:
        DesignError: no such file, malformed text, or a document that makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DesignError(f"{path} does not exist; write a document to start from with --example {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DesignError(f"{path} cannot be read: {error}") from error
    if path.suffix in (".yaml", ".yml"):
        import yaml

        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise DesignError(f"{path} is no YAML: {error}") from error
    else:
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise DesignError(f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    return DetectorDesign.from_dict(content, str(path))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _known(where: str, given: Any, names: Any) -> None:
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(str(name), list(names), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names)}"
            raise DesignError(f"{where} has an unknown entry {name!r}{hint}")


def _pair(where: str, name: str, value: Any) -> tuple[float, float]:
    try:
        low, high = (float(x) for x in value)
    except (TypeError, ValueError):
        raise DesignError(f"{where}: bounds of {name} must be two numbers, got {value!r}") from None
    return low, high


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _plain(value) for key, value in content.items()}
    return [_plain(x) for x in content] if isinstance(content, list | tuple) else content


def _check_materials(design: DetectorDesign) -> None:
    from ..detector.materials import material

    for name in (design.passive, design.active):
        try:
            material(name)
        except (ValueError, TypeError) as error:
            raise DesignError(str(error)) from error


def _check_arrays(design: DetectorDesign) -> None:
    if design.num_layers == 0:
        raise DesignError("the stack is empty: give the thickness of at least one layer")
    for name in FREE:
        row = np.asarray(getattr(design, name), np.float64)
        if row.shape != (design.num_layers,):
            raise DesignError(f"{name} has {row.size} entries, the stack has {design.num_layers} layers")
        if name not in design.bounds:
            raise DesignError(f"bounds lack {name}")
        low, high = design.bounds[name]
        if not (math.isfinite(low) and math.isfinite(high) and 0 < low < high):
            raise DesignError(f"bounds of {name} must satisfy 0 < low < high (cm), got {low} and {high}")
        for i, value in enumerate(row):
            if not (math.isfinite(value) and value > 0):
                raise DesignError(f"{name}[{i}] must be above 0 cm, got {value:g}")
            if name in design.free and not low <= value <= high:
                raise DesignError(f"{name}[{i}] = {value:g} cm is outside of its bounds [{low:g}, {high:g}]")


def _check_choices(design: DetectorDesign) -> None:
    _known("free", design.free, FREE)
    if not design.free:
        raise DesignError(f"nothing is free to move; free takes {', '.join(FREE)}")
    _known("budgets", design.budgets, BUDGETS)
    _known("weights", design.weights, OBJECTIVES)
    for name, limit in design.budgets.items():
        if not (_is_number(limit) and limit > 0):
            raise DesignError(f"budget {name} must be a number above 0, got {limit!r}")
    for name, weight in design.weights.items():
        if not (_is_number(weight) and weight >= 0):
            raise DesignError(f"weight of {name} must be a number of at least 0, got {weight!r}")
    if not any(design.weights.values()):
        raise DesignError("all weights are 0: nothing is optimised")


def _check_physics(design: DetectorDesign) -> None:
    for part in (design.physics, design.prices):
        for name, value in dataclasses.asdict(part).items():
            if not (_is_number(value) and value >= 0):
                raise DesignError(f"{name} must be a number of at least 0, got {value!r}")
    physics = design.physics
    for name in ("lowest", "pion_energy", "distance", "threshold_width", "cluster_side", "sampling_coefficient"):
        if not getattr(physics, name) > 0:
            raise DesignError(f"{name} must be above 0, got {getattr(physics, name)}")
    if not physics.lowest < physics.highest:
        raise DesignError(f"lowest must be below highest, got {physics.lowest:g} and {physics.highest:g} GeV")
    if physics.window != int(physics.window) or physics.window < 3:
        raise DesignError(f"window must be a whole number of at least 3 cells, got {physics.window}")


__all__ = ["AREA", "BUDGETS", "FREE", "OBJECTIVES", "DesignError", "DetectorDesign", "Physics", "Prices", "read_design"]
