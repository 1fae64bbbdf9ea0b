"""Kills watchers while they work and prints what it cost: jobs done, runs, and how long the dead held jobs back.

    python -m tests.chaos.killing [--jobs 200] [--seconds 0.3] [--slots 2] [--every 2] [--kills N] [--seed N]

Three `job-watcher` processes drain `sleep` jobs; every two seconds one of them, in turn or drawn by a
seed, is SIGKILLed.
In the first run it is started again under its name, in the second another under a new name takes its place. The
waits are the server's own times: from right after the death to the event that says the job is back in intake. Jobs
nearly as long as a watcher lives (`--seconds 5 --seed 1` without `--kills`) become suspects, which run one at a time;
a few of them may meet the limit of deaths and end as poison, as the contract has it. All processes are real, on a
bundled server of their own with AOF, on loopback. `test_200.py` holds the figures against the promises.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import producing, sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.fsck import fsck
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of
from tests.conformance import truth
from tests.support.servers import ValkeyServer
from tests.support.wait import wait_until
from tests.support.watchers import LIFE_SECONDS, SWEEP_SECONDS, WatcherProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

WATCHERS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: `kills` None means until everything is done; `rename` gives each successor a new name."""

    jobs: int = 200
    seconds: float = 0.3
    slots: int = 2
    every: float = 2.0
    kills: int | None = None
    rename: bool = False
    seed: int | None = None
    """None: the watchers are killed in turn."""
    deadline_seconds: float = 900.0


