"""What a metric returns: a number, its error, and what it would be if the two samples were alike."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np

from .._types import Float, Scalar


class Metric(eqx.Module):
    """A distance between samples with its error and its finite-sample floor.

    **Fields**

    - `value`: the metric.
    - `error`: its standard error for the samples at hand.
    - `floor`: what the metric gives on average for two samples of these sizes and weights from one distribution.
    - `floor_spread`: the standard deviation of that.

    >>> import jax.numpy as jnp
    >>> from jaxhep.metrics import Metric
    >>> Metric(*(jnp.asarray(a) for a in (0.5, 0.02, 0.1, 0.04)))
    Metric(0.5 ± 0.02, floor 0.1 ± 0.04)
    """

    value: Scalar | Float[np.ndarray, ""]
    error: Scalar | Float[np.ndarray, ""]
    floor: Scalar | Float[np.ndarray, ""]
    floor_spread: Scalar | Float[np.ndarray, ""]

    @property
    def significance(self) -> float:
        """(value − floor)/spread of the floor: how many standard deviations above what equal samples give."""
        spread, above = float(self.floor_spread), float(self.value) - float(self.floor)
        return above / spread if spread > 0 else float(np.inf * np.sign(above)) if above else 0.0

    def to_dict(self) -> dict[str, float]:
        """The four numbers and the significance as JSON values."""
        names = ("value", "error", "floor", "floor_spread", "significance")
        return {name: float(getattr(self, name)) for name in names}

    def __repr__(self) -> str:
        value, error, floor, spread = (float(a) for a in (self.value, self.error, self.floor, self.floor_spread))
        return f"Metric({value:.4g} ± {error:.2g}, floor {floor:.2g} ± {spread:.2g})"


def metric_table(metrics: Mapping[str, Metric]) -> str:
    """A Markdown table of metrics by name: value, error, floor and significance.

    >>> import jax.numpy as jnp
    >>> from jaxhep.metrics import Metric, metric_table
    >>> print(metric_table({"W1": Metric(*(jnp.asarray(a) for a in (0.5, 0.02, 0.1, 0.04)))}))
    | metric | value | floor | above floor |
    |---|---|---|---|
    | W1 | 0.5 ± 0.02 | 0.1 ± 0.04 | 10.0σ |
    """
    rows: list[str] = ["| metric | value | floor | above floor |", "|---|---|---|---|"]
    for name, metric in metrics.items():
        a: Any = metric.to_dict()
        pairs = f"{a['value']:.4g} ± {a['error']:.2g} | {a['floor']:.2g} ± {a['floor_spread']:.2g}"
        rows.append(f"| {name} | {pairs} | {a['significance']:.1f}σ |")
    return "\n".join(rows)


__all__ = ["Metric", "metric_table"]
