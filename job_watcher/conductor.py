"""Moves jobs from the backlogs to the lanes, on the one watcher that leads.

It asks the pure policy what to move and the queue to move it; the queue checks every limit again. Nothing here
polls: between rounds it blocks on the stream that tells of new jobs, freed room, due times and watchers that
come and go. The interval only bounds how long a missed word could matter.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from loguru import logger

from job_watcher.herald import Herald
from job_watcher.knowledge import runnable
from lib.errors import JobRunnerError, NotLeaderError
from lib.failpoints import reach
from lib.jobqueue.moves import RateLimits
from lib.money import MICRO
from lib.redisqueue import conducting, sessions
from lib.redisqueue.keys import parse_intake, parse_lane
from lib.routing.policy import decide
from lib.routing.view import Decision, IntakeClass, LaneClass, Limits, Urgent, View

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from job_watcher.adoption import Adopter
    from job_watcher.due import DueJobs
    from job_watcher.knowledge import Knowledge
    from job_watcher.lane import LentSlot
    from job_watcher.session import Session
    from lib.clock import Clock
    from lib.jobqueue.moves import LiveWatcher, Move, Moved, OwnSlot, Survey
    from lib.redisqueue.conducting import WakePosition, Woken
    from lib.redisqueue.connection import Client
    from lib.redisqueue.queue import Queue
    from lib.setting_fields.compute import Policy
    from lib.settings import Settings

_DAY_MS: Final = 86_400_000
_ROSTER_NEWS: Final = frozenset({"roster", "streams"})


class LendingLanes(Protocol):
    """The lane readers of the leader's own watcher; see `job_watcher.lanes`."""

    def lent_slot(self, lane: str) -> AbstractAsyncContextManager[LentSlot]:
        """A slot for a move to this lane to fill, or none, for the length of a block."""


@dataclass(frozen=True, slots=True)
class ConductorSetup:
    """What the settings and the command line say of the conducting here.

    `backlogs` are those that it serves, None for all. A `dedicated` conductor does nothing else, and takes the lead
    from a watcher that leads beside its work.
    """

    limits: Limits
    rate: RateLimits
    policy: Policy = "local-first"
    backlogs: frozenset[str] | None = None
    dedicated: bool = False

    @classmethod
    def of(cls, settings: Settings, *, backlogs: Collection[str] = (), dedicated: bool = False) -> ConductorSetup:
        """From the settings of this process."""
        budget = None if settings.budget_per_day_usd is None else round(settings.budget_per_day_usd * MICRO)
        rate = RateLimits.per_minute(settings.cloud_tokens_per_min, budget)
        return cls(
            Limits(settings.metal_queue_max, settings.cloud_queue_max, budget, rate.jobs, rate.window_ms),
            rate,
            settings.conductor_policy,
            frozenset(backlogs) or None,
            dedicated,
        )

    def conducts(self, intake: str) -> bool:
        """Whether the jobs of this intake are its business."""
        return self.backlogs is None or parse_intake(intake).backlog in self.backlogs

    def left_alone(self, survey: Survey) -> frozenset[str]:
        """The other backlogs in which jobs wait."""
        return frozenset(
            parse_intake(name).backlog for name, count in survey.waiting.items() if count and not self.conducts(name)
        )


