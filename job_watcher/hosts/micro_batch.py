"""The jobs of one host: which wait, which are there, which go there next, and what follows when their worker is gone.

    waiting -> sent -> begun -> ended
       ^________|________|           the worker died or was ended for another's sake

A plain table without I/O; `batches` acts on it. The names of jobs and of their places on the host are made here: a host
need not learn whose they are, and two attempts of one job are never taken for each other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from job_watcher.hosts.worker_events import (
    BatchDone,
    Begun,
    Ended,
    LieError,
    Progressed,
    Ready,
    Refused,
    Uploaded,
)
from lib.manifest.command_lines import source_key_of
from lib.manifest.compiling import entry_of
from lib.manifest.documents import MANIFEST, SCHEMA_VERSION, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from job_watcher.hosts.worker_events import Event
    from lib.errors import JobRunnerError
    from lib.jobqueue import JobSpec

AHEAD: Final = 2
"""The next micro-batch is formed when no more jobs than these are still to begin there: a job of higher priority that
comes now waits for so many and no more, or for what takes AHEAD_SECONDS."""

AHEAD_SECONDS: Final = 2.0
"""Of quick jobs it is formed when those that are left take so long: sending it takes a while, which is paid for."""

_TRUST_ENDED: Final = 8
"""From so many jobs on it is known what one takes there."""

_RANK: Final = {"high": 0, "normal": 1, "low": 2}
_PROGRESS_AT_ONCE: Final = 200
_PROGRESS_A_SECOND: Final = 20.0
"""Several times what a worker says of one job."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One job on its way. `ended` gets its end, or the error that became of it; `verdict` is what will be its error.

    `turned` is set when it is not merely there any more: it has begun, or is over. `settled` says that nobody needs its
    files there. `body_seconds` is how long the worker was at work on it.
    """

    name: str
    job: JobSpec
    suspect: bool
    on_progress: Callable[[dict[str, Any]], None]
    ended: asyncio.Future[Ended]
    batch: str = ""
    begun_at: float | None = None
    body_seconds: float = 0.0
    told: int = 0
    skipping: bool = False
    abandoned: bool = False
    settled: bool = False
    turned: asyncio.Event = field(default_factory=asyncio.Event)
    verdict: JobRunnerError | None = None

    @property
    def order(self) -> tuple[int, str]:
        """What is taken first: the priority, then who came first."""
        return _RANK[self.job.priority], self.name

    @property
    def source(self) -> str:
        """Jobs with the same one share a loaded model."""
        return source_key_of(self.job.voice, self.job.speaker)


class Table:
    """The jobs of one host. `clock` is the loop's."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._serial = 0
        self._batches = 0
        self.waiting: list[Ticket] = []
        self.there: dict[str, Ticket] = {}
        self.at_work: Ticket | None = None
        self.begun = 0
        self.unread: set[str] = set()
        """The micro-batches of which the worker may still read files, whatever became of their jobs."""
        self._since: float | None = None
        self._worked = 0.0
        self._ended = 0

    def add(self, job: JobSpec, on_progress: Callable[[dict[str, Any]], None], *, suspect: bool) -> Ticket:
        """A job that waits from now on."""
        self._serial += 1
        ended = asyncio.get_running_loop().create_future()
        ticket = Ticket(f"job-{self._serial:07d}", job, suspect, on_progress, ended)
        self.waiting.append(ticket)
        return ticket

    def next_batch(self) -> list[Ticket]:
        """The jobs that go there next, which are on their way from now on; none while enough is there."""
        there = self.there.values()
        if not self.waiting or any(ticket.suspect for ticket in there):
            return []
        if sum(ticket.begun_at is None for ticket in there) > self._ahead():
            return []
        first, *_ = in_order = sorted(self.waiting, key=lambda ticket: ticket.order)
        if first.suspect:
            chosen = [] if self.there else [first]
        else:
            chosen = _chosen([ticket for ticket in in_order if not ticket.suspect], self._most)
        self._batches += bool(chosen)
        self.unread |= {f"batch-{self._batches:06d}"} if chosen else set()
        if chosen and self._since is None:
            self._since = self._clock()
        for ticket in chosen:
            self.waiting.remove(ticket)
            ticket.batch = f"batch-{self._batches:06d}"
            self.there[ticket.name] = ticket
        return chosen

    def drop(self, ticket: Ticket) -> None:
        """Nobody asks for it any more, and nothing of it is at work."""
        if ticket in self.waiting:
            self.waiting.remove(ticket)
        self.there.pop(ticket.name, None)
        if not ticket.ended.cancel() and not ticket.ended.cancelled():
            ticket.ended.exception()  # looked at, or it would be reported as forgotten
        ticket.turned.set()

    def refuse(self, ticket: Ticket, error: JobRunnerError) -> None:
        """It cannot be sent."""
        if ticket.abandoned:
            self.drop(ticket)
        else:
            del self.there[ticket.name]
            ticket.ended.set_exception(error)

    def hear(self, event: Event) -> None:
        """Take note of what the worker says.

        Raises:
            LieError: no worker of ours says that now.

        """
        match event:
            case Begun(job):
                self._hear_begun(job)
            case Progressed(job, said):
                ticket = self._at_work(job)
                ticket.told += 1
                lasted = self._clock() - (ticket.begun_at or 0.0)
                if ticket.told > _PROGRESS_AT_ONCE + _PROGRESS_A_SECOND * lasted:
                    raise LieError("it says without end how far a job is")
                if ticket.verdict is None and not ticket.abandoned:
                    ticket.on_progress(said)
            case Ended():
                self._hear_ended(event)
            case BatchDone(batch):
                self._hear_done(batch)
            case Refused(error):
                raise LieError(f"it cannot read what it was sent: {error}")
            case Ready() | Uploaded():
                pass  # of the process, and of jobs that have left this table

    def bury(self, cause: Callable[[Ticket], JobRunnerError] | None) -> None:
        """Their worker is gone: the job at work gets its verdict or `cause`, the others wait again.

        Without a `cause` it was ended on purpose, and is nobody's fault.
        """
        at_work, self.at_work = self.at_work, None
        self.unread.clear()
        for ticket in list(self.there.values()):
            del self.there[ticket.name]
            error = ticket.verdict or (cause(ticket) if cause is not None and ticket is at_work else None)
            if ticket.abandoned:
                self.drop(ticket)
            elif error is not None:
                ticket.ended.set_exception(error)
            else:
                ticket.begun_at, ticket.told, ticket.batch = None, 0, ""
                ticket.turned.clear()
                self.waiting.append(ticket)

    def fail(self, error: Callable[[], JobRunnerError]) -> None:
        """Nothing goes there any more: everybody who waits is told so."""
        self.at_work = None
        left = [*self.there.values(), *self.waiting]
        self.there, self.waiting = {}, []
        for ticket in left:
            if ticket.abandoned:
                self.drop(ticket)
            else:
                ticket.ended.set_exception(error())

    def _ahead(self) -> int:
        """At how many that are still to begin there the next micro-batch is formed; never a whole one ahead."""
        if self._ended < _TRUST_ENDED:
            return AHEAD
        quick = int(AHEAD_SECONDS * self._ended / max(self._worked, 1e-3))
        return max(AHEAD, min(quick, self._most // 2))

    def _hear_done(self, batch: str) -> None:
        if any(ticket.batch == batch for ticket in self.there.values()):
            raise LieError("it says that a batch is done, and not what became of its jobs")
        if batch not in self.unread:
            raise LieError("it says that a batch is done which it was not given")
        self.unread.discard(batch)

    def _hear_begun(self, job: str) -> None:
        ticket = self.there.get(job)
        if ticket is None or self.at_work is not None or ticket.begun_at is not None:
            raise LieError("it begins a job that is not its turn")
        ticket.begun_at = self._clock()
        ticket.turned.set()
        self.at_work = ticket
        self.begun += 1

    def _hear_ended(self, event: Ended) -> None:
        if event.status == "skipped":
            ticket = self.there.get(event.job)
            if ticket is None or not ticket.skipping or ticket.begun_at is not None:
                raise LieError("it skips a job that it was to do")
        else:
            ticket = self._at_work(event.job)
            ticket.body_seconds = self._took(ticket, event.seconds)
            self._worked += ticket.body_seconds
            self._ended += 1
            self.at_work = None
        self.there.pop(ticket.name, None)
        if ticket.abandoned:
            self.drop(ticket)
        elif ticket.verdict is not None:
            ticket.ended.set_exception(ticket.verdict)
        else:
            ticket.ended.set_result(event)

    def _took(self, ticket: Ticket, said: float | None) -> float:
        """What the worker says, which knows nothing of words that came late; but together no more than there was."""
        now = self._clock()
        if said is None or self._since is None or self._worked + said > now - self._since:
            return now - (ticket.begun_at or 0.0)
        return said

    def _at_work(self, job: str) -> Ticket:
        if self.at_work is None or self.at_work.name != job:
            raise LieError("it speaks of a job that it has not begun")
        return self.at_work


def _chosen(in_order: list[Ticket], most: int) -> list[Ticket]:
    """The first, then what shares its model, then the same of the next; of one priority before any of a lower."""
    sources: dict[tuple[int, str], list[Ticket]] = {}
    for ticket in in_order:
        sources.setdefault((ticket.order[0], ticket.source), []).append(ticket)
    chosen = [ticket for (_, _), tickets in sorted(sources.items(), key=lambda each: each[0][0]) for ticket in tickets]
    return chosen[:most]


def files_of(tickets: Iterable[Ticket]) -> Mapping[str, bytes]:
    """A compiled folder of these jobs, in this order: its manifest and the text of each."""
    files: dict[str, bytes] = {}
    entries = []
    batch = ""
    for ticket in tickets:
        batch = ticket.batch
        spec = ticket.job.model_copy(update={"request_id": ticket.name, "output_name": ticket.name})
        entry = entry_of(spec)
        entries.append(entry)
        files[entry.text_file] = (spec.text or "").encode()
    manifest = Manifest(schema_version=SCHEMA_VERSION, run_id=batch, jobs=entries)
    files[MANIFEST] = manifest.to_json()
    return files
