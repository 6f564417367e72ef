"""Networks by name."""

import dataclasses
import difflib
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Key
from ._adapter import Network
from ._blocks import ACTIVATIONS, Architecture
from .mlp import MLP, ResidualMLP
from .sets import DeepSets
from .transformer import Transformer
from .unet import UNet

# Name: (architecture, what differs from its defaults, one line). The first six are the architectures themselves.
_PRESETS: dict[str, tuple[type[Architecture], dict[str, Any], str]] = {
    "mlp": (MLP, {}, "vector → vector, 3 hidden layers of 128"),
    "residual_mlp": (ResidualMLP, {}, "vector → vector, 3 residual blocks of 128; condition and time in each"),
    "deep_sets": (DeepSets, {"depth": 2}, "particles → vector, any order"),
    "energy_flow": (DeepSets, {"depth": 2, "energy_weighted": True}, "particles → vector, infrared and collinear safe"),
    "transformer": (Transformer, {"width": 64}, "particles → particles, or → vector with pool="),
    "unet": (UNet, {"width": 32, "depth": 2}, "picture → picture in spatial_dims=1, 2 or 3"),
    "flow_subnet": (MLP, {"depth": 2, "zero_init_last": True}, "2 × 128, zero at the start: the subnet of a flow"),
    "flow_matching": (
        ResidualMLP, {"width": 256, "depth": 4, "time_features": 32}, "4 residual blocks of 256 with Fourier time",
    ),
    "diffusion": (
        ResidualMLP, {"width": 256, "depth": 4, "time_features": 32, "zero_init_last": True},
        "the same, zero at the start",
    ),
    "lvd_transformer": (Transformer, {"width": 64, "depth": 8}, "8 layers, 4 heads, width 64 (arXiv:2305.10399)"),
}  # fmt: skip
_POOLS = {DeepSets: ("sum", "mean", "max"), Transformer: (None, "sum", "mean", "max")}


def list_presets() -> dict[str, str]:
    """The names that `make_network` knows, each with one line about it.

    >>> from jaxhep.networks import list_presets
    >>> "transformer" in list_presets()
    True
    """
    return {name: line for name, (_, _, line) in _PRESETS.items()}


def make_network(
    name: str,
    *,
    in_size: int,
    out_size: int,
    condition_size: int = 0,
    width: int | None = None,
    depth: int | None = None,
    activation: str | None = None,
    zero_init_last: bool | None = None,
    time_features: int | None = None,
    dtype: Any = None,
    key: Key,
    **options: Any,
) -> Network:
    r"""A network by the name of its architecture or preset (`list_presets()`); what is given replaces its values.

    **Arguments**

    - `name`: `mlp`, `residual_mlp`, `deep_sets`, `energy_flow`, `transformer`, `unet`, or a preset.
    - `in_size`: columns of x (of each particle, of each pixel). `energy_flow` takes \(z_i\) as the first column.
    - `out_size`: columns of the output.
    - `condition_size`: size of the condition vector, 0 for none.
    - `width`, `depth`: units of a hidden layer (`mlp`: 128), and hidden layers, blocks or levels (`mlp`: 3).
    - `activation`: `silu` (default), `relu`, `gelu`, `tanh`, `elu`, `selu`, `mish`, `softplus`, `sigmoid` or
      `leaky_relu`.
    - `zero_init_last`: the last layer starts at zero, and the network as the zero function.
    - `time_features`: size of the embedded time, even; 0 for a network without time.
    - `dtype`: of the parameters; JAX's default floating type if None.
    - `key`: key of the initial parameters.
    - `options`: `dropout` (0 to 1), `time_embedding` (`fourier` or `sinusoidal`), `pool` (`deep_sets`, `transformer`),
      `num_heads` and `expansion` (`transformer`), `spatial_dims`, `groups`, `periodic` (`unet`).

    **Returns** a `Network`.

    **Raises** `ValueError` for an unknown name or option, or a size out of range.

    >>> import jax
    >>> from jaxhep.networks import make_network
    >>> network = make_network("mlp", in_size=3, out_size=2, width=16, depth=1, key=jax.random.key(0))
    >>> network
    Network('mlp': 3 → 2; width 16, depth 1, silu; 98 parameters: 3×16, 16×2)
    >>> network(jax.numpy.zeros(3)).shape
    (2,)
    """
    if name not in _PRESETS:
        close = difflib.get_close_matches(name, _PRESETS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no network {name!r}, there are {', '.join(_PRESETS)}{hint}")
    architecture, preset, _ = _PRESETS[name]
    given = {"width": width, "depth": depth, "activation": activation, "zero_init_last": zero_init_last}
    given |= {"time_features": time_features}
    settings = preset | {k: v for k, v in given.items() if v is not None} | options
    settings["dtype_name"] = jnp.dtype(jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)).name
    _check(name, architecture, in_size, out_size, condition_size, settings)
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    definition = architecture(out_size=out_size, **settings)
    x, condition, time = _example(definition, in_size, condition_size)
    variables = jax.jit(definition.init)(key, x, condition, time)
    return Network(variables["params"], definition, name, in_size, out_size, condition_size)


