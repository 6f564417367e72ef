"""The layers of a calorimeter along its depth."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float, Scalar
from ..materials import CriticalEnergy, Medium, Mixture, effective, layer_depths, mixture, sampling_fractions
from ..materials.mixtures import check_critical_energy
from ._checks import concrete, not_negative


class Layers(eqx.Module):
    """A stack of layers, each passive matter in front of active matter; a homogeneous calorimeter has active only.

    **Arguments** (and fields)

    - `active`, `passive`: name, `Material`, mapping {material: mass fraction} or `Mixture`, which may have one row of
      fractions for each layer. `passive=None`: homogeneous.
    - `active_thickness`, `passive_thickness`: in cm, shape (layer,), or a scalar where the other has layers; not
      negative, not all zero. Leaves. A layer of thickness zero is as good as not there.
    - `critical_energy`: "paper" (the formula of the parametrisation) or "pdg".

    **Raises** `ValueError` or `TypeError` for an unknown material, a negative thickness, an empty stack, shapes that
    do not fit.

    >>> import jax.numpy as jnp
    >>> from jaxhep.detector.calorimeter import Layers
    >>> stack = Layers("LAr", jnp.full(50, 0.57), "PbWO4", jnp.full(50, 0.23))
    >>> print(f"{stack.length:.0f} cm, {stack.depth_edges[-1]:.2f} X0")
    40 cm, 14.95 X0
    """

    passive: Mixture | None
    active: Mixture
    passive_thickness: Float[Array, " layer"] | None
    active_thickness: Float[Array, " layer"]
    critical_energy: CriticalEnergy = eqx.field(static=True)

    def __init__(
        self,
        active: Any,
        active_thickness: Any,
        passive: Any = None,
        passive_thickness: Any = None,
        *,
        critical_energy: CriticalEnergy = "paper",
    ):
        check_critical_energy(critical_energy)
        if (passive is None) != (passive_thickness is None):
            raise ValueError(
                "a sampling calorimeter has both passive and passive_thickness, a homogeneous one has neither"
            )
        shapes: tuple[tuple[int | None, ...], ...] = ((), (None,))
        thick = [not_negative("active_thickness", active_thickness, "cm", shapes)]
        if passive is not None:
            thick.append(not_negative("passive_thickness", passive_thickness, "cm", shapes))
        lengths = {array.shape[0] for array in thick if array.ndim}
        if not lengths:
            raise ValueError("give the thickness of each layer, an array (layer,), for at least one of the materials")
        if len(lengths) > 1:
            raise ValueError(
                f"passive_thickness and active_thickness must agree: {[array.shape for array in thick]} layers"
            )
        (count,) = lengths
        if count == 0:
            raise ValueError("the stack is empty: give at least one layer")
        known = [concrete(a) for a in (active_thickness, passive_thickness) if a is not None]
        if all(numbers is not None and not np.any(numbers) for numbers in known):
            raise ValueError("the stack is empty: every thickness is zero")
        self.active = mixture(active)
        self.passive = None if passive is None else mixture(passive)
        for name, one in (("active", self.active), ("passive", self.passive)):
            if one is not None and one.fractions.ndim == 2 and one.fractions.shape[0] != count:
                raise ValueError(
                    f"{name} has mass fractions for {one.fractions.shape[0]} layers, but the stack has {count}"
                )
        thick = [jnp.broadcast_to(array, (count,)) for array in thick]
        self.active_thickness = thick[0]
        self.passive_thickness = thick[1] if passive is not None else None
        self.critical_energy = critical_energy

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return int(self.active_thickness.shape[0])

    @property
    def sampling(self) -> bool:
        """Whether there is passive matter."""
        return self.passive is not None

    @property
    def thickness(self) -> Float[Array, " layer"]:
        """Passive and active matter of each layer, in cm."""
        if self.passive_thickness is None:
            return self.active_thickness
        return self.active_thickness + self.passive_thickness

    @property
    def length(self) -> Scalar:
        """Of the whole stack, in cm."""
        return jnp.sum(self.thickness)

    @property
    def edges(self) -> Float[Array, " edge"]:
        """Where the layers begin and end, in cm from the front face; shape (layer + 1,)."""
        return _edges(self.thickness)

    @property
    def depth_edges(self) -> Float[Array, " edge"]:
        """Where the layers begin and end in radiation lengths, each layer counted by its own matter."""
        return _edges(layer_depths(self.passive, self.active, self.passive_thickness, self.active_thickness))

    @property
    def medium(self) -> Medium:
        """The effective medium of the whole stack (`jaxhep.detector.materials.effective`)."""
        return effective(
            self.passive,
            self.active,
            self.passive_thickness,
            self.active_thickness,
            critical_energy=self.critical_energy,
        )

    @property
    def sampling_fractions(self) -> Float[Array, " layer"]:
        r"""The part of an electromagnetic shower's energy that is deposited in each layer's active matter.

        \(\hat e\,f_l\), with f_l of `jaxhep.detector.materials.sampling_fractions`: calibrated energy times this is
        the energy in the active matter. 1 in a homogeneous calorimeter.
        """
        part = sampling_fractions(
            self.passive,
            self.active,
            self.passive_thickness,
            self.active_thickness,
            critical_energy=self.critical_energy,
        )
        return self.medium.e_over_mip * part

    def sampling_terms(self, coefficient: Scalar, law: str) -> Float[Array, " layer"]:
        r"""c of each layer in √GeV: the coefficient itself ("constant"), or by Wigmans' rule ("thickness").

        The rule: \(c_l=k\sqrt{d_l/f_l}\) with the active thickness d in mm and the sampling fraction f of
        minimum-ionising particles; k = 0.027 √GeV/√mm describes calorimeters with plastic scintillator or liquid argon
        within some tens of per cent (R. Wigmans, Calorimetry, Oxford 2000, chapter 4); thin silicon does worse.
        """
        if law == "constant" or not self.sampling:
            return jnp.broadcast_to(coefficient, (self.num_layers,))
        assert self.passive is not None
        assert self.passive_thickness is not None
        ratio = self.passive.medium(self.critical_energy).loss / self.active.medium(self.critical_energy).loss
        over_fraction = 10 * (self.active_thickness + ratio * self.passive_thickness)
        there = over_fraction > 0
        return coefficient * jnp.where(there, jnp.sqrt(jnp.where(there, over_fraction, 1.0)), 1.0)


def _edges(parts: Float[Array, " layer"]) -> Float[Array, " edge"]:
    return jnp.concatenate([jnp.zeros(1, parts.dtype), jnp.cumsum(parts)])


__all__ = ["Layers"]
