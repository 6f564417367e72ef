"""Networks of one event, by name: Flax Linen architectures behind one Equinox adapter."""

from jaxhep.networks._adapter import Network, count_parameters
from jaxhep.networks._presets import list_presets, make_network
from jaxhep.networks.embeddings import fourier_features, sinusoidal_embedding

__all__ = ["Network", "count_parameters", "fourier_features", "list_presets", "make_network", "sinusoidal_embedding"]
