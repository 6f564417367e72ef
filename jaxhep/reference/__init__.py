"""Published measurements with their source, and readers for those that users bring."""

from ._errors import DataFileError
from .files import read_measurement
from .hepdata import read_hepdata_yaml
from .measurement import Measurement
from .tables import available, load, read_table
from .yoda import read_yoda

__all__ = [
    "DataFileError",
    "Measurement",
    "available",
    "load",
    "read_hepdata_yaml",
    "read_measurement",
    "read_table",
    "read_yoda",
]
