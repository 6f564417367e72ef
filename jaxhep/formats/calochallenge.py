"""CaloChallenge data sets: HDF5 with `incident_energies` (N, 1) and `showers` (N, voxel) in MeV, read and written.

Here energies are in GeV, as everywhere in jaxhep; the factor 1000 is applied at the file.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Key
from ..detector.calorimeter import Calorimeter, Rings, ShowerFeatures, layer_features
from ..simulator import AbstractSimulator, Chain, generate
from ._errors import (
    EventFileError,
    OutputExistsError,
    RunMismatchError,
    StorageFullError,
    need,
    no_space,
    reading,
)
from .calochallenge_binning import (
    DATASET_2,
    DATASET_3,
    Binning,
    LayerBins,
    read_binning,
    regular_binning,
    write_binning,
)

_MEV = 1000.0
_NAMES = ("incident_energies", "showers")


@dataclasses.dataclass(frozen=True)
class ShowerBatch:
    """Showers: `incident_energies` (n,) and `showers` (n, voxel), in GeV."""

    incident_energies: np.ndarray
    showers: np.ndarray

    def __post_init__(self) -> None:
        if self.showers.ndim != 2 or self.incident_energies.shape != self.showers.shape[:1]:
            raise ValueError(
                f"showers must be (n, voxel) and incident_energies (n,), got {self.showers.shape} and "
                f"{self.incident_energies.shape}"
            )


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise need("h5py") from error
    return h5py


def read_showers(
    path: str | Path,
    start: int = 0,
    stop: int | None = None,
    *,
    batch_size: int = 1024,
    binning: Binning | None = None,
) -> Iterator[ShowerBatch]:
    """Batches of the showers start … stop − 1 of a data set, in GeV.

    **Arguments** `binning`: if given, the number of voxels must be its.

    **Raises** at once `EventFileError` for a file that is missing, cut short, without the two arrays, of shapes that
    do not fit each other or the binning; `ValueError` for an impossible range. When the iterator reaches them,
    `EventFileError` for energies that are not finite or incident energies that are not positive.
    """
    file = Path(path)
    if start < 0 or (stop is not None and stop < start) or batch_size < 1:
        raise ValueError(f"need 0 <= start <= stop and batch_size >= 1, got {start=}, {stop=}, {batch_size=}")
    count, voxels = dataset_shape(file)
    if binning is not None and voxels != binning.num_voxels:
        raise EventFileError(
            file, f"holds showers of {voxels} voxels, the binning of {binning.name!r} has {binning.num_voxels}"
        )
    return _read(file, start, count if stop is None else min(stop, count), batch_size)


def _read(file: Path, start: int, stop: int, batch_size: int) -> Iterator[ShowerBatch]:
    h5py = _h5py()
    for low in range(start, stop, batch_size):
        high = min(low + batch_size, stop)
        with reading(file, "a CaloChallenge data set"), h5py.File(file, "r") as data:
            energies, showers = (np.asarray(data[name][low:high]) / _MEV for name in _NAMES)
        energies = energies.reshape(-1)
        if not (np.all(np.isfinite(showers)) and np.all(np.isfinite(energies)) and np.all(energies > 0)):
            raise EventFileError(
                file, f"has energies that are not finite, or not positive, among the showers {low} to {high - 1}"
            )
        yield ShowerBatch(energies, showers)


def dataset_shape(path: str | Path) -> tuple[int, int]:
    """(showers, voxels) of a data set; **raises** `EventFileError` if it is none."""
    h5py, file = _h5py(), Path(path)
    with reading(file, "a CaloChallenge data set"), h5py.File(file, "r") as data:
        missing = [name for name in _NAMES if name not in data]
        shapes = [data[name].shape for name in _NAMES if name in data]
    if missing:
        raise EventFileError(file, f"has no {' and no '.join(missing)}", "It is not a CaloChallenge data set.")
    (rows, *rest), showers = shapes
    if len(showers) != 2 or rest not in ([], [1]) or rows != showers[0]:
        raise EventFileError(
            file,
            f"has incident_energies of shape {shapes[0]} and showers of shape {showers}, not (N, 1) and (N, voxel)",
        )
    return int(showers[0]), int(showers[1])


def write_showers(
    path: str | Path,
    make_batch: Callable[[int, int], ShowerBatch],
    num_showers: int,
    *,
    num_voxels: int,
    batch_size: int = 1024,
    dtype: Any = np.float32,
    metadata: Mapping[str, Any] | None = None,
    force: bool = False,
    resume: bool = False,
    on_batch: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes a data set a batch at a time, so that memory is bounded and nothing written is lost.

    What is written goes to `<name>.partial`, which gets its name when it is complete. After an interrupt `resume=True`
    goes on behind the last whole batch.

    **Arguments**

    - `make_batch(start, count)`: the showers start … start + count − 1. It must depend on these numbers only.
    - `num_voxels`: of a shower.
    - `dtype`: of the file.
    - `metadata`: kept in the file as JSON; it must agree on resuming.
    - `on_batch(done, num_showers)`: called after each batch.

    **Raises** `OutputExistsError` if the file or its partial is there and neither `force` nor `resume` says what to do;
    `RunMismatchError` on resuming another run; `StorageFullError`; `ValueError` for batches of a wrong shape.
    """
    h5py, file = _h5py(), Path(path)
    for name, value in (("num_showers", num_showers), ("batch_size", batch_size), ("num_voxels", num_voxels)):
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    partial = file.with_name(file.name + ".partial")
    if file.exists() and not force:
        raise OutputExistsError(f"{file} exists; choose another name or pass force=True to replace it.")
    if partial.exists() and not (force or resume):
        raise OutputExistsError(
            f"{partial} holds an unfinished run; go on with resume=True, or start again with force=True."
        )
    header = {"num_showers": int(num_showers), "num_voxels": int(num_voxels), "metadata": dict(metadata or {})}
    if partial.exists() and not resume:
        partial.unlink()
    fresh = not partial.exists()
    try:
        if not fresh:
            _check_header(partial, header)
        with h5py.File(partial, "w" if fresh else "r+") as data:
            if fresh:
                _create(data, num_voxels, batch_size, np.dtype(dtype))
                data.attrs["jaxhep"] = json.dumps(header, sort_keys=True)
            done = min(len(data[name]) for name in _NAMES)
            while done < num_showers:
                count = min(batch_size, num_showers - done)
                batch = make_batch(done, count)
                if batch.showers.shape != (count, num_voxels):
                    raise ValueError(
                        f"make_batch({done}, {count}) gave showers of shape {batch.showers.shape}, it must give "
                        f"{(count, num_voxels)}"
                    )
                for name, values in zip(_NAMES, (batch.incident_energies[:, None], batch.showers), strict=True):
                    data[name].resize(done + count, axis=0)
                    data[name][done:] = np.asarray(values) * _MEV
                data.flush()
                done += count
                if on_batch is not None:
                    on_batch(done, num_showers)
    except OSError as error:
        if no_space(error):
            raise StorageFullError(
                f"no space for {file}: what is complete lies in {partial}; make room and go on with resume=True."
            ) from error
        raise
    os.replace(partial, file)
    return file


