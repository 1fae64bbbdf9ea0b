"""The spool of a plan's jobs."""

from __future__ import annotations

import gc
import tempfile
import tracemalloc
import warnings
from typing import TYPE_CHECKING

import pytest

from job_runner.service.planned import PlannedJob, PlannedJobs
from lib.errors import JobRunnerError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 4 << 20


def job(index: int, *, file: str = "jobs.yaml") -> PlannedJob:
    """One of many."""
    return PlannedJob(
        index, file, "voice:newsroom", f"r{index}", None, 7, "sha256:v1:" + "0" * 64, ("metal",), 0.21, 0.0, ("odd",)
    )


def spool_of(count: int) -> PlannedJobs:
    """So many of them, in order."""
    jobs = PlannedJobs()
    for index in range(count):
        jobs.add(job(index))
    return jobs


def test_jobs_come_back_as_often_as_they_are_asked_for() -> None:
    """A table reads them once for its rows and once for its sums."""
    jobs = spool_of(3)
    for _ in range(2):
        assert [(each.index, each.request_id, list(each.warnings)) for each in jobs] == [
            (0, "r0", ["odd"]),
            (1, "r1", ["odd"]),
            (2, "r2", ["odd"]),
        ]
    assert len(jobs) == 3
    assert jobs


def test_rows_that_turned_out_wrong_are_left_out() -> None:
    """By file and row: another file's row of the same number stays."""
    jobs = spool_of(3)
    jobs.add(job(1, file="other.yaml"))
    jobs.leave_out({("jobs.yaml", "jobs[1]"), ("jobs.yaml", "defaults")})
    assert [(each.file, each.index) for each in jobs] == [("jobs.yaml", 0), ("jobs.yaml", 2), ("other.yaml", 1)]
    assert len(jobs) == 3


def test_no_jobs() -> None:
    """An empty plan is false, as an empty list is."""
    assert not PlannedJobs()
    assert list(PlannedJobs()) == []


def test_many_jobs_take_no_more_memory() -> None:
    """They lie on disk: 30 000 would take 10 MB and more as objects."""
    tracemalloc.start()
    try:
        jobs = spool_of(30_000)
        assert sum(1 for _ in jobs) == 30_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES


def test_a_disk_that_takes_no_more_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is, why, and what to do: no traceback for a full disk."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(JobRunnerError, match=f"cannot keep a long plan in {tmp_path}/file: Not a directory") as caught:
        spool_of(30_000)
    assert "TMPDIR" in (caught.value.hint or "")


def test_the_spool_goes_with_the_plan() -> None:
    """Nobody has to close it, and no file is left open."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jobs = spool_of(10_000)
        file = jobs._spool
        del jobs
        gc.collect()
    assert file.closed
