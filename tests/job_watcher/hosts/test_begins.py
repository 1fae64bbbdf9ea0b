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
