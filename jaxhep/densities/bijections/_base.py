"""The contract of an invertible map."""

import abc

import equinox as eqx

from ..._types import Array, Float, Scalar
from .._base import Condition


class AbstractBijection(eqx.Module):
    r"""An invertible map \(y=f(x;c)\) of one real vector, with \(\ln|\det\partial y/\partial x|\).

    `forward` goes from the base towards the data, the way of a draw; `inverse` goes back, the way of a density. Both
    return the logarithm of their **own** Jacobian determinant, so that the two sum to zero at one point.

    **Fields**: `dim`, the size of x and y; `condition_dim`, the size of c, 0 without condition.
    """

    dim: eqx.AbstractVar[int]
    condition_dim: eqx.AbstractVar[int]

    @abc.abstractmethod
    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        r"""y = f(x; c) and \(\ln|\det\partial y/\partial x|\)."""

    @abc.abstractmethod
    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        r"""x = f⁻¹(y; c) and \(\ln|\det\partial x/\partial y|\)."""


def common_condition(condition_dims: list[int]) -> int:
    """The one condition size of several maps, of which some may have none.

    **Raises** `ValueError` if two maps want conditions of different sizes.
    """
    wanted = sorted({size for size in condition_dims if size > 0})
    if len(wanted) > 1:
        raise ValueError(f"all maps of a chain share one condition, but they want sizes {wanted}")
    return wanted[0] if wanted else 0


__all__ = ["AbstractBijection", "common_condition"]
