"""Fit parameters: what the user states about each number of the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, isnan
from typing import Any

from jaxhep.inference.priors import Gaussian


@dataclass(frozen=True)
class Parameter:
    """One parameter of a fit.

    Arguments:
        name: the key under which the model finds it.
        value: start value, in `unit`.
        lower: lower bound, or `None` for none. With one bound the minimiser works in u with
            θ = lower ± s (√(1 + u²/s²) − 1), with two in θ = mid + half·sin(u/half): smooth, one-to-one near the start,
            and the bound is reached at finite u (Minuit's transformations, scaled so that u has the unit of θ).
        upper: upper bound, or `None` for none.
        prior: a `Gaussian` constraint, or `None`.
        fixed: hold the parameter at `value`.
        label: name for tables and plots (LaTeX allowed); default the name.
        unit: unit for tables and plots.

    Raises:
        ValueError: a number is not finite, the bounds are in the wrong order, or the start value is outside them.

    >>> Parameter("lambda_qcd", 0.2, lower=0.05, upper=0.5, unit="GeV").value
    0.2
    """

    name: str
    value: float | int
    lower: float | int | None = None
    upper: float | int | None = None
    prior: Gaussian | None = None
    fixed: bool = False
    label: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a parameter needs a name (a non-empty string), got {self.name!r}")
        object.__setattr__(self, "value", float(self.value))
        for side in ("lower", "upper"):
            bound = getattr(self, side)
            if bound is None:
                continue
            if isnan(float(bound)):
                raise ValueError(f"parameter {self.name!r}: {side} bound is NaN; give a number or None")
            object.__setattr__(self, side, float(bound) if isfinite(float(bound)) else None)
        if not isfinite(self.value):
            raise ValueError(f"parameter {self.name!r}: start value {self.value} is not finite")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"parameter {self.name!r}: lower bound {self.lower} is not below upper bound {self.upper}")
        below = self.lower is not None and self.value < self.lower
        above = self.upper is not None and self.value > self.upper
        if below or above:
            raise ValueError(
                f"parameter {self.name!r}: start value {self.value} is outside its bounds [{self.lower}, {self.upper}]"
            )
        if not self.label:
            object.__setattr__(self, "label", self.name)

    def replaced(self, **changes: Any) -> "Parameter":
        """A copy with some fields changed.

        >>> Parameter("a", 1.0).replaced(fixed=True).fixed
        True
        """
        return replace(self, **changes)


def check_parameters(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The parameters as a tuple, after the checks that need all of them.

    Arguments:
        parameters: at least one free parameter, names all different.

    Returns:
        The same parameters.

    Raises:
        TypeError: an entry is not a `Parameter`.
        ValueError: none at all, none free, or a name given twice.
    """
    parameters = tuple(parameters)
    for entry in parameters:
        if not isinstance(entry, Parameter):
            raise TypeError(f"expected Parameter objects, got {type(entry).__name__}: write Parameter(name, value)")
    names = [entry.name for entry in parameters]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"parameter names given twice: {', '.join(twice)}; each name may appear once")
    if not any(not entry.fixed for entry in parameters):
        raise ValueError("no free parameter to fit: give at least one Parameter with fixed=False")
    return parameters


__all__ = ["Parameter", "check_parameters"]
