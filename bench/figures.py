"""Measures the queue against the raw limit of the same server in the same run, and prints ratios.

    python bench/figures.py [--jobs 20000] [--pings 300]

Raw limit: redis-py with hiredis in one process that sends only the needed commands in pipelines: XADD in batches
of 500; XREADGROUP COUNT 100, then HSET, XACK, XDEL for each entry. Measured beside it: bulk submit of validated
jobs, drain of no-op jobs by one `job-watcher` process from filled lanes and through the conductor, idle latency
from submit to body and to record, bytes of server memory a job, and start times of the commands. Everything runs
on loopback, with a bundled server of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from bench.tasks import TASKS
from lib import embedded
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.jobqueue.protocol import Move
from lib.redisqueue import conducting, producing, sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lib.jobqueue.protocol import Submission

CATALOGUE = BUILT_IN.with_kinds(*(task.kind for task in TASKS))
BALLAST = "x" * 200
SLOTS = 200
BIN = Path(sys.executable).parent


def jobs(count: int, name: str) -> list[Submission]:
    """Validated jobs on their way in."""
    rows = ({"request_id": f"{name}:{i:07d}", "task": "noop", "payload": {"ballast": BALLAST}} for i in range(count))
    return [submission_of(normalize_job_spec(row, catalogue=CATALOGUE), CATALOGUE) for row in rows]


def raw_submit(url: str, payloads: list[bytes]) -> float:
    """Seconds for XADD in pipelines of 500."""
    client = redis.Redis.from_url(url, protocol=3)
    begun = time.perf_counter()
    for at in range(0, len(payloads), 500):
        pipe = client.pipeline(transaction=False)
        for payload in payloads[at : at + 500]:
            pipe.xadd("raw", {"job": payload})
        pipe.execute()
    return time.perf_counter() - begun


def raw_drain(url: str, record: bytes) -> float:
    """Seconds to read all of it by group and answer each entry with HSET, XACK, XDEL."""
    client = redis.Redis.from_url(url, protocol=3)
    client.xgroup_create("raw", "g", id="0")
    begun = time.perf_counter()
    while True:
        reply: Any = client.xreadgroup("g", "c", {"raw": ">"}, count=100)
        entries = [entry for found in reply.values() for part in found for entry in part] if reply else []
        if not entries:
            return time.perf_counter() - begun
        pipe = client.pipeline(transaction=False)
        for entry, _ in entries:
            pipe.hset("raw:result", entry, record)
            pipe.xack("raw", "g", entry)
            pipe.xdel("raw", entry)
        pipe.execute()


@asynccontextmanager
async def server() -> AsyncIterator[tuple[str, Path]]:
    """A server of its own with AOF every second."""
    with tempfile.TemporaryDirectory() as folder:
        started = await embedded.start(Path(folder), port=None)
        try:
            yield started.url, Path(folder)
        finally:
            await embedded.stop(Path(folder))


def watcher(url: str, state: Path, *flags: str, slots: int = SLOTS) -> subprocess.Popen[bytes]:
    """A watcher process with no-op tasks."""
    environ = {
        **os.environ,
        "REDIS_URL": url,
        "JOBS_STATE_DIR": str(state),
        "JOBS_TASK_MODULES": "bench.tasks",
        "METAL_CONCURRENCY": str(slots),
        "METAL_QUEUE_MAX": "10",
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    return subprocess.Popen([BIN / "job-watcher", "--quiet", *flags], env=environ)


async def drained(queue: Queue, url: str, state: Path) -> float:
    """Seconds between the first and the last record of a drain by one watcher."""
    process = watcher(url, state, "--drain")
    code = await asyncio.to_thread(process.wait, 300)
    if code != 0:
        raise SystemExit(f"the watcher ended with {code}")
    history = queue.keys.of("history_done")
    first: Any = await queue.client.xrange(history, count=1)
    last: Any = await queue.client.xrevrange(history, count=1)
    begun, ended = (int(entry[0][0].split(b"-")[0]) for entry in (first, last))
    return (ended - begun) / 1000


async def fill_lane(queue: Queue, count: int) -> None:
    """Everything into the lane, as a conductor without limits would."""
    await sessions.open_session(queue, "b:1", name="b", previous="", life_ms=60_000, heartbeat=b'"session":"b:1"}')
    await sessions.ensure_lanes(queue, ["lane:metal:any"])
    await queue.refresh_streams()
    epoch = (await sessions.lead(queue, "b:1")).epoch
    lane = "lane:metal:any"
    # A live reader, or a sweep would give back what waits there.
    await queue.client.xgroup_createconsumer(queue.keys.stream(lane), "watchers", "b:1")
    moved = 0
    while moved < count:
        order = Move("stream:normal:any", lane, 500, count, (lane,), count)
        moved += sum((await conducting.move(queue, "b:1", epoch, [order])).counts)


async def throughput(count: int) -> None:
    """Submit and drain, against raw."""
    for way in ("from filled lanes", "through the conductor"):
        async with server() as (url, state):
            submissions = await asyncio.to_thread(jobs, count, "t")
            queue = Queue.over(connect(url), url)
            await queue.refresh_streams()
            client = redis.Redis.from_url(url)
            begun = time.perf_counter()
            await producing.submit(queue, submissions)
            ours = time.perf_counter() - begun
            raw = await asyncio.to_thread(raw_submit, url, [job.job for job in submissions])
            print(f"submit   ours {count / ours:9,.0f}/s   raw {count / raw:9,.0f}/s   ratio {raw / ours:.2f}")
            if way == "from filled lanes":
                await fill_lane(queue, count)
            seconds = await drained(queue, url, state)
            scanned: Any = client.hscan("pab:jobs:result", count=1)
            record: bytes = next(iter(scanned[1].values()))
            raw = await asyncio.to_thread(raw_drain, url, record)
            print(
                f"drain    ours {count / seconds:9,.0f}/s   raw {count / raw:9,.0f}/s   ratio {raw / seconds:.2f}"
                f"   {way}, {SLOTS} slots"
            )
            await queue.client.aclose()


async def latency(pings: int) -> None:
    """One job at a time into an idle watcher."""
    async with server() as (url, state):
        process = watcher(url, state, slots=4)
        queue = Queue.over(connect(url), url)
        while not await sessions.roster(queue):  # noqa: ASYNC110 - another process opens the session
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        to_body, to_record = [], []
        for job in jobs(pings, "p"):
            begun = time.monotonic_ns()
            await producing.submit(queue, [job])
            while True:
                raw: Any = await queue.client.hget(queue.keys.of("result"), job.request_id)
                if raw:
                    break
            to_record.append((time.monotonic_ns() - begun) / 1e6)
            to_body.append((json.loads(raw)["result"]["began_ns"] - begun) / 1e6)
        process.terminate()
        process.wait(30)
        for name, values in (("submit to body", to_body), ("submit to record", to_record)):
            cuts = statistics.quantiles(values, n=100)
            print(f"idle     {name:16} p50 {cuts[49]:.2f} ms   p99 {cuts[98]:.2f} ms   ({pings} jobs)")
        await queue.client.aclose()


async def memory(count: int) -> None:
    """Server memory a job, beyond payload and record."""
    async with server() as (url, state):
        client = redis.Redis.from_url(url)
        queue = Queue.over(connect(url), url)

        def used() -> int:
            return int(client.info("memory")["used_memory"])

        submissions = jobs(count, "m")
        before = used()
        await producing.submit(queue, submissions)
        payload = sum(len(job.job) for job in submissions)
        print(f"memory   queued   {(used() - before - payload) / count:6.0f} bytes a job beyond its payload")
        await drained(queue, url, state)
        records = sum(len(record) for record in client.hvals("pab:jobs:result"))
        print(f"memory   finished {(used() - before - records) / count:6.0f} bytes a job beyond its record")
        await queue.client.aclose()


def starts(url: str) -> None:
    """Cold start of commands, the median of five."""
    yaml = Path(__file__).parent.parent / "jobs.example.yaml"
    environ = {**os.environ, "REDIS_URL": url}
    for command in (["job-runner", "--help"], ["job-runner", "status"], ["job-runner", "plan", str(yaml)]):
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            subprocess.run([BIN / command[0], *command[1:]], env=environ, check=True, capture_output=True)
            seconds.append(time.perf_counter() - begun)
        print(f"start    {' '.join(command[:2]):22} {statistics.median(seconds) * 1000:.0f} ms")


async def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--pings", type=int, default=300)
    options = parser.parse_args()
    await throughput(options.jobs)
    await latency(options.pings)
    await memory(options.jobs)
    async with server() as (url, _):
        await asyncio.to_thread(starts, url)


if __name__ == "__main__":
    asyncio.run(main())
