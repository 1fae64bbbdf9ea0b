"""The backend `vast`: speech jobs on machines that are rented for them, many at once, in micro-batches.

It offers places only while a machine is ready; the fleet sees to it that one is when enough waits. What is
charged is the machine's bill; a job's record names its share of that, start-up and idle time not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from job_watcher.backends.vast.condition import RentingHere
from job_watcher.backends.vast.losses import CHANCE_MOST, Losses
from job_watcher.crashes import ChildCrashedError
from job_watcher.hosts.errors import HostLostError
from lib.errors import PausedError, PermanentError
from lib.routing.view import RENTED_CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from job_watcher.backends.vast.fleet import Fleet
    from job_watcher.backends.vast.reaper import Reaper
    from job_watcher.duties import FlushedDuty
    from job_watcher.session import Session
    from job_watcher.work_dirs import WorkDir
    from lib.jobqueue import Capability, JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.tasks.base import TaskResult


class Vast:
    """Jobs on rented machines; `batch_max_jobs` are given to each at once."""

    def __init__(self, fleet: Fleet, reaper: Reaper, batch_max_jobs: int) -> None:
        self._fleet = fleet
        self._reaper = reaper
        self._batch = batch_max_jobs
        self._losses = Losses()

    @property
    def name(self) -> str:
        """`vast`."""
        return "vast"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Speech; what needs nothing is done elsewhere."""
        return RENTED_CAPABILITIES

    @property
    def slots(self) -> int:
        """A micro-batch for each machine that is ready; one where none is, for which nothing is offered."""
        return self._batch * max(1, self._fleet.ready)

    @property
    def gathers(self) -> bool:
        """Yes: what is leased waits here for its micro-batch, and there for its turn."""
        return True

    @property
    def duties(self) -> Mapping[str, FlushedDuty]:
        """To rent and to end, and to look for what nobody ends."""
        return {"rented machines": self._fleet, "reaper": self._reaper}

    @property
    def renting(self) -> RentingHere:
        """How it stands, for the metrics."""
        return RentingHere(
            blocked=bool(self._fleet.blocked),
            silence=self._fleet.silence,
            unlisted=self._reaper.unlisted,
            strays_ended=self._reaper.ended,
            strays_left=sum(self._reaper.left.values()),
        )

    async def prepare(self) -> None:
        """Nothing: what a market needs is loaded when it is asked first."""

    async def lacks(self, capability: Capability) -> str | None:  # noqa: ARG002 - the worker there speaks as the one here
        """Whether a machine is ready."""
        return self._fleet.lacks()

    async def run(
        self,
        job: JobSpec,
        lease: Lease,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        on_room: Callable[[], None] = lambda: None,  # noqa: ARG002 - a micro-batch has no such moment
        session: Session | None = None,
    ) -> TaskResult:
        """Give it to the machine that has least to do; it goes there with others.

        A job under which machine after machine is lost is at last taken to have crashed them.
        """
        if job.task != "speak":
            raise PermanentError(
                f"task {job.task!r} cannot run on a rented machine, which only speaks", hint="set `backend: metal`"
            )
        hands = self._fleet.choose()
        if hands is None:
            why = self._fleet.lacks() or "no rented machine is ready"
            raise PausedError(why, capability="speaker" if job.speaker else "speech")
        at_work = False

        async def begun() -> None:
            nonlocal at_work
            at_work = True
            if session is not None:
                await session.begun(lease)

        try:
            result = await hands.speak(job, lease.attempts_used + 1, lease, work_dir, on_progress, begun)
        except HostLostError as exc:
            if at_work and (lost := self._losses.note(lease)) > CHANCE_MOST:
                message = f"{lost} machines were lost while they worked on this job: {exc.message}"
                raise ChildCrashedError(message, exit_name="a lost machine") from exc
            raise
        self._losses.forget(lease)
        return result

    async def warm(self) -> None:
        """Nothing: a machine is rented for work that waits, not for work that may come."""

    async def aclose(self) -> None:
        """Leave the machines and close the markets."""
        await self._fleet.aclose()
