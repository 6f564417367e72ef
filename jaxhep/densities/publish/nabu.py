"""Reader of the likelihoods published with nabu (arXiv:2502.09494)."""

import json
import math
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ... import noise as variates
from ..._types import Array, Float, Int, Key, Noise, Scalar
from .._base import AbstractTractableDensity, Condition
from ..bijections import inverse_rational_quadratic, rational_quadratic
from .encoding import PublishedFileError

_FLOOR = 1e-9


class NabuFlow(AbstractTractableDensity):
    r"""A masked autoregressive spline flow as nabu 0.0.1 (flowjax 15) defines it; made by `read_nabu`.

    \(z=x\) goes through the layers in order: \(z_i\leftarrow\mathrm{RQS}(z_i;h_i(z_{<i}))\), then a permutation; then
    \(\log p(x)=\log N(z;\mu,\sigma)+\sum\ln|\partial z'/\partial z|\). The n inner knots of a spline on [a, b] lie at
    \(a+(b-a)\sum_{j\le k}w_j\) with \(w=(\mathrm{softmax}+\epsilon/n)/(1+\epsilon)\) and \(w_1\) halved; outside of
    [a, b] the map is the identity.

    **Fields**: `weights`, `biases` of the networks, each with a leading axis of layers, masks applied; `order` (layer,
    dim); `loc`, `scale` of the base. None is trained: the masks are no longer known.
    """

    weights: tuple[Float[Array, "layer _ _"], ...] = eqx.field(metadata={"trainable": False})
    biases: tuple[Float[Array, "layer _"], ...] = eqx.field(metadata={"trainable": False})
    order: Int[Array, "layer dim"]
    loc: Float[Array, " dim"] = eqx.field(metadata={"trainable": False})
    scale: Float[Array, " dim"] = eqx.field(metadata={"trainable": False})
    knots: int = eqx.field(static=True)
    interval: tuple[float, float] = eqx.field(static=True)
    min_derivative: float = eqx.field(static=True)
    softmax_adjust: float = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def _raw(self, parameters: Float[Array, " parameter"]) -> Float[Array, " raw"]:
        """nabu's parameters of a spline as those of `rational_quadratic` with free ends and a floor of 1e-9."""
        n = self.knots

        def log_widths(raw: Array) -> Array:
            share = (jax.nn.softmax(raw) + self.softmax_adjust / n) / (1 + self.softmax_adjust)
            share = share.at[0].divide(2)
            return jnp.log(jnp.concatenate([share, 1 - jnp.sum(share, keepdims=True)]))

        start = math.log(math.expm1(1 - self.min_derivative))
        slope = jax.nn.softplus(parameters[2 * n :] + start) + self.min_derivative
        ours = jnp.log(jnp.expm1(slope - _FLOOR)) - math.log(math.expm1(1 - _FLOOR))
        return jnp.concatenate([log_widths(parameters[:n]), log_widths(parameters[n : 2 * n]), ours])

    def _network(self, layer: Any, z: Array) -> Array:
        """Raw spline parameters of each column."""
        weights, biases = layer
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            z = jax.nn.relu(weight @ z + bias)
        return jax.vmap(self._raw)((weights[-1] @ z + biases[-1]).reshape(self.dim, -1))

    def _inside(self, z: Array) -> Array:
        return (z > self.interval[0]) & (z < self.interval[1])

    def latent(self, x: Float[Array, " dim"], condition: Condition = None) -> Float[Array, " dim"]:
        """The point in the standard normal latent space."""
        return (self._forward(x)[0] - self.loc) / self.scale

    def _forward(self, x: Array) -> tuple[Array, Array]:
        def step(carry: Any, layer: Any) -> Any:
            z, total = carry
            networks, order = layer
            raw = self._network(networks, z)
            y, log_slope = jax.vmap(
                lambda z, r: rational_quadratic(z, r, *self.interval, free_ends=True, least=_FLOOR)
            )(z, raw)
            inside = self._inside(z)
            total = total + jnp.sum(jnp.where(inside, log_slope, 0.0))
            return (jnp.where(inside, y, z)[order], total), None

        layers = ((self.weights, self.biases), self.order)
        return jax.lax.scan(step, (x, jnp.zeros((), x.dtype)), layers)[0]

    def log_prob(self, x: Float[Array, " dim"], condition: Condition = None) -> Scalar:
        """The log density in nats, in the coordinates of the network."""
        z, total = self._forward(x)
        z = (z - self.loc) / self.scale
        return total - 0.5 * jnp.sum(z**2 + math.log(2 * math.pi)) - jnp.sum(jnp.log(self.scale))

    def sample_noise(self, key: Key) -> Noise:
        """`dim` variates."""
        return variates.uniforms(key, (self.dim,))

    def sample(self, noise: Noise, condition: Condition = None) -> Float[Array, " dim"]:
        """The layers backwards, column by column."""

        def step(z: Array, layer: Any) -> Any:
            networks, order = layer
            y = jnp.zeros_like(z).at[order].set(z)
            x = y
            for i in range(self.dim):
                raw = self._network(networks, x)[i]
                back = inverse_rational_quadratic(y[i], raw, *self.interval, free_ends=True, least=_FLOOR)[0]
                x = x.at[i].set(jnp.where(self._inside(y[i]), back, y[i]))
            return x, None

        layers = ((self.weights, self.biases), self.order)
        start = self.loc + self.scale * variates.normal(jnp.asarray(noise))
        return jax.lax.scan(step, start, layers, reverse=True)[0]


