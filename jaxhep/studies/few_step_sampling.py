"""How many evaluations of the network a sample needs: distance to the truth against evaluations, for each sampler."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Key
from ..densities.diffusion import AdaptiveODE, Diffusion, Distillation, DPMSolver, FlowMatching, Heun, MeanFlow
from ..metrics import sliced_wasserstein
from ..networks import make_network
from ..noise import normal, uniforms
from ..training import Dataset, TrainingSettings, density_loss, fit
from ..units import Z_MASS

_WIDTH_GEV = 2.5
COLUMNS = ("px1", "py1", "eta1", "px2", "py2", "eta2")
"""Columns of `lepton_pairs`: transverse momenta in GeV and pseudorapidities."""


@dataclass(frozen=True)
class SamplingRow:
    """One sampler: its name, evaluations of the network a sample (mean), sliced W1 to the truth with its error, and
    `excess`, the distance less that of the adaptive solution from the same noise, with the error of the difference."""

    name: str
    evaluations: float | int
    distance: float
    error: float
    excess: float
    excess_error: float

    def markdown(self) -> str:
        """The row of a Markdown table; headings: `HEADINGS`."""
        distance = f"{1e3 * self.distance:.2f} ± {1e3 * self.error:.2f}"
        excess = f"{1e3 * self.excess:+.2f} ± {1e3 * self.excess_error:.2f}"
        return f"| {self.name} | {self.evaluations:g} | {distance} | {excess} |"


HEADINGS = "| sampler | evaluations | 10³ sliced W1 | 10³ (sliced W1 − adaptive) |\n|---|---|---|---|"


def lepton_pairs(seed: int, num_events: int) -> np.ndarray:
    r"""Toy events \(pp\to Z\to\ell^+\ell^-\), columns `COLUMNS`, shape (event, 6), float32.

    The mass follows a Breit–Wigner curve cut at ±30 GeV, the transverse momentum of the Z is gamma distributed (shape
    2, mean 16 GeV) with any azimuth, its rapidity is normal (width 1.1), and the leptons, massless, leave its rest
    frame with \(1+\cos^2\theta\). The transverse momenta lie on a blurred ring of radius \(m_Z/2\), nearly opposite to
    each other: a sharp surface that few-step samplers blur.
    """
    rng = np.random.default_rng(seed)
    mass, width = float(Z_MASS), _WIDTH_GEV
    edge = np.arctan(2 * 30 / width)
    m = mass + width / 2 * np.tan(rng.uniform(-edge, edge, num_events))
    pt, phi = rng.gamma(2.0, 8.0, num_events), rng.uniform(-np.pi, np.pi, num_events)
    rapidity = rng.normal(0, 1.1, num_events)
    # The distribution function of 1 + cos²θ is a cubic, inverted by Cardano's formula.
    v = 8 * rng.uniform(size=num_events) - 4
    root = np.cbrt((v + np.sqrt(v**2 + 4)) / 2)
    cos = root - 1 / root
    sin, azimuth = np.sqrt(np.maximum(1 - cos**2, 0)), rng.uniform(-np.pi, np.pi, num_events)
    transverse = np.sqrt(m**2 + pt**2)
    parent = np.stack(
        [pt * np.cos(phi), pt * np.sin(phi), transverse * np.sinh(rapidity), transverse * np.cosh(rapidity)], axis=1
    )
    rest = m[:, None] / 2 * np.stack([sin * np.cos(azimuth), sin * np.sin(azimuth), cos], axis=1)
    columns = []
    for sign in (1, -1):
        p, gamma = sign * rest, parent[:, 3] / m
        along = np.sum(p * parent[:, :3], axis=1) / m
        lab = p + parent[:, :3] * ((along / (1 + gamma) + m / 2) / m)[:, None]
        columns += [lab[:, 0], lab[:, 1], np.arcsinh(lab[:, 2] / np.hypot(lab[:, 0], lab[:, 1]))]
    return np.stack(columns, axis=1).astype(np.float32)


def _settings(steps: int, batch_size: int) -> TrainingSettings:
    return TrainingSettings(
        batch_size=batch_size, steps=steps, learning_rate=2e-3, ema=0.999, warmup_steps=100, clip_norm=10
    )


def train_teacher(
    data: np.ndarray, *, key: Key, steps: int, width: int = 96, batch_size: int = 512, **options: Any
) -> Diffusion:
    """Flow matching on standardised data (event, column)."""
    first, second = jax.random.split(key)
    dim = data.shape[1]
    network = make_network("residual_mlp", in_size=dim, out_size=dim, width=width, depth=3, time_features=32, key=first)
    model = Diffusion(network, dim=dim, path=FlowMatching())
    result = fit(
        model, density_loss(), Dataset({"x": data}), key=second, settings=_settings(steps, batch_size), **options
    )
    trained: Diffusion = result.ema
    return trained


def train_student(
    teacher: Diffusion,
    data: np.ndarray,
    *,
    key: Key,
    steps: int,
    width: int = 96,
    batch_size: int = 256,
    **options: Any,
) -> MeanFlow:
    """A mean flow taught by the teacher's velocity."""
    first, second = jax.random.split(key)
    dim = data.shape[1]
    network = make_network(
        "residual_mlp", in_size=dim, out_size=dim, condition_size=1, width=width, depth=3, time_features=32, key=first
    )
    # The target holds ∂u/∂t, large where the network is not yet smooth: without the adaptive weight the loss runs away.
    pair = Distillation(MeanFlow(network, dim=dim, share=0.5, power=1.0), teacher)
    settings = dataclasses.replace(_settings(steps, batch_size), learning_rate=1e-3)
    result = fit(pair, density_loss(), Dataset({"x": data}), key=second, settings=settings, **options)
    student: MeanFlow = result.ema.student
    return student


