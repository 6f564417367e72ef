"""A particle gun and detectors without fluctuations, for the tests of the whole-event detector."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxhep.detector import lep_like
from jaxhep.event import Event
from jaxhep.noise import uniforms
from jaxhep.simulator import AbstractSimulator, with_parameters

IDS = (211, -211, 22, 22, 130, 13, 12, 11)
"""Two pions, two photons, a neutral hadron, a muon, a neutrino, an electron."""
MASSES = {211: 0.13957039, 13: 0.1056583755, 11: 0.51099895e-3, 130: 0.497611}
PERFECT = {
    "multiple_scattering": 0.0, "curvature": 0.0, "sigma_phi": 0.0, "sigma_eta": 0.0, "plateau": 1.0, "half_pt": 0.0,
    "ecal.stochastic": 0.0, "ecal.constant": 0.0, "hcal.stochastic": 0.0, "hcal.constant": 0.0,
    "ecal.threshold": 0.0, "hcal.threshold": 0.0, "muon_deposit": 0.0,
}  # fmt: skip


def fill(detector, values):
    """Parameters set to numbers, whatever their shape."""
    from jaxhep.simulator import get_parameters

    shapes = get_parameters(detector)
    return with_parameters(detector, {name: jnp.full_like(shapes[name], value) for name, value in values.items()})


def perfect(**options):
    """A LEP-like detector that measures everything exactly, but for the direction of towers."""
    return fill(lep_like(**options), PERFECT)


class Gun(AbstractSimulator):
    """The particles of `IDS`, isotropic over |cos θ| < `reach`, with energies exponential above `floor`."""

    mean: jax.Array
    floor: float = 1.0
    reach: float = 0.9

    def __init__(self, mean=5.0, floor=1.0, reach=0.9):
        self.mean, self.floor, self.reach = jnp.asarray(mean, float), floor, reach

    def sample_noise(self, key, dtype=None):
        return uniforms(key, (len(IDS), 3), dtype)

    def __call__(self, noise, event=None, *, reference=None):
        mass = jnp.asarray([MASSES.get(abs(i), 0.0) for i in IDS], noise.dtype)
        energy = self.floor + mass - self.mean * jnp.log(noise[:, 0])
        cosine = self.reach * (2 * noise[:, 1] - 1)
        size, phi = jnp.sqrt(energy**2 - mass**2), 2 * jnp.pi * noise[:, 2]
        sine = jnp.sqrt(1 - cosine**2)
        momenta = jnp.stack([energy, size * sine * jnp.cos(phi), size * sine * jnp.sin(phi), size * cosine], axis=-1)
        return make_event(momenta, IDS)


def make_event(momenta, ids, mask=None):
    """An event of weight 1."""
    momenta = jnp.asarray(momenta)
    return Event(
        momenta=momenta,
        mask=jnp.ones(len(momenta), bool) if mask is None else jnp.asarray(mask),
        pdg_id=jnp.asarray(ids, jnp.int32),
        weight=jnp.ones((), momenta.dtype),
        overflow=jnp.zeros((), bool),
    )


def guns(count, seed=0, **more):
    """A batch of events of the gun."""
    gun = Gun(**more)
    noise = jax.vmap(gun.sample_noise)(jax.random.split(jax.random.key(seed), count))
    return jax.vmap(gun)(noise)


def single(pdg_id, pt, eta, count, phi=0.7):
    """A batch of one and the same particle."""
    mass = MASSES.get(abs(pdg_id), 0.0)
    pz = pt * np.sinh(eta)
    p = np.array([np.sqrt(pt**2 + pz**2 + mass**2), pt * np.cos(phi), pt * np.sin(phi), pz])
    event = make_event(p[None], (pdg_id,))
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), event)
