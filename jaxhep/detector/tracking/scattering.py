"""Multiple scattering."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

MUON_MASS = 0.1056583755
"""GeV (PDG 2022)."""


def highland_angle(
    momentum: Float[Array, "*#n"], thickness: Float[Array, "*#n"], *, mass: Any = MUON_MASS, charge: Any = 1.0
) -> Float[Array, "*n"]:
    r"""Width of the projected scattering angle, in radians:

    \[\theta_0=\frac{13.6\,\mathrm{MeV}}{\beta p}\,|q|\sqrt{x/X_0}\,\Big(1+0.038\ln\frac{x}{X_0}\Big).\]

    **Arguments**

    - `momentum`: p > 0 in GeV. `mass`: in GeV (β = p/E); 0 gives β = 1. `charge`: in units of e.
    - `thickness`: x/X₀ ≥ 0 along the path. Below 3.7·10⁻¹², where the bracket would turn negative, the angle is 0.

    **Returns** θ₀, broadcast. **Gradient** exact; at zero thickness, where the slope is infinite, 0.

    Source: Highland, NIM 129 (1975) 497; Lynch, Dahl, NIM B58 (1991) 6; Review of Particle Physics, "Passage of
    particles through matter" (the correction there has q²/β² inside the logarithm, which is 1 here).

    >>> import jax.numpy as jnp
    >>> print(f"{1e3 * highland_angle(jnp.array(1.0), jnp.array(0.01), mass=0.0):.4f} mrad")
    1.1220 mrad
    """
    matter = thickness > 0
    x = jnp.where(matter, thickness, 1)
    bracket = jnp.maximum(1 + 0.038 * jnp.log(x), 0)
    over_beta = jnp.sqrt(momentum**2 + mass**2) / momentum
    return jnp.where(matter, 13.6e-3 * charge * over_beta / momentum * jnp.sqrt(x) * bracket, 0)


__all__ = ["highland_angle"]
