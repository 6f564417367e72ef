"""Linear maps that mix columns: permutations and the LU form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._types import Array, Float, Int, Key, Scalar
from .._arguments import check_sizes
from .._base import Condition
from .._fields import LEARNED
from ._base import AbstractBijection


class Permutation(AbstractBijection):
    r"""\(y_i=x_{\pi(i)}\); the determinant is ±1.

    The order is an integer array, no static field, so that layers with different orders stack into one scan.

    **Arguments**: `order` π, shape (dim,), each of 0 … dim − 1 once.

    >>> import jax.numpy as jnp
    >>> Permutation([2, 0, 1]).forward(jnp.array([1.0, 2.0, 3.0]))[0].tolist()
    [3.0, 1.0, 2.0]
    """

    order: Int[Array, " dim"]
    inverse_order: Int[Array, " dim"]
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, order: "Int[Array, ' dim'] | np.ndarray | list[int] | tuple[int, ...]"):
        host = np.asarray(order)
        if host.ndim != 1 or sorted(host.tolist()) != list(range(host.size)):
            raise ValueError(f"order holds each of 0 … dim − 1 once, got {host.tolist()}")
        self.order = jnp.asarray(host, jnp.int32)
        self.inverse_order = jnp.asarray(np.argsort(host), jnp.int32)
        self.dim, self.condition_dim = int(host.size), 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """x in the order π, and 0."""
        return x[self.order], jnp.zeros((), x.dtype)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """y in the order π⁻¹, and 0."""
        return y[self.inverse_order], jnp.zeros((), y.dtype)


def _solve_unit_lower(matrix: Float[Array, "dim dim"], y: Float[Array, " dim"]) -> Float[Array, " dim"]:
    """x with L x = y for a strictly lower triangular `matrix` = L − 1; plain array operations, no LAPACK."""

    def step(x: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
        i, coefficients = row
        return x.at[i].add(-(coefficients @ x)), None

    # Row i reads only the columns before it, which are final when it is reached.
    return lax.scan(step, y, (jnp.arange(y.shape[0]), matrix))[0]


class LULinear(AbstractBijection):
    r"""\(y=LUx+b\), with L unit lower and U upper triangular, \(U_{ii}=\mathrm e^{\lambda_i}\).

    The log-determinant is \(\sum\lambda_i\). The inverse is by substitution, row by row in plain array operations
    (`jaxhep/inference/positive_definite.py` says why LAPACK is avoided). A dense matrix behind a `Permutation` is the
    PLU form of D. Kingma and P. Dhariwal, arXiv:1807.03039, section 3.2.

    **Arguments**

    - `dim`: size of x.
    - `key`: random key of the entries off the diagonal.
    - `scale`: their spread; 0, the default, starts at the identity.

    >>> import jax, jax.numpy as jnp
    >>> y, log_det = LULinear(2, key=jax.random.key(0)).forward(jnp.array([1.0, 2.0]))
    >>> y.tolist(), float(log_det)
    ([1.0, 2.0], 0.0)
    """

    entries: Float[Array, "dim dim"] = eqx.field(metadata=LEARNED)
    log_diagonal: Float[Array, " dim"] = eqx.field(metadata=LEARNED)
    shift: Float[Array, " dim"] = eqx.field(metadata=LEARNED)
    dim: int = eqx.field(static=True)
    condition_dim: int = eqx.field(static=True)

    def __init__(self, dim: int, *, key: Key, scale: float = 0.0):
        check_sizes(dim=dim)
        self.entries = scale * jax.random.normal(key, (dim, dim))
        self.log_diagonal = jnp.zeros(dim)
        self.shift = jnp.zeros(dim)
        self.dim, self.condition_dim = dim, 0

    def forward(self, x: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """LUx + b and Σλ."""
        upper = jnp.triu(self.entries, 1) @ x + jnp.exp(self.log_diagonal) * x
        return upper + jnp.tril(self.entries, -1) @ upper + self.shift, jnp.sum(self.log_diagonal)

    def inverse(self, y: Float[Array, " dim"], condition: Condition = None) -> tuple[Float[Array, " dim"], Scalar]:
        """U⁻¹L⁻¹(y − b) and −Σλ."""
        upper = _solve_unit_lower(jnp.tril(self.entries, -1), y - self.shift)
        # U = D (1 + D⁻¹ U_strict): reversed in both axes it is unit lower triangular.
        diagonal = jnp.exp(-self.log_diagonal)
        strict = diagonal[:, None] * jnp.triu(self.entries, 1)
        x = _solve_unit_lower(strict[::-1, ::-1], (diagonal * upper)[::-1])[::-1]
        return x, -jnp.sum(self.log_diagonal)


__all__ = ["LULinear", "Permutation"]
