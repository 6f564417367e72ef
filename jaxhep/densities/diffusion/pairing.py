r"""Pairing noise with events within a batch by optimal transport.

Paths become straighter when each event meets noise near to it (A. Tong et al., arXiv:2302.00482), and entropic plans
make a Schrödinger bridge of bridge matching (arXiv:2307.03672). Two traps:

- Across different conditions pairing makes the noise depend on c, and samples of p(x|c), which start from noise that
  does not, come out biased. So noise is exchanged between events of **equal condition** only; with a continuous
  condition no two are equal, and nothing is exchanged.
- With event weights that depend on x, exchanging makes the **weighted** noise no longer normal. An entropic plan whose
  rows have the weights as their sums keeps it normal; a permutation is for events without weights.
"""

import dataclasses
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float, Int, Key, Scalar
from ...noise import normal

_FORBIDDEN = 1e12


def transport_cost(
    x: Float[Array, "event dim"], y: Float[Array, "event dim"], condition: Float[Array, "event condition"] | None = None
) -> Float[Array, "event event"]:
    r"""\(|x_i-y_j|^2/2\), and 10¹² where the conditions of events i and j differ."""
    cost = jnp.sum((x[:, None] - y[None]) ** 2, axis=-1) / 2
    if condition is None:
        return cost
    same = jnp.all(condition[:, None] == condition[None], axis=-1)
    return jnp.where(same, cost, _FORBIDDEN)


def exact_pairing(cost: Float[Array, "event event"]) -> Int[Array, " event"]:
    """The permutation of least cost (the Hungarian method of SciPy, on the host): event i takes noise j = result[i].

    Works in compiled code; there is no gradient.

    >>> import jax.numpy as jnp
    >>> from jaxhep.densities.diffusion import exact_pairing
    >>> exact_pairing(jnp.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [1, 0]
    """

    def assign(table: Any) -> np.ndarray:
        from scipy.optimize import linear_sum_assignment

        return linear_sum_assignment(np.asarray(table, float))[1].astype(np.int32)

    shape = jax.ShapeDtypeStruct(cost.shape[:1], jnp.int32)
    result: Array = jax.pure_callback(assign, shape, jax.lax.stop_gradient(cost), vmap_method="sequential")
    return result


def entropic_plan(
    cost: Float[Array, "event other"],
    epsilon: Scalar | float,
    masses: Float[Array, " event"] | None = None,
    num_iterations: int = 100,
) -> Float[Array, "event other"]:
    r"""The plan that minimises \(\langle P,C\rangle+\varepsilon\sum P\ln P\) with rows of sum `masses` and equal
    columns.

    Sinkhorn's iterations with logarithms (M. Cuturi, arXiv:1306.0895; G. Peyré, M. Cuturi, arXiv:1803.00567, section
    4.4). It ends with a step for the columns: their sums are exact, those of the rows nearly.

    **Arguments**: `cost` C; `epsilon` ε, in units of the cost; `masses`: positive, default equal; `num_iterations`.

    **Returns** P, of sum one. Differentiable through the iterations.
    """
    rows, columns = cost.shape
    a = jnp.full(rows, -jnp.log(rows)) if masses is None else jnp.log(masses / jnp.sum(masses))
    b = jnp.full(columns, -jnp.log(columns))
    scaled = -cost / epsilon

    def step(g: Array, _: None) -> tuple[Array, None]:
        f = a - jax.nn.logsumexp(scaled + g[None], axis=1)
        return b - jax.nn.logsumexp(scaled + f[:, None], axis=0), None

    g, _ = jax.lax.scan(step, jnp.zeros(columns, scaled.dtype), None, length=num_iterations)
    f = a - jax.nn.logsumexp(scaled + g[None], axis=1)
    g = b - jax.nn.logsumexp(scaled + f[:, None], axis=0)
    return jnp.exp(scaled + f[:, None] + g[None])


def entropic_pairing(key: Key, plan: Float[Array, "event other"]) -> Int[Array, " event"]:
    """One column for each row, drawn with the plan's probabilities."""
    positive = plan > 0
    return jax.random.categorical(key, jnp.where(positive, jnp.log(jnp.where(positive, plan, 1.0)), -jnp.inf), axis=1)


