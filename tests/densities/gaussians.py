"""Exact fields of a normal distribution, in place of trained networks."""

import equinox as eqx
import jax.numpy as jnp

from jaxhep.densities.diffusion import EDM, FlowMatching, VariancePreserving
from jaxhep.densities.diffusion.paths import AbstractPath

PULL = 5.2
PATHS = {"edm": EDM, "vp": VariancePreserving, "flow_matching": FlowMatching}


class ExactField(eqx.Module):
    """The network of a path whose data are N(mean, Q diag(width²) Qᵀ), plus a disturbance linear in x, t and a
    constant, with which a loss can be differentiated at its minimum."""

    mean: jnp.ndarray
    width: jnp.ndarray
    path: AbstractPath
    axes: jnp.ndarray
    disturbance: jnp.ndarray

    def __init__(self, path, mean, width, axes=None):
        self.path, self.mean, self.width = path, jnp.asarray(mean), jnp.asarray(width)
        self.axes = jnp.eye(self.mean.shape[0]) if axes is None else jnp.asarray(axes)
        self.disturbance = jnp.zeros(3)

    def place(self, scaled, clock):
        """(x_t, t) of what the network is shown."""
        if isinstance(self.path, EDM):
            t = jnp.exp(4 * clock)
            return scaled * jnp.sqrt(t**2 + self.path.sigma_data**2), t
        return scaled, clock

    def __call__(self, scaled, condition=None, *, time):
        x, t = self.place(scaled, time)
        alpha, sigma = self.path.levels(t)
        total = alpha**2 * self.width**2 + sigma**2
        gap = self.axes.T @ (x - alpha * self.mean)
        clean = self.mean + self.axes @ (alpha * self.width**2 / total * gap)
        noise = self.axes @ (sigma / total * gap)
        a, b, c = self.disturbance
        return self.path.target(clean, noise, t) + a + b * scaled + c * time


def flow_map(path, x, start, end, mean, width, axes=None):
    """Where the probability flow takes x from one time to another: each axis scales with √(α²s² + σ²)."""
    axes = jnp.eye(x.shape[0]) if axes is None else axes
    (a, s), (b, r) = path.levels(start), path.levels(end)
    ratio = jnp.sqrt((b**2 * width**2 + r**2) / (a**2 * width**2 + s**2))
    return b * mean + axes @ (ratio * (axes.T @ (x - a * mean)))


class ExactMeanFlow(eqx.Module):
    """The mean velocity of flow matching to N(mean, width²), with the same disturbance; the last column of the
    condition is t − r."""

    mean: jnp.ndarray
    width: jnp.ndarray
    disturbance: jnp.ndarray

    def __init__(self, mean, width):
        self.mean, self.width, self.disturbance = jnp.asarray(mean), jnp.asarray(width), jnp.zeros(3)

    def __call__(self, z, condition, *, time):
        t, length = time, condition[-1]
        path, r = FlowMatching(), time - length
        apart = length > 1e-6
        moved = flow_map(path, z, t, r, self.mean, self.width)
        total = (1 - t) ** 2 * self.width**2 + t**2
        gap = z - (1 - t) * self.mean
        local = gap * (t - (1 - t) * self.width**2) / total - self.mean
        a, b, c = self.disturbance
        return jnp.where(apart, (z - moved) / jnp.where(apart, length, 1.0), local) + a + b * z + c * t


class ExactBridge(eqx.Module):
    """The network of a `SchroedingerBridge` for jointly normal ends: x ~ N(mean, width²), y ~ N(0,1), with a
    covariance."""

    mean: jnp.ndarray
    width: jnp.ndarray
    covariance: jnp.ndarray
    diffusion: jnp.ndarray
    disturbance: jnp.ndarray

    def __init__(self, mean, width, covariance, diffusion):
        arrays = (jnp.asarray(a) for a in (mean, width, covariance, diffusion))
        self.mean, self.width, self.covariance, self.diffusion = arrays
        self.disturbance = jnp.zeros(3)

    def __call__(self, x, condition=None, *, time):
        t, epsilon = time, self.diffusion
        along = (1 - t) * self.width**2 + t * self.covariance
        total = (1 - t) ** 2 * self.width**2 + t**2 + 2 * t * (1 - t) * self.covariance + epsilon * t * (1 - t)
        clean = self.mean + along / total * (x - (1 - t) * self.mean)
        a, b, c = self.disturbance
        return (x - clean) / jnp.sqrt(2 * t**2 + epsilon * t * (1 - t)) + a + b * x + c * t
