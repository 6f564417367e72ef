"""jaxhep: differentiable particle physics in JAX."""
