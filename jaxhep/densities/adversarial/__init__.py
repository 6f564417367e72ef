"""Generative adversarial networks as conditional densities without a likelihood."""

from .gan import ConditionalGAN, PlayerLoss

__all__ = ["ConditionalGAN", "PlayerLoss"]
