"""The machine at hand: light bodies in the watcher's own loop, heavy ones in warm children, suspects apart.

Its text model is whatever OLLAMA_HOST serves. Suspects one at a time is the lane's business.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from job_watcher.backends.children import Children
from job_watcher.backends.inline import run_inline
from job_watcher.child.environment import child_environment
from job_watcher.child.process import Attempt
from job_watcher.child.questions import ModelAnswers
from job_watcher.context import AttemptContext, NoEngines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from job_watcher.duties import FlushedDuty
    from job_watcher.session import Session
    from job_watcher.work_dirs import WorkDir
    from lib.capabilities.text_model import ServedModel
    from lib.jobqueue import Capability, JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.settings import Settings
    from lib.tasks.base import TaskResult
    from lib.tasks.registry import TaskRegistry

_NO_ENGINES: Final = NoEngines()


class Metal:
    """The backend `metal`. `tasks` must be what a child loads too: built in, and from JOBS_TASK_MODULES.

    `model` is the local text model, None where none is set.
    """

    def __init__(self, tasks: TaskRegistry, settings: Settings, model: ServedModel | None = None) -> None:
        self._tasks = tasks
        self._slots = settings.metal_concurrency
        self._model = model
        self._children = Children(child_environment(settings, os.environ), self._slots)

    @property
    def name(self) -> str:
        """`metal`."""
        return "metal"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Speech, whatever needs nothing, and the text model if there is one."""
        always: frozenset[Capability] = frozenset({"speech", "speaker", "any"})
        return always if self._model is None else always | {"text_model"}

    @property
    def slots(self) -> int:
        """METAL_CONCURRENCY."""
        return self._slots

    @property
    def duties(self) -> Mapping[str, FlushedDuty]:
        """None."""
        return {}

    async def prepare(self) -> None:
        """Load the client of the text model's server."""
        if self._model is not None:
            await self._model.prepare()

    async def lacks(self, capability: Capability) -> str | None:
        """Whether the text model's server answers and has the model; nothing else can be away."""
        if capability != "text_model" or self._model is None:
            return None
        return await self._model.available()

    async def run(
        self,
        job: JobSpec,
        lease: Lease,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        on_room: Callable[[], None] = lambda: None,
        session: Session | None = None,  # noqa: ARG002 - only what is paid for asks it
    ) -> TaskResult:
        """Run the body where its kind and its past say."""
        task = self._tasks.require(job.task)
        number = lease.attempts_used + 1
        if task.kind.isolation == "inline" and not lease.suspect:
            context = AttemptContext(
                job.request_id,
                number,
                work_dir.make,
                _NO_ENGINES,
                on_progress,
                model=self._model if task.kind.capability == "text_model" else None,
            )
            return await run_inline(task, job, context)
        answers = ModelAnswers(text=self._model)
        attempt = Attempt(job, number, await work_dir.promised(), on_progress, answers=answers)
        return await (self._children.run_apart(attempt) if lease.suspect else self._children.run(attempt, on_room))

    async def warm(self) -> None:
        """Start the children that are missing, one a slot."""
        await self._children.warm()

    async def aclose(self) -> None:
        """End every idle child and the model's connections."""
        await self._children.aclose()
        if self._model is not None:
            await self._model.aclose()
