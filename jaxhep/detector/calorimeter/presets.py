"""Calorimeters by short names of their parts, and known ones."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .layers import Layers
from .readout import Readout
from .segmentation import AbstractSegmentation, Rings
from .simulator import Calorimeter


def sampling_calorimeter(
    passive: Any = "Pb",
    active: Any = "LAr",
    passive_thickness: Any = 0.2,
    active_thickness: Any = 0.4,
    *,
    num_layers: int | None = None,
    sampling_term: Any = 0.1,
    segmentation: AbstractSegmentation | None = None,
    readout: Readout | None = None,
    critical_energy: Any = "paper",
    **options: Any,
) -> Calorimeter:
    """Layers of passive matter, each followed by active matter.

    **Arguments**

    - `passive`, `active`: materials or mixtures, see `Layers`.
    - `passive_thickness`, `active_thickness`: in cm, (layer,) or scalars; `num_layers` is needed when both are.
    - `sampling_term`: c in √GeV; 0.1 is typical of lead and liquid argon.
    - all others: see `Calorimeter`.

    **Raises** as `Layers` and `Calorimeter`.

    >>> from jaxhep.detector.calorimeter import sampling_calorimeter
    >>> sampling_calorimeter("W", "Si", 0.14, 0.03, num_layers=45, sampling_term=0.2).cell_shape
    (45, 1, 1)
    """
    if num_layers is not None:
        if isinstance(num_layers, bool) or not isinstance(num_layers, int | np.integer) or num_layers < 1:
            raise ValueError(f"num_layers must be a whole number of at least 1, got {num_layers!r}: the stack is empty")
        if jnp.ndim(active_thickness) == 0:
            active_thickness = jnp.full(int(num_layers), active_thickness, float)
        if len(active_thickness) != num_layers:
            raise ValueError(f"active_thickness is of {len(active_thickness)} layers, num_layers is {num_layers}")
    layers = Layers(active, active_thickness, passive, passive_thickness, critical_energy=critical_energy)
    return Calorimeter(layers, segmentation, readout, sampling_term=sampling_term, **options)


def homogeneous_calorimeter(
    active: Any = "PbWO4",
    active_thickness: Any = 22.0,
    *,
    segmentation: AbstractSegmentation | None = None,
    readout: Readout | None = None,
    critical_energy: Any = "paper",
    substeps: int = 10,
    **options: Any,
) -> Calorimeter:
    """Active matter only: a crystal or liquid, in one or several layers.

    **Arguments**

    - `active_thickness`: in cm, (layer,) or a scalar for one layer.
    - `substeps`: slices a layer in which the radial profile is evaluated.
    - all others: see `Calorimeter`.

    >>> from jaxhep.detector.calorimeter import Grid, homogeneous_calorimeter
    >>> homogeneous_calorimeter("PbWO4", 22.0, segmentation=Grid(2.2, 5, 5)).cell_shape
    (1, 5, 5)
    """
    thickness = (
        jnp.atleast_1d(jnp.asarray(active_thickness, float)) if np.ndim(active_thickness) == 0 else active_thickness
    )
    layers = Layers(active, thickness, critical_energy=critical_energy)
    return Calorimeter(layers, segmentation, readout, substeps=substeps, **options)


def hepemshow(**options: Any) -> Calorimeter:
    """The calorimeter of HepEmShow: 50 layers of 2.3 mm PbWO4 and 5.7 mm liquid argon, 10 GeV electrons.

    Transport gives 6723 ± 310 MeV (spread) in the absorber and 2572 ± 119 MeV in the gap (arXiv:2405.07944), 0.9295 of
    the energy; this parametrisation contains 0.9466 (lateral losses not counted), and 0.9489 with
    `critical_energy="pdg"`.

    **Arguments** `options`: of `sampling_calorimeter`.
    """
    given = {"sampling_term": 0.1, "energy": 10.0} | options
    return sampling_calorimeter("PbWO4", "LAr", jnp.full(50, 0.23), jnp.full(50, 0.57), **given)


def calochallenge_dataset_2(**options: Any) -> Calorimeter:
    r"""A calorimeter in the layout of data set 2 of the CaloChallenge (arXiv:2410.21611).

    45 layers of 1.4 mm tungsten and 0.3 mm silicon; cells (layer, φ, r) = 45 × 16 × 9 with rings of 4.65 mm about the
    electron's direction, read out above 15.15 keV. Use it behind `ParticleGun(1.0, 1000.0)`, the spectrum of the data
    set. The sampling term 0.2 √GeV is an assumption, as thin silicon goes: the data set does not state one.

    **Arguments** `options`: of `sampling_calorimeter`; `transverse` is "expected" unless given.
    """
    given: dict[str, Any] = {
        "segmentation": Rings(4.65e-1 * np.arange(10), 16),
        "readout": Readout(threshold=15.15e-6),
        "sampling_term": 0.2,
        "spot_capacity": 4096 if options.get("transverse") == "spots" else 64,
    }
    return sampling_calorimeter("W", "Si", jnp.full(45, 0.14), jnp.full(45, 0.03), **(given | options))


__all__ = ["calochallenge_dataset_2", "hepemshow", "homogeneous_calorimeter", "sampling_calorimeter"]
