"""Options that several commands have, and whole numbers as people write them: 1e6, 100_000."""

from typing import Annotated, Literal

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


Energy = Annotated[float, typer.Option(help="Centre-of-mass energy √s in GeV.")]
Seed = Annotated[int, typer.Option(help="Seed of the noise.")]
BatchSize = Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Events in memory at once.")]
NumFlavours = Annotated[
    int | None, typer.Option("--n-f", help="Flavours in the coupling of Discrete QCD, 0 to 6.", show_default="0")
]
AlphaS = Annotated[float | None, typer.Option("--alpha-s", help="α_s(m_Z) of the dipole shower.", show_default="0.118")]
Cutoff = Annotated[float | None, typer.Option(help="Smallest k_T of the dipole shower in GeV.", show_default="1.0")]
ScaleFactor = Annotated[
    float | None, typer.Option(help="Renormalisation scale of the dipole shower over k_T.", show_default="1.0")
]
Capacity = Annotated[int | None, typer.Option(help="Most partons of an event of the dipole shower.", show_default="20")]
_CMW_HELP = "CMW correction of the dipole shower's coupling."
Cmw = Annotated[bool | None, typer.Option("--cmw/--no-cmw", help=_CMW_HELP, show_default="off")]
FittedCmw = Annotated[bool | None, typer.Option("--cmw/--no-cmw", help=_CMW_HELP, show_default="on")]
Mode = Annotated[
    Literal["smooth", "lattice"] | None,
    typer.Option(help="Discrete QCD: smooth, differentiable in Λ; or lattice, as published.", show_default="smooth"),
]
