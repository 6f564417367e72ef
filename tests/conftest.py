"""What holds for every test: shape checks on, many CPU devices, a compilation cache outside the tree, no windows.

This file is read before any test module, and pytest reads it before it collects the docstring examples of `jaxhep`.
The three
environment variables and the import hook only work if JAX has not been initialised and `jaxhep` not been imported yet.
"""

import gc
import os
import sys
import tempfile
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from tests.memory_maps import MOST_MAPS, num_memory_maps

NUM_DEVICES = 8

# Eight devices on one machine, so that sharding is tested everywhere. A number set from outside wins; child
# processes inherit it.
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={NUM_DEVICES}".strip()
    )
os.environ.setdefault("MPLBACKEND", "Agg")
# Threads of BLAS gain nothing on matrices of this size and burn the cores of the other test process while they wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# One compilation for many runs of the suite. Through the environment, so that the tests' child processes share it.
_cache = Path(tempfile.gettempdir()) / f"jaxhep-test-compilations-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
_cache.mkdir(mode=0o700, parents=True, exist_ok=True)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# XLA's loader reports, at length and for each cached program, that the tuning hints "prefer-no-gather" and
# "prefer-no-scatter" are no
# features of the processor. They are not meant to be; the lines would bury a failure's own output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Under coverage or a plugin jaxhep might be loaded already, and the hook would then be off without a word.
_early = sorted(name for name in sys.modules if name == "jaxhep" or name.startswith("jaxhep."))
if _early:
    raise RuntimeError(f"jaxhep was imported before tests/conftest.py could switch the shape checks on: {_early[:5]}")
install_import_hook("jaxhep", "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def bounded_memory_maps():
    """Forgets compiled programs between test files once there are many; the disk cache has those worth keeping."""
    yield
    if num_memory_maps() > MOST_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()
