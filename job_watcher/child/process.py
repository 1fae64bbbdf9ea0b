"""The parent's side: one child process, its wire, its output and its end.

A child runs one body at a time. It is warm and may be used again after a result or an error that the body raised;
after anything else (deadline, cancellation, crash, garbage on the wire) its whole process group has been killed
when `run` returns. Called by `job_watcher.backends.children`.

Limit: a body's process that starts a session of its own leaves the group and is not killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.child import wire
from job_watcher.child.answering import Answering
from job_watcher.child.launch import launch
from job_watcher.crashes import ChildCrashedError
from job_watcher.finishing import to_the_end
from lib.errors import JobRunnerError, TaskTimeoutError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from job_watcher.child.launch import Launched
    from job_watcher.child.questions import Answers
    from lib.jobqueue import JobSpec
    from lib.tasks.base import TaskResult

# Imports take half a second; a machine that swaps or a large task module may need many times that.
START_SECONDS: Final = 60.0
# From SIGTERM to SIGKILL; a cancel must be through within 5 s.
GRACE_SECONDS: Final = 1.0
# How far apart the end of a child and the end of its wire may be seen.
_LAST_WORDS_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.01


class ChildGoneError(JobRunnerError):
    """The child was dead before the body began: this job is not to blame, another child may run it."""

    code = "child_gone"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a child is told to run; `number` is 1 for the first try, `on_progress` is called in the event loop.

    `work_dir` is made by the child when the body first asks for it. `on_room` is called, in the event loop, when the
    body says that it is nearly over: from then on the child may be given its next attempt. `answers` is asked for what
    only the watcher may call; when the attempt ends, whatever way, its calls are cancelled and have ended.
    """

    job: JobSpec
    number: int
    work_dir: Path
    on_progress: Callable[[dict[str, Any]], None]
    on_room: Callable[[], None] = lambda: None
    answers: Answers | None = None


