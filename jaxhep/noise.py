r"""Uniform variates, drawn once and kept, and the maps from them to other distributions.

Noise is a pytree of independent U(0,1) variates. `uniforms` and `stream` draw it from a key; `sobol` replaces it by
scrambled quasi-random numbers; `normal`, `exponential` and `categorical` turn it into draws whose derivative with
respect to the parameters is pathwise or, for a discrete choice, carried by a weight.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import threefry_2x32

from ._types import Array, Float, Int, Key, Scalar


def uniforms(key: Key, shape: Sequence[int], dtype: jax.typing.DTypeLike | None = None) -> Array:
    r"""Independent variates of U(0,1), never exactly 0 or 1.

    One Threefry-2x32 block gives two 32-bit words. A float32 variate is \((n+\tfrac12)2^{-23}\) with the upper 23 bits
    of a word, a float64 variate \((n+\tfrac12)2^{-52}\) with 52 bits of two words. `jax.random.uniform` computes one
    block
    per 32-bit word and may return 0; for keys of another kind than Threefry it is used here all the same.

    **Arguments**

    - `key`: JAX random key, typed or raw.
    - `shape`: shape of the result.
    - `dtype`: float32 or float64; by default JAX's current default.

    **Returns** an array of `shape` in the open interval (0, 1). There is no gradient: noise is a constant.

    >>> import jax
    >>> from jaxhep.noise import uniforms
    >>> uniforms(jax.random.key(0), (2, 3)).shape
    (2, 3)
    """
    dtype = jnp.dtype(jax.dtypes.canonicalize_dtype(float if dtype is None else dtype))
    if dtype not in (jnp.float32, jnp.float64):
        raise TypeError(f"noise is drawn in float32 or float64, not {dtype.name}; pass dtype=jnp.float32")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if str(jax.random.key_impl(key)) not in ("threefry2x32", "fry"):
            tiny = jnp.finfo(dtype).eps / 4
            return jax.random.uniform(key, tuple(shape), dtype, minval=tiny, maxval=1 - tiny)
        key = jax.random.key_data(key)
    count = int(np.prod(shape, dtype=np.int64))
    double = dtype == jnp.float64
    blocks = count if double else (count + 1) // 2
    words = threefry_2x32(key, jnp.arange(2 * blocks, dtype=jnp.uint32))
    if double:
        high, low = words[:blocks].astype(jnp.uint64), words[blocks:].astype(jnp.uint64)
        mantissa = (high << 20) | (low >> 12)
        values = (mantissa.astype(dtype) + 0.5) * 2.0**-52
    else:
        values = ((words[:count] >> 9).astype(dtype) + 0.5) * np.float32(2.0**-23)
    return values.reshape(tuple(shape))


def stream(key: Key, length: int, width: int, dtype: jax.typing.DTypeLike | None = None) -> Array:
    r"""Independent variates of U(0,1) in rows, of which a longer stream has the same first ones.

    As `uniforms`, with the number of the block as the counter of Threefry: row r does not depend on `length`, so that a
    loop whose number of steps is not known beforehand can be run again with more steps and repeats what it did.

    **Arguments**

    - `key`: JAX random key, typed or raw; of another kind than Threefry, each row costs one `fold_in`.
    - `length`, `width`: number of rows and variates in a row.
    - `dtype`: float32 or float64; by default JAX's current default.

    **Returns** an array (length, width) in the open interval (0, 1). There is no gradient: noise is a constant.

    >>> import jax
    >>> from jaxhep.noise import stream
    >>> bool((stream(jax.random.key(0), 3, 4) == stream(jax.random.key(0), 5, 4)[:3]).all())
    True
    """
    dtype = jnp.dtype(jax.dtypes.canonicalize_dtype(float if dtype is None else dtype))
    if dtype not in (jnp.float32, jnp.float64):
        raise TypeError(f"noise is drawn in float32 or float64, not {dtype.name}; pass dtype=jnp.float32")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if str(jax.random.key_impl(key)) not in ("threefry2x32", "fry"):
            return jax.vmap(lambda row: uniforms(jax.random.fold_in(key, row), (width,), dtype))(jnp.arange(length))
        key = jax.random.key_data(key)
    double = dtype == jnp.float64
    blocks = width if double else (width + 1) // 2
    counter = jnp.arange(length * blocks, dtype=jnp.uint32)
    # The second word is one that `uniforms` reaches at no size in use: both may share a key.
    words = threefry_2x32(key, jnp.concatenate([counter, jnp.full_like(counter, 0xFFFFFFFF)]))
    first, second = words[: length * blocks], words[length * blocks :]
    if double:
        high, low = first.astype(jnp.uint64), second.astype(jnp.uint64)
        return ((((high << 20) | (low >> 12)).astype(dtype) + 0.5) * 2.0**-52).reshape(length, width)
    rows = jnp.concatenate([part.reshape(length, blocks) for part in (first, second)], axis=1)[:, :width]
    return ((rows >> 9).astype(dtype) + 0.5) * np.float32(2.0**-23)


def sobol(num_points: int, dimension: int, seed: int, dtype: jax.typing.DTypeLike = np.float32) -> np.ndarray:
    r"""Scrambled Sobol points in place of independent uniforms.

    Owen's linear matrix scrambling with a digital shift (SciPy's `qmc.Sobol`; J. Matoušek, J. Complexity 14 (1998)
    527). Each point is U(0,1)^d, so means stay unbiased; the error falls faster than \(1/\sqrt N\) for smooth
    integrands, and is
    found from independent scrambles, not from the spread of one sample.

    **Arguments**

    - `num_points`: number of points; a power of two keeps the balance of the net.
    - `dimension`: 1 to 21201, the number of variates of one event.
    - `seed`: seed of the scrambling.

    **Returns** a NumPy array (num_points, dimension) in (0, 1).
    """
    from scipy.stats import qmc

    if not 1 <= dimension <= 21201:
        raise ValueError(
            f"Sobol points exist for 1 to 21201 dimensions, the simulator needs {dimension}; use noise='random'"
        )
    bits = max(1, int(num_points - 1).bit_length())
    sampler = qmc.Sobol(dimension, scramble=True, rng=np.random.default_rng(seed), bits=max(32, bits))
    points = sampler.random_base2(bits)[:num_points]
    eps = float(np.finfo(dtype).eps) / 4
    return np.clip(points.astype(dtype), eps, 1 - 2 * eps)


def normal(u: Float[Array, "..."], mean: Array | float = 0.0, width: Array | float = 1.0) -> Float[Array, "..."]:
    r"""\(\mu+\sigma\sqrt2\,\mathrm{erf}^{-1}(2u-1)\): a normal variate; the gradient is pathwise in μ and σ."""
    return mean + width * jnp.sqrt(2.0).astype(u.dtype) * lax.erf_inv(2 * u - 1)


def exponential(u: Float[Array, "..."], mean: Array | float = 1.0) -> Float[Array, "..."]:
    r"""\(-\mu\ln(1-u)\): an exponential variate; the gradient is pathwise in the mean μ."""
    return -mean * jnp.log1p(-u)


def categorical(
    u: Scalar, probabilities: Float[Array, " outcome"], reference: Float[Array, " outcome"] | None = None
) -> tuple[Int[Array, ""], Scalar]:
    r"""An outcome k with probability \(p_k\), and the weight that carries its derivative.

    The choice is made with the reference probabilities q (by default sg(p)); the weight is \(p_k/q_k\), which is 1 in
    value and \(\partial\log p_k\) in derivative when q = sg(p) (Foerster et al., arXiv:1802.05098).

    **Arguments**

    - `u`: one variate of U(0,1).
    - `probabilities`: p, normalised to one.
    - `reference`: q, or None.

    **Returns** k and the weight.
    """
    q = lax.stop_gradient(probabilities if reference is None else reference)
    outcome = jnp.minimum(jnp.searchsorted(jnp.cumsum(q), u, side="right"), q.shape[0] - 1)
    return outcome, probabilities[outcome] / q[outcome]


__all__ = ["categorical", "exponential", "normal", "sobol", "stream", "uniforms"]
