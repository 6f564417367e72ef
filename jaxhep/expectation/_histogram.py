"""Histograms of weighted events, with three right ways to their derivative."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtr

from .._types import Array, Float, Scalar
from ._mean import check_events

Method = Literal["flux", "kernel", "count"]
_BLOCK = 4096


class Histogram(eqx.Module):
    """Bin contents with their Monte Carlo covariance.

    **Fields**: `edges` (bin+1); `value` (bin), the fraction of the events in each bin or, with `density`, that divided
    by the bin width; `covariance` (bin, bin) of `value`; `bandwidth`, the kernel width that was used (0 for `"count"`).
    """

    edges: Float[Array, " edge"]
    value: Float[Array, " bin"]
    covariance: Float[Array, "bin bin"]
    bandwidth: Scalar
    density: bool = eqx.field(static=True)
    method: Method = eqx.field(static=True)

    @property
    def error(self) -> Float[Array, " bin"]:
        """Monte Carlo standard error of each bin."""
        return jnp.sqrt(jnp.diagonal(self.covariance))

    @property
    def centres(self) -> Float[Array, " bin"]:
        """Bin centres."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    def to_hist(self, label: str = "x") -> Any:
        """The same as a `hist.Hist` with weighted storage (value and variance)."""
        import hist

        result = hist.Hist(hist.axis.Variable(np.asarray(self.edges, float), name=label), storage=hist.storage.Weight())
        result.view()["value"] = np.asarray(self.value, float)
        result.view()["variance"] = np.asarray(self.error, float) ** 2
        return result

    def __repr__(self) -> str:
        low, high = float(self.edges[0]), float(self.edges[-1])
        bins = f"{self.value.shape[0]} bins in [{low:g}, {high:g}]"
        return f"Histogram({bins}, method={self.method!r}, density={self.density})"


def check_edges(edges: Any) -> np.ndarray:
    """Bin edges as float64 NumPy, checked."""
    if isinstance(edges, jax.core.Tracer):
        raise TypeError("bin edges must be concrete numbers, not traced values")
    array = np.asarray(edges, float)
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"edges must be a list of at least two numbers, got shape {array.shape}")
    if not np.all(np.isfinite(array)) or not np.all(np.diff(array) > 0):
        raise ValueError("edges must be finite and grow from bin to bin")
    return array


def histogram(
    values: Float[Array, " event"],
    weights: Float[Array, " event"] | None = None,
    *,
    edges: Any,
    method: Method = "flux",
    bandwidth: float | None = None,
    density: bool = False,
) -> Histogram:
    r"""Fractions of weighted events in bins, differentiable with respect to what made the events.

    Bin b holds \(\sum_iw_i\mathbf 1[e_b\le x_i<e_{b+1}]/\sum_iw_i\). The derivative of the weights is treated as in
    `mean`. The events that cross an edge while θ moves are the flux \(\partial_\theta
    P_b\ni[\rho(x)\langle\partial_\theta x\rangle_x]\)
    at the two edges, which no derivative of an indicator shows:

    - `"flux"` (default): exact contents; the flux is estimated with a kernel of width h at the edges, bias O(h⁴).
    - `"kernel"`: contents \(\sum w[K((e_{b+1}-x)/h)-K((e_b-x)/h)]\), smooth in θ; contents and derivative have bias
      O(h⁴).
    - `"count"`: exact contents and the derivative of the weights only. Right for events that were moved (`moved`),
      whose contents at each θ are exact; its own derivative lacks the flux.

    The kernel is the Gaussian of fourth order, \(K(t)=\Phi(t)+\tfrac t2\varphi(t)\).

    **Arguments**

    - `values`: x, shape (event,).
    - `weights`: w, shape (event,).
    - `edges`: bin edges, concrete and increasing. What lies outside counts in the normalisation only.
    - `bandwidth`: h in the units of x; default a quarter of the narrowest bin. It is reported in the result.
    - `density`: divide by the bin widths.

    **Returns** a `Histogram`.

    **Raises** `ValueError` for bad edges, bandwidth or method.

    >>> import jax.numpy as jnp
    >>> from jaxhep.expectation import histogram
    >>> histogram(jnp.array([0.1, 0.2, 0.7]), edges=[0.0, 0.5, 1.0]).value.tolist()
    [0.6666666865348816, 0.3333333432674408]
    """
    if method not in ("flux", "kernel", "count"):
        raise ValueError(f"method must be 'flux', 'kernel' or 'count', not {method!r}")
    if values.ndim != 1:
        raise ValueError(f"values must have shape (event,), got {values.shape}")
    bounds = check_edges(edges)
    weights = check_events(values, weights)
    if bandwidth is None:
        bandwidth = float(np.min(np.diff(bounds))) / 4
    if not bandwidth > 0:
        raise ValueError(f"bandwidth must be positive, got {bandwidth}")
    dtype = values.dtype
    e, h = jnp.asarray(bounds, dtype), jnp.asarray(bandwidth, dtype)
    count, bins = values.shape[0], bounds.size - 1

    def content(x: Array) -> Array:
        """Contents of all bins for a block of events, shape (event, bin)."""
        sharp = ((x[:, None] >= e[:-1]) & (x[:, None] < e[1:])).astype(dtype)
        if method == "count":
            return sharp
        t = (e - x[:, None]) / h
        below = ndtr(t) + t / 2 * jnp.exp(-(t**2) / 2) * float(1 / np.sqrt(2 * np.pi))
        smooth = below[:, 1:] - below[:, :-1]
        return smooth if method == "kernel" else sharp + (smooth - lax.stop_gradient(smooth))

    fixed = lax.stop_gradient(weights)

    @jax.checkpoint
    def body(carry: Any, block: Any) -> tuple[Any, None]:
        path, choices, square, linear = carry
        x, w, w0 = block
        f = content(x)
        f0 = lax.stop_gradient(f)
        return (path + w0 @ f, choices + w @ f, square + (f0 * (w0**2)[:, None]).T @ f0, linear + w0**2 @ f0), None

    padding = -count % _BLOCK if count > _BLOCK else 0
    blocks = tuple(jnp.pad(a, (0, padding)).reshape(-1, min(_BLOCK, count)) for a in (values, weights, fixed))
    zero = jnp.zeros(bins, dtype)
    (path, choices, square, linear), _ = lax.scan(body, (zero, zero, jnp.zeros((bins, bins), dtype), zero), blocks)
    total, total_w = jnp.sum(fixed), jnp.sum(weights)
    path, ratio = path / total, choices / total_w
    value = path + count / (count - 1) * (ratio - path)
    r = lax.stop_gradient(path)
    squares = jnp.sum(fixed**2)
    covariance = (square - jnp.outer(r, linear) - jnp.outer(linear, r) + squares * jnp.outer(r, r)) / total**2
    if density:
        widths = jnp.asarray(np.diff(bounds), dtype)
        value, covariance = value / widths, covariance / jnp.outer(widths, widths)
    used = jnp.zeros((), dtype) if method == "count" else h
    return Histogram(e, value, covariance, used, density, method)
