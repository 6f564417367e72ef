"""The run folder of an event-shape fit: numbers as JSON, pictures as PNG and PDF."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..inference import contour, interval, profile
from ..plots import contour_plot, data_mc_ratio, gradient_check, moved_vs_regenerated, profile_scan, save_figure
from .event_shape_fit import START, EventShapeFit, densities, sampled_shapes, template, template_slope

LACKS = (
    "The model is a leading-order, leading-colour shower of massless partons without g→qq̄ splittings and hard-"
    "collinear terms, with hadronisation as a shift of mean 2Ω₁/Q (thrust): its Λ is a scale of this scheme, not the "
    "MS-bar one."
)
MOVE = 1.1
_AXIS = {
    "thrust": (r"$T$", r"$(1/\sigma)\,\mathrm{d}\sigma/\mathrm{d}T$"),
    "c_parameter": (r"$C$", r"$(1/\sigma)\,\mathrm{d}\sigma/\mathrm{d}C$"),
    "heavy_jet_mass": (r"$\rho=M_H^2/s$", r"$(1/\sigma)\,\mathrm{d}\sigma/\mathrm{d}\rho$"),
}


def summary(study: EventShapeFit) -> dict[str, Any]:
    """The numbers of `result.json`."""
    result = study.result
    coupling, coupling_error = study.alpha_s
    content = result.to_dict()
    content["num_events"] = study.num_events
    content["seed"] = study.seed
    content["reference_lambda"] = study.reference_lambda
    content["num_overflow"] = study.spectra.num_overflow
    content["alpha_s_mz_in_scheme"] = {"value": coupling, "error": coupling_error, "n_f": study.shower.n_f}
    content["pilots"] = study.pilots
    content["seconds"] = study.seconds
    content["observables"] = {
        name: {"bins": m.num_bins, "low": float(m.edges[0]), "high": float(m.edges[-1]), "source": m.citation}
        for name, m in study.measurements.items()
    }
    content["remark"] = LACKS
    return content


def scans(study: EventShapeFit) -> dict[str, Any]:
    """Profile scan and Δχ² = 1 interval of Λ, and the 68 % and 95 % contours."""
    # One point after another: batched over points, the smearing matrices of all of them would be in memory at once.
    scanned = (study.objective, study.result)
    return {
        "interval": interval(*scanned, "lambda_qcd", batch_size=1),
        "profile": profile(*scanned, "lambda_qcd", num_points=13, batch_size=1),
        "contours": {
            level: contour(*scanned, "lambda_qcd", "omega_1", level, num_points=24, batch_size=1)
            for level in (0.68, 0.95)
        },
    }


def draw_fit(study: EventShapeFit, folder: Path) -> None:
    """Data and model before and after the fit, with the ratio."""
    values = study.result.values
    for name, m in study.measurements.items():
        low, high = np.exp(study.spectra.log_values[[0, -1]])
        start = float(np.clip(START["lambda_qcd"], low, high))
        before = template(study, name, start, START["omega_1"])
        after = template(study, name, values["lambda_qcd"], values["omega_1"])
        main, _ = data_mc_ratio(
            m.edges,
            m.values,
            m.total,
            {
                rf"before: $\Lambda$={start:.3f}, $\Omega_1$={START['omega_1']:.2f} GeV": before,
                rf"fit: $\Lambda$={values['lambda_qcd']:.3f}, $\Omega_1$={values['omega_1']:.2f} GeV": after,
            },
            xlabel=_AXIS[name][0],
            ylabel=_AXIS[name][1],
            title=f"ALEPH {float(study.shower.energy):.1f} GeV, {study.num_events:,} events",
        )
        save_figure(main, folder / f"data_mc_{name}")


def draw_scans(study: EventShapeFit, results: dict[str, Any], folder: Path) -> None:
    """Profile of Λ and contours in (Λ, Ω₁)."""
    result = study.result
    scan, bounds = results["profile"], results["interval"]
    good = np.isfinite(scan.delta)
    limits = (bounds.lower, bounds.upper) if bounds.valid else None
    axes = profile_scan(
        scan.points[good],
        scan.delta[good],
        best=result.values["lambda_qcd"],
        interval=limits,
        label=r"$\Lambda$ [GeV]",
        hessian_error=result.errors["lambda_qcd"],
    )
    save_figure(axes, folder / "profile_lambda")
    lines = {}
    for level, line in results["contours"].items():
        points = line.points[np.isfinite(line.points).all(axis=1)]
        if len(points) > 2:
            closed = np.concatenate([points, points[:1]])
            lines[level] = (closed[:, 0], closed[:, 1])
    if lines:
        best = (result.values["lambda_qcd"], result.values["omega_1"])
        axes = contour_plot(lines, best, r"$\Lambda$ [GeV]", r"$\Omega_1$ [GeV]")
        save_figure(axes, folder / "contour")


def draw_validation(
    study: EventShapeFit, folder: Path, on_events: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Moved against regenerated templates, and the gradient against independent samples; returns the numbers."""

    report_done = None if on_events is None else (lambda done: on_events(done, 2 * study.num_events))
    centre = study.reference_lambda
    shapes = sampled_shapes(study, [(centre * MOVE, 101), (centre / MOVE, 102)], on_events=report_done)
    omega, report = study.result.values["omega_1"], {}
    up, down = ({name: densities(shape, omega_1=omega) for name, shape in new.items()} for new in shapes)
    for name, m in study.measurements.items():
        base, base_error = template(study, name, study.reference_lambda, omega)
        shifted, _ = template(study, name, study.reference_lambda * MOVE, omega)
        slope, slope_error = template_slope(study, name)
        main, _ = moved_vs_regenerated(
            m.edges,
            base,
            shifted,
            up[name][0],
            slope_error * math.log(MOVE),
            np.hypot(base_error, up[name][1]),
            xlabel=_AXIS[name][0],
            title=rf"$\Lambda$ = {study.reference_lambda:.3f} GeV → {MOVE}$\Lambda$",
        )
        save_figure(main, folder / f"moved_{name}")
        step = 2 * math.log(MOVE)
        difference = (up[name][0] - down[name][0]) / step
        difference_error = np.hypot(up[name][1], down[name][1]) / step
        main, _ = gradient_check(
            [f"{a:.2f}–{b:.2f}" for a, b in zip(m.edges[:-1], m.edges[1:], strict=True)],
            slope,
            slope_error,
            difference,
            difference_error,
            xlabel=_AXIS[name][0],
            ylabel=r"d(density)/d ln $\Lambda$",
        )
        save_figure(main, folder / f"gradient_{name}")
        pulls = (slope - difference) / np.hypot(slope_error, difference_error)
        report[name] = {
            "gradient": slope.tolist(),
            "gradient_error": slope_error.tolist(),
            "finite_difference": difference.tolist(),
            "finite_difference_error": difference_error.tolist(),
            "largest_pull": float(np.max(np.abs(pulls))),
            "variance_ratio_of_the_shift": float(
                np.median((base_error**2 + up[name][1] ** 2) / (slope_error * math.log(MOVE)) ** 2)
            ),
        }
    return report
