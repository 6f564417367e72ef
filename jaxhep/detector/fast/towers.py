"""One calorimeter of towers: sharing, fluctuation, threshold, and what the tracks leave unexplained."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..._types import Scalar
from ...noise import normal
from ._smooth import leaf, log_normal, regions, smooth_step, static_edges, whole
from .result import Towers

Coordinate = Literal["eta", "theta"]
_SHIFTS = 16
"""Shifts compared in one pass over the towers."""


class TowerLayer(eqx.Module):
    r"""A calorimeter divided into rows × columns of towers, equal in η and φ or in θ and φ.

    **Sharing.** Each particle is a small spot. Towers take its energy in proportion to an Epanechnikov kernel of
    half-width `spread` (in towers) around its direction, in both coordinates: at most 2 × 2 towers, and continuous when
    the particle moves over an edge. **Fluctuation.** The sum E of a tower becomes a log-normal variate of mean
    `scale`·E and variance \(\sigma^2=a^2E+b^2+c^2E^2\) (times `scale`²): it stays positive. **Threshold.** The tower
    energy is multiplied by a step from 0 to 1 at `threshold`·(1 ± `softness`). **Excess.** Tracks that point here
    explain T = Σ f E_track; with \(S^2=a^2T+c^2T^2+\sum f^2\sigma^2(E_{track})\) the excess E − T is multiplied by a
    step at `significance`·S·(1 ± `softness`): what remains is neutral (energy flow as in Delphes, arXiv:1307.6346,
    section 3.3, with S without the noise, so that lone towers are not cut twice). Empty towers make no noise.

    **Arguments**

    - `rows`, `columns`: static sizes; columns even, counted from φ = 0.
    - `coordinate`: static, "eta" or "theta": rows equal in η, or in the polar angle.
    - `extent`: leaf; rows cover |η| < extent, or |π/2 − θ| < extent in radians.
    - `stochastic`, `noise`, `constant`: a in √GeV, b in GeV, c; leaves ≥ 0 of shape (region,).
    - `threshold`: leaf ≥ 0 in GeV.
    - `significance`: leaf ≥ 0. `softness`: leaf in [0, 1]; 0 makes both steps hard.
    - `spread`: leaf in [0, 1/2]; 0 gives all energy to one tower.
    - `scale`: leaf > 0, the response; not corrected for, so that it acts as a miscalibration.
    - `edges`: static |η| values that divide the regions.

    **Raises** `ValueError` for values out of range and unknown coordinates.

    **Gradient** pathwise in every leaf and in the directions and energies of the particles. With `spread` = 0 or
    `softness` = 0 the jumps of a particle over an edge, or of a tower over its threshold, are not in it. The *number*
    of towers is an integer and has no pathwise derivative in any case.

    **Variance.** Where directions depend on a parameter (the field) a particle within `spread` of an edge hands its
    energy over at a rate ∝ 1/spread: the derivative is unbiased, and its variance grows like 1/spread. For gradients in
    the field of quantities that thresholds act on, take `spread` = 1/2 and towers no finer than needed.
    """

    extent: Scalar
    stochastic: Float[Array, " region"]
    noise: Float[Array, " region"]
    constant: Float[Array, " region"]
    threshold: Scalar
    significance: Scalar
    softness: Scalar
    spread: Scalar
    scale: Scalar
    rows: int = eqx.field(static=True)
    columns: int = eqx.field(static=True)
    coordinate: Coordinate = eqx.field(static=True)
    edges: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        rows: int,
        columns: int,
        extent: Any,
        stochastic: Any,
        noise: Any,
        constant: Any,
        threshold: Any,
        *,
        significance: Any = 2.0,
        softness: Any = 0.2,
        spread: Any = 0.1,
        scale: Any = 1.0,
        coordinate: Coordinate = "eta",
        edges: tuple[float, ...] = (),
    ) -> None:
        """See the class."""
        self.rows = whole("rows", rows, 1, "the number of towers in the polar direction")
        self.columns = whole("columns", columns, 2, "the number of towers around the beam")
        if self.columns % 2:
            raise ValueError(f"columns must be even, got {columns}: the towers around the beam are shared in pairs")
        if coordinate not in ("eta", "theta"):
            raise ValueError(f"coordinate must be 'eta' or 'theta', not {coordinate!r}")
        self.coordinate = coordinate
        self.edges = static_edges("edges", edges)
        shape = (len(self.edges) + 1,)
        most = math.inf if coordinate == "eta" else math.pi / 2
        self.extent = leaf("extent", extent, (), "a positive |η|, or at most π/2 for 'theta'", 0.0, most, open_=True)
        self.stochastic = leaf("stochastic", stochastic, shape, "a resolution is not negative")
        self.noise = leaf("noise", noise, shape, "a resolution is not negative")
        self.constant = leaf("constant", constant, shape, "a resolution is not negative")
        self.threshold = leaf("threshold", threshold, (), "a threshold is 0 GeV or more")
        self.significance = leaf("significance", significance, (), "a number of standard deviations, 0 or more")
        self.softness = leaf("softness", softness, (), "a relative width from 0 to 1", 0.0, 1.0)
        self.spread = leaf("spread", spread, (), "a share of a tower from 0 to 1/2", 0.0, 0.5)
        self.scale = leaf("scale", scale, (), "the response is a positive factor", open_=True)

    def __call__(
        self,
        cot_theta: Float[Array, " particle"],
        phi: Float[Array, " particle"],
        amounts: Float[Array, "particle 3"],
        uniforms: Float[Array, "particle 4"],
    ) -> Towers:
        """The towers of one event.

        **Arguments**

        - `cot_theta`, `phi`: where the particles enter.
        - `amounts`: of each particle the deposited energy, the energy that its track explains, and the variance of the
          latter, in GeV and GeV²; zeros for a particle that is not there.
        - `uniforms`: U(0,1), one for each of the four slots of a particle.

        **Returns** `Towers` with 4 slots a particle. A tower lies in the slot of the first particle that hits it.
        """
        row, column, fraction = self._cells(cot_theta, phi)
        present = (amounts[:, 0] > 0) | (amounts[:, 1] > 0)
        touched = (fraction > 0) & present[:, None] & (row >= 0) & (row < self.rows)
        cell = jnp.where(touched, row * self.columns + column, -1)
        count = cell.shape[0]
        first = _first_of_each(cell)
        owner = touched & (first == jnp.arange(count)[:, None])
        shares = jnp.where(touched, fraction, 0)[..., None]
        shares = shares * jnp.concatenate([jnp.ones_like(shares), jnp.ones_like(shares), shares], axis=-1)
        sums = jnp.zeros((count, 4, 3), amounts.dtype)
        sums = sums.at[first, jnp.arange(4)[None, :]].add(shares * amounts[:, None, :], mode="drop")
        sums = jnp.where(owner[..., None], sums, 0).reshape(-1, 3)
        row, column = (jnp.where(owner, x, 0).reshape(-1) for x in (row, column))
        owner = owner.reshape(-1)
        eta, direction = self._centre(row, column, amounts.dtype)
        energy, excess = self._measure(sums, eta, normal(uniforms).reshape(-1))
        return Towers(row, column, energy, excess, direction, owner & (energy > 0))

    def _cells(
        self, cot_theta: Float[Array, " particle"], phi: Float[Array, " particle"]
    ) -> tuple[Int[Array, "particle 4"], Int[Array, "particle 4"], Float[Array, "particle 4"]]:
        """Row, column and share of the 2 × 2 towers around each particle, slot by parity."""
        polar = jnp.arcsinh(cot_theta) if self.coordinate == "eta" else jnp.arctan(cot_theta)
        rows, row_shares = _pair((polar / self.extent + 1) * (self.rows / 2), self.spread)
        columns, column_shares = _pair(phi * (self.columns / (2 * math.pi)), self.spread)
        columns = [jnp.mod(c, self.columns) for c in columns]
        pairs = [(a, b) for a in range(2) for b in range(2)]
        row = jnp.stack([rows[a] for a, _ in pairs], axis=-1)
        column = jnp.stack([columns[b] for _, b in pairs], axis=-1)
        return row, column, jnp.stack([row_shares[a] * column_shares[b] for a, b in pairs], axis=-1)

    def _centre(
        self, row: Int[Array, " tower"], column: Int[Array, " tower"], dtype: Any
    ) -> tuple[Float[Array, " tower"], Float[Array, "tower 3"]]:
        """η and unit vector of the centre of each tower."""
        polar = self.extent * ((2 * row + 1).astype(dtype) / self.rows - 1)
        phi = (column.astype(dtype) + 0.5) * (2 * math.pi / self.columns)
        if self.coordinate == "eta":
            eta, sine = polar, 1 / jnp.cosh(polar)
            cosine = jnp.tanh(polar)
        else:
            sine, cosine = jnp.cos(polar), jnp.sin(polar)
            eta = jnp.arctanh(jnp.clip(cosine, -0.9999999, 0.9999999))
        return eta, jnp.stack([sine * jnp.cos(phi), sine * jnp.sin(phi), cosine], axis=-1)

    def _measure(
        self, sums: Float[Array, "tower 3"], eta: Float[Array, " tower"], z: Float[Array, " tower"]
    ) -> tuple[Float[Array, " tower"], Float[Array, " tower"]]:
        """Measured energy and neutral excess."""
        deposit, explained, variance = sums[:, 0], sums[:, 1], sums[:, 2]
        shares = regions(eta, self.edges)
        a, b, c = (
            sum(table[r] * share for r, share in enumerate(shares))
            for table in (self.stochastic, self.noise, self.constant)
        )
        raw = self.scale * log_normal(deposit, a**2 * deposit + b**2 + (c * deposit) ** 2, z)
        energy = raw * smooth_step(raw, self.threshold, self.softness * self.threshold)
        spread2 = variance + a**2 * explained + (c * explained) ** 2
        some = spread2 > jnp.finfo(spread2.dtype).tiny
        # The last term is rounding: a detector without errors finds no neutral energy in a track's own shower.
        cut = self.significance * jnp.where(some, jnp.sqrt(jnp.where(some, spread2, 1)), 0) + 1e-5 * explained
        over = jnp.maximum(energy - explained, 0)
        return energy, over * smooth_step(over, cut, self.softness * cut)


def _first_of_each(cell: Int[Array, "particle 4"]) -> Int[Array, "particle 4"]:
    """The first particle with the same tower in the same slot.

    A tower has the same slot whoever hits it (rows and columns by parity), so that only N² pairs are to be compared,
    four times. They are compared as the array against itself moved by 1, 2, …: a loop that compilers turn into vector
    instructions, some thirty times faster on a CPU than a minimum over an axis of the pairs.
    """
    slots = cell.T
    count = slots.shape[1]
    block = min(_SHIFTS, count)
    turns = -(-(count - 1) // block)
    reach = turns * block
    long = jnp.concatenate([jnp.full((slots.shape[0], reach), -2, slots.dtype), slots], axis=1)
    number = jnp.arange(count, dtype=slots.dtype)

    def compare(turn: Array | int, first: Array) -> Array:
        for n in range(1, block + 1):
            shift = block * turn + n
            before = jax.lax.dynamic_slice_in_dim(long, reach - shift, count, axis=1)
            first = jnp.where(before == slots, number - shift, first)
        return first

    return jax.lax.fori_loop(0, turns, compare, jnp.broadcast_to(number, slots.shape)).T


def _pair(
    place: Float[Array, " particle"], spread: Scalar
) -> tuple[list[Int[Array, " particle"]], list[Float[Array, " particle"]]]:
    """Cells and shares around a place measured in cells: the one with an even number first."""
    edge = jnp.round(place)
    upper = smooth_step(place - edge, 0.0, spread)
    number = edge.astype(jnp.int32)
    even = number % 2 == 0
    cells = [jnp.where(even, number, number - 1), jnp.where(even, number - 1, number)]
    return cells, [jnp.where(even, upper, 1 - upper), jnp.where(even, 1 - upper, upper)]


__all__ = ["TowerLayer"]
