"""execution.json is whole after every step, and says where a crash was."""

from __future__ import annotations

import json
import os
import resource
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from lib.errors import InvalidInputError, RefusedError
from lib.manifest.executed import execution_document
from lib.manifest.execution import ALREADY_MADE, DRY_RUN, ExecutedJob, ExecutionLog
from lib.manifest.folder import held, write_whole
from lib.manifest.interruption import Interruption

if TYPE_CHECKING:
    from pathlib import Path


class Ticking:
    """A clock that moves by a second each time it is asked."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time, a second later each time."""
        self.at += timedelta(seconds=1)
        return self.at


def log_of(path: Path, *, job_count: int = 2, dry_run: bool = False) -> ExecutionLog:
    """A log with a clock of its own."""
    return ExecutionLog(path, run_id="run-1", job_count=job_count, dry_run=dry_run, now=Ticking())


OK = ExecutedJob("a", "a", "ok", 0, 1.23456)
BAD = ExecutedJob("b", "b", "failed", 1, 0.5, error="x" * 5_000, hint="mend it")


def test_it_is_whole_after_every_step(tmp_path: Path) -> None:
    """Before, in a job, after it, at the end: always JSON, always what is known."""
    path = tmp_path / "execution.json"
    log = log_of(path)
    log.write()
    assert execution_document(path)["jobs"] == []
    log.begin("a")
    assert execution_document(path)["current"] == "a"
    log.add(OK)
    log.begin("b")
    running = execution_document(path)
    assert (running["current"], running["completed_at"], running["success"]) == ("b", None, False)
    assert [each["request_id"] for each in running["jobs"]] == ["a"]
    log.add(BAD)
    log.complete(aborted=False)
    ended = execution_document(path)
    assert ended == log.document()
    assert (ended["executed_count"], ended["failed_count"], ended["skipped_count"]) == (2, 1, 0)
    assert (ended["current"], ended["success"]) == (None, False)
    assert ended["duration_sec"] > 0
    assert ended["jobs"][0]["duration_sec"] == 1.235
    assert len(ended["jobs"][1]["error"]) == 2_000
    assert [each.name for each in tmp_path.iterdir()] == ["execution.json"]


@pytest.mark.parametrize(
    ("jobs", "dry_run", "aborted", "success"),
    [
        ([OK, OK], False, False, True),
        ([OK, BAD], False, False, False),
        ([OK], False, False, False),
        ([OK, OK], False, True, False),
        ([OK, ExecutedJob("b", "b", "skipped", None, 0, reason=ALREADY_MADE)], False, False, True),
        ([OK, ExecutedJob("b", "b", "skipped", None, 0, reason=DRY_RUN)], False, False, False),
        ([ExecutedJob("b", "b", "skipped", None, 0, reason=DRY_RUN)] * 2, True, False, True),
    ],
)
def test_success_means_that_all_is_there(
    tmp_path: Path,
    *,
    jobs: list[ExecutedJob],
    dry_run: bool,
    aborted: bool,
    success: bool,
) -> None:
    """Made now or before, and of every job."""
    log = log_of(tmp_path / "e.json", dry_run=dry_run)
    for each in jobs:
        log.add(each)
    log.complete(aborted=aborted)
    assert log.success is success
    assert execution_document(tmp_path / "e.json")["success"] is success


def test_writing_replaces_and_follows_no_link(tmp_path: Path) -> None:
    """A reader of the old file keeps it whole; a planted link is replaced, its target stays."""
    path, victim = tmp_path / "e.json", tmp_path / "victim"
    write_whole(path, b"old")
    victim.write_bytes(b"precious")
    (tmp_path / ".e.json.part").symlink_to(victim)
    with path.open("rb") as reading:
        write_whole(path, b"new")
        assert reading.read() == b"old"
    assert path.read_bytes() == b"new"
    assert victim.read_bytes() == b"precious"


def test_a_disk_that_fills_up_leaves_the_old_document(tmp_path: Path) -> None:
    """What was there is whole until the new one is."""
    path = tmp_path / "e.json"
    write_whole(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(RefusedError, match="cannot be written: File too large"):
            write_whole(path, b"new" * 1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_disk_that_does_not_take_it(tmp_path: Path) -> None:
    """The file and the reason are named."""
    with pytest.raises(RefusedError, match="cannot be written: No such file or directory"):
        write_whole(tmp_path / "gone" / "e.json", b"x")


def test_the_lock_ends_with_its_block(tmp_path: Path) -> None:
    """Also after an error in it; what is no folder is said."""
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    with held(tmp_path):
        pass
    with pytest.raises(InvalidInputError, match="No such file"), held(tmp_path / "gone"):
        pass


def test_signals_wait_for_the_end_of_a_shield() -> None:
    """Inside it nothing is interrupted; after it once, however many came."""
    order: list[str] = []
    with Interruption() as interruption:

        def work() -> None:
            with interruption.shielded():
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)
                order.append("whole")

        with pytest.raises(KeyboardInterrupt):
            work()
        assert interruption.seen
        with interruption.shielded():
            os.kill(os.getpid(), signal.SIGINT)
            order.append("the last words")
    assert order == ["whole", "the last words"]


def test_signals_are_only_noted_when_the_work_is_over() -> None:
    """In a shield and out of it; a signal that came in the shield before is not raised at its end."""
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        with interruption.shielded():
            os.kill(os.getpid(), signal.SIGINT)
            interruption.work_is_over()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.seen
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_document_is_utf8_with_ids_as_they_are(tmp_path: Path) -> None:
    """For people who open it."""
    log = log_of(tmp_path / "e.json", job_count=1)
    log.add(ExecutedJob("Übung:1", "Übung/1", "ok", 0, 0.0))
    log.complete(aborted=False)
    assert "Übung:1" in (tmp_path / "e.json").read_text()
    assert json.loads((tmp_path / "e.json").read_text())["jobs"][0]["request_id"] == "Übung:1"
