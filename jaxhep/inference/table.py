"""A fit result as a framed text table and as HTML."""

from html import escape
from math import isfinite
from typing import TYPE_CHECKING

from jaxhep.inference.rounding import round_pair

if TYPE_CHECKING:
    from jaxhep.inference.result import FitResult

HEADER = ("name", "value", "error", "error −", "error +", "lower", "upper", "prior", "unit", "")


def rows(result: "FitResult") -> list[tuple[str, ...]]:
    """One row of text a parameter, in the order of `HEADER`.

    Arguments:
        result: the fit.

    Returns:
        Strings, rounded to the error (PDG rule).
    """
    errors = result.errors
    answer: list[tuple[str, ...]] = []
    for entry in result.parameters:
        value, error = round_pair(result.values[entry.name], errors[entry.name])
        interval = result.intervals.get(entry.name)
        below = round_pair(0.0, -interval.lower_error)[1] if interval else ""
        above = round_pair(0.0, interval.upper_error)[1] if interval else ""
        prior = f"{entry.prior.mean:g} ± {entry.prior.width:g}" if entry.prior else ""
        flag = "fixed" if entry.fixed else "at bound" if entry.name in result.at_bound else ""
        bounds = ("" if bound is None else f"{bound:g}" for bound in (entry.lower, entry.upper))
        low, high = bounds
        answer.append(
            (entry.name, value, error, below and f"−{below}", above and f"+{above}", low, high, prior, entry.unit, flag)
        )
    return answer


def summary(result: "FitResult") -> list[tuple[str, str]]:
    """The lines above the parameters: goodness of fit and flags."""
    reduced = f" = {result.chi2 / result.ndf:.3f}" if result.ndf > 0 else ""
    chance = f"   (p = {result.p_value:.3g})" if isfinite(result.p_value) else ""
    return [
        ("fit", "valid" if result.valid else "NOT VALID"),
        ("χ²/ndf", f"{result.chi2:.2f}/{result.ndf}{reduced}{chance}"),
        ("EDM", f"{result.edm:.2g} ({'converged' if result.converged else 'NOT converged'})"),
        ("Hessian", "positive definite" if result.positive_definite else "NOT positive definite"),
        ("at bound", ", ".join(result.at_bound) or "none"),
        ("evaluations", str(result.num_evaluations)),
    ]


def text_table(result: "FitResult") -> str:
    """Framed with box-drawing characters; columns that are empty throughout are left out."""
    body = rows(result)
    keep = [k for k in range(len(HEADER)) if k < 3 or any(row[k] for row in body)]
    table = [tuple(row[k] for k in keep) for row in (HEADER, *body)]
    widths = [max(len(row[k]) for row in table) for k in range(len(keep))]
    lines = [f"{name}: {text}" for name, text in summary(result)]
    inner = sum(widths) + 3 * len(widths) - 1
    wide = max(inner, max(len(line) for line in lines) + 2)
    widths[-1] += wide - inner

    def frame(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (width + 2) for width in widths) + right

    def cells(row: tuple[str, ...]) -> str:
        return "│" + "│".join(f" {text:<{width}} " for text, width in zip(row, widths, strict=True)) + "│"

    answer = ["┌" + "─" * wide + "┐"]
    answer += [f"│ {line:<{wide - 2}} │" for line in lines]
    answer += [frame("├", "┬", "┤"), cells(table[0]), frame("├", "┼", "┤")]
    answer += [cells(row) for row in table[1:]]
    answer += [frame("└", "┴", "┘")]
    answer += [f"! {reason}" for reason in result.reasons]
    answer += [f"  note: {warning}" for warning in result.warnings]
    return "\n".join(answer)


def html_table(result: "FitResult") -> str:
    """The same as HTML for notebooks."""
    colour = "#92CCA6" if result.valid else "#FF7878"
    top = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left;background-color:"
        f"{colour if name == 'fit' else 'inherit'}'>{escape(text)}</td></tr>"
        for name, text in summary(result)
    )
    head = "".join(f"<th>{escape(name)}</th>" for name in HEADER)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows(result))
    notes = "".join(f"<li>{escape(text)}</li>" for text in (*result.reasons, *result.warnings))
    listing = f"<ul>{notes}</ul>" if notes else ""
    return f"<table>{top}</table><table><tr>{head}</tr>{body}</table>{listing}"


__all__ = ["HEADER", "html_table", "rows", "summary", "text_table"]
