"""Mixtures by mass, and the medium that a shower sees."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float
from .table import Material, material

CriticalEnergy = Literal["paper", "pdg"]
"""Whose critical energy: the formula of the shower parametrisation (the default everywhere), or the table's."""

MOLIERE_ENERGY: Final = 21.2
"""Scale E_s of R_M = E_s X0/Ec, in MeV."""


class Medium(eqx.Module):
    r"""What an electromagnetic shower sees of the matter it goes through, homogeneous or layered.

    **Fields** (arrays of one shape: () for one medium, (layer,) for one a layer)

    - `z`, `a`: effective atomic number and mass, \(Z=\sum w_iZ_i\), \(A=\sum w_iA_i\) with mass fractions w.
    - `density`: \(\rho\) in g/cm³.
    - `radiation_length`: X0 in g/cm², \(1/X_0=\sum w_i/X_{0,i}\).
    - `critical_energy`: \(E_c=X_0\sum w_iE_{c,i}/X_{0,i}\) in MeV.
    - `period`: \(1/F_S\), the thickness of one passive and one active layer in X0; 0 for a homogeneous medium.
    - `e_over_mip`: \(\hat e=1/(1+0.007(Z_p-Z_a))\), response to electrons over that to minimum-ionising particles; 1
      for a homogeneous medium.
    - `sampling`: whether the formulas of sampling calorimeters hold (static).

    **Source** Grindhammer & Peters, hep-ex/0001020, section 3 and appendix.
    """

    z: Float[Array, "*layer"]
    a: Float[Array, "*layer"]
    density: Float[Array, "*layer"]
    radiation_length: Float[Array, "*layer"]
    critical_energy: Float[Array, "*layer"]
    period: Float[Array, "*layer"]
    e_over_mip: Float[Array, "*layer"]
    sampling: bool = eqx.field(static=True)

    @property
    def radiation_length_cm(self) -> Float[Array, "*layer"]:
        """X0 in cm."""
        return self.radiation_length / self.density

    @property
    def moliere_radius(self) -> Float[Array, "*layer"]:
        r"""\(R_M\) in cm: \(1/R_M=\frac1{21.2\,\mathrm{MeV}}\sum w_iE_{c,i}/X_{0,i}\), times 1/ρ."""
        return MOLIERE_ENERGY * self.radiation_length / (self.critical_energy * self.density)

    @property
    def sampling_frequency(self) -> Float[Array, "*layer"]:
        """F_S = X0/(d_passive + d_active); infinite for a homogeneous medium. For display: formulas use `period`."""
        return jnp.where(self.period > 0, 1 / jnp.where(self.period > 0, self.period, 1.0), jnp.inf)

    @property
    def loss(self) -> Float[Array, "*layer"]:
        r"""Ionisation loss \(E_c/X_0\) in MeV/cm: an electron of energy Ec loses Ec in one X0 (Rossi's definition)."""
        return self.critical_energy / self.radiation_length_cm


