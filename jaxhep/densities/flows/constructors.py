"""The usual flows: layers of coupling or autoregressive maps with permutations between."""

import difflib
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Key
from .._arguments import check_sizes
from .._base import AbstractTractableDensity
from ..bijections import (
    AbstractBijection,
    AbstractTransformer,
    AffineTransformer,
    Chain,
    Coupling,
    Invert,
    LULinear,
    MaskedAutoregressive,
    Permutation,
    Repeat,
    SplineTransformer,
)
from .base import Normal, Uniform
from .flow import Flow

PRESETS: dict[str, dict[str, Any]] = {
    # A few thousand events or fewer.
    "small": {"kind": "autoregressive", "num_layers": 4, "num_bins": 6, "width": 32, "depth": 2},
    # The default sizes of the field for tens of thousands of events and more; both directions fast.
    "coupling": {"kind": "coupling", "num_layers": 8, "num_bins": 8, "width": 128, "depth": 2},
    # The same, for the best density at the price of dim passes a draw.
    "autoregressive": {"kind": "autoregressive", "num_layers": 6, "num_bins": 8, "width": 128, "depth": 2},
    "affine": {"kind": "autoregressive", "transformer": "affine", "num_layers": 4, "width": 64, "depth": 2},
    # Phase space of W + jets, arXiv:2305.07696.
    "elsa": {"kind": "coupling", "num_layers": 14, "num_bins": 10, "width": 80, "depth": 2},
    # Layer energies of a calorimeter given the incident energy, arXiv:2404.18992.
    "calibration": {"kind": "autoregressive", "num_layers": 6, "num_bins": 8, "width": 64, "depth": 2},
    # B+ → D+ D− K+ in square-Dalitz coordinates, arXiv:2502.09494.
    "dalitz": {
        "kind": "autoregressive", "num_layers": 8, "num_bins": 6, "bound": 4.0, "width": 64, "depth": 2,
        "permutation": "reverse", "activation": "relu",
    },
}  # fmt: skip
"""Sizes of `make_flow` by name."""

PERMUTATIONS = ("random", "reverse", "lu")


def _transformer(transformer: str | AbstractTransformer, num_bins: int, bound: float, base: str) -> AbstractTransformer:
    if isinstance(transformer, AbstractTransformer):
        return transformer
    if transformer == "affine":
        if base == "uniform":
            raise ValueError("an affine map leaves the unit box of a uniform base; use transformer='spline'")
        return AffineTransformer()
    if transformer == "spline":
        if base == "uniform":
            return SplineTransformer(num_bins, 0.0, 1.0, free_ends=True)
        return SplineTransformer(num_bins, -bound, bound)
    raise ValueError(f"transformer is 'spline', 'affine' or an AbstractTransformer, not {transformer!r}")


def _base(base: str | AbstractTractableDensity, dim: int) -> AbstractTractableDensity:
    if isinstance(base, AbstractTractableDensity):
        if base.dim != dim:
            raise ValueError(f"the base has {base.dim} columns, the flow is to have {dim}")
        return base
    if base not in ("normal", "uniform"):
        raise ValueError(f"base is 'normal', 'uniform' or a density, not {base!r}")
    return Normal(dim) if base == "normal" else Uniform(dim)


def _orders(permutation: str, dim: int, kept: int, num_layers: int, key: Key) -> np.ndarray:
    """The order of the columns before each layer, shape (layer, dim).

    In a coupling (kept > 0) every second order puts the moved columns first, so that each column is moved at least once
    in two layers; the others shuffle, so that the halves change.
    """
    data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    rng = np.random.default_rng(np.asarray(data).tolist())
    orders = []
    for i in range(num_layers):
        if permutation == "reverse":
            orders.append(np.arange(dim)[::-1])
        elif kept and i % 2:
            orders.append(np.roll(np.arange(dim), -kept))
        else:
            orders.append(rng.permutation(dim))
    return np.stack(orders)


def _stack(
    dim: int, condition_dim: int, kept: int, num_layers: int, permutation: str, key: Key,
    make: Callable[[Key], AbstractBijection],
) -> AbstractBijection:  # fmt: skip
    """The layers as one scan, and at the end the permutation that undoes all others: the start is the identity."""
    if permutation not in PERMUTATIONS:
        raise ValueError(f"permutation is one of {', '.join(PERMUTATIONS)}, not {permutation!r}")
    check_sizes(dim=dim, num_layers=num_layers)
    if condition_dim < 0:
        raise ValueError(f"condition_dim is 0 or more, got {condition_dim}")
    orders = _orders("random" if permutation == "lu" else permutation, dim, kept, num_layers, key)
    total = functools.reduce(lambda sofar, order: sofar[order], orders, np.arange(dim))

    # One program for all layers: op by op, the first flow of a session would compile some dozens of small ones.
    @eqx.filter_jit
    def build(key: Key) -> list[AbstractBijection]:
        keys = jax.random.split(key, (2, num_layers))
        mixing = [eqx.filter_vmap(lambda one: LULinear(dim, key=one))(keys[1])] if permutation == "lu" else []
        return [*mixing, eqx.filter_vmap(make)(keys[0])]

    shuffle = eqx.tree_at(
        lambda one: (one.order, one.inverse_order),
        Permutation(orders[0]),
        (jnp.asarray(orders, jnp.int32), jnp.asarray(np.argsort(orders, axis=1), jnp.int32)),
    )
    return Chain(Repeat(Chain(shuffle, *build(key)), num_layers), Permutation(np.argsort(total)))


