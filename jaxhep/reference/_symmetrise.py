"""The rule by which asymmetric errors become symmetric ones."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

Asymmetric = Literal["average", "larger", "error"]
"""`average`: (|up| + |down|)/2; `larger`: the larger of the two; `error`: refuse errors whose sides differ."""


def symmetrise(down: np.ndarray, up: np.ndarray, rule: str, fail: Callable[[str], Exception]) -> np.ndarray:
    """Symmetric sizes from the two sides of an error; `fail` makes the exception when the rule refuses them."""
    if rule not in get_args(Asymmetric):
        raise ValueError(f"asymmetric must be one of {list(get_args(Asymmetric))}, got {rule!r}.")
    down, up = np.abs(down), np.abs(up)
    if rule == "error" and not np.allclose(down, up, rtol=1e-6, atol=0):
        raise fail("has asymmetric errors; choose asymmetric='average' or 'larger' to make them symmetric")
    return np.maximum(down, up) if rule == "larger" else 0.5 * (down + up)


__all__ = ["Asymmetric", "symmetrise"]