class Mixture(eqx.Module):
    r"""Materials mixed by mass: mass fractions as a differentiable leaf, the materials' numbers as constants.

    **Arguments**

    - `components`: names or `Material`s, k of them.
    - `fractions`: mass fractions, shape (k,), or (layer, k) for another mixture in each layer; not negative, with a
      positive sum, by which they are divided. Default: equal.

    **Gradient** with respect to `fractions` that of the normalised mixture: a common factor changes nothing.

    **Raises** `ValueError` for an unknown material, fractions that are negative, not finite, all zero or of another
    number.
    """

    fractions: Float[Array, "*layer component"]
    components: tuple[Material, ...] = eqx.field(static=True)

    def __init__(self, components: Any, fractions: Any = None):
        if isinstance(components, str | Material):
            components = (components,)
        self.components = tuple(material(one) for one in components)
        if not self.components:
            raise ValueError("a mixture needs at least one material, e.g. Mixture(['Pb', 'Sb'], [0.9, 0.1])")
        count = len(self.components)
        given = np.full(count, 1 / count) if fractions is None else fractions
        shape = np.shape(given)
        if len(shape) not in (1, 2) or shape[-1] != count:
            raise ValueError(
                f"fractions must have shape ({count},) or (layer, {count}), one for each of "
                f"{', '.join(m.name for m in self.components)}; got {shape}"
            )
        if not isinstance(given, jax.core.Tracer):
            values = np.asarray(given, float)
            if not np.all(np.isfinite(values)) or np.any(values < 0) or np.any(values.sum(-1) <= 0):
                raise ValueError(f"mass fractions must be finite, not negative, and not all zero; got {values}")
        self.fractions = jnp.asarray(given, float)

    def medium(self, critical_energy: CriticalEnergy = "paper") -> Medium:
        """The mixture as a homogeneous medium, one for each row of fractions.

        **Arguments** `critical_energy`: "paper" or "pdg", of the components.
        """
        check_critical_energy(critical_energy)
        dtype = self.fractions.dtype
        rows = [
            (
                m.z,
                m.a,
                1 / m.density,
                1 / m.radiation_length,
                (m.critical_energy if critical_energy == "pdg" else m.paper_critical_energy) / m.radiation_length,
            )
            for m in self.components
        ]
        total = jnp.sum(self.fractions, axis=-1, keepdims=True)
        sums = (self.fractions / total) @ jnp.asarray(np.array(rows), dtype)
        z, a, volume, lengths, loss = jnp.moveaxis(sums, -1, 0)
        return Medium(
            z=z,
            a=a,
            density=1 / volume,
            radiation_length=1 / lengths,
            critical_energy=loss / lengths,
            period=jnp.zeros_like(z),
            e_over_mip=jnp.ones_like(z),
            sampling=False,
        )

    def __repr__(self) -> str:
        names = ", ".join(m.name for m in self.components)
        if isinstance(self.fractions, jax.Array) and not isinstance(self.fractions, jax.core.Tracer):
            return f"Mixture([{names}], {np.asarray(self.fractions).tolist()})"
        return f"Mixture([{names}])"


def check_critical_energy(choice: str) -> None:
    """Raises `ValueError` unless the choice is "paper" or "pdg"."""
    if choice not in ("paper", "pdg"):
        raise ValueError(f"critical_energy must be 'paper' or 'pdg', not {choice!r}")


def mixture(fractions: Mapping[str | Material, Any] | Mixture | str | Material) -> Mixture:
    r"""A mixture by mass fractions; a name or a `Material` is a mixture of one.

    **Arguments** `fractions`: mass fraction by material, divided by their sum.

    **Returns** a `Mixture`; its volumes add up, \(1/\rho=\sum w_i/\rho_i\), and so do its radiation lengths in g/cm²,
    \(1/X_0=\sum w_i/X_{0,i}\); \(E_c\), \(Z\), \(A\) as in `Medium`.

    **Raises** as `Mixture`.

    >>> from jaxhep.detector.materials import mixture
    >>> brass = mixture({"Cu": 0.7, "Fe": 0.3})
    >>> print(f"{brass.medium().radiation_length_cm:.3f} cm")
    1.527 cm
    """
    if isinstance(fractions, Mixture):
        return fractions
    if isinstance(fractions, str | Material):
        return Mixture((material(fractions),))
    if not isinstance(fractions, Mapping):
        raise TypeError(
            "a mixture is made from a mapping {'Pb': 0.9, 'Cu': 0.1}, a name or a Material, not "
            f"{type(fractions).__name__}"
        )
    if not fractions:
        raise ValueError("a mixture needs at least one material, e.g. mixture({'Pb': 0.9, 'Cu': 0.1})")
    values = list(fractions.values())
    traced = any(isinstance(value, jax.core.Tracer) for value in values)
    return Mixture(tuple(fractions), jnp.stack([jnp.asarray(v, float) for v in values], -1) if traced else values)


__all__ = ["MOLIERE_ENERGY", "CriticalEnergy", "Medium", "Mixture", "check_critical_energy", "mixture"]
