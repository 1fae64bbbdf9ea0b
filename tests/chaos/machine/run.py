"""The order of one run: start all, break it on schedule, lift every fault, drain, take a last look, end every process.

What it leaves in its directory is the whole history; the checker reads nothing else. Called by `__main__`, by the
planted bugs and by the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from lib.errors import JobRunnerError
from tests.chaos.machine import observer, schedule, workload
from tests.chaos.machine.faults import Breaker, lift
from tests.chaos.machine.ground import Ground, commit
from tests.chaos.machine.observer import HistoryWriter
from tests.chaos.machine.wiretap import Wiretap

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from lib.redisqueue.queue import Queue
    from tests.chaos.machine.options import Options
    from tests.chaos.machine.schedule import Fault
    from tests.chaos.machine.workload import Step

DRAIN_SECONDS: Final = 60.0
"""How long the drain may take beside a tenth of the run; what is left then is reported as it is."""
PROGRESS_SECONDS: Final = 10.0
_NUDGE_SECONDS: Final = 3.0


def drawn(options: Options) -> list[Fault]:
    """The schedule of these options, whatever this machine can do."""
    return schedule.draw(
        options.seed,
        seconds=options.seconds,
        faults=options.faults,
        watchers=options.watchers,
        producers=options.producers,
        only=options.only,
    )


def written(options: Options) -> list[list[Step]]:
    """What the producers of these options will ask for."""
    return workload.write(
        options.seed, seconds=options.seconds, jobs=options.jobs, producers=options.producers, poison=options.poison
    )


def _as_it_is(_code: Path) -> None:
    """Nothing is changed in the copy of the code."""


class Run:
    """One run in one empty directory. `say` is given each line for people.

    `faults` and `work` are what the options' seed gives unless they are given; `prepare` may change the copy of the
    code; with `drain_seconds` the drain is cut short, and what is left then is no verdict.
    """

    def __init__(
        self,
        home: Path,
        options: Options,
        say: Callable[[str], None],
        *,
        faults: Sequence[Fault] | None = None,
        work: Sequence[Sequence[Step]] | None = None,
        prepare: Callable[[Path], None] = _as_it_is,
        drain_seconds: float | None = None,
    ) -> None:
        self._say = say
        self._options = options
        self._ground = Ground.make(home, options)
        prepare(home / "code")
        self._work = written(options) if work is None else work
        plan = drawn(options) if faults is None else faults
        self._faults = schedule.possible(plan, self._ground.missing)
        self._writer = HistoryWriter(self._ground.server.aof_dir, home / "queue.jsonl")
        self._cut = drain_seconds is not None
        self._drain_seconds = DRAIN_SECONDS + options.seconds / 10 if drain_seconds is None else drain_seconds
        self.begun = 0.0
        """Monotonic seconds; the times of the schedule count from here."""
        self._about: dict[str, Any] = {
            "options": options.as_json(),
            "life": schedule.MACHINE_LIFE_SECONDS,
            "sweep": schedule.MACHINE_SWEEP_SECONDS,
            "renew": schedule.MACHINE_RENEW_SECONDS,
            "left_out": {kind: schedule.NEEDS[kind] for kind in self._ground.missing},
            "commit": commit(),
        }
        self._note_about()
        (home / "schedule.txt").write_text(schedule.text(self._faults) + "\n")
        for kind in self._ground.missing:
            say(f"left out: {kind}, for want of {schedule.NEEDS[kind]}")

    async def go(self) -> None:
        """The whole run; whatever happens, no process is left."""
        ground = self._ground
        tasks: list[asyncio.Task[Any]] = []
        try:
            await ground.start()
            tasks += [asyncio.create_task(self._writer.follow()), asyncio.create_task(ground.tend())]
            tasks.append(asyncio.create_task(Wiretap(ground.server.port, ground.home / "moves.jsonl").follow()))
            await self._unless(tasks, self._get_ready())
            tasks.append(asyncio.create_task(self._progress()))
            await self._unless(tasks, self._break())
            queue = await ground.queue()
            try:
                await self._unless(tasks, self._drain(queue))
                await ground.stop_watchers()
                with contextlib.suppress(RedisError, JobRunnerError, OSError):
                    # Without it the checker says that the run did not come to its end.
                    found = await observer.last_look(queue, ground.home / "disk")
                    (ground.home / "final.json").write_text(json.dumps(found, indent=1))
            finally:
                await queue.client.aclose()
            self._writer.look()
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                ground.end()
            await ground.close_wires()

    def _note_about(self) -> None:
        (self._ground.home / "run.json").write_text(json.dumps(self._about, indent=1))

    async def _get_ready(self) -> None:
        """Every watcher and every producer is there; the times of schedule and work count from now."""
        await self._ground.ready()
        self._about["server"] = await self._ground.server_version()
        self._note_about()
        self.begun = await self._ground.start_producers(self._work)

    async def _unless(self, others: Sequence[asyncio.Task[Any]], work: Coroutine[Any, Any, None]) -> None:
        """Work to its end, unless one of those that go on beside it ends: that is an error, and is raised."""
        mine = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait([mine, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            mine.cancel()
            await asyncio.gather(mine, return_exceptions=True)

    async def _break(self) -> None:
        """Every fault at its time, each to its end; then all is whole."""
        breaker = Breaker(self._ground)
        under_way: list[asyncio.Task[None]] = []
        try:
            for number, fault in enumerate(self._faults):
                await asyncio.sleep(max(0.0, self.begun + fault.at - time.monotonic()))
                under_way.append(asyncio.create_task(breaker.carry_out(number, fault)))
            await asyncio.gather(*under_way)
            await asyncio.sleep(max(0.0, self.begun + self._options.seconds - time.monotonic()))
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        lift(self._ground)
        self._ground.log.note(**{"is": "lifted"})

    async def _drain(self, queue: Queue) -> None:
        """Until nothing is left, or the time is over: then the checker says what is left."""
        end = time.monotonic() + self._drain_seconds
        nudged = 0.0
        while time.monotonic() < end:
            waiting = await observer.left(queue)
            if waiting == 0 and all(each.done for each in self._ground.producers):
                self._ground.log.note(**{"is": "drained"})
                return
            if time.monotonic() > nudged:
                nudged = time.monotonic() + _NUDGE_SECONDS
                with contextlib.suppress(RedisError, JobRunnerError, OSError):
                    # A server that is away says so at the next look, and at the end of the drain.
                    self._ground.log.note(**{"is": "nudge", "jobs": await observer.nudge(queue)})
            await asyncio.sleep(0.1)
        self._ground.log.note(**{"is": "cut short" if self._cut else "not drained"})

    async def _progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            passed = time.monotonic() - self.begun
            broken = sum(fault.at <= passed for fault in self._faults)
            busy = sum(post.process.running for post in self._ground.posts)
            self._say(
                f"{passed:5.0f} s  faults {broken}/{len(self._faults)}  records {self._writer.ended}  "
                f"watchers up {busy}"
            )
