"""Densities through a latent code: variational autoencoders and latent diffusion."""

from .beta_vae import ParametrisedVAE
from .latent_diffusion import LatentDiffusion, LearnedSchedule
from .transport import AbstractReconstruction, SinkhornDistance, SquaredError, sinkhorn_cost
from .vae import VAE, active_units, gaussian_divergence, train_with_warm_up

__all__ = [
    "VAE",
    "AbstractReconstruction",
    "LatentDiffusion",
    "LearnedSchedule",
    "ParametrisedVAE",
    "SinkhornDistance",
    "SquaredError",
    "active_units",
    "gaussian_divergence",
    "sinkhorn_cost",
    "train_with_warm_up",
]
