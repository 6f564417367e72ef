"""Checks of the data, on the host, before anything compiles: each refusal names cause and cure."""

from typing import Any

import jax
import numpy as np


def few(indices: Any, most: int = 6) -> str:
    """The first few of many numbers."""
    shown = ", ".join(str(int(i)) for i in indices[:most])
    return shown if len(indices) <= most else f"{shown}, … ({len(indices)} in all)"


def check_column(name: str, values: Any, source: str = "", first: int = 0) -> np.ndarray:
    """`values` as an array of rows: real numbers in JAX's default type, whole numbers and Booleans as they are.

    **Raises** `TypeError` if they are no numbers, `ValueError` for no rows, NaN or infinity, naming the rows.
    """
    where = f"column {name!r}" + (f" of {source}" if source else "")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{where} is no array of numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{where} holds {array.dtype}, not numbers; encode it as numbers first")
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{where} has no rows (shape {array.shape}); the first axis counts events")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        array = array.astype(jax.dtypes.canonicalize_dtype(float))
    bad = ~np.isfinite(array.reshape(len(array), -1))
    if np.any(bad):
        rows = np.flatnonzero(bad.any(axis=1))
        inner = "" if array.ndim == 1 else f" (component {few(np.flatnonzero(bad.any(axis=0)))})"
        raise ValueError(
            f"{where} is not finite in {len(rows)} of {len(array)} rows{inner}, first in rows {few(rows + first)}; "
            "remove or repair these rows (values beyond 3.4e38 do not fit float32)"
        )
    return array


def check_weights(weights: Any, num_rows: int) -> np.ndarray:
    """Event weights as float64, ones for None.

    **Raises** `ValueError` if there is not one a row, one is not finite, or their sum is not above zero.
    """
    if weights is None:
        return np.ones(num_rows)
    array = np.asarray(weights, np.float64)
    if array.shape != (num_rows,):
        raise ValueError(f"weights must have shape ({num_rows},), one an event, got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"the weights are not finite in {bad.size} rows, first in rows {few(bad)}; remove these rows")
    total, size = float(array.sum()), float(np.abs(array).sum())
    if not total > 1e-9 * size:
        raise ValueError(
            f"the weights sum to {total:.3g} (of {size:.3g} in absolute value): the mean Σwℓ/Σw needs a sum above "
            "zero; check the weights, or the selection that removed the positive ones"
        )
    return array


__all__ = ["check_column", "check_weights", "few"]
