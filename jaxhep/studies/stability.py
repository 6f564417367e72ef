"""How the fitted Λ and Ω₁ depend on the choices of the fit: data, ranges, model and Monte Carlo sample."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .event_shape_fit import fit_event_shapes

VARIATIONS: dict[str, dict[str, Any]] = {
    "thrust 0.75–0.95 (default)": {},
    "thrust 0.70–0.95": {"ranges": {"thrust": (0.70, 0.95)}},
    "thrust 0.75–0.93": {"ranges": {"thrust": (0.75, 0.93)}},
    "thrust 0.80–0.95": {"ranges": {"thrust": (0.80, 0.95)}},
    "thrust 0.75–0.97": {"ranges": {"thrust": (0.75, 0.97)}},
    "bins merged in pairs": {"rebin": 2},
    "a quarter of the events": {"scale": 0.25},
    "four times the events": {"scale": 4},
    "seed 2": {"seed": 2},
    "seed 3": {"seed": 3},
    "shape exponent 2": {"shape": 2.0},
    "shape exponent 4": {"shape": 4.0},
    "systematics correlated": {"correlation": "correlated"},
    "systematics of minimum overlap": {"correlation": "minimum_overlap"},
    "no matrix element": {"matrix_element": False},
    "quark colour C_A/2": {"quark_colour": "C_A/2"},
    "published shower (neither)": {"matrix_element": False, "quark_colour": "C_A/2"},
    "n_f = 5": {"n_f": 5},
    "C-parameter": {"observables": ("c_parameter",)},
    "heavy jet mass": {"observables": ("heavy_jet_mass",)},
    "thrust, C-parameter": {"observables": ("thrust", "c_parameter")},
    "all three": {"observables": ("thrust", "c_parameter", "heavy_jet_mass")},
}
"""Options of `fit_event_shapes` for each row of the table; `scale` multiplies the number of events."""


@dataclass(frozen=True)
class StabilityRow:
    """One fit: Λ and Ω₁ in GeV, each with its error; χ² and degrees of freedom; the in-scheme α_s(m_Z) with its error;
    `reasons` why the fit is not valid (empty if it is)."""

    name: str
    lambda_qcd: tuple[float, float]
    omega_1: tuple[float, float]
    chi2: float
    ndf: int
    alpha_s: tuple[float, float]
    reasons: tuple[str, ...]

    def markdown(self) -> str:
        """The row of a Markdown table; headings: `HEADINGS`."""
        pairs = (("%.4f ± %.4f", self.lambda_qcd), ("%.3f ± %.3f", self.omega_1), ("%.4f ± %.4f", self.alpha_s))
        shown = [form % pair for form, pair in pairs]
        verdict = "; ".join(self.reasons) or "valid"
        ratio = f"{self.chi2:.1f}/{self.ndf}"
        return f"| {self.name} | {shown[0]} | {shown[1]} | {ratio} | {shown[2]} | {verdict} |"


HEADINGS = "| fit | Λ [GeV] | Ω₁ [GeV] | χ²/ndf | α_s(m_Z), in scheme | verdict |\n|---|---|---|---|---|---|"


def stability(
    num_events: int = 1_000_000,
    variations: Mapping[str, Mapping[str, Any]] | Iterable[str] | None = None,
    *,
    on_row: Callable[[StabilityRow], None] | None = None,
) -> list[StabilityRow]:
    """Repeats the fit with one choice changed at a time.

    **Arguments**: `num_events` of each sample; `variations`: names among `VARIATIONS` (default: all), or a mapping from
    names of your own to options of `fit_event_shapes` (and `scale`, a factor on `num_events`); `on_row`: called after
    each fit.

    **Returns** the rows in the order given; a fit that failed is a row with its reasons.

    **Raises** `ValueError` for an unknown name, before any event is made.
    """
    if variations is None:
        variations = VARIATIONS
    if not isinstance(variations, Mapping):
        names = list(variations)
        unknown = [name for name in names if name not in VARIATIONS]
        if unknown:
            raise ValueError(f"no variation {unknown[0]!r}; there are: {', '.join(VARIATIONS)}")
        variations = {name: VARIATIONS[name] for name in names}
    rows = []
    for name, given in variations.items():
        options = dict(given)
        events = round(num_events * options.pop("scale", 1))
        row = _row(name, fit_event_shapes(options.pop("observables", ("thrust",)), num_events=events, **options))
        rows.append(row)
        if on_row is not None:
            on_row(row)
    return rows


def _row(name: str, study: Any) -> StabilityRow:
    result = study.result
    scale, power = ((result.values[p], result.errors[p]) for p in ("lambda_qcd", "omega_1"))
    return StabilityRow(name, scale, power, result.chi2, result.ndf, study.alpha_s[:2], tuple(result.reasons))


__all__ = ["HEADINGS", "VARIATIONS", "StabilityRow", "stability"]
