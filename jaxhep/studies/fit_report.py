"""The run folder of an event-shape fit: numbers as JSON, pictures as PNG and PDF."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..inference import contour, interval, profile
from ..plots import (
    contour_plot,
    data_mc_ratio,
    gradient_check,
    moved_vs_regenerated,
    profile_scan,
    save_figure,
    uncertainty_band,
)
from ..reference import Measurement
from .event_shape_fit import OMEGA_START, EventShapeFit, densities, sampled_shapes, template, template_slope
from .uncertainties import Uncertainties

_AXIS = {
    "thrust": (r"$T$", r"$(1/\sigma)\,\mathrm{d}\sigma/\mathrm{d}T$"),
    "c_parameter": (r"$C$", r"$(1/\sigma)\,\mathrm{d}\sigma/\mathrm{d}C$"),
    "heavy_jet_mass": (r"$\rho=M_H^2/s$", r"$(1/\sigma)\,\mathrm{d}\sigma/\mathrm{d}\rho$"),
}


def summary(study: EventShapeFit) -> dict[str, Any]:
    """The numbers of `result.json`."""
    result = study.result
    coupling, coupling_error, words = study.alpha_s
    content = result.to_dict()
    content["num_events"] = study.num_events
    content["seed"] = study.seed
    content["reference_value"] = study.reference_value
    content["num_overflow"] = study.spectra.num_overflow
    content["alpha_s_mz"] = {"value": coupling, "error": coupling_error, "meaning": words}
    content["pilots"] = study.pilots
    content["seconds"] = study.seconds
    content["observables"] = {
        name: {"bins": m.num_bins, "low": float(m.edges[0]), "high": float(m.edges[-1]), "source": m.citation}
        for name, m in study.measurements.items()
    }
    content["remark"] = study.kind.lacks
    return content


def scans(study: EventShapeFit) -> dict[str, Any]:
    """Profile scan and Δχ² = 1 interval of the shower's parameter, and the 68 % and 95 % contours."""
    # One point after another: batched over points, the smearing matrices of all of them would be in memory at once.
    scanned = (study.objective, study.result)
    return {
        "interval": interval(*scanned, study.parameter, batch_size=1),
        "profile": profile(*scanned, study.parameter, num_points=13, batch_size=1),
        "contours": {
            level: contour(*scanned, study.parameter, "omega_1", level, num_points=24, batch_size=1)
            for level in (0.68, 0.95)
        },
    }


def draw_fit(study: EventShapeFit, folder: Path) -> None:
    """Data and model before and after the fit, with the ratio."""
    values = study.result.values
    for name, m in study.measurements.items():
        low, high = np.exp(study.spectra.log_values[[0, -1]])
        start = float(np.clip(study.kind.start, low, high))
        before = template(study, name, start, OMEGA_START)
        after = template(study, name, values[study.parameter], values["omega_1"])
        main, _ = data_mc_ratio(
            m.edges,
            m.values,
            m.total,
            {
                _legend(study, "before", start, OMEGA_START): before,
                _legend(study, "fit", values[study.parameter], values["omega_1"]): after,
            },
            xlabel=_AXIS[name][0],
            ylabel=_AXIS[name][1],
            title=f"{_source(m)} {float(study.shower.energy):.1f} GeV, {study.num_events:,} events",
        )
        save_figure(main, folder / f"data_mc_{name}")


def _source(measurement: Measurement) -> str:
    """Who measured it, in one word."""
    return "ALEPH" if measurement.name.startswith("aleph_") else "Data"


def _legend(study: EventShapeFit, words: str, value: float, omega_1: float) -> str:
    unit = f" {study.kind.unit}".rstrip()
    return rf"{words}: ${study.kind.tex}$={value:.3f}{unit}, $\Omega_1$={omega_1:.2f} GeV"


def _axis_label(study: EventShapeFit) -> str:
    return f"${study.kind.tex}$" + (f" [{study.kind.unit}]" if study.kind.unit else "")


