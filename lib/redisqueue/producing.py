"""What a producer does: submit, cancel, flush. `job_runner.service` calls it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from lib.errors import QueueError, RefusedError
from lib.failpoints import reach
from lib.jobqueue.protocol import CancelCode, Cancellation, Submission, SubmitMode, SubmitReply
from lib.redisqueue.connection import Client, as_text, connect, edge
from lib.redisqueue.queue import Queue, batches

if TYPE_CHECKING:
    from collections.abc import Sequence

FLUSH_TRIES: Final = 10
"""Each is beaten only by a stream that is made between two commands."""


def submission_row(job: Submission) -> tuple[str | bytes | int, ...]:
    """The fields of one submission in the order of adopt.lua."""
    return (
        job.request_id,
        job.identity,
        job.job,
        job.intake,
        job.backlog,
        job.due_ms,
        job.conflict_key,
        job.on_conflict,
        job.attempt,
        job.deadline_ms,
    )


async def submit(
    queue: Queue, jobs: Sequence[Submission], *, mode: SubmitMode = "new", on: Client | None = None
) -> list[SubmitReply]:
    """Accept jobs, each once by its request_id, in batches that each are one step.

    Safe to repeat after any error: what was accepted answers `duplicate_request`. Of two with one id the first is
    accepted; in two batches it may be the other, where the server forgets its scripts between them. `on` names the
    connection that a following WAIT must use.
    """
    replies: list[SubmitReply] = []
    waiting: deque[Sequence[Submission]] = deque()

    def take(answers: list[Any]) -> None:
        for answer in answers:
            reach("submit.after")
            replies.extend(map(_reply, waiting.popleft(), answer))

    async with queue.scripts.one_ahead(on=on) as conversation:
        for batch in batches(jobs, [len(job.job) for job in jobs]):
            # Only their own: a key more in the call costs the server a TYPE, and intakes stay for ever.
            intakes = {job.intake for job in batch}
            queue.know_intakes(intakes)
            reach("submit.before")
            waiting.append(batch)
            take(
                await conversation.call(
                    "submit",
                    intakes=sorted(intakes),
                    common=[(sum(1 for _ in some), *shared) for shared, some in groupby(batch, _shared)],
                    rows=[(job.request_id, job.identity, job.job) for job in batch],
                    mode=mode,
                )
            )
        take(await conversation.rest())
    return replies


_shared = attrgetter(
    "intake", "backlog", "due_ms", "conflict_key", "on_conflict", "attempt", "expected_fence", "deadline_ms"
)
"""What neighbouring jobs have in common, in the order of submit.lua."""


def _reply(job: Submission, answer: bytes | list[Any]) -> SubmitReply:
    if isinstance(answer, bytes):
        return SubmitReply(job.request_id, "queued", answer.decode("ascii"), job.attempt)
    code, entry, attempt = answer
    return SubmitReply(job.request_id, as_text(code), as_text(entry), int(attempt))  # type: ignore[arg-type]  # the codes of submit.lua are SubmitCode


async def submit_replicated(
    queue: Queue, jobs: Sequence[Submission], *, mode: SubmitMode, replicas: int, timeout_ms: int
) -> tuple[list[SubmitReply], int]:
    """Submit, then WAIT on the same connection; also returns how many replicas have it.

    WAIT speaks of the writes of its own connection only, so both go over one that nobody else uses.
    """
    client = connect(queue.url, prefix=queue.keys.prefix)
    try:
        async with edge(queue.url), client.client() as alone:
            replies = await submit(queue, jobs, mode=mode, on=alone)
            reached = int(await alone.wait(replicas, timeout_ms))
    finally:
        await client.aclose()
    return replies, reached


async def cancel(queue: Queue, wishes: Sequence[Cancellation]) -> list[CancelCode]:
    """End jobs in whatever state they are, if still of the generation that was looked at; see cancel.lua."""
    await queue.refresh_streams()
    codes: list[CancelCode] = []
    for batch in batches(wishes, [len(wish.tail) for wish in wishes]):
        rows = [(wish.request_id, wish.generation, wish.tail, wish.ttl_ms, wish.callback) for wish in batch]
        answers = await queue.scripts.call("cancel", intakes=queue.intakes, lanes=queue.lanes, rows=rows)
        for answer in answers:
            code = as_text(answer)
            if code == "streams":
                # A stream made since the refresh: to the caller the job has moved, and it looks again.
                code = "changed"
            codes.append(code)  # type: ignore[arg-type]  # the codes of cancel.lua are CancelCode
    return codes


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush removed; `instances` are rented machines whose rows were kept."""

    jobs: int
    records: int
    keys: tuple[str, ...]
    instances: int = 0


async def flush(queue: Queue, *, hard: bool, force: bool) -> Flushed:
    """Empty the queue.

    Raises:
        RefusedError: a watcher is alive and `force` is not set.
        QueueError: each time that the streams were read, there was a new one before they could be emptied.

    """
    reply: list[Any] = [b"streams"]
    for _ in range(FLUSH_TRIES):
        aside = await queue.refresh_streams()
        reply = await queue.scripts.call(
            "flush", intakes=queue.intakes, lanes=queue.lanes, rows=aside, hard=int(hard), force=int(force)
        )
        if as_text(reply[0]) != "streams":
            break
    match as_text(reply[0]):
        case "alive":
            names = ", ".join(sorted(as_text(session).partition(":")[0] for session in reply[1]))
            raise RefusedError(
                f"watchers are alive: {names}",
                hint="stop them first, or flush with --force: what they run is then thrown away",
            )
        case "flushed":
            return Flushed(int(reply[1]), int(reply[2]), tuple(as_text(key) for key in reply[3]), int(reply[4]))
        case "streams":
            raise QueueError(
                f"nothing was flushed: new intakes or lanes came up each of {FLUSH_TRIES} times",
                hint="stop what enqueues jobs, then flush again",
            )
        case other:
            raise QueueError(f"flush answered {other!r}")
