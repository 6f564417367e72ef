"""The convolutional U-Net of a picture in one, two or three dimensions."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from .._types import Array
from ._blocks import Architecture


class UNet(Architecture):
    r"""Down through `depth` levels, each half as fine and twice as wide, and up again with the levels joined.

    Ronneberger et al., arXiv:1505.04597, with residual blocks, group norm, and condition and time as scale and shift in
    each block (Ho et al., arXiv:2006.11239, appendix B). Any size is allowed: on the way up a level is enlarged to the
    size of its counterpart. `periodic` names the spatial axes that close into a circle (the azimuth of a calorimeter).
    """

    spatial_dims: int = 2
    groups: int = 8
    periodic: tuple[int, ...] = ()

    @nn.compact
    def __call__(
        self,
        x: Array,
        condition: Array | None = None,
        time: Array | None = None,
        mask: Array | None = None,
        deterministic: bool = True,
    ) -> Array:
        """One picture (*space, in_size) to (*space, out_size); a mask (*space) sets pixels to zero before and after."""
        if mask is not None:
            x = jnp.where(mask[..., None], x, 0)
        context = self.context(condition, time)
        if context is not None:
            context = self.act(self.dense(self.width, name="context")(context))
        h = self.convolve(x, self.width)
        levels = []
        for level in range(self.depth):
            h = self.block(h, self.width * 2**level, context, deterministic)
            levels.append(h)
            h = self.convolve(h, self.width * 2 ** (level + 1), stride=2)
        h = self.block(h, self.width * 2**self.depth, context, deterministic)
        for level, across in reversed(list(enumerate(levels))):
            h = jax.image.resize(h, (*across.shape[:-1], h.shape[-1]), "nearest")
            h = self.convolve(h, self.width * 2**level)
            h = self.block(jnp.concatenate([h, across], axis=-1), self.width * 2**level, context, deterministic)
        y = self.last(self.out_size)(self.act(self.normalise(h)))
        return y if mask is None else jnp.where(mask[..., None], y, 0)

    def convolve(self, x: Array, features: int, stride: int = 1) -> Array:
        """A 3×3 convolution; edges are padded with zeros, periodic axes with the other side."""
        n = self.spatial_dims
        for axis in self.periodic:
            # Wrapping does not work by jnp.pad in one call, since other axes are padded with zeros.
            x = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(n + 1)], mode="wrap")
        padding = [(0, 0) if a in self.periodic else (1, 1) for a in range(n)]
        dtype = jnp.dtype(self.dtype_name)
        return nn.Conv(features, (3,) * n, strides=(stride,) * n, padding=padding, param_dtype=dtype)(x)

    def normalise(self, x: Array) -> Array:
        """Group norm over space, for one event."""
        groups = max(g for g in range(1, self.groups + 1) if x.shape[-1] % g == 0)
        axes = tuple(range(-1 - self.spatial_dims, 0))
        return nn.GroupNorm(groups, reduction_axes=axes, param_dtype=jnp.dtype(self.dtype_name))(x)

    def block(self, x: Array, features: int, context: Array | None, deterministic: bool) -> Array:
        """Two convolutions around the scale and shift, beside a direct line."""
        zeros = nn.initializers.zeros_init()
        h = self.normalise(self.convolve(self.act(self.normalise(x)), features))
        if context is not None:
            scale, shift = jnp.split(self.dense(2 * features, kernel_init=zeros)(context), 2)
            h = (1 + scale) * h + shift
        h = self.convolve(self.drop(self.act(h), deterministic), features)
        return h + (x if x.shape[-1] == features else self.dense(features)(x))


__all__ = ["UNet"]