@final
@dataclasses.dataclass(frozen=True)
class PairedLoss:
    r"""The weighted loss of a batch whose noise is paired with its events; a `batch_loss` for `jaxhep.training.fit`.

    Works for any density whose `loss_noise` is a dict with the uniforms `start` of the noise at the far end of the path
    (`Diffusion`, `MeanFlow`, `SchroedingerBridge`).

    **Arguments**

    - `method`: `"exact"`, a permutation, for events without weights; `"entropic"`, a draw from the entropic plan with
      the weights as its rows' sums, for weights that are not negative (events of weight zero are left out).
    - `epsilon`: ε of the entropic plan: for the Schrödinger bridge of diffusion ε the cost |x − y|²/2 has this ε; for
      flow matching the smaller the straighter (0.05 by default, for standardised columns).
    - `conditional`, `x`, `condition`: columns of the data, as for `jaxhep.training.density_loss`.

    **Raises** `ValueError` for an unknown method or an ε that is not positive.

    >>> from jaxhep.densities.diffusion import PairedLoss
    >>> PairedLoss("entropic", epsilon=0.1).method
    'entropic'
    """

    method: str = "exact"
    epsilon: float = 0.05
    conditional: bool = False
    x: str = "x"
    condition: str = "c"
    num_iterations: int = 50

    def __post_init__(self) -> None:
        """Checks the fields."""
        if self.method not in ("exact", "entropic"):
            raise ValueError(f"method must be 'exact' or 'entropic', got {self.method!r}")
        if not self.epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {self.epsilon}")

    def __call__(self, model: Any, batch: Any, weights: Array, key: Key) -> Scalar:
        """Σ w ℓ with paired noise."""
        x = batch[self.x]
        condition = batch[self.condition] if self.conditional else None
        first, second = jax.random.split(key)
        noise = jax.vmap(model.loss_noise)(jax.random.split(first, x.shape[0]))
        place = self.pair(second, x, normal(noise["start"]), condition, weights)
        noise = noise | {"start": noise["start"][place]}
        losses = jax.vmap(model.loss, in_axes=(0, None if condition is None else 0, 0))(x, condition, noise)
        return jnp.sum(weights * losses)

    def pair(self, key: Key, x: Array, eps: Array, condition: Array | None, weights: Array) -> Array:
        """Which noise each event takes."""
        cost = transport_cost(x, eps, condition)
        if self.method == "exact":
            return exact_pairing(cost)
        # The rows that fill up a batch have weight zero; a share that is nothing keeps their logarithm finite.
        masses = jnp.maximum(weights, 1e-9 * jnp.max(weights))
        if condition is not None:
            # Noise stays within a condition: there the columns' sum must be that of the rows.
            same = jnp.all(condition[:, None] == condition[None], axis=-1).astype(masses.dtype)
            masses = masses / (same @ masses) * jnp.sum(same, axis=1)
        return entropic_pairing(key, entropic_plan(cost, self.epsilon, masses, self.num_iterations))


@final
@dataclasses.dataclass(frozen=True)
class StratifiedLoss:
    r"""The weighted loss of a batch whose times are spread evenly, \(t_i=(u+i/N)\bmod1\); a `batch_loss` for `fit`.

    Each time is still U(0,1), and independent of its event, while the noise of the batch's mean falls (D. Kingma et
    al., arXiv:2107.00630, appendix I.1). For densities whose `loss_noise` is a dict with the uniform `time`.

    **Arguments**: columns of the data, as for `jaxhep.training.density_loss`.
    """

    conditional: bool = False
    x: str = "x"
    condition: str = "c"

    def __call__(self, model: Any, batch: Any, weights: Array, key: Key) -> Scalar:
        """Σ w ℓ with even times."""
        x = batch[self.x]
        condition = batch[self.condition] if self.conditional else None
        count = x.shape[0]
        noise = jax.vmap(model.loss_noise)(jax.random.split(key, count))
        u = noise["time"]
        times = (u[0] + jnp.arange(count, dtype=u.dtype) / count) % 1
        tiny = jnp.finfo(u.dtype).eps
        noise = noise | {"time": jnp.clip(times, tiny, 1 - tiny)}
        losses = jax.vmap(model.loss, in_axes=(0, None if condition is None else 0, 0))(x, condition, noise)
        return jnp.sum(weights * losses)


__all__ = ["PairedLoss", "StratifiedLoss", "entropic_pairing", "entropic_plan", "exact_pairing", "transport_cost"]
