r"""A number as a vector of waves: what a network needs to resolve a time, a noise level or an angle."""

import jax.numpy as jnp

from .._types import Array, Float, Scalar


def fourier_features(
    x: Float[Array, ""] | float, num_features: int, lowest: float = 0.25, highest: float = 16.0
) -> Float[Array, " feature"]:
    r"""\((\sin2\pi f_kx,\cos2\pi f_kx)_k\) with frequencies \(f_k\) in geometric progression.

    For arguments of order one: a time in [0, 1], or \(\tfrac14\ln\sigma\). The frequencies are constants of the
    program, not leaves, so that no optimiser can move them (Tancik et al., arXiv:2006.10739, eq. 5, with fixed in place
    of random frequencies).

    **Arguments**

    - `x`: the number.
    - `num_features`: size of the result, even.
    - `lowest`, `highest`: first and last frequency; 0.25 makes the slowest wave one-to-one on [−1, 1].

    **Returns** the features, all sines first. The gradient with respect to `x` is exact and at most \(2\pi f\).

    >>> from jaxhep.networks import fourier_features
    >>> fourier_features(0.0, 4).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    half = _half(num_features)
    x = jnp.asarray(x)
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
    ratio = jnp.arange(half, dtype=x.dtype) / max(half - 1, 1)
    angle = 2 * jnp.pi * lowest * (highest / lowest) ** ratio * x
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)])


def sinusoidal_embedding(
    x: Float[Array, ""] | float, num_features: int, scale: float = 1000.0, period: float = 10_000.0
) -> Float[Array, " feature"]:
    r"""\((\sin sx\,p^{-k/(K-1)},\cos sx\,p^{-k/(K-1)})_k\): the embedding of transformers and of most diffusion models.

    **Arguments**

    - `x`: a time in [0, 1].
    - `num_features`: 2K, even.
    - `scale`: s, so that a time in [0, 1] spreads over 1000 positions.
    - `period`: p, the ratio of the fastest to the slowest wave.

    **Returns** the features, all sines first (Vaswani et al., arXiv:1706.03762, section 3.5).
    """
    half = _half(num_features)
    x = jnp.asarray(x)
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
    ratio = jnp.arange(half, dtype=x.dtype) / max(half - 1, 1)
    angle = scale * x * period**-ratio
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)])


def embed(kind: str, x: Scalar, num_features: int) -> Float[Array, " feature"]:
    """The embedding called `fourier` or `sinusoidal`."""
    if kind == "fourier":
        return fourier_features(x, num_features)
    return sinusoidal_embedding(x, num_features)


def _half(num_features: int) -> int:
    if num_features < 2 or num_features % 2:
        raise ValueError(f"num_features must be an even number from 2 on (sines and cosines), got {num_features}")
    return num_features // 2


__all__ = ["embed", "fourier_features", "sinusoidal_embedding"]
