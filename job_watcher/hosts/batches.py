"""Speech jobs on one host, many at once: they come one by one, go there in micro-batches, and end one by one.

The host's worker is `job-runner execute-manifest --follow`, one process that keeps its models. While it is at work on
one micro-batch the next is formed of what waits, so the order of priorities is kept and the host is never idle. Nothing
that a host says is believed: what came is compared and listened to here (`arrivals`). Called by the backend that rents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from job_watcher.hosts.batch_host import BatchHost
    from job_watcher.work_dirs import WorkDir
    from lib.errors import TaskError
    from lib.jobqueue import JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.stores.handover import Handover
    from lib.tasks.base import TaskResult
    from lib.voice_synth.library import VoiceLibrary


@dataclass(frozen=True, slots=True)
class WorkerOn:
    """How the worker is started on a host: its program, and the directory there that is all its own.

    `environment` is seen by everybody on the host, so it holds no secret.
    """

    argv: tuple[str, ...] = ("job-runner",)
    directory: str = "job-runner-work"
    environment: Mapping[str, str] = field(default_factory=dict)


class BatchRunner:
    """The jobs of one host. One event loop uses it."""

    def __init__(
        self,
        host: BatchHost,
        voices: VoiceLibrary,
        *,
        most_jobs: int,
        worker: WorkerOn | None = None,
        handover: Handover | None = None,
    ) -> None:
        """`most_jobs` go in one micro-batch; without a `handover` the outputs come into the work directories."""
        raise NotImplementedError

    @property
    def fault(self) -> TaskError | None:
        """Why it takes no jobs any more, None while it does: the host is lost, lies, or its worker does not run."""
        raise NotImplementedError

    @property
    def in_hand(self) -> int:
        """How many jobs wait or are under way."""
        raise NotImplementedError

    async def unfit(self) -> TaskError:
        """Wait until it takes no jobs any more; why."""
        raise NotImplementedError

    async def warm(self) -> None:
        """Start the worker and wait until it is ready, else `speak` does. Repeatable.

        Raises:
            HostError: it does not start.

        """
        raise NotImplementedError

    async def speak(
        self,
        job: JobSpec,
        number: int,
        lease: Lease | None,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
    ) -> TaskResult:
        """One attempt of one job, with others; `number` is 1 for the first. Cancelling it ends it there too.

        Without a `lease`, as for a canary, the outputs come into the work directory whatever the store is.
        `TaskResult.stored` has what is in the store already, else `outputs` what is in the work directory; `waited` is
        what of the time was not spent on its body.

        Raises:
            TemporaryError: another attempt may succeed; `TaskTimeoutError` when `job.timeout_seconds` have passed
                since its body began; also when what came of the host is not sound.
            HostError: the host is lost or unfit, which is a `WaitError`: no attempt is used.
            PermanentError: no other attempt will, or its voice cannot be sent.
            ChildCrashedError: the worker died in this job.

        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """End the worker and all that is under way, whose callers get a `HostError`. Repeatable."""
        raise NotImplementedError
