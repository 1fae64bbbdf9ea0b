"""What every measure stands on: a server of its own, a queue over it, validated jobs, and watcher processes.

Everything runs on loopback and ends with the block that started it, also when a deadline cuts a measure short. It
measures nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis

from bench.ballast import BALLAST
from bench.tasks import TASKS
from lib import embedded
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.jobqueue.protocol import Submission
from lib.redisqueue import sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of
from lib.settings import variable_name, variables

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Iterator

HOUSE: Final = Path(__file__).parent.parent
BIN: Final = Path(sys.executable).parent
CATALOGUE: Final = BUILT_IN.with_kinds(*(task.kind for task in TASKS))
SLOTS: Final = 200
ROOM: Final = 10
"""METAL_CONCURRENCY and METAL_QUEUE_MAX of a drain: 200 jobs at once and 2 000 in the lane. A no-op job is over in
microseconds, so a slot is only a place in a batch; with fewer the batches shrink and round trips set the pace."""

END_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.02


class StandError(Exception):
    """A process of the stand ended otherwise than it should; the message carries what it said."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A running server; `state` is the directory of all that works on it."""

    url: str
    state: Path
    queue: Queue
    client: redis.Redis

    def environ(self, **more: str) -> dict[str, str]:
        """For a program of ours: nothing of the caller's settings."""
        ours = {variable_name(each) for each in variables()}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return {
            **kept,
            "REDIS_URL": self.url,
            "JOBS_STATE_DIR": str(self.state),
            "JOBS_TASK_MODULES": "bench.tasks",
            "PYTHONPATH": str(HOUSE),
            **more,
        }

    async def clear(self) -> None:
        """Take away everything but the scripts; back once the server does nothing in the background any more."""
        await asyncio.to_thread(self.client.flushall)
        await self.quiet()
        await self.queue.refresh_streams()

    async def quiet(self) -> None:
        """Wait until the server has rewritten its append-only file: many jobs set that off, and it takes a core."""
        while self.info("persistence")["aof_rewrite_in_progress"]:  # noqa: ASYNC110 - the server does it
            await asyncio.sleep(LOOK_SECONDS)

    def info(self, section: str) -> dict[str, Any]:
        """A section of INFO."""
        found: Any = self.client.info(section)
        return dict(found)


@asynccontextmanager
async def standing() -> AsyncIterator[Stand]:
    """A bundled server with AOF every second, as users get it, for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        started = await embedded.start(Path(folder), port=None)
        queue = Queue.over(connect(started.url), started.url)
        client = redis.Redis.from_url(started.url, protocol=3, socket_timeout=60)
        try:
            await queue.refresh_streams()
            yield Stand(started.url, Path(folder), queue, client)
        finally:
            client.close()
            await queue.client.aclose()
            await embedded.stop(Path(folder))


def jobs(count: int, name: str) -> list[Submission]:
    """Validated jobs on their way in."""
    rows = ({"request_id": f"{name}:{i:07d}", "task": "noop", "payload": {"ballast": BALLAST}} for i in range(count))
    return [submission_of(normalize_job_spec(row, catalogue=CATALOGUE), CATALOGUE) for row in rows]


def many_jobs(count: int, name: str) -> Iterator[Submission]:
    """The same without the validation of each, for filling a queue: one job over and over under other names."""
    [first] = jobs(1, name)
    before = first.request_id.encode()
    for i in range(count):
        request_id = f"{name}:{i:07d}"
        job = first.job.replace(before, request_id.encode(), 1)
        yield Submission(request_id, first.identity, job, first.intake, first.backlog)


@asynccontextmanager
async def process(*words: str, environ: dict[str, str], log: Path) -> AsyncIterator[Process]:
    """A program that runs for the length of a block; what still runs at its end is told to, then killed."""
    with log.open("ab") as out:
        started = await asyncio.create_subprocess_exec(
            *words, env=environ, cwd=log.parent, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield started
    finally:
        await end(started)


async def said_by(*words: str, environ: dict[str, str] | None = None, cwd: Path | None = None) -> bytes:
    """What a program writes until its end; it ends with this call, also when a deadline cuts that short.

    Raises:
        StandError: it failed; the message has the end of what it complained of.

    """
    running = await asyncio.create_subprocess_exec(
        *words,
        env=environ,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, complaint = await running.communicate()
    except BaseException:
        running.kill()
        await running.wait()
        raise
    if running.returncode != 0:
        shown = " ".join(words)
        raise StandError(f"{shown} ended with {running.returncode}: {complaint[-800:].decode(errors='replace')}")
    return out


async def end(running: Process, within_seconds: float = END_SECONDS) -> None:
    """SIGTERM, and SIGKILL when that was not enough."""
    if running.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        running.terminate()
    try:
        async with asyncio.timeout(within_seconds):
            await running.wait()
    except TimeoutError:
        running.kill()
        await running.wait()


@asynccontextmanager
async def watcher(
    stand: Stand, *flags: str, slots: int = SLOTS, room: int = ROOM, name: str = "w", **more: str
) -> AsyncIterator[Process]:
    """A `job-watcher` process that knows the no-op task."""
    environ = stand.environ(METAL_CONCURRENCY=str(slots), METAL_QUEUE_MAX=str(room), **more)
    words = (str(BIN / "job-watcher"), "--quiet", "--consumer-name", name, *flags)
    async with process(*words, environ=environ, log=stand.state / f"{name}.log") as started:
        yield started


async def ended_well(running: Process, stand: Stand, name: str = "w") -> None:
    """Wait until it has ended by itself.

    Raises:
        StandError: with a code other than 0.

    """
    code = await running.wait()
    if code != 0:
        said = (stand.state / f"{name}.log").read_text(errors="replace")[-800:]
        raise StandError(f"the watcher ended with {code}: {said}")


async def present(stand: Stand, running: Process) -> None:
    """Wait until this watcher has a session.

    Raises:
        StandError: it has ended.

    """
    while not await sessions.roster(stand.queue):
        await still_there(running, stand)
        await asyncio.sleep(LOOK_SECONDS)


async def still_there(running: Process, stand: Stand, name: str = "w") -> None:
    """Nothing, unless it has ended: then StandError with what it said, so that nobody waits for it."""
    if running.returncode is not None:
        await ended_well(running, stand, name)
        raise StandError("the watcher ended before it was told to")


def memory_of(pid: int, what: str = "VmRSS") -> float:
    """Resident megabytes of a process now, or at its highest (`VmHWM`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise StandError(f"process {pid} has no {what}: it has ended")