def samplers(teacher: Diffusion, student: MeanFlow, steps: Sequence[int]) -> list[tuple[str, float | int, Any]]:
    """(name, evaluations, density) of each way to sample."""
    found: list[tuple[str, float | int, Any]] = []
    for count in steps:
        found.append(("mean flow", count, _with_steps(student, count)))
    for count in steps:
        if count >= 4:
            found.append(("Heun", count, _with_sampler(teacher, Heun(num_steps=count // 2))))
        if count >= 2:
            found.append(("DPM-Solver++(2M)", count, _with_sampler(teacher, DPMSolver(num_steps=count))))
    return found


def _with_steps(student: MeanFlow, count: int) -> MeanFlow:
    return MeanFlow(
        student.network, student.dim, student.condition_dim, count, share=student.share, power=student.power
    )


def _with_sampler(teacher: Diffusion, sampler: Any) -> Diffusion:
    return eqx.tree_at(lambda d: d.sampler, teacher, sampler)


def compare(
    teacher: Diffusion,
    student: MeanFlow,
    truth: np.ndarray,
    *,
    key: Key,
    steps: Sequence[int] = (1, 2, 4, 8, 16),
    batches: int = 10,
    on_row: Callable[[SamplingRow], None] | None = None,
) -> list[SamplingRow]:
    """Sliced W1 to the truth for each sampler, and its excess over the adaptive solution from the same noise.

    Errors are from `batches` disjoint parts of noise and truth: the differences share both, so that they are known
    better than the distances.
    """
    count = truth.shape[0] // batches
    first, second = jax.random.split(key)
    starts = jax.random.split(first, batches)
    parts = jnp.asarray(truth[: count * batches].reshape(batches, count, -1))
    adaptive = _with_sampler(teacher, AdaptiveODE(rtol=1e-5, atol=1e-5))

    def distances(density: Any) -> np.ndarray:
        found = [
            sliced_wasserstein(samples_from(density, starts[i], count), parts[i], key=second, num_replicas=2).value
            for i in range(batches)
        ]
        return np.asarray(found, float)

    base = distances(adaptive)
    evaluations = float(np.mean(np.asarray(_evaluations(adaptive, jax.random.split(starts[0], 200)))))
    rows: list[SamplingRow] = []
    known = [("adaptive ODE", evaluations, None), *samplers(teacher, student, steps)]
    for name, number, density in known:
        values = base if density is None else distances(density)
        extra, root = values - base, np.sqrt(batches)
        spread = values.std(ddof=1) / root, extra.std(ddof=1) / root
        rows.append(SamplingRow(name, number, values.mean(), spread[0], extra.mean(), spread[1]))
        if on_row is not None:
            on_row(rows[-1])
    floor = np.asarray(
        [
            sliced_wasserstein(parts[i], parts[(i + 1) % batches], key=second, num_replicas=2).value
            for i in range(batches)
        ],
        float,
    )
    gap = floor - base
    rows.append(
        SamplingRow(
            "truth against truth", 0, floor.mean(), floor.std(ddof=1) / np.sqrt(batches), gap.mean(),
            gap.std(ddof=1) / np.sqrt(batches),
        )
    )  # fmt: skip
    if on_row is not None:
        on_row(rows[-1])
    return rows


def samples_from(density: Any, key: Key, num_events: int) -> Array:
    """Samples whose start is the same for every density: a walk's own noise is not drawn."""
    u = uniforms(key, (num_events, density.dim))
    empty = jnp.zeros((0, density.dim), u.dtype)
    return _from_start(density, u, empty)


@eqx.filter_jit
def _from_start(density: Any, u: Array, empty: Array) -> Array:
    return jax.lax.map(lambda start: density.sample({"start": start, "walk": empty}), u, batch_size=1000)


@eqx.filter_jit
def _evaluations(density: Diffusion, keys: Array) -> Array:
    def one(key: Key) -> Array:
        start = normal(density.sample_noise(key)["start"])
        solver: Any = density.sampler
        return solver.solve(density.field(), density.path, start)[1]

    return jax.vmap(one)(keys)


def few_step_sampling(
    *,
    num_events: int = 100_000,
    teacher_steps: int = 5000,
    student_steps: int = 12_000,
    num_truth: int = 10_000,
    seed: int = 1,
    callbacks: Sequence[Any] = (),
    on_row: Callable[[SamplingRow], None] | None = None,
) -> list[SamplingRow]:
    """Trains flow matching and its mean flow on `lepton_pairs`, and compares the samplers on unseen events.

    **Arguments**: `num_events` of training; `teacher_steps` of 512 and `student_steps` of 256
    events; `num_truth` unseen events, in ten parts; `seed`;
    `callbacks` of both trainings; `on_row`: called with each row.

    **Returns** rows: the adaptive solution first, then each sampler, last the floor.
    """
    data = lepton_pairs(seed, num_events)
    mean, width = data.mean(axis=0), data.std(axis=0)
    data = (data - mean) / width
    truth = (lepton_pairs(seed + 1_000_000, num_truth) - mean) / width
    keys = jax.random.split(jax.random.key(seed), 3)
    teacher = train_teacher(data, key=keys[0], steps=teacher_steps, callbacks=callbacks)
    student = train_student(teacher, data, key=keys[1], steps=student_steps, callbacks=callbacks)
    return compare(teacher, student, truth, key=keys[2], on_row=on_row)


def draw_curve(rows: Sequence[SamplingRow], *, ax: Any = None) -> Any:
    """Distance against evaluations, with the adaptive solution and the floor as bands; returns the axes."""
    from ..plots import _canvas

    with _canvas.canvas(ax, size=(6.4, 4.4)) as (one,):
        bands = {"adaptive ODE": _canvas.BLACK, "truth against truth": _canvas.GREY}
        for name, colour in bands.items():
            for row in (r for r in rows if r.name == name):
                label = f"{name} ({row.evaluations:.0f})" if row.evaluations else name
                one.axhspan(row.distance - row.error, row.distance + row.error, color=colour, alpha=0.25, linewidth=0)
                one.axhline(row.distance, color=colour, linestyle="--", linewidth=1, label=label)
        names = [n for n in dict.fromkeys(r.name for r in rows) if n not in bands]
        for name, colour, marker in zip(names, _canvas.CYCLE, "osD^v", strict=False):
            some = [r for r in rows if r.name == name]
            one.errorbar(
                [r.evaluations for r in some],
                [r.distance for r in some],
                [r.error for r in some],
                color=colour,
                marker=marker,
                markersize=5,
                label=name,
            )
        one.set_xscale("log", base=2)
        one.set_yscale("log")
        one.set_xlabel("network evaluations a sample")
        one.set_ylabel("sliced $W_1$ to unseen events")
        one.legend()
    return one


def page(rows: Sequence[SamplingRow], image: str) -> str:
    """The page of the documentation, in Markdown, that shows the rows and the picture at `image`."""
    adaptive = rows[0]
    least = [r for r in rows if 0 < r.evaluations <= 10 and abs(r.excess) < 2 * r.excess_error]
    best = min(least, key=lambda r: r.evaluations, default=None)
    verdict = (
        "No sampler with ten or fewer evaluations is within two standard errors of the adaptive solution."
        if best is None
        else f"The fewest evaluations within two standard errors of the adaptive solution: {best.name} with "
        f"{best.evaluations:g}."
    )
    return f"""# How many evaluations a sample needs

Flow matching on toy Z → ℓℓ events with six columns (transverse momenta and pseudorapidities of both leptons), and a
mean flow taught by it. Distance: sliced Wasserstein-1 of standardised columns to unseen events; each sampler starts
from the same noise. Made by

```sh
python -m jaxhep.studies.few_step_sampling docs
```

{HEADINGS}
{chr(10).join(row.markdown() for row in rows)}

![Distance against evaluations]({image})

{verdict} The adaptive solution (Dormand–Prince, tolerance 1e-5) takes {adaptive.evaluations:.0f} evaluations on
average. "Truth against truth" is the floor: the same distance between two samples of true events.
"""


def write_page(folder: str | Path, **options: Any) -> Path:
    """Runs the study with the `options` of `few_step_sampling` and writes `few_step_sampling.md` and its picture into a
    folder, the picture into `images`. **Returns** the path of the page."""
    from ..plots import save_figure

    target = Path(folder)
    if not target.is_dir():
        raise ValueError(f"there is no folder {target}; make it, or give docs")
    rows = few_step_sampling(**options)
    image = "images/few_step_sampling.png"
    picture = draw_curve(rows).figure
    save_figure(picture, (target / image).with_suffix(""), formats=("png",), overwrite=True, dpi=110)
    written = target / "few_step_sampling.md"
    written.write_text(page(rows, image))
    return written


def to_dicts(rows: Sequence[SamplingRow]) -> list[dict[str, Any]]:
    """The rows as JSON values."""
    return [asdict(row) for row in rows]


__all__ = [
    "COLUMNS",
    "HEADINGS",
    "SamplingRow",
    "compare",
    "draw_curve",
    "few_step_sampling",
    "lepton_pairs",
    "page",
    "to_dicts",
    "train_student",
    "train_teacher",
    "write_page",
]

if __name__ == "__main__":
    import sys

    write_page(sys.argv[1] if len(sys.argv) > 1 else "docs", on_row=lambda row: sys.stdout.write(row.markdown() + "\n"))
