"""High-level features of showers: layer energies, centres, widths, sparsity."""

import equinox as eqx
import jax.numpy as jnp

from ..._types import Array, Float
from .segmentation import AbstractSegmentation

_LITTLE = 1e-16


class ShowerFeatures(eqx.Module):
    r"""What one layer (or several, along the last axis) of a shower looks like.

    **Fields**, lengths in the unit of the cell centres

    - `energy`: \(E=\sum e_i\), in the unit of the cells.
    - `centre_x`, `centre_y`, `centre_r`: \(\langle x\rangle=\sum e_ix_i/(E+10^{-16})\). The CaloChallenge calls x and
      y of its polar cells η and φ.
    - `width_x`, `width_y`, `width_r`: \(\sqrt{\langle x^2\rangle-\langle x\rangle^2}\), 0 where that is negative.
    - `sparsity`: part of the cells that are not above the threshold; it has no derivative.
    """

    energy: Float[Array, "*batch"]
    centre_x: Float[Array, "*batch"]
    centre_y: Float[Array, "*batch"]
    centre_r: Float[Array, "*batch"]
    width_x: Float[Array, "*batch"]
    width_y: Float[Array, "*batch"]
    width_r: Float[Array, "*batch"]
    sparsity: Float[Array, "*batch"]


def layer_features(
    energies: Float[Array, "*batch cell"],
    x: Float[Array, "*layer cell"],
    y: Float[Array, "*layer cell"],
    r: Float[Array, "*layer cell"],
    threshold: float = 0.0,
) -> ShowerFeatures:
    """The features of the cells along the last axis, as the CaloChallenge defines them (arXiv:2410.21611; repository
    CaloChallenge/homepage).

    **Arguments**: `x`, `y`, `r` the centres of the cells; `threshold` in the unit of the energies.

    >>> import jax.numpy as jnp
    >>> from jaxhep.detector.calorimeter import layer_features
    >>> x = jnp.array([-1.0, 1.0])
    >>> two = layer_features(jnp.array([1.0, 3.0]), x, 0 * x, abs(x))
    >>> float(two.centre_x), float(two.sparsity)
    (0.5, 0.0)
    """
    total = jnp.sum(energies, axis=-1)

    def mean(values: Array) -> Array:
        return jnp.sum(energies * values, axis=-1) / (total + _LITTLE)

    def width(values: Array) -> Array:
        variance = mean(values**2) - mean(values) ** 2
        there = variance > 0
        return jnp.where(there, jnp.sqrt(jnp.where(there, variance, 1.0)), 0.0)

    return ShowerFeatures(
        energy=total,
        centre_x=mean(x),
        centre_y=mean(y),
        centre_r=mean(r),
        width_x=width(x),
        width_y=width(y),
        width_r=width(r),
        sparsity=jnp.mean((energies <= threshold).astype(energies.dtype), axis=-1),
    )


def shower_features(
    cells: Float[Array, "*batch layer a b"], segmentation: AbstractSegmentation, threshold: float = 0.0
) -> ShowerFeatures:
    """The features of each layer of a calorimeter's cells; lengths in cm.

    **Arguments**: `cells` as in `CalorimeterResponse`; `threshold` in GeV.

    **Returns** `ShowerFeatures` with fields of shape (…, layer), differentiable in the cells and their sizes.
    """
    x, y = segmentation.centres(cells.shape[-3])
    flat = (cells.shape[-3], cells.shape[-2] * cells.shape[-1])
    x, y = x.reshape(flat), y.reshape(flat)
    square = x**2 + y**2
    r = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    return layer_features(cells.reshape(*cells.shape[:-3], *flat), x, y, r, threshold)


__all__ = ["ShowerFeatures", "layer_features", "shower_features"]
