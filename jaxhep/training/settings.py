"""How a model is trained."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Any

import jax

OPTIMISERS = ("adam", "amsgrad", "adabelief", "lion", "radam", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "exponential", "linear", "one_cycle")

PerLabel = float | Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    r"""The numbers and choices of a training; each learning rate, optimiser and weight decay can go by label.

    A value by label is a mapping from the labels of `trainable` to values; `"default"` serves labels not named.

    **Arguments**

    - `batch_size`: events a step, over all devices together.
    - `epochs`, `steps`: length of the training; exactly one of them (50 epochs if neither is given).
    - `learning_rate`: η, or by label.
    - `schedule`: factor on η over the training, by the share τ of steps done: `constant`; `cosine`
      \(\tfrac12(1+\cos\pi\tau)\); `linear` \(1-\tau\); `exponential` \(f^\tau\); `one_cycle` (from 1/10 up to 1 at τ =
      0.3, then by a cosine down; Smith, arXiv:1708.07120); or a function τ → factor in JAX.
    - `final_factor`: f, where the factor ends (`cosine`, `linear`, `one_cycle`: 0 by default; `exponential` needs it).
    - `warmup_steps`: steps over which η rises linearly before the schedule begins.
    - `optimiser`: `adam`, `amsgrad`, `adabelief`, `lion`, `radam`, `rmsprop`, `sgd`, or an
      `optax.GradientTransformation` (which then knows nothing of η but its scale), or by label.
    - `betas`: decay rates of the moments; (0.9, 0.999) as in Kingma and Ba, arXiv:1412.6980. For `sgd` the first is the
      momentum.
    - `weight_decay`: decoupled, θ ← θ − ηλθ (Loshchilov and Hutter, arXiv:1711.05101), or by label. Frozen leaves are
      not known to the optimiser and do not decay.
    - `clip_norm`: largest norm of the gradient of one objective; None for no clipping.
    - `ema`: decay d of the average \(\bar\theta\leftarrow d\bar\theta+(1-d)\theta\), with d at most (1+n)/(10+n) at
      step n; None for none.
    - `patience`: epochs without a better validation loss after which the training stops; None for never.
    - `min_improvement`: how much lower a validation loss must be to count as better.
    - `steps_per_call`: steps done on the device in one call (`lax.scan`); progress, checks and interrupts lie between.
    - `devices`: over how many devices, or which, the batch is split; None for JAX's default device.
    - `resident_bytes`: a data set up to this size is kept on the device; a larger one is sent chunk by chunk.

    **Raises** `ValueError` for a value out of range.

    >>> from jaxhep.training import TrainingSettings
    >>> TrainingSettings(batch_size=512, epochs=10, learning_rate={"flow": 1e-3, "scale": 1e-2}).epochs
    10
    """

    batch_size: int = 256
    epochs: int | None = None
    steps: int | None = None
    learning_rate: PerLabel = 1e-3
    schedule: str | Callable[[jax.Array], jax.Array] = "cosine"
    final_factor: float = 0.0
    warmup_steps: int = 0
    optimiser: Any = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: PerLabel = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    patience: int | None = None
    min_improvement: float = 0.0
    steps_per_call: int = 100
    devices: int | tuple[jax.Device, ...] | None = None
    resident_bytes: int = 2 * 1024**3

    def __post_init__(self) -> None:
        """Checks every value; 50 epochs if no length was given."""
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "epochs", 50)
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"give epochs or steps, not both: got epochs={self.epochs} and steps={self.steps}")
        for name in ("batch_size", "epochs", "steps", "steps_per_call", "patience"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a whole number from 1 on, got {value!r}")
        for name, low in (("learning_rate", 0.0), ("weight_decay", 0.0)):
            value = getattr(self, name)
            for label, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                if not isinstance(number, int | float) or not low <= number < float("inf"):
                    raise ValueError(f"{name}{' of ' + label if label else ''} must be a number ≥ 0, got {number!r}")
        if isinstance(self.schedule, str) and self.schedule not in SCHEDULES:
            raise ValueError(_unknown("schedule", self.schedule, SCHEDULES))
        if self.schedule == "exponential" and not 0 < self.final_factor <= 1:
            raise ValueError("the exponential schedule ends at final_factor, which must lie in (0, 1]; try 0.01")
        if not 0 <= self.final_factor <= 1:
            raise ValueError(f"final_factor must lie in [0, 1], got {self.final_factor}")
        if not isinstance(self.warmup_steps, int) or self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be a whole number from 0 on, got {self.warmup_steps!r}")
        named = self.optimiser.values() if isinstance(self.optimiser, Mapping) else [self.optimiser]
        for one in named:
            if isinstance(one, str) and one not in OPTIMISERS:
                raise ValueError(_unknown("optimiser", one, OPTIMISERS))
            if not isinstance(one, str) and not hasattr(one, "update"):
                raise TypeError(f"optimiser must be a name or an optax transformation, got {type(one).__name__}")
        object.__setattr__(self, "betas", tuple(self.betas))
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, got {self.clip_norm}; None for no clipping")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema is the decay of the average and lies in (0, 1), e.g. 0.999; got {self.ema}")
        if self.min_improvement < 0:
            raise ValueError(f"min_improvement must be at least 0, got {self.min_improvement}")

    def of_label(self, name: str, label: str) -> Any:
        """The value of `learning_rate`, `weight_decay` or `optimiser` for a label."""
        value = getattr(self, name)
        if not isinstance(value, Mapping):
            return value
        if label in value:
            return value[label]
        if "default" in value:
            return value["default"]
        raise ValueError(
            f"{name} has no value for the label {label!r}: it names {', '.join(value)}; add it or 'default'"
        )

    def check_labels(self, labels: set[str]) -> None:
        """Raises `ValueError` for a label that has no value, and for one that labels no leaf (a misspelling)."""
        for name in ("learning_rate", "weight_decay", "optimiser"):
            for label in sorted(labels):
                self.of_label(name, label)
            value = getattr(self, name)
            extra = set(value) - labels - {"default"} if isinstance(value, Mapping) else set()
            if extra:
                raise ValueError(
                    f"{name} names the label {sorted(extra)[0]!r}, which no trained leaf has; there are "
                    f"{', '.join(sorted(labels))}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; functions and optax transformations by their repr."""
        answer = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Mapping):
                value = {k: v if isinstance(v, str | int | float) else repr(v) for k, v in value.items()}
            elif isinstance(value, tuple):
                value = [v if isinstance(v, int | float) else str(v) for v in value]
            elif value is not None and not isinstance(value, str | int | float):
                value = getattr(value, "__qualname__", None) or type(value).__name__
            answer[field.name] = value
        return answer


def _unknown(what: str, name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"there is no {what} {name!r}, there are {', '.join(known)}{hint}"


__all__ = ["OPTIMISERS", "SCHEDULES", "TrainingSettings"]
