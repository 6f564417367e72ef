"""How many events a device simulates together: a core wants its cache not to overflow, an accelerator to be full."""

import jax

_BLOCK = 2048
"""Events that a core simulates together: few enough for the arrays of one step to stay in its cache."""
_REDO_BLOCK = 256
"""The same for the few events of a later round, whose last block is mostly padding."""


def platform(devices: list[jax.Device] | None = None) -> str:
    """The kind of device ("cpu", "gpu", …) on which a call without arrays of its own computes."""
    # JAX's type stubs do not name this option.
    default = getattr(jax.config, "jax_default_device", None) if devices is None else devices[0]
    if default is None:
        return jax.default_backend()
    return default if isinstance(default, str) else str(default.platform)


def default_chunk(devices: list[jax.Device] | None = None) -> int:
    """Events per compiled call of `generate`, if nobody says how many.

    **Arguments**: `devices`, those that the chunk is spread over; by default JAX's default device.

    >>> import jax
    >>> from jaxhep.simulator import default_chunk
    >>> default_chunk(jax.devices("cpu"))
    65536
    """
    return 65_536 if platform(devices) == "cpu" else 262_144


def block_sizes(count: int, num_rounds: int, on_cpu: bool) -> list[int]:
    """Events that are simulated together in each round, of `count` in the chunk of one device.

    A block of a later round that is not full costs an accelerator as much as a full one, and one that is not needed a
    question to the host: its blocks shrink from round to round, as the events that reach them do.
    """
    if on_cpu:
        return [min(_BLOCK, count)] + [min(_REDO_BLOCK, count)] * (num_rounds - 1)
    return [count] + [min(count, max(_REDO_BLOCK, -(-count // 4**i))) for i in range(2, num_rounds + 1)]
