"""How fast is jaxhep, and how far from what the machine can do? One question a file; `python -m benchmarks --help`.

Each case of a benchmark runs in a process of its own, so that compile time and peak memory are those of this case
alone.
"""
