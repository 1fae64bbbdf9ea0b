"""Runs a watcher under a constant load for a while and says whether anything of it grows.

Beside it a second watcher is killed and started again. Every few seconds the first one's memory, files, threads and
tasks are looked at, and the server's connections, consumers, sessions, keys and memory. At the end straight lines are
laid through what came after the first fifth; and of all that can be counted there must be no more at rest than there
was at rest before. Records expire after a while, so that the server's memory is even too; its streams of events fill
up to their bound first, which is counted apart. Everything is real, on a bundled server of its own, on loopback.
`tests.soak` is its command line; the test here runs it once for seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue import sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.fsck import census, fsck
from lib.redisqueue.queue import Queue
from tests.job_watcher.callbacks.receiving import SECRET, receiving
from tests.soak.load import MODULES, Load, Restless
from tests.soak.watch import COUNTS, Line, Lookout, Sample, left_over, line_through
from tests.support.servers import ValkeyServer
from tests.support.wait import wait_until
from tests.support.watchers import WatcherProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WARM: Final = 0.2
"""The part of a run that is not counted: caches fill and children load."""
WATCHERS: Final = 2
LOOKS: Final = 20
"""At least so many samples, and one every ten seconds."""
ALLOWED: Final = {"rss": 2.0, "children_rss": 4.0, "other": 1.0, "fds": 6.0, "threads": 1.0, "tasks": 6.0}
"""What may be gained in an hour under load, beyond the error of the line: MiB, or how many."""
STEP: Final = {"rss": 1.0, "children_rss": 1.0, "other": 0.5, "fds": 2.0, "threads": 2.0, "tasks": 3.0}
"""What is no growth in any time: an allocator takes memory by steps, and a busy moment needs a connection more. So a
run of ten minutes shows only what grows fast; in half an hour at the usual rate a hundred bytes a job are seen."""
DEADLINE_SECONDS: Final = 120.0
TIMES: Final = {"WATCHER_SESSION_TTL": "8", "WATCHER_SESSION_RENEW_EVERY": "1", "WATCHER_POLL_INTERVAL": "2"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how much."""

    minutes: float = 30.0
    rate: int = 20
    """Jobs a second."""
    slots: int = 4
    prelude_seconds: float = 60.0
    """Of load before the first look at rest, so that children, threads, connections and keys are there."""
    rest_seconds: float = 10.0
    """Before that look, so that connections that are kept for a next callback are given up."""
    settle_seconds: float = 60.0
    """For the same at the end, at most."""

    @property
    def seconds(self) -> float:
        """Of load that is looked at."""
        return self.minutes * 60

    @property
    def every(self) -> float:
        """Seconds between two looks."""
        return min(10.0, self.seconds / LOOKS)

    @property
    def ttl_seconds(self) -> int:
        """Of every record: over before the part that counts begins."""
        return max(1, min(60, int(self.seconds * WARM / 2)))


@dataclass(slots=True)
class Report:
    """What was seen."""

    plan: Plan
    samples: list[Sample] = field(default_factory=list)
    before: Sample | None = None
    after: Sample | None = None
    submitted: int = 0
    told: int = 0
    deaths: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def lines(self) -> dict[str, Line]:
        """Through each figure of what came after the first fifth."""
        warm = [each for each in self.samples if each.seconds >= self.plan.seconds * WARM]
        return {name: line_through([(each.seconds, getattr(each, name)) for each in warm]) for name in ALLOWED}

    def differences(self) -> dict[str, tuple[int, int]]:
        """Counts that are, at rest, more than they may be: (before, after)."""
        return left_over(self.before, self.after) if self.before and self.after else {}

    def problems(self) -> list[str]:
        """Why it is not flat; empty when it is."""
        rising = [f"{name} rises" for name, line in self.lines().items() if line.rises(ALLOWED[name], STEP[name])]
        other = [f"{name}: {was} before, {now} after" for name, (was, now) in self.differences().items()]
        return [*rising, *other, *self.findings]

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "plan": asdict(self.plan),
            "verdict": "not flat" if self.problems() else "flat",
            "problems": self.problems(),
            "per_hour": {name: asdict(line) for name, line in self.lines().items()},
            "rest": {"before": asdict(self.before), "after": asdict(self.after)} if self.before and self.after else {},
            "jobs": {"submitted": self.submitted, "told": self.told, **self.ended},
            "deaths": self.deaths,
            "samples": [asdict(each) for each in self.samples],
        }

    def text(self) -> str:
        """For people."""
        rows = [f"{'':14}{'first':>10}{'last':>10}{'per hour':>12}{'+-':>8}   at rest, before -> after"]
        first, last = self.samples[0], self.samples[-1]
        lines = self.lines()
        for name in dict.fromkeys((*ALLOWED, *COUNTS, "server", "kept", "records")):
            rest = f"{getattr(self.before, name):g} -> {getattr(self.after, name):g}" if name in COUNTS else ""
            gain = f"{lines[name].per_hour:>12.2f}{lines[name].error:>8.2f}" if name in lines else " " * 20
            rows.append(f"{name:14}{getattr(first, name):>10.4g}{getattr(last, name):>10.4g}{gain}   {rest}".rstrip())
        head = (
            f"{self.plan.minutes:g} minutes, {self.plan.rate} jobs a second, {self.submitted} jobs, {self.deaths} "
            f"deaths of the other watcher, {self.told} callbacks; ended: {self.ended}"
        )
        problems = self.problems()
        return "\n".join([head, *rows, f"verdict: {'not flat: ' + '; '.join(problems) if problems else 'flat'}"])


