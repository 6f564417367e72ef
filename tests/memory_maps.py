"""Memory maps of this process. XLA keeps each compiled program in some twenty of its own."""

from pathlib import Path

# Linux gives a process 65530 (vm.max_map_count); past that a compilation ends in a segmentation fault.
MOST_MAPS = 10_000


def num_memory_maps() -> int:
    """How many there are; 0 where there is no /proc."""
    maps = Path("/proc/self/maps")
    return len(maps.read_bytes().splitlines()) if maps.exists() else 0
