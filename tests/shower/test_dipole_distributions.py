"""The dipole shower against quadrature, fixed order and the tables of GAPS."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.observables import (
    c_parameter,
    durham_merging_scales,
    heavy_jet_mass,
    light_jet_mass,
    narrow_broadening,
    one_minus_thrust,
    wide_broadening,
    y23,
)
from jaxhep.reference import read_yoda
from jaxhep.shower import DipoleShower
from jaxhep.simulator import generate, with_parameters
from tests.shower.dipole_oracles import first_branching, fixed_order
from tests.shower.oracles import ENERGY, FALSE_ALARM, PULL, check_frequencies, check_pull

GAPS = Path(__file__).parents[3] / "shared" / "reference" / "peer-mc" / "gaps_v1_paper_gpu.yoda"


@pytest.mark.parametrize("gradient", ["weight", "pathwise"])
def test_first_branching_has_the_sudakov_and_the_kernel(gradient):
    """Cells in (ln t, z) against quadrature; a χ² of about 200 cells with false alarm rate 2e-7."""
    count, cutoff = 2**18, 1.0
    # Room for one branching only: the event stops at the second, which is all that is needed and quick.
    shower = DipoleShower(cutoff=cutoff, gradient=gradient, capacity=3, trials=24)

    def first(event):
        return {"log_t": 2 * jnp.log(jnp.where(event.history.mask[0], event.history.kt[0], 1)), "z": event.history.z[0],
                "some": event.history.mask[0], "right": event.history.right_emits[0]}  # fmt: skip

    sample = generate(shower, jax.random.key(11), count, observables=first, chunk_size=count)
    log_edges = np.concatenate([np.linspace(0.0, 6.5, 27), [math.log(ENERGY**2 / 4)]])
    z_edges = np.array([0.0, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 1.0])
    cells, none = first_branching(0.118, ENERGY, cutoff, log_edges, z_edges)
    assert cells.sum() + none == pytest.approx(1, abs=2e-4)
    some = np.asarray(sample["some"])
    counts = np.histogram2d(np.asarray(sample["log_t"])[some], np.asarray(sample["z"])[some], [log_edges, z_edges])[0]
    observed = np.append(counts.ravel(), (~some).sum())
    expected = np.append(cells.ravel(), none)
    # Cells that the phase space does not reach hold rounding only.
    expected[expected < 1e-9] = 0
    check_frequencies(observed, expected / expected.sum())
    # Both ends alike.
    right = np.asarray(sample["right"])[some]
    assert abs(right.mean() - 0.5) < PULL * 0.5 / math.sqrt(some.sum())


def test_fixed_order_coefficients():
    """dE/dα_s at α_s → 0: the sample at α_s = 0.02 reweighted to (almost) none; exact first matrix element."""
    cutoff, count = 0.3, 2**18
    reference = DipoleShower(alpha_s=0.02, cutoff=cutoff, matrix_element=True, capacity=4, trials=24)
    shapes = {"one_minus_thrust": one_minus_thrust, "c_parameter": c_parameter, "y23": y23}

    @jax.jit
    def slopes(alpha_s):
        def run(alpha_s):
            shower = with_parameters(reference, {"alpha_s": alpha_s})
            return generate(shower, jax.random.key(5), count, observables=shapes, reference=reference, chunk_size=count)

        values, tangents = jax.jvp(run, (alpha_s,), (jnp.ones(()),))
        return values, tangents

    values, tangents = slopes(jnp.asarray(1e-7))
    # Only events with one branching contribute: their weight rises from zero.
    contribution = np.asarray(tangents["weight"], float)

    def tau(x1, x2):
        return 1 - np.maximum(np.maximum(x1, x2), 2 - x1 - x2)

    def shape_c(x1, x2):
        x3 = 2 - x1 - x2
        return 6 * (1 - x1) * (1 - x2) * (1 - x3) / (x1 * x2 * x3)

    def durham(x1, x2):
        x3 = 2 - x1 - x2
        pairs = ((x1, x2, x3), (x2, x3, x1), (x3, x1, x2))
        return np.min([np.minimum(a / b, b / a) * (1 - c) for a, b, c in pairs], axis=0)

    analytic = {"one_minus_thrust": (tau, 2.1035), "c_parameter": (shape_c, 8.6379), "y23": (durham, 0.8942)}
    for name, (shape, published) in analytic.items():
        # The quadrature tends to the published coefficient when the cut-off is taken away ...
        assert fixed_order(ENERGY, 1e-3, shape) == pytest.approx(published, rel=2e-3)
        # ... and the shower has it with its cut-off.
        terms = 2 * math.pi * contribution * np.asarray(values[name], float)
        error = terms.std() / math.sqrt(count)
        pull = (terms.mean() - fixed_order(ENERGY, cutoff, shape)) / error
        print(f"{name}: {terms.mean():.4f} ± {error:.4f}, with this cut-off {fixed_order(ENERGY, cutoff, shape):.4f}")
        assert abs(pull) < PULL, (name, pull)
        assert error < 0.025 * published
    # Double logarithm at fixed coupling: no emission with probability exp(−R), R = α_s/2π · C_F (L² − 3L + const).
    terms = 2 * math.pi * contribution * (np.asarray(values["one_minus_thrust"]) > 0)

    def exponent(cutoff):
        return fixed_order(ENERGY, cutoff, lambda x1, x2: 1 + 0 * x1)

    check_pull(terms.mean(), terms.std() / math.sqrt(count), exponent(cutoff))
    print(f"R/(α_s/2π): {terms.mean():.3f} ± {terms.std() / math.sqrt(count):.3f}, quadrature {exponent(cutoff):.3f}")
    # L grows by 2 from one to the next.
    deep = 0.03
    low, middle, high = (exponent(deep * factor) for factor in (math.e, 1, 1 / math.e))
    assert (high - 2 * middle + low) / 8 == pytest.approx(4 / 3, rel=1e-3)
    assert (high - low) / 4 - 2 * 4 / 3 * math.log(ENERGY**2 / deep**2) == pytest.approx(-3 * 4 / 3, rel=2e-3)


def test_without_flavours_there_are_gluons_only():
    keys = jax.random.split(jax.random.key(2), 2048)
    events = {}
    for flavours in (0, 5):
        shower = DipoleShower(flavours=flavours, headroom=1.0, capacity=8, trials=12)
        events[flavours] = jax.jit(jax.vmap(lambda k, s=shower: s(s.sample_noise(k))))(keys)
    ids = np.asarray(events[0].pdg_id)
    assert set(np.unique(ids)) == {-1, 0, 1, 21}
    assert set(np.unique(np.asarray(events[5].pdg_id))) == {*range(-5, 6), 21}


def test_multiplicity_grows():
    count = 2**15
    showers = [DipoleShower(cutoff=6.0, headroom=1.0, capacity=8, trials=16, cmw=cmw) for cmw in (False, True)]
    keys = jax.random.split(jax.random.key(3), count)

    @jax.jit
    def partons(shower):
        return jnp.stack([f(jax.vmap(lambda k: shower(shower.sample_noise(k)).mask.sum())(keys) * 1.0)
                          for f in (jnp.mean, jnp.var)])  # fmt: skip

    base = partons(showers[0])
    changes: list[dict] = [{"cutoff": 4.0}, {"energy": 200.0}, {"alpha_s": 0.135}, {"scale_factor": 0.5}]
    for shower in [*(with_parameters(showers[0], change) for change in changes), showers[1]]:
        more = partons(shower)
        print(f"partons: {float(base[0]):.4f} to {float(more[0]):.4f} ± {math.sqrt(float(more[1]) / count):.4f}")
        assert float(more[0] - base[0]) > PULL * math.sqrt(float(more[1] + base[1]) / count)


# Against GAPS: M. Seymour, S. Sule, arXiv:2403.08692, code version 1.0. An event with two partons counts as underflow,
# as do light jet mass and narrow broadening where a hemisphere holds one parton; jet masses are M/E_vis, not its
# square.


def gaps_observables(event):
    p, mask = event.momenta, event.mask
    scales = durham_merging_scales(p, mask, 6)
    return {
        "n": jnp.sum(mask),
        "tvalue": one_minus_thrust(p, mask),
        "hjm": jnp.sqrt(heavy_jet_mass(p, mask)),
        "ljm": jnp.sqrt(light_jet_mass(p, mask)),
        "wjb": wide_broadening(p, mask),
        "njb": narrow_broadening(p, mask),
        **{f"log10y{m - 1}{m}": jnp.log10(jnp.maximum(scales[m - 3], 1e-30)) for m in (3, 4, 5, 6)},
    }


@pytest.mark.skipif(not GAPS.exists(), reason="the tables of GAPS are not in the distribution")
def test_distributions_of_gaps():
    count = 2**17
    shower = DipoleShower(energy=91.2, headroom=1.0, capacity=12, trials=20)
    sample = generate(shower, jax.random.key(1), count, observables=gaps_observables, chunk_size=count)
    sample = {name: np.asarray(values) for name, values in sample.items()}
    some, both = sample["n"] > 2, sample["njb"] > 1e-5
    for name in ("tvalue", "tzoomd", "hjm", "ljm", "wjb", "njb", "log10y23", "log10y34", "log10y45", "log10y56"):
        table = read_yoda(GAPS, name, normalize=True)
        edges = table.edges
        width = np.diff(edges)
        theirs, error = table.values * width, np.asarray(table.stat) * width
        least = int(name[-1]) if name.startswith("log10y") else 3
        filled = both if name in ("ljm", "njb") else some & (sample["n"] >= least)
        counts = np.histogram(sample["tvalue" if name == "tzoomd" else name][filled], edges)[0]
        ours = counts / count
        variance = ours * (1 - ours) / count + error**2
        enough = (counts > 25) & (theirs > 0)
        pulls = (ours - theirs)[enough] / np.sqrt(variance[enough])
        chi2, cells = float(np.sum(pulls**2)), int(enough.sum())
        print(f"{name}: χ²/cells = {chi2:.1f}/{cells}")
        assert cells > 20
        assert chi2 < scipy.stats.chi2.isf(FALSE_ALARM, cells), name
