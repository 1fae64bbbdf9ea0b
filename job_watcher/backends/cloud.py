"""The cloud: jobs that mostly wait for the answers of an API, many at once, each call within quota and budget.

Bodies run where they run on metal: light ones in the watcher's loop, heavy ones in children of their own. Only the
calls go to the API, from the watcher, which alone knows its key; a suspect's too (`job_watcher.child` carries them).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from job_watcher.backends.children import Children
from job_watcher.backends.inline import run_inline
from job_watcher.child.environment import child_environment
from job_watcher.child.process import Attempt
from job_watcher.context import AttemptContext, NoEngines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from job_watcher.backends.paid import PaidModels
    from job_watcher.duties import FlushedDuty
    from job_watcher.session import Session
    from job_watcher.work_dirs import WorkDir
    from lib.jobqueue import Capability, JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.settings import Settings
    from lib.tasks.base import TaskResult
    from lib.tasks.registry import TaskRegistry

_NO_ENGINES: Final = NoEngines()

_KEPT_CHILDREN: Final = 2
"""Children that wait idle for the next heavy body: most jobs of the cloud have none."""


class Cloud:
    """The backend `cloud`. `models` are those that its key pays for; without a key only tasks that need none run."""

    def __init__(self, tasks: TaskRegistry, settings: Settings, models: PaidModels | None = None) -> None:
        self._tasks = tasks
        self._slots = settings.cloud_concurrency
        self._models = models
        self._children = Children(child_environment(settings, os.environ), min(_KEPT_CHILDREN, self._slots))

    @property
    def name(self) -> str:
        """`cloud`."""
        return "cloud"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What its key pays for, and whatever needs nothing."""
        always: frozenset[Capability] = frozenset({"any"})
        return always if self._models is None else always | self._models.capabilities

    @property
    def slots(self) -> int:
        """CLOUD_CONCURRENCY."""
        return self._slots

    @property
    def duties(self) -> Mapping[str, FlushedDuty]:
        """Saying what calls cost, where that was not heard at once."""
        return {} if self._models is None else {"settlements": self._models.settlements}

    async def prepare(self) -> None:
        """Load the client of the API."""
        if self._models is not None:
            await self._models.prepare()

    async def lacks(self, capability: Capability) -> str | None:
        """What the API says."""
        return None if self._models is None else await self._models.lacks(capability)

    async def run(
        self,
        job: JobSpec,
        lease: Lease,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        on_room: Callable[[], None] = lambda: None,
        session: Session | None = None,
    ) -> TaskResult:
        """Run the body where its kind and its past say; the result says what its calls cost."""
        task = self._tasks.require(job.task)
        number = lease.attempts_used + 1
        calls = None
        if self._models and session:
            calls = self._models.calls_of(job, lease, session, keeps=task.kind.keeps_answers)
        if task.kind.isolation == "inline" and not lease.suspect:
            model = calls.text_model if calls and task.kind.capability == "text_model" else None
            context = AttemptContext(job.request_id, number, work_dir.make, _NO_ENGINES, on_progress, model=model)
            result = await run_inline(task, job, context)
        else:
            # As inline: a task that needs no model is given none.
            answers = calls.answers if calls and task.kind.capability != "any" else None
            attempt = Attempt(job, number, await work_dir.promised(), on_progress, answers=answers)
            run = self._children.run_apart(attempt) if lease.suspect else self._children.run(attempt, on_room)
            result = await run
        return replace(result, cost=calls.cost(), waited=calls.meter.waited) if calls else result

    async def warm(self) -> None:
        """Nothing: a body that needs a child starts one."""

    async def aclose(self) -> None:
        """End the idle children and the connections to the API."""
        await self._children.aclose()
        if self._models is not None:
            await self._models.aclose()
