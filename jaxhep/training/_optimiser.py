"""The optimiser of one objective, built inside the compiled program from traced rates."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .settings import TrainingSettings


def direction(name: Any, betas: tuple[float, float]) -> optax.GradientTransformation:
    """The part of an optimiser that turns a gradient into a direction, before any rate."""
    first, second = betas
    if name == "adam":
        return optax.scale_by_adam(first, second)
    if name == "amsgrad":
        return optax.scale_by_amsgrad(first, second)
    if name == "adabelief":
        return optax.scale_by_belief(first, second)
    if name == "lion":
        return optax.scale_by_lion(first, second)
    if name == "radam":
        return optax.scale_by_radam(first, second)
    if name == "rmsprop":
        return optax.scale_by_rms(second)
    if name == "sgd":
        return optax.trace(first) if first > 0 else optax.identity()
    return name


def make_optimiser(
    settings: TrainingSettings, labels: dict[str, str], hyper: dict[str, Any] | None, step: Any, total: Any
) -> optax.GradientTransformation:
    """The optimiser of the leaves in `labels` (path → label) at `step` of `total`.

    Rates and lengths come from `hyper` as traced numbers: other values do not compile again. For `init` they are not
    needed, and None will do.
    """
    parts = {}
    factor = 1.0 if hyper is None else schedule_factor(settings, hyper, step, total)
    for label in sorted(set(labels.values())):
        chain = [direction(settings.of_label("optimiser", label), settings.betas)]
        rate = 0.0 if hyper is None else hyper["learning_rate"][label] * factor
        decay = 0.0 if hyper is None else hyper["weight_decay"][label]
        parts[label] = optax.chain(*chain, optax.add_decayed_weights(decay), optax.scale(-rate))
    return optax.multi_transform(parts, labels)


def hyper_of(settings: TrainingSettings, labels: set[str]) -> dict[str, Any]:
    """The numbers of the settings that are traced."""
    return {
        "learning_rate": {label: float(settings.of_label("learning_rate", label)) for label in sorted(labels)},
        "weight_decay": {label: float(settings.of_label("weight_decay", label)) for label in sorted(labels)},
        "final_factor": float(settings.final_factor),
        "warmup_steps": float(settings.warmup_steps),
        "clip_norm": math.inf if settings.clip_norm is None else float(settings.clip_norm),
        "ema": 0.0 if settings.ema is None else float(settings.ema),
    }


def schedule_factor(settings: TrainingSettings, hyper: dict[str, Any], step: Any, total: Any) -> Any:
    """The factor on the learning rate at `step` (from 0) of `total`."""
    warm, last = hyper["warmup_steps"], hyper["final_factor"]
    step = jnp.asarray(step, float)
    share = jnp.clip((step - warm) / jnp.maximum(total - warm, 1), 0, 1)
    rise = jnp.clip((step + 1) / (warm + 1), 0, 1)
    if callable(settings.schedule):
        return rise * settings.schedule(share)
    if settings.schedule == "constant":
        factor = jnp.ones_like(share)
    elif settings.schedule == "linear":
        factor = 1 - (1 - last) * share
    elif settings.schedule == "exponential":
        factor = last**share
    elif settings.schedule == "cosine":
        factor = last + (1 - last) * (1 + jnp.cos(jnp.pi * share)) / 2
    else:
        up = 0.1 + 0.9 * share / 0.3
        down = last + (1 - last) * (1 + jnp.cos(jnp.pi * (share - 0.3) / 0.7)) / 2
        factor = jnp.where(share < 0.3, up, down)
    return rise * factor


def clip(gradient: Any, norm: jax.Array, largest: jax.Array) -> Any:
    """The gradient, shortened to the largest norm allowed."""
    scale = jnp.where(norm > largest, largest / jnp.where(norm > 0, norm, 1), 1)
    return jax.tree.map(lambda g: g * scale.astype(g.dtype), gradient)


__all__ = ["clip", "hyper_of", "make_optimiser", "schedule_factor"]
