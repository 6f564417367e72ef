"""Priors: constraint terms on parameters."""

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian constraint: adds ((θ − mean)/width)² to −2 ln L and one measurement to the degrees of freedom.

    Arguments:
        mean: centre, in the unit of the parameter.
        width: standard deviation, > 0, in the unit of the parameter.

    Raises:
        ValueError: a number is not finite or the width is not positive.

    >>> Gaussian(0.0, 1.0)
    Gaussian(mean=0.0, width=1.0)
    """

    mean: float | int = 0.0
    width: float | int = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", float(self.mean))
        object.__setattr__(self, "width", float(self.width))
        if not (isfinite(self.mean) and isfinite(self.width)):
            raise ValueError(f"a Gaussian prior needs finite numbers, got mean={self.mean}, width={self.width}")
        if self.width <= 0:
            raise ValueError(
                f"a Gaussian prior needs a width above 0, got {self.width}; to hold a parameter use fixed=True"
            )


__all__ = ["Gaussian"]
