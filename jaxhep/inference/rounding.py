"""Numbers for people: rounding of a value and its error by the rule of the Particle Data Group."""

from math import floor, isfinite, log10


def digits_of_error(error: float) -> int:
    """Decimal places that the error deserves: two significant digits, one if its leading three are 355–949.

    Rule (Particle Data Group, Review of Particle Physics, introduction): leading three digits 100–354 keep two
    digits, 355–949 one, 950–999 are rounded up to 1000 with two digits.

    Arguments:
        error: > 0, any unit.

    Returns:
        Decimal places; negative for errors above 35.

    >>> digits_of_error(0.119), digits_of_error(0.367), digits_of_error(0.96)
    (2, 1, 1)
    """
    exponent = floor(log10(error))
    leading = round(error / 10.0**exponent * 100)
    if leading >= 1000:
        leading, exponent = 100, exponent + 1
    if leading <= 354:
        return 1 - exponent
    return -exponent


def round_pair(value: float, error: float) -> tuple[str, str]:
    """Value and error as text with the same number of decimals.

    Arguments:
        value: the central value.
        error: its error; 0, NaN or infinite means none.

    Returns:
        Two strings.

    >>> round_pair(0.827, 0.119), round_pair(0.827, 0.367), round_pair(12345.0, 678.0)
    (('0.83', '0.12'), ('0.8', '0.4'), ('12300', '700'))
    """
    if not isfinite(value) or not isfinite(error) or error <= 0:
        return f"{value:.6g}", "" if error == 0 else f"{error:.2g}"
    places = digits_of_error(error)
    if places > 8:
        exponent = floor(log10(max(abs(value), error)))
        shown = max(places + exponent, 0)
        return f"{value / 10.0**exponent:.{shown}f}e{exponent}", f"{error / 10.0**exponent:.{shown}f}e{exponent}"
    decimals = max(places, 0)
    return f"{round(value, places):.{decimals}f}", f"{round(error, places):.{decimals}f}"


__all__ = ["digits_of_error", "round_pair"]
