"""Verifying without a terminal: many entries, whatever stands among the names of backlogs, and waiting for the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_runner.service import verifying
from job_runner.service.outputs_here import OutputsHere
from job_runner.service.submit import enqueue
from job_runner.service.verifying import Checked, Verified, verify, wait_until_ended
from lib.errors import InvalidInputError
from lib.jobfile import FileJob
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue.backlogs import backlog_names
from lib.settings import Settings
from tests.support.hand import HandWatcher, hand_watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

HERE = OutputsHere(Path("/nowhere/at/all"))
MANY = 1_100
"""More than two pages of a reader, and far more than a sample."""


@pytest.fixture
def settings(valkey_url: str, prefix: str) -> Settings:
    """A queue of this test's own."""
    return Settings.load({"REDIS_URL": valkey_url, "JOBS_PREFIX": prefix, "HOME": "/tmp"})  # noqa: S108 - nothing is written


@pytest.fixture
async def watcher(valkey_url: str, prefix: str) -> AsyncIterator[HandWatcher]:
    """By hand."""
    async with hand_watcher(valkey_url, prefix) as opened:
        yield opened


def entries(count: int, backlog: str = "default", plan: str = "p") -> Iterator[FileJob]:
    """So many echoes, as a manifest is read."""
    for at in range(count):
        row = {"request_id": f"{backlog}:{plan}:{at}", "task": "debug", "payload": {"message": f"m{at}"}}
        yield FileJob(at, at + 1, normalize_job_spec(row))


async def sent(watcher: HandWatcher, settings: Settings, count: int, backlog: str, plan: str = "p") -> None:
    """The same, dispatched."""
    await enqueue(watcher.queue, settings, (job.spec for job in entries(count, backlog, plan)), backlog=backlog)


async def worked_off(watcher: HandWatcher, *, wrong: int = -1) -> None:
    """All of it, soundly, but for one."""
    while leases := await watcher.lease():
        for lease in leases:
            number = int(lease.request_id.rpartition(":")[2])
            await watcher.done(lease, result={"message": f"m{number}" if number != wrong else "?"})


async def test_every_entry_of_many_is_looked_at(watcher: HandWatcher, settings: Settings) -> None:
    """Over several pages, in the order of the file, with the line of the one that is wrong."""
    await sent(watcher, settings, MANY, "big")
    await worked_off(watcher, wrong=777)
    found = await verify(watcher.queue, entries(MANY), BUILT_IN, backlog=None, here=HERE)
    assert found.backlog == "big"
    assert [row.request_id for row in found.rows] == [f"big:p:{at}" for at in range(MANY)]
    assert found.unsound == (Checked(778, "big:p:777", "debug", "done", "message is '?', not 'm777'"),)
    assert found.summary == {"done": MANY}
    assert found.pending == []


async def test_only_the_backlog_that_has_it_counts(watcher: HandWatcher, settings: Settings) -> None:
    """Another plan elsewhere is no match; in two it must be said which; in none it is the default one."""
    await sent(watcher, settings, 2, "news", plan="other")
    await sent(watcher, settings, 2, "gap_fill")
    found = await verify(watcher.queue, entries(2), BUILT_IN, backlog=None, here=HERE)
    assert (found.backlog, found.summary) == ("gap_fill", {"queued": 2})
    await sent(watcher, settings, 1, "default")
    with pytest.raises(InvalidInputError, match="dispatched to 2 backlogs: default, gap_fill"):
        await verify(watcher.queue, entries(2), BUILT_IN, backlog=None, here=HERE)
    named = await verify(watcher.queue, entries(2, "gap_fill"), BUILT_IN, backlog="gap_fill", here=HERE)
    assert named.pending == ["gap_fill:p:0", "gap_fill:p:1"]
    nowhere = await verify(watcher.queue, entries(1, plan="none"), BUILT_IN, backlog=None, here=HERE)
    assert (nowhere.backlog, nowhere.summary) == ("default", {"not_found": 1})


async def test_names_that_are_none_are_left_out(watcher: HandWatcher, settings: Settings) -> None:
    """Anybody may have put something into the set; a queue that knows no backlog has the default one."""
    assert await backlog_names(watcher.queue) == ("default",)
    await sent(watcher, settings, 1, "zoo")
    await sent(watcher, settings, 1, "ark")
    await watcher.queue.client.sadd(watcher.queue.keys.of("backlogs"), "No Such:Name", b"\xff")
    assert await backlog_names(watcher.queue) == ("default", "ark", "zoo")


async def test_waiting_is_over_when_nothing_moves_any_more(
    watcher: HandWatcher, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done, failed or unknown: whatever ends by itself no more."""
    monkeypatch.setattr(verifying, "_POLL_SECONDS", 0.01)
    await wait_until_ended(watcher.queue, [])
    await sent(watcher, settings, 3, "b")
    names = [f"b:p:{at}" for at in range(3)]
    waiting = asyncio.create_task(wait_until_ended(watcher.queue, [*names, "b:p:unknown"]))
    first, *others = await watcher.lease()
    await watcher.failed(first)
    for lease in others:
        assert not waiting.done()
        await watcher.done(lease)
    await asyncio.wait_for(waiting, 20)


def test_the_document_counts_what_is_sound() -> None:
    """And has a row for each, sound or not."""
    good = Checked(1, "a", "debug", "done", None)
    bad = Checked(2, "b", "debug", "failed", "no", "poison")
    document = Verified("x", (good, bad)).document()
    assert (document["job_count"], document["sound"], document["summary"]) == (2, 1, {"done": 1, "failed": 1})
    assert [(row["sound"], row["problem"], row["error_type"]) for row in document["rows"]] == [
        (True, None, ""),
        (False, "no", "poison"),
    ]
