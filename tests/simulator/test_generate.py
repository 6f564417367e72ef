"""`generate`: the same events however the work is cut up."""

import inspect
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxhep.expectation import mean
from jaxhep.matrix_elements import ElectroweakQQbar
from jaxhep.shower import DiscreteQCD
from jaxhep.simulator import Chain, default_chunk, generate, generate_chunks, move, moved, with_parameters
from jaxhep.simulator._sizes import block_sizes, platform
from tests.simulator.toys import Toy, direct, total_energy

KEY = jax.random.key(42)
# False alarm rate 2e-7 of each Gaussian comparison (two-sided).
PULL = 5.2


def assert_same(a, b):
    assert str(jax.tree.structure(a)) == str(jax.tree.structure(b))
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("chunk_size", [7, 10**6])
def test_events_do_not_depend_on_the_chunk_size(chunk_size):
    assert_same(generate(Toy(), KEY, 300, chunk_size=chunk_size), direct(Toy(), KEY, 0, 300))


@pytest.mark.parametrize("first_event", [1, 2**31 - 300])
def test_event_ranges_continue(first_event):
    assert_same(
        generate(Toy(), KEY, 300, first_event=first_event, chunk_size=128), direct(Toy(), KEY, first_event, 300)
    )


@pytest.mark.parametrize(("num_devices", "chunk_size"), [(1, 64), (3, 64), (8, 1000)])
def test_events_do_not_depend_on_the_number_of_devices(num_devices, chunk_size):
    devices = jax.devices()[:num_devices]
    assert len(devices) == num_devices
    got = generate(Toy(), KEY, 301, devices=devices, chunk_size=chunk_size)
    assert_same(got, direct(Toy(), KEY, 0, 301))


def test_more_than_one_block_and_all_rounds():
    """Events of all rounds occur, and more of them than one block holds."""
    count = 10_000
    got, expected = generate(Toy(chance=0.7), KEY, count), direct(Toy(chance=0.7), KEY, 0, count)
    assert_same(got, expected)
    assert np.sum(np.asarray(got.mask).sum(axis=1) == 3) > 2048
    assert not np.asarray(got.overflow).any()


def test_events_do_not_depend_on_the_kind_of_device(monkeypatch):
    """With the block sizes of an accelerator: the same events and derivatives; later rounds have several blocks."""
    monkeypatch.setattr("jaxhep.simulator._generate.platform", lambda devices=None: "gpu")
    count = 10_000
    assert block_sizes(count, 3, on_cpu=False) == [10_000, 625, 256]
    got, expected = generate(Toy(chance=0.7), KEY, count), direct(Toy(chance=0.7), KEY, 0, count)
    assert_same(got, expected)

    def total(scale):
        sample = generate(Toy(scale, 0.7), KEY, count, observables={"energy": total_energy})
        return jnp.mean(sample["weight"] * sample["energy"])

    # The energies are proportional to the scale.
    scale = jnp.asarray(2.0)
    value, slope = jax.jvp(total, (scale,), (jnp.ones_like(scale),))
    np.testing.assert_allclose([slope, jax.grad(total)(scale)], value / scale, rtol=1e-5)


def test_the_default_device_is_the_one_that_jax_is_told():
    assert platform(jax.devices("cpu")) == platform() == "cpu"
    with jax.default_device(jax.devices("cpu")[1]):
        assert platform() == "cpu"
    with jax.default_device("tpu"):  # only named, not used
        assert platform() == "tpu"
        assert default_chunk() == 262_144
    assert default_chunk() == 65_536


def test_block_sizes():
    """A core's blocks have a fixed size; an accelerator's shrink from round to round, but not below 256."""
    assert block_sizes(65_536, 3, on_cpu=True) == [2048, 256, 256]
    assert block_sizes(100, 2, on_cpu=True) == [100, 100]
    assert block_sizes(2**22, 3, on_cpu=False) == [2**22, 2**18, 2**16]
    assert block_sizes(100, 2, on_cpu=False) == [100, 100]


