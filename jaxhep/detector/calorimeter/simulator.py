"""The calorimeter as a simulator: electromagnetic showers, their fluctuations, cells and electronics."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._fence import fence, hidden_one
from ..._types import Array, Bool, Float, Int, Key, Noise, Scalar
from ...event import Event
from ...noise import stream, uniforms
from ...simulator import AbstractSimulator
from ._checks import not_negative, one_of, positive, real, whole
from ._sampling import BOOSTS, gamma_draw
from .layers import Layers
from .longitudinal import Profile, draw_profile, mean_profile, profile_moments, spot_number, spot_profile
from .radial import radial_profile
from .readout import Readout
from .response import CalorimeterResponse
from .segmentation import AbstractSegmentation, Axis

Transverse = Literal["none", "expected", "spots"]
"""What happens across the axis: nothing, exact expected fractions of each layer in its cells, or drawn spots."""

ProfileKind = Literal["mean", "fluctuating"]
SamplingLaw = Literal["constant", "thickness"]

_CONVERSION = 9 / 7
_LEAST_SHAPE = 1e-6
"""Of the gamma distribution of a sampling fluctuation; its mean is then 1e-6 c² GeV."""
_ROUNDS = (64, 512)
ELECTRON, PHOTON = 11, 22


class Calorimeter(AbstractSimulator):
    r"""An electromagnetic calorimeter in layers, differentiable in its geometry, by the GFLASH parametrisation.

    **Model** (Grindhammer & Peters, hep-ex/0001020). Each electron, positron or photon starts a shower; a photon
    after a free path of \(-\tfrac97X_0\ln u\). Along the axis energy follows a gamma distribution of the depth whose
    (ln T, ln α) fluctuate as a correlated Gaussian (`profile_moments`); its parameters come from the effective medium
    of the whole stack (`Layers.medium`), depths are counted in radiation lengths of each layer's own matter, and a
    tilted axis crosses layers on a path longer by 1/cos θ. Each layer gets \(E[P(\alpha,\beta t_2)-P(\alpha,\beta
    t_1)]\), exactly. A sampling calorimeter sees of a deposit dE the calibrated energy \(dE'\sim\Gamma(dE/c^2,1/c^2)\)
    (E in GeV), which makes \(\sigma/E=c/\sqrt E\) however the stack is cut into layers. Across the axis
    (`radial_profile`, at the middle of each of the `substeps` slices of a layer):

    - `transverse="none"`: each layer is one cell. Nothing else is computed: the fast path for layer energies.
    - `"expected"`: cells get the exact integrals of the radial profile; no fluctuation between the cells of a layer.
    - `"spots"`: the energy of a slice is carried by spots, as many as expected (a fractional last one has the
      fractional weight), at radii drawn from core and tail together.

    Several particles are summed. Then come the electronics (`Readout`).

    **Leaves** (differentiable): thicknesses, mass fractions, cell sizes or ring edges, position, slope, distance,
    energy, sampling term, and those of the readout. Every random number is mapped by an inverse distribution, so
    gradients are pathwise, or implicit for the gamma distribution, and those of expectations, except where a hard edge
    is chosen: a hard threshold, `sharing="hard"` of spots.

    **Arguments**

    - `layers`: the stack, a `Layers`.
    - `segmentation`: `Rings`, `Grid`, or None with `transverse="none"`.
    - `readout`: a `Readout`; default none: cells are what the showers deposit.
    - `transverse`: default "expected" with a segmentation, else "none".
    - `profile`: "fluctuating" (default), or "mean": every shower is the mean one.
    - `sampling_term`: c in √GeV, positive, scalar or (layer,); None: no sampling fluctuations. With
      `sampling_law="thickness"` the coefficient k of `Layers.sampling_terms`, in √GeV/√mm, a scalar.
    - `energy`, `pdg_id`, `slope`: of the particle when no event is given: GeV, 11, −11 or 22, and (tan θ_x, tan θ_y).
    - `position`: (x, y) in cm where the beam axis meets the front face, seen from the centre of the cells.
    - `distance`: in cm from the origin of events to the front face, along z: a particle enters at `position` +
      `distance` (p_x/p_z, p_y/p_z). Particles with p_z ≤ 0 never do.
    - `max_particles`: electrons, positrons and photons of an event that are simulated; more set `overflow`.
    - `energy_range`: in GeV; a particle outside sets `extrapolated`. All formulas go on smoothly there.
    - `substeps`: slices a layer for the radial profile; thick layers need some.
    - `spot_capacity`: spots a slice and particle, with "spots". More set `overflow` and are replaced by that many.

    **Raises** `ValueError` or `TypeError` with cause and cure for wrong arguments.

    >>> import jax, jax.numpy as jnp
    >>> from jaxhep.detector.calorimeter import Calorimeter, Layers
    >>> from jaxhep.simulator import generate
    >>> stack = Layers("LAr", jnp.full(20, 0.4), "Pb", jnp.full(20, 0.6))
    >>> detector = Calorimeter(stack, sampling_term=0.1, energy=50.0)
    >>> showers = generate(detector, jax.random.key(0), 64)
    >>> showers.layers.shape
    (64, 20)
    """

    layers: Layers
    segmentation: AbstractSegmentation | None
    readout: Readout
    sampling_term: Float[Array, "*layer"] | None
    energy: Scalar
    slope: Float[Array, "2"]
    position: Float[Array, "2"]
    distance: Scalar
    transverse: Transverse = eqx.field(static=True)
    profile: ProfileKind = eqx.field(static=True)
    sampling_law: SamplingLaw = eqx.field(static=True)
    pdg_id: int = eqx.field(static=True)
    max_particles: int = eqx.field(static=True)
    energy_range: tuple[float, float] = eqx.field(static=True)
    substeps: int = eqx.field(static=True)
    spot_capacity: int = eqx.field(static=True)

    def __init__(
        self,
        layers: Layers,
        segmentation: AbstractSegmentation | None = None,
        readout: Readout | None = None,
        *,
        transverse: Transverse | None = None,
        profile: ProfileKind = "fluctuating",
        sampling_term: Any = None,
        sampling_law: SamplingLaw = "constant",
        energy: Any = 10.0,
        pdg_id: int = ELECTRON,
        slope: Any = (0.0, 0.0),
        position: Any = (0.0, 0.0),
        distance: Any = 0.0,
        max_particles: int = 1,
        energy_range: tuple[float, float] = (1.0, 1000.0),
        substeps: int = 1,
        spot_capacity: int = 64,
    ):
        if not isinstance(layers, Layers):
            raise TypeError(
                f"a Calorimeter is made of Layers(active, active_thickness, ...), not {type(layers).__name__}"
            )
        if segmentation is not None and not isinstance(segmentation, AbstractSegmentation):
            raise TypeError(f"segmentation must be Rings, Grid or None, not {type(segmentation).__name__}")
        if readout is not None and not isinstance(readout, Readout):
            raise TypeError(f"readout must be a Readout or None, not {type(readout).__name__}")
        if transverse is None:
            transverse = "none" if segmentation is None else "expected"
        one_of("transverse", transverse, ("none", "expected", "spots"))
        one_of("profile", profile, ("mean", "fluctuating"))
        one_of("sampling_law", sampling_law, ("constant", "thickness"))
        if transverse != "none" and segmentation is None:
            raise ValueError(f"transverse={transverse!r} needs cells: give segmentation=Rings(...) or Grid(...)")
        if transverse == "none":
            segmentation = None
        if segmentation is not None:
            segmentation.check(layers.num_layers)
        if pdg_id not in (ELECTRON, -ELECTRON, PHOTON):
            raise ValueError(f"pdg_id must be 11, -11 or 22 (electron, positron, photon), got {pdg_id!r}")
        if sampling_term is not None:
            if not layers.sampling:
                raise ValueError(
                    "sampling_term belongs to a sampling calorimeter; a homogeneous one has Readout(noise=...)"
                )
            shapes: Any = ((),) if sampling_law == "thickness" else ((), (layers.num_layers,))
            sampling_term = positive("sampling_term", sampling_term, "√GeV", shapes)
        if transverse == "spots" and layers.sampling and sampling_term is None:
            raise ValueError("spots in a sampling calorimeter are 10.3 E^0.959/c in number: give sampling_term c")
        low, high = (float(x) for x in energy_range)
        if not 0 < low < high:
            raise ValueError(f"energy_range must satisfy 0 < low < high, got {energy_range} GeV")
        self.layers, self.segmentation = layers, segmentation
        self.readout = Readout() if readout is None else readout
        self.sampling_term = sampling_term
        self.energy = positive("energy", energy, "GeV")
        self.slope, self.position = real("slope", slope, ((2,),)), real("position", position, ((2,),))
        self.distance = not_negative("distance", distance, "cm")
        self.transverse, self.profile, self.sampling_law = transverse, profile, sampling_law
        self.pdg_id, self.max_particles = int(pdg_id), whole("max_particles", max_particles, 1)
        self.energy_range, self.substeps = (low, high), whole("substeps", substeps, 1)
        self.spot_capacity = whole("spot_capacity", spot_capacity, 1)
        if self.readout.gains is not None and self.readout.gains.shape != self.cell_shape:
            raise ValueError(
                f"the gains of the readout have shape {self.readout.gains.shape}, but the cells are {self.cell_shape}"
            )
        if self.readout.noise is not None and self.readout.noise.shape not in ((), (layers.num_layers,)):
            raise ValueError(
                f"noise must be one number or {layers.num_layers}, one a layer, got shape {self.readout.noise.shape}"
            )

    @property
    def cell_shape(self) -> tuple[int, int, int]:
        """(layer, a, b)."""
        return self.layers.num_layers, *((1, 1) if self.segmentation is None else self.segmentation.shape)

    def rounds(self) -> tuple["Calorimeter", ...]:
        """With "spots", capacities of 64 and 512 spots before the full one."""
        if self.transverse != "spots":
            return (self,)
        less = [n for n in _ROUNDS if n < self.spot_capacity]
        return (*(_with_static(self, "spot_capacity", n) for n in less), self)

    def sample_noise(self, key: Key, dtype: Any = None) -> Noise:
        """A dict of U(0,1) variates: "profile" (particle, 2), "conversion" (particle,), "sampling" (particle,
        slice, 7),
        "spots" (spot, particle, slice, 2), and "noise", "cell_gain" (cells), "event_gain"; only what is used."""
        count, slices = self.max_particles, self.layers.num_layers * self.substeps
        keys = [jax.random.fold_in(key, i) for i in range(5)]
        noise: dict[str, Any] = {"conversion": uniforms(keys[0], (count,), dtype)}
        if self.profile == "fluctuating":
            noise["profile"] = uniforms(keys[1], (count, 2), dtype)
        if self.sampling_term is not None:
            noise["sampling"] = uniforms(keys[2], (count, slices, BOOSTS + 1), dtype)
        if self.transverse == "spots":
            rows = stream(keys[3], self.spot_capacity, count * slices * 2, dtype)
            noise["spots"] = rows.reshape(self.spot_capacity, count, slices, 2)
        return noise | self.readout.sample_noise(keys[4], self.cell_shape, dtype)

    def __call__(
        self, noise: Noise, event: Event | None = None, *, reference: AbstractSimulator | None = None
    ) -> CalorimeterResponse:
        r"""Simulates one event.

        **Arguments**

        - `noise`: from `sample_noise`.
        - `event`: its electrons, positrons and photons shower (the first `max_particles` of them); default one
          particle `pdg_id` of the calorimeter's own `energy` and `slope`.
        - `reference`: accepted as by every simulator. There is no discrete choice, so it changes nothing.

        **Returns** a `CalorimeterResponse`.
        """
        showers, base = self._deposits(noise, event, reference)
        cells = self.readout(showers["cells"], noise)
        return CalorimeterResponse(cells=cells, layers=jnp.sum(cells, axis=(1, 2)), **base)

    def occupancy(self, noise: Noise, event: Event | None = None) -> Float[Array, "layer a b"]:
        """The probability of each cell to pass the threshold, the noise integrated out: `Readout.occupancy`.

        Its mean over events, and the derivative of that, are those of the hard threshold's indicator.
        """
        showers, _ = self._deposits(noise, event, None)
        return self.readout.occupancy(showers["cells"], noise)

    def _deposits(
        self, noise: Noise, event: Event | None, reference: AbstractSimulator | None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Energy in the cells before the electronics, and all other fields of the response."""
        if not isinstance(noise, dict) or "conversion" not in noise:
            raise TypeError("noise must be what sample_noise(key) of this calorimeter gives")
        if reference is not None and not isinstance(reference, Calorimeter):
            raise TypeError(
                f"the reference of a Calorimeter is a Calorimeter, not {type(reference).__name__}; make it with "
                "with_parameters(calorimeter, {...})"
            )
        dtype = noise["conversion"].dtype
        detector = jax.tree.map(lambda leaf: leaf.astype(dtype), self)
        particles = _own_particle(detector) if event is None else _particles(detector, event)
        used = {name: noise[name] for name in ("conversion", "profile", "sampling") if name in noise}
        used = {name: value[: particles.count] for name, value in used.items()}
        if self.transverse == "spots":
            spots = noise["spots"]
            if spots.shape[0] < self.spot_capacity:
                raise ValueError(
                    f"the noise holds {spots.shape[0]} spots, the calorimeter wants {self.spot_capacity}; draw it with "
                    "sample_noise(key)"
                )
            used["spots"] = jnp.moveaxis(spots[: self.spot_capacity, : particles.count], 1, 0)
        one = jax.vmap(lambda particle, part: _shower(detector, particle, part))(particles.showering, used)
        total = {name: jnp.sum(value, axis=0) for name, value in one.items() if name != "crowded"}
        low, high = self.energy_range
        energy, active = particles.showering.energy, particles.showering.active
        outside = active & ((energy < low) | (energy > high))
        base = {
            "deposits": total["deposits"],
            "longitudinal_leakage": total["behind"],
            "lateral_leakage": total["beside"],
            "incident_energy": jnp.sum(jnp.where(active, energy, 0)),
            "ignored_energy": particles.ignored,
            "weight": particles.weight,
            "overflow": particles.overflow | jnp.any(one["crowded"] & active),
            "extrapolated": jnp.any(outside),
        }
        return {"cells": total["cells"]}, base


class _Showering(eqx.Module):
    """What starts a shower, one entry a particle; inactive entries have energy 1."""

    energy: Float[Array, "*particle"]
    active: Bool[Array, "*particle"]
    photon: Bool[Array, "*particle"]
    slope: Float[Array, "*particle 2"]
    impact: Float[Array, "*particle 2"]


class _Particles(eqx.Module):
    showering: _Showering
    ignored: Scalar
    weight: Scalar
    overflow: Bool[Array, ""]
    count: int = eqx.field(static=True)


def _own_particle(detector: Calorimeter) -> _Particles:
    impact = detector.position + detector.distance * detector.slope
    showering = _Showering(
        energy=detector.energy[None],
        active=jnp.ones(1, bool),
        photon=jnp.full(1, detector.pdg_id == PHOTON),
        slope=detector.slope[None],
        impact=impact[None],
    )
    one = jnp.ones_like(detector.energy)
    return _Particles(showering, jnp.zeros_like(one), one, jnp.asarray(False), 1)


def _particles(detector: Calorimeter, event: Event) -> _Particles:
    """The first electrons, positrons and photons that fly forwards."""
    dtype = detector.energy.dtype
    momenta, ids = event.momenta.astype(dtype), event.pdg_id
    forward = momenta[:, 3] > 0
    wanted = event.mask & forward & (momenta[:, 0] > 0) & ((jnp.abs(ids) == ELECTRON) | (ids == PHOTON))
    order: Int[Array, " particle"] = jnp.argsort(~wanted, stable=True)[: detector.max_particles]
    count = order.shape[0]
    momenta, ids, active = momenta[order], ids[order], wanted[order]
    pz = jnp.where(active, momenta[:, 3], 1.0)
    slope = jnp.where(active[:, None], momenta[:, 1:3], 0.0) / pz[:, None]
    showering = _Showering(
        energy=jnp.where(active, momenta[:, 0], 1.0),
        active=active,
        photon=ids == PHOTON,
        slope=slope,
        impact=detector.position + detector.distance * slope,
    )
    total = jnp.sum(jnp.where(event.mask, event.momenta[:, 0].astype(dtype), 0))
    return _Particles(
        showering,
        total - jnp.sum(jnp.where(active, momenta[:, 0], 0)),
        event.weight.astype(dtype),
        event.overflow | (jnp.sum(wanted) > count),
        count,
    )


def _shower(detector: Calorimeter, particle: _Showering, noise: dict[str, Array]) -> dict[str, Array]:
    """One particle's deposits by layer, leakages and cells; zero for an inactive one."""
    layers, substeps = detector.layers, detector.substeps
    medium, energy = layers.medium, particle.energy
    if detector.profile == "mean":
        profile = mean_profile(medium, energy)
    else:
        profile = draw_profile(profile_moments(medium, energy), noise["profile"])
    start = jnp.where(particle.photon, -_CONVERSION * jnp.log(noise["conversion"]), 0)
    path = jnp.sqrt(1 + jnp.sum(particle.slope**2))
    edges = _slices(layers.depth_edges, substeps) * path - start
    there = jnp.where(particle.active, energy, 0)
    # Stored: each consumer, each cell even, would compute them again.
    one = hidden_one(noise["conversion"])
    inside = fence(profile.contained(edges), one)
    true = there * jnp.maximum(jnp.diff(inside), 0)
    behind = there * (1 - inside[-1])

    visible = true
    if detector.sampling_term is not None:
        terms = jnp.repeat(layers.sampling_terms(detector.sampling_term, detector.sampling_law), substeps)
        shape = jnp.maximum(true / terms**2, _LEAST_SHAPE)
        visible = terms**2 * gamma_draw(noise["sampling"], shape)
        visible = jnp.where(particle.active, visible, 0)

    crowded = jnp.asarray(False)
    if detector.segmentation is None:
        own = {"deposits": _by_layer(true, substeps), "behind": behind, "beside": jnp.zeros_like(behind)}
        return own | {"cells": _by_layer(visible, substeps)[:, None, None], "crowded": crowded}

    middle = 0.5 * (edges[1:] + edges[:-1])
    radial = fence(radial_profile(medium, energy, profile.relative_depth(middle)), one)
    scale = medium.moliere_radius
    places = _slices(layers.edges, substeps)
    height = 0.5 * (places[1:] + places[:-1])
    axis = Axis(particle.impact + height[:, None] * particle.slope, particle.slope)
    visible = fence(visible, one)
    parts = fence(detector.segmentation.fractions(radial, scale, axis, substeps, one), one)
    shape_of_layer = detector.segmentation.shape
    copies = (shape_of_layer[0] * shape_of_layer[1]) // (parts.shape[1] * parts.shape[2])
    held = jnp.clip(jnp.sum(parts, axis=(1, 2)) * copies, 0, 1)
    if detector.transverse == "expected":
        cells = fence(_by_layer(visible[:, None, None] * parts, substeps), one)
        cells = jnp.broadcast_to(cells, detector.cell_shape)
    else:
        number = _spot_numbers(detector, profile, edges, energy)
        weights, crowded = _spot_weights(number, detector.spot_capacity)
        radius = radial.radius(noise["spots"][..., 0]) * scale
        cells = detector.segmentation.deposit(
            radius, 2 * jnp.pi * noise["spots"][..., 1], weights * visible, axis, substeps
        )
    return {
        "deposits": _by_layer(true * held, substeps),
        "behind": behind,
        "beside": jnp.sum(true * (1 - held)),
        "cells": cells,
        "crowded": crowded,
    }


def _spot_numbers(detector: Calorimeter, profile: Profile, edges: Array, energy: Scalar) -> Float[Array, " slice"]:
    """Expected spots in each slice."""
    medium = detector.layers.medium
    term = None
    if detector.sampling_term is not None:
        term = jnp.mean(detector.layers.sampling_terms(detector.sampling_term, detector.sampling_law))
    inside = spot_profile(medium, profile).contained(edges)
    return spot_number(medium, energy, term) * jnp.maximum(jnp.diff(inside), 0)


def _spot_weights(number: Float[Array, " slice"], capacity: int) -> tuple[Float[Array, "spot slice"], Bool[Array, ""]]:
    """The part of a slice's energy on each spot: 1/n for whole ones, the rest for a last one; all on one if n < 1."""
    number = jnp.maximum(number, 1.0)
    shares = jnp.clip(number - jnp.arange(capacity, dtype=number.dtype)[:, None], 0, 1)
    return shares / jnp.minimum(number, capacity), jnp.any(number > capacity)


def _slices(edges: Float[Array, " edge"], substeps: int) -> Float[Array, " slice_edge"]:
    """Each interval cut into equal parts."""
    if substeps == 1:
        return edges
    parts = jnp.arange(substeps, dtype=edges.dtype) / substeps
    fine = edges[:-1, None] + jnp.diff(edges)[:, None] * parts
    return jnp.concatenate([fine.reshape(-1), edges[-1:]])


def _by_layer(values: Array, substeps: int) -> Array:
    """Sums the slices of each layer."""
    return values if substeps == 1 else jnp.sum(values.reshape(-1, substeps, *values.shape[1:]), axis=1)


def _with_static(calorimeter: Calorimeter, name: str, value: Any) -> Calorimeter:
    """A copy that differs in one static field."""
    copy = object.__new__(type(calorimeter))
    for field in calorimeter.__dataclass_fields__:
        object.__setattr__(copy, field, getattr(calorimeter, field))
    object.__setattr__(copy, name, value)
    return copy


__all__ = ["Calorimeter", "ProfileKind", "SamplingLaw", "Transverse"]
