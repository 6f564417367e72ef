"""Event files: HepMC3, HDF5, ROOT, Parquet; streaming, resumable, never half written."""

from ._errors import EventFileError, OutputExistsError, RunMismatchError, StorageFullError
from ._registry import suffixes
from .batch import EventBatch, as_batch
from .info import EventFileInfo
from .run import ResumableRun
from .stream import EventWriter, StreamSummary, file_info, open_writer, read_events, stream_events

__all__ = [
    "EventBatch",
    "EventFileError",
    "EventFileInfo",
    "EventWriter",
    "OutputExistsError",
    "ResumableRun",
    "RunMismatchError",
    "StorageFullError",
    "StreamSummary",
    "as_batch",
    "file_info",
    "open_writer",
    "read_events",
    "stream_events",
    "suffixes",
]
