"""Many events: chunked, in rounds of growing capacity, sharded, the same whatever the chunk size or device count."""

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._types import Array, Key, Noise
from ..event import Event
from ..noise import sobol
from ..parallel import over_devices
from ._base import AbstractSimulator, same_structure
from ._sizes import block_sizes, default_chunk, platform

Observe = Callable[[Any], Any]
NoiseKind = Literal["random", "sobol"]


def generate(
    simulator: AbstractSimulator,
    key: Key,
    num_events: int,
    *,
    observables: Observe | Mapping[str, Callable[[Array, Array], Array]] | None = None,
    reference: AbstractSimulator | None = None,
    chunk_size: int | None = None,
    noise: NoiseKind = "random",
    first_event: int = 0,
    dtype: Any = None,
    devices: list[jax.Device] | None = None,
    on_chunk: Callable[[int], None] | None = None,
) -> Any:
    r"""Simulates events and, if asked, reduces each one at once to its observables.

    Event i uses the noise of `fold_in(key, i)`: results do not depend on `chunk_size` or on the number of devices, and
    event ranges can be continued (`first_event`). Differentiable with respect to the simulator in forward and reverse
    mode.

    **Arguments**

    - `simulator`: any simulator or `Chain`.
    - `key`: random key, `jax.random.key(seed)`.
    - `num_events`: how many, at least 1.
    - `observables`: None for the events themselves; a function of one `Event`; or a mapping from names to functions of
      (momenta, mask), which returns a dict with these names and `"weight"` and `"overflow"`. Only the result is kept,
      so that memory stays small.
    - `reference`: see `AbstractSimulator`; moves the events of `reference` to the parameters of `simulator`.
    - `chunk_size`: events per compiled call; memory grows with it. By default 65,536 on a CPU and 262,144 on an
      accelerator, which more make faster still (2²² where the memory allows it).
    - `noise`: `"random"`, or `"sobol"` for scrambled quasi-random noise (the points of one scramble, in the order of
      the events; num_events should be a power of two). With Sobol, errors come from several keys, not from the sample
      variance.
    - `first_event`: number of the first event.
    - `dtype`: float32 or float64 noise (and so momenta); default JAX's default.
    - `devices`: shard each chunk over these devices; default the default device only.
    - `on_chunk`: called with the number of events done after each chunk (a progress bar).

    **Returns** the pytree of one event's result with a leading axis of `num_events`.

    **Raises** `ValueError` or `TypeError` before anything is compiled.

    >>> import jax
    >>> from jaxhep.shower import DiscreteQCD
    >>> from jaxhep.simulator import generate
    >>> events = generate(DiscreteQCD(), jax.random.key(0), 100, chunk_size=128)
    >>> events.weight.shape
    (100,)
    """
    chunks = generate_chunks(
        simulator,
        key,
        num_events,
        observables=observables,
        reference=reference,
        chunk_size=chunk_size,
        noise=noise,
        first_event=first_event,
        dtype=dtype,
        devices=devices,
    )
    results, done = [], 0
    for chunk in chunks:
        results.append(chunk)
        done += jax.tree.leaves(chunk)[0].shape[0]
        if on_chunk is not None:
            jax.block_until_ready(chunk)
            on_chunk(done)
    return results[0] if len(results) == 1 else jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)


