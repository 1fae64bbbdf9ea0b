"""Speech jobs on one host, many at once: they come one by one, go there in micro-batches, and end one by one.

The host's worker is `job-runner execute-manifest --follow`, one process that keeps its models. While it is at work on
one micro-batch the next is formed of what waits, so the order of priorities is kept and the host is never idle. Nothing
that a host says is believed: what came is compared and listened to here (`arrivals`). Called by the backend that rents.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.finishing import to_the_end
from job_watcher.hosts.batch_host import HostUnfitError
from job_watcher.hosts.errors import HostAnswerError, HostError
from job_watcher.hosts.host_worker import HostWorker, WorkerOn, disbelieved
from job_watcher.hosts.micro_batch import Table
from job_watcher.hosts.receiving import Receiving
from job_watcher.work_dirs import id_hash
from lib.errors import PermanentError, TemporaryError
from lib.stores.handover import ClaimBrokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from job_watcher.hosts.batch_host import BatchHost
    from job_watcher.hosts.micro_batch import Ticket
    from job_watcher.hosts.worker_events import Ended
    from job_watcher.work_dirs import WorkDir
    from lib.errors import TaskError
    from lib.jobqueue import JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.stores.handover import Handover
    from lib.tasks.base import TaskResult
    from lib.voice_synth.library import VoiceLibrary

__all__ = ["BatchRunner", "WorkerOn"]

SKIP_SECONDS: Final = 2.0
"""So long a worker may take to say that it skips a job; then it is ended."""


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
        self._host = host
        how = worker or WorkerOn()
        self._place = f"{how.directory}/{secrets.token_hex(6)}"
        self._loop = asyncio.get_running_loop()
        self._table = Table(most_jobs, self._loop.time)
        self._worker = HostWorker(host, self._place, how, self._table, voices, on_sent=self._note, on_read=self._tidy)
        self._receiving = Receiving(host, handover, self._worker.upload)
        self._batches: dict[str, list[Ticket]] = {}
        self._unfit = asyncio.Event()
        self._fault: TaskError | None = None
        self._work: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._in_hand = 0

    @property
    def fault(self) -> TaskError | None:
        """Why it takes no jobs any more, None while it does: the host is lost, lies, or its worker does not run."""
        return self._fault

    @property
    def in_hand(self) -> int:
        """How many jobs wait or are under way."""
        return self._in_hand

    async def unfit(self) -> TaskError:
        """Wait until it takes no jobs any more; why."""
        await self._unfit.wait()
        return self._error()

    async def warm(self) -> None:
        """Start the worker and wait until it is ready, else `speak` does. Repeatable.

        Raises:
            HostError: it does not start.

        """
        self._start()
        waits = [asyncio.ensure_future(each.wait()) for each in (self._worker.ready, self._unfit)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if self._fault is not None:
            raise self._error()

    async def speak(
        self,
        job: JobSpec,
        number: int,
        lease: Lease | None,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        begun: Callable[[], Awaitable[None]] | None = None,
    ) -> TaskResult:
        """One attempt of one job, with others; `number` is 1 for the first. Cancelling it ends it there too.

        `begun` is called when its body has begun there, and is over before anything is done with what it made.

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
        self._start()
        came = self._loop.time()
        job = job.model_copy(update={"attempt": number})
        ticket = self._table.add(job, on_progress, suspect=lease is not None and lease.suspect)
        self._in_hand += 1
        self._worker.changed.set()
        telling = asyncio.ensure_future(_tell_of_begin(ticket, begun))
        try:
            ended = await self._ended(ticket)
            await telling
            result = await self._settled(ticket, ended, lease, work_dir)
        finally:
            telling.cancel()
            self._in_hand -= 1
            ticket.settled = True
            self._tidy()
        return replace(result, waited=max(0.0, self._loop.time() - came - ticket.body_seconds))

    async def aclose(self) -> None:
        """End the worker and all that is under way, whose callers get a `HostError`. Repeatable."""
        was_fit = self._fault is None
        self._fail(HostUnfitError(f"{self._host.name} is given back", hint="the job goes elsewhere"))
        beside = [*self._beside, *([self._work] if self._work is not None else [])]
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        if was_fit and self._work is not None:
            with contextlib.suppress(TemporaryError):
                await self._host.remove(self._place)

    async def _ended(self, ticket: Ticket) -> Ended:
        try:
            # Not by itself: a cancellation would end the future, and the table asks it.
            await asyncio.wait([ticket.ended])
        except asyncio.CancelledError:
            await to_the_end(self._withdraw(ticket))
            raise
        return ticket.ended.result()

    async def _withdraw(self, ticket: Ticket) -> None:
        """Nobody wants it any more: see that it is not, or not any longer, at work there."""
        ticket.abandoned = True
        if ticket.name in self._table.there:
            if ticket.begun_at is None:
                ticket.skipping = True
                await self._worker.say({"skip": ticket.name})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SKIP_SECONDS):
                        await ticket.turned.wait()
            if not ticket.ended.done():
                await self._end_worker()
        self._table.drop(ticket)
        self._worker.changed.set()

    async def _settled(self, ticket: Ticket, ended: Ended, lease: Lease | None, work_dir: WorkDir) -> TaskResult:
        if ended.status != "ok":
            raise (PermanentError if ended.permanent else TemporaryError)(ended.error, hint=ended.hint)
        directory = await to_the_end(asyncio.to_thread(work_dir.make))
        place = f"{self._place}/{ticket.batch}/{ticket.name}"
        job_dir = None if lease is None else f"{id_hash(lease.request_id)}/{lease.generation}-{lease.fence}"
        try:
            return await self._receiving.received(
                ticket.name, ticket.job, ended.files, place=place, directory=directory, job_dir=job_dir
            )
        except (HostAnswerError, ClaimBrokenError) as exc:
            self._distrust(exc.message)
            raise type(exc)(
                f"{self._host.name}: {exc.message}", hint="another host, or this machine, is tried"
            ) from exc

    def _start(self) -> None:
        """See that somebody works.

        Raises:
            HostError: nobody will.

        """
        if self._fault is not None:
            raise self._error()
        if self._work is None:
            self._work = asyncio.create_task(self._lives(), name=f"batches on {self._host.name}")

    async def _lives(self) -> None:
        try:
            await self._worker.lives()
        except HostError as exc:
            self._fail(exc)
        except Exception as exc:  # noqa: BLE001 - whoever waits here would wait for ever
            logger.opt(exception=exc).error("batches on {} ended by a bug", self._host.name)
            self._fail(HostUnfitError(f"{self._host.name} is left alone: {type(exc).__name__}: {exc}"))

    async def _end_worker(self) -> None:
        try:
            await self._worker.end()
        except HostError as exc:
            self._fail(exc)

    def _note(self, batch: list[Ticket]) -> None:
        self._batches[batch[0].batch] = batch

    def _tidy(self) -> None:
        """Delete there what nobody needs any more."""
        for name, tickets in list(self._batches.items()):
            # While it is on its way, or the worker has still to read it, its files are needed even if no job is.
            over = name not in self._table.unread
            if over and all(ticket.settled or ticket.batch != name for ticket in tickets):
                del self._batches[name]
                if self._fault is None:
                    self._in_background(self._remove(f"{self._place}/{name}"))

    async def _remove(self, directory: str) -> None:
        # It is lost with the host in any case.
        with contextlib.suppress(TemporaryError):
            await self._host.remove(directory)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _distrust(self, why: str) -> None:
        self._fail(disbelieved(self._host.name, why))
        if self._work is not None:
            self._work.cancel()

    def _fail(self, error: TaskError) -> None:
        if self._fault is None:
            self._fault = error
            self._unfit.set()
            logger.info("{} takes no jobs any more: {}", self._host.name, error.message)
        self._table.fail(self._error)

    def _error(self) -> TaskError:
        """The fault, as an error of its own for each who meets it."""
        fault = self._fault or HostUnfitError(f"{self._host.name} takes no jobs")
        return type(fault)(fault.message, hint=fault.hint)


async def _tell_of_begin(ticket: Ticket, begun: Callable[[], Awaitable[None]] | None) -> None:
    while ticket.begun_at is None:
        await ticket.turned.wait()
        if ticket.abandoned:
            return
    if begun is not None:
        await begun()
