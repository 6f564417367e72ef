"""How many events a second does the whole-event detector make, against a NumPy loop, and what does a gradient cost?"""

from typing import Any

from ._common import Options, Row, chunk_size, device_events, memory_mb, on_cpu, stopwatch
from .peers.detector_numpy import NumpyDetector

QUESTION = "Detected events and fitted tracks a second on one core (or accelerator), and the cost of derivatives"
CASES = ("events", "tracks")
PINNED = True
NOTES = (
    "Events: 64 stable particles, two jets of pions, photons, kaons and neutrons at 91 GeV, through `lep_like` to the "
    "missing momentum; particles and noise are drawn inside the timed call. Float32.",
    "NumPy: benchmarks/peers/detector_numpy.py, the same model, one event after the other with arrays over its "
    "particles, float64; its noise is drawn beforehand. Largest difference: of the visible energy in GeV, same noise.",
    "Gradient: jax.jvp in the field; reverse mode: jax.grad of the mean in all parameters. Tracks: five cylinders with "
    "matter, simulated and fitted in float64 (2 iterations).",
)
PARTICLES = 64
_IDS = (211, -211, 22, 22, 211, -211, 130, 22, 321, -2112, 22, 211, -211, 22, 22, 310)


def jets(key: Any) -> Any:
    """One event of two back-to-back jets."""
    import jax
    import jax.numpy as jnp

    from jaxhep.event import Event
    from jaxhep.noise import uniforms

    u = uniforms(key, (PARTICLES, 3))
    axis = uniforms(jax.random.fold_in(key, 1), (2,))
    fraction = -jnp.log(u[:, 0])
    size = 91.2 * fraction / jnp.sum(fraction)
    eta = 1.2 * (2 * axis[0] - 1) + 0.5 * jnp.log(u[:, 1] / (1 - u[:, 1])) * 0.5
    side = jnp.where(jnp.arange(PARTICLES) % 2 == 0, 1.0, -1.0)
    phi = 2 * jnp.pi * axis[1] + 0.3 * jnp.log(u[:, 2] / (1 - u[:, 2]))
    pt = size / jnp.cosh(eta)
    momenta = jnp.stack([size, side * pt * jnp.cos(phi), side * pt * jnp.sin(phi), side * pt * jnp.sinh(eta)], axis=-1)
    ids = jnp.asarray(_IDS * (PARTICLES // len(_IDS)), jnp.int32)
    return Event(momenta, jnp.ones(PARTICLES, bool), ids, jnp.ones(()), jnp.zeros((), bool))


def measure(case: str, options: Options) -> list[Row]:
    """One case in this process."""
    return _events(options) if case == "events" else _tracks(options)


def _events(options: Options) -> list[Row]:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from scipy.special import ndtri

    from jaxhep.detector import lep_like
    from jaxhep.detector.fast import classify
    from jaxhep.simulator import with_parameters

    detector = lep_like(particles=PARTICLES, capacity=128)
    num_events = max(device_events(options) // 16, 16)
    block = min(num_events, 2048 if on_cpu() else 65536)
    num_events -= num_events % block
    key = jax.random.key(0)

    def one(simulator: Any, number: Any) -> Any:
        mine = jax.random.fold_in(key, number)
        event = simulator(simulator.sample_noise(jax.random.fold_in(mine, 2)), jets(mine))
        return event.weight, event.history.missing, event.history.visible_energy

    def run(simulator: Any) -> Any:
        numbers = jnp.arange(num_events, dtype=jnp.uint32).reshape(-1, block)
        return jax.lax.map(jax.vmap(lambda n: one(simulator, n)), numbers)

    def moved(field: Any) -> Any:
        return run(with_parameters(detector, {"field": field}))

    def mean(simulator: Any) -> Any:
        weight, missing, visible = run(simulator)
        return jnp.mean(weight * visible) + jnp.mean(weight * jnp.sum(missing**2, axis=-1))

    forward = jax.jit(lambda field: jax.jvp(moved, (field,), (jnp.ones_like(field),)))
    plain, reverse = jax.jit(run), jax.jit(jax.grad(mean))
    ours = stopwatch(lambda: plain(detector), options.repeats)
    tangent = stopwatch(lambda: forward(detector.solenoid.field), options.repeats)
    gradient = stopwatch(lambda: reverse(detector), options.repeats)

    few = 32 if options.quick else 512
    numbers = jnp.arange(few, dtype=jnp.uint32)
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(numbers)
    events = jax.device_get(jax.vmap(jets)(keys))
    noise = jax.vmap(lambda k: detector.sample_noise(jax.random.fold_in(k, 2)))(keys)
    draws = jax.tree.map(lambda x: np.asarray(x, float), noise)
    properties = jax.device_get(classify(jnp.asarray(events.pdg_id[0])))
    peer = NumpyDetector(detector)
    normals = (ndtri(draws.track[..., 1:]), ndtri(draws.ecal), ndtri(draws.hcal))
    momenta = np.asarray(events.momenta, float)

    def loop() -> Any:
        return [
            peer(momenta[i], properties.charge, properties.kind, draws.track[i, :, 0], tuple(z[i] for z in normals))
            for i in range(few)
        ]

    theirs = stopwatch(loop, min(options.repeats, 3), warm_up=0)
    visible = np.array([objects[:, 0].sum() for objects in loop()])
    mine = np.asarray(jax.jit(jax.vmap(lambda n: one(detector, n)))(numbers)[2])
    rows = [
        ours.row("jaxhep", num_events, peak_mb=memory_mb()),
        tangent.row("jaxhep, forward derivative", num_events, time_ratio=tangent.wall_median / ours.wall_median),
        gradient.row("jaxhep, reverse mode", num_events, time_ratio=gradient.wall_median / ours.wall_median),
        theirs.row(
            "NumPy, event by event", few, compiled=False, largest_difference=float(np.abs(visible - mine).max())
        ),
    ]
    rows[3].values["times_faster"] = rows[0].values["events_per_s"] / rows[3].values["events_per_s"]
    return rows


def _tracks(options: Options) -> list[Row]:
    import jax

    from jaxhep.detector.tracking import Tracker, expected_covariance, fit_track

    num_tracks = min(device_events(options) // 16, 2**16)
    num_tracks = chunk_size(max(num_tracks, 16))
    rows = []
    with jax.enable_x64(True):
        tracker = Tracker(
            [0.03, 0.07, 0.12, 0.3, 0.5], resolutions=2e-5, thicknesses=0.01, field=2.0, geometry="cylindrical"
        )
        noise = jax.jit(jax.vmap(tracker.sample_noise))(jax.random.split(jax.random.key(0), num_tracks))

        def fits(tracker: Any, noise: Any, method: Any) -> Any:
            track = tracker.track(pt=2.0, charge=1)
            return jax.vmap(lambda n: fit_track(tracker, tracker(n, track), track, method=method))(noise)

        for method in ("global", "kalman"):
            run = jax.jit(lambda tracker, noise, m=method: fits(tracker, noise, m))
            timing = stopwatch(lambda run=run: run(tracker, noise), options.repeats)
            rows.append(timing.row(f"tracks, {method} fit", num_tracks))
        design = jax.jit(jax.grad(lambda t: expected_covariance(t, t.track(pt=2.0, charge=1))[0, 0]))
        timing = stopwatch(lambda: design(tracker), options.repeats)
        rows.append(timing.row("d(variance of the impact parameter)/d(design)", 1))
    return rows


def summarise(rows: list[Row]) -> list[Row]:
    """Nothing to add."""
    return rows
