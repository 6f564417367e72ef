"""From deposited to read-out energy: saturation, gains, miscalibration, noise, threshold."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._types import Array, Float, Key, Noise, Scalar
from ...noise import normal, uniforms
from ._checks import not_negative, positive, real


class Readout(eqx.Module):
    r"""The electronics of the cells, in this order; whatever is None is off.

    1. saturation \(E\to S(1-e^{-E/S})\);
    2. gains: \(E\to g_{cell}\,(1+\sigma_{cell}z_{cell})(1+\sigma_{event}z)\,E\), a constant term of the resolution;
    3. noise: \(E\to E+\sigma z_{cell}\), the 1/E term;
    4. threshold: E where E > E₀, else 0. With `threshold_width` δ: \(E/(1+e^{-(E-E_0)/\delta})\).

    All z are standard normal.

    **Arguments** (and fields, all leaves)

    - `saturation`: S in GeV, positive, a scalar.
    - `gains`: g of this one detector, shape of the cells (layer, a, b).
    - `cell_miscalibration`: σ_cell, not negative: drawn for each cell and event, as if each event met another detector
      of the same quality; for one given detector use `gains`.
    - `event_miscalibration`: σ_event, not negative, common to all cells.
    - `noise`: σ in GeV a cell, not negative; scalar or (layer,).
    - `threshold`: E₀ in GeV, not negative.
    - `threshold_width`: δ in GeV, positive; only with a threshold.

    **Gradient** pathwise. The hard threshold has none from cells that cross it: differentiate with a width (a
    surrogate: report the width), or take `occupancy`, which is exact. Report numbers with the hard one.

    **Raises** `ValueError` for numbers out of range.

    >>> from jaxhep.detector.calorimeter import Readout
    >>> readout = Readout(noise=0.001, threshold=0.003)
    """

    saturation: Scalar | None
    gains: Float[Array, "layer a b"] | None
    cell_miscalibration: Scalar | None
    event_miscalibration: Scalar | None
    noise: Float[Array, "*layer"] | None
    threshold: Scalar | None
    threshold_width: Scalar | None

    def __init__(
        self,
        *,
        noise: Any = None,
        threshold: Any = None,
        threshold_width: Any = None,
        cell_miscalibration: Any = None,
        event_miscalibration: Any = None,
        gains: Any = None,
        saturation: Any = None,
    ):
        if threshold_width is not None and threshold is None:
            raise ValueError("threshold_width makes a threshold smooth: give the threshold too")

        def given(value: Any, check: Any, name: str, unit: str, *shapes: Any) -> Any:
            return None if value is None else check(name, value, unit, *shapes)

        self.noise = given(noise, not_negative, "noise", "GeV", ((), (None,)))
        self.threshold = given(threshold, not_negative, "threshold", "GeV")
        self.threshold_width = given(threshold_width, positive, "threshold_width", "GeV")
        self.cell_miscalibration = given(cell_miscalibration, not_negative, "cell_miscalibration", "")
        self.event_miscalibration = given(event_miscalibration, not_negative, "event_miscalibration", "")
        self.saturation = given(saturation, positive, "saturation", "GeV")
        self.gains = None if gains is None else real("gains", gains, ((None, None, None),))

    def sample_noise(self, key: Key, shape: tuple[int, ...], dtype: Any = None) -> Noise:
        """Uniforms for what is on: a dict with "noise" and "cell_gain" of the cells' shape, and "event_gain"."""
        wanted = {
            "noise": shape if self.noise is not None else None,
            "cell_gain": shape if self.cell_miscalibration is not None else None,
            "event_gain": () if self.event_miscalibration is not None else None,
        }
        return {
            name: uniforms(jax.random.fold_in(key, i), size, dtype)
            for i, (name, size) in enumerate(wanted.items())
            if size is not None
        }

    def before_threshold(self, energies: Float[Array, "layer a b"], noise: Noise) -> Float[Array, "layer a b"]:
        """Saturation, gains and noise."""
        cells = self._gained(energies, noise)
        if self.noise is not None:
            cells = cells + normal(noise["noise"]) * _by_layer(self.noise)
        return cells

    def __call__(self, energies: Float[Array, "layer a b"], noise: Noise) -> Float[Array, "layer a b"]:
        """The energies read out, in GeV, from the energies deposited; `noise` from `sample_noise`."""
        cells = self.before_threshold(energies, noise)
        if self.threshold is None:
            return cells
        if self.threshold_width is None:
            return jnp.where(cells > self.threshold, cells, 0)
        return cells * jax.nn.sigmoid((cells - self.threshold) / self.threshold_width)

    def occupancy(self, energies: Float[Array, "layer a b"], noise: Noise) -> Float[Array, "layer a b"]:
        r"""The probability that each cell passes the hard threshold, given its energy: the noise integrated out.

        \(\Phi((E-E_0)/\sigma)\), with E after saturation and gains. Its mean over events is the mean of the hard
        indicator, and so is its derivative: the density at the threshold, with no smoothing beyond the noise that the
        detector has.

        **Raises** `ValueError` without a threshold or without noise.
        """
        if self.threshold is None or self.noise is None:
            raise ValueError("the occupancy needs a threshold and noise to integrate over: Readout(noise=, threshold=)")
        margin = self._gained(energies, noise) - self.threshold
        width = _by_layer(self.noise)
        return jax.scipy.stats.norm.cdf(margin / jnp.where(width > 0, width, jnp.finfo(margin.dtype).tiny ** 0.25))

    def _gained(self, energies: Array, noise: Noise) -> Array:
        cells = energies
        if self.saturation is not None:
            cells = -self.saturation * jnp.expm1(-cells / self.saturation)
        if self.gains is not None:
            cells = cells * self.gains
        if self.cell_miscalibration is not None:
            cells = cells * (1 + self.cell_miscalibration * normal(noise["cell_gain"]))
        if self.event_miscalibration is not None:
            cells = cells * (1 + self.event_miscalibration * normal(noise["event_gain"]))
        return cells


def _by_layer(value: Array) -> Array:
    return value if value.ndim == 0 else value[:, None, None]


__all__ = ["Readout"]
