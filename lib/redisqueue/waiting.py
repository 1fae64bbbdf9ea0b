"""Jobs that wait in an intake: read in their order, and ended where they stand when what they would make is there.

Nothing is leased and nothing moved, so who only looks changes no order and costs no job a try. Called by
`job_watcher.made_already`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.outbox import OutboxEntry
from lib.redisqueue.connection import as_text, edge
from lib.redisqueue.queue import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.jobqueue.protocol import Ending
    from lib.redisqueue.queue import Queue

PAGE: Final = 50
"""Entries that are read at once: a job may have `JOBS_MAX_JOB_BYTES`."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """One entry of an intake; `job` are its bytes."""

    request_id: str
    generation: str
    intake: str
    entry: str
    job: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries in their order: the jobs among them, and the `last` of all, empty where there are none."""

    jobs: tuple[WaitingJob, ...]
    last: str


async def read(queue: Queue, intake: str, *, after: str) -> Page:
    """The entries behind one, which need not be there any more; from the first one on where `after` is empty."""
    async with edge(queue.url):
        found: Any = await queue.client.xrange(queue.keys.stream(intake), min=f"({after}" if after else "-", count=PAGE)
    jobs = tuple(
        WaitingJob(as_text(fields[b"id"]), as_text(fields[b"gen"]), intake, as_text(entry), bytes(fields[b"job"]))
        for entry, fields in found
        # Others were added by hand, and are nobody's yet.
        if {b"id", b"gen", b"job"} <= fields.keys()
    )
    return Page(jobs, as_text(found[-1][0]) if found else "")


async def first(queue: Queue, intake: str) -> str:
    """The first entry that waits there; empty when there is none."""
    async with edge(queue.url):
        found: Any = await queue.client.xrange(queue.keys.stream(intake), count=1)
    return as_text(found[0][0]) if found else ""


async def answer(
    queue: Queue, session: str, found: Sequence[tuple[WaitingJob, Ending]]
) -> list[tuple[Ending, OutboxEntry | None] | None]:
    """End them as done; for each its ending with the fence that it got, and what is to be published.

    None of one that has moved on meanwhile, or where the session has ended.
    """
    answered: list[tuple[Ending, OutboxEntry | None] | None] = []
    for batch in batches(found, [len(ending.tail) for _, ending in found]):
        rows = [
            (j.request_id, j.generation, j.intake, j.entry, e.tail, e.ttl_ms, int(e.publish), e.callback)
            for j, e in batch
        ]
        replies = await queue.scripts.call("answer", intakes=queue.intakes, rows=rows, session=session)
        for (job, ending), reply in zip(batch, replies, strict=True):
            if not reply:
                answered.append(None)
                continue
            fence, outbox = as_text(reply[0]), as_text(reply[1])
            left = OutboxEntry(outbox, job.request_id, fence, session) if outbox else None
            answered.append((ending._replace(fence=fence), left))
    return answered