def test_observables_by_mapping_and_by_function():
    events = direct(Toy(), KEY, 0, 500)
    table = generate(Toy(), KEY, 500, observables={"energy": total_energy}, chunk_size=200)
    assert set(table) == {"energy", "weight", "overflow"}
    np.testing.assert_allclose(table["energy"], jax.vmap(total_energy)(events.momenta, events.mask), rtol=1e-6)
    count = generate(Toy(), KEY, 500, observables=lambda event: jnp.sum(event.mask), chunk_size=200)
    np.testing.assert_array_equal(count, np.asarray(events.mask).sum(axis=1))
    # A function whose result has the capacity's shape works, too: the early rounds are then left out.
    energies = generate(Toy(), KEY, 500, observables=lambda event: event.momenta[:, 0], chunk_size=200)
    np.testing.assert_array_equal(energies, events.momenta[..., 0])


def test_chunks_and_progress():
    sizes = [chunk.weight.shape[0] for chunk in generate_chunks(Toy(), KEY, 250, chunk_size=100)]
    assert sizes == [100, 100, 50]
    done: list[int] = []
    generate(Toy(), KEY, 250, chunk_size=100, on_chunk=done.append)
    assert done == [100, 200, 250]


def test_other_numbers_of_events_do_not_recompile():
    observe_calls = []

    def observe(event):
        observe_calls.append(1)
        return event.weight

    generate(Toy(), KEY, 500, chunk_size=128, observables=observe)
    traced = len(observe_calls)
    assert traced > 0
    for count, key, scale in ((129, KEY, 2.0), (700, jax.random.key(1), 3.0), (128, KEY, 1.0)):
        generate(Toy(scale), key, count, chunk_size=128, observables=observe)
    generate(Toy(), KEY, 500, chunk_size=128, observables=observe, first_event=77)
    assert len(observe_calls) == traced
    generate(Toy(), KEY, 500, chunk_size=127, observables=observe)
    assert len(observe_calls) > traced


def test_noise_dtype_decides_the_precision():
    with jax.enable_x64(True):
        assert generate(Toy(), KEY, 10, dtype=jnp.float64).momenta.dtype == jnp.float64
        assert generate(Toy(), KEY, 10, dtype=jnp.float32).momenta.dtype == jnp.float32
    assert generate(Toy(), KEY, 10).momenta.dtype == jnp.float32


def test_generate_is_differentiable_both_ways_and_across_devices():
    """E[total energy] = scale·(c + c² + c³): the gradient has a pathwise and a score part."""
    count = 2**13

    def expectation(scale, chance, devices=None):
        table = generate(Toy(scale, chance), KEY, count, observables={"e": total_energy}, devices=devices)
        return mean(table["e"], table["weight"]).value

    scale, chance = 2.0, 0.4
    value, gradient = jax.value_and_grad(expectation, argnums=(0, 1))(scale, chance)
    exact = scale * (chance + chance**2 + chance**3)
    slopes = (exact / scale, scale * (1 + 2 * chance + 3 * chance**2))
    # Standard deviations of one event's terms, generously: energy 3, its score 12.
    assert abs(value - exact) < PULL * 3 / math.sqrt(count)
    assert abs(gradient[0] - slopes[0]) < PULL * 1.5 / math.sqrt(count)
    assert abs(gradient[1] - slopes[1]) < PULL * 12 / math.sqrt(count)
    assert abs(slopes[1]) > 2 * PULL * 12 / math.sqrt(count)
    forward = jax.jvp(expectation, (scale, chance), (0.0, 1.0))[1]
    np.testing.assert_allclose(forward, gradient[1], rtol=1e-4)
    sharded = jax.grad(lambda s, c: expectation(s, c, jax.devices()), argnums=(0, 1))(scale, chance)
    np.testing.assert_allclose(sharded, gradient, rtol=1e-4)


def test_moved_sample_by_reference():
    old, new = Toy(2.0, 0.4), Toy(2.2, 0.5)
    table = generate(new, KEY, 2**15, observables={"e": total_energy}, reference=old)
    estimate = mean(table["e"], table["weight"])
    exact = 2.2 * (0.5 + 0.25 + 0.125)
    assert abs(estimate.value - exact) < PULL * estimate.error
    same = generate(old, KEY, 2**15, observables={"e": total_energy})
    assert np.asarray(same["weight"] == 1).all()
    assert not np.asarray(table["weight"] == 1).all()


# Scrambled Sobol noise.


