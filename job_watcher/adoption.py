"""Takes in what another program XADDed into an intake by hand: read, validate, then one step of the queue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loguru import logger

from lib.errors import JobRunnerError
from lib.jobqueue import InvalidJobError, JobSpec, normalize_job_spec
from lib.jobqueue.protocol import Adoption, ForeignEntry, Submission
from lib.jobqueue.records import Failure, failed_tail
from lib.redisqueue import conducting
from lib.redisqueue.keys import parse_intake
from lib.redisqueue.queue import batches
from lib.redisqueue.submissions import submission_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.clock import Clock
    from lib.jobqueue import Catalogue
    from lib.redisqueue.queue import Queue

KEPT_BYTES = 4096
"""How much of an unreadable entry its failed record keeps; the whole of it stands in the stream of the rejected."""


@dataclass(slots=True)
class Adopter:
    """Reads entries that the index does not know; the limits are those of a submit."""

    queue: Queue
    catalogue: Catalogue
    clock: Clock
    max_attempts: int
    max_job_bytes: int
    callback_hosts: frozenset[str]

    async def adopt(self, entries: Sequence[ForeignEntry]) -> int:
        """Take in or turn away; how many entries were dealt with."""
        found = await conducting.read_foreign(self.queue, entries)
        adoptions = [self._read(entry, raw) for entry, raw in found]
        if not adoptions:
            return 0
        for batch in batches(adoptions, [_size(adoption) for adoption in adoptions]):
            codes = await conducting.adopt(self.queue, batch)
            for adoption, code in zip(batch, codes, strict=True):
                log = logger.bind(stream_id=adoption.entry, request_id=_name(adoption))
                (log.warning if code == "failed" else log.info)("entry added by hand to {}: {}", adoption.source, code)
        return len(adoptions)

    def _read(self, entry: ForeignEntry, raw: bytes | None) -> Adoption:
        record_id = f"foreign:{entry.source}:{entry.entry}"
        try:
            spec = self._spec(raw)
            backlog = parse_intake(entry.source).backlog
            job: Submission = submission_of(spec, self.catalogue, backlog=backlog)
        except InvalidJobError as exc:
            return self._refused(entry, record_id, raw, "; ".join(str(problem) for problem in exc.problems))
        except JobRunnerError as exc:
            return self._refused(entry, record_id, raw, exc.message)
        return Adoption(entry.source, entry.entry, record_id, job)

    def _spec(self, raw: bytes | None) -> JobSpec:
        if raw is None:
            raise JobRunnerError("the entry has no field `job`")
        if len(raw) > self.max_job_bytes:
            raise JobRunnerError(f"the job has {len(raw)} bytes, more than JOBS_MAX_JOB_BYTES {self.max_job_bytes}")
        try:
            row: Any = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise JobRunnerError(f"the field `job` is not JSON in UTF-8: {exc}") from exc
        if not isinstance(row, dict):
            raise JobRunnerError(f"the field `job` is a JSON {type(row).__name__}, not an object")
        return normalize_job_spec(
            row,
            catalogue=self.catalogue,
            max_attempts=self.max_attempts,
            max_job_bytes=self.max_job_bytes,
            callback_hosts=self.callback_hosts,
            now=self.clock.now(),
        )

    def _refused(self, entry: ForeignEntry, record_id: str, raw: bytes | None, why: str) -> Adoption:
        failure = Failure("permanent", "validate", why, self.clock.now())
        kept = raw[:KEPT_BYTES] if raw is not None else None
        return Adoption(entry.source, entry.entry, record_id, None, failed_tail(kept, failure, request_id=record_id))


def _name(adoption: Adoption) -> str:
    return adoption.submission.request_id if adoption.submission else adoption.record_id


def _size(adoption: Adoption) -> int:
    return len(adoption.submission.job) if adoption.submission else len(adoption.record_tail)
