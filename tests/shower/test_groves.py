"""Which gluons there are: both modes against exact numbers. Each statistical verdict has a false alarm rate of 2e-7."""

import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhep.expectation import derivative, mean
from jaxhep.shower import DiscreteQCD
from jaxhep.shower._grove import OPENING, draw_grove
from tests.shower.oracles import (
    ENERGY,
    check_frequencies,
    check_pull,
    gluon_probabilities,
    groves,
    lattice_scale,
    smooth_means,
)

EVENTS = 2**16


def drawer(shower):
    """A compiled map (Λ, key) → levels of all slots, weights, and d(weight)/d ln Λ; Λ is traced."""

    def one(log_lambda, key):
        log_scale = 2 * (math.log(ENERGY) - log_lambda)
        grove = draw_grove(shower.layout, shower.geometry, shower.sample_noise(key), log_scale, None)
        level = [jnp.where(a, jnp.floor(h), 0) for a, h in zip(grove.active, grove.height, strict=True)]
        return grove.weight, jnp.stack(level).astype(jnp.uint8)

    @jax.jit
    def draw(lambda_qcd, key):
        def moved(key):
            weight, tangent, level = jax.jvp(
                lambda t: one(t, key), (jnp.log(lambda_qcd),), (jnp.ones(()),), has_aux=True
            )
            return level, weight, tangent

        return jax.lax.map(moved, jax.random.split(key, EVENTS), batch_size=2048)

    return lambda lambda_qcd, seed: jax.tree.map(np.asarray, draw(jnp.asarray(lambda_qcd), jax.random.key(seed)))


@pytest.fixture(scope="module")
def lattice():
    """Groves of the lattice for any N up to 6, from one layout."""
    shower = DiscreteQCD(lambda_qcd=0.2, mode="lattice", lambda_range=(lattice_scale(6), ENERGY))
    return shower.layout, drawer(shower)


def column_tree(layout, levels, slot, column):
    """The contents of a column in the form of `oracles.column_groves`."""
    if slot is None or not levels[slot]:
        return ()
    inner = {(s.column, s.side): i for i, s in enumerate(layout.slots) if s.parent == slot}
    sides = [
        tuple(column_tree(layout, levels, inner.get((k, side)), k) for k in range(1, levels[slot] + 1))
        for side in (1, -1)
    ]
    return (int(levels[slot]), *sides)


def event_tree(layout, levels, num_levels):
    primary = {s.column: i for i, s in enumerate(layout.slots) if s.parent < 0}
    return tuple(
        column_tree(layout, levels, primary.get(j), num_levels - abs(j)) for j in range(1 - num_levels, num_levels)
    )


def test_the_24_groves_at_the_z(lattice):
    layout, draw = lattice
    exact = dict(groves(3))
    assert len(exact) == 24
    assert sum(exact.values()) == 1
    levels, _, _ = draw(0.2, 1)
    patterns, counts = np.unique(levels, axis=0, return_counts=True)
    found: Counter = Counter()
    for pattern, count in zip(patterns, counts, strict=True):
        tree = event_tree(layout, pattern, 3)
        found[tree] += int(count)
        assert tree in exact
    # The translation has lost no gluon: as many patterns as trees.
    assert len(patterns) == 24
    check_frequencies([found[g] for g in exact], [float(p) for p in exact.values()])


def test_exact_probabilities_at_the_z():
    probabilities = [float(p) for p in gluon_probabilities(3)]
    np.testing.assert_allclose(probabilities, [1 / 12, 13 / 48, 1 / 3, 5 / 24, 1 / 12, 1 / 48])
    n = np.arange(6)
    assert np.dot(n, probabilities) == pytest.approx(2)
    assert np.dot((n - 2) ** 2, probabilities) == pytest.approx(4 / 3)


@pytest.mark.parametrize("num_levels", [2, 3, 4, 5, 6])
def test_number_of_gluons_follows_the_generating_function(lattice, num_levels):
    _, draw = lattice
    probabilities = np.array([float(p) for p in gluon_probabilities(num_levels)])
    levels, weight, tangent = draw(lattice_scale(num_levels), 10 + num_levels)
    gluons = np.sum(levels > 0, axis=1)
    counts = np.bincount(gluons, minlength=len(probabilities))
    check_frequencies(counts, probabilities)
    n = np.arange(len(probabilities))
    average = np.dot(n, probabilities)
    spread, fourth = (np.dot((n - average) ** k, probabilities) for k in (2, 4))
    check_pull(gluons.mean(), math.sqrt(spread / EVENTS), average)
    if num_levels > 2:  # P = ½, ½ at N = 2: the variance has no first-order error there
        check_pull(np.var(gluons), math.sqrt((fourth - spread**2) / EVENTS), spread)
    # Between jumps nothing depends on Λ: the derivative is zero, exactly.
    assert np.all(weight == 1)
    assert np.all(tangent == 0)


def test_lattice_probabilities_jump_where_n_changes_and_nowhere_else(lattice):
    _, draw = lattice
    inside = [draw(scale, 5)[0] for scale in (0.0597, 0.2, 0.3726)]
    np.testing.assert_array_equal(inside[0], inside[1])
    np.testing.assert_array_equal(inside[1], inside[2])
    for scale, num_levels in ((0.0595, 4), (0.3728, 2)):
        beyond = draw(scale, 5)[0]
        counts = np.bincount(np.sum(beyond > 0, axis=1), minlength=len(gluon_probabilities(num_levels)))
        check_frequencies(counts, [float(p) for p in gluon_probabilities(num_levels)])
        assert np.mean(np.any(beyond != inside[1], axis=1)) > 0.1


@pytest.mark.parametrize(("n_f", "quark_colour"), [(0, "C_A/2"), (5, "C_A/2"), (0, "C_F")])
def test_smooth_multiplicity_and_its_derivative_against_quadrature(n_f, quark_colour):
    shower = DiscreteQCD(
        lambda_qcd=0.2, n_f=n_f, quark_colour=quark_colour, lambda_range=(0.059 if n_f == 0 else 0.15, 1.0)
    )
    draw = drawer(shower)
    thinning = 8 / 9 if quark_colour == "C_F" else 1.0
    # Close by on both sides of the places where the lattice jumps (0.0596 and 0.3727 GeV for n_f = 0).
    for scale in (0.0592, 0.06, 0.2, 0.371, 0.3745) if n_f == 0 else (0.16, 0.35):
        levels, weight, tangent = draw(scale, round(10_000 * scale))
        gluons = np.sum(levels > 0, axis=1).astype("float32")
        expected, empty = smooth_means(scale, n_f, thinning, OPENING)
        estimate = mean(jnp.asarray(gluons), jnp.asarray(weight))
        check_pull(estimate.value, estimate.error, expected)
        check_pull(np.mean(gluons == 0), math.sqrt(empty * (1 - empty) / EVENTS), empty)
        step = 1e-3
        plus, minus = (smooth_means(scale * math.exp(h), n_f, thinning, OPENING) for h in (step, -step))
        for values, index in ((gluons, 0), ((gluons == 0).astype("float32"), 1)):
            slope = derivative(*map(jnp.asarray, (values, np.zeros_like(values), weight, tangent)))
            check_pull(slope.value, slope.error, (plus[index] - minus[index]) / (2 * step))
        # The weight has mean one at every Λ: its derivative averages to zero.
        assert np.all(weight == 1)
        check_pull(tangent.mean(), tangent.std() / math.sqrt(EVENTS), 0)
