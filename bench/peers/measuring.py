"""Drives each peer over the same course as our own queue, on a server of its own beside the raw limit.

Submit in bulk and one by one, drain by one worker process, idle latency, memory a job. From the outside all look the
same: a process that submits, a worker, and the trace that its bodies leave; `bench.peers.killing` uses it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import raw
from bench.draining import raw_rate, record_of_a_job
from bench.figure import Figure, Found, percentile, rate
from bench.peers.environments import python_of
from bench.peers.roster import OWN, PEERS, Peer
from bench.peers.side import Trace
from bench.stand import HOUSE, StandError, jobs, said_by, standing
from bench.turns import by_turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.sizes import Sizes
    from bench.stand import Stand
    from bench.steps import Steps

WARM: Final = 10
DRAIN_SECONDS: Final = 45.0
PEER_SECONDS: Final = 180.0
_LOOK_SECONDS: Final = 0.1
_SINGLES: Final = 500
NAME: Final = "job-runner"


@dataclass(frozen=True, slots=True)
class Runner:
    """A peer on a stand: how its processes are started."""

    peer: Peer
    python: Path
    stand: Stand
    trace: Trace
    slots: int
    claim_seconds: int = 0

    def environ(self, name: str = "w") -> dict[str, str]:
        """Nothing of the caller's settings; the last ones are for our own side."""
        return self.stand.environ(
            BENCH_URL=self.stand.url,
            BENCH_TRACE=str(self.stand.state / "trace"),
            BENCH_SLOTS=str(self.slots),
            BENCH_CLAIM_SECONDS=str(self.claim_seconds),
            BENCH_NAME=name,
            PYTHONPATH=str(HOUSE),
            JOBS_TASK_MODULES="bench.traced",
        )

    async def submit(self, way: str, first: int, count: int, seconds: float = 0.0) -> dict[str, Any]:
        """What a process that submits says.

        Raises:
            StandError: it failed.

        """
        words = ("-m", self.peer.side, "submit", way, str(first), str(count), str(seconds))
        out = await said_by(str(self.python), *words, environ=self.environ(), cwd=self.stand.state)
        told: dict[str, Any] = json.loads(out)
        return told

    @asynccontextmanager
    async def worker(self, name: str = "w") -> AsyncIterator[int]:
        """A worker for the length of a block; then it and all that it started are killed. Its pid, and group."""
        with (self.stand.state / "worker.log").open("ab") as log:
            running = await asyncio.create_subprocess_exec(
                *(str(self.python), "-m", self.peer.side, "worker"),
                env=self.environ(name),
                cwd=self.stand.state,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield running.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            await running.wait()

    def _over(self, count: int) -> bool:
        # The last one first: to look at thousands of rows ten times a second would slow the worker down.
        return bool(self.trace.row(count - 1)[3]) and all(row[3] for row in self.trace.rows(count))

    async def all_ended(self, count: int, within_seconds: float) -> None:
        """Wait until the first `count` jobs have ended.

        Raises:
            StandError: they have not; what the worker said is in it.

        """
        try:
            async with asyncio.timeout(within_seconds):
                while not self._over(count):  # noqa: ASYNC110 - other processes write the trace
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            ended = sum(1 for row in self.trace.rows(count) if row[3])
            said = (self.stand.state / "worker.log").read_text(errors="replace")[-500:]
            raise StandError(f"{ended} of {count} jobs ended within {within_seconds:.0f} s; {said}") from None


@asynccontextmanager
async def runner(peer: Peer, trace_rows: int, *, slots: int, claim_seconds: int = 0) -> AsyncIterator[Runner]:
    """A peer on a fresh server."""
    python = Path(sys.executable) if peer.name == OWN.name else await python_of(peer)
    async with standing() as stand:
        trace = Trace.made(stand.state / "trace", trace_rows)
        yield Runner(peer, python, stand, trace, slots, claim_seconds)


@dataclass(slots=True)
class Taken:
    """What was measured of one peer, by what; pairs of its own and raw."""

    own: dict[str, list[float]] = field(default_factory=dict)
    beside: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, own: float, beside: float | None = None) -> None:
        """One pair; one alone where nothing raw does the same."""
        self.own.setdefault(what, []).append(own)
        if beside is not None:
            self.beside.setdefault(what, []).append(beside)

    def figures(self, peer: Peer) -> list[Figure]:
        """One for each what."""
        units = {"bulk submit": "/s", "one by one": "/s", "drain": "/s", "bytes a job": "B"}
        who = NAME if peer is OWN else peer.name
        return [
            Figure(
                "peers",
                what,
                units.get(what, "ms"),
                tuple(own),
                tuple(self.beside.get(what, ())),
                who=who,
                note=peer.setting,
            )
            for what, own in self.own.items()
        ]