@asynccontextmanager
async def _watched(plan: Plan, home: Path) -> AsyncIterator[tuple[Queue, WatcherProcess, Restless, Load]]:
    """A server, a receiver, both watchers, and what will load them; all ended at the end."""
    with ValkeyServer(home / "server") as server:
        queue = Queue.over(connect(server.url), server.url, "soak")
        await queue.refresh_streams()
        async with receiving() as receiver:
            environ = {
                **TIMES,
                "METAL_CONCURRENCY": str(plan.slots),
                "JOBS_TASK_MODULES": MODULES,
                "CALLBACK_SECRET": SECRET,
                "CALLBACK_ALLOWED_HOSTS": receiver.place,
            }
            flags = ("--metrics-port", "0")
            steady = WatcherProcess("steady", server.url, "soak", home / "steady", environ, flags)
            restless = WatcherProcess("restless", server.url, "soak", home / "restless", environ)
            try:
                for watcher in (steady, restless):
                    watcher.start()
                await _present(queue)
                yield (
                    queue,
                    steady,
                    Restless(restless, max(5.0, min(30.0, plan.seconds / 10))),
                    Load(queue, receiver, plan.rate, plan.ttl_seconds),
                )
            finally:
                for watcher in (steady, restless):
                    watcher.kill()
                await queue.client.aclose()


async def _present(queue: Queue) -> None:
    async def both() -> bool:
        return len(await sessions.roster(queue)) == WATCHERS == len(await sessions.live_sessions(queue))

    await wait_until(both, DEADLINE_SECONDS, what="both watchers")


async def _at_rest(queue: Queue, lookout: Lookout, seconds: float, like: Sample | None = None) -> Sample:
    """Wait until nothing is left to do, then so long, or until no more is there than in `like`; the last look."""

    async def nothing_left() -> bool:
        key = queue.keys.of
        left = [await queue.client.hlen(key("index")), await queue.client.xlen(key("outbox"))]
        return not any([*left, await queue.client.xlen(key("outbox_callback"))])

    await wait_until(nothing_left, DEADLINE_SECONDS, what="the end of all jobs")
    await _present(queue)
    end = time.monotonic() + seconds
    seen = await lookout.look(0.0)
    while time.monotonic() < end:
        await asyncio.sleep(1)
        seen = await lookout.look(0.0)
        if like and not left_over(like, seen):
            break
    return seen


async def soak(plan: Plan, home: Path, *, say: bool = False) -> Report:
    """One run; nothing is asserted."""
    report = Report(plan)
    async with _watched(plan, home) as (queue, steady, restless, load):
        lookout = Lookout(queue, steady)
        await _lead(queue, restless.watcher)
        await _loaded(load, plan.prelude_seconds)
        report.before = await _at_rest(queue, lookout, plan.rest_seconds)
        stop = asyncio.Event()
        working = [asyncio.create_task(load.run(stop)), asyncio.create_task(restless.run(stop))]
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < plan.seconds and not any(task.done() for task in working):
                report.samples.append(await lookout.look(time.monotonic() - begun))
                if say:
                    sys.stderr.write(json.dumps(asdict(report.samples[-1])) + "\n")
                    sys.stderr.flush()
                await asyncio.sleep(plan.every)
        finally:
            stop.set()
            await asyncio.gather(*working)
        report.after = await _at_rest(queue, lookout, plan.settle_seconds, like=report.before)
        report.submitted, report.told, report.deaths = load.submitted, load.told, restless.deaths
        await _take_stock(queue, report)
    return report


async def _lead(queue: Queue, other: WatcherProcess) -> None:
    """Let the steady one lead once before anything is counted: a leader has a connection more."""
    other.term()
    await other.ended()

    async def steady_leads() -> bool:
        leader: Any = await queue.client.hget(queue.keys.of("lock"), "session")
        return bool(leader) and leader.startswith(b"steady:")

    await wait_until(steady_leads, DEADLINE_SECONDS, what="the steady watcher's lead")
    other.start()
    await _present(queue)


async def _loaded(load: Load, seconds: float) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(load.run(stop))
    await asyncio.wait([working], timeout=seconds)
    stop.set()
    await working


async def _take_stock(queue: Queue, report: Report) -> None:
    counted = await census(queue)
    report.ended = {name: getattr(counted, name) for name in ("done", "failed", "cancelled", "expired")}
    report.findings = [f"{each.kind} {each.subject}: {each.detail}" for each in await fsck(queue, repair=False)]
    if counted.accepted != report.submitted:
        report.findings.append(f"{report.submitted} jobs submitted, {counted.accepted} accepted")