def generate_chunks(
    simulator: AbstractSimulator,
    key: Key,
    num_events: int,
    *,
    observables: Observe | Mapping[str, Callable[[Array, Array], Array]] | None = None,
    reference: AbstractSimulator | None = None,
    chunk_size: int | None = None,
    noise: NoiseKind = "random",
    first_event: int = 0,
    dtype: Any = None,
    devices: list[jax.Device] | None = None,
) -> Iterator[Any]:
    """The chunks of `generate`, one after the other, for streaming with bounded memory; arguments as there."""
    chunk_size = default_chunk(devices) if chunk_size is None else chunk_size
    for name, value, least in (
        ("num_events", num_events, 1),
        ("chunk_size", chunk_size, 1),
        ("first_event", first_event, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} must be a whole number, got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not isinstance(simulator, AbstractSimulator):
        raise TypeError(f"generate wants a simulator (DiscreteQCD(), Chain(...)), got {type(simulator).__name__}")
    if noise not in ("random", "sobol"):
        raise ValueError(f"noise must be 'random' or 'sobol', not {noise!r}")
    if reference is not None and not same_structure(reference, simulator):
        raise ValueError(
            "reference must be a simulator of the same structure, made by with_parameters(simulator, {...})"
        )
    if first_event + num_events > 2**31:
        raise ValueError("event numbers are 31-bit: use another key for more than 2147483648 events")
    count = 1 if devices is None else len(devices)
    # A short run compiles for its own size; longer ones reuse one compiled chunk whatever num_events is.
    size = min(int(chunk_size), -(-int(num_events) // count) * count)
    size = -(-size // count) * count
    points = None
    if noise == "sobol":
        points = _sobol_noise(simulator, key, first_event + num_events, dtype)
    observe = _as_function(observables)
    return _chunks(simulator, key, num_events, observe, reference, size, points, first_event, dtype, devices)


def _chunks(
    simulator: AbstractSimulator,
    key: Key,
    num_events: int,
    observe: Observe | None,
    reference: AbstractSimulator | None,
    size: int,
    points: Noise | None,
    first_event: int,
    dtype: Any,
    devices: list[jax.Device] | None,
) -> Iterator[Any]:
    on_cpu = platform(devices) == "cpu"
    for start in range(first_event, first_event + num_events, size):
        count = min(size, first_event + num_events - start)
        if points is None:
            source: Any = jnp.arange(start, start + size, dtype=jnp.uint32)
        else:
            rows = np.minimum(np.arange(start, start + size), first_event + num_events - 1)
            source = jax.tree.map(lambda leaf, rows=rows: jnp.asarray(leaf[rows]), points)
        result = _run_chunk(simulator, reference, key, source, observe, points is not None, dtype, devices, on_cpu)
        yield result if count == size else jax.tree.map(operator.itemgetter(slice(count)), result)


class _MappingObserve(eqx.Module):
    """Named functions of (momenta, mask) as one function of an event; hashable, so that jit recognises it."""

    functions: tuple[tuple[str, Callable[[Array, Array], Array]], ...] = eqx.field(static=True)

    def __call__(self, event: Event) -> dict[str, Array]:
        values = {name: function(event.momenta, event.mask) for name, function in self.functions}
        return values | {"weight": event.weight, "overflow": event.overflow}


def _as_function(observables: Any) -> Observe | None:
    if observables is None or callable(observables):
        return observables
    if isinstance(observables, Mapping) and all(callable(f) for f in observables.values()):
        return _MappingObserve(tuple(observables.items()))
    raise TypeError(
        "observables must be None, a function of one Event, or a mapping of names to functions of (momenta, mask), "
        f"got {observables!r}"
    )


def _sobol_noise(simulator: AbstractSimulator, key: Key, num_events: int, dtype: Any) -> Noise:
    shapes = jax.eval_shape(lambda k: simulator.sample_noise(k, dtype), key)
    leaves, treedef = jax.tree.flatten(shapes)
    widths = [int(np.prod(leaf.shape, dtype=int)) for leaf in leaves]
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    seed = int(np.asarray(jax.random.bits(key if typed else jax.random.wrap_key_data(key), dtype=jnp.uint32)))
    points = sobol(num_events, sum(widths), seed, leaves[0].dtype)
    parts = np.split(points, np.cumsum(widths)[:-1], axis=1)
    shaped = [part.reshape(num_events, *leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(treedef, shaped)


@eqx.filter_jit
def _run_chunk(
    simulator: AbstractSimulator,
    reference: AbstractSimulator | None,
    key: Key,
    source: Any,
    observe: Observe | None,
    given: bool,
    dtype: Any,
    devices: list[jax.Device] | None,
    on_cpu: bool,
) -> Any:
    """One chunk; `source` holds event numbers or, if `given`, the noise itself."""

    def local(simulator: Any, reference: Any, key: Any, source: Any) -> Any:
        return _simulate(simulator, reference, key, source, observe, given, dtype, on_cpu)

    if devices is None:
        return local(simulator, reference, key, source)
    return over_devices(local, devices)((simulator, reference, key), source)


def _simulate(
    simulator: AbstractSimulator,
    reference: AbstractSimulator | None,
    key: Key,
    source: Any,
    observe: Observe | None,
    given: bool,
    dtype: Any,
    on_cpu: bool,
) -> Any:
    """Rounds of growing capacity over blocks of events."""
    sims = simulator.rounds()
    refs = (None,) * len(sims) if reference is None else reference.rounds()
    count = jax.tree.leaves(source)[0].shape[0]
    sizes = block_sizes(count, len(sims), on_cpu)
    block = sizes[0]
    num_blocks = -(-count // block)

    def one(sim: Any, ref: Any, item: Any) -> tuple[Any, Array]:
        draw = item if given else sim.sample_noise(jax.random.fold_in(key, item), dtype)
        event = sim(draw, reference=ref)
        return (event if observe is None else observe(event)), event.overflow

    # The batch axis comes last: each step of the event program is then one vector loop over events. Under jit, the
    # trace that gives the shapes of a round is the one that is run.
    programs = [jax.jit(jax.vmap(partial(one, sim, ref), out_axes=-1)) for sim, ref in zip(sims, refs, strict=True)]

    def shapes(i: int) -> Any:
        items = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((sizes[i], *leaf.shape[1:]), leaf.dtype), source)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape[:-1], leaf.dtype), jax.eval_shape(programs[i], items)[0]
        )

    full = shapes(-1)
    # A round can only stand in for the last one if its result has the same shape (events themselves are padded).
    last = len(sims) - 1
    usable = [i for i in range(last) if observe is None or _same(shapes(i), full)] + [last]

    def run_block(i: int, items: Any) -> tuple[Any, Array]:
        result, overflow = programs[i](items)
        return jax.tree.map(lambda leaf, shape: _pad(leaf, shape.shape), result, full), overflow

    padded = jax.tree.map(lambda leaf: _extend(leaf, num_blocks * block), source)
    parts = jax.tree.map(lambda leaf: leaf.reshape(num_blocks, block, *leaf.shape[1:]), padded)
    result, overflow = lax.map(lambda items: run_block(usable[0], items), parts)
    # (block number, ..., event in block) → (..., event)
    result = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], -1), result)
    overflow = overflow.reshape(-1) & (jnp.arange(num_blocks * block) < count)
    for i in usable[1:]:
        result, overflow = _redo(partial(run_block, i), padded, result, overflow, sizes[i])
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0)[:count], result)


