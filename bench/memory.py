"""What a job costs the server: bytes while it waits and when it is over, commands and time on its way; and the watcher.

Bytes are the server's own `used_memory`, beyond the payload or the record itself, and without the two streams that
keep only the newest entries. Commands are those of INFO commandstats: calls that came from a client, which are round
trips unless they share a pipeline, and all that ran, inside scripts too.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from bench import raw
from bench.draining import record_of_a_job
from bench.figure import Figure, Found, at_most
from bench.filling import leading
from bench.stand import end, jobs, memory_of, present, process, standing, still_there, watcher
from lib.redisqueue import producing

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from bench.sizes import Sizes
    from bench.stand import Stand

_SCRIPTS: Final = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_fcall")
_WAIT_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 1.0
"""After which a watcher's first rounds of sweep and roster are over."""
_BARE: Final = "import redis, asyncio, time; print(flush=True); time.sleep(600)"


class Usage:
    """Differences of INFO over a stretch."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self.bytes = 0
        self.usec = 0.0
        self.scripts = 0
        self.commands = 0
        self._begin()

    def _begin(self) -> None:
        self._stand.client.config_resetstat()
        self._bytes = int(self._stand.info("memory")["used_memory"])
        self._cpu = self._seconds()

    def _seconds(self) -> float:
        cpu = self._stand.info("cpu")
        return float(cpu["used_cpu_user_main_thread"]) + float(cpu["used_cpu_sys_main_thread"])

    def stop(self) -> None:
        """Take the differences."""
        stats = self._stand.info("commandstats")
        self.usec = (self._seconds() - self._cpu) * 1e6
        self.bytes = int(self._stand.info("memory")["used_memory"]) - self._bytes
        self.scripts = sum(int(stats[name]["calls"]) for name in _SCRIPTS if name in stats)
        self.commands = sum(int(each["calls"]) for each in stats.values()) - self.scripts


async def measure(sizes: Sizes, step: Callable[[], None]) -> Found:
    """Jobs in, raw and ours, then through a watcher."""
    count = sizes.jobs
    submissions = await asyncio.to_thread(jobs, count, "m")
    record = await record_of_a_job()
    payloads = [job.job for job in submissions]
    queued, finished, raw_queued, raw_finished, logged = [], [], [], [], []
    ins: list[Usage] = []
    outs: list[Usage] = []
    raw_ins: list[Usage] = []
    raw_outs: list[Usage] = []
    for _ in range(sizes.repeats):
        async with standing() as stand:
            ins.append(Usage(stand))
            await producing.submit(stand.queue, submissions)
            ins[-1].stop()
            queued.append((ins[-1].bytes - await logs(stand)) / count - mean(payloads))
            outs.append(await _watched(stand, count))
            records: Any = await asyncio.to_thread(stand.client.hvals, stand.queue.keys.of("result"))
            logged.append(await logs(stand))
            finished.append((ins[-1].bytes + outs[-1].bytes - logged[-1]) / count - mean(records))
        async with standing() as stand:
            raw_ins.append(Usage(stand))
            await asyncio.to_thread(raw.submit, stand.client, payloads)
            raw_ins[-1].stop()
            raw_queued.append(raw_ins[-1].bytes / count - mean(payloads))
            raw_outs.append(Usage(stand))
            await asyncio.to_thread(raw.drain, stand.client, record)
            raw_outs[-1].stop()
            raw_finished.append((raw_ins[-1].bytes + raw_outs[-1].bytes) / count - len(record))
        step()
    note = (
        f"{count} jobs; payload {mean(payloads):.0f}, record {len(record)} bytes; without the log of the last thousand "
        f"events, {max(logged) / 1e6:.1f} MB then"
    )

    on_its_way = f"{count} jobs, one watcher, through the conductor"

    def figure(what: str, unit: str, mine: list[Usage], other: list[Usage], field: str) -> Figure:
        ours, beside = (tuple(getattr(each, field) / count for each in usages) for usages in (mine, other))
        return Figure("commands", what, unit, ours, beside, note=on_its_way)

    def bytes_over(what: str, mine: list[float], other: list[float]) -> Figure:
        return Figure("memory", what, "B", tuple(mine), tuple(other), target=at_most(150), note=note)

    return Found(
        [
            bytes_over("queued, beyond the payload", queued, raw_queued),
            bytes_over("finished, beyond the record", finished, raw_finished),
            figure("to queue it: calls of a script", "", ins, raw_ins, "scripts"),
            figure("to queue it: other commands", "", ins, raw_ins, "commands"),
            figure("to queue it: the server's CPU", "µs", ins, raw_ins, "usec"),
            figure("to finish it: calls of a script", "", outs, raw_outs, "scripts"),
            figure("to finish it: other commands", "", outs, raw_outs, "commands"),
            figure("to finish it: the server's CPU", "µs", outs, raw_outs, "usec"),
        ]
    )


async def logs(stand: Stand) -> int:
    """Bytes of the streams that keep only the newest entries: they do not grow with the jobs."""
    keys = [stand.queue.keys.of(name) for name in ("events", "wake")]
    sizes: Any = await asyncio.to_thread(lambda: [stand.client.memory_usage(key, samples=0) for key in keys])
    return sum(size or 0 for size in sizes)


async def measure_watcher(sizes: Sizes, step: Callable[[], None]) -> Found:
    """Resident memory of a watcher: idle, and the highest of a drain; a bare Python with the client beside it."""
    idle, highest, bare = [], [], []
    submissions = await asyncio.to_thread(jobs, sizes.jobs, "m")
    for _ in range(sizes.repeats):
        async with standing() as stand, watcher(stand) as running:
            await present(stand, running)
            await asyncio.sleep(_SETTLE_SECONDS)
            idle.append(memory_of(running.pid))
            await producing.submit(stand.queue, submissions)
            await _all_over(stand, running, len(submissions))
            highest.append(memory_of(running.pid, "VmHWM"))
            await end(running)
            bare.append(await _bare(stand))
        step()
    own = at_most(90)
    beside = "Python with redis"
    note = f"of its drain: {sizes.jobs} jobs, 200 slots"
    return Found(
        [
            Figure("watcher", "idle", "MB", tuple(idle), tuple(bare), beside, own),
            Figure("watcher", "highest of a drain", "MB", tuple(highest), tuple(bare), beside, own, note),
        ]
    )


async def _bare(stand: Stand) -> float:
    """What no watcher can be below: Python, asyncio and the client."""
    log = stand.state / "bare.log"
    async with process(sys.executable, "-c", _BARE, environ=stand.environ(), log=log) as running:
        while not log.read_bytes():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(_WAIT_SECONDS)
        return memory_of(running.pid)


async def _watched(stand: Stand, count: int) -> Usage:
    """What a watcher makes the server do for so many jobs, its start and end not counted.

    Somebody else leads until it is there, so that it finds nothing to do before it is looked at.
    """
    async with AsyncExitStack() as watching:
        async with leading(stand):
            # It looks whether it may lead once in this time, and nothing is to be waited for.
            running = await watching.enter_async_context(watcher(stand, WATCHER_POLL_INTERVAL="1"))
            await present(stand, running)
            await asyncio.sleep(_SETTLE_SECONDS)
            usage = Usage(stand)
        await _all_over(stand, running, count)
        usage.stop()
    return usage


async def _all_over(stand: Stand, running: Process, count: int) -> None:
    history = stand.queue.keys.of("history_done")
    while int(await stand.queue.client.xlen(history)) < count:
        await still_there(running, stand)
        await asyncio.sleep(_WAIT_SECONDS)


def mean(texts: list[bytes]) -> float:
    """Bytes of one, on average."""
    return sum(map(len, texts)) / len(texts)
