"""Whatever interrupts a run, what was written is safe, and the resumed run equals the uninterrupted one."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import jaxhep
from jaxhep.formats import (
    EventBatch,
    EventFileError,
    OutputExistsError,
    ResumableRun,
    RunMismatchError,
    StorageFullError,
    as_batch,
    file_info,
    open_writer,
    read_events,
    stream_events,
    suffixes,
)
from tests.formats.helpers import ENERGY, equal, gather, make_batch

TOTAL, SIZE = 11, 4
SAFE_AFTER = [0, 4, 8]
METADATA = {"seed": 5, "lambda_qcd": np.float64(0.2), "mode": "smooth"}


def stream(path, make=make_batch, metadata=METADATA, **options):
    return stream_events(path, make, TOTAL, batch_size=SIZE, energy=ENERGY, metadata=metadata, **options)


def same_file(one, two):
    """Byte for byte; ROOT files hold the time and a random number, so these are equal event for event."""
    equal(gather(one), gather(two))
    assert file_info(one) == file_info(two)
    if one.suffix != ".root":
        assert one.read_bytes() == two.read_bytes()


@pytest.fixture(params=[suffix for suffix in suffixes() if suffix != ".hdf5"])  # the same as .h5
def reference(request, tmp_path):
    """A file that was written without interruption."""
    path = tmp_path / f"whole{request.param}"
    summary = stream(path)
    assert (summary.num_events, summary.num_resumed, summary.num_bytes) == (TOTAL, 0, path.stat().st_size)
    return path


def interrupted(at, kind=KeyboardInterrupt):
    def make(start, count):
        if start == at:
            raise kind("stop")
        return make_batch(start, count)

    return make


@pytest.mark.parametrize("at", SAFE_AFTER)
def test_interrupted_at_a_batch_and_resumed(reference, at):
    path = reference.with_name(f"again{''.join(reference.suffixes)}")
    with pytest.raises(KeyboardInterrupt) as caught:
        stream(path, interrupted(at))
    assert f"{at} events are safe" in caught.value.__notes__[0]
    assert "resume=True" in caught.value.__notes__[0]
    assert not path.exists()
    folder = Path(f"{path}.partial")
    if at:
        equal(gather(folder, batch_size=3), as_batch(make_batch(0, at)))  # what is there can be used at once
        with pytest.raises(EventFileError, match="unfinished"):
            read_events(path)
    calls = []

    def watch(start, count):
        calls.append((start, count))
        return make_batch(start, count)

    summary = stream(path, watch, resume=True)
    assert calls == [(s, min(SIZE, TOTAL - s)) for s in SAFE_AFTER if s >= at]
    assert summary.num_resumed == at
    same_file(path, reference)
    assert not folder.exists()


class SmallDisk:
    """A file on a disk with room for some bytes only."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, content):
        content = memoryview(content).cast("B")
        self.file.write(content[: self.room])
        if len(content) > self.room:
            self.room = 0
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(content)
        return len(content)

    def __getattr__(self, name):
        return getattr(self.file, name)


def small_disk(patch, begins, room):
    """Let files whose name begins so meet a full disk after `room` bytes."""
    real = ResumableRun._replacing

    @contextlib.contextmanager
    def replacing(self, target):
        with real(self, target) as file:
            yield SmallDisk(file, room) if target.name.startswith(begins) else file

    patch.setattr(ResumableRun, "_replacing", replacing)


@pytest.mark.parametrize("at", SAFE_AFTER)
@pytest.mark.parametrize("room", [0, 100])
def test_full_disk_in_the_middle_of_a_batch(reference, at, room, monkeypatch):
    path = reference.with_name(f"again{''.join(reference.suffixes)}")
    with monkeypatch.context() as patch:
        small_disk(patch, f"{at:012d}", room)
        with pytest.raises(StorageFullError, match=rf"(?s)no space left.*{at} events are safe.*resume=True") as caught:
            stream(path)
    assert caught.value.errno == errno.ENOSPC
    folder = Path(f"{path}.partial")
    assert not list(folder.glob("*.tmp"))
    assert not path.exists()
    assert sum(b.num_events for part in folder.glob("0*") for b in read_events(part)) == at
    stream(path, resume=True)
    same_file(path, reference)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_full_disk_while_joining(reference, share, monkeypatch):
    """The joined file does not fit: the parts stay, whatever the library above makes of the failure."""
    path = reference.with_name(f"again{''.join(reference.suffixes)}")
    with monkeypatch.context() as patch:
        small_disk(patch, "again", int(share * reference.stat().st_size))
        with pytest.raises(StorageFullError, match=rf"joining.*{TOTAL} events are safe"):
            stream(path)
    assert not path.exists()
    assert len(list(Path(f"{path}.partial").glob("0*"))) == 3

    def never(start, count):
        raise AssertionError("no event may be made again")

    assert stream(path, never, resume=True).num_resumed == TOTAL
    same_file(path, reference)


