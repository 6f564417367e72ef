"""Array aliases used in annotations; shapes are checked in the tests (jaxtyping with beartype)."""

from typing import Any

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

Scalar = Float[Array, ""]
"""A real number held in an array (Python floats are static to JAX and would recompile)."""

Momenta = Float[Array, "particle 4"]
"""Four-momenta (E, px, py, pz) in GeV of one event."""

Mask = Bool[Array, " particle"]
"""True where a slot of the padded event holds a particle."""

Key = PRNGKeyArray | UInt32[Array, "2"]
"""A JAX random key, typed (`jax.random.key`) or raw (`jax.random.PRNGKey`)."""

Noise = Any
"""A pytree of independent U(0,1) variates; its structure belongs to the simulator that draws it."""

__all__ = ["Array", "Bool", "Float", "Int", "Key", "Mask", "Momenta", "Noise", "Scalar"]
