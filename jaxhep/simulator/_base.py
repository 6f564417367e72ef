"""The contract of a simulator, and simulators in a row."""

import abc
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Key, Noise
from ..event import Event


class AbstractSimulator(eqx.Module):
    r"""A map \(x = g(\theta, u)\) from parameters θ (the array leaves) and uniform noise u to an event.

    Subclasses hold physical numbers as arrays and sizes or choices as static fields, and implement `sample_noise` and
    `__call__` for **one** event; `jax.vmap` or `jaxhep.simulator.generate` make batches.

    **The reference.** Every discrete choice is made with the parameters of `reference` (by default the simulator's own,
    with the derivative stopped) and its probability ratio goes into `Event.weight`. With the default the weight is 1 in
    value and the score in derivative; with an explicit reference the same events are re-used, exactly, at other
    parameters.
    """

    @abc.abstractmethod
    def sample_noise(self, key: Key, dtype: Any = None) -> Noise:
        """Draws the noise of one event: a pytree of independent U(0,1) variates of the given dtype."""

    @abc.abstractmethod
    def __call__(
        self, noise: Noise, event: Event | None = None, *, reference: "AbstractSimulator | None" = None
    ) -> Any:
        """Maps noise (and the event of the stage before) to an event; a last stage, such as a detector, may answer
        with another type that has `weight` and `overflow`."""

    def rounds(self) -> tuple["AbstractSimulator", ...]:
        """The same simulator with growing array capacities, the last one this simulator itself.

        `generate` runs the first on every event and each next one only on the events that overflowed, so that short
        events do not pay for the capacity of long ones.
        """
        return (self,)


def same_structure(a: Any, b: Any) -> bool:
    """Whether two pytrees have the same structure."""
    structure: Any = jax.tree.structure(a)
    return bool(structure == jax.tree.structure(b))


SimulatorT = TypeVar("SimulatorT", bound=AbstractSimulator)


class Chain(AbstractSimulator):
    """Simulators in a row: each receives the event of the one before.

    >>> import jax
    >>> from jaxhep.matrix_elements import ElectroweakQQbar
    >>> from jaxhep.shower import DiscreteQCD
    >>> from jaxhep.simulator import Chain
    >>> chain = Chain(ElectroweakQQbar(), DiscreteQCD())
    >>> event = chain(chain.sample_noise(jax.random.key(0)))
    """

    stages: tuple[AbstractSimulator, ...]

    def __init__(self, *stages: AbstractSimulator):
        if not stages:
            raise ValueError("a Chain needs at least one simulator, e.g. Chain(ElectroweakQQbar(), DiscreteQCD())")
        for stage in stages:
            if not isinstance(stage, AbstractSimulator):
                raise TypeError(f"a Chain is made of simulators, not of {type(stage).__name__}")
        self.stages = stages

    def sample_noise(self, key: Key, dtype: Any = None) -> Noise:
        """A tuple with the noise of each stage; stage i uses the key `fold_in(key, i)`."""
        return tuple(stage.sample_noise(jax.random.fold_in(key, i), dtype) for i, stage in enumerate(self.stages))

    def __call__(
        self, noise: Noise, event: Event | None = None, *, reference: "AbstractSimulator | None" = None
    ) -> Any:
        """Runs the stages in order; their weights multiply and their overflow flags add up."""
        if reference is not None and not isinstance(reference, Chain):
            raise TypeError(
                f"the reference of a Chain is a Chain of the same stages, not {type(reference).__name__}; make it with "
                "with_parameters(chain, {...})"
            )
        references = (None,) * len(self.stages) if reference is None else reference.stages
        for stage, stage_noise, stage_reference in zip(self.stages, noise, references, strict=True):
            event = stage(stage_noise, event, reference=stage_reference)
        assert event is not None
        return event

    def rounds(self) -> tuple["AbstractSimulator", ...]:
        """The rounds of the last stage, behind the same first stages."""
        return tuple(type(self)(*self.stages[:-1], last) for last in self.stages[-1].rounds())


def _leaf_names(simulator: AbstractSimulator) -> list[str]:
    """A name for each array leaf, in the order of flattening: the field's where that is unique, else the full path."""
    leaves = jax.tree_util.tree_leaves_with_path(simulator)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    fields = [path.rsplit(".", 1)[-1] for path in paths]
    return [field if fields.count(field) == 1 else path for path, field in zip(paths, fields, strict=True)]


def get_parameters(simulator: AbstractSimulator) -> dict[str, Array]:
    """The array leaves by name: the field's name where it is unique, else the full path (`stages.1.energy`).

    >>> from jaxhep.shower import DiscreteQCD
    >>> from jaxhep.simulator import get_parameters
    >>> sorted(get_parameters(DiscreteQCD()))
    ['energy', 'lambda_qcd']
    """
    return dict(zip(_leaf_names(simulator), jax.tree_util.tree_leaves(simulator), strict=True))


def check_names(simulator: AbstractSimulator, names: Iterable[str]) -> None:
    """Raises `ValueError` for a name that is not a parameter of the simulator."""
    known = _leaf_names(simulator)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"the simulator has no parameter {name!r}, it has {', '.join(sorted(known))}{hint}")


def with_parameters(simulator: SimulatorT, values: Mapping[str, Any]) -> SimulatorT:
    """A copy of the simulator with other parameter values, by name; differentiable in `values`.

    **Raises** `ValueError` for a name that the simulator does not have.

    >>> from jaxhep.shower import DiscreteQCD
    >>> from jaxhep.simulator import with_parameters
    >>> round(float(with_parameters(DiscreteQCD(), {"lambda_qcd": 0.25}).lambda_qcd), 6)
    0.25
    """
    check_names(simulator, values)
    leaves, treedef = jax.tree_util.tree_flatten(simulator)
    names = _leaf_names(simulator)
    new = [
        jnp.asarray(values[name], jnp.asarray(leaf).dtype) if name in values else leaf
        for name, leaf in zip(names, leaves, strict=True)
    ]
    return jax.tree_util.tree_unflatten(treedef, new)
