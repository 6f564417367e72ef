"""The table of event-shape observables: what the command line, fits and tests look up by name."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array


@dataclass(frozen=True)
class Observable:
    r"""An event-shape observable and what a fit or a plot must know about it.

    Attributes:
        name: the registry name.
        function: `function(momenta (particle, 4), mask (particle,)) -> scalar`, of one event.
        label: LaTeX label for plots, without dollar signs.
        bounds: smallest and largest value (None: unbounded above).
        infrared_safe: unchanged by soft emission and collinear splitting.
        power_coefficient: c in the universal mean shift c Ω_1/Q of non-perturbative origin (Dokshitzer, Webber,
            hep-ph/9704298), signed as the observable moves; None where no universal coefficient holds.
        vanishes_for_pencil: True where back-to-back jets give 0 (1 − T form), so that soft physics moves it up.
    """

    name: str
    function: Callable[..., Array]
    label: str
    bounds: tuple[float, float | None]
    infrared_safe: bool = True
    power_coefficient: float | None = None
    vanishes_for_pencil: bool = True

    def __call__(self, momenta: Array, mask: Array) -> Array:
        """Value for one event."""
        return self.function(momenta, mask)


OBSERVABLES: dict[str, Observable] = {}


def register(observable: Observable) -> Observable:
    """Add an observable to the table; a name can be taken once."""
    if observable.name in OBSERVABLES:
        raise ValueError(f"an observable named {observable.name!r} is registered already: choose another name")
    OBSERVABLES[observable.name] = observable
    return observable


def get_observable(name: str) -> Observable:
    """Look an observable up by name.

    Raises:
        ValueError: for an unknown name, with the closest known ones.

    >>> get_observable("thrust").label
    'T'
    """
    if name in OBSERVABLES:
        return OBSERVABLES[name]
    close = difflib.get_close_matches(str(name), OBSERVABLES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known names: {', '.join(OBSERVABLES)}"
    raise ValueError(f"unknown observable {name!r}; {hint}")
