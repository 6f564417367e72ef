"""A measurement as a table: plain text, rich, HTML."""

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .measurement import Measurement


def rows(measurement: "Measurement") -> tuple[list[str], list[list[str]]]:
    """Column titles, and one row of texts a bin."""
    parts = {} if measurement.stat is None else {"stat": measurement.stat}
    parts |= dict(measurement.systematics)
    titles = [f"{measurement.symbol} low", "high", "value", *parts, "total"]
    columns = [measurement.edges[:-1], measurement.edges[1:], measurement.values, *parts.values(), measurement.total]
    body = [[f"{number:.6g}" for number in line] for line in zip(*columns, strict=True)]
    return titles, body


def heading(measurement: "Measurement") -> str:
    """Name, title, energy and source on one line."""
    energy = "" if measurement.energy is None else f" at {measurement.energy} GeV"
    source = f" ({measurement.citation})" if measurement.citation else ""
    return f"{measurement.name}: {measurement.title or measurement.observable}{energy}{source}"


def plain_table(measurement: "Measurement") -> str:
    """Right-aligned columns of plain text."""
    titles, body = rows(measurement)
    widths = [max(len(text) for text in column) for column in zip(titles, *body, strict=True)]
    lines = ["  ".join(text.rjust(w) for text, w in zip(line, widths, strict=True)) for line in [titles, *body]]
    return "\n".join([heading(measurement), *lines])


def rich_table(measurement: "Measurement") -> Any:
    """A `rich.table.Table`."""
    from rich.table import Table
    from rich.text import Text

    titles, body = rows(measurement)
    table = Table(title=Text(heading(measurement)))
    for title in titles:
        table.add_column(Text(title), justify="right")
    for line in body:
        table.add_row(*map(Text, line))
    return table


def html_table(measurement: "Measurement") -> str:
    """An HTML table for notebooks."""
    titles, body = rows(measurement)
    head = "".join(f"<th>{escape(text)}</th>" for text in titles)
    lines = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in line) + "</tr>" for line in body)
    return f"<table><caption>{escape(heading(measurement))}</caption><tr>{head}</tr>{lines}</table>"


__all__ = ["heading", "html_table", "plain_table", "rich_table", "rows"]
