"""A measurement out of a file of any kind that can be read."""

import dataclasses
from pathlib import Path

from ._errors import DataFileError
from .hepdata import read_hepdata_yaml
from .measurement import Measurement
from .tables import read_table
from .yoda import read_yoda

_YAML, _YODA = (".yaml", ".yml"), (".yoda", ".yoda.gz", ".yoda1", ".yoda1.gz")


def read_measurement(path: str | Path, part: str | None = None, *, observable: str | None = None) -> Measurement:
    """A measurement from a jaxhep table (`.csv`), a HEPData table (`.yaml`, `.yml`) or a YODA file (`.yoda`,
    `.yoda.gz`), by the suffix of its name.

    **Arguments**

    - `part`: which column of a HEPData table (its header name, or its number from 0) or which object of a YODA file
      (its path or the last part of that); may be left out where there is only one.
    - `observable`: the function of `jaxhep.observables` that was measured; default: what the file says.

    **Returns** the `Measurement` in the units of the file.

    **Raises** `DataFileError` naming file, line and cure.

    >>> from importlib.resources import files
    >>> read_measurement(str(files("jaxhep.reference") / "published" / "aleph_2004_thrust.csv")).num_bins
    42
    """
    file = Path(path)
    name = file.name.lower()
    if name.endswith(".csv"):
        if part is not None:
            raise DataFileError(file, f"is one table and has no part {part!r}", cure="Leave the part out.")
        found = read_table(file)
        return found if observable is None else dataclasses.replace(found, observable=observable)
    if name.endswith(_YAML):
        column = 0 if part is None else int(part) if part.isdigit() else part
        return read_hepdata_yaml(file, column=column, observable=observable)
    if name.endswith(_YODA):
        if part is not None:
            return read_yoda(file, part, observable=observable)
        objects = read_yoda(file, observable=observable)
        if len(objects) != 1:
            raise DataFileError(file, f"holds {len(objects)} objects", cure=f"Say which: {', '.join(objects)}.")
        return next(iter(objects.values()))
    raise DataFileError(file, "is of no kind that can be read", cure="Give a .csv, .yaml, .yoda or .yoda.gz file.")


__all__ = ["read_measurement"]
