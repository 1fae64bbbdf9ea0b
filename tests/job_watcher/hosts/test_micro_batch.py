"""The table of a host's jobs: what goes there next, and what comes back to wait when a worker is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.crashes import ChildCrashedError
from job_watcher.hosts.errors import HostLostError
from job_watcher.hosts.micro_batch import AHEAD, Table, Ticket, files_of
from job_watcher.hosts.worker_events import Begun, Ended, LieError, Progressed, event_of
from lib.manifest import read_manifest
from lib.manifest.speech import Speech
from tests.job_watcher.hosts.batching import job

if TYPE_CHECKING:
    from pathlib import Path


def crash(_: Ticket) -> ChildCrashedError:
    """What a death means."""
    return ChildCrashedError("it died", exit_name="SIGKILL")


class Tabled:
    """A table under a clock by hand."""

    def __init__(self, most: int = 4) -> None:
        self.now = 0.0
        self.table = Table(most, lambda: self.now)
        self.progress: list[dict[str, Any]] = []

    def add(self, text: str = "a", *, suspect: bool = False, **fields: Any) -> Ticket:
        """A job that waits."""
        return self.table.add(job(text, **fields), self.progress.append, suspect=suspect)


@pytest.mark.parametrize(("seconds", "left"), [(0.25, 8), (0.01, 10), (30.0, AHEAD)])
async def test_of_quick_jobs_the_next_batch_comes_earlier(seconds: float, left: int) -> None:
    """So that the machine is not idle while it is sent: two seconds of work ahead, no more than half a batch."""
    tabled = Tabled(most=20)
    for _ in range(40):
        tabled.add()
    begun: list[int] = []
    for ticket in tabled.table.next_batch():
        tabled.table.hear(Begun(ticket.name))
        tabled.now += seconds
        tabled.table.hear(Ended(ticket.name, "failed"))
        if tabled.table.next_batch():
            begun.append(20 - int(ticket.name.removeprefix("job-")))
            break
    assert begun == [left]


async def test_the_next_batch_waits_until_little_is_left_there() -> None:
    """So a job of higher priority that comes late waits for few others."""
    tabled = Tabled()
    for _ in range(4):
        tabled.add()
    first = tabled.table.next_batch()
    late = tabled.add(priority="high")
    assert tabled.table.next_batch() == []
    for ticket in first[: 4 - AHEAD]:
        tabled.table.hear(Begun(ticket.name))
        tabled.table.hear(Ended(ticket.name, "ok"))
    assert tabled.table.next_batch() == [late]


async def test_after_a_death_all_but_the_one_at_work_wait_in_their_order() -> None:
    """Before those that came later, with their whole time before them."""
    tabled = Tabled(most=3)
    one, two, three = (tabled.add() for _ in range(3))
    tabled.table.next_batch()
    later = tabled.add()
    tabled.table.hear(Begun(one.name))
    tabled.table.bury(crash)
    with pytest.raises(ChildCrashedError):
        one.ended.result()
    assert tabled.table.next_batch() == [two, three, later]
    assert two.begun_at is None


async def test_a_worker_that_was_ended_on_purpose_is_nobodys_fault() -> None:
    """The one at work begins again too, unless it has its verdict."""
    tabled = Tabled()
    one, two = tabled.add(), tabled.add()
    tabled.table.next_batch()
    tabled.table.hear(Begun(one.name))
    tabled.table.bury(None)
    assert tabled.table.next_batch() == [one, two]
    one.verdict = HostLostError("late")
    tabled.table.bury(None)
    assert isinstance(one.ended.exception(), HostLostError)


async def test_a_body_is_timed_from_its_beginning_to_its_end() -> None:
    """By the clock of the watcher."""
    tabled = Tabled()
    ticket = tabled.add()
    tabled.table.next_batch()
    tabled.now = 100.0
    tabled.table.hear(Begun(ticket.name))
    tabled.table.hear(Progressed(ticket.name, {"percent": 1.0}))
    tabled.now = 103.0
    tabled.table.hear(Ended(ticket.name, "ok"))
    assert ticket.body_seconds == 3.0
    assert tabled.progress == [{"percent": 1.0}]


async def test_what_the_worker_says_that_a_body_took_is_believed_as_far_as_it_can_be() -> None:
    """Words may come late, both at once; but jobs that follow each other took no longer together than there was."""
    tabled = Tabled()
    one, two, three = (tabled.add() for _ in range(3))
    tabled.table.next_batch()
    tabled.now = 10.0
    tabled.table.hear(Begun(one.name))
    tabled.table.hear(Ended(one.name, "ok", seconds=6.0))
    tabled.table.hear(Begun(two.name))
    tabled.now = 12.0
    tabled.table.hear(Ended(two.name, "failed", "no", seconds=6.001))
    tabled.table.hear(Begun(three.name))
    tabled.now = 20.0
    tabled.table.hear(Ended(three.name, "ok", seconds=0.5))
    assert [each.body_seconds for each in (one, two, three)] == [6.0, 2.0, 0.5]


@pytest.mark.parametrize("said", ["NaN", "Infinity", "-1", "true", '"3"', "1e9", "9" * 400, "null"])
async def test_seconds_that_are_none_are_not_heard(said: str) -> None:
    """The end of the job is, all the same."""
    line = '{"event": "ended", "request_id": "a", "status": "ok", "files": [], "seconds": %s}'
    assert event_of(line % said) == Ended("a", "ok")
    assert event_of(line % "2.5") == Ended("a", "ok", seconds=2.5)


async def test_an_unwanted_job_says_nothing_more() -> None:
    """No progress of it, and no end."""
    tabled = Tabled()
    ticket = tabled.add()
    tabled.table.next_batch()
    tabled.table.hear(Begun(ticket.name))
    ticket.abandoned = True
    tabled.table.hear(Progressed(ticket.name, {"percent": 1.0}))
    tabled.table.hear(Ended(ticket.name, "ok"))
    assert tabled.progress == []
    assert ticket.ended.cancelled()


async def test_two_jobs_are_never_at_work_at_once() -> None:
    """Or a death could not be blamed on one."""
    tabled = Tabled()
    one, two = tabled.add(), tabled.add()
    tabled.table.next_batch()
    tabled.table.hear(Begun(one.name))
    with pytest.raises(LieError):
        tabled.table.hear(Begun(two.name))


async def test_a_batch_is_a_sound_folder_that_names_nobody(tmp_path: Path) -> None:
    """The host's worker reads it, each text fits its hash, and whose the jobs are is not in it."""
    tabled = Tabled()
    secret = job("A line.", request_id="customer-7:order-9", output_name="customer-7/order-9", tone="warm")
    tabled.table.add(secret, tabled.progress.append, suspect=False)
    tabled.add("Another line.", speaker="Ryan", voice=None, variants=3, select_best=True)
    files = files_of(tabled.table.next_batch())
    assert b"customer" not in b"".join(files.values())
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    manifest = read_manifest(tmp_path)
    entries = [Speech.entry_of(tmp_path, entry, call) for entry, call in manifest.jobs]
    assert entries[0].spec.content_hash == secret.content_hash
    assert [entry.spec.text for entry in entries] == ["A line.", "Another line."]
