"""Two processes of `jax.distributed`, two devices each: the events and gradient of one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxhep.expectation import mean
from jaxhep.observables import one_minus_thrust
from jaxhep.shower import DiscreteQCD
from jaxhep.simulator import generate, with_parameters

ROOT = Path(__file__).resolve().parents[1]
EVENTS, CHUNK = 60, 32


def sample_and_gradient(devices):
    """1−T of some events (in two chunks), and the gradient of its mean with respect to Λ."""
    shower = DiscreteQCD(lambda_qcd=5.0)

    def average(value):
        events = generate(
            with_parameters(shower, {"lambda_qcd": value}),
            jax.random.key(3),
            EVENTS,
            observables={"tau": one_minus_thrust},
            chunk_size=CHUNK,
            devices=devices,
        )
        return mean(events["tau"], events["weight"]).value, events["tau"]

    gradient, tau = jax.grad(average, has_aux=True)(jnp.asarray(5.0))
    return tau, gradient


def worker(number, port):
    """One of the two processes; the first one prints what they found together."""
    from jax.experimental import multihost_utils

    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=number)
    assert (jax.process_count(), len(jax.devices()), len(jax.local_devices())) == (2, 4, 2)
    tau, gradient = sample_and_gradient(jax.devices())
    assert not tau.is_fully_addressable
    everything = multihost_utils.process_allgather(tau, tiled=True)
    if number == 0:
        print(json.dumps([np.asarray(everything).tolist(), float(gradient)]))


def test_two_processes_make_the_events_of_one():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = "import sys; from tests.test_processes import worker; worker(int(sys.argv[1]), sys.argv[2])"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", command, str(number), str(port)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    answers = [process.communicate(timeout=300) for process in started]
    for process, (_, errors) in zip(started, answers, strict=True):
        assert process.returncode == 0, errors
    tau, gradient = json.loads(answers[0][0].splitlines()[-1])
    expected, slope = sample_and_gradient(None)
    np.testing.assert_array_equal(np.asarray(tau, np.float32), expected)
    assert len(tau) == EVENTS
    assert max(tau) > 0.1
    np.testing.assert_allclose(gradient, slope, rtol=1e-4)
    assert abs(gradient) > 1e-6