def _example(definition: Architecture, in_size: int, condition_size: int) -> tuple[Any, Any, Any]:
    """An event of the right form, from which Flax reads the sizes."""
    lead: tuple[int, ...] = ()
    if isinstance(definition, UNet):
        lead = (2**definition.depth,) * definition.spatial_dims
    elif isinstance(definition, DeepSets | Transformer):
        lead = (2,)
    dtype = jnp.dtype(definition.dtype_name)
    condition = jnp.zeros(condition_size, dtype) if condition_size else None
    return jnp.zeros((*lead, in_size), dtype), condition, jnp.zeros((), dtype) if definition.time_features else None


def _check(
    name: str, architecture: type[Architecture], in_size: int, out_size: int, condition_size: int, settings: dict
) -> None:
    known = {f.name for f in dataclasses.fields(architecture)} - {"parent", "name", "out_size"}
    for option in settings:
        if option not in known:
            raise ValueError(f"the network {name!r} has no option {option!r}, it has {', '.join(sorted(known))}")
    sizes = {"in_size": in_size, "out_size": out_size, "width": settings.get("width", 1)}
    for what, size in (sizes | {"depth": settings.get("depth", 1)}).items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{what} of the network {name!r} must be a whole number from 1 on, got {size!r}")
    if not isinstance(condition_size, int) or condition_size < 0:
        raise ValueError(f"condition_size must be a whole number from 0 on, got {condition_size!r}")
    features = settings.get("time_features", 0)
    if features < 0 or features % 2:
        raise ValueError(f"time_features must be an even number (sines and cosines) or 0, got {features}")
    choices = {
        "activation": tuple(ACTIVATIONS),
        "time_embedding": ("fourier", "sinusoidal"),
        "pool": _POOLS.get(architecture, ()),
        "spatial_dims": (1, 2, 3),
    }
    for option, allowed in choices.items():
        if option in settings and settings[option] not in allowed:
            raise ValueError(f"{option} must be one of {', '.join(map(str, allowed))}, got {settings[option]!r}")
    if not 0 <= settings.get("dropout", 0.0) < 1:
        raise ValueError(f"dropout is the share of units that is dropped, from 0 to below 1, got {settings['dropout']}")
    if settings.get("energy_weighted") and in_size < 2:
        raise ValueError("energy_flow needs in_size of at least 2: the energy fraction, then directions")
    heads, width = settings.get("num_heads", 4), settings.get("width", 128)
    if architecture is Transformer and width % heads:
        raise ValueError(f"width must be a multiple of num_heads, got {width} and {heads}")


__all__ = ["list_presets", "make_network"]
