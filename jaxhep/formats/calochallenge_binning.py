"""The voxels of a CaloChallenge data set: the XML files that describe them."""

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ._errors import EventFileError, OutputExistsError, reading


@dataclasses.dataclass(frozen=True)
class LayerBins:
    """The voxels of a layer, (α, r) with r fastest: `number` of the layer, `edges` of the rings in mm, `num_alpha`
    sectors from −π to π. A layer with one edge has no voxels."""

    number: int
    edges: tuple[float, ...]
    num_alpha: int

    def __post_init__(self) -> None:
        if not self.edges or any(not math.isfinite(e) or e < 0 for e in self.edges):
            raise ValueError(f"layer {self.number}: r_edges must be numbers that are not negative, got {self.edges}")
        if any(b <= a for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"layer {self.number}: r_edges must increase, got {self.edges}")
        if self.num_alpha < 1:
            raise ValueError(f"layer {self.number}: n_bin_alpha must be at least 1, got {self.num_alpha}")

    @property
    def num_voxels(self) -> int:
        """Rings times sectors."""
        return (len(self.edges) - 1) * self.num_alpha


@dataclasses.dataclass(frozen=True)
class Binning:
    """The voxels of a shower, layer after layer.

    **Fields**: `name` ("electron", "photon", "pion"), `pdg_id`, `layers`, and `eta_range`, where the file has one.

    >>> from jaxhep.formats.calochallenge import DATASET_2
    >>> DATASET_2.num_voxels
    6480
    """

    name: str
    pdg_id: int
    layers: tuple[LayerBins, ...]
    eta_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.num_voxels == 0:
            raise ValueError(f"the binning of {self.name!r} has no voxels: give layers with at least two r_edges")
        numbers = [layer.number for layer in self.layers]
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"the binning of {self.name!r} names a layer twice: {numbers}")

    @property
    def num_voxels(self) -> int:
        """Of a whole shower."""
        return sum(layer.num_voxels for layer in self.layers)

    @property
    def filled(self) -> tuple[LayerBins, ...]:
        """The layers that have voxels."""
        return tuple(layer for layer in self.layers if layer.num_voxels)

    @property
    def offsets(self) -> np.ndarray:
        """Where the voxels of each filled layer begin in a shower, and the end; shape (filled layer + 1,)."""
        return np.cumsum([0, *(layer.num_voxels for layer in self.filled)])

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Radius in mm and azimuth α in radians of the middle of each voxel, shape (voxel,)."""
        radii, azimuths = [], []
        for layer in self.filled:
            edges = np.asarray(layer.edges)
            middle = 0.5 * (edges[1:] + edges[:-1])
            alpha = -np.pi + (np.arange(layer.num_alpha) + 0.5) * 2 * np.pi / layer.num_alpha
            radii.append(np.tile(middle, layer.num_alpha))
            azimuths.append(np.repeat(alpha, len(middle)))
        return np.concatenate(radii), np.concatenate(azimuths)


def regular_binning(
    num_layers: int, edges: Sequence[float] | np.ndarray, num_alpha: int, *, name: str = "electron", pdg_id: int = 11
) -> Binning:
    """Layers of equal voxels; `edges` of the rings in mm.

    >>> from jaxhep.formats.calochallenge import regular_binning
    >>> regular_binning(3, [0.0, 5.0, 10.0], 8).num_voxels
    48
    """
    rings = tuple(float(edge) for edge in edges)
    return Binning(name, pdg_id, tuple(LayerBins(i, rings, num_alpha) for i in range(num_layers)))


DATASET_2 = regular_binning(45, [round(4.65 * i, 2) for i in range(10)], 16)
"""Data set 2 of the challenge: 45 layers × 16 α × 9 r, rings of 4.65 mm, electrons (arXiv:2410.21611, section 2)."""
DATASET_3 = regular_binning(45, [round(2.325 * i, 3) for i in range(19)], 50)
"""Data set 3: the same detector with 50 α × 18 r, rings of 2.325 mm."""


def read_binning(path: str | Path, particle: str | None = None) -> Binning:
    """Reads a binning file of the challenge.

    **Arguments** `particle`: which, by name, if the file describes several.

    **Raises** `EventFileError` for a file that is missing, cut short, no XML, or without what a binning has, naming
    the layer and attribute.
    """
    file = Path(path)
    with reading(file, "a binning XML"):
        root = ElementTree.parse(file).getroot()
    parts = list(root.iter("Bin"))
    if root.tag != "Bins" or not parts:
        raise EventFileError(file, "has no <Bins> with a <Bin> in it", "It is not a binning of the CaloChallenge.")
    names = [part.get("name", "") for part in parts]
    if particle is None and len(parts) > 1:
        raise EventFileError(file, f"describes {', '.join(names)}", "Say which with particle=.")
    if particle is not None and particle not in names:
        raise EventFileError(file, f"describes {', '.join(names)}, not {particle!r}")
    chosen = parts[0 if particle is None else names.index(particle)]
    layers = []
    for element in chosen.iter("Layer"):
        label = f"layer {element.get('id', '?')}"
        edges = [_number(file, label, "r_edges", text, float) for text in _need(file, label, element, "r_edges")]
        (alpha,) = (_number(file, label, "n_bin_alpha", t, int) for t in _need(file, label, element, "n_bin_alpha"))
        (number,) = (_number(file, label, "id", t, int) for t in _need(file, label, element, "id"))
        try:
            layers.append(LayerBins(number, tuple(edges), alpha))
        except ValueError as error:
            raise EventFileError(file, str(error)) from error
    eta = None
    if chosen.get("etaMin") is not None and chosen.get("etaMax") is not None:
        eta = tuple(_number(file, "Bin", key, chosen.get(key), int) for key in ("etaMin", "etaMax"))
    try:
        pdg_id = _number(file, "Bin", "pid", chosen.get("pid"), int)
        return Binning(chosen.get("name") or "", pdg_id, tuple(layers), eta)
    except ValueError as error:
        if isinstance(error, EventFileError):
            raise
        raise EventFileError(file, str(error)) from error


def _need(file: Path, label: str, element: Any, key: str) -> list[str]:
    text = element.get(key)
    if text is None:
        raise EventFileError(file, f"{label} has no attribute {key}")
    parts = text.split(",") if key == "r_edges" else [text]
    return [part.strip() for part in parts]


def _number(file: Path, label: str, key: str, text: str | None, kind: type) -> Any:
    try:
        return kind(text)
    except (TypeError, ValueError) as error:
        raise EventFileError(file, f"{label}: {key} holds {text!r}, which is no number") from error


def write_binning(binning: Binning, path: str | Path, *, force: bool = False) -> Path:
    """Writes a binning file that the challenge's code reads.

    **Raises** `OutputExistsError` if the file is there and `force` is False.
    """
    file = Path(path)
    if file.exists() and not force:
        raise OutputExistsError(f"{file} exists; choose another name or pass force=True to replace it.")
    root = ElementTree.Element("Bins")
    attributes = {"pid": str(binning.pdg_id), "name": binning.name}
    if binning.eta_range is not None:
        attributes |= {"etaMin": str(binning.eta_range[0]), "etaMax": str(binning.eta_range[1])}
    part = ElementTree.SubElement(root, "Bin", attributes)
    for layer in binning.layers:
        edges = ",".join(f"{edge!r}" if edge != int(edge) else str(int(edge)) for edge in layer.edges)
        ElementTree.SubElement(
            part, "Layer", {"id": str(layer.number), "r_edges": edges, "n_bin_alpha": str(layer.num_alpha)}
        )
    ElementTree.indent(root, "   ")
    partial = file.with_name(file.name + ".partial")
    ElementTree.ElementTree(root).write(partial, encoding="unicode")
    os.replace(partial, file)
    return file


__all__ = ["DATASET_2", "DATASET_3", "Binning", "LayerBins", "read_binning", "regular_binning", "write_binning"]
