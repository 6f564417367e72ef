"""A run of the shower that can be made again: everything that decides its events, and the events by number."""

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

import jax
import numpy as np

from ..event import Event
from ..matrix_elements import ElectroweakQQbar
from ..shower import DiscreteQCD
from ..simulator import AbstractSimulator, Chain, generate, with_parameters

_PROGRAM = "jaxhep shower"
_SOBOL_LIMIT = 50_000_000


RunT = TypeVar("RunT", bound="AbstractEventRun")


@dataclasses.dataclass(frozen=True)
class AbstractEventRun(abc.ABC):
    """The parameters and the seed that decide every event of a run; stored in the metadata of event files.

    **Fields**: `num_events`. Subclasses add those of a shower, `energy` in GeV, `hard_process`, `seed` and `noise`;
    `parameter` names the one that events are usually moved in, `symbol` and `unit` are for texts.
    """

    parameter: ClassVar[str]
    symbol: ClassVar[str]
    unit: ClassVar[str]
    num_events: int

    @property
    @abc.abstractmethod
    def start(self) -> tuple[float, bool, int, Literal["random", "sobol"]]:
        """Energy in GeV, whether the hard process comes first, seed, and kind of noise."""

    @abc.abstractmethod
    def shower(self) -> AbstractSimulator:
        """The shower alone."""

    @abc.abstractmethod
    def simulator_at(self, values: float | Mapping[str, float]) -> AbstractSimulator:
        """The same simulator at another value of `parameter`, or at other values of parameters by name.

        **Raises** `ValueError` where the stored events cannot be moved to.
        """

    @property
    def value(self) -> float:
        """The value of `parameter`."""
        return float(getattr(self, self.parameter))

    def simulator(self) -> AbstractSimulator:
        """The shower, behind the hard process if there is one."""
        shower, (energy, hard_process, *_) = self.shower(), self.start
        return Chain(ElectroweakQQbar(energy=energy), shower) if hard_process else shower

    def events(
        self,
        start: int,
        count: int,
        *,
        simulator: AbstractSimulator | None = None,
        reference: AbstractSimulator | None = None,
        compiled_size: int | None = None,
    ) -> Event:
        """The events start … start + count − 1.

        `simulator` and `reference` as in `generate` (default: the own one). `compiled_size`: simulate as many
        at once, so
        that a last, shorter batch needs no compilation of its own.
        """
        size = max(count, compiled_size or 0)
        _, _, seed, noise = self.start
        events = generate(
            self.simulator() if simulator is None else simulator,
            jax.random.key(seed),
            size,
            reference=reference,
            chunk_size=size,
            noise=noise,
            first_event=start,
        )
        return events if size == count else jax.tree.map(lambda leaf: np.asarray(leaf)[:count], events)

    def metadata(self) -> dict[str, Any]:
        """What goes into the header of a file; `num_events` is added by `stream_events`."""
        fields = dataclasses.asdict(self)
        del fields["num_events"]
        return {"program": _PROGRAM, **fields}

    @classmethod
    def from_metadata(cls: type[RunT], metadata: Mapping[str, Any], where: str = "this file") -> RunT:
        """The run that wrote this metadata.

        **Raises** `ValueError` if it was not written by `jaxhep shower`.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in metadata]
        if metadata.get("program") != _PROGRAM or missing:
            raise ValueError(
                f"{where} does not say how its events were made, so that their noise cannot be drawn again; "
                "write it with `jaxhep shower`"
            )
        return cls(**{name: metadata[name] for name in names})


@dataclasses.dataclass(frozen=True)
class EventRun(AbstractEventRun):
    """A run of Discrete QCD.

    **Fields**: `num_events`; `energy`, `lambda_qcd` in GeV; `mode`, `n_f`, `matrix_element`, `quark_colour` as in
    `DiscreteQCD`; `hard_process`: begin with `ElectroweakQQbar` instead of a quark along z; `lowest_lambda`: smallest Λ
    in GeV to which the events can be moved (default Λ/1.25; it sizes the arrays, and so the noise); `seed`; `noise`.

    **Raises** `ValueError` at once for anything out of range.

    >>> from jaxhep.studies.event_run import EventRun
    >>> EventRun(lambda_qcd=0.2, num_events=10).events(0, 10).weight.shape
    (10,)
    """

    parameter: ClassVar[str] = "lambda_qcd"
    symbol: ClassVar[str] = "Λ"
    unit: ClassVar[str] = "GeV"
    energy: float | int = 91.1876
    lambda_qcd: float | int = 0.2
    mode: Literal["smooth", "lattice"] = "smooth"
    n_f: int = 0
    matrix_element: bool = False
    quark_colour: Literal["C_A/2", "C_F"] = "C_A/2"
    hard_process: bool = False
    lowest_lambda: float | int | None = None
    seed: int = 1
    noise: Literal["random", "sobol"] = "random"

    def __post_init__(self) -> None:
        if self.num_events < 1:
            raise ValueError(f"num_events must be at least 1, got {self.num_events}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number from 0 to 2^63 − 1, got {self.seed}")
        if self.noise not in ("random", "sobol"):
            raise ValueError(f"noise must be 'random' or 'sobol', not {self.noise!r}")
        if self.lowest_lambda is not None and not 0 < self.lowest_lambda <= self.lambda_qcd:
            raise ValueError(
                f"lowest_lambda must lie between 0 and lambda_qcd = {self.lambda_qcd:g} GeV, got {self.lowest_lambda}"
            )
        variates = 3 * self.shower().layout.num_slots * self.num_events
        if self.noise == "sobol" and variates > _SOBOL_LIMIT:
            raise ValueError(
                f"quasi-random noise is held in memory at once, and {self.num_events} events need "
                f"{variates:.2g} numbers; "
                f"take at most {_SOBOL_LIMIT * self.num_events // variates} events, or noise 'random'"
            )

    @property
    def start(self) -> tuple[float, bool, int, Literal["random", "sobol"]]:
        """See `AbstractEventRun`."""
        return float(self.energy), self.hard_process, self.seed, self.noise

    def shower(self) -> DiscreteQCD:
        """The shower alone."""
        low = None if self.lowest_lambda is None else (float(self.lowest_lambda), float(self.energy))
        return DiscreteQCD(
            self.energy,
            self.lambda_qcd,
            self.mode,
            self.n_f,
            lambda_range=low,
            matrix_element=self.matrix_element,
            quark_colour=self.quark_colour,
        )

    def simulator_at(self, values: float | Mapping[str, float]) -> AbstractSimulator:
        """The same simulator at another Λ (GeV), within reach of the noise of this run.

        **Raises** `ValueError` where the stored events cannot be moved to.
        """
        moved = dict(values) if isinstance(values, Mapping) else {self.parameter: values}
        if set(moved) != {self.parameter}:
            raise ValueError(f"events of Discrete QCD are moved in lambda_qcd, not in {', '.join(moved)}")
        lambda_qcd = moved[self.parameter]
        low = self.shower().lambda_range[0]
        if not (math.isfinite(lambda_qcd) and 0 < lambda_qcd < self.energy):
            raise ValueError(f"lambda_qcd must lie between 0 and the energy {self.energy:g} GeV, got {lambda_qcd}")
        if lambda_qcd < low:
            raise ValueError(
                f"these events can be moved down to {low:.4g} GeV, not to {lambda_qcd:g}: their noise has no "
                f"variates for "
                f"the larger phase space; shower them again with --lowest-lambda {lambda_qcd:g}"
            )
        if self.mode == "lattice" and self.num_columns(lambda_qcd) != self.num_columns(self.lambda_qcd):
            raise ValueError(
                f"the lattice has N = {self.num_columns(self.lambda_qcd)} at {self.lambda_qcd:g} GeV and "
                f"{self.num_columns(lambda_qcd)} at {lambda_qcd:g} GeV, and events cannot be moved across this jump; "
                "use mode smooth, or shower again at the new Λ"
            )
        return with_parameters(self.simulator(), {"lambda_qcd": lambda_qcd})

    def num_columns(self, lambda_qcd: float) -> int:
        """N = ⌊ln(s/Λ²)/2δ⌋ of the lattice."""
        return num_columns(self.energy, lambda_qcd, self.n_f)


def num_columns(energy: float, lambda_qcd: float, n_f: int = 0) -> int:
    """N = ⌊ln(s/Λ²)/2δ⌋ with δ = 11/6 − n_f/9: the size of the Discrete-QCD lattice, which jumps with Λ.

    >>> num_columns(91.1876, 0.2)
    3
    """
    return math.floor(math.log(energy / lambda_qcd) / (11 / 6 - n_f / 9))


__all__ = ["AbstractEventRun", "EventRun", "num_columns"]
