"""What the fixture of tests/conftest.py rests on: forgetting compiled programs gives their memory maps back."""

import gc

import jax
import jax.numpy as jnp
import pytest

from tests.memory_maps import num_memory_maps


def test_forgetting_compiled_programs_frees_their_memory_maps():
    if num_memory_maps() == 0:
        pytest.skip("no /proc on this machine")
    jax.clear_caches()
    gc.collect()
    before = num_memory_maps()
    functions = [jax.jit(lambda x, n=n: jnp.cumsum(x * n) @ jnp.ones(n)) for n in range(3, 23)]
    for n, function in enumerate(functions, 3):
        function(jnp.ones(n))
    held = num_memory_maps() - before
    assert held >= 20
    jax.clear_caches()
    gc.collect()
    assert num_memory_maps() - before < held / 2
