"""When the body of a job has begun on a host: it is said then, and before anything is done with what was made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.job_watcher.hosts.batching import job
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.hosts.batching import Jobs


async def test_it_is_said_when_the_body_begins_and_not_when_it_is_sent(jobs: Jobs) -> None:
    """Of two in one micro-batch the second waits its turn there; a cancelled one that never began is never named."""
    said: list[str] = []

    async def begins(name: str) -> None:
        said.append(name)

    first = jobs.give(job("[waits gate] first"), begun=lambda: begins("first"))
    await wait_until(lambda: said == ["first"])
    second = jobs.give(job("second"), begun=lambda: begins("second"))
    third = jobs.give(job("third"), begun=lambda: begins("third"))
    await wait_until(lambda: len(jobs.host.manifests) == 2)
    third.cancel()
    await asyncio.wait([third])
    assert said == ["first"]
    jobs.open("gate")
    await asyncio.gather(first, second)
    assert said == ["first", "second"]


async def test_what_it_made_is_not_touched_before_that_is_said(jobs: Jobs) -> None:
    """Listening to it may end the watcher: by then it stands in the row that its body was running."""
    heard = asyncio.Event()
    ending = jobs.give(job("one"), begun=heard.wait)  # type: ignore[arg-type]  # what it returns is not asked for
    await wait_until(lambda: jobs.progress["id-one"])
    await wait_until(lambda: not jobs.runner._table.there, what="the end of its body")
    assert not list(jobs.base.rglob("*.wav"))
    heard.set()
    result = await ending
    assert result.outputs


async def test_files_of_a_batch_stay_while_the_worker_may_read_them(jobs: Jobs) -> None:
    """All jobs of one are withdrawn, on their way there or waiting there: neither is a fault of the host."""
    first = jobs.give(job("[waits gate] first"))
    await jobs.at_work(job("[waits gate] first"))
    behind = [jobs.give(job(f"behind {i}")) for i in range(3)]
    await wait_until(lambda: len(jobs.host.manifests) == 2)
    for each in behind:
        each.cancel()
    await asyncio.wait(behind)
    jobs.give(job("[waits gate] other")).cancel()
    jobs.open("gate")
    await first
    on_their_way = [jobs.give(job(f"on its way {i}")) for i in range(3)]
    await wait_until(lambda: len(jobs.host.manifests) == 3)
    for each in on_their_way:
        each.cancel()
    await asyncio.wait(on_their_way)
    await jobs.give(job("last"))
    assert jobs.runner.fault is None
    place = jobs.host.root / jobs.host.puts[0].partition("/")[0]
    await wait_until(lambda: not list(place.rglob("batch-*/manifest.json")), what="nothing left of what is over")