async def measure(sizes: Sizes, step: Steps) -> Found:
    """All of them, our own queue among them; one that fails is told and stops no other."""
    found = step.found
    record = await record_of_a_job()
    for peer in (OWN, *PEERS):
        if sizes.peers and peer.name not in sizes.peers:
            continue
        taken = Taken()
        try:
            async with asyncio.timeout(PEER_SECONDS):
                for number in range(min(sizes.repeats, 3)):
                    await _course(peer, sizes, record, taken, number)
                    step()
        except TimeoutError:
            found.failures[f"peers: {peer.name}"] = f"not over after {PEER_SECONDS:.0f} s"
        except Exception as exc:  # noqa: BLE001 - whatever a peer does, the others are measured
            found.failures[f"peers: {peer.name}"] = f"{type(exc).__name__}: {exc}"
        found.figures += taken.figures(peer)
    return found


async def _course(peer: Peer, sizes: Sizes, record: bytes, taken: Taken, number: int) -> None:
    """Once over all of it; raw comes just before or after by turns, but for the bulk submit, whose bytes count."""
    count = int(peer.jobs * sizes.peer_factor)
    pings = sizes.pings // 3
    submissions = await asyncio.to_thread(jobs, count, "t")
    async with runner(peer, count + WARM + pings, slots=peer.slots) as run:
        client, payloads = run.stand.client, [job.job for job in submissions]
        # First, on a server that holds nothing: it may free what is deleted only later.
        before = int(run.stand.info("memory")["used_memory"])
        told = await run.submit("bulk", 0, count)
        used = (int(run.stand.info("memory")["used_memory"]) - before) / count
        beside = await asyncio.to_thread(raw.submit, client, payloads)
        raw.clear(client)
        taken.note("bulk submit", rate(count, told["seconds"]), rate(count, beside))
        taken.note("bytes a job", used)
        drained_raw = await raw_rate(run.stand, submissions, record) if number % 2 else 0.0
        async with run.worker():
            await run.all_ended(count, DRAIN_SECONDS)
            drained = _rate_of(run.trace, count)
            if number == 0:
                await _pinged(run, count, pings, taken)
        taken.note("drain", drained, drained_raw or await raw_rate(run.stand, submissions, record))
        await asyncio.to_thread(client.flushall)
        some = min(_SINGLES, count)

        async def own() -> float:
            return rate(some, (await run.submit("one", 0, some))["seconds"])

        async def beside_it() -> float:
            return rate(some, await asyncio.to_thread(raw.submit_one_by_one, client, payloads[:some]))

        taken.note("one by one", *await by_turns(number, own, beside_it))


async def _pinged(run: Runner, first: int, count: int, taken: Taken) -> None:
    """From submit to body, into the worker that has nothing else to do."""
    told = await run.submit("ping", first, WARM + count)
    times = told["to_body_ms"][WARM:]
    taken.note("to body p50", percentile(times, 50))
    taken.note("to body p99", percentile(times, 99))


def _rate_of(trace: Trace, count: int) -> float:
    """Jobs a second, from the first body's begin to the last one's end."""
    rows = trace.rows(count)
    return rate(count, (max(row[1] for row in rows) - min(row[0] for row in rows)) / 1e9)
