"""A run of the dipole shower that can be made again."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ..shower import DipoleShower
from ..simulator import AbstractSimulator, with_parameters
from .event_run import AbstractEventRun, EventRun

_MOVABLE = ("alpha_s", "scale_factor", "cutoff")


@dataclasses.dataclass(frozen=True)
class DipoleRun(AbstractEventRun):
    """A run of `DipoleShower` with gradients by weights.

    **Fields**: `num_events`; `energy`, `alpha_s`, `cutoff`, `scale_factor`, `loops`, `cmw`, `flavours`,
    `matrix_element`, `headroom` and `capacity` as in `DipoleShower`; `hard_process`: begin with `ElectroweakQQbar`
    instead of a quark along z; `seed`; `noise`.

    **Raises** `ValueError` at once for anything out of range.

    >>> from jaxhep.studies import DipoleRun
    >>> DipoleRun(num_events=10, cutoff=10.0).events(0, 10).weight.shape
    (10,)
    """

    parameter: ClassVar[str] = "alpha_s"
    symbol: ClassVar[str] = "α_s"
    unit: ClassVar[str] = ""
    shower_name: ClassVar[str] = "dipole"
    energy: float | int = 91.1876
    alpha_s: float | int = 0.118
    cutoff: float | int = 1.0
    scale_factor: float | int = 1.0
    loops: int = 2
    cmw: bool = False
    flavours: int = 5
    matrix_element: bool = False
    headroom: float | int = 2.0
    capacity: int = 20
    hard_process: bool = False
    seed: int = 1
    noise: Literal["random", "sobol"] = "random"

    def __post_init__(self) -> None:
        if self.num_events < 1:
            raise ValueError(f"num_events must be at least 1, got {self.num_events}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number from 0 to 2^63 − 1, got {self.seed}")
        if self.noise != "random":
            raise ValueError(
                "the dipole shower uses a stream of trials, which has no quasi-random form; use noise random"
            )
        self.shower()

    @property
    def start(self) -> tuple[float, bool, int, Literal["random", "sobol"]]:
        """See `AbstractEventRun`."""
        return float(self.energy), self.hard_process, self.seed, self.noise

    def shower(self) -> DipoleShower:
        """The shower alone."""
        return self._shower({})

    def _shower(self, values: Mapping[str, float]) -> DipoleShower:
        names = {field.name for field in dataclasses.fields(DipoleShower)} & set(self.metadata())
        own: dict[str, Any] = {name: getattr(self, name) for name in names}
        return DipoleShower(**{**own, **values})

    def simulator_at(self, values: float | Mapping[str, float]) -> AbstractSimulator:
        """The same simulator at another α_s(m_Z), or at other values by name (`alpha_s`, `scale_factor`, `cutoff`).

        **Raises** `ValueError` for values out of range.
        """
        moved = dict(values) if isinstance(values, Mapping) else {self.parameter: float(values)}
        unknown = [name for name in moved if name not in _MOVABLE]
        if unknown:
            raise ValueError(f"events of the dipole shower are moved in {', '.join(_MOVABLE)}, not in {unknown[0]}")
        self._shower(moved)  # refuses what is out of range
        return with_parameters(self.simulator(), moved)

    def metadata(self) -> dict[str, Any]:
        """What goes into the header of a file; says which shower it was."""
        return {**super().metadata(), "shower": self.shower_name}


def run_of(content: Mapping[str, Any]) -> type[EventRun] | type[DipoleRun]:
    """The kind of run that metadata or the configuration of a fit describe: those of Discrete QCD name no shower.

    **Raises** `ValueError` for a shower that is not known here.
    """
    kinds: dict[str, type[EventRun] | type[DipoleRun]] = {"discrete": EventRun, "dipole": DipoleRun}
    name = content.get("shower", "discrete")
    if name not in kinds:
        raise ValueError(f"its events are those of {name!r}, a shower that this version does not have")
    return kinds[name]


__all__ = ["DipoleRun", "run_of"]