def autoregressive_flow(
    dim: int,
    condition_dim: int = 0,
    *,
    key: Key,
    num_layers: int = 6,
    transformer: str | AbstractTransformer = "spline",
    num_bins: int = 8,
    bound: float = 5.0,
    width: int = 64,
    depth: int = 2,
    activation: str = "silu",
    permutation: str = "random",
    base: str | AbstractTractableDensity = "normal",
) -> Flow:
    r"""A masked autoregressive flow: `log_prob` in one pass a layer, a draw in `dim` passes.

    G. Papamakarios et al., arXiv:1705.07057; with splines C. Durkan et al., arXiv:1906.04032. It starts at the
    identity, that is with the density of its base. The condition enters every layer's network.

    **Arguments**

    - `dim`, `condition_dim`: sizes of x and c; c should be of order one.
    - `key`: random key of the weights and permutations.
    - `num_layers`: layers, all of one shape: compilation takes the time of one.
    - `transformer`: "spline", "affine", or a transformer.
    - `num_bins`, `bound`: bins of the spline, and B of its interval [−B, B] (for a uniform base: [0, 1]).
    - `width`, `depth`, `activation`: of each layer's masked network.
    - `permutation`: of the columns between layers, "random", "reverse", or "lu" (random, then an LU map).
    - `base`: "normal", "uniform" (on [0, 1], for data in the unit box), or a density.

    **Returns** a `Flow`.

    >>> import jax
    >>> from jaxhep.densities.flows import autoregressive_flow
    >>> autoregressive_flow(2, 1, num_layers=2, width=16, key=jax.random.key(0))
    Flow(Normal → Chain, dim=2, condition_dim=1, 2,236 parameters)
    """
    one = _transformer(transformer, num_bins, bound, base if isinstance(base, str) else "normal")
    base_density = _base(base, dim)

    def make(layer_key: Key) -> AbstractBijection:
        return Invert(
            MaskedAutoregressive(
                dim, condition_dim, one, width=width, depth=depth, activation=activation, key=layer_key
            )
        )

    return Flow(base_density, _stack(dim, condition_dim, 0, num_layers, permutation, key, make))


def coupling_flow(
    dim: int,
    condition_dim: int = 0,
    *,
    key: Key,
    num_layers: int = 8,
    transformer: str | AbstractTransformer = "spline",
    num_bins: int = 8,
    bound: float = 5.0,
    width: int = 128,
    depth: int = 2,
    activation: str = "silu",
    permutation: str = "random",
    base: str | AbstractTractableDensity = "normal",
) -> Flow:
    """A coupling flow: `log_prob` and draws both in one pass a layer.

    Half of the columns move in each layer, and every column moves in any two layers. It starts at the identity.

    **Arguments**: as for `autoregressive_flow`; the networks are `jaxhep.networks` of kind "mlp".

    **Raises** `ValueError` for one column without condition, which a coupling cannot move.

    >>> import jax
    >>> from jaxhep.densities.flows import coupling_flow
    >>> coupling_flow(3, num_layers=2, width=8, key=jax.random.key(0)).dim
    3
    """
    from ...networks import make_network

    if dim == 1 and condition_dim == 0:
        raise ValueError("one column without condition has nothing to couple to; use autoregressive_flow")
    one = _transformer(transformer, num_bins, bound, base if isinstance(base, str) else "normal")
    base_density = _base(base, dim)
    kept = dim // 2

    def make(layer_key: Key) -> AbstractBijection:
        network = make_network(
            "mlp",
            in_size=kept or condition_dim,
            out_size=(dim - kept) * one.num_parameters,
            condition_size=condition_dim if kept else 0,
            width=width,
            depth=depth,
            activation=activation,
            zero_init_last=True,
            key=layer_key,
        )
        return Coupling(dim, condition_dim, kept, one, network)

    return Flow(base_density, _stack(dim, condition_dim, kept, num_layers, permutation, key, make))


def make_flow(preset: str, dim: int, condition_dim: int = 0, *, key: Key, **changes: Any) -> Flow:
    """A flow by the name of its sizes (`PRESETS`), with changes.

    **Arguments**: `preset`; `dim`, `condition_dim`, `key` as for `autoregressive_flow`; `changes`, any of the arguments
    of the constructor.

    **Raises** `ValueError` for an unknown preset.

    >>> import jax
    >>> from jaxhep.densities.flows import make_flow
    >>> make_flow("smal", 2, key=jax.random.key(0))
    Traceback (most recent call last):
    ValueError: there is no flow preset 'smal', known are small, ...; did you mean 'small'?
    """
    if preset not in PRESETS:
        close = difflib.get_close_matches(preset, PRESETS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no flow preset {preset!r}, known are {', '.join(PRESETS)}{hint}")
    options = {**PRESETS[preset], **changes}
    build = {"autoregressive": autoregressive_flow, "coupling": coupling_flow}[options.pop("kind")]
    return build(dim, condition_dim, key=key, **options)


__all__ = ["PRESETS", "autoregressive_flow", "coupling_flow", "make_flow"]
