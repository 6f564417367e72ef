"""Is a flow here as fast as the same flow in FlowJAX and distrax?"""

from collections.abc import Callable
from typing import Any

from ._common import Options, Row, race

QUESTION = "A training step (gradient and Adam), ln p, and draws of one flow in three libraries, same sizes and batch"
CASES = ("coupling", "autoregressive")
PINNED = True
DIM, LAYERS, BINS, WIDTH, DEPTH = 6, 6, 8, 64, 2
NOTES = (
    f"{DIM} columns, {LAYERS} layers, rational-quadratic splines of {BINS} bins, subnets {DEPTH} × {WIDTH}, ReLU, "
    "float32; each quantity of all libraries in turn in one process. distrax has no masked autoregressive network.",
)


def _ours(case: str, key: Any) -> Any:
    from jaxhep.densities.flows import autoregressive_flow, coupling_flow

    build = coupling_flow if case == "coupling" else autoregressive_flow
    sizes = {"num_layers": LAYERS, "num_bins": BINS, "width": WIDTH, "depth": DEPTH, "activation": "relu"}
    return build(DIM, key=key, **sizes)


def _flowjax(case: str, key: Any) -> Any:
    import flowjax.bijections
    import flowjax.distributions
    import flowjax.flows
    import jax.numpy as jnp

    build = flowjax.flows.coupling_flow if case == "coupling" else flowjax.flows.masked_autoregressive_flow
    return build(
        key,
        base_dist=flowjax.distributions.Normal(jnp.zeros(DIM)),
        transformer=flowjax.bijections.RationalQuadraticSpline(knots=BINS, interval=5),
        flow_layers=LAYERS,
        nn_width=WIDTH,
        nn_depth=DEPTH,
        invert=True,
    )


def _distrax(key: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Parameters, and the distribution that they make: couplings with alternating masks."""
    import distrax
    import jax
    import jax.numpy as jnp

    raw = 3 * BINS + 1
    sizes = [DIM, *([WIDTH] * DEPTH), DIM * raw]
    parameters = []
    for i in range(LAYERS):
        keys = jax.random.split(jax.random.fold_in(key, i), DEPTH + 1)
        layer = [
            (jax.random.normal(k, (n, m)) / jnp.sqrt(n), jnp.zeros(m))
            for k, n, m in zip(keys, sizes[:-1], sizes[1:], strict=True)
        ]
        layer[-1] = (jnp.zeros_like(layer[-1][0]), layer[-1][1])
        parameters.append(layer)

    def conditioner(layer: Any) -> Callable[[Any], Any]:
        def call(x: Any) -> Any:
            for weight, bias in layer[:-1]:
                x = jax.nn.relu(x @ weight + bias)
            return (x @ layer[-1][0] + layer[-1][1]).reshape(*x.shape[:-1], DIM, raw)

        return call

    def spline(values: Any) -> Any:
        return distrax.RationalQuadraticSpline(values, -5.0, 5.0, boundary_slopes="identity")

    def distribution(parameters: Any) -> Any:
        masks = [jnp.arange(DIM) % 2 == i % 2 for i in range(LAYERS)]
        layers = [
            distrax.MaskedCoupling(mask, conditioner(layer), spline)
            for mask, layer in zip(masks, parameters, strict=True)
        ]
        base = distrax.MultivariateNormalDiag(jnp.zeros(DIM), jnp.ones(DIM))
        return distrax.Transformed(base, distrax.Chain(layers))

    return parameters, distribution


def _train_step(model: Any, log_prob: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """One call: the gradient of the mean of −ln p over a batch, and Adam."""
    import equinox as eqx
    import jax
    import optax

    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    optimiser = optax.adam(1e-3)

    @jax.jit
    def step(arrays: Any, state: Any, x: Any) -> Any:
        gradient = jax.grad(lambda a: -log_prob(eqx.combine(a, static), x).mean())(arrays)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(arrays, updates), state

    state = optimiser.init(arrays)
    return lambda x: step(arrays, state, x)


def measure(case: str, options: Options) -> list[Row]:
    """Seconds of a training step, of ln p and of a draw, and of their compilation."""
    import warnings

    import equinox as eqx
    import jax

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import distrax  # noqa: F401

    batch = max(min(options.num_events, 2**20) // 256, 64)
    key = jax.random.key(0)
    x = 0.8 * jax.random.normal(key, (batch, DIM))
    noise = jax.random.uniform(key, (batch, DIM), minval=1e-6, maxval=1 - 1e-6)
    ours, theirs = _ours(case, key), _flowjax(case, key)
    log_probs: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
        "jaxhep": (ours, lambda model, x: jax.vmap(model.log_prob)(x)),
        "FlowJAX": (theirs, lambda model, x: model.log_prob(x)),
    }
    draws: dict[str, Callable[[], Any]] = {}
    sample_ours = eqx.filter_jit(lambda model, u: jax.vmap(model.sample)(u))
    sample_theirs = eqx.filter_jit(lambda model, key: model.sample(key, (batch,)))
    draws["jaxhep"] = lambda: sample_ours(ours, noise)
    draws["FlowJAX"] = lambda: sample_theirs(theirs, key)
    if case == "coupling":
        parameters, distribution = _distrax(key)
        log_probs["distrax"] = (parameters, lambda parameters, x: distribution(parameters).log_prob(x))
        sample_distrax = jax.jit(lambda p, key: distribution(p).sample(seed=key, sample_shape=(batch,)))
        draws["distrax"] = lambda: sample_distrax(parameters, key)
    rows = []
    calls: dict[str, list[Callable[[], Any]]] = {"training step": [], "ln p": [], "draw": list(draws.values())}
    for model, log_prob in log_probs.values():
        step, evaluate = _train_step(model, log_prob), eqx.filter_jit(log_prob)
        calls["training step"].append(lambda step=step: step(x))
        calls["ln p"].append(lambda evaluate=evaluate, model=model: evaluate(model, x))
    for what, functions in calls.items():
        for library, timing in zip(log_probs, race(functions, options.repeats), strict=True):
            rows.append(timing.row(f"{case}, {what}, {library}", batch))
    return rows


def summarise(rows: list[Row]) -> list[Row]:
    """Our time over that of each other library; below one is faster."""
    found = {row.name: row.values for row in rows}
    result = list(rows)
    for name, values in found.items():
        case, what, library = name.rsplit(", ", 2)
        ours = found.get(f"{case}, {what}, jaxhep")
        if library == "jaxhep" or ours is None:
            continue
        ratios = {"time_ratio": ours["wall_ns_per_event"] / values["wall_ns_per_event"]}
        if values["compile_s"] > 0:
            ratios["compile_ratio"] = ours["compile_s"] / values["compile_s"]
        result.append(Row(f"{case}, {what}, jaxhep / {library}", ratios))
    return result