def _check_header(partial: Path, header: dict[str, Any]) -> None:
    with reading(partial, "an unfinished CaloChallenge data set"), _h5py().File(partial, "r") as data:
        found = json.loads(data.attrs["jaxhep"])
    wanted = json.loads(json.dumps(header))
    if found != wanted:
        differ = sorted(key for key in wanted if found.get(key) != wanted[key])
        raise RunMismatchError(f"{partial} belongs to another run: {', '.join(differ)} differ; use force=True.")


def _create(data: Any, num_voxels: int, batch_size: int, dtype: np.dtype) -> None:
    rows = max(1, min(batch_size, 2**20 // max(num_voxels, 1)))
    for name, width in zip(_NAMES, (1, num_voxels), strict=True):
        data.create_dataset(
            name, (0, width), dtype, maxshape=(None, width), chunks=(rows, width), compression="gzip",
            compression_opts=1, shuffle=True,
        )  # fmt: skip


def _answer(response: Any) -> dict[str, Array]:
    return {
        "showers": response.cells.reshape(-1),
        "incident_energies": response.incident_energy,
        "overflow": response.overflow,
    }


def simulate_showers(
    path: str | Path,
    simulator: AbstractSimulator,
    key: Key,
    num_showers: int,
    *,
    batch_size: int = 1024,
    force: bool = False,
    resume: bool = False,
    allow_overflow: bool = False,
    on_batch: Callable[[int, int], None] | None = None,
) -> Path:
    """Simulates showers into a data set that stands in for one of the challenge.

    Shower i uses the noise of `fold_in(key, i)`: the file does not depend on `batch_size`, nor on interrupts.

    **Arguments**

    - `simulator`: a `Calorimeter`, or a `Chain` that ends in one: `Chain(ParticleGun(1, 1000),
      calochallenge_dataset_2())`. Voxels are its cells in the order (layer, α, r); `binning_of` describes them.
    - `allow_overflow`: keep showers that did not fit the calorimeter's arrays; else they are an error.
    - others as `write_showers`.

    **Raises** as `write_showers`; `ValueError` for overflowing showers.
    """
    calorimeter = _calorimeter_of(simulator)
    seed = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key

    def make_batch(start: int, count: int) -> ShowerBatch:
        # Always whole batches: a shorter one would be compiled anew.
        size = min(batch_size, num_showers)
        got = jax.device_get(generate(simulator, key, size, observables=_answer, first_event=start, chunk_size=size))
        bad = int(np.sum(got["overflow"][:count]))
        if bad and not allow_overflow:
            raise ValueError(
                f"{bad} of the showers {start} to {start + count - 1} do not fit the arrays of the calorimeter; raise "
                "spot_capacity or max_particles, or pass allow_overflow=True"
            )
        return ShowerBatch(got["incident_energies"][:count], got["showers"][:count])

    return write_showers(
        path,
        make_batch,
        num_showers,
        num_voxels=int(np.prod(calorimeter.cell_shape)),
        batch_size=batch_size,
        metadata={"key": np.asarray(seed).tolist()},
        force=force,
        resume=resume,
        on_batch=on_batch,
    )


def _calorimeter_of(simulator: AbstractSimulator) -> Calorimeter:
    last = simulator.stages[-1] if isinstance(simulator, Chain) else simulator
    if not isinstance(last, Calorimeter):
        raise TypeError(f"showers come from a Calorimeter or a Chain that ends in one, not from {type(last).__name__}")
    return last


def binning_of(simulator: AbstractSimulator, *, name: str = "electron", pdg_id: int = 11) -> Binning:
    """The binning that describes a calorimeter with `Rings` (its lengths in mm).

    >>> from jaxhep.detector.calorimeter import calochallenge_dataset_2
    >>> from jaxhep.formats.calochallenge import binning_of
    >>> binning_of(calochallenge_dataset_2()).num_voxels
    6480
    """
    calorimeter = _calorimeter_of(simulator)
    rings = calorimeter.segmentation
    if not isinstance(rings, Rings):
        raise TypeError(f"a CaloChallenge binning has rings, the calorimeter has {type(rings).__name__}")
    table = np.asarray(rings.edges, float) * 10
    edges = np.broadcast_to(table, (calorimeter.layers.num_layers, table.shape[-1]))
    # Six digits: float32 lengths in cm would otherwise show their rounding in the file.
    rows = [tuple(float(f"{edge:.6g}") for edge in row) for row in edges]
    return Binning(name, pdg_id, tuple(LayerBins(i, row, rings.num_phi) for i, row in enumerate(rows)))


def high_level_features(showers: Any, binning: Binning, threshold: float = 0.0) -> ShowerFeatures:
    r"""Layer energies, centres, widths and sparsity as the challenge defines them, of each layer that has voxels.

    x = r cos α (its "η") and y = r sin α ("φ") of the middle of each voxel, in mm.

    **Arguments**: `showers` (…, voxel), a NumPy or JAX array in GeV or MeV; `threshold` in the same unit.

    **Returns** `ShowerFeatures` with fields (…, filled layer). The challenge leaves out x and y in layers with one
    sector; here they are the constants that follow from its one α = 0.

    **Raises** `ValueError` if the number of voxels is not the binning's.

    >>> import numpy as np
    >>> from jaxhep.formats.calochallenge import high_level_features, regular_binning
    >>> binning = regular_binning(2, [0.0, 5.0, 10.0], 4)
    >>> high_level_features(np.ones((3, 16), np.float32), binning).energy.shape
    (3, 2)
    """
    showers = jnp.asarray(showers)
    if showers.shape[-1] != binning.num_voxels:
        raise ValueError(f"the showers have {showers.shape[-1]} voxels, the binning {binning.num_voxels}")
    radius, alpha = binning.centres()
    x, y, r = (jnp.asarray(a, showers.dtype) for a in (radius * np.cos(alpha), radius * np.sin(alpha), radius))
    sizes = {layer.num_voxels for layer in binning.filled}
    if len(sizes) == 1:
        shape = (len(binning.filled), sizes.pop())
        x, y, r = (a.reshape(shape) for a in (x, y, r))
        return layer_features(showers.reshape(*showers.shape[:-1], *shape), x, y, r, threshold)
    parts = [
        layer_features(showers[..., a:b], x[a:b], y[a:b], r[a:b], threshold)
        for a, b in zip(binning.offsets, binning.offsets[1:], strict=False)
    ]
    return jax.tree.map(lambda *layers: jnp.stack(layers, axis=-1), *parts)


__all__ = [
    "DATASET_2",
    "DATASET_3",
    "Binning",
    "LayerBins",
    "ShowerBatch",
    "binning_of",
    "dataset_shape",
    "high_level_features",
    "read_binning",
    "read_showers",
    "regular_binning",
    "simulate_showers",
    "write_binning",
    "write_showers",
]
