"""How each layer is cut into cells: rings around the axis, or a rectangular grid."""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._fence import fence
from ..._types import Array, Float, Scalar
from ._checks import concrete, one_of, positive, real, whole
from .radial import RadialProfile

Sharing = Literal["linear", "hard"]
"""How a spot is put into cells: shared with the neighbours, or all into the cell it falls in."""


_FEW_CELLS = 64
"""Up to so many cells a layer, spots are shared by a matrix product."""


class Axis(eqx.Module):
    """Where the shower's axis crosses each slice of the calorimeter: `centre` (slice, 2) in cm, in the plane of the
    layers, and `slope` (2,), the tangents of the angles to the normal in x and y."""

    centre: Float[Array, "slice 2"]
    slope: Float[Array, "2"]


class AbstractSegmentation(eqx.Module):
    """The cells of a layer, (a, b) of them."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Number of cells (a, b) of a layer."""

    @abc.abstractmethod
    def check(self, num_layers: int) -> None:
        """Raises `ValueError` if the cells were made for another number of layers."""

    @abc.abstractmethod
    def centres(self, num_layers: int) -> tuple[Float[Array, "layer a b"], Float[Array, "layer a b"]]:
        """x and y of the middle of each cell, in cm."""

    @abc.abstractmethod
    def fractions(
        self, radial: RadialProfile, scale: Float[Array, ""], axis: Axis, substeps: int, one: Scalar
    ) -> Float[Array, "slice a_or_1 b"]:
        """The part of each slice's energy that falls into each cell: the exact integral of the radial profile.

        **Arguments**: `scale` is R_M in cm; there are `substeps` slices a layer; `one` is `hidden_one` of some variate.
        An axis of length 1 stands for equal parts in all cells along it.
        """

    @abc.abstractmethod
    def deposit(
        self,
        radius: Float[Array, "spot slice"],
        azimuth: Float[Array, "spot slice"],
        weights: Float[Array, "spot slice"],
        axis: Axis,
        substeps: int,
    ) -> Float[Array, "layer a b"]:
        """Puts spots into cells; `radius` (cm, perpendicular to the shower's axis) and `azimuth` about it."""


