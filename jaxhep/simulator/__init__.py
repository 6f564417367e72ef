"""Simulators: deterministic functions of parameters and of noise drawn beforehand."""

from ._base import AbstractSimulator, Chain, get_parameters, with_parameters
from ._generate import generate, generate_chunks
from ._moving import move, moved
from ._sizes import default_chunk
from ._variations import generate_variations

__all__ = [
    "AbstractSimulator",
    "Chain",
    "default_chunk",
    "generate",
    "generate_chunks",
    "generate_variations",
    "get_parameters",
    "move",
    "moved",
    "with_parameters",
]