class ChildProcess:
    """A started child that has said it is ready. Made by `start`."""

    def __init__(self, launched: Launched) -> None:
        self._process = launched.process
        self._reader = launched.reader
        self._writer = launched.writer
        self._output = launched.output
        self._lifeline = launched.lifeline
        self._serial = 0
        # Held from the first word about an attempt to the last: the next order may be out before.
        self._talk = asyncio.Lock()
        self._closed = False
        self._pid = 0
        self._watching = asyncio.create_task(self._watch(), name=f"child {self._process.pid}")

    @classmethod
    async def start(cls, environment: Mapping[str, str], *, suspect: bool = False) -> ChildProcess:
        """A new child, ready for orders; behind a minder if it is for a suspect.

        Raises:
            TemporaryError: it did not get ready; the message holds its last words.
        """
        shown = dict(environment)
        setup = wire.Setup(shown.pop("DATABASE_URL", ""))
        child = cls(await launch(shown, suspect=suspect))
        try:
            child._writer.write(wire.encode(setup))
            async with asyncio.timeout(START_SECONDS):
                ready = await wire.read(child._reader)
            if not isinstance(ready, wire.Ready):
                raise wire.WireError(f"a child began with {type(ready).__name__}")  # noqa: TRY301
        except (TimeoutError, EOFError, OSError, wire.WireError) as exc:
            await child.kill()
            said = child._output.last_words
            raise TemporaryError(
                f"a child process did not start: {said or type(exc).__name__}",
                hint="is JOBS_TASK_MODULES importable, and is there memory for another process?",
            ) from exc
        except BaseException:
            await child.kill()
            raise
        child._pid = ready.pid
        return child

    @property
    def pid(self) -> int:
        """The process in which bodies run (behind a minder it is not the one that was started)."""
        return self._pid

    @property
    def usable(self) -> bool:
        """Whether it may be given another job."""
        return not self._closed and self._process.returncode is None

    async def run(self, attempt: Attempt) -> TaskResult:
        """Run one body to its end or its deadline; while the one before is nearly over, its order waits in the child.

        The deadline is counted from when the child is free for it. A cancellation waits for the end of the one before.

        Raises:
            TaskError: what the body raised, as its kind; TaskTimeoutError after the deadline.
            ChildCrashedError: the child died after the body had begun.
            ChildGoneError: it was dead before.
        """
        self._serial += 1
        serial, its_turn = self._serial, False
        models = dict(attempt.answers.models) if attempt.answers is not None else {}
        order = wire.Order(serial, attempt.job.to_json().decode(), attempt.number, str(attempt.work_dir), models)
        self._output.begin(attempt.job.request_id)
        # Nobody waits for it to be read: when the child is gone, that is heard below.
        self._writer.write(wire.encode(order))
        try:
            async with self._talk:
                its_turn = True
                return await self._run(attempt, serial)
        except asyncio.CancelledError:
            if not its_turn:
                await to_the_end(self._withdraw())
            raise
        finally:
            if serial == self._serial:
                self._output.end()

    async def _run(self, attempt: Attempt, serial: int) -> TaskResult:
        answering = Answering(attempt.answers, self._writer)
        try:
            async with asyncio.timeout(attempt.job.timeout_seconds):
                return await self._converse(attempt, serial, answering)
        except TimeoutError:
            await self.kill()
            raise TaskTimeoutError(
                f"the attempt was stopped at its deadline of {attempt.job.timeout_seconds:g} s",
                hint="give the job more timeout_seconds, or less to do",
            ) from None
        except asyncio.CancelledError:
            await self.kill()
            raise
        finally:
            await to_the_end(answering.ended())

    async def kill(self) -> None:
        """End the process group: SIGTERM, a second of grace, SIGKILL. Repeatable; leaves no zombie and no pipe."""
        await to_the_end(self._kill())

    async def _withdraw(self) -> None:
        """Take back an order that is out: by the end of the child, once the attempt before is through."""
        async with self._talk:
            await self.kill()

    async def _converse(self, attempt: Attempt, serial: int, answering: Answering) -> TaskResult:
        begun = nearly = False
        try:
            await self._writer.drain()
            while True:
                match await wire.read(self._reader):
                    case wire.Begun(serial=number) if number == serial:
                        begun = True
                    case wire.Report(serial=number, progress=progress) if number == serial:
                        attempt.on_progress(progress)
                    case wire.Nearly(serial=number) if number == serial and not nearly:
                        nearly = True
                        attempt.on_room()
                    case wire.Ask(serial=number) as ask if number == serial:
                        answering.begin(ask)
                    case wire.Result(serial=number) as result if number == serial:
                        return wire.result_of(result)
                    case wire.Failed(serial=number) as failed if number == serial:
                        raise wire.error_of(failed)
                    case stray:
                        logger.bind(request_id=attempt.job.request_id).warning(
                            "a child said {} out of turn", type(stray).__name__
                        )
        except (EOFError, OSError, wire.WireError) as exc:
            await self._let_it_end()
            await self.kill()
            raise self._verdict(exc, begun=begun) from exc
        finally:
            # Not waited for here: the end of the child comes first.
            answering.cancel()

    def _verdict(self, exc: Exception, *, begun: bool) -> JobRunnerError:
        if not begun:
            return ChildGoneError(f"the child {self._pid} was gone before the body began")
        exit_name = exit_name_of(self._process.returncode)
        words = self._output.last_words
        cause = f"; it sent garbage: {exc}" if isinstance(exc, wire.WireError) else ""
        said = f"; its last words:\n{words}" if words else ""
        return ChildCrashedError(f"the process that ran the job ended by {exit_name}{cause}{said}", exit_name=exit_name)

    async def _let_it_end(self) -> None:
        """The wire ends a moment before the process does, whose own cause of death is the one to report."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._process.wait()

    async def _watch(self) -> None:
        """When the child ends by itself, end its group, and the wire if somebody else still holds it."""
        await self._process.wait()
        self._signal(signal.SIGKILL)
        await asyncio.sleep(_LAST_WORDS_SECONDS)
        self._writer.close()

    async def _kill(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._signal(signal.SIGTERM)
        await self._group_ended()
        self._signal(signal.SIGKILL)
        await self._process.wait()
        # Behind a minder the body is no child of this process, so nothing else says that it is gone.
        await self._group_ended()
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._output.drain()
        self._output.close()
        os.close(self._lifeline)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _group_ended(self) -> None:
        """Wait until no process of the group is left, at most GRACE_SECONDS."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                while self._signal(0):  # noqa: ASYNC110  nothing tells when a whole process group has ended
                    await asyncio.sleep(_POLL_SECONDS)

    def _signal(self, number: int) -> bool:
        """Signal every process of the group; whether there was one."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            return False
        return True


def exit_name_of(code: int | None) -> str:
    """`SIGKILL` or `status 3`."""
    if code is None or code >= 0:
        return f"status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
