"""What is known of a column of the data."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Column:
    """A column and the map that takes it to the real line, before it is standardised.

    Make one with `real`, `positive`, `bounded` or `discrete`.

    **Fields**: `kind`, one of these four; `low`, `high`, the ends of its range; `margin`, share of the range.
    """

    kind: str
    low: float = 0.0
    high: float = 1.0
    margin: float = 0.0


def real() -> Column:
    """Any real number: only standardised.

    >>> real().kind
    'real'
    """
    return Column("real")


def positive(low: float = 0.0) -> Column:
    r"""A number above `low`: \(\ln(x-a)\).

    >>> positive(1.0).low
    1.0
    """
    if not math.isfinite(low):
        raise ValueError(f"the lower end of a positive column must be finite, got {low}")
    return Column("positive", float(low), math.inf)


def bounded(low: float, high: float, margin: float = 1e-3) -> Column:
    r"""A number between a and b: the logit \(\ln\frac{x-a'}{b'-x}\) with \(a'=a-m(b-a)\), \(b'=b+m(b-a)\).

    With a margin the ends themselves may occur, and the density extends by m(b − a) beyond them; with 0 it is a density
    on (a, b), and the data must not touch the ends.

    **Arguments**: `low` a, `high` b with a < b; `margin` m, at least 0.

    >>> bounded(0.0, 1.0).margin
    0.001
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"a bounded column needs finite low < high, got [{low}, {high}]")
    if not 0 <= margin < 1:
        raise ValueError(f"margin is a share of the range from 0 to 1, got {margin}")
    return Column("bounded", float(low), float(high), float(margin))


def discrete() -> Column:
    """A whole number: U(−½, ½) is added in the loss, and draws are rounded.

    >>> discrete().kind
    'discrete'
    """
    return Column("discrete")


__all__ = ["Column", "bounded", "discrete", "positive", "real"]
