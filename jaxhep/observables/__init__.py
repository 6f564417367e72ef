"""Event-shape observables: functions of one event (momenta, mask), exact, masked and differentiable."""

import math

from jaxhep.observables.correlations import energy_energy_correlation
from jaxhep.observables.durham import (
    durham_merging_scales,
    minus_log_y,
    minus_log_y23,
    minus_log_y34,
    minus_log_y45,
    y23,
    y34,
    y45,
)
from jaxhep.observables.event_shapes import event_shapes
from jaxhep.observables.hemispheres import (
    heavy_jet_mass,
    light_jet_mass,
    narrow_broadening,
    total_broadening,
    wide_broadening,
)
from jaxhep.observables.lund import lund_coordinates, multiplicity
from jaxhep.observables.registry import OBSERVABLES, Observable, get_observable, register
from jaxhep.observables.tensors import aplanarity, c_parameter, d_parameter, sphericity
from jaxhep.observables.thrust import oblateness, one_minus_thrust, thrust, thrust_axis, thrust_major, thrust_minor

# Bounds hold for balanced momenta (the centre-of-mass frame).
_UNRESOLVED = 10 * math.log(10)
for _entry in (
    Observable("thrust", thrust, "T", (0.5, 1.0), power_coefficient=-2.0, vanishes_for_pencil=False),
    Observable("one_minus_thrust", one_minus_thrust, "1-T", (0.0, 0.5), power_coefficient=2.0),
    Observable("thrust_major", thrust_major, "T_{major}", (0.0, 1.0)),
    Observable("thrust_minor", thrust_minor, "T_{minor}", (0.0, 1.0)),
    Observable("oblateness", oblateness, "O", (-1.0, 1.0)),
    Observable("c_parameter", c_parameter, "C", (0.0, 1.0), power_coefficient=3 * math.pi),
    Observable("d_parameter", d_parameter, "D", (0.0, 1.0)),
    Observable("heavy_jet_mass", heavy_jet_mass, r"\rho", (0.0, 1.0), power_coefficient=1.0),
    Observable("light_jet_mass", light_jet_mass, r"\rho_L", (0.0, 0.25)),
    Observable("total_broadening", total_broadening, "B_T", (0.0, 0.5)),
    Observable("wide_broadening", wide_broadening, "B_W", (0.0, 0.5)),
    Observable("narrow_broadening", narrow_broadening, "B_N", (0.0, 0.25)),
    Observable("sphericity", sphericity, "S", (0.0, 1.0), infrared_safe=False),
    Observable("aplanarity", aplanarity, "A", (0.0, 0.5), infrared_safe=False),
    Observable("y23", y23, "y_{23}", (0.0, 1 / 3)),
    Observable("y34", y34, "y_{34}", (0.0, 1 / 3)),
    Observable("y45", y45, "y_{45}", (0.0, 1 / 3)),
    Observable("minus_log_y23", minus_log_y23, r"-\ln y_{23}", (0.0, _UNRESOLVED), vanishes_for_pencil=False),
    Observable("minus_log_y34", minus_log_y34, r"-\ln y_{34}", (0.0, _UNRESOLVED), vanishes_for_pencil=False),
    Observable("minus_log_y45", minus_log_y45, r"-\ln y_{45}", (0.0, _UNRESOLVED), vanishes_for_pencil=False),
    Observable("multiplicity", multiplicity, "n", (0.0, None), infrared_safe=False, vanishes_for_pencil=False),
):
    register(_entry)
del _entry

__all__ = [
    "OBSERVABLES",
    "Observable",
    "aplanarity",
    "c_parameter",
    "d_parameter",
    "durham_merging_scales",
    "energy_energy_correlation",
    "event_shapes",
    "get_observable",
    "heavy_jet_mass",
    "light_jet_mass",
    "lund_coordinates",
    "minus_log_y",
    "minus_log_y23",
    "minus_log_y34",
    "minus_log_y45",
    "multiplicity",
    "narrow_broadening",
    "oblateness",
    "one_minus_thrust",
    "register",
    "sphericity",
    "thrust",
    "thrust_axis",
    "thrust_major",
    "thrust_minor",
    "total_broadening",
    "wide_broadening",
    "y23",
    "y34",
    "y45",
]
