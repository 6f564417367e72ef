"""The whole-event detector in NumPy: one event after the other, arrays over its particles. The peer of `detector`.

Written from the formulae of `jaxhep.detector.fast`, without its code: it takes the same parameters and the same noise
and gives the same numbers, which is also a test of both.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def step(x: Array, centre: Any, half_width: float | Array) -> Array:
    """0 below centre − half_width, 1 above centre + half_width, a cubic between."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.clip((x - centre) / half_width, -1, 1)
    return np.where(np.asarray(half_width) > 0, 0.5 + 0.75 * t - 0.25 * t**3, x > centre)


def log_normal(mean: Array, variance: Array, z: Array) -> Array:
    """Positive, with this mean and variance."""
    safe = np.where(mean > 1e-9, mean, 1.0)
    s2 = np.log1p(variance / safe**2)
    return np.where(mean > 1e-9, safe * np.exp(np.sqrt(s2) * z - s2 / 2), 0.0)


def shares(eta: Array, edges: tuple[float, ...]) -> Array:
    """Share of each |η| region, shape (region, particle)."""
    above = [np.ones_like(eta), *(step(np.abs(eta), edge, 0.05) for edge in edges), np.zeros_like(eta)]
    return np.array([low - high for low, high in pairwise(above)])


class NumpyDetector:
    """The numbers of a `jaxhep.detector.Detector` as NumPy arrays, and its response to one event."""

    def __init__(self, detector: Any) -> None:
        import jax

        self.d = jax.tree.map(lambda x: np.asarray(x, float), detector)

    def __call__(self, momenta: Array, charge: Array, kind: Array, u: Array, z: tuple[Array, Array, Array]) -> Any:
        """Energy-flow objects (object, 4) of one event.

        `momenta` (particle, 4), `charge` and `kind` of real particles; `u` for the efficiency; `z` normal variates
        (particle, 3) for the tracks and (particle, 4) for each calorimeter.
        """
        d, t = self.d, self.d.tracks
        energy, pz = momenta[:, 0], momenta[:, 3]
        pt, phi = np.hypot(momenta[:, 1], momenta[:, 2]), np.arctan2(momenta[:, 2], momenta[:, 1])
        cot = pz / pt
        eta = np.arcsinh(cot)
        species = np.where(kind == 1, 0, np.where(kind == 3, 1, 2))
        region = shares(eta, t.edges)

        def at(table: Array) -> Array:
            return np.einsum("nr,rn->n", table[species], region)

        x = (pt / t.half_pt) ** t.steepness
        efficiency = at(t.plateau) * x / (1 + x) * step(t.eta_max - np.abs(eta), 0.0, float(t.eta_width))
        found = (charge != 0) & (kind != 0) & (u < efficiency)
        relative = at(t.multiple_scattering) ** 2 + (at(t.curvature) * pt) ** 2
        measured = t.scale * log_normal(pt, relative * pt**2, z[0][:, 0])
        angle = phi + t.sigma_phi * z[0][:, 1]
        along = measured * np.sinh(eta + t.sigma_eta * z[0][:, 2])
        mass = np.array([0.51099895e-3, 0.1056583755, 0.13957039])[species]
        tracks = np.stack(
            [np.sqrt(measured**2 + along**2 + mass**2), measured * np.cos(angle), measured * np.sin(angle), along], 1
        )
        s = d.solenoid
        kappa = 0.299792458 * np.abs(charge) * s.field * s.radius / (2 * pt)
        end_cap = kappa * s.half_length / (s.radius * np.maximum(np.abs(cot), 1e-6))
        delta = np.minimum(np.where(kappa < 1 - 1e-5, np.arcsin(np.minimum(kappa, 1)), math.pi / 2), end_cap)
        half = float(s.looper_width) / 2
        reaches = 1 - (1 - step(1 - kappa, half, half)) * (1 - step(1 - end_cap / (math.pi / 2), half, half))
        cot = cot / np.sinc(delta / math.pi)
        phi = phi - np.sign(charge) * delta
        objects = [tracks[found]]
        for i, layer in enumerate((d.ecal, d.hcal)):
            fraction = np.abs(i - d.ecal_fraction[kind])

            def deposit(e: Array, fraction: Array = fraction, i: int = i) -> Array:
                muon = np.minimum(e, d.muon_deposit[i])
                return reaches * np.where(kind == 0, 0, np.where(kind == 3, muon, fraction * e))

            explained = np.where(found, deposit(tracks[:, 0]), 0)
            variance = np.where(kind == 3, 0, relative * explained**2)
            objects.append(self._towers(layer, cot, phi, deposit(energy), explained, variance, z[i + 1]))
        return np.concatenate(objects)

    def _towers(
        self, layer: Any, cot: Array, phi: Array, deposit: Array, explained: Array, variance: Array, z: Array
    ) -> Array:
        """Neutral excess of each tower as massless four-momenta."""
        polar = np.arcsinh(cot) if layer.coordinate == "eta" else np.arctan(cot)
        towers: dict[tuple[int, int], list[float]] = {}
        places = ((polar / layer.extent + 1) * layer.rows / 2, phi * layer.columns / (2 * math.pi))
        edges = [np.round(place).astype(int) for place in places]
        upper = [step(place - edge, 0.0, float(layer.spread)) for place, edge in zip(places, edges, strict=True)]
        for n in np.flatnonzero((deposit > 0) | (explained > 0)):
            for a in (-1, 0):
                for b in (-1, 0):
                    row, column = int(edges[0][n]) + a, (int(edges[1][n]) + b) % layer.columns
                    share = (upper[0][n] if a == 0 else 1 - upper[0][n]) * (upper[1][n] if b == 0 else 1 - upper[1][n])
                    if share <= 0 or not 0 <= row < layer.rows:
                        continue
                    sums = towers.setdefault((row, column), [0.0, 0.0, 0.0, z[n, 2 * (row % 2) + column % 2]])
                    sums[0] += share * deposit[n]
                    sums[1] += share * explained[n]
                    sums[2] += share**2 * variance[n]
        if not towers:
            return np.zeros((0, 4))
        cells, values = np.array(list(towers)), np.array(list(towers.values()))
        centre = layer.extent * ((2 * cells[:, 0] + 1) / layer.rows - 1)
        if layer.coordinate == "eta":
            eta, sine, cosine = centre, 1 / np.cosh(centre), np.tanh(centre)
        else:
            eta, sine, cosine = np.arcsinh(np.tan(centre)), np.cos(centre), np.sin(centre)
        region = shares(eta, layer.edges)
        a, b, c = (table @ region for table in (layer.stochastic, layer.noise, layer.constant))
        e, t, v, normal = values.T
        raw = layer.scale * log_normal(e, a**2 * e + b**2 + (c * e) ** 2, normal)
        energy = raw * step(raw, layer.threshold, float(layer.softness * layer.threshold))
        cut = layer.significance * np.sqrt(v + a**2 * t + (c * t) ** 2) + 1e-5 * t
        excess = np.maximum(energy - t, 0)
        excess = excess * step(excess, cut, layer.softness * cut)
        azimuth = (cells[:, 1] + 0.5) * 2 * math.pi / layer.columns
        unit = np.stack([np.ones_like(sine), sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], 1)
        return (excess[:, None] * unit)[excess > 0]
