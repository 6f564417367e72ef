"""A check of gradients that was interrupted goes on where it stood, and only with the same arguments."""

from typing import Any

import numpy as np
import pytest

from jaxhep.studies import check_gradients
from jaxhep.studies._accumulator import GradientSums
from jaxhep.studies._sums_store import SumsStore

ARGUMENTS: dict[str, Any] = {"lambdas": (2.0, 2.2), "num_events": 2500, "observables": ["multiplicity"], "bins": None}


def check(path, resume=False, stop_after=None, **changes):
    count = 0

    def report(done):
        nonlocal count
        count += 1
        if count == stop_after:
            raise KeyboardInterrupt
        reports.append(done)

    reports: list[int] = []
    arguments = ARGUMENTS | changes
    return check_gradients(**arguments, chunk_size=1024, on_chunk=report, checkpoint=path, resume=resume), reports


def test_resumed_check_is_the_uninterrupted_one(tmp_path):
    whole, reports = check(tmp_path / "whole.npz")
    assert reports[-1] == 2500 * 6
    path = tmp_path / "parts.npz"
    for stop, resume in ((2, False), (3, True), (9, True)):
        with pytest.raises(KeyboardInterrupt):
            check(path, resume, stop)
    again, reports = check(path, True)
    # 2 + 3 + 9 of the 18 chunks were done; the report counts them.
    assert len(reports) == 18 - 14
    assert reports[-1] == 2500 * 6
    for name in ("autodiff", "autodiff_error", "difference", "difference_error", "bias", "chi2"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert list(tmp_path.iterdir()) == []


def test_other_arguments_and_broken_files_are_refused(tmp_path):
    path = tmp_path / "partial.npz"
    with pytest.raises(KeyboardInterrupt):
        check(path, stop_after=2)
    with pytest.raises(FileExistsError, match="resume it or remove the file"):
        check(path)
    for change in ({"seed": 2}, {"num_events": 2600}, {"step": 0.2}, {"n_f": 1}, {"energy": 90.0}):
        with pytest.raises(ValueError, match="begun with other arguments"):
            check(path, True, **change)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        check(path, True)


def test_a_killed_writer_leaves_the_state_before(tmp_path):
    path = tmp_path / "partial.npz"
    sums = GradientSums(2)
    sums.add_values(np.ones((3, 2)), np.ones(3), overflow=1)
    store = SumsStore(path, ["a"], resume=False)
    store.keep(4, 128, sums, GradientSums(2))
    assert not path.exists()
    store.write()
    path.with_name("partial.npz.part").write_bytes(b"half of the next")
    start, values, slopes = SumsStore(path, ["a"], resume=True).found(4) or (0, sums, sums)
    assert (start, values.events, values.overflow, slopes.events) == (128, 3, 1, 0)
    np.testing.assert_array_equal(values.wwff, sums.wwff)
    assert SumsStore(path, ["a"], resume=True).found(0) is None


def test_an_interrupt_inside_a_chunk_leaves_the_state_before_it(tmp_path):
    path = tmp_path / "partial.npz"
    sums, slopes = GradientSums(1), GradientSums(1)
    sums.add_values(np.ones((3, 1)), np.ones(3))
    store = SumsStore(path, [], resume=False)
    store.keep(0, 3, sums, slopes)
    sums.add_values(np.ones((2, 1)), np.ones(2))
    store.write()  # as when the context is left by an interrupt
    store = SumsStore(path, [], resume=True)
    _, again, _ = store.found(0) or (0, slopes, slopes)
    again.add_values(np.ones((2, 1)), np.ones(2))
    store.write()
    start, values, _ = SumsStore(path, [], resume=True).found(0) or (0, slopes, slopes)
    assert (start, values.events, values.w) == (3, 3, 3.0)
