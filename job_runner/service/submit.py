"""Jobs into the queue: each accepted once by its request_id, in batches that are one step each.

Safe to repeat: what was accepted before answers `duplicate_request` or `already_…`. A run that is cut off in the
middle is completed by the next.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.durability import WAIT_MS, ready_to_queue
from lib.errors import ServerFullError
from lib.redisqueue import producing, reader
from lib.redisqueue.keys import DEFAULT_BACKLOG
from lib.redisqueue.submissions import submission_of
from lib.wiring import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from job_runner.service.durability import Durability
    from lib.jobqueue import JobSpec
    from lib.jobqueue.protocol import Submission, SubmitCode, SubmitMode, SubmitReply
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

CHUNK_JOBS: Final = 2000
"""Jobs held in memory at once: some batches of the queue, so that a million rows need no more than a few MB."""

REFUSED: Final = frozenset({"conflict", "key_busy"})
"""Codes that mean: this job is not in the queue as asked."""


@dataclass(frozen=True, slots=True)
class EnqueuedRow:
    """What became of one job of the files; `index` counts from 0 over all of them."""

    index: int
    request_id: str
    output_name: str | None
    status: SubmitCode
    stream_id: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of all.

    `reached` is the least number of replicas that have them, None unless asked for. `in_the_way` says for each id
    that was a conflict how its other job stands.
    """

    rows: tuple[EnqueuedRow, ...]
    durability: Durability
    reached: int | None = None
    in_the_way: Mapping[str, reader.FoundStatus] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, int]:
        """How many of each status, in the order of their first row."""
        return dict(Counter(row.status for row in self.rows))

    @property
    def refused(self) -> bool:
        """Whether any job is not in the queue as asked."""
        return any(row.status in REFUSED for row in self.rows)

    @property
    def short_of_replicas(self) -> bool:
        """Whether jobs are accepted but on fewer replicas than asked for."""
        return self.reached is not None and self.reached < self.durability.replicas

    @property
    def durability_text(self) -> str:
        """`memory`, `fsynced` or `replicated(n)` with the number that was reached."""
        return self.durability.level if self.reached is None else f"replicated({self.reached})"

    def document(self) -> dict[str, Any]:
        """The JSON of `enqueue`."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "summary": self.summary,
            "durability": self.durability_text,
        }


async def enqueue(
    queue: Queue,
    settings: Settings,
    jobs: Iterable[JobSpec],
    *,
    backlog: str = DEFAULT_BACKLOG,
    replace: bool = False,
    tell: Callable[[Sequence[EnqueuedRow]], object] = lambda _: None,
) -> Enqueued:
    """Submit `jobs` in order; `replace` begins the next generation of those that are finished with other content.

    `tell` gets the rows of each part as soon as the queue has answered for it.

    Raises:
        SettingsError, RefusedError: the durability asked for cannot be had; nothing was queued.
        UnreachableError: what was sent before may be queued; run it again.

    """
    kinds = catalogue(settings)
    durability = await ready_to_queue(queue, settings)
    await queue.refresh_streams()
    rows: list[EnqueuedRow] = []
    reached: int | None = None
    for chunk in _chunks(jobs):
        submissions = [submission_of(spec, kinds, backlog=backlog) for spec in chunk]
        replies, got = await send(queue, submissions, durability, mode="replace" if replace else "new")
        part = [_row(len(rows) + i, spec, reply) for i, (spec, reply) in enumerate(zip(chunk, replies, strict=True))]
        tell(part)
        rows += part
        if got is not None:
            reached = got if reached is None else min(reached, got)
    conflicts = [row.request_id for row in rows if row.status == "conflict"]
    found = await reader.results(queue, conflicts) if conflicts else []
    return Enqueued(tuple(rows), durability, reached, {each.request_id: each.status for each in found})


async def send(
    queue: Queue, submissions: list[Submission], durability: Durability, *, mode: SubmitMode
) -> tuple[list[SubmitReply], int | None]:
    """Submit at the agreed durability; also how many replicas were reached, None unless asked for."""
    try:
        if durability.level != "replicated":
            return await producing.submit(queue, submissions, mode=mode), None
        return await producing.submit_replicated(
            queue, submissions, mode=mode, replicas=durability.replicas, timeout_ms=WAIT_MS
        )
    except ServerFullError as exc:
        mend = "let watchers work some off, or raise maxmemory; then run it again"
        raise ServerFullError(exc.message, hint=mend) from exc


def _row(index: int, spec: JobSpec, reply: SubmitReply) -> EnqueuedRow:
    return EnqueuedRow(index, spec.request_id, spec.output_name, reply.code, reply.stream_id or None, reply.attempt)


def _chunks(jobs: Iterable[JobSpec]) -> Iterator[list[JobSpec]]:
    rest = iter(jobs)
    while chunk := list(islice(rest, CHUNK_JOBS)):
        yield chunk
