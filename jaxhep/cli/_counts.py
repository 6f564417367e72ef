"""Whole numbers as people write them: 1e6, 100_000."""

import typer


def whole_number(text: str | int) -> int:
    """A positive whole number from `100000`, `100_000`, `100,000` or `1e5`; `typer.BadParameter` for anything else."""
    plain = str(text).strip().replace("_", "").replace(",", "")
    try:
        value = int(plain) if plain.lstrip("+-").isdigit() else float(plain)
        if value != int(value):
            raise ValueError
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no whole number; write 100000 or 1e5") from None
    if value < 1:
        raise typer.BadParameter(f"must be at least 1, got {text}")
    return int(value)