class Rings(AbstractSegmentation):
    r"""Cells in azimuth and radius about the axis of the incident particle, as in the CaloChallenge data sets.

    The cylinder stands at the particle's point of entry and along its direction, whatever these are, so that the
    radius is perpendicular to the shower's axis. Cells are (φ, r): `num_phi` equal sectors from −π to π.

    **Arguments**

    - `edges`: radii in cm, (ring + 1,), or (layer, ring + 1); increasing, not negative. Leaf.
    - `num_phi`: sectors, static.
    - `sharing`: of spots. "linear" shares a spot between the two nearest ring centres and the two nearest sector
      centres, so that cells are continuous in every parameter (and smeared by a cell's width); "hard" does not, and
      the derivative then lacks the spots that cross an edge.

    **Raises** `ValueError` for edges that do not increase.

    >>> import jax.numpy as jnp
    >>> from jaxhep.detector.calorimeter import Rings
    >>> Rings(jnp.linspace(0, 4.185, 10), 16).shape
    (16, 9)
    """

    edges: Float[Array, "*layer edge"]
    num_phi: int = eqx.field(static=True)
    sharing: Sharing = eqx.field(static=True)

    def __init__(self, edges: Any, num_phi: int = 1, *, sharing: Sharing = "linear"):
        self.edges = real("edges", edges, ((None,), (None, None)))
        if self.edges.shape[-1] < 2:
            raise ValueError(f"rings need at least two edges, got {self.edges.shape[-1]}")
        numbers = concrete(edges)
        if numbers is not None and (np.any(np.diff(numbers, axis=-1) <= 0) or np.any(numbers < 0)):
            raise ValueError(f"the edges of rings must increase and not be negative, got {numbers} cm")
        one_of("sharing", sharing, ("linear", "hard"))
        self.num_phi, self.sharing = whole("num_phi", num_phi, 1), sharing

    @property
    def shape(self) -> tuple[int, int]:
        """(sectors, rings)."""
        return self.num_phi, int(self.edges.shape[-1]) - 1

    def check(self, num_layers: int) -> None:
        """See `AbstractSegmentation.check`."""
        if self.edges.ndim == 2 and self.edges.shape[0] != num_layers:
            raise ValueError(f"there are edges for {self.edges.shape[0]} layers, but the stack has {num_layers}")

    def centres(self, num_layers: int) -> tuple[Float[Array, "layer a b"], Float[Array, "layer a b"]]:
        """See `AbstractSegmentation.centres`; the middle of a cell is at the mean of its radii and of its azimuths."""
        edges = jnp.broadcast_to(self.edges, (num_layers, self.edges.shape[-1]))
        radius = (0.5 * (edges[:, 1:] + edges[:, :-1]))[:, None, :]
        azimuth = ((jnp.arange(self.num_phi) + 0.5) / self.num_phi * 2 - 1)[:, None] * jnp.pi
        return radius * jnp.cos(azimuth), radius * jnp.sin(azimuth)

    def fractions(
        self, radial: RadialProfile, scale: Float[Array, ""], axis: Axis, substeps: int, one: Scalar
    ) -> Float[Array, "slice a_or_1 b"]:
        """See `AbstractSegmentation.fractions`; azimuth is uniform, so its axis has length 1."""
        edges = self.edges[None] if self.edges.ndim == 1 else jnp.repeat(self.edges, substeps, axis=0)
        wide = RadialProfile(radial.core[:, None], radial.tail[:, None], radial.probability[:, None])
        inside = wide.contained(jnp.broadcast_to(edges / scale, (radial.core.shape[0], edges.shape[1])))
        inside = fence(inside, one)
        return jnp.maximum(jnp.diff(inside, axis=-1), 0)[:, None, :] / self.num_phi

    def deposit(
        self,
        radius: Float[Array, "spot slice"],
        azimuth: Float[Array, "spot slice"],
        weights: Float[Array, "spot slice"],
        axis: Axis,
        substeps: int,
    ) -> Float[Array, "layer a b"]:
        """See `AbstractSegmentation.deposit`."""
        num_phi, num_r = self.shape
        layers = radius.shape[1] // substeps
        layer = jnp.broadcast_to(jnp.arange(radius.shape[1]) // substeps, radius.shape)
        edges = jnp.broadcast_to(self.edges, (layers, num_r + 1))
        turn = (azimuth / (2 * jnp.pi) + 0.5) * num_phi
        if self.sharing == "hard":
            ring = jnp.sum(radius[..., None] >= edges[layer], axis=-1) - 1
            ring = jnp.where(ring < 0, num_r, ring)  # inside of the first edge: outside of all cells
            sector = jnp.floor(turn).astype(jnp.int32) % num_phi
            return jnp.zeros((layers, num_phi, num_r), radius.dtype).at[layer, sector, ring].add(weights, mode="drop")
        # The radius in units of rings, counted between their centres; the half rings at both ends belong to the outer
        # rings, and what lies beyond the last edge fades out over half a ring.
        centres = 0.5 * (edges[:, 1:] + edges[:, :-1])
        knots = jnp.concatenate([centres, edges[:, -1:] + 0.5 * jnp.diff(edges[:, -2:], axis=-1)], axis=-1)[layer]
        low = jnp.clip(jnp.sum(radius[..., None] >= knots, axis=-1) - 1, 0, num_r)
        left = jnp.take_along_axis(knots, low[..., None], -1)[..., 0]
        right = jnp.take_along_axis(knots, jnp.minimum(low + 1, num_r)[..., None], -1)[..., 0]
        part = jnp.clip((radius - left) / jnp.where(right > left, right - left, 1.0), 0, 1)
        begin = jnp.floor(turn - 0.5)
        upper = turn - 0.5 - begin
        first = begin.astype(jnp.int32) % num_phi
        cells = jnp.zeros((layers, num_phi, num_r), radius.dtype)
        for ring, share in ((low, 1 - part), (low + 1, part)):
            for sector, portion in ((first, 1 - upper), ((first + 1) % num_phi, upper)):
                cells = cells.at[layer, sector, ring].add(weights * share * portion, mode="drop")
        return cells


class Grid(AbstractSegmentation):
    r"""Rectangular cells fixed in the calorimeter, centred on its axis.

    A shower that comes in under an angle covers an ellipse of each layer: the plane cuts it along its axis, so the
    profile is stretched by 1/cos θ in the direction of the tilt. Cells are (x, y).

    **Arguments**

    - `cell_size`: width in x and y in cm, shape (2,), a scalar for squares, or (layer, 2). Leaf.
    - `num_x`, `num_y`: numbers of cells, static.
    - `sharing`: of spots. "linear" shares a spot among the four nearest cell centres; see `Rings`.

    **Raises** `ValueError` for sizes that are not positive.

    >>> from jaxhep.detector.calorimeter import Grid
    >>> Grid(2.2, 5, 5).shape
    (5, 5)
    """

    cell_size: Float[Array, "*layer 2"]
    num_x: int = eqx.field(static=True)
    num_y: int = eqx.field(static=True)
    sharing: Sharing = eqx.field(static=True)

    def __init__(self, cell_size: Any, num_x: int, num_y: int, *, sharing: Sharing = "linear"):
        size = positive("cell_size", cell_size, "cm", ((), (2,), (None, 2)))
        self.cell_size = jnp.broadcast_to(size, (2,)) if size.ndim == 0 else size
        one_of("sharing", sharing, ("linear", "hard"))
        self.num_x, self.num_y = whole("num_x", num_x, 1), whole("num_y", num_y, 1)
        self.sharing = sharing

    @property
    def shape(self) -> tuple[int, int]:
        """(cells in x, cells in y)."""
        return self.num_x, self.num_y

    def check(self, num_layers: int) -> None:
        """See `AbstractSegmentation.check`."""
        if self.cell_size.ndim == 2 and self.cell_size.shape[0] != num_layers:
            raise ValueError(
                f"there are cell sizes for {self.cell_size.shape[0]} layers, but the stack has {num_layers}"
            )

    def _size(self, substeps: int) -> Float[Array, "slice_or_1 2"]:
        return self.cell_size[None] if self.cell_size.ndim == 1 else jnp.repeat(self.cell_size, substeps, axis=0)

    def centres(self, num_layers: int) -> tuple[Float[Array, "layer a b"], Float[Array, "layer a b"]]:
        """See `AbstractSegmentation.centres`."""
        size = jnp.broadcast_to(self.cell_size, (num_layers, 2))
        x = (jnp.arange(self.num_x) - (self.num_x - 1) / 2) * size[:, :1]
        y = (jnp.arange(self.num_y) - (self.num_y - 1) / 2) * size[:, 1:]
        shape = (num_layers, self.num_x, self.num_y)
        return jnp.broadcast_to(x[:, :, None], shape), jnp.broadcast_to(y[:, None, :], shape)

    def fractions(
        self, radial: RadialProfile, scale: Float[Array, ""], axis: Axis, substeps: int, one: Scalar
    ) -> Float[Array, "slice a_or_1 b"]:
        r"""See `AbstractSegmentation.fractions`.

        Core and tail each are a bivariate t distribution of two degrees of freedom, whose rectangle probabilities are
        known in closed form (C. W. Dunnett, M. Sobel, Biometrika 41 (1954) 153), the tilt being its correlation.
        """
        size = self._size(substeps)
        x = (jnp.arange(self.num_x + 1) - self.num_x / 2) * size[:, :1] - axis.centre[:, :1]
        y = (jnp.arange(self.num_y + 1) - self.num_y / 2) * size[:, 1:] - axis.centre[:, 1:]
        total = jnp.zeros((), x.dtype)
        for radius, part in ((radial.core, radial.probability), (radial.tail, 1 - radial.probability)):
            corners = fence(_corner(x, y, radius * scale, axis.slope), one)
            # Far from the axis rounding could leave a little less than nothing.
            total = total + part[:, None, None] * jnp.maximum(jnp.diff(jnp.diff(corners, axis=1), axis=2), 0)
        return total

    def deposit(
        self,
        radius: Float[Array, "spot slice"],
        azimuth: Float[Array, "spot slice"],
        weights: Float[Array, "spot slice"],
        axis: Axis,
        substeps: int,
    ) -> Float[Array, "layer a b"]:
        """See `AbstractSegmentation.deposit`."""
        layers = radius.shape[1] // substeps
        layer = jnp.broadcast_to(jnp.arange(radius.shape[1]) // substeps, radius.shape)
        u, v = radius * jnp.cos(azimuth), radius * jnp.sin(azimuth)
        # Stretch by 1/cos θ along the tilt: (u, v) + (1/cos θ − 1) n (n·(u, v)) with n along the slope; written with
        # (1/cos θ − 1)/tan²θ = 1/(1 + 1/cos θ), which is smooth at θ = 0.
        sx, sy = axis.slope
        along = (u * sx + v * sy) / (1 + jnp.sqrt(1 + sx**2 + sy**2))
        size = self._size(substeps)
        place_x = (axis.centre[:, 0] + u + sx * along) / size[:, 0] + self.num_x / 2
        place_y = (axis.centre[:, 1] + v + sy * along) / size[:, 1] + self.num_y / 2
        shape = (layers, self.num_x, self.num_y)
        if self.sharing == "hard":
            return _added(shape, layer, jnp.floor(place_x), jnp.floor(place_y), weights)
        if self.num_x * self.num_y <= _FEW_CELLS:
            # The shares of all cells of a row times those of a column: a matrix product is faster than a scatter.
            spots = (radius.shape[0], layers, substeps)
            in_x = _hats(place_x, self.num_x) * weights[..., None]
            in_y = _hats(place_y, self.num_y)
            return jnp.einsum(
                "slkx,slky->lxy",
                in_x.reshape(*spots, -1),
                in_y.reshape(*spots, -1),
                precision=jax.lax.Precision.HIGHEST,
            )
        low_x, low_y = jnp.floor(place_x - 0.5), jnp.floor(place_y - 0.5)
        part_x, part_y = place_x - 0.5 - low_x, place_y - 0.5 - low_y
        four = [
            (i, j, weights * share_x * share_y)
            for i, share_x in ((low_x, 1 - part_x), (low_x + 1, part_x))
            for j, share_y in ((low_y, 1 - part_y), (low_y + 1, part_y))
        ]
        i, j, portions = (jnp.stack(column) for column in zip(*four, strict=True))
        return _added(shape, jnp.broadcast_to(layer, i.shape), i, j, portions)


def _hats(place: Float[Array, "spot slice"], count: int) -> Float[Array, "spot slice cell"]:
    """Each cell's share of spots at `place`, linear in the distance from its centre."""
    return jnp.maximum(1 - jnp.abs(place[..., None] - 0.5 - jnp.arange(count, dtype=place.dtype)), 0)


def _added(shape: tuple[int, int, int], layer: Array, i: Array, j: Array, weights: Array) -> Float[Array, "layer a b"]:
    """The sums in the cells; what lies outside is dropped (a negative index would count from the end)."""
    layers, num_x, num_y = shape
    inside = (i >= 0) & (i < num_x) & (j >= 0) & (j < num_y)
    place = (layer * num_x + i.astype(jnp.int32)) * num_y + j.astype(jnp.int32)
    place = jnp.where(inside, place, layers * num_x * num_y)
    cells = jnp.zeros(layers * num_x * num_y, weights.dtype)
    return cells.at[place.reshape(-1)].add(weights.reshape(-1), mode="drop").reshape(shape)


def _corner(
    x: Float[Array, "slice nx"], y: Float[Array, "slice ny"], radius: Float[Array, " slice"], slope: Float[Array, "2"]
) -> Float[Array, "slice nx ny"]:
    r"""A function whose mixed differences are the rectangle integrals of \(R^2/(\pi(q+R^2)^2)/\sqrt{\det}\).

    q is the squared distance perpendicular to the axis, q = vᵀ C⁻¹ v with C = 1 + ssᵀ for slope s (an ellipse stretched
    by 1/cos θ along s). With h = x/σ_x, k = y/σ_y and ρ = C_xy/σ_xσ_y:
    \(\frac1{2\pi}\left[\frac{h}{\sqrt{h^2+R^2}}\arctan\frac{k-\rho h}{\sqrt{(1-\rho^2)(h^2+R^2)}}+
    (h\leftrightarrow k)\right]\); the terms of one variable alone drop out of the difference.
    """
    sx, sy = slope
    h, k = x / jnp.sqrt(1 + sx**2), y / jnp.sqrt(1 + sy**2)
    rho = sx * sy / jnp.sqrt((1 + sx**2) * (1 + sy**2))
    root_h, root_k = (jnp.sqrt(z**2 + radius[:, None] ** 2) for z in (h, k))
    narrow = jnp.sqrt(1 - rho**2)
    first = (h / root_h)[:, :, None] * jnp.arctan((k[:, None, :] - rho * h[:, :, None]) / (narrow * root_h[:, :, None]))
    second = (k / root_k)[:, None, :] * jnp.arctan(
        (h[:, :, None] - rho * k[:, None, :]) / (narrow * root_k[:, None, :])
    )
    return (first + second) / (2 * jnp.pi)


__all__ = ["AbstractSegmentation", "Axis", "Grid", "Rings", "Sharing"]