def test_sobol_is_unbiased_and_reduces_the_variance():
    count, scrambles = 1024, 32
    exact = 2.0 * (0.4 + 0.16 + 0.064)
    keys = jax.random.split(jax.random.key(9), scrambles)
    means = {
        kind: np.array(
            [
                float(
                    np.mean(
                        generate(Toy(), key, count, observables={"e": total_energy}, noise=kind, chunk_size=count)["e"]
                    )
                )
                for key in keys
            ]
        )
        for kind in ("random", "sobol")
    }
    for kind, values in means.items():
        # Student's t with 31 degrees of freedom, false alarm rate 2e-7.
        t = (values.mean() - exact) / (values.std(ddof=1) / math.sqrt(scrambles))
        assert abs(t) < scipy.stats.t.isf(1e-7, scrambles - 1), kind
    gain = means["random"].var(ddof=1) / means["sobol"].var(ddof=1)
    print(f"variance reduction by Sobol points, toy: {gain:.0f}")
    # With no gain at all the ratio exceeds this with a probability of 2e-7.
    assert gain > scipy.stats.f.isf(2e-7, scrambles - 1, scrambles - 1)


def test_sobol_events_do_not_depend_on_the_chunk_size():
    whole = generate(Toy(), KEY, 256, noise="sobol", chunk_size=256)
    assert_same(whole, generate(Toy(), KEY, 256, noise="sobol", chunk_size=100))
    assert_same(whole, generate(Toy(), KEY, 256, noise="sobol", chunk_size=96, devices=jax.devices()))
    tail = generate(Toy(), KEY, 100, noise="sobol", chunk_size=64, first_event=156)
    assert_same(tail, jax.tree.map(lambda x: x[156:], whole))
    other = generate(Toy(), jax.random.key(43), 256, noise="sobol", chunk_size=256)
    assert not np.array_equal(other.momenta, whole.momenta)


# Bad input.

