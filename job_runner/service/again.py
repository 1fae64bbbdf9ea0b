"""Failed and cancelled jobs once more: a new generation out of the job that their record keeps.

The record goes only by the step that queues the job, and only if it is still the one that was read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from job_runner.service.durability import ready_to_queue
from job_runner.service.submit import send
from lib.errors import InvalidInputError, SettingsError
from lib.jobqueue import JobSpec
from lib.redisqueue import reader
from lib.redisqueue.keys import DEFAULT_BACKLOG, parse_backlog
from lib.redisqueue.submissions import submission_of
from lib.wiring import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from job_runner.service.durability import Durability
    from lib.jobqueue import Catalogue
    from lib.jobqueue.protocol import Submission
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

RetryStatus = Literal[
    "queued", "not_found", "already_done", "active", "changed", "key_busy", "payload_lost", "unknown_task"
]
ACCEPTED = frozenset({"queued"})


@dataclass(frozen=True, slots=True)
class RetriedRow:
    """What became of one id: `active` is in the queue already, `changed` was retried by somebody else just now."""

    request_id: str
    status: RetryStatus
    stream_id: str | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of all."""

    rows: tuple[RetriedRow, ...]

    @property
    def refused(self) -> bool:
        """Whether any id was not queued."""
        return any(row.status not in ACCEPTED for row in self.rows)

    @property
    def missing(self) -> bool:
        """Whether nothing at all is known about any of the ids."""
        return bool(self.rows) and all(row.status == "not_found" for row in self.rows)

    def document(self) -> dict[str, Any]:
        """The JSON of `retry`."""
        return {"rows": [asdict(row) for row in self.rows]}


async def retry(queue: Queue, settings: Settings, request_ids: Sequence[str]) -> Retried:
    """Queue each failed or cancelled job again, with its own content and in its own backlog.

    Raises:
        SettingsError, RefusedError: the durability asked for cannot be had; nothing was queued.

    """
    durability = await ready_to_queue(queue, settings)
    await queue.refresh_streams()
    kinds = catalogue(settings)
    rows: list[RetriedRow] = []
    ids = tuple(dict.fromkeys(request_ids))
    for begin in range(0, len(ids), reader.PAGE):
        rows += await _retry_page(queue, kinds, durability, ids[begin : begin + reader.PAGE])
    return Retried(tuple(rows))


async def retry_all_failed(queue: Queue, settings: Settings) -> Retried:
    """The same for every failed job; cancelled ones stay as somebody wished."""
    ids = [request_id async for page in reader.failed_ids(queue) for request_id in page]
    return await retry(queue, settings, ids)


async def count_failed(queue: Queue) -> int:
    """How many `retry_all_failed` would take."""
    return sum([len(page) async for page in reader.failed_ids(queue)])


async def _retry_page(queue: Queue, kinds: Catalogue, durability: Durability, ids: Sequence[str]) -> list[RetriedRow]:
    answers: dict[str, RetriedRow] = {}
    submissions: list[Submission] = []
    for found in await reader.results(queue, ids):
        prepared = _prepared(found, kinds)
        if isinstance(prepared, RetriedRow):
            answers[found.request_id] = prepared
        else:
            submissions.append(prepared)
    replies, _ = await send(queue, submissions, durability, mode="again") if submissions else ([], None)
    for reply in replies:
        status = "active" if reply.code == "duplicate_request" else reply.code
        answers[reply.request_id] = RetriedRow(reply.request_id, status, reply.stream_id or None)  # type: ignore[arg-type]  # mode `again` answers with these alone
    return [answers[request_id] for request_id in ids]


def _prepared(found: reader.Found, kinds: Catalogue) -> Submission | RetriedRow:
    """The submission that begins this job anew, or why there is none."""
    match found.status:
        case "not_found":
            return RetriedRow(found.request_id, "not_found")
        case "done":
            return RetriedRow(found.request_id, "already_done")
        case "queued" | "leased" | "delayed":
            return RetriedRow(found.request_id, "active")
    record = found.record or {}
    if not isinstance(record.get("job"), dict) or "fence" not in record:
        return RetriedRow(found.request_id, "payload_lost")
    try:
        spec = JobSpec.from_json(json.dumps(record["job"]).encode())
        return submission_of(spec, kinds, backlog=_backlog_of(record), expected_fence=str(record["fence"]))
    except InvalidInputError:
        return RetriedRow(found.request_id, "unknown_task")


def _backlog_of(record: Mapping[str, Any]) -> str:
    """Where the job came from; the default backlog for a name that somebody wrote into the record by hand."""
    try:
        return parse_backlog(str(record.get("backlog", DEFAULT_BACKLOG)))
    except SettingsError:
        return DEFAULT_BACKLOG
