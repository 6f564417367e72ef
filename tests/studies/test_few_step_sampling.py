"""The study of samplers: its toy events, its comparison on exact fields, its picture."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxhep.densities.diffusion import Diffusion, FlowMatching, MeanFlow
from jaxhep.studies import few_step_sampling as study
from tests.densities.gaussians import ExactField, ExactMeanFlow


def test_lepton_pairs_are_two_body_decays():
    events = study.lepton_pairs(3, 20_000).astype(float)
    first, second = events[:, :3], events[:, 3:]

    def four(p):
        pt = np.hypot(p[:, 0], p[:, 1])
        return np.stack([pt * np.cosh(p[:, 2]), p[:, 0], p[:, 1], pt * np.sinh(p[:, 2])], axis=1)

    pair = four(first) + four(second)
    mass = np.sqrt(pair[:, 0] ** 2 - np.sum(pair[:, 1:] ** 2, axis=1))
    assert np.all(np.abs(mass - 91.1876) < 30.01)
    # The median of a symmetric curve, known to 1.25 Γ/√N·(π/2)/1.25; and the gamma distribution's mean and width.
    assert abs(np.median(mass) - 91.1876) < 5.2 * np.pi / 4 * 2.5 / np.sqrt(20_000)
    pt = np.hypot(pair[:, 1], pair[:, 2])
    assert abs(pt.mean() - 16) < 5.2 * np.sqrt(128 / 20_000)
    # Angle of the lepton to the beam in the rest frame (Collins–Soper): 1 + cos²θ has ⟨cos²θ⟩ = 2/5 about the z axis of
    # this toy's boost, which differs from the Collins–Soper axis at finite p_T; events of small p_T are compared.
    soft = pt < 4
    light = lambda p: ((p[:, 0] + p[:, 3]) / np.sqrt(2), (p[:, 0] - p[:, 3]) / np.sqrt(2))  # noqa: E731
    (a, b), (c, d) = light(four(first)), light(four(second))
    cos = 2 * (a * d - b * c) / (mass * np.sqrt(mass**2 + pt**2))
    square = cos[soft] ** 2
    assert abs(square.mean() - 0.4) < 5.2 * square.std() / np.sqrt(soft.sum()) + 0.01
    assert np.array_equal(study.lepton_pairs(3, 10), study.lepton_pairs(3, 10))


def test_compare_on_exact_fields():
    """One step of the exact mean flow is the adaptive solution: no excess, and both at the floor."""
    mean, width = jnp.zeros(2), jnp.array([0.7, 1.2])
    teacher = Diffusion(ExactField(FlowMatching(), mean, width), dim=2)
    student = MeanFlow(ExactMeanFlow(mean, width), dim=2)
    truth = (np.asarray(width) * np.random.default_rng(4).normal(size=(1000, 2))).astype("float32")
    seen: list = []
    rows = study.compare(teacher, student, truth, key=jax.random.key(0), steps=(1,), batches=4, on_row=seen.append)
    assert rows == seen
    assert [row.name for row in rows] == ["adaptive ODE", "mean flow", "truth against truth"]
    assert rows[0].evaluations > 20
    assert rows[1].evaluations == 1
    assert abs(rows[1].excess) < 1e-3
    assert abs(rows[2].distance - rows[0].distance) < 5.2 * np.hypot(rows[2].error, rows[0].error) + 0.02
    assert study.to_dicts(rows)[0]["excess"] == 0


def test_rows_and_picture():
    rows = [
        study.SamplingRow("adaptive ODE", 97.0, 0.02, 0.001, 0.0, 0.0),
        study.SamplingRow("mean flow", 1, 0.03, 0.001, 0.01, 0.001),
        study.SamplingRow("mean flow", 4, 0.02, 0.001, 0.0, 0.001),
        study.SamplingRow("truth against truth", 0, 0.015, 0.001, -0.005, 0.001),
    ]
    assert rows[1].markdown() == "| mean flow | 1 | 30.00 ± 1.00 | +10.00 ± 1.00 |"
    text = study.page(rows, "images/curve.png")
    assert all(row.markdown() in text for row in rows)
    assert "mean flow with 4" in text
    assert "No sampler with ten or fewer" in study.page(rows[:2], "images/curve.png")
    ax = study.draw_curve(rows)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["adaptive ODE (97)", "truth against truth", "mean flow"]
    import matplotlib.pyplot as plt

    plt.close(ax.figure)
