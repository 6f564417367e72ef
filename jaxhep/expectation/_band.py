"""An expectation with its band of variations, all from one sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Scalar
from ._histogram import check_edges
from ._mean import check_events


class Band(eqx.Module):
    """A mean, or the bins of a histogram, and the same under variations of the parameters of the same events.

    **Fields** (shape () for a mean, (bin,) for a histogram)

    - `value`, `error`: of the sample as it was made, and its Monte Carlo standard error.
    - `varied`: name → value under the variation; `shift_error`: name → error of (varied − value), which knows that the
      events are the same.
    - `effective`: name → \\((\\sum w)^2/(N\\sum w^2)\\), the fraction of the events that the weighted sample is worth.
      Below about 0.1 make a sample at the varied values instead: its N events are worth more than ten times these.
    - `edges`: bin edges, or None.
    """

    value: Float[Array, "*bin"]
    error: Float[Array, "*bin"]
    varied: dict[str, Float[Array, "*bin"]]
    shift_error: dict[str, Float[Array, "*bin"]]
    effective: dict[str, Scalar]
    edges: Float[np.ndarray, " edge"] | None

    def envelope(self, names: Sequence[str] | None = None) -> tuple[Float[Array, "*bin"], Float[Array, "*bin"]]:
        """Lowest and highest of `value` and the variations `names` (default: all), bin by bin.

        **Raises** `ValueError` for a variation that was not made.
        """
        chosen = list(self.varied) if names is None else list(names)
        for name in chosen:
            if name not in self.varied:
                raise ValueError(f"no variation {name!r}; there are: {', '.join(self.varied)}")
        rows = jnp.stack([self.value, *(self.varied[name] for name in chosen)])
        return jnp.min(rows, axis=0), jnp.max(rows, axis=0)

    def __repr__(self) -> str:
        worth = ", ".join(f"{name}: {100 * float(share):.0f} %" for name, share in self.effective.items())
        if self.value.ndim:
            return f"Band({self.value.size} bins; worth of the events under {worth})"
        low, high = self.envelope()
        shown = f"{float(self.value):.6g} ± {float(self.error):.2g}"
        return f"Band({shown}, from {float(low):.6g} to {float(high):.6g}; worth of the events under {worth})"


def band(
    values: Float[Array, " event"],
    variations: Mapping[str, Float[Array, " event"]],
    weights: Float[Array, " event"] | None = None,
    *,
    edges: Any = None,
    density: bool = False,
) -> Band:
    r"""The expectation of an observable, or its histogram, with the band of parameter variations, from one sample.

    \(\hat E_v=\sum_iw_{v,i}f_i/\sum_iw_{v,i}\) for each variation; for the bins of a histogram f is the indicator. The
    shift \(\hat E_v-\hat E\) has the error \(\{\sum_i[w_{v,i}(f_i-\hat E_v)/W_v-w_i(f_i-\hat E)/W]^2\}^{1/2}\), W the
    sums of weights: the events are the same, so that it is much smaller than the errors of both. Nothing here carries a
    derivative.

    **Arguments**

    - `values`: f or x, shape (event,).
    - `variations`: name → weights (event,), as `simulator.generate_variations` gives them.
    - `weights`: those of the sample itself; default 1.
    - `edges`: bin edges of a histogram; None for the mean. What lies outside counts in the normalisation only.
    - `density`: divide by the bin widths.

    **Returns** a `Band`.

    **Raises** `ValueError` for bad edges, shapes that do not fit, or weights of a variation that add up to nothing.

    >>> import jax.numpy as jnp
    >>> from jaxhep.expectation import band
    >>> band(jnp.array([1.0, 2.0, 3.0]), {"up": jnp.array([0.9, 1.0, 1.1])})
    Band(2 ± 0.47, from 2 to 2.06667; worth of the events under up: 99 %)
    """
    if values.ndim != 1:
        raise ValueError(f"values must have shape (event,), got {values.shape}")
    if not variations:
        raise ValueError("variations is empty; name at least one, with its weights")
    count = values.shape[0]
    x = np.asarray(values)
    own = np.asarray(check_events(values, weights), float)
    if edges is None:
        bounds, scale = None, np.ones(())
        place = np.zeros(count, int)
        f = x.astype(float)
        size = 1
    else:
        bounds = check_edges(edges)
        size = bounds.size - 1
        scale = 1 / np.diff(bounds) if density else np.ones(size)
        place = np.searchsorted(bounds, x, side="right") - 1
        place = np.where((place >= 0) & (place < size), place, size)
        f = np.ones(count)

    def total(terms: np.ndarray) -> np.ndarray:
        """Sum of terms in each bin, over all events for a mean."""
        return np.bincount(place, terms, minlength=size + 1)[:size]

    def spread(a: np.ndarray, b: np.ndarray, ra: np.ndarray, rb: np.ndarray) -> np.ndarray:
        """Σ [a (f − r_a) − b (f − r_b)]² in each bin, with f = 0 outside of it."""
        c = a - b
        # The square of c f − (a r_a − b r_b), term by term.
        cross = ra * total(c * f * a) - rb * total(c * f * b)
        rest = ra**2 * np.sum(a * a) - 2 * ra * rb * np.sum(a * b) + rb**2 * np.sum(b * b)
        return np.maximum(total((c * f) ** 2) - 2 * cross + rest, 0)

    unit = own / own.sum()
    value = total(unit * f)
    varied, shifts, effective = {}, {}, {}
    zero = np.zeros(count)
    for name, given in variations.items():
        w = np.asarray(check_events(values, given), float)
        if not w.sum() > 0:
            raise ValueError(
                f"the weights of {name!r} add up to {w.sum():g}: this variation is out of the events' reach"
            )
        part = w / w.sum()
        varied[name] = total(part * f)
        shifts[name] = np.sqrt(spread(part, unit, varied[name], value))
        effective[name] = jnp.asarray(1 / (count * np.sum(part**2)))
    error = np.sqrt(spread(unit, zero, value, np.zeros(size)))

    def form(array: np.ndarray) -> Array:
        return jnp.asarray(array[0] if bounds is None else array * scale)

    return Band(
        form(value),
        form(error),
        {name: form(array) for name, array in varied.items()},
        {name: form(array) for name, array in shifts.items()},
        effective,
        bounds,
    )


__all__ = ["Band", "band"]
