"""Levels and arrays, for large layouts and late rounds: the same events as slot by slot, particle by particle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.shower import DiscreteQCD, _branching, _grove, discrete_qcd
from jaxhep.simulator import with_parameters


def events(shower, moved, noise):
    """Events at the reference, those moved, and the derivative of both with respect to ln Λ; in float64."""

    def both(log_lambda, one):
        here = with_parameters(shower, {"lambda_qcd": jnp.exp(log_lambda)})
        away = with_parameters(shower, {"lambda_qcd": moved * jnp.exp(log_lambda)})
        return here(one), away(one, reference=here)

    def tangents(one):
        start = jnp.log(shower.lambda_qcd.astype(float))
        return jax.jvp(lambda t: both(t, one), (start,), (jnp.ones_like(start),))

    return jax.jit(jax.vmap(tangents))(noise)


@pytest.mark.parametrize("mode", ["smooth", "lattice"])
def test_levels_and_single_slots_are_the_same_shower(mode, monkeypatch):
    shower = DiscreteQCD(lambda_qcd=0.2, mode=mode, matrix_element=True, quark_colour="C_F")
    assert 1 < shower.layout.num_slots <= _grove.UNROLLED_SLOTS
    with jax.enable_x64(True):
        noise = jax.random.uniform(jax.random.key(3), (400, shower.layout.num_slots, 3), jnp.float64)
        levels = events(shower, 1.07, noise)
        monkeypatch.setattr(discrete_qcd, "UNROLLED_CAPACITY", shower.capacity)
        slots = events(shower, 1.07, noise)
        monkeypatch.setattr(_branching, "_SEPARATE_ROWS", shower.capacity)
        single = events(shower, 1.07, noise)
    gluons = np.sum(np.asarray(single[0][0].mask), axis=1) - 2
    assert gluons.max() >= 4
    for other in (levels, slots):
        for a, b in zip(jax.tree.leaves(single), jax.tree.leaves(other), strict=True):
            if a.dtype == jax.dtypes.float0:
                continue
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_rounds_agree_where_the_gluons_fit():
    """Each round has its own form of the program; in float64 the same noise gives the same event in all of them."""
    shower = DiscreteQCD(lambda_qcd=0.2, matrix_element=True, quark_colour="C_F")
    with jax.enable_x64(True):
        noise = jax.random.uniform(jax.random.key(5), (2000, shower.layout.num_slots, 3), jnp.float64)
        small, middle, full = (jax.jit(jax.vmap(simulator))(noise) for simulator in shower.rounds())
    assert np.any(small.overflow)
    assert [simulator.capacity for simulator in DiscreteQCD(lambda_qcd=0.05, n_f=5).rounds()] == [16, 32, 47]
    for first, second in ((small, middle), (middle, full)):
        fits = ~np.asarray(first.overflow)
        assert fits.sum() > 100
        size = first.mask.shape[1]
        np.testing.assert_allclose(first.momenta[fits], second.momenta[fits][:, :size], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(first.weight[fits], second.weight[fits], rtol=1e-12)
        assert np.array_equal(first.mask[fits], second.mask[fits][:, :size])
        assert not np.any(second.mask[fits][:, size:])


def test_five_flavours_at_small_lambda():
    """323 slots: single precision stays single, four-momentum is conserved, hardly an event overflows."""
    shower = DiscreteQCD(lambda_qcd=0.05, n_f=5)
    assert shower.layout.num_slots == 323
    made = jax.jit(jax.vmap(shower))(jax.random.uniform(jax.random.key(1), (4096, 323, 3), jnp.float32))
    assert made.momenta.dtype == made.weight.dtype == jnp.float32
    total = np.sum(np.asarray(made.momenta, np.float64), axis=1)
    np.testing.assert_allclose(total, np.broadcast_to([91.1876, 0, 0, 0], total.shape), atol=1e-3)
    assert np.sum(made.overflow) <= 2
    assert np.mean(np.sum(made.mask, axis=1)) > 10
