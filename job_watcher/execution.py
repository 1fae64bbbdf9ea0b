"""One leased job from its bytes to its ending: run it, store what it made, and decide what follows.

It does not talk to the queue: whoever called commits the `Ending` or `Retry` that comes back, under the fence of
the lease. Cancelling `run` is how a job is stopped; it leaves nothing running and nothing on disk, and
the caller knows why it cancelled. The lanes are its only callers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from loguru import logger

from job_watcher.caching import NOT_SOUGHT, Sought
from job_watcher.crashes import ChildCrashedError
from job_watcher.results import checked
from job_watcher.retrying import Again, as_task_error
from job_watcher.throttle import ProgressThrottle
from job_watcher.work_dirs import id_hash
from lib import failpoints
from lib.clock import iso
from lib.errors import InvalidInputError, OverloadedError, PausedError, TaskError, TemporaryError
from lib.jobqueue import JobSpec
from lib.jobqueue.protocol import Ending, Lease, Retry
from lib.jobqueue.records import Failure, Run, done_tail, failed_tail
from lib.redaction import Redactor
from lib.redisqueue.keys import backlog_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from job_watcher.backends.base import Backend
    from job_watcher.caching import Caching
    from job_watcher.metrics.stopwatch import Stopwatch
    from job_watcher.retrying import Decision, RetryPolicy
    from job_watcher.session import Session
    from job_watcher.work_dirs import WorkDir, WorkDirs
    from lib.clock import Clock
    from lib.jobqueue.records import Stage
    from lib.stores.artifacts import ArtifactStore, StoredOutput
    from lib.tasks.base import Output, TaskResult


@dataclass(slots=True)
class _Course:
    """How far a run has come: what an error at this point is blamed on."""

    started_at: datetime
    stage: Stage = "execute"
    sought: Sought = NOT_SOUGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What every run of one session on one backend shares; `run_id` names this life of the watcher in records."""

    backend: Backend
    store: ArtifactStore
    work_dirs: WorkDirs
    policy: RetryPolicy
    clock: Clock
    run_id: str
    redact: Redactor = field(default_factory=Redactor)
    """Whatever a body says passes it: its error, its result and its progress may quote a secret of this host."""
    stopwatch: Stopwatch | None = None
    """Takes the time of every run, where somebody asks for it."""
    session: Session | None = None
    on_paused: Callable[[PausedError | OverloadedError], None] = lambda _: None
    """Hears that the backend cannot do such jobs for the time being, or that it may be so."""
    on_done: Callable[[JobSpec, float, TaskResult], None] = lambda *_: None
    """Hears of each body that succeeded how many seconds it took, waits for quota among them, and what it cost."""
    caching: Caching | None = None
    """Knows what is made already; None where every body runs."""

    async def run(
        self,
        lease: Lease,
        on_progress: Callable[[dict[str, Any]], None],
        on_room: Callable[[], None] = lambda: None,
    ) -> Ending | Retry:
        """Run one attempt; every failure of the job is an answer, not an exception.

        `on_progress` gets `{percent, step, total, message, at}` at most five times a second, in the event loop,
        and never after this returns. `on_room` is called when the backend has room for the next body, at the
        latest when this one has left it and its outputs are still to be stored; once or twice.

        Raises:
            asyncio.CancelledError: the caller cancelled; everything was cleaned up before.
        """
        try:
            job = JobSpec.from_json(lease.job)
        except InvalidInputError as exc:
            if self.stopwatch is not None:
                self.stopwatch.unreadable(lease)
            return self._unreadable(lease, exc)
        running = self._run(job, lease, on_progress, on_room)
        return await (running if self.stopwatch is None else self.stopwatch.timed(lease, job, running))

    async def made_already(self, lease: Lease) -> Ending | None:
        """The ending of a job that nobody has begun and whose output is there; None where a body must run.

        Never an error: whatever is wrong, an attempt of the job will meet it. `lease` only names it, and its files.
        """
        if self.caching is None:
            return None
        course = _Course(self.clock.now())
        try:
            job = JobSpec.from_json(lease.job)
            course.sought = await self.caching.seek(self.backend.name, job, lease)
            if course.sought.taken is None:
                return None
            return await self._store(job, lease, course.sought.taken, course)
        except Exception as exc:  # noqa: BLE001 - one odd job must not keep the others from being looked at
            logger.bind(request_id=lease.request_id).debug("whether it is made already: {}", as_task_error(exc).message)
            return None

    def after_bug(self, lease: Lease, error: Exception) -> Ending | Retry:
        """As after a crash of its child: tried again some times, and then it is poison."""
        try:
            job = JobSpec.from_json(lease.job)
        except InvalidInputError as exc:
            return self._unreadable(lease, exc)
        said = f"running it failed in the watcher itself: {as_task_error(error).message}"
        return self._answer(lease, job, self.policy.after_crash(crashes=lease.crashes), "execute", said)

    async def _run(
        self,
        job: JobSpec,
        lease: Lease,
        on_progress: Callable[[dict[str, Any]], None],
        on_room: Callable[[], None],
    ) -> Ending | Retry:
        course = _Course(self.clock.now())
        throttle = ProgressThrottle(lambda said: on_progress({**self._told(said), "at": iso(self.clock.now())}))
        try:
            ending = await self._attempt(job, lease, course, throttle, on_room)
        except ChildCrashedError as exc:
            throttle.finish(say_last=False)
            logger.warning("{}", exc.message)
            return self._crashed(lease, job, exc)
        except Exception as exc:  # noqa: BLE001  a mistake in one job's way must not end the watcher
            throttle.finish(say_last=False)
            error = as_task_error(exc)
            if isinstance(error, PausedError | OverloadedError):
                self.on_paused(error)
            if error is not exc:
                logger.opt(exception=exc).error("unexpected error at stage {}", course.stage)
            outcome = self._after_error(lease, job, error, course.stage)
            if isinstance(outcome, Retry):
                # An error that ends the job stands in its record; of this one only the log knows.
                logger.warning("{}", self.redact.cut(_text(error)))
            return outcome
        finally:
            throttle.finish(say_last=False)
        return ending

    def _told(self, said: dict[str, Any]) -> dict[str, Any]:
        """A report as people see it; its message has been cut where the body ran."""
        return {name: self.redact.cut(value) if isinstance(value, str) else value for name, value in said.items()}

    async def _attempt(
        self,
        job: JobSpec,
        lease: Lease,
        course: _Course,
        throttle: ProgressThrottle,
        on_room: Callable[[], None],
    ) -> Ending:
        if self.caching is None:
            return await self._made(job, lease, course, throttle, on_room)
        async with self.caching.alone(self.backend.name, job):
            course.sought = await self.caching.seek(self.backend.name, job, lease)
            if course.sought.taken is not None:
                on_room()
                return await self._store(job, lease, course.sought.taken, course)
            return await self._made(job, lease, course, throttle, on_room)

    async def _made(
        self,
        job: JobSpec,
        lease: Lease,
        course: _Course,
        throttle: ProgressThrottle,
        on_room: Callable[[], None],
    ) -> Ending:
        async with self.work_dirs.attempt(lease) as work_dir:
            failpoints.reach("execution.before_run")
            result = await self._run_body(job, lease, work_dir, throttle, on_room)
            failpoints.reach("execution.after_run")
            course.stage = "upload"
            on_room()
            ending = await self._store(job, lease, result, course)
            failpoints.reach("execution.outputs_stored")
        throttle.finish(say_last=True)
        return ending

    async def _run_body(
        self,
        job: JobSpec,
        lease: Lease,
        work_dir: WorkDir,
        throttle: ProgressThrottle,
        on_room: Callable[[], None],
    ) -> TaskResult:
        began = self.clock.elapsed()
        result = await self.backend.run(job, lease, work_dir, throttle.report, on_room, self.session)
        kept = checked(result, work_dir.where)
        self.on_done(job, self.clock.elapsed() - began, kept)
        return kept

    async def _store(self, job: JobSpec, lease: Lease, result: TaskResult, course: _Course) -> Ending:
        try:
            stored = await self._put(lease, result.outputs) if result.outputs else result.stored
        except OSError as exc:
            raise TemporaryError(f"storing the outputs: {exc}", hint="check the disk; the job is tried again") from exc
        result = replace(result, result=self.redact.value(result.result))
        if self.caching is not None:
            await self.caching.keep(course.sought, self.backend.name, job, result, stored)
        name = job.output_name
        published = None if name is None else partial(self.store.published_uri, name)
        run = Run(self.backend.name, self.run_id, course.started_at, self.clock.now())
        return Ending(
            request_id=lease.request_id,
            fence=lease.fence,
            status="done",
            tail=done_tail(
                job,
                run,
                outputs=stored,
                result=result.result,
                cost=result.cost,
                published=published,
                backlog=backlog_of(lease.home),
            ),
            ttl_ms=_ttl_ms(job),
            publish=bool(stored) and job.output_name is not None,
            callback=job.callback_url or "",
        )

    async def _put(self, lease: Lease, outputs: Sequence[Output]) -> list[StoredOutput]:
        # The body that waits for this slot begins before a thread is busy with what this one made.
        await asyncio.sleep(0)
        return await self.store.put(f"{id_hash(lease.request_id)}/{lease.generation}-{lease.fence}", outputs)

    def _unreadable(self, lease: Lease, error: InvalidInputError) -> Ending:
        failure = Failure("permanent", "validate", self.redact(str(error)), self.clock.now())
        return self._failed(lease, lease.job, failure)

    def _after_error(self, lease: Lease, job: JobSpec, error: TaskError, stage: Stage) -> Ending | Retry:
        decision = self.policy.after_error(error, attempts_used=lease.attempts_used, max_attempts=job.max_attempts)
        return self._answer(lease, job, decision, stage, _text(error))

    def _crashed(self, lease: Lease, job: JobSpec, error: ChildCrashedError) -> Ending | Retry:
        return self._answer(lease, job, self.policy.after_crash(crashes=lease.crashes), "execute", error.message)

    def _answer(self, lease: Lease, job: JobSpec, decision: Decision, stage: Stage, said: str) -> Ending | Retry:
        if isinstance(decision, Again):
            return Retry(lease, decision.kind, decision.delay_ms)
        error = self.redact.cut(said)
        failure = Failure(decision.error_type, stage, error, self.clock.now(), self.run_id)
        return self._failed(lease, job, failure, ttl_ms=_ttl_ms(job))

    def _failed(self, lease: Lease, job: JobSpec | bytes, failure: Failure, *, ttl_ms: int = 0) -> Ending:
        return Ending(
            request_id=lease.request_id,
            fence=lease.fence,
            status="failed",
            tail=failed_tail(job, failure, request_id=lease.request_id, backlog=backlog_of(lease.home)),
            ttl_ms=ttl_ms,
            callback=(job.callback_url or "") if isinstance(job, JobSpec) else "",
        )


def _ttl_ms(job: JobSpec) -> int:
    return 0 if job.ttl_seconds is None else job.ttl_seconds * 1000


def _text(error: TaskError) -> str:
    return error.message if error.hint is None else f"{error.message} (hint: {error.hint})"
