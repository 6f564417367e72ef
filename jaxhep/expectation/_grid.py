"""Deposits events on a fine grid, as the first half of a smeared histogram."""

import jax.numpy as jnp
from jax import lax

from .._types import Array, Float, Scalar


def deposit(
    values: Float[Array, " event"], weights: Float[Array, " event"], low: float, high: float, num_nodes: int
) -> tuple[Float[Array, " node"], Scalar]:
    r"""Shares each event between the two nearest nodes of an even grid (cloud in cell).

    Node k at \(x_k=a+k\Delta\) receives \(\sum_iw_i\max(0,1-|x_i-x_k|/\Delta)\), so that for any smooth R(x) the sum
    \(\sum_kg_kR(x_k)\) is \(\sum_iw_iR(x_i)\) up to O(Δ²). The contents are continuous in x and their derivative is
    pathwise: with a smooth response R (a detector, a hadronisation model) a histogram needs no further kernel. Values
    outside go to
    the end nodes.

    **Arguments**: `values` x and `weights` w, shape (event,); the grid from `low` to `high` with `num_nodes` ≥ 2 nodes.

    **Returns** g with shape (node,), not normalised, and the sum of the squared weights.
    """
    if num_nodes < 2 or not high > low:
        raise ValueError(f"the grid needs high > low and at least two nodes, got [{low}, {high}] with {num_nodes}")
    place = jnp.clip((values - low) * ((num_nodes - 1) / (high - low)), 0, num_nodes - 1)
    cell = lax.stop_gradient(jnp.clip(jnp.floor(place), 0, num_nodes - 2))
    share = place - cell
    index = cell.astype(jnp.int32)
    grid = jnp.zeros(num_nodes, values.dtype)
    grid = grid.at[index].add(weights * (1 - share)).at[index + 1].add(weights * share)
    return grid, jnp.sum(weights**2)
