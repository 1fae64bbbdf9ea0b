"""From a validated job to what the queue takes in: its intake, identity and due time.

One place, so that `enqueue`, `retry` and the adoption of entries that other programs wrote agree. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from lib.errors import InvalidInputError
from lib.jobqueue import capability_of, identity_of
from lib.jobqueue.protocol import Submission
from lib.redisqueue.keys import DEFAULT_BACKLOG, IntakeName

if TYPE_CHECKING:
    from lib.jobqueue import Catalogue, JobSpec
    from lib.redisqueue.keys import Pin, Priority

_INTAKES_KEPT: Final = 1024


@lru_cache(maxsize=_INTAKES_KEPT)
def _intake(backlog: str, priority: Priority, capability: str, pin: Pin) -> str:
    """The name of an intake, written once and not for each of a hundred thousand jobs."""
    return str(IntakeName(backlog, priority, capability, pin))


def submission_of(
    spec: JobSpec, catalogue: Catalogue, *, backlog: str = DEFAULT_BACKLOG, expected_fence: str = ""
) -> Submission:
    """The submission of `spec` to `backlog`; `expected_fence` only for a record that begins anew.

    Raises:
        InvalidInputError: its task is not in the catalogue, so nobody knows which lanes it may take.

    """
    kind = catalogue.get(spec.task)
    if kind is None:
        raise InvalidInputError(
            f"job {spec.request_id!r}: no task is named {spec.task!r} here",
            hint="name its module in JOBS_TASK_MODULES",
        )
    return Submission(
        request_id=spec.request_id,
        identity=identity_of(spec),
        job=spec.to_json(),
        intake=_intake(backlog, spec.priority, capability_of(kind, spec), spec.backend or ""),
        backlog=backlog,
        due_ms=int(spec.run_after.timestamp() * 1000) if spec.run_after else 0,
        deadline_ms=int(spec.deadline.timestamp() * 1000) if spec.deadline else 0,
        conflict_key=spec.conflict_key or "",
        on_conflict=spec.on_conflict,
        attempt=spec.attempt,
        expected_fence=expected_fence,
    )
