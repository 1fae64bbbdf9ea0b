"""Two tasks that try out the database of this machine: a real round through it, and the same after a wait.

`fast_crud` creates, reads, changes, checks, deletes and looks for one record; `sleep_crud` takes its connection first
and sleeps before it writes, so that many of them wear out a pool. Every step is a transaction of its own, and each
checks what it claims. They run in children, where they may block. What a database says, and in which words it fails,
is `lib.tasks.database`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.clock import Clock, SystemClock
from lib.errors import PermanentError
from lib.tasks.base import TaskContext, TaskResult, built_in_kind

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec, TaskKind
    from lib.tasks.database import Database


class Databases:
    """The database of a process, opened when a body first asks for it and kept for the next; the tasks share it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: Database | None = None

    def opened(self) -> Database:
        """The database.

        Raises:
            PermanentError: no URL is known, or it is none of a database that can be reached from here.

        """
        if self._opened is None:
            if not self._url:
                raise PermanentError("no database is known here", hint="set DATABASE_URL for the watcher")
            # A third of a second and 30 MB, which children that only speak do not pay.
            from lib.tasks.database import Database  # noqa: PLC0415

            self._opened = Database(self._url)
        return self._opened


class FastCrud:
    """Takes the payload's `data` through one round."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    @property
    def kind(self) -> TaskKind:
        """The built-in `fast_crud`."""
        return built_in_kind("fast_crud")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """One round; what an earlier attempt of the same job has left half done is removed first.

        Raises `TemporaryError` when the database is away or the record was changed meanwhile, `PermanentError` when
        the URL, the rights or the driver are wrong.
        """
        database = self._databases.opened()
        with database.connection() as connection:
            return TaskResult(result=database.round(connection, job.request_id, context.attempt, _data(job)))


class SleepCrud:
    """The same after `seconds` with an idle connection in hand."""

    def __init__(self, databases: Databases, clock: Clock | None = None) -> None:
        self._databases = databases
        self._clock = clock or SystemClock()

    @property
    def kind(self) -> TaskKind:
        """The built-in `sleep_crud`."""
        return built_in_kind("sleep_crud")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Connect, sleep, go round; `slept_seconds` is what the clock says. Raises as `fast_crud` does."""
        seconds = float((job.payload or {}).get("seconds", 0.0))
        database = self._databases.opened()
        with database.connection() as connection:
            began = self._clock.elapsed()
            await context.progress(0.0, message=f"connected, sleeping {seconds:g} s")
            while (left := seconds - (self._clock.elapsed() - began)) > 0:
                await self._clock.sleep(left)
            slept = round(self._clock.elapsed() - began, 3)
            done = database.round(connection, job.request_id, context.attempt, _data(job))
        return TaskResult(result={"slept_seconds": slept, **done})


def _data(job: JobSpec) -> Any:
    return (job.payload or {}).get("data")