def _redo(
    run: Callable[[Any], tuple[Any, Array]], source: Any, result: Any, overflow: Array, block: int
) -> tuple[Any, Array]:
    """Runs the overflowed events again, in blocks, and puts their results in place."""
    total = overflow.shape[0]
    starts = np.arange(0, total, block, dtype=np.int32)
    numbers = jnp.arange(total, dtype=jnp.int32)
    todo = jnp.sum(overflow, dtype=jnp.int32)
    # The numbers of the overflowed events, in front; those of the others have no place, each a different one.
    place = jnp.where(overflow, jnp.cumsum(overflow, dtype=jnp.int32) - 1, block * len(starts) + numbers)
    where = jnp.full(block * len(starts), total, jnp.int32).at[place].set(numbers, mode="drop", unique_indices=True)

    def work(carry: Any, start: Array) -> Any:
        result, overflow = carry
        rows = lax.dynamic_slice(where, (start,), (block,))  # padded with `total`, which `put` drops
        items = jax.tree.map(lambda leaf: leaf.at[rows].get(mode="clip"), source)
        new, still = run(items)
        put = lambda old, values: old.at[..., rows].set(values, mode="drop")  # noqa: E731
        return jax.tree.map(put, result, new), overflow.at[rows].set(still, mode="drop")

    def if_needed(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], tuple[Any, None]]:
        def body(carry: Any, start: Array) -> tuple[Any, None]:
            return lax.cond(jnp.min(start) < todo, step, lambda carry, _: carry, carry, start), None

        return body

    # Groups of blocks: most of them are empty, and each question whether one is takes an accelerator to the host.
    group = math.isqrt(len(starts) - 1) + 1
    groups = np.pad(starts, (0, -len(starts) % group), constant_values=total).reshape(-1, group)
    outer = if_needed(lambda carry, part: lax.scan(if_needed(work), carry, part)[0])
    return lax.scan(outer, (result, overflow), jnp.asarray(groups))[0]


def _same(a: Any, b: Any) -> bool:
    return same_structure(a, b) and all(
        x.shape == y.shape for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def _pad(leaf: Array, shape: tuple[int, ...]) -> Array:
    """Zero-pads the leading axes of (..., event) to those of `shape`."""
    widths = [(0, want - have) for want, have in zip(shape, leaf.shape[:-1], strict=True)]
    return jnp.pad(leaf, [*widths, (0, 0)]) if any(high for _, high in widths) else leaf


def _extend(leaf: Array, size: int) -> Array:
    """Repeats the last row until the leading axis has the given size."""
    missing = size - leaf.shape[0]
    return jnp.concatenate([leaf, jnp.repeat(leaf[-1:], missing, axis=0)]) if missing else leaf