BAD_COUNTS = [
    ({"num_events": 0}, ValueError, "num_events must be at least 1"),
    ({"num_events": -5}, ValueError, "num_events must be at least 1"),
    ({"num_events": 10.0}, TypeError, "num_events must be a whole number"),
    ({"num_events": math.nan}, TypeError, "num_events must be a whole number"),
    ({"num_events": True}, TypeError, "num_events must be a whole number"),
    ({"chunk_size": 0}, ValueError, "chunk_size must be at least 1"),
    ({"chunk_size": 1.5}, TypeError, "chunk_size must be a whole number"),
    ({"first_event": -1}, ValueError, "first_event must be at least 0"),
    ({"first_event": 2**31}, ValueError, "use another key"),
    ({"noise": "halton"}, ValueError, "noise must be 'random' or 'sobol'"),
    ({"observables": "thrust"}, TypeError, "observables must be None, a function"),
    ({"observables": {"thrust": 1}}, TypeError, "observables must be None, a function"),
    ({"reference": Chain(Toy())}, ValueError, "reference must be a simulator of the same structure"),
    ({"simulator": 3}, TypeError, "generate wants a simulator"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_COUNTS, ids=lambda x: str(x))
def test_bad_input_is_refused_before_compilation(arguments, error, message):
    complete = {"simulator": Toy(), "key": KEY, "num_events": 10} | arguments
    # Beneath the tests' type checks, which would answer first: what a user without them sees.
    unchecked = inspect.unwrap(generate_chunks)
    with pytest.raises(error, match=message):
        unchecked(complete.pop("simulator"), complete.pop("key"), complete.pop("num_events"), **complete)


def test_noise_and_names_of_another_simulator_are_refused():
    toy = Toy()
    with pytest.raises(ValueError, match=r"no parameter 'scal'.*did you mean 'scale'"):
        move(toy, toy.sample_noise(KEY), {"scal": 1.0})
    with pytest.raises(ValueError, match="no parameter 'scal'"):
        with_parameters(toy, {"scal": 1.0})
    with pytest.raises(ValueError, match="does not fit the simulator"):
        move(toy, jnp.full((5,), 0.5), {"scale": 1.0})
    with pytest.raises(ValueError, match="does not belong to the simulator"):
        moved(toy, (jnp.full((4,), 0.5),), {"scale": 1.0})
    with pytest.raises(ValueError, match="at least one simulator"):
        Chain()


# The shower itself, and two processes.


def shower_chain():
    """Quick to compile: two rounds, few slots."""
    return Chain(ElectroweakQQbar(), DiscreteQCD(lambda_qcd=1.0, lambda_range=(0.8, 2.0), mode="lattice"))


def summary(event):
    return {"p": jnp.sum(event.momenta**2, axis=0), "n": jnp.sum(event.mask), "pdg": event.pdg_id[0]}


def test_shower_in_rounds_on_eight_devices_equals_the_direct_map():
    shower = DiscreteQCD(lambda_qcd=0.5, lambda_range=(0.49, 0.51))
    assert len(shower.rounds()) > 1
    count = 1500
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(count, dtype=jnp.uint32))
    expected = jax.jit(jax.vmap(lambda k: shower(shower.sample_noise(k))))(keys)
    got = generate(shower, KEY, count, chunk_size=512, devices=jax.devices())
    for name in ("mask", "pdg_id", "overflow"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert np.asarray(got.mask).sum(axis=1).max() > 2 + shower.rounds()[0].capacity
    np.testing.assert_array_equal(got.weight, expected.weight)
    # The rounds are different programs: equal up to float32 rounding, which a chain of recoils passes on.
    np.testing.assert_allclose(got.momenta, expected.momenta, rtol=0, atol=1e-4 * 91.1876)
    np.testing.assert_allclose(got.history.kt, expected.history.kt, rtol=1e-3)
    np.testing.assert_array_equal(got.history.mask, expected.history.mask)


_CHILD = """
import json, sys
import jax, numpy as np
from jaxhep.simulator import generate
sys.path.insert(0, {root!r})
from tests.simulator.test_generate import shower_chain, summary
first, count = int(sys.argv[1]), int(sys.argv[2])
out = generate(shower_chain(), jax.random.key(7), count, first_event=first, chunk_size=count, observables=summary)
print(json.dumps({{k: np.asarray(v, float).tolist() for k, v in out.items()}}))
"""


def test_two_processes_give_the_events_of_one():
    root = str(Path(__file__).parents[2])
    count = 200
    command = [sys.executable, "-W", "error", "-c", _CHILD.format(root=root)]
    children = [
        subprocess.Popen(
            [*command, str(first), str(count)], stdout=subprocess.PIPE, cwd=root, text=True, env=os.environ.copy()
        )
        for first in (0, count)
    ]
    outputs = [child.communicate(timeout=300)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    parts = [json.loads(output.splitlines()[-1]) for output in outputs]
    whole = generate(shower_chain(), jax.random.key(7), 2 * count, chunk_size=count, observables=summary)
    for name, value in whole.items():
        np.testing.assert_allclose(parts[0][name] + parts[1][name], np.asarray(value, float), rtol=1e-6, err_msg=name)
    assert len({tuple(row) for row in np.asarray(whole["p"]).tolist()}) > 300


def test_sobol_reduces_the_variance_of_the_shower():
    """Mean number of gluons and mean hardest k⊥ over independent scrambles."""
    shower = DiscreteQCD(lambda_qcd=1.0, lambda_range=(0.8, 2.0), capacity=1)
    scrambles, count = 48, 4096

    def observe(event):
        return {"n": jnp.sum(event.mask) - 2.0, "kt": event.history.kt[0]}

    means: dict[str, np.ndarray] = {}
    for kind in ("random", "sobol"):
        tables = [
            generate(shower, key, count, observables=observe, noise=kind, chunk_size=count)
            for key in jax.random.split(jax.random.key(12), scrambles)
        ]
        means[kind] = np.array([[float(np.mean(t["n"])), float(np.mean(t["kt"]))] for t in tables])
    a, b = means["random"], means["sobol"]
    spread = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / scrambles)
    # Student's t with at least 47 degrees of freedom, false alarm rate 2e-7.
    assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < scipy.stats.t.isf(1e-7, scrambles - 1) * spread)
    gain = a.var(axis=0, ddof=1) / b.var(axis=0, ddof=1)
    print(f"variance reduction by Sobol points at {count} events: n {gain[0]:.1f}, hardest kT {gain[1]:.1f}")
    # With no gain the ratio of variances exceeds this with a probability of 2e-7.
    assert np.all(gain > scipy.stats.f.isf(2e-7, scrambles - 1, scrambles - 1))