def draw_scans(study: EventShapeFit, results: dict[str, Any], folder: Path) -> None:
    """Profile of the shower's parameter and its contours with Ω₁."""
    result = study.result
    scan, bounds = results["profile"], results["interval"]
    good = np.isfinite(scan.delta)
    limits = (bounds.lower, bounds.upper) if bounds.valid else None
    axes = profile_scan(
        scan.points[good],
        scan.delta[good],
        best=result.values[study.parameter],
        interval=limits,
        label=_axis_label(study),
        hessian_error=result.errors[study.parameter],
    )
    save_figure(axes, folder / f"profile_{study.parameter}")
    lines = {}
    for level, line in results["contours"].items():
        points = line.points[np.isfinite(line.points).all(axis=1)]
        if len(points) > 2:
            closed = np.concatenate([points, points[:1]])
            lines[level] = (closed[:, 0], closed[:, 1])
    if lines:
        best = (result.values[study.parameter], result.values["omega_1"])
        axes = contour_plot(lines, best, _axis_label(study), r"$\Omega_1$ [GeV]")
        save_figure(axes, folder / "contour")


def draw_validation(
    study: EventShapeFit, folder: Path, on_events: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Moved against regenerated templates, and the gradient against independent samples; returns the numbers."""

    report_done = None if on_events is None else (lambda done: on_events(done, 2 * study.num_events))
    centre, shift = study.reference_value, study.kind.shift
    shapes = sampled_shapes(study, [(centre * shift, 101), (centre / shift, 102)], on_events=report_done)
    omega, report = study.result.values["omega_1"], {}
    up, down = ({name: densities(shape, omega_1=omega) for name, shape in new.items()} for new in shapes)
    for name, m in study.measurements.items():
        base, base_error = template(study, name, centre, omega)
        shifted, _ = template(study, name, centre * shift, omega)
        slope, slope_error = template_slope(study, name)
        main, _ = moved_vs_regenerated(
            m.edges,
            base,
            shifted,
            up[name][0],
            slope_error * math.log(shift),
            np.hypot(base_error, up[name][1]),
            xlabel=_AXIS[name][0],
            title=f"${study.kind.tex}$ = {f'{centre:.3f} {study.kind.unit}'.rstrip()} → {shift}${study.kind.tex}$",
        )
        save_figure(main, folder / f"moved_{name}")
        step = 2 * math.log(shift)
        difference = (up[name][0] - down[name][0]) / step
        difference_error = np.hypot(up[name][1], down[name][1]) / step
        main, _ = gradient_check(
            [f"{a:.2f}–{b:.2f}" for a, b in zip(m.edges[:-1], m.edges[1:], strict=True)],
            slope,
            slope_error,
            difference,
            difference_error,
            xlabel=_AXIS[name][0],
            ylabel=f"d(density)/d ln ${study.kind.tex}$",
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
                np.median((base_error**2 + up[name][1] ** 2) / (slope_error * math.log(shift)) ** 2)
            ),
        }
    return report


def draw_bands(study: EventShapeFit, split: Uncertainties, folder: Path) -> None:
    """The fitted prediction with its bands (renormalisation scale, error of the parameter) and the data."""
    for name, m in study.measurements.items():
        one, bands = split.bands[name], {}
        if "scale_low" in one:
            factors = ", ".join(f"{v.factor:g}" for v in split.variations)
            bands[f"renormalisation scale times {factors}"] = (one["scale_low"], one["scale_high"])
        error = study.result.errors[study.parameter]
        words = rf"${study.kind.tex}\,\pm\,{error:.4f}$" + f" {study.kind.unit}".rstrip()
        bands[words] = (one["parameter_low"], one["parameter_high"])
        main, _ = uncertainty_band(
            one["edges"],
            one["fit"],
            bands,
            xlabel=_AXIS[name][0],
            ylabel=_AXIS[name][1],
            title=f"ALEPH {float(study.shower.energy):.1f} GeV, {study.num_events:,} events",
            nominal_label="fit",
            data=m.values,
            data_error=m.total,
        )
        save_figure(main, folder / f"band_{name}")
