"""End jobs at a person's wish, in whatever state they are: each in one step that writes the cancelled record.

A job that moves between the look and the step is looked at again, a few times.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from lib.clock import SystemClock
from lib.errors import InvalidInputError
from lib.jobqueue import JobSpec
from lib.jobqueue.protocol import Cancellation
from lib.jobqueue.records import Failure, failed_tail
from lib.redisqueue import producing, reader
from lib.redisqueue.keys import backlog_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.clock import Clock
    from lib.redisqueue.queue import Queue

CancelStatus = Literal["cancelled", "already_done", "already_failed", "already_cancelled", "not_found", "busy"]

LOOKS_MAX: Final = 10
"""A job moves a few times in its life, not ten times within a second; then somebody is playing with it."""


@dataclass(frozen=True, slots=True)
class CancelledRow:
    """What became of one id; `was_running` says that its body is being told to stop."""

    request_id: str
    status: CancelStatus
    was_running: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of all."""

    rows: tuple[CancelledRow, ...]

    @property
    def summary(self) -> dict[str, int]:
        """How many of each status."""
        return dict(Counter(row.status for row in self.rows))

    @property
    def refused(self) -> bool:
        """Whether a job goes on, or ended otherwise, against the wish."""
        return any(row.status not in {"cancelled", "already_cancelled"} for row in self.rows)

    @property
    def missing(self) -> bool:
        """Whether nothing at all is known about any of the ids."""
        return bool(self.rows) and all(row.status == "not_found" for row in self.rows)

    def document(self) -> dict[str, Any]:
        """The JSON of `cancel`."""
        return {"rows": [asdict(row) for row in self.rows], "summary": self.summary}


async def standing(queue: Queue, request_ids: Sequence[str]) -> dict[str, reader.FoundStatus]:
    """How each job stands now, for whoever is asked whether to end it."""
    return {each.request_id: each.status for each in await reader.results(queue, tuple(dict.fromkeys(request_ids)))}


async def cancel(queue: Queue, request_ids: Sequence[str], *, clock: Clock | None = None) -> Cancelled:
    """End each of these jobs; asking again is harmless."""
    clock = clock or SystemClock()
    ids = tuple(dict.fromkeys(request_ids))
    answers: dict[str, CancelledRow] = {}
    for _ in range(LOOKS_MAX):
        left = [request_id for request_id in ids if request_id not in answers]
        if not left:
            break
        looked = await reader.look(queue, left)
        active = [each for each in looked if each.row is not None]
        answers |= await _ended(queue, [each.request_id for each in looked if each.row is None])
        wishes = [_wish(each, clock) for each in active]
        codes = await producing.cancel(queue, wishes) if wishes else []
        for each, code in zip(active, codes, strict=True):
            if code == "cancelled":
                running = each.row is not None and each.row.state == "leased"
                answers[each.request_id] = CancelledRow(each.request_id, "cancelled", running)
    return Cancelled(tuple(answers.get(request_id, CancelledRow(request_id, "busy")) for request_id in ids))


async def _ended(queue: Queue, ids: Sequence[str]) -> dict[str, CancelledRow]:
    """What is known about ids that have no active job; one that has just come back is left for the next look."""
    found = await reader.results(queue, ids) if ids else []
    statuses: dict[str, CancelStatus] = {
        "done": "already_done",
        "failed": "already_failed",
        "cancelled": "already_cancelled",
        "not_found": "not_found",
    }
    return {
        each.request_id: CancelledRow(each.request_id, statuses[each.status])
        for each in found
        if each.status in statuses
    }


def _wish(looked: reader.Looked, clock: Clock) -> Cancellation:
    job: JobSpec | bytes | None = looked.job
    ttl_ms, callback = 0, ""
    if looked.job is not None:
        try:
            job = JobSpec.from_json(looked.job)
            ttl_ms, callback = (job.ttl_seconds or 0) * 1000, job.callback_url or ""
        except InvalidInputError:
            pass  # kept as bytes in the record
    stage: Literal["execute", "route"] = "execute" if looked.row and looked.row.state == "leased" else "route"
    failure = Failure("permanent", stage, "cancelled by request", clock.now())
    tail = failed_tail(job, failure, request_id=looked.request_id, backlog=backlog_of(looked.intake))
    assert looked.row is not None  # noqa: S101 - the caller picked the active ones
    return Cancellation(looked.request_id, looked.row.generation, tail, ttl_ms, callback)
