"""One life of a watcher: a session, the duties that go on while it stands, and the order in which they stop.

A life ends in one of three ways: its session was ended (everything in hand is thrown away, and a new life
begins), it was told to stop (it finishes or hands back), or there is nothing left to do (`--once`, `--drain`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.adoption import Adopter
from job_watcher.availability import Availability
from job_watcher.backends.base import Gathering
from job_watcher.callbacks.deliveries import Deliveries
from job_watcher.cancelling import cancel_all
from job_watcher.conductor import Conductor, ConductorSetup
from job_watcher.control import ControlListener
from job_watcher.draining import Drain
from job_watcher.due import DueJobs
from job_watcher.duties import Contact, Duty, FlushedDuty, LookingDuty, SessionDuty, keep_going
from job_watcher.in_hand import InHand
from job_watcher.knowledge import Knowledge
from job_watcher.lane import LaneReader
from job_watcher.lanes import Lanes, lanes_of
from job_watcher.made_already import MadeAlready, Seeking
from job_watcher.metrics.counts import Counts
from job_watcher.outcomes import OutcomeListener, Outcomes, Tally
from job_watcher.publish import Publisher
from job_watcher.reclaim import Reclaimer
from job_watcher.reporting import ProgressReports
from job_watcher.retrying import RetryPolicy
from job_watcher.session import Offer, Session, SessionTimes
from lib.errors import JobRunnerError, SessionLostError
from lib.jobqueue.moves import LiveWatcher
from lib.redaction import Redactor
from lib.redisqueue import leasing, sessions
from lib.redisqueue.keys import parse_intake

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_watcher.backends.base import Backend
    from job_watcher.callbacks.deliveries import CallbackSender
    from job_watcher.draining import Mode
    from job_watcher.lane import Execute
    from job_watcher.measuring import Measuring
    from job_watcher.naming import WatcherName
    from lib.clock import Clock
    from lib.errors import OverloadedError, PausedError
    from lib.jobqueue import Catalogue
    from lib.jobqueue.protocol import Lease
    from lib.redisqueue.connection import Client
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings
    from lib.stores.artifacts import ArtifactStore

FINISH_SECONDS: Final = 30.0
"""How long a stopping watcher lets bodies finish before it hands their jobs back."""

STEP_SECONDS: Final = 10.0
"""How long one step of stopping may take when the server is away: what it could not say, a sweep will find."""


@dataclass(slots=True)
class Equipment:
    """What outlives a session: built once by the daemon."""

    settings: Settings
    queue: Queue
    clock: Clock
    backends: tuple[Backend, ...]
    store: ArtifactStore
    catalogue: Catalogue
    execution: Callable[[Backend, Session, Callable[[PausedError | OverloadedError], None]], Execute]
    """What runs one job of a backend under a session; told a pause that a job has met."""
    blocking: Callable[[], Client]
    tally: Tally
    version: str
    conducting: ConductorSetup
    measuring: Measuring
    price: Callable[[str, float, float], float] = lambda *_: 0.0
    """Dollars of (task, input tokens, output tokens) on the cloud."""
    listeners: list[OutcomeListener] = field(default_factory=list)
    on_progress: Callable[[Lease, dict[str, Any]], None] | None = None
    counts: Counts = field(default_factory=Counts)
    redact: Redactor = field(default_factory=Redactor)
    callback_sender: CallbackSender | None = None
    """None where callbacks are not set up."""


class Life:
    """One session with its duties."""

    def __init__(self, equipment: Equipment, name: WatcherName) -> None:
        run_id = name.new_run_id()
        settings, backends = equipment.settings, equipment.backends
        self._equipment = equipment
        self._name = name
        self._queue = equipment.queue
        self.in_hand = InHand()
        # A connection that blocks is nobody else's.
        self._hears_control, self._hears_wake = equipment.blocking(), equipment.blocking()
        self._reads_lanes = {backend.name: equipment.blocking() for backend in backends}
        times = SessionTimes(
            settings.watcher_session_ttl, settings.watcher_session_renew_every, settings.watcher_margin
        )
        offer = Offer(frozenset(), {backend.name: backend.slots for backend in backends}, equipment.version)
        self.session = Session(
            self._queue, name.name, run_id, times, offer, self.in_hand, equipment.clock, equipment.counts
        )
        self._lanes = lanes_of(backends)
        self._build()

    def _build(self) -> None:
        equipment, settings, clock = self._equipment, self._equipment.settings, self._equipment.clock
        interval, counts = settings.watcher_poll_interval, equipment.counts
        sessions_ended = asyncio.Event()
        self.publisher = Publisher(self._queue, self.session, equipment.store, clock, interval)
        self.deliveries: Deliveries | None = None
        if equipment.callback_sender:
            policy = RetryPolicy(settings.watcher_max_crashes)
            self.deliveries = Deliveries(self._queue, equipment.callback_sender, policy, clock, interval)
        listeners = [*equipment.listeners, *([self.deliveries] if self.deliveries else [])]
        self.outcomes = Outcomes(
            self._queue, self.session, self.in_hand, equipment.tally, self.publisher.offer, listeners, counts
        )
        self.reports = ProgressReports(self._queue, self.session, clock, equipment.on_progress, counts)
        self.reclaimer = Reclaimer(self._queue, clock, interval, settings.watcher_session_ttl, sessions_ended, counts)
        self.control = ControlListener(self._queue, self._hears_control, self.in_hand, interval)
        adopter = Adopter(
            self._queue,
            equipment.catalogue,
            clock,
            settings.watcher_max_attempts,
            settings.jobs_max_job_bytes,
            frozenset(settings.callback_allowed_hosts if settings.callback_secret else ()),
        )
        self.lanes = Lanes({backend.name: self._reader(backend) for backend in equipment.backends})
        self.conductor = Conductor(
            self._queue,
            self._hears_wake,
            self.session,
            adopter,
            DueJobs(self._queue, clock),
            self.lanes,
            equipment.conducting,
            clock,
            interval,
            sessions_ended,
            Knowledge(self._queue, clock, equipment.price, _models(settings)),
        )
        self.availability = Availability(
            equipment.backends, self.session, self.lanes, interval, self.conductor.roster_changed, equipment.redact
        )
        self.made_already = self._made_already()
        for backend in equipment.backends:
            for duty in backend.duties.values():
                if isinstance(duty, SessionDuty):
                    duty.begin(self.session, partial(self.availability.changed, backend.name))
                if isinstance(duty, LookingDuty):
                    duty.look_by(self.made_already.look)

    def _made_already(self) -> MadeAlready:
        """What looks at jobs that wait for the backends which have to rent first."""
        equipment, readers = self._equipment, self.lanes.readers
        looking = [
            each for each in equipment.backends if any(isinstance(duty, LookingDuty) for duty in each.duties.values())
        ]

        def wanted(intake: str) -> bool:
            place = parse_intake(intake)
            could = any(place.pin in {"", each.name} and place.capability in each.capabilities for each in looking)
            return could and equipment.conducting.conducts(intake)

        executions = {name: reader.execution for name, reader in readers.items()}
        seeking = {name: execution for name, execution in executions.items() if isinstance(execution, Seeking)}
        return MadeAlready(self._queue, self.session, self.outcomes, equipment.backends, seeking, wanted)

    def _reader(self, backend: Backend) -> LaneReader:
        return LaneReader(
            self._queue,
            self._reads_lanes[backend.name],
            self.session,
            self._equipment.execution(
                backend, self.session, lambda error: self.availability.pause(backend.name, error)
            ),
            self.in_hand.share(),
            self.outcomes,
            self.reports,
            self._equipment.clock,
            lanes_of([backend]),
            backend.slots,
            self._equipment.settings.watcher_poll_interval,
            self.reclaimer.note_lost,
            isinstance(backend, Gathering) and backend.gathers,
        )

    async def open(self) -> None:
        """Register the session, take back at once what this watcher's former session held, make the lanes.

        Raises:
            NameTakenError: the name is alive elsewhere.

        """
        previous = self._name.previous_session
        await self._queue.refresh_streams()
        # Sessions that have lapsed meanwhile, this name's on a host that is gone too, are ended first.
        await self.reclaimer.sweep()
        if previous not in ("", self.session.id):
            # Ended before it is forgotten, and the new one written down before it exists: whenever this process
            # dies, the file names the session that its successor must end.
            await sessions.close_session(self._queue, previous, name=self._name.name)
        self._name.remember(self.session.id)
        await self.availability.look()
        await self.session.open(previous)
        if previous:
            await self.reclaimer.sweep(force=True)
        await sessions.ensure_lanes(self._queue, self._lanes)
        await self._queue.refresh_streams()
        log = logger.bind(session=self.session.id)
        if self._lanes:
            log.info("watching as {} for {}", self._name.name, self._offered())
        else:
            log.info("conducting as {}", self._name.name)

    async def run(self, mode: Mode, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Go on until told to stop, drained, or the session is lost.

        Raises:
            SessionLostError: everything in hand was thrown away; a new life may begin.

        """
        clock = self._equipment.clock
        duties: dict[str, Duty] = {
            "session": self.session,
            "outcomes": self.outcomes,
            "progress": self.reports,
            "publish": self.publisher,
            "control": self.control,
            "sweep": self.reclaimer,
            "conductor": self.conductor,
            "availability": self.availability,
            "measuring": self._equipment.measuring,
            **self._backend_duties(),
            **{f"lane {name}": reader for name, reader in self.lanes.readers.items()},
        }
        if self.deliveries:
            duties["callbacks"] = self.deliveries
        contact = Contact()
        tasks = {
            name: asyncio.create_task(keep_going(duty, name, clock, contact), name=name)
            for name, duty in duties.items()
        }
        conducts = self._equipment.conducting.conducts
        drain = Drain(
            self._queue, mode, self.in_hand, self.publisher, clock, conducts, self.deliveries, hoped=self._hoped
        )
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(drain.wait())]
        try:
            await asyncio.wait([*tasks.values(), *ends], return_when=asyncio.FIRST_COMPLETED)
            lost = next((task for task in tasks.values() if task.done()), None)
            if lost is not None:
                await self._throw_away(lost)
            await self._stop(tasks, hurry)
            for end in ends:
                if end.done():
                    # An end that is an error is told, or a drain that failed would pass for one that is done.
                    end.result()
        finally:
            await cancel_all([*tasks.values(), *ends])
            await self.in_hand.stop_all()
            await self.made_already.aclose()
            if self.deliveries:
                await self.deliveries.aclose()
            for client in (self._hears_control, self._hears_wake, *self._reads_lanes.values()):
                await client.aclose()

    def _offered(self) -> str:
        """`metal (any, speech), cloud (any)`."""
        return ", ".join(f"{each.name} ({', '.join(sorted(each.capabilities))})" for each in self._equipment.backends)

    def _hoped(self) -> list[LiveWatcher]:
        """What this watcher may come to offer, as a watcher that does: a machine may be on its way."""
        return [
            LiveWatcher("", "", backend.capabilities, {backend.name: 1}, 0, {backend.name: backend.capabilities})
            for backend in self._equipment.backends
            if any(isinstance(duty, SessionDuty) and duty.hopes for duty in backend.duties.values())
        ]

    def _backend_duties(self) -> dict[str, FlushedDuty]:
        return {name: duty for backend in self._equipment.backends for name, duty in backend.duties.items()}

    async def _throw_away(self, ended: asyncio.Task[None]) -> None:
        """A duty ended by itself: the session is lost, and what it held is somebody else's."""
        thrown = await self.in_hand.stop_all()
        if thrown:
            logger.warning("throwing away {} running jobs: they are somebody else's now", len(thrown))
        # Counted here: any duty may be the first to hear of it.
        self._equipment.counts.sessions_lost += 1
        ended.result()
        raise SessionLostError(f"session {self.session.id}: {ended.get_name()} ended")

    async def _stop(self, tasks: dict[str, asyncio.Task[None]], hurry: asyncio.Event) -> None:
        """Stop leasing, finish or hand back, publish, end the session: in this order.

        While bodies finish it goes on leading if it leads, for the others, as a watcher without slots.
        """
        self.lanes.close()
        await cancel_all([tasks["availability"], *(tasks[f"lane {name}"] for name in self.lanes.readers)])
        self.session.offer.slots = {}
        if self.in_hand.leases():
            # Also in a hurry: from here on a kill counts no death. Whoever leads hears it before the jobs are back, or
            # they would be moved here again.
            await self._step("saying that no slot is offered any more", self.session.renew(news=True))
        unbegun = await self.in_hand.stop_gathered()
        if unbegun:
            # Whoever pays by the hour for where they wait shall not pay for them all.
            await self._step(
                "handing back what has not begun", leasing.hand_back(self._queue, self.session.id, unbegun)
            )
        if self.in_hand.unanswered and not hurry.is_set():
            # A warning, so that a person who sees bars instead of a log is told too.
            logger.warning("running jobs left to finish: {}; a second Ctrl-C hands them back", self.in_hand.unanswered)
            self.conductor.roster_changed()
            await _first_of(self.in_hand.wait_idle(), hurry.wait(), timeout=FINISH_SECONDS)
        await cancel_all([tasks["conductor"]])
        running = await self.in_hand.stop_all()
        await self._step("handing back", self._hand_back(running))
        await self._step("sending the last results", self.outcomes.idle.wait())
        await self._step("publishing", self.publisher.idle.wait())
        for name, duty in self._backend_duties().items():
            await self._step(name, duty.flush())
        await self._step("noting what jobs took", self._equipment.measuring.flush())
        if self.deliveries:
            await self._step("sending callbacks", self.deliveries.finish())
        await cancel_all(tasks.values())
        await self._step("ending the session", self.session.close())

    async def _hand_back(self, running: list[Lease]) -> None:
        if running:
            logger.info("handing back {} running jobs", len(running))
            await leasing.hand_back(self._queue, self.session.id, running)
        delivered = await leasing.pending_entries(self._queue, self.session.id, self._lanes)
        unstarted = [entry for entry in delivered if entry not in self.in_hand.entries()]
        if unstarted:
            await leasing.hand_back_entries(self._queue, self.session.id, unstarted)

    async def _step(self, what: str, work: Any) -> None:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                await work
        except (JobRunnerError, TimeoutError) as exc:
            logger.warning("{} did not succeed ({}); a sweep by any watcher will see to it", what, exc)


def _models(settings: Settings) -> dict[str, str]:
    """The cloud's model by capability."""
    return {"text_model": settings.gemini_model, "speaker": settings.gemini_speech_model}


async def _first_of(*works: Any, timeout: float) -> None:  # noqa: ASYNC109 - one deadline for several waits
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all(tasks)
