"""Figures into files: several formats at once, never over an older file without being told to."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxhep.plots._canvas import close

# Without these the same figure would give another file at each run.
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "ps": {}, "eps": {}}


def save_figure(
    figure: Any,
    path_without_suffix: str | os.PathLike[str],
    formats: Sequence[str] = ("png", "pdf"),
    *,
    overwrite: bool = False,
    dpi: int = 200,
) -> tuple[Path, ...]:
    """Writes a figure in each of the formats, creates the folder, and closes the figure.

    A file is written beside its place and then moved there, so a full disk or an interrupt leaves no half picture. The
    PDF carries no date: the same figure gives the same file.

    Args:
        figure: a matplotlib figure, or axes in one.
        path_without_suffix: where to write; ".png", ".pdf" … are added (a dot in the name, as in `lambda_0.2`, is
            kept).
        formats: what matplotlib writes: "png", "pdf", "svg", …
        overwrite: whether files that exist may be replaced.
        dpi: dots per inch of the pixel formats.

    Returns:
        The paths written, in the order of `formats`.

    Raises:
        ValueError: no format, an unknown one, or a path that already ends in one.
        FileExistsError: one of the files exists; then none is written and the figure stays open.

    Example:
        >>> import tempfile
        >>> from jaxhep.plots import pull_histogram
        >>> ax = pull_histogram([-1.1, -0.4, 0.0, 0.3, 1.2])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save_figure(ax.figure, f"{folder}/new/pulls")]
        ['pulls.png', 'pulls.pdf']
    """
    import matplotlib as mpl

    figure = getattr(figure, "figure", figure)
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure must be a matplotlib figure or axes, not {type(figure).__name__}")
    if isinstance(formats, str):
        formats = (formats,)
    known = figure.canvas.get_supported_filetypes()
    wrong = [one for one in formats if one not in known]
    if wrong or not formats:
        raise ValueError(f"formats must name some of {', '.join(sorted(known))}, but is {tuple(formats)}")
    base = Path(path_without_suffix)
    if base.suffix[1:].lower() in known:
        raise ValueError(f"leave the suffix {base.suffix} off {base.name}; choose it with formats=")
    targets = tuple(base.with_name(f"{base.name}.{one}") for one in formats)
    there = [str(path) for path in targets if path.exists()]
    if there and not overwrite:
        raise FileExistsError(f"{', '.join(there)} already there; choose another path or pass overwrite=True")
    base.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "jaxhep", "svg.fonttype": "path"}):
        for target, one in zip(targets, formats, strict=True):
            part = target.with_name(f".{target.name}.part")
            try:
                figure.savefig(part, format=one, dpi=dpi, metadata=_UNDATED.get(one))
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
    close(figure)
    return targets
