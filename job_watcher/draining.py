"""Knows when a watcher that is to end by itself has nothing left to do, and which jobs nobody alive can do.

Jobs that no live watcher offers a place for, such as those for a backend that is not there yet, keep no watcher
from ending: it says how many it leaves. A watcher that goes on for ever says so when it first sees them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from loguru import logger

from lib.errors import JobRunnerError, UnreachableError
from lib.redisqueue import sessions
from lib.redisqueue.keys import parse_intake, parse_lane
from lib.redisqueue.remaining import remaining
from lib.routing.policy import IntakeClass, is_offered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from job_watcher.callbacks.deliveries import Deliveries
    from job_watcher.in_hand import InHand
    from job_watcher.publish import Publisher
    from lib.clock import Clock
    from lib.jobqueue.moves import LiveWatcher
    from lib.redisqueue.keys import IntakeName
    from lib.redisqueue.queue import Queue

Mode = Literal["forever", "drain", "once"]
"""`drain`: until all is done, retries too. `once`: until nothing waits or runs now."""

SOON_MS: Final = 15 * 60 * 1000
"""A drain waits for what is due in less (`--help` says it): longer than the longest pause between two tries."""

LOOK_AGAIN_SECONDS: Final = 0.3
"""A drain also waits for what other watchers do, of which it hears nothing by itself."""

FAILED_LOOK_SECONDS: Final = 3.0
"""Between two looks of which the first met a damaged queue: it is said each time."""

QUIET_MS: Final = 10_000
"""A wait that is longer is said: the pauses between two tries at first are shorter."""

UNOFFERED_LOOK_SECONDS: Final = 60.0
"""How often a watcher that never ends looks for jobs that nobody offers a place for."""

_ANY: Final = "any"


@dataclass(frozen=True, slots=True)
class Left:
    """What the live watchers have still to do: `active` jobs, `outbox` entries, and callbacks by when they are due.

    `unoffered` counts the jobs that none of them can run, by what they wait for: a backend, a capability, or a
    capability on a backend (`text_model on cloud`).
    `delayed` of the active ones are not due yet, the first at `due_ms`; `later` jobs are none of the active ones, as
    they come due so late, the first at `later_ms` (Unix ms).
    """

    active: int
    outbox: int
    unoffered: dict[str, int]
    callbacks: int = 0
    callbacks_later: int = 0
    delayed: int = 0
    due_ms: int = 0
    later: int = 0
    later_ms: int = 0


async def left_to_do(
    queue: Queue,
    *,
    soon_ms: int,
    also: Sequence[LiveWatcher] = (),
    conducts: Callable[[str], bool] = lambda _: True,
) -> Left:
    """Look; jobs that are delayed by more than `soon_ms`, and those that wait behind them, do not count.

    Nor do those in intakes that nobody `conducts`. `also` are watchers to count with those that live: one that has just
    ended, and may be started again.
    """
    there = await remaining(queue, soon_ms=soon_ms)
    watchers = [*await sessions.roster(queue), *also]
    unoffered: Counter[str] = Counter()
    left_alone: Counter[str] = Counter()
    offered = 0
    for name, count in there.waiting.items():
        intake = parse_intake(name)
        if not conducts(name):
            left_alone[intake.backlog] += count
        elif is_offered(IntakeClass(name, intake.priority, intake.capability, intake.pin), watchers):
            offered += count
        elif count:
            unoffered[_wanted(intake)] += count
    for name, count in there.held.items():
        capability = parse_lane(name).capability
        # One that is stopping offers no slot any more and still runs what it has.
        if count and not any(capability in watcher.capabilities for watcher in watchers):
            unoffered[capability] += count
    # What was added by hand is in no row of the index yet, so the entries of the intakes may be more.
    return Left(
        max(there.active - unoffered.total() - left_alone.total(), offered),
        there.outbox,
        dict(unoffered),
        there.callbacks,
        there.callbacks_later,
        there.delayed,
        there.due_ms,
        there.later,
        there.later_ms,
    )


def _wanted(intake: IntakeName) -> str:
    """What jobs of an intake wait for: a backend that is pinned stands in for a capability that every one has."""
    if intake.pin in {"", "metal"}:
        return intake.capability
    return intake.pin if intake.capability == _ANY else f"{intake.capability} on {intake.pin}"


def unoffered_text(unoffered: dict[str, int]) -> str:
    """`3 jobs wait for text_model on cloud, which no watcher offers`, for each."""
    return "; ".join(
        f"{count} {'job waits' if count == 1 else 'jobs wait'} for {what}, which no watcher offers"
        for what, count in sorted(unoffered.items())
    )


def _moment(unix_ms: int) -> str:
    try:
        return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        # By hand, any number can be put there.
        return f"Unix time {unix_ms} ms"


@dataclass(slots=True)
class Drain:
    """The end of a watcher that was started with `--drain` or `--once`."""

    queue: Queue
    mode: Mode
    in_hand: InHand
    publisher: Publisher
    clock: Clock
    conducts: Callable[[str], bool] = lambda _: True
    deliveries: Deliveries | None = None
    """None where callbacks are not set up: then they keep nobody waiting."""
    hoped: Callable[[], Sequence[LiveWatcher]] = tuple
    """What may yet be offered here, as watchers that offer it: jobs that wait for it are waited for."""
    _told: set[str] = field(default_factory=set)
    _told_due_ms: int = 0

    async def wait(self) -> None:
        """Return when there is nothing left; never in mode `forever`."""
        while self.mode == "forever":
            await self._tell_unoffered()
            await self.clock.sleep(UNOFFERED_LOOK_SECONDS)
        while not await self._finished():
            try:
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._change()
            except TimeoutError:
                continue

    async def _change(self) -> None:
        self.in_hand.changed.clear()
        await self.in_hand.changed.wait()

    async def _tell_unoffered(self) -> None:
        try:
            left = await left_to_do(self.queue, soon_ms=0, conducts=self.conducts, also=self.hoped())
        except JobRunnerError:
            return  # the duties say what is wrong
        news = {what: count for what, count in left.unoffered.items() if what not in self._told}
        if news:
            logger.warning("{}", unoffered_text(news))
        self._told = set(left.unoffered)

    async def _finished(self) -> bool:
        if self.in_hand.leases():
            return False
        try:
            soon_ms = SOON_MS if self.mode == "drain" else 0
            left = await left_to_do(self.queue, soon_ms=soon_ms, conducts=self.conducts, also=self.hoped())
        except UnreachableError:
            return False
        except JobRunnerError as exc:
            # What cannot be seen is not done.
            logger.warning("cannot tell what is left to do: {}", exc.message)
            await self.clock.sleep(FAILED_LOOK_SECONDS)
            return False
        if left.active or left.outbox > self.publisher.stuck or self._delivers(left):
            self._tell_delayed(left)
            return False
        if left.outbox:
            logger.warning("{} outputs could not be published from here", left.outbox)
        self._tell_callbacks(left.callbacks + left.callbacks_later)
        if left.unoffered:
            logger.warning("{}", unoffered_text(left.unoffered))
        if left.later:
            what = "1 job is" if left.later == 1 else f"{left.later} jobs are"
            logger.warning("{} left: not due before {}", what, _moment(left.later_ms))
        return True

    def _tell_delayed(self, left: Left) -> None:
        """Say once what it waits for, when all that is left is not due for a while."""
        long = left.due_ms / 1000 - self.clock.now().timestamp() > QUIET_MS / 1000
        if left.delayed and left.delayed == left.active and long and left.due_ms != self._told_due_ms:
            self._told_due_ms = left.due_ms
            what = "1 job is" if left.delayed == 1 else f"{left.delayed} jobs are"
            logger.warning("{} not due until {}; waiting", what, _moment(left.due_ms))

    def _delivers(self, left: Left) -> bool:
        return self.deliveries is not None and (left.callbacks > 0 or self.deliveries.in_flight > 0)

    def _tell_callbacks(self, waiting: int) -> None:
        if waiting:
            why = "another try" if self.deliveries else "a watcher with CALLBACK_SECRET and CALLBACK_ALLOWED_HOSTS"
            logger.warning("{} {} for {}", waiting, "callback waits" if waiting == 1 else "callbacks wait", why)
