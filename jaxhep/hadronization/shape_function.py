"""The shape-function model: hadronisation as a positive random shift, of order Λ/Q, of an event shape."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._types import Array, Float, Key, Scalar
from ..noise import uniforms
from ._gamma import erlang_cdf, gamma_cdf, inverse_gamma_cdf

COEFFICIENTS: dict[str, float] = {
    "thrust": -2.0,
    "one_minus_thrust": 2.0,
    "c_parameter": 3 * math.pi,
    "heavy_jet_mass": 1.0,
}
"""c_e of the mean shift c_e Ω₁/Q. `thrust` is T itself, which hadronisation lowers; `heavy_jet_mass` is ρ = M_H²/s."""

_RANGES = {
    "thrust": (0.5, 1.0),
    "one_minus_thrust": (0.0, 0.5),
    "c_parameter": (0.0, 1.0),
    "heavy_jet_mass": (0.0, 1.0),
}


class ShapeFunction(eqx.Module):
    r"""Adds the non-perturbative shift \(e\to e+c_e\,k/Q\), with \(k\) gamma-distributed with mean \(\Omega_1\), to
    an event shape.

    The density of \(k\) is \(k^{a-1}e^{-k/\theta}/(\Gamma(a)\theta^a)\), \(\theta=\Omega_1/a\): mean \(\Omega_1\),
    variance
    \(\Omega_1^2/a\). The coefficients \(c_e\) (`COEFFICIENTS`) are universal at leading power: 2 for \(1-T\),
    \(3\pi\) for \(C\),
    1 for \(\rho=M_H^2/s\). So the mean of \(1-T\) moves by \(2\Omega_1/Q\).

    **Arguments**

    - `omega_1`: \(\Omega_1>0\) in GeV, the first moment of the shape function; a leaf to be fitted. In the
      parton-level scheme of
      the shower it is used with: not to be compared with an \(\overline{\mathrm{MS}}\) or R-scheme value.
    - `energy`: \(Q=\sqrt s>0\) in GeV.
    - `shape`: \(a>1\). The default 3 is our choice: the density and its slope vanish at \(k=0\), so a smeared
      spectrum is
      smooth where the parton level ends, and the width is \(\Omega_1/\sqrt3\). Vary it to see what depends on it.

    **Raises** ValueError for values outside those ranges (if they are known before compilation).

    **The kinematic limit.** The shift does not know the upper end of the spectrum (1−T ≤ 1/2, C ≤ 1): a value may be
    pushed beyond
    it. Nothing is clipped or thrown back, so that the mean shift is exact and the derivative that of the stated
    density; a binning that
    ends at the limit loses what passed it (the sum of a column of `smearing_matrix` says how much; an outer edge of
    ±∞ keeps it). The
    model is one of the two-jet region: end the fit range well below the limit.

    **Gradient** pathwise in `omega_1`, `energy` and the parton-level value, implicit in `shape`; no weight is needed.

    Sources: Dokshitzer, Webber, hep-ph/9704298; Korchemsky, Tafat, hep-ph/0007005; Abbate et al., arXiv:1006.3080.
    The gamma form is
    ours, for simplicity.

    >>> import jax, jax.numpy as jnp
    >>> model = ShapeFunction(omega_1=0.4, energy=91.1876)
    >>> parton = jnp.asarray(0.05)                       # 1 − T before hadronisation
    >>> hadron = model(parton, model.sample_noise(jax.random.key(0)), observable="one_minus_thrust")
    >>> bool(hadron > parton)
    True
    >>> print(f"{model.mean_shift('one_minus_thrust'):.5f}")   # 2 Ω₁/Q
    0.00877
    """

    omega_1: Scalar
    energy: Scalar
    shape: Scalar

    def __init__(self, omega_1: ArrayLike = 0.35, energy: ArrayLike = 91.1876, shape: ArrayLike = 3.0) -> None:
        """See the class."""
        self.omega_1 = _leaf("omega_1", omega_1, 0.0, "Ω₁ is a positive energy in GeV, about 0.2 to 0.6")
        self.energy = _leaf("energy", energy, 0.0, "√s is a positive energy in GeV")
        self.shape = _leaf("shape", shape, 1.0, "the density of the shift has to vanish at zero; 3 is the default")

    def mean_shift(self, observable: str) -> Scalar:
        r"""The mean change \(c_e\,\Omega_1/Q\) of `observable` (a key of `COEFFICIENTS`), dimensionless."""
        return coefficient(observable) * self.omega_1 / self.energy

    def sample_noise(self, key: Key, dtype: Any = None) -> Scalar:
        """One U(0,1) variate, to be kept with the event, of the dtype of `omega_1` unless another is given."""
        return uniforms(key, (), self.omega_1.dtype if dtype is None else dtype)

    def __call__(self, value: Float[Array, ""], noise: Float[Array, ""], *, observable: str) -> Scalar:
        r"""The hadron-level value \(e+c_e\,k(u)/Q\) of one event.

        **Arguments**: `value`: parton-level event shape, a scalar; `noise`: \(u\) from `sample_noise`; `observable`:
        its name.

        **Returns** a scalar. One and the same `noise` may serve several observables: their shifts are then fully
        correlated.
        """
        scale = self.mean_shift(observable) / self.shape
        return value + scale * inverse_gamma_cdf(noise, self.shape)

    def smearing_matrix(
        self,
        edges: Float[Array | np.ndarray, " edge"],
        nodes: Float[Array | np.ndarray, " node"],
        observable: str,
        *,
        order: int | None = None,
    ) -> Float[Array, "edge-1 node"]:
        r"""Probability that a parton-level value at each node ends in each bin: the exact expectation of the random
        shift.

        \(M_{bn}=F\!\left(\frac{h_b-x_n}{s}\right)-F\!\left(\frac{l_b-x_n}{s}\right)\), \(s=c_e\Omega_1/(aQ)\), \(F\)
        the gamma
        distribution of shape \(a\), \([l_b,h_b)\) the bin. A hadron-level spectrum is `M @ g`, `g` the parton-level
        probability at the
        nodes (the centres of a fine histogram, or single events).

        **Arguments**

        - `edges`: bin edges, rising, inside the range of the observable; the outer two may be ±∞.
        - `nodes`: parton-level values.
        - `observable`: a key of `COEFFICIENTS`; `"thrust"` means that edges and nodes are values of T,
          `"one_minus_thrust"` of 1−T.
        - `order`: \(a\) again, if it is a whole number known beforehand: a closed form then takes the place of the
          incomplete gamma function, at a fraction of the time. The leaf `shape`, which must have this value, then
          has the derivative of the scale only.

        **Returns** the matrix (bins, nodes) in the widest dtype given: hand float64 over in a fit. A column sums to
        1 less what falls
        outside the edges.

        **Raises** ValueError for an unknown observable and for edges that do not rise or lie outside the range.

        **Gradient** exact and finite in `omega_1`, `energy`, `shape`, `edges` and `nodes`, also for bins that a node
        cannot reach.

        >>> import jax.numpy as jnp
        >>> edges, nodes = jnp.asarray([0.0, 0.1, jnp.inf]), jnp.asarray([0.02, 0.2])
        >>> matrix = ShapeFunction().smearing_matrix(edges, nodes, "one_minus_thrust")
        >>> print(matrix.round(3))
        [[1. 0.]
         [0. 1.]]
        """
        sign = 1.0 if coefficient(observable) > 0 else -1.0
        _check_edges(edges, observable)
        dtype = jnp.result_type(edges, nodes, self.omega_1)
        edges, nodes = jnp.asarray(edges, dtype), jnp.asarray(nodes, dtype)
        # With s < 0 (thrust) the roles of the edges swap; |s| and a flip keep the difference positive.
        scale = jnp.abs(self.mean_shift(observable)) / self.shape
        # Infinite edges are set apart before the division, whose derivative would be 0·∞ there.
        infinite = jnp.isinf(edges)
        distance = sign * (jnp.where(infinite, 0, edges)[:, None] - nodes[None, :])
        if order is None:
            below = gamma_cdf(self.shape.astype(dtype), distance / scale)
        else:
            below = erlang_cdf(_check_order(order, self.shape), distance / scale)
        below = jnp.where(infinite[:, None], (sign * edges > 0)[:, None].astype(dtype), below)
        return sign * (below[1:] - below[:-1])


def coefficient(observable: str) -> float:
    """The coefficient c_e of an observable by its name; ValueError with the known names if there is none."""
    if observable not in COEFFICIENTS:
        raise ValueError(
            f"the shape-function model knows no observable {observable!r}; "
            f"it has coefficients for {', '.join(COEFFICIENTS)}"
        )
    return COEFFICIENTS[observable]


def _is_known(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer)


def _leaf(name: str, value: ArrayLike, above: float, cure: str) -> Scalar:
    """`value` as a scalar float array; ValueError if it is known and not a finite number above the bound."""
    if _is_known(value):
        number = np.asarray(value)
        if number.shape != () or not np.isfinite(number) or not number > above:
            raise ValueError(f"{name} = {value} is not a finite number above {above:g}: {cure}")
    array = jnp.asarray(value)
    return array.astype(
        jnp.promote_types(array.dtype, jnp.float32) if array.weak_type is False else jnp.result_type(float)
    )


def _check_order(order: int, shape: Any) -> int:
    """`order` if it can be the shape; ValueError otherwise."""
    if isinstance(order, bool) or not isinstance(order, int) or not 2 <= order <= 100:
        raise ValueError(f"order must be a whole number from 2 to 100, got {order!r}")
    if _is_known(shape) and float(shape) != order:
        raise ValueError(f"order = {order} must equal the shape, which is {float(shape):g}")
    return order


def _check_edges(edges: Any, observable: str) -> None:
    if not _is_known(edges):
        return
    values = np.asarray(edges)
    if values.size < 2 or np.any(np.isnan(values)) or np.any(np.diff(values) <= 0):
        raise ValueError("bin edges must be at least two numbers, each larger than the one before")
    low, high = _RANGES[observable]
    finite = values[np.isfinite(values)]
    slack = 1e-6
    if np.any(finite < low - slack) or np.any(finite > high + slack):
        other = {
            "thrust": "; for 1−T the name is 'one_minus_thrust'",
            "one_minus_thrust": "; for T the name is 'thrust'",
        }
        raise ValueError(
            f"bin edges from {finite.min():g} to {finite.max():g} do not fit {observable}, "
            f"which lies in [{low:g}, {high:g}]" + other.get(observable, "")
        )
