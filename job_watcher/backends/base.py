"""What the watcher asks of compute: run one job once, and leave nothing behind.

A backend knows tasks and processes; it knows nothing of queues, records, stores or retries. `job_watcher.execution`
is its only caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from job_watcher.duties import FlushedDuty
    from job_watcher.session import Session
    from job_watcher.work_dirs import WorkDir
    from lib.jobqueue import Capability, JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.tasks.base import TaskResult


class Backend(Protocol):
    """One kind of compute."""

    @property
    def name(self) -> str:
        """As pins, lanes and records spell it: `metal`, `cloud`, `vast`."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Which lanes it can serve; contains `any`."""

    @property
    def duties(self) -> Mapping[str, FlushedDuty]:
        """What must go on while a session stands, by name; each has a `flush` for the end of one."""

    async def prepare(self) -> None:
        """Load what `lacks` asks with, so that the time of that is nobody's silence. Repeatable."""

    async def lacks(self, capability: Capability) -> str | None:
        """Why it cannot do jobs that need this just now, None when it can: a server is down, a model is missing."""

    @property
    def slots(self) -> int:
        """How many calls of `run` may be under way at once, but for those nearly over. The caller keeps to it."""

    async def run(
        self,
        job: JobSpec,
        lease: Lease,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        on_room: Callable[[], None] = ...,
        session: Session | None = ...,
    ) -> TaskResult:
        """Run one attempt from its start to its end; `work_dir` belongs to it and is made by whoever needs it.

        The implementer promises: never to block the event loop; to end the attempt when `job.timeout_seconds`
        have passed; to run a `lease.suspect` where its death cannot take this process along; that when this
        returns or raises, by cancellation too, no process, thread or connection of the attempt is left and
        nothing writes to `work_dir` any more. `on_progress` is called in the event loop, any number of
        times, and not after the end. `on_room` is called once, or not at all, when the next `run` may be called
        although this one has a moment of writing left. `session` is the life that holds the lease: nothing that is
        paid for begins without it. One job's failure leaves the backend fit for the next.

        Raises:
            TemporaryError: another attempt may succeed; `TaskTimeoutError` when the deadline passed, `PausedError`
                when no such job can be done here for the time being.
            PermanentError: no other attempt will, or no task has this name.
            ChildCrashedError: the process in which the body was running died. Raised only if the body had begun;
                a process that dies before it is replaced in silence.
        """

    async def warm(self) -> None:
        """Get ready, so that the first job need not wait. Optional to call, repeatable."""

    async def aclose(self) -> None:
        """End every process that is kept warm. Repeatable; `run` must not be under way or called again."""


@runtime_checkable
class Gathering(Protocol):
    """A backend that holds jobs before their bodies begin: its `run` tells the session of each that does.

    Until then a death of the watcher counts nothing to the job.
    """

    @property
    def gathers(self) -> bool:
        """Whether it does."""
