"""The objective contract, −2 ln L as a function of named parameters, and the sum of objectives."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxhep._types import Key
from jaxhep.inference.prediction import Prediction


class AbstractObjective(eqx.Module):
    """−2 ln L(θ) up to a constant, so that Δ = 1 bounds one standard deviation whatever the kind.

    Members are pure functions of the parameters; priors are not here but in the parameters.
    """

    @property
    @abstractmethod
    def num_data(self) -> int:
        """Number of independent measurements (bins)."""

    @abstractmethod
    def leaves(self) -> tuple["AbstractObjective", ...]:
        """The elementary objectives inside this one."""

    @abstractmethod
    def predict(self, parameters: Mapping[str, Any]) -> Prediction:
        """The prediction that is compared with the data."""

    @abstractmethod
    def value(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """−2 ln L(θ) up to a constant: what is minimised."""

    @abstractmethod
    def goodness(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """The χ²-like goodness of fit: distributed as χ² with `num_data` − free degrees of freedom."""

    @abstractmethod
    def sample(self, parameters: Mapping[str, Any], key: Key) -> "AbstractObjective":
        """The same objective with pseudo-data drawn at the given parameters."""


class CombinedObjective(AbstractObjective):
    """The sum of independent objectives; parameters of the same name are shared.

    −2 ln L(θ) = Σ_k (−2 ln L_k(θ)).

    Arguments:
        objectives: statistically independent objectives (a correlation between them belongs into one objective
            or into a nuisance parameter that both models use).

    Raises:
        ValueError: no objective given.
        TypeError: an entry is not an objective.
    """

    objectives: tuple[AbstractObjective, ...]

    def __init__(self, objectives: Sequence[AbstractObjective]):
        self.objectives = tuple(objectives)
        if not self.objectives:
            raise ValueError("CombinedObjective needs at least one objective")
        for entry in self.objectives:
            if not isinstance(entry, AbstractObjective):
                raise TypeError(f"CombinedObjective holds objectives, got {type(entry).__name__}")

    @property
    def num_data(self) -> int:
        """Sum over the members."""
        return sum(entry.num_data for entry in self.objectives)

    def leaves(self) -> tuple[AbstractObjective, ...]:
        """Elementary objectives, depth first."""
        return tuple(leaf for entry in self.objectives for leaf in entry.leaves())

    def predict(self, parameters: Mapping[str, Any]) -> Prediction:
        """The members' predictions one after the other (block-diagonal covariance)."""
        parts = [leaf.predict(parameters) for leaf in self.leaves()]
        sizes = [part.values.shape[0] for part in parts]
        covariance = jnp.zeros((sum(sizes), sum(sizes)))
        begin = 0
        for part, size in zip(parts, sizes, strict=True):
            if part.covariance is not None:
                covariance = covariance.at[begin : begin + size, begin : begin + size].set(part.covariance)
            begin += size
        return Prediction(jnp.concatenate([part.values for part in parts]), covariance)

    def value(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """Sum of the members' values."""
        return jnp.sum(jnp.stack([entry.value(parameters) for entry in self.objectives]))

    def goodness(self, parameters: Mapping[str, Any]) -> Float[Array, ""]:
        """Sum of the members' goodness of fit."""
        return jnp.sum(jnp.stack([entry.goodness(parameters) for entry in self.objectives]))

    def sample(self, parameters: Mapping[str, Any], key: Key) -> "CombinedObjective":
        """Each member with its own pseudo-data; member k uses `fold_in(key, k)`."""
        members = [entry.sample(parameters, jax.random.fold_in(key, k)) for k, entry in enumerate(self.objectives)]
        return eqx.tree_at(lambda tree: tree.objectives, self, tuple(members))


def combine(objectives: Sequence[AbstractObjective]) -> AbstractObjective:
    """The only objective, or the `CombinedObjective` of several."""
    return objectives[0] if len(objectives) == 1 else CombinedObjective(objectives)


__all__ = ["AbstractObjective", "CombinedObjective", "combine"]