@dataclass(slots=True)
class Figures:
    """What came of it; `waits` are seconds from a death until each job that was running then was back in intake."""

    took_seconds: float = 0.0
    kills: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    starts: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    missing: int = 0
    contradictions: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    """What `doctor --fsck` would say."""

    @property
    def worst_wait(self) -> float:
        """Seconds; 0 when nothing was held by the dead."""
        return max(self.waits, default=0.0)

    def text(self, plan: Plan) -> str:
        """For people."""
        again = sum(count - 1 for count in self.starts.values())
        middle = sorted(self.waits)[len(self.waits) // 2] if self.waits else 0.0
        who = "new names" if plan.rename else "their own names"
        return (
            f"{plan.jobs} jobs of {plan.seconds:g} s, {WATCHERS} watchers of {plan.slots} slots, killed every "
            f"{plan.every:g} s, back under {who}:\n"
            f"  {dict(self.statuses)} in {self.took_seconds:.1f} s, {self.kills} kills, {again} jobs started again "
            f"(most starts of one: {max(self.starts.values(), default=0)})\n"
            f"  held by the dead: {len(self.waits)} jobs, back in intake after {middle:.2f} s (median), "
            f"{self.worst_wait:.2f} s (worst); L + S = {LIFE_SECONDS + SWEEP_SECONDS:g} s\n"
            f"  errors {self.errors}, ids without a record or with two {self.missing}, contradictions "
            f"{self.contradictions}, fsck {self.findings or 'clean'}"
        )


@dataclass(slots=True)
class Observer:
    """Reads the events as they come: starts of each job, and when what the dead held was back."""

    queue: Queue
    figures: Figures
    held: dict[str, int] = field(default_factory=dict)
    """Job -> server time, in ms, at which its watcher was dead."""
    _after: str = "0-0"

    async def look(self) -> None:
        """Take in every event since the last look."""
        page: Any = await self.queue.client.xrange(self.queue.keys.of("events"), min=f"({self._after}")
        for entry, fields in page:
            self._after = truth.text(entry)
            at_ms = int(self._after.partition("-")[0])
            ids = json.loads(fields.get(b"ids", b"[]"))
            if fields[b"type"] == b"started":
                self.figures.starts.update(ids)
            if fields[b"type"] == b"queued":
                waits = [at_ms - self.held.pop(each) for each in ids if each in self.held]
                self.figures.waits += [max(0, wait) / 1000 for wait in waits]

    async def note_death(self, session: str) -> None:
        """Remember what this session held; call it once the process is dead."""
        died_ms = await sessions.server_time_ms(self.queue)
        rows: Any = await self.queue.client.hgetall(self.queue.keys.of("index"))
        for request_id, raw in rows.items():
            row = truth.parse_row(truth.text(raw))
            if row.state == "L" and row.session == session:
                self.held[truth.text(request_id)] = died_ms


@dataclass(slots=True)
class Killer:
    """Three watchers, and who comes after them."""

    queue: Queue
    home: Path
    plan: Plan
    figures: Figures
    observer: Observer
    watchers: list[WatcherProcess] = field(default_factory=list)
    _named: int = 0

    def start(self) -> None:
        """Start all."""
        for _ in range(WATCHERS):
            self.watchers.append(self._fresh())

    def _fresh(self) -> WatcherProcess:
        self._named += 1
        environ = {"METAL_CONCURRENCY": str(self.plan.slots)}
        watcher = WatcherProcess(f"w{self._named}", self.queue.url, self.queue.keys.prefix, self.home, environ)
        watcher.start()
        return watcher

    async def kill_one(self, place: int) -> None:
        """Kill one and put a successor in its place."""
        victim = self.watchers[place]
        raw: Any = await self.queue.client.hget(self.queue.keys.of("heartbeat"), victim.name)
        beat = json.loads(raw) if raw else {}
        victim.kill()
        self.figures.kills += 1
        if beat.get("pid") == victim.pid:
            await self.observer.note_death(beat["session"])
        if self.plan.rename:
            self.watchers[place] = self._fresh()
        else:
            victim.start()

    def end(self) -> None:
        """SIGKILL all, each by its pid."""
        for watcher in self.watchers:
            watcher.kill()


async def chaos(url: str, prefix: str, home: Path, plan: Plan) -> Figures:
    """One run on an empty queue; what it found is in the figures, nothing is asserted."""
    queue = Queue.over(connect(url), url, prefix)
    await queue.refresh_streams()
    ids = [f"job-{i:04}" for i in range(plan.jobs)]
    await _submit(queue, ids, plan.seconds)
    figures = Figures()
    observer = Observer(queue, figures)
    killer = Killer(queue, home, plan, figures, observer)
    begun = time.monotonic()
    try:
        killer.start()
        await _until_done(queue, killer, begun)
        figures.took_seconds = time.monotonic() - begun
    finally:
        killer.end()
    await observer.look()
    await _take_stock(queue, figures, ids)
    await queue.client.aclose()
    return figures


async def _submit(queue: Queue, ids: Sequence[str], seconds: float) -> None:
    rows = ({"request_id": each, "task": "sleep", "payload": {"seconds": seconds}} for each in ids)
    jobs = [submission_of(normalize_job_spec(row, catalogue=BUILT_IN), BUILT_IN) for row in rows]
    await producing.submit(queue, jobs)


async def _until_done(queue: Queue, killer: Killer, begun: float) -> None:
    plan, chance = killer.plan, random.Random(killer.plan.seed)  # noqa: S311 - which watcher dies, the same each time
    killed_at = begun

    async def all_ended() -> bool:
        nonlocal killed_at
        await killer.observer.look()
        more = plan.kills is None or killer.figures.kills < plan.kills
        if more and time.monotonic() - killed_at >= plan.every:
            killed_at = time.monotonic()
            turn = killer.figures.kills % WATCHERS
            await killer.kill_one(turn if plan.seed is None else chance.randrange(WATCHERS))
        return bool(await queue.client.hlen(queue.keys.of("index")) == 0)

    await wait_until(all_ended, plan.deadline_seconds, what="the end of all jobs")


async def _take_stock(queue: Queue, figures: Figures, ids: Sequence[str]) -> None:
    await queue.refresh_streams()
    found = await truth.read_truth(queue)
    figures.contradictions = truth.contradictions(found)
    figures.findings = [f"{each.kind} {each.subject}: {each.detail}" for each in await fsck(queue, repair=False)]
    for request_id, raw in found.all_records.items():
        record = json.loads(raw)
        figures.statuses[record["status"]] += 1
        if record["status"] != "done":
            figures.errors.append(f"{request_id}: {record['error_type']}: {record['error']}")
    ended = Counter(who for history in found.histories.values() for who in history.values())
    figures.missing = sum(ended[each] != 1 for each in ids) + len(set(ended) - set(ids))


async def main() -> None:
    """Both runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a job")
    parser.add_argument("--slots", type=int, default=2, help="METAL_CONCURRENCY of each watcher")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two kills")
    parser.add_argument("--kills", type=int, default=None, help="stop killing after so many; default: never")
    parser.add_argument("--seed", type=int, default=None, help="draw who is killed; default: in turn")
    options = parser.parse_args()
    for rename in (False, True):
        plan = Plan(options.jobs, options.seconds, options.slots, options.every, options.kills, rename, options.seed)
        with tempfile.TemporaryDirectory() as folder, ValkeyServer(Path(folder) / "server") as server:
            figures = await chaos(server.url, "killing", Path(folder) / "host", plan)
        sys.stdout.write(figures.text(plan) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # Ended from outside, it must not leave its watchers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asyncio.run(main())
