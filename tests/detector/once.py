"""For programs that run once on little data: most of their time is the compiler's, and half of it is enough."""

ONCE = {"xla_backend_optimization_level": 0}
"""`jax.jit(f, compiler_options=ONCE)`: XLA's CPU code as it comes, without LLVM's optimisations."""