def read_nabu(path: str | Path) -> tuple[NabuFlow, dict[str, Any]]:
    """The flow of a `.nabu` file (one line of JSON, then the arrays as NumPy records), and that line.

    The density is that of the network's own coordinates; the file's `posterior_transform` is not applied (for the LHCb
    file these are the square-Dalitz coordinates in [0, 1]). Nothing in the file is executed, pickles are refused.

    **Raises** `FileNotFoundError`; `PublishedFileError` for a file that is cut short or holds another kind of model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    records = []
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline())
            end = path.stat().st_size
            while file.tell() < end:
                records.append(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise PublishedFileError(f"{path} cannot be read as a nabu file ({error}); it may be cut short") from error
    try:
        settings = header["model"]["masked_autoregressive_flow"]
        spline = settings["transformer"]["RationalQuadraticSpline"]
    except (KeyError, TypeError) as error:
        raise PublishedFileError(
            f"{path} holds no masked autoregressive flow of rational-quadratic splines (no {error}); no other is read"
        ) from error
    if settings.get("cond_dim") is not None or settings["activation"] != "relu":
        raise PublishedFileError(f"{path}: only flows without condition and with relu networks are read")
    return _build(path, settings, spline, records), header


def _build(path: Path, settings: dict[str, Any], spline: dict[str, Any], records: list[np.ndarray]) -> NabuFlow:
    dim, layers, depth = settings["dim"], settings["flow_layers"], settings["nn_depth"]
    real = [a for a in records if a.dtype.kind == "f"]
    masks = [a for a in records if a.dtype.kind == "b" and a.ndim == 2]
    orders = [a for a in records if a.dtype.kind == "i" and a.shape == (dim,)][::2]
    each = 2 * (depth + 1)
    if len(real) != 2 + layers * each or len(masks) != layers * (depth + 1) or len(orders) != layers - 1:
        raise PublishedFileError(
            f"{path} holds {len(real)} arrays of numbers, {len(masks)} masks and {len(orders)} permutations, which do "
            f"not make {layers} layers of depth {depth}; it may be cut short"
        )
    weights: list[list[np.ndarray]] = [[] for _ in range(depth + 1)]
    biases: list[list[np.ndarray]] = [[] for _ in range(depth + 1)]
    for layer in range(layers):
        for k in range(depth + 1):
            weight, bias = real[2 + layer * each + 2 * k : 4 + layer * each + 2 * k]
            weights[k].append(np.where(masks[layer * (depth + 1) + k], weight, 0))
            biases[k].append(bias)
    interval = spline["interval"]
    low, high = interval if isinstance(interval, list) else (-interval, interval)
    return NabuFlow(
        weights=tuple(jnp.asarray(np.stack(one)) for one in weights),
        biases=tuple(jnp.asarray(np.stack(one)) for one in biases),
        order=jnp.asarray(np.stack([*orders, np.arange(dim)]).astype(np.int32)),
        loc=jnp.asarray(real[0]),
        scale=jnp.asarray(np.logaddexp(0, real[1])),
        knots=spline["knots"],
        interval=(float(low), float(high)),
        min_derivative=spline["min_derivative"],
        softmax_adjust=spline["softmax_adjust"],
        dim=dim,
        condition_dim=0,
    )


__all__ = ["NabuFlow", "read_nabu"]
