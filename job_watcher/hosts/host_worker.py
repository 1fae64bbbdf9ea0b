"""The worker on one host: one process after the other, what it is told and what it says, and what its death means.

It keeps the `Table` of the jobs: while the worker is at work on one micro-batch, the next is formed and sent. Deadlines
of jobs are kept here, because only the end of the process ends one. Called by `batches`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.child.process import exit_name_of
from job_watcher.crashes import ChildCrashedError
from job_watcher.finishing import to_the_end
from job_watcher.hosts.batch_host import HostUnfitError
from job_watcher.hosts.errors import HostAnswerError, HostError, HostLostError
from job_watcher.hosts.micro_batch import Table, Ticket, files_of
from job_watcher.hosts.sent_voices import DIRECTORY as VOICES
from job_watcher.hosts.sent_voices import SentVoices
from job_watcher.hosts.worker_events import BatchDone, Begun, Ended, Event, LieError, Ready, Uploaded, event_of
from lib.errors import TaskError, TaskTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from job_watcher.hosts.batch_host import BatchHost, WorkerProcess
    from lib.voice_synth.library import VoiceLibrary

READY_SECONDS: Final = 120.0
"""From its start to its first word; a cold disk and slow imports."""

STALL_SECONDS: Final = 120.0
"""So long a worker may leave what it has been given without beginning it."""

PUT_SECONDS: Final = 600.0
STRIKES: Final = 3
"""So many workers in a row may end before any job of theirs begins."""

_TAIL_CHARACTERS: Final = 1_000


@dataclass(frozen=True, slots=True)
class WorkerOn:
    """How the worker is started on a host: its program, and the directory there in which each runner makes its own.

    `environment` is seen by everybody on the host, so it holds no secret. A worker that says nothing for
    `ready_seconds` from its start, or for `stall_seconds` while it has jobs and begins none, is ended; within a job
    the deadline of that job counts.
    """

    argv: tuple[str, ...] = ("job-runner",)
    directory: str = "job-runner-work"
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = READY_SECONDS
    stall_seconds: float = STALL_SECONDS


class HostWorker:
    """Keeps a worker at work in `place`, a directory of the host."""

    def __init__(
        self,
        host: BatchHost,
        place: str,
        start: WorkerOn,
        table: Table,
        voices: VoiceLibrary,
        *,
        on_sent: Callable[[list[Ticket]], None],
        on_read: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_sent` is told each micro-batch, before it is sent; `on_read` hears when the worker is done with one."""
        self._host = host
        self._place = place
        self._how = start
        self._table = table
        self._voices = SentVoices(host, f"{place}/{VOICES}", voices)
        self._on_sent, self._on_read = on_sent, on_read
        self._loop = asyncio.get_running_loop()
        self._uploading: dict[str, asyncio.Future[str | None]] = {}
        # What this process has made, and no other one can send.
        self._made: set[str] = set()
        self._asked: set[str] = set()
        self._process: WorkerProcess | None = None
        self._on_purpose = self._putting = False
        self._limit: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        self.changed = asyncio.Event()
        """Whoever changes the table sets it."""

    async def lives(self) -> None:
        """One worker after the other.

        Raises:
            HostError: the host is lost, lies, or no worker runs there.

        """
        strikes, said = 0, ""
        while strikes < STRIKES:
            before = self._table.begun
            said = await self._life()
            strikes = 0 if self._on_purpose or self._table.begun > before else strikes + 1
        raise HostUnfitError(f"the worker on {self._host.name} does not run: {said}", hint="look at that machine")

    async def say(self, order: dict[str, Any]) -> None:
        """Tell the worker something; when it is gone, that is heard where its lines end."""
        with contextlib.suppress(HostLostError):
            if self._process is not None:
                await self._process.write_line(json.dumps(order, separators=(",", ":")))

    async def end(self) -> None:
        """End the worker for the sake of one job; the others go on in a new one.

        Raises:
            HostError: nobody knows whether it has ended.

        """
        if self._process is not None:
            self._on_purpose = True
            await self._process.kill()

    async def upload(self, name: str, puts: dict[str, Any], seconds: float) -> str | None:
        """Have it send the files of a job that has ended; None when it has, else why not."""
        said: asyncio.Future[str | None] = self._loop.create_future()
        self._uploading[name] = said
        try:
            if name not in self._made:
                return "its worker is gone"
            self._asked.add(name)
            await self.say({"upload": name, "puts": puts})
            async with asyncio.timeout(seconds):
                return await said
        except TimeoutError:
            return f"it did not end within {seconds:.0f} s"
        finally:
            del self._uploading[name]

    async def _life(self) -> str:
        """One worker from its start to its end, and what that means for its jobs; its last words."""
        await self._host.put(self._place, {".worker": b""})
        argv = [*self._how.argv, "execute-manifest", ".", "--follow"]
        environment = {**self._how.environment, "WATCHER_VOICES_DIR": VOICES}
        process = await self._host.start(argv, cwd=self._place, environment=environment)
        self._process, self._on_purpose = process, False
        both = [asyncio.create_task(self._read(process)), asyncio.create_task(self._feed())]
        silent = ""
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        except TimeoutError:
            silent = "it said nothing for too long; "
        except (LieError, HostAnswerError) as exc:
            raise disbelieved(self._host.name, str(exc)) from exc
        finally:
            self._process = None
            self._made.clear()
            self._asked.clear()
            self.ready.clear()
            self._stop_timer()
            for name in list(self._uploading):
                self._hear_uploaded(Uploaded(name, "its worker is gone"))
            await to_the_end(_stopped(process, both))
        return await self._buried(process, silent)

    async def _buried(self, process: WorkerProcess, silent: str) -> str:
        exit_name = exit_name_of(await process.wait())
        said = f"{silent}it ended by {exit_name}; its last words:\n{process.stderr_tail[-_TAIL_CHARACTERS:]}"
        if self._on_purpose:
            self._table.bury(None)
        else:
            # A machine that is taken away may lose its processes first: then it is no job's doing.
            await self._host.put(self._place, {".worker": b""})
            logger.warning("the worker on {}: {}", self._host.name, said)
            message = f"the worker on {self._host.name} died in this job: {said}"
            self._table.bury(lambda _: ChildCrashedError(message, exit_name=exit_name))
        return said

    async def _read(self, process: WorkerProcess) -> None:
        try:
            async with asyncio.timeout(self._how.ready_seconds) as self._limit:
                async for line in process.lines():
                    self._hear(event_of(line))
        finally:
            self._limit = None  # whoever is still sending must not move it

    def _hear(self, event: Event) -> None:
        """Take note of it; what a worker may say once only it does not say without end.

        Raises:
            LieError: no worker of ours says that now.

        """
        self._table.hear(event)
        match event:
            case Ready():
                if self.ready.is_set():
                    raise LieError("it says twice that it listens")
                self.ready.set()
            case Begun():
                self._start_timer(self._table.at_work)
            case Ended():
                if event.status == "ok":
                    self._made.add(event.job)
                if self._table.at_work is None:
                    self._stop_timer()
            case Uploaded():
                # One that comes late, when nobody waits for it any more, is none.
                if event.job not in self._asked:
                    raise LieError("it says what became of an upload that it was not asked for")
                self._asked.discard(event.job)
                self._hear_uploaded(event)
            case BatchDone():
                self._on_read()
        self._pace()
        self.changed.set()

    def _hear_uploaded(self, event: Uploaded) -> None:
        said = self._uploading.get(event.job)
        if said is not None and not said.done():
            said.set_result(event.error)

    def _pace(self) -> None:
        """How long the worker may say nothing from now on: while a job is at work, that job's deadline says."""
        if self._limit is not None and self.ready.is_set():
            idle = self._putting or self._table.at_work is not None or not self._table.there
            self._limit.reschedule(None if idle else self._loop.time() + self._how.stall_seconds)

    async def _feed(self) -> None:
        await self.ready.wait()
        while True:
            while not (batch := self._table.next_batch()):
                self.changed.clear()
                await self.changed.wait()
            self._putting = True
            try:
                await self._send([ticket for ticket in batch if await self._has_voice(ticket)])
            finally:
                self._putting = False
            self._pace()

    async def _has_voice(self, ticket: Ticket) -> bool:
        try:
            await self._voices.send(ticket.job.voice)
        except HostError:
            raise
        except TaskError as exc:
            self._table.refuse(ticket, exc)
            return False
        return True

    async def _send(self, batch: list[Ticket]) -> None:
        if not batch:
            return
        name = batch[0].batch
        self._on_sent(batch)
        files = await asyncio.to_thread(files_of, batch)
        await self._host.put(f"{self._place}/{name}", files, seconds=PUT_SECONDS)
        await self.say({"run": name})
        logger.debug("{} jobs sent to {} as {}", len(batch), self._host.name, name)

    def _start_timer(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self._timer = self._loop.call_later(ticket.job.timeout_seconds, self._overdue, ticket)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _overdue(self, ticket: Ticket) -> None:
        ticket.verdict = TaskTimeoutError(
            f"the attempt was stopped at its deadline of {ticket.job.timeout_seconds:g} s",
            hint="give the job more timeout_seconds, or less to do",
        )
        self._ending = asyncio.create_task(self.end())
        # That nobody knows whether it has ended is also what ends its lines.
        self._ending.add_done_callback(lambda task: task.cancelled() or task.exception())


async def _stopped(process: WorkerProcess, both: list[asyncio.Task[None]]) -> None:
    """Nothing of the process is left there, and nobody reads or feeds it."""
    for each in both:
        each.cancel()
    await asyncio.gather(*both, return_exceptions=True)
    await process.kill()


def disbelieved(host: str, why: str) -> HostUnfitError:
    """The fault of a host that has lied."""
    return HostUnfitError(f"{host} is not believed any more: {why}", hint="destroy it; its jobs go elsewhere")
