"""What does a training step cost through `fit`, beside one written by hand and FlowJAX's own loop?"""

from collections.abc import Callable
from typing import Any

from ._common import Options, Row, race

QUESTION = (
    "Epochs of one coupling flow through jaxhep's loop, a loop written by hand, and FlowJAX's: time, compilations"
)
CASES = ("flow", "small network")
PINNED = True
DIM, LAYERS, BINS, WIDTH, DEPTH = 4, 4, 8, 64, 2
NOTES = (
    f"flow: {DIM} columns, {LAYERS} layers, splines of {BINS} bins, subnets {DEPTH} × {WIDTH}, Adam; small network: a "
    "perceptron 3 → 1 of 2 × 32, where the loop itself is what costs. An event is one row of one epoch. by hand: the "
    "same loss and optimiser in one jitted step, called from Python for each batch, without shuffling, weights or "
    "checks. FlowJAX: fit_to_data with one optimiser object for all laps, 10 % of the events for validation as for "
    "jaxhep; it drops the last, partial batch of an epoch. programs: compiled programs of the step after one training, "
    "and how many more three others of different length and rate compile.",
)


def _model(case: str, key: Any) -> tuple[Any, Any]:
    """The model, and the loss of one event."""
    import jax.numpy as jnp

    if case == "flow":
        from jaxhep.densities.flows import coupling_flow
        from jaxhep.training import density_loss

        sizes = {"num_layers": LAYERS, "num_bins": BINS, "width": WIDTH, "depth": DEPTH, "activation": "relu"}
        return coupling_flow(DIM, key=key, **sizes), density_loss()
    from jaxhep.networks import make_network

    def square(model: Any, event: Any, key: Any) -> Any:
        return jnp.sum((model(event["x"][:3]) - event["x"][3:]) ** 2)

    return make_network("mlp", in_size=3, out_size=1, width=32, depth=2, key=key), square


def _by_hand(model: Any, loss: Any, x: Any, batch: int) -> Callable[[], Any]:
    """One epoch of a plain loop."""
    import equinox as eqx
    import jax
    import optax

    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    optimiser = optax.adam(1e-3)
    key = jax.random.key(0)

    @jax.jit
    def step(arrays: Any, state: Any, rows: Any) -> Any:
        def total(arrays: Any) -> Any:
            model = eqx.combine(arrays, static)
            return jax.vmap(lambda row: loss(model, {"x": row}, key))(rows).mean()

        value, gradient = jax.value_and_grad(total)(arrays)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(arrays, updates), state, value

    start = optimiser.init(arrays)

    def epoch() -> Any:
        now, state, value = arrays, start, None
        for begin in range(0, len(x) - batch + 1, batch):
            now, state, value = step(now, state, x[begin : begin + batch])
        return now, value

    return epoch


def _flowjax(x: Any, batch: int, key: Any) -> Callable[[], Any]:
    """One epoch of FlowJAX's loop on its own coupling flow."""
    import flowjax.bijections
    import flowjax.distributions
    import flowjax.flows
    import flowjax.train
    import flowjax.train.losses
    import jax.numpy as jnp
    import optax

    flow = flowjax.flows.coupling_flow(
        key,
        base_dist=flowjax.distributions.Normal(jnp.zeros(DIM)),
        transformer=flowjax.bijections.RationalQuadraticSpline(knots=BINS, interval=5),
        flow_layers=LAYERS,
        nn_width=WIDTH,
        nn_depth=DEPTH,
    )
    options = {
        "max_epochs": 1, "batch_size": batch, "val_prop": 0.1, "show_progress": False,
        # Made once: FlowJAX compiles anew for each new optimiser and loss, and every lap would be a compilation.
        "optimizer": optax.adam(1e-3), "loss_fn": flowjax.train.losses.MaximumLikelihoodLoss(),
    }  # fmt: skip
    return lambda: flowjax.train.fit_to_data(key, flow, x, **options)[1]["train"]


def measure(case: str, options: Options) -> list[Row]:
    """Seconds of an epoch of each loop, and the compiled programs of ours."""
    import jax
    import numpy as np

    from jaxhep.training import Dataset, TrainingSettings, fit
    from jaxhep.training._program import run_chunk

    key = jax.random.key(0)
    batch = 256
    count = max(min(options.num_events, 2**20) // 64, 8 * batch)
    x = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    model, loss = _model(case, key)

    def train(rows: int = count, **more: Any) -> Any:
        settings = TrainingSettings(**{"batch_size": batch, "epochs": 1, "schedule": "constant", **more})
        data = Dataset({"x": x[:rows]})
        return fit(model, loss, data, key=key, settings=settings, trainable="all", validation=0.1).num_steps

    calls = {"jaxhep": train, "by hand": _by_hand(model, loss, x, batch)}
    if case == "flow":
        calls["FlowJAX"] = _flowjax(x, batch, key)
    timings = race(list(calls.values()), options.repeats)
    rows = [timing.row(f"{case}, {name}", count) for name, timing in zip(calls, timings, strict=True)]
    before = run_chunk._cache_size()
    for more in ({"epochs": 2}, {"learning_rate": 3e-3}, {"epochs": 3, "weight_decay": 0.01, "clip_norm": 1.0}):
        train(**more)
    rows.append(
        Row(f"{case}, compilations", {"programs": float(before), "further": float(run_chunk._cache_size() - before)})
    )
    return rows


def summarise(rows: list[Row]) -> list[Row]:
    """Our time over that of the others; below one is faster."""
    found = {row.name: row.values for row in rows}
    result = list(rows)
    for name, values in found.items():
        case, loop = name.rsplit(", ", 1)
        ours = found.get(f"{case}, jaxhep")
        if loop in ("jaxhep", "compilations") or ours is None:
            continue
        ratios = {"time_ratio": ours["wall_ns_per_event"] / values["wall_ns_per_event"]}
        if values["compile_s"] > 0:
            ratios["compile_ratio"] = ours["compile_s"] / values["compile_s"]
        result.append(Row(f"{case}, jaxhep / {loop}", ratios))
    return result
