"""The whole-event detector as a simulator."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ... import lorentz
from ..._types import Key
from ...event import Event
from ...noise import uniforms
from ...simulator import AbstractSimulator
from ._smooth import leaf, whole
from .particles import Kind, classify
from .result import DetectedTracks, Detection, DetectorNoise, Towers
from .solenoid import Solenoid
from .towers import TowerLayer
from .tracks import Charged, TrackResponse, species_of

PHOTON, NEUTRAL_HADRON = 22, 130
"""PDG numbers given to neutral energy-flow objects of the electromagnetic and the hadronic calorimeter."""


class Detector(AbstractSimulator):
    r"""A parametrised detector for whole events: tracks in a solenoid, two calorimeters, energy flow, missing momentum.

    In scope like Delphes (arXiv:1307.6346), but a deterministic function of its parameters and of uniform noise, so
    that every parameter has a derivative. Presets: `lep_like`, `lhc_like`.

    1. Each particle gets charge and kind from its PDG number (`classify`).
    2. Charged particles have a track with the efficiency ε(p_T, η), measured with the track resolutions
       (`TrackResponse`). Masses: e, μ, else π±.
    3. All particles go on to the calorimeters, charged ones through the field (`Solenoid`). Electrons, photons and
       hadrons deposit their energy, a share f_kind of it in the electromagnetic calorimeter; muons a fixed amount;
       neutrinos nothing.
    4. Towers (`TowerLayer`) share, fluctuate and cut; what the tracks do not explain is a neutral object.
    5. Energy-flow objects are the tracks and the neutral excess of each tower (massless, from the origin through the
       tower's centre).

    **Arguments**

    - `tracks`, `solenoid`, `ecal`, `hcal`: the parts; their array leaves are the parameters.
    - `ecal_fraction`: f for each `Kind`, shape (8,), in [0, 1]; a leaf. Those of muons and invisible particles are not
      used.
    - `muon_deposit`: energy ≥ 0 in GeV that a muon leaves in ECAL and HCAL, shape (2,); a leaf.
    - `particles`: static, the largest number of slots of an event that comes in; noise is drawn for so many.
    - `capacity`: static, the number of energy-flow objects that fit; by default 4 times the slots of the event.

    **As a simulator** it maps `DetectorNoise` and an `Event` (from a shower, Pythia 8, or a file through
    `jaxhep.formats`) to an `Event` whose particles are the energy-flow objects: observables act on `event.momenta,
    event.mask`. Tracks come first (PDG 11, 13, 211 with sign), then ECAL (22) and HCAL (130) objects.
    `event.history` is a `Detection`: tracks, towers, missing momentum, flags. More objects than `capacity` set
    `overflow`; the sums in `Detection` are complete all the same.

    **Gradient.** A lost or found track multiplies the weight by p/p_ref, so that the efficiency's derivative is the
    score. Everything else is pathwise and continuous: smearing, bending, sharing among towers, and thresholds by steps
    of stated width (`TowerLayer`). What is left out: counts (of tracks and towers) change only through the weights, so
    a number of towers above threshold has no derivative; and with `spread` = 0 or `softness` = 0 the jumps over edges
    are missing.

    **Raises** `ValueError` for values out of range, an event with more slots than `particles`, or no event at all.

    >>> import jax
    >>> from jaxhep.detector import lep_like
    >>> from jaxhep.matrix_elements import ElectroweakQQbar
    >>> from jaxhep.simulator import Chain
    >>> chain = Chain(ElectroweakQQbar(), lep_like(particles=2))
    >>> event = jax.eval_shape(lambda key: chain(chain.sample_noise(key)), jax.random.key(0))
    >>> event.momenta.shape, event.history.missing.shape
    ((8, 4), (3,))
    """

    tracks: TrackResponse
    solenoid: Solenoid
    ecal: TowerLayer
    hcal: TowerLayer
    ecal_fraction: Float[Array, " kind"]
    muon_deposit: Float[Array, " calorimeter"]
    particles: int = eqx.field(static=True)
    capacity: int | None = eqx.field(static=True)

    def __init__(
        self,
        tracks: TrackResponse,
        solenoid: Solenoid,
        ecal: TowerLayer,
        hcal: TowerLayer,
        ecal_fraction: Any,
        muon_deposit: Any,
        *,
        particles: int = 128,
        capacity: int | None = None,
    ) -> None:
        """See the class."""
        for name, part, kind in (
            ("tracks", tracks, TrackResponse),
            ("solenoid", solenoid, Solenoid),
            ("ecal", ecal, TowerLayer),
            ("hcal", hcal, TowerLayer),
        ):
            if not isinstance(part, kind):
                raise TypeError(f"{name} must be a {kind.__name__}, got {type(part).__name__}")
        self.tracks, self.solenoid, self.ecal, self.hcal = tracks, solenoid, ecal, hcal
        self.ecal_fraction = leaf(
            "ecal_fraction", ecal_fraction, (len(Kind),), "one share in [0, 1] for each Kind", 0.0, 1.0
        )
        self.muon_deposit = leaf("muon_deposit", muon_deposit, (2,), "0 GeV or more in ECAL and HCAL")
        self.particles = whole("particles", particles, 1, "the slots of the events that come in")
        self.capacity = None if capacity is None else whole("capacity", capacity, 1, "the energy-flow objects that fit")

    def sample_noise(self, key: Key, dtype: Any = None) -> DetectorNoise:
        """Twelve U(0,1) variates a particle slot, of JAX's default dtype unless another is given."""
        draws = uniforms(key, (self.particles, 12), dtype)
        return DetectorNoise(track=draws[:, :4], ecal=draws[:, 4:8], hcal=draws[:, 8:])

    def __call__(
        self, noise: DetectorNoise, event: Event | None = None, *, reference: AbstractSimulator | None = None
    ) -> Event:
        """One detected event.

        **Arguments**

        - `noise`: a `DetectorNoise`.
        - `event`: the particles; any of quarks, gluons, hadrons, leptons and photons.
        - `reference`: the detector whose efficiencies choose the tracks; default this one, held fixed.

        **Returns** an `Event` of energy-flow objects with a `Detection` as history; its weight is that of `event` times
        that of the choices.
        """
        if event is None:
            raise ValueError("a detector needs an event: put a hard process or a shower before it in the chain")
        if not isinstance(reference, Detector | None):
            raise TypeError(f"the reference of a Detector is a Detector, not {type(reference).__name__}")
        count = event.momenta.shape[0]
        if event.momenta.ndim != 2:
            raise ValueError(
                f"a detector acts on one event, got momenta {event.momenta.shape}: use jax.vmap for a batch"
            )
        if count > self.particles:
            raise ValueError(
                f"the event has {count} slots, the detector's noise is for {self.particles}: use particles={count}"
            )
        dtype = event.momenta.dtype
        if dtype not in (jnp.float32, jnp.float64):
            raise TypeError(f"momenta must be float32 or float64, got {dtype.name}")
        mine, other, noise = jax.tree.map(lambda x: x.astype(dtype), (self, reference or self, noise))
        noise = jax.tree.map(lambda x: x[:count], noise)
        return mine._detect(noise, event, other.tracks)

    def _detect(self, noise: DetectorNoise, event: Event, reference: TrackResponse) -> Event:
        properties = classify(event.pdg_id)
        kind = jnp.where(event.mask, properties.kind, int(Kind.INVISIBLE))
        charged, cot_theta, energy = _columns(event, properties.charge, kind)
        found, choice = self.tracks.find(charged, noise.track[:, 0], reference)
        momenta, pdg_id = self.tracks.smear(charged, found, noise.track[:, 1:])

        turn, stretch, reaches = self.solenoid(charged.pt, cot_theta, charged.charge)
        phi = charged.phi - turn
        cot_theta = cot_theta * stretch
        relative = self.tracks.relative_variance(charged.pt, charged.eta, charged.species)
        towers = []
        for i, (layer, draws) in enumerate(((self.ecal, noise.ecal), (self.hcal, noise.hcal))):
            deposit = reaches * self._deposit(energy, kind, i)
            explained = jnp.where(found, reaches * self._deposit(momenta[:, 0], kind, i), 0)
            # A muon's deposit does not depend on its momentum.
            variance = jnp.where(kind == Kind.MUON, 0, relative * explained**2)
            towers.append(layer(cot_theta, phi, jnp.stack([deposit, explained, variance], axis=-1), draws))
        ecal, hcal = towers
        tracks = DetectedTracks(momenta, jnp.where(found, properties.charge, 0), pdg_id, found, phi, reaches)
        return self._objects(event, tracks, ecal, hcal, choice, jnp.any(event.mask & ~properties.known))

    def _deposit(
        self, energy: Float[Array, " particle"], kind: Int[Array, " particle"], calorimeter: int
    ) -> Float[Array, " particle"]:
        """Energy left in ECAL (0) or HCAL (1) by particles that reach it."""
        share = (self.ecal_fraction if calorimeter == 0 else 1 - self.ecal_fraction)[kind]
        muon = jnp.minimum(energy, self.muon_deposit[calorimeter])
        deposit = jnp.where(kind == Kind.MUON, muon, share * energy)
        return jnp.where(kind == Kind.INVISIBLE, 0, deposit)

    def _objects(
        self, event: Event, tracks: DetectedTracks, ecal: Towers, hcal: Towers, choice: Array, unknown: Array
    ) -> Event:
        """Energy flow: the tracks and the neutral excess of the towers, moved to the front."""
        parts = [(tracks.momenta, tracks.mask, tracks.pdg_id)]
        for layer, name in ((ecal, PHOTON), (hcal, NEUTRAL_HADRON)):
            vector = jnp.concatenate([jnp.ones_like(layer.excess)[:, None], layer.direction], axis=-1)
            there = layer.excess > 0
            parts.append((layer.excess[:, None] * vector, there, jnp.where(there, name, 0)))
        momenta, mask, pdg_id = (jnp.concatenate(column) for column in zip(*parts, strict=True))
        total = jnp.sum(momenta, axis=0)
        number = jnp.sum(mask)
        capacity = 4 * event.momenta.shape[0] if self.capacity is None else self.capacity
        # Places of the objects, one after the other; those that do not fit are dropped (and reported).
        place = jnp.where(mask, jnp.cumsum(mask) - 1, capacity)
        packed = jnp.zeros((capacity, 4), momenta.dtype).at[place].set(momenta, mode="drop")
        ids = jnp.zeros((capacity,), pdg_id.dtype).at[place].set(pdg_id, mode="drop")
        return Event(
            momenta=packed,
            mask=jnp.arange(capacity) < number,
            pdg_id=ids,
            weight=event.weight.astype(momenta.dtype) * choice,
            overflow=event.overflow | (number > capacity),
            history=Detection(tracks, ecal, hcal, -total[1:], total[0], number, unknown),
        )


def _columns(
    event: Event, charge: Int[Array, " particle"], kind: Int[Array, " particle"]
) -> tuple[Charged, Float[Array, " particle"], Float[Array, " particle"]]:
    """p_T, η, φ of the particles, their cot θ and energy; harmless values for slots without a direction."""
    p = jnp.where(event.mask[:, None], event.momenta, 0)
    transverse = lorentz.pt(p)
    off_axis: Bool[Array, " particle"] = transverse > 1e-6 * jnp.abs(p[:, 3])
    pt = jnp.where(off_axis, transverse, 1)
    # On the axis: far outside every calorimeter. At rest: nothing to detect.
    cot_theta = jnp.where(off_axis, jnp.where(off_axis, p[:, 3], 0) / pt, 1e6 * jnp.sign(p[:, 3]))
    moving = off_axis | (p[:, 3] != 0)
    energy = jnp.where(moving, p[:, 0], 0)
    eta = jnp.where(off_axis, jnp.arcsinh(cot_theta), 0)
    charge = jnp.where(off_axis & (kind != Kind.INVISIBLE), charge, 0)
    return Charged(pt, eta, lorentz.phi(p), charge, species_of(kind), off_axis & event.mask), cot_theta, energy


__all__ = ["Detector"]
