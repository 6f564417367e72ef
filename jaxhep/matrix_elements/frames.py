"""From the frame in which a shower runs (the quark along +z) to that of the beams."""

import equinox as eqx
import jax.numpy as jnp

from .._types import Array, Float
from ..event import Event


def rotation_to(momentum: Float[Array, "4"]) -> Float[Array, "3 3"]:
    r"""The rotation \(R_z(\varphi)R_y(\theta)\) that takes +z to the direction \((\theta,\varphi)\) of a four-momentum.

    **Arguments**: `momentum`: (E, px, py, pz) in GeV of a moving particle, e.g. the quark of the hard process.

    **Returns** the matrix R (proper, orthogonal): `R @ [0, 0, 1]` is the direction. For a momentum along the z axis
    φ = 0 is taken; at rest
    the identity.

    **Gradient** finite everywhere; on the z axis, where φ has no meaning, the derivative of the two transverse axes
    is that at φ = 0.

    >>> import jax.numpy as jnp
    >>> quark = jnp.asarray([5.0, 3.0, 0.0, -4.0])
    >>> print(rotation_to(quark) @ jnp.asarray([0.0, 0.0, 1.0]))
    [ 0.6  0.  -0.8]
    """
    px, py, pz = momentum[1], momentum[2], momentum[3]
    one, zero = jnp.ones_like(px), jnp.zeros_like(px)
    transverse2 = px**2 + py**2
    along_z = transverse2 == 0
    transverse = jnp.sqrt(jnp.where(along_z, one, transverse2))
    cos_phi, sin_phi = jnp.where(along_z, one, px / transverse), jnp.where(along_z, zero, py / transverse)
    transverse = jnp.where(along_z, zero, transverse)
    total2 = transverse2 + pz**2
    at_rest = total2 == 0
    total = jnp.sqrt(jnp.where(at_rest, one, total2))
    cos_theta, sin_theta = jnp.where(at_rest, one, pz / total), transverse / total
    return jnp.stack(
        [
            jnp.stack([cos_theta * cos_phi, -sin_phi, sin_theta * cos_phi]),
            jnp.stack([cos_theta * sin_phi, cos_phi, sin_theta * sin_phi]),
            jnp.stack([-sin_theta, zero, cos_theta]),
        ]
    )


def align_with_quark(event: Event, hard: Event) -> Event:
    """Turns an event that was made with its quark along +z into the frame of the hard process.

    **Arguments**: `event`: one event, e.g. of a shower, with the hard quark along +z; `hard`: the event of the hard
    process, its quark
    in slot 0.

    **Returns** `event` with all momenta turned by `rotation_to(hard.momenta[0])`; weights and ids are not touched.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.matrix_elements import ElectroweakQQbar
    >>> process = ElectroweakQQbar(energy=91.1876)
    >>> hard = process(process.sample_noise(jax.random.key(1)))
    >>> along_z = jnp.asarray([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, -1.0]]) * 0.5 * process.energy
    >>> import equinox as eqx
    >>> turned = align_with_quark(eqx.tree_at(lambda e: e.momenta, hard, along_z), hard)
    >>> bool(jnp.allclose(turned.momenta, hard.momenta, atol=1e-4))
    True
    """
    rotation = rotation_to(hard.momenta[0])
    # A plain sum over three terms: matrix units may round to lower precision than the shower's own arithmetic.
    space = jnp.sum(event.momenta[..., None, 1:] * rotation, axis=-1)
    return eqx.tree_at(lambda e: e.momenta, event, jnp.concatenate([event.momenta[..., :1], space], axis=-1))