def test_a_full_disk_is_seen_before_joining(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(StorageFullError, match=f"{TOTAL} events are safe"):
            stream(tmp_path / "a.h5")
    assert stream(tmp_path / "a.h5", resume=True).num_resumed == TOTAL


def test_the_real_file_size_limit_of_the_system(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "limited.hepmc"
    stream(tmp_path / "whole.hepmc")
    largest = max(len(part) for part in (tmp_path / "whole.hepmc").read_text().split("E 8 ")) // 2
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, old[1]))
    try:
        with pytest.raises(StorageFullError, match="no space left") as caught:
            stream(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.errno == errno.EFBIG
    assert stream(path, resume=True).num_resumed < TOTAL
    same_file(path, tmp_path / "whole.hepmc")


def test_a_killed_process_leaves_a_run_that_resumes(tmp_path):
    """SIGKILL gives no chance to clean up: a half-written temporary file is left and ignored."""
    path = tmp_path / "killed.h5"
    script = f"""
        import os, signal
        from jaxhep.formats import stream_events
        from tests.formats.helpers import make_batch
        def make(start, count):
            if start == 8:
                open({str(path)!r} + ".partial/000000000008-000000000011.h5.tmp", "wb").write(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
            return make_batch(start, count)
        stream_events({str(path)!r}, make, {TOTAL}, batch_size={SIZE}, energy={ENERGY}, metadata={{"seed": 5}})
    """
    root = Path(jaxhep.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(Path(f"{path}.partial").glob("*.tmp"))
    assert stream(path, metadata={"seed": 5}, resume=True).num_resumed == 8
    stream(tmp_path / "whole.h5", metadata={"seed": 5})
    same_file(path, tmp_path / "whole.h5")


@pytest.mark.parametrize("change", [{"seed": 6}, {"lambda_qcd": 0.3}, {"extra": 1}])
def test_other_parameters_cannot_resume(tmp_path, change):
    path = tmp_path / "a.hepmc"
    with pytest.raises(KeyboardInterrupt):
        stream(path, interrupted(4))
    (name, value) = next(iter(change.items()))
    with pytest.raises(RunMismatchError, match=rf"{name} \(.* there, {value} now\)"):
        stream(path, metadata={**METADATA, **change}, resume=True)
    with pytest.raises(RunMismatchError, match="energy"):
        stream_events(path, make_batch, TOTAL, batch_size=SIZE, energy=200.0, metadata=METADATA, resume=True)
    with pytest.raises(RunMismatchError, match="num_events"):
        stream_events(path, make_batch, 99, batch_size=SIZE, energy=ENERGY, metadata=METADATA, resume=True)
    assert stream(path, resume=True).num_events == TOTAL
    with pytest.raises(RunMismatchError, match=name):
        stream(path, metadata={**METADATA, **change}, resume=True)


def test_existing_output_is_never_overwritten_without_force(tmp_path):
    path = tmp_path / "a.parquet"
    stream(path)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match=r"exists already.*--force"):
        stream(path)
    with pytest.raises(FileExistsError):
        open_writer(path, energy=ENERGY)
    assert stream(path, resume=True).num_resumed == TOTAL
    assert path.read_bytes() == before
    with pytest.raises(KeyboardInterrupt):
        stream(path, interrupted(8), force=True)
    assert path.read_bytes() == before  # the old file stays until the new one is whole
    with pytest.raises(KeyboardInterrupt):
        stream(path, interrupted(8), metadata={"seed": 9}, force=True)
    assert stream(path, metadata={"seed": 9}, resume=True).num_resumed == 8  # a forced run resumes as any other
    assert file_info(path).metadata["seed"] == 9
    with pytest.raises(ValueError, match="choose one"):
        stream(path, force=True, resume=True)


def test_an_unfinished_run_must_be_resumed_or_forced(tmp_path):
    path = tmp_path / "a.root"
    with pytest.raises(RuntimeError, match="stop"):
        stream(path, interrupted(4, RuntimeError))
    with pytest.raises(OutputExistsError, match="unfinished run"):
        stream(path)
    assert stream(path, force=True).num_resumed == 0
    assert not Path(f"{path}.partial").exists()


def test_a_crash_between_the_last_two_steps(tmp_path):
    """The final file has its name, the parts are still there."""
    path = tmp_path / "a.h5"
    stream(path)
    Path(f"{path}.partial").mkdir()
    (Path(f"{path}.partial") / "000000000000-000000000004.h5").write_bytes(b"left")
    assert stream(path, resume=True).num_resumed == TOTAL
    assert not Path(f"{path}.partial").exists()


def test_two_writers_at_once_are_refused(tmp_path):
    pytest.importorskip("fcntl")
    writer = open_writer(tmp_path / "a.h5", energy=ENERGY)
    writer.write(make_batch(0, 2))
    for force in (True, False):
        with pytest.raises(OutputExistsError, match="another process"):
            open_writer(tmp_path / "a.h5", energy=ENERGY, force=force, resume=not force)
    writer.abort()
    with pytest.raises(ValueError, match="closed"):
        writer.write(make_batch(2, 2))
    with open_writer(tmp_path / "a.h5", energy=ENERGY, resume=True) as again:
        assert again.num_events == 2
        again.write(make_batch(2, 1))
    assert file_info(tmp_path / "a.h5").num_events == 3
    with pytest.raises(ValueError, match="finished"):
        again.write(make_batch(3, 1))


def test_damaged_manifest_or_missing_part(tmp_path):
    path = tmp_path / "a.hepmc"
    with pytest.raises(KeyboardInterrupt):
        stream(path, interrupted(8))
    folder = Path(f"{path}.partial")
    first = next(folder.glob("000000000000-*"))
    content = first.read_bytes()
    first.unlink()
    with pytest.raises(EventFileError, match="lacks the part that begins at event 0"):
        stream(path, resume=True)
    first.write_bytes(content[:-1])
    with pytest.raises(EventFileError, match="not a whole part"):
        stream(path, resume=True)
    first.write_bytes(content)
    manifest = (folder / "manifest.json").read_text()
    assert json.loads(manifest)["metadata"] == {
        "seed": 5,
        "lambda_qcd": 0.2,
        "mode": "smooth",
        "num_events": 11,
        "batch_size": 4,
    }
    (folder / "manifest.json").write_text(manifest[:20])
    with pytest.raises(EventFileError, match="damaged"):
        stream(path, resume=True)
    (folder / "manifest.json").write_text(manifest)
    assert stream(path, resume=True).num_events == TOTAL


def test_wrong_arguments(tmp_path):
    path = tmp_path / "a.h5"
    for number, size in [(0, 1), (-3, 1), (5, 0)]:
        with pytest.raises(ValueError, match="positive whole number"):
            stream_events(path, make_batch, number, batch_size=size, energy=ENERGY)
    for energy in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive number of GeV"):
            open_writer(path, energy=energy)
    with pytest.raises(TypeError, match="metadata may hold"):
        open_writer(path, energy=ENERGY, metadata={"simulator": object()})
    with pytest.raises(ValueError, match="must be finite"):
        open_writer(path, energy=ENERGY, metadata={"lambda": float("nan")})
    with pytest.raises(ValueError, match="adds them itself"):
        stream(path, metadata={"batch_size": 3})
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_writer(tmp_path / "absent" / "a.h5", energy=ENERGY)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="it must give 4"):
        stream(path, lambda start, count: make_batch(start, count - 1))
    writer = open_writer(path, energy=ENERGY, force=True)
    writer.write(make_batch(0, 2))
    with pytest.raises(ValueError, match="must agree"):
        writer.write(make_batch(2, 2, np.float32))
    writer.abort()
    with pytest.raises(ValueError, match="no events"), open_writer(path, energy=ENERGY, force=True):
        pass


def test_progress_is_reported_and_memory_is_bounded_by_a_batch(tmp_path):
    seen, largest = [], []
    real = as_batch

    def watch(start, count):
        largest.append(count)
        return real(make_batch(start, count))

    stream(tmp_path / "a.h5", watch, on_batch=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 11), (4, 11), (8, 11), (11, 11)]
    assert max(largest) == SIZE
    assert isinstance(next(read_events(tmp_path / "a.h5")), EventBatch)


def test_a_folder_without_write_permission_is_an_error_of_the_system(tmp_path):
    if os.geteuid() == 0:
        (tmp_path / "a.h5.partial").write_text("a file where the folder should be")
        with pytest.raises(OSError, match=r"a\.h5\.partial"):
            open_writer(tmp_path / "a.h5", energy=ENERGY)
    else:
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError):
            open_writer(tmp_path / "a.h5", energy=ENERGY)