@dataclass(slots=True)
class Conductor:
    """The conductor of one watcher; idle unless this watcher leads."""

    queue: Queue
    blocking: Client
    session: Session
    adopter: Adopter
    due: DueJobs
    lanes: LendingLanes
    setup: ConductorSetup
    clock: Clock
    interval: float
    sessions_ended: asyncio.Event
    knowledge: Knowledge
    herald: Herald = field(default_factory=Herald)
    moved: int = 0
    """How many jobs it has moved so far."""
    _epoch: str = ""
    _watchers: tuple[LiveWatcher, ...] = ()
    _roster_at: float = 0.0
    _look: bool = False
    _served: dict[str, str] = field(default_factory=dict)
    _seen: Survey | None = None
    _waits_for: str = ""
    _urgent: tuple[Urgent, ...] = ()
    _unread: bool = False
    _heard: Counter[str] = field(default_factory=Counter)
    _position: WakePosition = field(default_factory=conducting.WakePosition)

    @property
    def leads(self) -> bool:
        """Whether this watcher leads, as far as it knows."""
        return self._epoch != ""

    async def run_once(self) -> None:
        """Lead for one round, or wait for the lead to be free."""
        if not self._epoch and not await self._take_lead():
            await self._wait_for_lead()
            return
        if self._look or self.clock.elapsed() - self._roster_at >= self.interval:
            await self._look_around()
        try:
            due_in_ms = await self._round()
            woken = await self._wait(due_in_ms)
        except NotLeaderError:
            logger.warning("another watcher leads now")
            self._epoch = ""
            return
        # Not set anew: what was said while it waited holds until it has looked.
        self._look = self._look or bool(woken.reasons & _ROSTER_NEWS)
        self._heard = woken.changes

    def roster_changed(self) -> None:
        """Look before the next round who is there: this watcher's own offer has changed."""
        self._look = True

    async def _take_lead(self) -> bool:
        setup = self.setup
        leadership = await sessions.lead(
            self.queue, self.session.id, dedicated=setup.dedicated, backlogs=setup.backlogs or ()
        )
        if not leadership.mine:
            if setup.dedicated and leadership.leader != self._waits_for:
                logger.info("{} leads and only conducts too; waiting for its end", leadership.leader)
            self._waits_for = leadership.leader
            return False
        logger.bind(epoch=leadership.epoch).info("leading")
        self._seen = None
        # Where to listen from is fixed before the first look, so that nothing falls in between.
        self._position.wake = await conducting.newest_wake(self.queue)
        await self._look_around()
        self.herald.empty(self.setup.backlogs or (), {parse_intake(name).backlog for name in self.queue.intakes})
        self._epoch = leadership.epoch
        return True

    async def _wait_for_lead(self) -> None:
        self.sessions_ended.clear()
        try:
            async with asyncio.timeout(self.interval):
                await self.sessions_ended.wait()
        except TimeoutError:
            return

    async def _look_around(self) -> None:
        self._look = False
        await self.queue.refresh_streams()
        self._watchers = tuple(await sessions.roster(self.queue))
        self._roster_at = self.clock.elapsed()

    async def _round(self) -> int | None:
        """Move until nothing more can move; milliseconds until something may, None when only news can tell."""
        decision = self._by_hearsay()
        by_hearsay, stalled = True, False
        while True:
            moved = await self._move(decision)
            adopted = await self.adopter.adopt(moved.foreign) if moved.foreign else 0
            if not by_hearsay and not adopted and not any(moved.counts):
                break
            by_hearsay = False
            if moved.survey.due_in_ms == 0 and not stalled:
                queued = await self.due.run_once()
                moved = await self._move(Decision())
                stalled = not queued and moved.survey.due_in_ms == 0
            await self._learn()
            decision = self._decided(moved.survey)
            if not decision.orders:
                self.herald.seen(decision)
                self.herald.left_alone(self.setup.left_alone(moved.survey))
                break
        self._seen = moved.survey
        if moved.survey.newest:
            self._position.inlet = moved.survey.newest
        # What is due and cannot be queued is tried again after the interval, never spun on.
        return _soonest(None if stalled else moved.survey.due_in_ms, self._with_closings(moved.survey), decision)

    async def _move(self, decision: Decision) -> Moved:
        """Move; a single job is leased in the same call where this watcher has a slot for it.

        More than one are left to their lanes, so that all watchers have their share.
        """
        orders = decision.orders
        if sum(order.count for order in orders) != 1:
            moved = await self._carry_out(orders)
        else:
            [lane] = [order.lane for order in orders if order.count]
            async with self.lanes.lent_slot(lane) as lent:
                moved = await self._carry_out(orders, lent.slot)
                lent.started = moved.started
        self.herald.fed(decision, moved.counts)
        return moved

    async def _carry_out(self, orders: Sequence[Move], slot: OwnSlot | None = None) -> Moved:
        if orders:
            reach("move.before")
        moved = await conducting.move(self.queue, self.session.id, self._epoch, orders, slot, limits=self.setup.rate)
        self.moved += sum(moved.counts)
        if any(moved.counts):
            reach("move.after")
        if moved.started.leases:
            reach("move.leased")
        return moved

    async def _learn(self) -> None:
        """What things take, and, where the policy asks, which jobs press: read anew before a decision.

        What cannot be read stops no job: what was known holds on.
        """
        try:
            await self.knowledge.refresh(cloud=any(watcher.slots.get("cloud") for watcher in self._watchers))
            if self.setup.policy == "deadline":
                self._urgent = await self.knowledge.urgent(self._minds)
        except JobRunnerError as exc:
            if not self._unread:
                logger.warning("what jobs take cannot be read; what was known holds on: {}", exc)
            self._unread = True
        else:
            self._unread = False

    def _minds(self, intake: str) -> bool:
        return self.setup.conducts(intake) and runnable(intake, self._watchers)

    def _by_hearsay(self) -> Decision:
        """What to move if things are as they were seen last, but for what was said since; none: only look.

        The queue checks every order, so what is not so costs nothing; what is, costs no look before it.
        """
        heard, seen = self._heard, self._seen
        self._heard = Counter()
        if seen is None or not heard or self._urgent:
            return Decision()
        waiting = {name: max(0, count + heard[name]) for name, count in seen.waiting.items()}
        held = {name: max(0, count + heard[name]) for name, count in seen.held.items()}
        return self._decided(replace(seen, waiting=waiting, held=held))

    def _decided(self, survey: Survey) -> Decision:
        decision = decide(self._view(survey))
        self._served |= {parse_intake(order.intake).priority: order.intake for order in decision.orders}
        return decision

    def _view(self, survey: Survey) -> View:
        return View(
            survey=self._with_closings(survey),
            intakes=tuple(_intake_class(name) for name in survey.waiting if self.setup.conducts(name)),
            lanes=tuple(_lane_class(name) for name in survey.held),
            watchers=self._watchers,
            limits=self.setup.limits,
            served=self._served,
            policy=self.setup.policy,
            estimates=self.knowledge.by_class,
            urgent=self._urgent,
            now_ms=survey.now_ms,
        )

    def _with_closings(self, survey: Survey) -> Survey:
        closed = self.knowledge.closed()
        return replace(survey, rate=replace(survey.rate, closed=closed)) if closed else survey

    async def _wait(self, due_in_ms: int | None) -> Woken:
        block_ms = int(self.interval * 1000)
        if due_in_ms is not None:
            block_ms = min(block_ms, max(due_in_ms, 1))
        return await conducting.wait_for_wake(self.queue, self.blocking, self._position, block_ms=block_ms)


def _soonest(due_in_ms: int | None, survey: Survey, decision: Decision) -> int | None:
    """When to look again without news: a job is due, or a limit that holds jobs back lets one through."""
    times = [each for each in (due_in_ms, decision.again_in_ms) if each is not None]
    if "rate_paused" in decision.says and survey.rate.next_ms is not None:
        times.append(survey.rate.next_ms)
    if "api_closed" in decision.says:
        times += survey.rate.closed.values()
    if "budget_reached" in decision.says:
        times.append(_DAY_MS - survey.now_ms % _DAY_MS)
    return min(times, default=None)


def _intake_class(name: str) -> IntakeClass:
    intake = parse_intake(name)
    return IntakeClass(name, intake.priority, intake.capability, intake.pin)


def _lane_class(name: str) -> LaneClass:
    lane = parse_lane(name)
    return LaneClass(name, lane.backend, lane.capability)
