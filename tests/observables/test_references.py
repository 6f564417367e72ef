"""Hadron-level events of Pythia 8: observables against FastJet and Pythia's own analyses, to 1e-6."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.observables import event_shapes

NUM_EVENTS = 30
CAPACITY = 160
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def hadrons() -> list[tuple[np.ndarray, dict[str, float]]]:
    """Momenta of the stable particles of e+e− → hadrons at the Z, with Pythia's analyses of them."""
    pythia8 = pytest.importorskip("pythia8mc")
    pythia = pythia8.Pythia("", False)
    for line in (
        "Print:quiet = on", "Beams:idA = 11", "Beams:idB = -11", "Beams:eCM = 91.1876", "PDF:lepton = off",
        "WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", "23:onIfAny = 1 2 3 4 5",
        "Random:setSeed = on", "Random:seed = 7",
    ):  # fmt: skip
        assert pythia.readString(line)
    assert pythia.init()
    analyses = {
        "thrust": pythia8.Thrust(1),
        "quadratic": pythia8.Sphericity(2.0, 1),
        "linear": pythia8.Sphericity(1.0, 1),
    }
    events: list[tuple[np.ndarray, dict[str, float]]] = []
    while len(events) < NUM_EVENTS:
        if not pythia.next():
            continue
        stable = [p for p in (pythia.event[i] for i in range(pythia.event.size())) if p.isFinal()]
        assert 2 < len(stable) <= CAPACITY
        momenta = np.array([[p.e(), p.px(), p.py(), p.pz()] for p in stable])
        for analysis in analyses.values():
            assert analysis.analyze(pythia.event)
        thrust, quadratic, linear = analyses["thrust"], analyses["quadratic"], analyses["linear"]
        axis = thrust.eventAxis(1)
        values = {"thrust": thrust.thrust(), "thrust_major": thrust.tMajor(), "thrust_minor": thrust.tMinor()}
        values |= {
            "oblateness": thrust.oblateness(),
            "sphericity": quadratic.sphericity(),
            "aplanarity": quadratic.aplanarity(),
        }
        values |= tensor_shapes(*(linear.eigenValue(i) for i in (1, 2, 3)))
        values |= hemisphere_shapes(momenta, np.array([axis.px(), axis.py(), axis.pz()]))
        events.append((momenta, values))
    return events


def tensor_shapes(a: float, b: float, c: float) -> dict[str, float]:
    return {"c_parameter": 3 * (a * b + b * c + c * a), "d_parameter": 27 * a * b * c}


def hemisphere_shapes(momenta: np.ndarray, axis: np.ndarray) -> dict[str, float]:
    """Jet masses and broadenings, written out, with Pythia's thrust axis."""
    side = momenta[:, 1:] @ axis > 0
    masses, widths = [], []
    for part in (momenta[side], momenta[~side]):
        jet = part.sum(axis=0)
        masses.append((jet[0] ** 2 - (jet[1:] ** 2).sum()) / momenta[:, 0].sum() ** 2)
        across = np.linalg.norm(np.cross(part[:, 1:], axis), axis=1).sum()
        widths.append(across / (2 * np.linalg.norm(momenta[:, 1:], axis=1).sum()))
    shapes = {"heavy_jet_mass": max(masses), "light_jet_mass": min(masses)}
    return shapes | {"wide_broadening": max(widths), "narrow_broadening": min(widths), "total_broadening": sum(widths)}


@pytest.fixture(scope="module")
def ours(hadrons: list[tuple[np.ndarray, dict[str, float]]]) -> dict[str, np.ndarray]:
    momenta = np.zeros((len(hadrons), CAPACITY, 4))
    mask = np.zeros((len(hadrons), CAPACITY), bool)
    for i, (event, _) in enumerate(hadrons):
        momenta[i, : len(event)], mask[i, : len(event)] = event, True
    with jax.enable_x64(True):
        shapes = jax.jit(lambda p, m: jax.lax.map(lambda e: event_shapes(*e), (p, m)))(
            jnp.asarray(momenta), jnp.asarray(mask)
        )
        return {k: np.asarray(v) for k, v in shapes.items()}


@pytest.mark.parametrize(
    "name",
    [
        "thrust", "thrust_major", "thrust_minor", "oblateness", "sphericity", "aplanarity", "c_parameter",
        "d_parameter", "heavy_jet_mass", "light_jet_mass", "wide_broadening", "narrow_broadening", "total_broadening",
    ],
)  # fmt: skip
def test_event_shapes_against_pythia(name: str, hadrons: Any, ours: Any) -> None:
    expected = [values[name] for _, values in hadrons]
    np.testing.assert_allclose(ours[name], expected, rtol=0, atol=TOLERANCE)


def test_durham_scales_against_fastjet(hadrons: Any, ours: Any) -> None:
    fastjet = pytest.importorskip("fastjet")
    durham = fastjet.JetDefinition0Param(fastjet.ee_kt_algorithm)
    for i, (momenta, _) in enumerate(hadrons):
        jets = [fastjet.PseudoJet(float(x), float(y), float(z), float(e)) for e, x, y, z in momenta]
        sequence = fastjet.ClusterSequence(jets, durham)
        expected = [sequence.exclusive_ymerge_max(n) for n in (2, 3, 4)]
        np.testing.assert_allclose([ours[name][i] for name in ("y23", "y34", "y45")], expected, rtol=1e-6, atol=1e-12)
