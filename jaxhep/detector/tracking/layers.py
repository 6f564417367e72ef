"""A stack of tracking layers, and the hits of a particle in it."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ..._types import Key, Scalar
from ...noise import normal, uniforms
from ..fast._smooth import leaf
from .propagation import Geometry, TrackState, advance, curvature_of
from .scattering import highland_angle


class TrackNoise(NamedTuple):
    """U(0,1) variates of one particle: measurement and efficiency of each layer, scattering (offset, angle) in it."""

    hit: Float[Array, "*batch layer"]
    efficiency: Float[Array, "*batch layer"]
    scatter: Float[Array, "*batch layer 2"]


class Hits(eqx.Module):
    """Hits of one particle, one slot a layer.

    **Fields**

    - `measured`: y (planar) or rφ (cylindrical) in m; 0 where there is no hit.
    - `mask`: True where the layer has a hit.
    - `weight`: Π p/p_ref of the efficiency choices: 1 in value, the score in derivative.
    """

    measured: Float[Array, "*batch layer"]
    mask: Bool[Array, "*batch layer"]
    weight: Float[Array, "*batch"]


class Transport(NamedTuple):
    """A reference track and what small changes of it do: `fit` builds its matrices from these.

    `predicted`: u on each layer; `step`: ∂(state on layer k)/∂(state on the layer before), shape (layer, 3, 3);
    `kick`: change of the state behind layer k per standard normal variate, shape (layer, 3, 2).
    """

    predicted: Float[Array, " layer"]
    step: Float[Array, "layer 3 3"]
    kick: Float[Array, "layer 3 2"]


class Tracker(eqx.Module):
    r"""Planes at x, or cylinders around z at r, that measure one coordinate across the field, with matter behind each.

    A particle starts at x = 0 or near the axis (`TrackState`), moves on a helix in the field along z, is measured in
    each layer with a Gaussian error, and scatters in its matter, which fills the `widths` behind it: with
    \(\theta_0\) of `highland_angle` and standard normal \(z_1,z_2\), behind a width w

    \[\delta\psi=z_2\theta_0,\qquad\delta u=w\,\theta_0\,(z_1/\sqrt{12}+z_2/2).\]

    θ₀ is that of the thickness over sin θ, and is divided by sin θ to be a change of the azimuth. No energy is lost.

    **Arguments** (array leaves of shape (layer,) but for `field`; one number stands for all layers)

    - `positions`: x ≥ 0 or r > 0 in m, rising. (One array is needed here: it sets the number of layers.)
    - `resolutions`: σ > 0 of the measurement in m.
    - `thicknesses`: x/X₀ ≥ 0 of each layer at normal incidence. `widths`: its length in m along the way, 0 for thin.
    - `efficiencies`: in [0, 1].
    - `field`: B ≥ 0 in tesla.
    - `geometry`: static, "planar" or "cylindrical". `curved`: static; whether the curvature is fitted, by default
      where there is a field.

    **Raises** `ValueError` for no layers, positions that do not rise, and values out of range.

    **Gradient** pathwise in everything but the efficiencies, whose choices are in `Hits.weight`. Through `fit_track`
    and `expected_covariance` all leaves, layer positions and matter included, get exact derivatives.

    Source of the recipe: TomOpt, arXiv:2309.14027; Review of Particle Physics, section "Multiple scattering through
    small angles".

    >>> import jax
    >>> tracker = Tracker([0.03, 0.07, 0.12], resolutions=1e-5, thicknesses=0.01, field=2.0, geometry="cylindrical")
    >>> hits = tracker(tracker.sample_noise(jax.random.key(0)), tracker.track(pt=5.0, charge=-1))
    >>> hits.measured.shape
    (3,)
    """

    positions: Float[Array, " layer"]
    resolutions: Float[Array, " layer"]
    thicknesses: Float[Array, " layer"]
    widths: Float[Array, " layer"]
    efficiencies: Float[Array, " layer"]
    field: Scalar
    geometry: Geometry = eqx.field(static=True)
    curved: bool = eqx.field(static=True)

    def __init__(
        self,
        positions: Any,
        *,
        resolutions: Any,
        thicknesses: Any = 0.0,
        widths: Any = 0.0,
        efficiencies: Any = 1.0,
        field: Any = 0.0,
        geometry: Geometry = "planar",
        curved: bool | None = None,
    ) -> None:
        """See the class."""
        if geometry not in ("planar", "cylindrical"):
            raise ValueError(f"geometry must be 'planar' or 'cylindrical', not {geometry!r}")
        if np.ndim(positions) != 1 or np.size(positions) == 0:
            raise ValueError(
                "a tracker needs at least one layer: positions is a list of numbers in m, e.g. [0.03, 0.07]"
            )
        shape = (len(positions),)
        cylinder = geometry == "cylindrical"
        where = "radii are positive lengths in m" if cylinder else "planes lie at x ≥ 0 (m), the track starts at x = 0"
        self.positions = leaf("positions", positions, shape, where, open_=cylinder)
        if not isinstance(self.positions, jax.core.Tracer) and np.any(np.diff(np.asarray(positions, float)) <= 0):
            raise ValueError(
                f"positions = {list(map(float, positions))}: layers stand in the order in which they are crossed, each "
                "further out than the one before; sort them, and the other arrays with them"
            )
        self.resolutions = leaf("resolutions", resolutions, shape, "a resolution is a positive length in m", open_=True)
        self.thicknesses = leaf("thicknesses", thicknesses, shape, "x/X₀ is not negative")
        self.widths = leaf("widths", widths, shape, "a width is not negative, in m")
        self.efficiencies = leaf("efficiencies", efficiencies, shape, "an efficiency lies between 0 and 1", 0.0, 1.0)
        self.field = leaf("field", field, (), "the field is 0 or more, in tesla; turn charges for the other sign")
        self.geometry = geometry
        if curved is None:
            curved = isinstance(field, jax.core.Tracer) or float(np.asarray(field)) > 0
        self.curved = bool(curved)

    @property
    def num_parameters(self) -> int:
        """3 (impact, angle, curvature) or, without curvature, 2."""
        return 3 if self.curved else 2

    def track(self, pt: Any, charge: Any, *, impact: Any = 0.0, angle: Any = 0.0, cot_theta: Any = 0.0) -> TrackState:
        """A particle of transverse momentum `pt` > 0 (GeV) and `charge` (e) in this field; the rest as `TrackState`.

        >>> print(f"{Tracker([0.1], resolutions=1e-4, field=2.0).track(1.0, -1).curvature:.4f}")
        0.5996
        """
        momentum = jnp.asarray(pt) * jnp.sqrt(1 + jnp.asarray(cot_theta) ** 2)
        return TrackState(impact, angle, curvature_of(jnp.asarray(pt), charge, self.field), momentum, cot_theta)

    def sample_noise(self, key: Key, dtype: Any = None) -> TrackNoise:
        """Four U(0,1) variates a layer, of JAX's default dtype unless another is given."""
        draws = uniforms(key, (self.positions.shape[0], 4), dtype)
        return TrackNoise(draws[:, 0], draws[:, 1], draws[:, 2:])

    def __call__(self, noise: TrackNoise, track: TrackState, *, reference: "Tracker | None" = None) -> Hits:
        """The hits of one particle; `reference`: the tracker whose efficiencies choose, default this one, fixed."""
        other = lax.stop_gradient((self if reference is None else reference).efficiencies)
        kicks = jnp.einsum("kij,kj->ki", self._kicks(track), normal(noise.scatter))
        local, first = advance(track.local(), jnp.zeros_like(self.field), self.positions[0], self.geometry, start=True)

        def step(carry: tuple[Array, Array], layer: Any) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
            (local, reached), (origin, target, kick) = carry, layer
            local, further = advance(local + kick, origin, target, self.geometry)
            return (local, reached & further), (local[0], reached & further)

        layers = (self.positions[:-1], self.positions[1:], kicks[:-1])
        _, (places, reached) = lax.scan(step, (local, first), layers)
        places, reached = jnp.concatenate([local[:1], places]), jnp.concatenate([first[None], reached])
        found = reached & (noise.efficiency < other)
        lost = reached & ~found
        ratio = jnp.where(found, self.efficiencies / jnp.where(found, other, 1), 1)
        ratio = jnp.where(lost, (1 - self.efficiencies) / jnp.where(lost, 1 - other, 1), ratio)
        measured = places + self.resolutions * normal(noise.hit)
        return Hits(jnp.where(found, measured, 0), found, jnp.prod(ratio))

    def _kicks(self, track: TrackState) -> Float[Array, "layer 3 2"]:
        """Change of (u, ψ, κ) at each layer per normal variate, brought back to its front face."""
        over_sine = jnp.sqrt(1 + track.cot_theta**2)
        theta = highland_angle(track.momentum, self.thicknesses * over_sine) * over_sine
        zero = jnp.zeros_like(theta)
        offset = jnp.stack([self.widths * theta / np.sqrt(12), -self.widths * theta / 2], axis=-1)
        return jnp.stack([offset, jnp.stack([zero, theta], axis=-1), jnp.stack([zero, zero], axis=-1)], axis=-2)

    def transport(self, track: TrackState) -> Transport:
        """The unscattered track and its derivatives from layer to layer."""

        def linear(local: Array, origin: Array, target: Array, start: bool) -> tuple[Array, Array]:
            def move(x: Array) -> tuple[Array, Array]:
                after, _ = advance(x, origin, target, self.geometry, start=start)
                return after, after

            matrix, after = jax.jacfwd(move, has_aux=True)(local)
            return after, matrix

        local, first = linear(track.local(), jnp.zeros_like(self.field), self.positions[0], True)

        def step(local: Array, layer: Any) -> tuple[Array, tuple[Array, Array]]:
            origin, target = layer
            after, matrix = linear(local, origin, target, False)
            return after, (after[0], matrix)

        _, (places, matrices) = lax.scan(step, local, (self.positions[:-1], self.positions[1:]))
        places, matrices = jnp.concatenate([local[:1], places]), jnp.concatenate([first[None], matrices])
        return Transport(places, matrices, self._kicks(track))


__all__ = ["Hits", "TrackNoise", "Tracker"]
