"""Energy-energy correlation."""

from typing import Literal

import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxhep.observables._particles import check_event, norm, safe_divide, unit


def energy_energy_correlation(
    momenta: Float[Array, "particle 4"],
    mask: Bool[Array, " particle"],
    edges: Float[Array, " edge"] | np.ndarray,
    *,
    variable: Literal["angle", "cos"] = "angle",
    self_correlations: bool = True,
    smoothing: float | int | Float[Array, ""] | None = None,
) -> Float[Array, " bin"]:
    r"""Energy-energy correlation of one event, $\sum_{ij} \frac{E_iE_j}{E_{vis}^2}\,[\chi_{ij}\in\text{bin}]$.

    The sum runs over ordered pairs, i = j (at χ = 0) included if `self_correlations`: then all bins of [0, π] add to 1.

    Args:
        momenta: (particle, 4) as (E, px, py, pz), GeV.
        mask: (particle,) True for real particles.
        edges: (bin + 1,) rising bin edges in χ (radians, 0 to π) or in cos χ (−1 to 1); the last bin includes its upper
        edge. variable: "angle" for χ, "cos" for cos χ.
        self_correlations: whether i = j counts.
        smoothing: None for sharp bins, whose gradient sees the energies but not the angles (a sharp bin has no
        derivative in χ;
            its expectation then needs a weight derivative). Else the width (in the variable) of a Gaussian that spreads
            each pair over the bins: the result is then differentiable in the angles, at the price of that resolution.
            What is spread
            beyond the outer edges is lost.

    Returns:
        (bin,) energy fractions, not divided by the bin width; zeros for an event without energy.

    Raises:
        ValueError: for an unknown variable, or edges that are not one-dimensional with at least two entries.

    >>> import jax.numpy as jnp
    >>> jets = jnp.array([[1.0, 0, 0, 1], [1.0, 0, 0, -1]])
    >>> energy_energy_correlation(jets, jnp.ones(2, bool), jnp.array([0.0, 1.0, 2.0, 3.2])).tolist()
    [0.5, 0.0, 0.5]
    """
    check_event(momenta, mask)
    if variable not in ("angle", "cos"):
        raise ValueError(f"variable must be 'angle' or 'cos', got {variable!r}")
    edges = jnp.asarray(edges, momenta.dtype)
    if edges.ndim != 1 or edges.shape[0] < 2:
        raise ValueError(f"edges must be one-dimensional with at least two entries, got shape {edges.shape}")
    clean = jnp.where(mask[:, None], momenta, 0)
    fraction = safe_divide(clean[:, 0], jnp.sum(clean[:, 0]))
    pairs = fraction[:, None] * fraction[None, :]
    own = np.eye(momenta.shape[0], dtype=bool)
    if not self_correlations:
        pairs = jnp.where(own, 0, pairs)
    position = _separation(clean, variable)
    position = jnp.where(own, 0 if variable == "angle" else 1, position)

    def below(edge: Array) -> Array:
        if smoothing is None:
            return jnp.sum(jnp.where(position < edge, pairs, 0))
        return jnp.sum(pairs * jsp.special.ndtr((edge - position) / smoothing))

    # Cumulative sums, edge by edge, keep the memory at one matrix of pairs.
    cumulative = lax.map(below, edges)
    if smoothing is None:
        cumulative = cumulative.at[-1].set(jnp.sum(jnp.where(position <= edges[-1], pairs, 0)))
    return jnp.diff(cumulative)


def _separation(momenta: Array, variable: str) -> Array:
    """χ or cos χ of all pairs, with finite derivatives for parallel and opposite momenta."""
    x, y, z = unit((momenta[:, 1], momenta[:, 2], momenta[:, 3]))
    if variable == "cos":
        return jnp.clip(x[:, None] * x + y[:, None] * y + z[:, None] * z, -1, 1)
    apart = norm((x[:, None] - x, y[:, None] - y, z[:, None] - z))
    together = norm((x[:, None] + x, y[:, None] + y, z[:, None] + z))
    defined = (apart > 0) | (together > 0)  # both vanish only for a particle without momentum
    return 2 * jnp.where(defined, jnp.arctan2(jnp.where(defined, apart, 0), jnp.where(defined, together, 1)), 0)
