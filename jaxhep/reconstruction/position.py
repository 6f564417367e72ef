"""Where a shower was and where it came from: logarithmic barycentres of cells, a straight line through layers."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def barycentre(
    energies: Float[Array, " cell"],
    places: Float[Array, "cell axis"],
    *,
    cut: float | Float[Array, ""] | None = 4.0,
) -> Float[Array, " axis"]:
    r"""The mean place of the cells of a layer, weighted by \(\max(0,w_0+\ln(e_i/\sum e))\).

    Linear weights pull a narrow shower to the centre of its cell; the logarithm takes the exponential fall of the
    profile back (T. C. Awes et al., Nucl. Instrum. Meth. A311 (1992) 130).

    Arguments:
        energies: e ≥ 0, shape (cell,).
        places: centres of the cells, shape (cell, axis), any unit.
        cut: w₀; cells below the share \(e^{-w_0}\) of the sum do not count. None for weights linear in e.

    Returns:
        The place in the unit of `places`; 0 where no cell has energy. The gradient is pathwise, and finite for empty
        cells.

    >>> import jax.numpy as jnp
    >>> barycentre(jnp.array([3.0, 1.0]), jnp.array([[0.0], [1.0]]), cut=None).tolist()
    [0.25]
    """
    positive = jnp.maximum(energies, 0.0)
    total = jnp.sum(positive)
    if cut is None:
        weights = positive
    else:
        real = (positive > 0) & (total > 0)
        share = jnp.where(real, positive, 1.0) / jnp.where(total > 0, total, 1.0)
        weights = jnp.where(real, jnp.maximum(cut + jnp.log(share), 0.0), 0.0)
    norm = jnp.sum(weights)
    return jnp.where(norm > 0, weights @ places / jnp.where(norm > 0, norm, 1.0), 0.0)


def shower_line(
    energies: Float[Array, " layer"],
    places: Float[Array, "layer axis"],
    depths: Float[Array, " layer"],
) -> tuple[Float[Array, " axis"], Float[Array, " axis"]]:
    """The straight line through the barycentres of the layers, each weighted by its energy.

    Arguments:
        energies: of the layers, ≥ 0, shape (layer,).
        places: their barycentres across the axis of the calorimeter, shape (layer, axis).
        depths: their depth z, in the unit of `places`.

    Returns:
        The place at z = 0 and the slope d(place)/dz, each of shape (axis,); slope 0 where fewer than two layers have
        energy. Differentiable.

    >>> import jax.numpy as jnp
    >>> z = jnp.array([1.0, 2.0, 3.0])
    >>> shower_line(jnp.ones(3), 0.1 + 0.5 * z[:, None], z)[1].tolist()
    [0.5]
    """
    weights = jnp.maximum(energies, 0.0)
    norm = jnp.sum(weights)
    weights = weights / jnp.where(norm > 0, norm, 1.0)
    depth = weights @ depths
    place = weights @ places
    spread = weights @ (depths - depth) ** 2
    flat = spread <= 1e-12 * (1 + depth**2)
    slope = jnp.where(flat, 0.0, (weights * (depths - depth)) @ (places - place) / jnp.where(flat, 1.0, spread))
    return place - slope * depth, slope


def direction(slope: Float[Array, "2"]) -> Float[Array, "3"]:
    """The unit vector (x, y, z) along which a shower with slopes dx/dz, dy/dz travels."""
    vector = jnp.concatenate([slope, jnp.ones(1, slope.dtype)])
    return vector / jnp.sqrt(jnp.sum(vector**2))


__all__ = ["barycentre", "direction", "shower_line"]
