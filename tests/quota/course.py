"""Courses against one key: many watchers ask as fast as they may, one is told to stop, a budget comes to its end.

Everything is a real process over a real server; the API is a fake that counts what arrives. What was seen comes back as
figures with what is wrong in them; `python -m tests.quota` prints both.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.submit import enqueue
from lib import wiring
from lib.jobqueue import normalize_job_spec
from lib.money import MICRO
from lib.redisqueue import spend
from lib.settings import Settings
from tests.support.fake_gemini import FakeGemini, Limits, densest
from tests.support.gemini_faults import Rule
from tests.support.servers import ValkeyServer
from tests.support.wait import wait_until
from tests.support.watchers import WatcherProcess, environment_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from lib.redisqueue.queue import Queue

PREFIX: Final = "quota"
KEY: Final = "a-key-of-no-account-whatsoever"
MODEL: Final = "gemini-2.5-flash"
MINUTE: Final = 60.0


@dataclass(slots=True)
class Figures:
    """What a course has shown, and what was not as it must be."""

    seen: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def must(self, what: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
        """Keep a figure, and whether it is within its bounds."""
        self.seen[what] = value
        if least is not None and value < least:
            self.wrong.append(f"{what} is {value}, less than {least}")
        if most is not None and value > most:
            self.wrong.append(f"{what} is {value}, more than {most}")


@dataclass(slots=True)
class Stand:
    """A server, a fake API, and watchers that use both."""

    folder: Path
    gemini: FakeGemini
    queue: Queue
    settings: Settings
    environ: Mapping[str, str]
    watchers: list[WatcherProcess] = field(default_factory=list)

    async def start(self, count: int) -> None:
        """So many watchers of the cloud, each alive."""
        for number in range(count):
            watcher = WatcherProcess(
                f"w{number}",
                self.queue.url,
                PREFIX,
                self.folder / f"w{number}",
                dict(self.environ),
                ("--backends", "cloud", "--log-json"),
            )
            watcher.start()
            self.watchers.append(watcher)
        await wait_until(lambda: all('"watching as' in each.log for each in self.watchers), 120, what="the watchers")

    async def submit(self, jobs: int, calls: int, name: str = "ask", **payload: Any) -> None:
        """So many jobs, each of so many calls."""
        rows = [
            {"request_id": f"{name}-{number}", "task": "ask", "payload": {"calls": calls, **payload}}
            for number in range(jobs)
        ]
        kinds = wiring.catalogue(self.settings)
        await enqueue(self.queue, self.settings, [normalize_job_spec(row, catalogue=kinds) for row in rows])

    async def records(self) -> list[dict[str, Any]]:
        """Every terminal record."""
        found: list[Any] = []
        for name in ("result", "failed"):
            found += await self.queue.client.hvals(self.queue.keys.of(name))
        return [json.loads(raw) for raw in found]

    def stop(self) -> None:
        """Kill the watchers."""
        for watcher in self.watchers:
            watcher.kill()


@asynccontextmanager
async def stand(folder: Path, limits: Limits, **environ: object) -> AsyncIterator[Stand]:
    """Everything, and its end."""
    server = ValkeyServer(folder / "valkey")
    await asyncio.to_thread(server.start)
    try:
        with FakeGemini(limits=limits, latency=0.05) as gemini:
            more = {
                "GEMINI_API_KEY": KEY,
                "GEMINI_BASE_URL": gemini.url,
                "GEMINI_MODEL": MODEL,
                "GEMINI_RPM": str(limits.rpm or 0),
                "GEMINI_TPM": str(limits.tpm or 0),
                "GEMINI_RPD": str(limits.rpd or 0),
                "CLOUD_TOKENS_PER_MIN": "100000",
                "JOBS_TASK_MODULES": "tests.quota.tasks",
                **{name: str(value) for name, value in environ.items()},
            }
            settings = Settings.load(environment_of(server.url, PREFIX, folder / "state", more))
            async with wiring.opened_queue(settings) as queue:
                made = Stand(folder, gemini, queue, settings, more)
                try:
                    yield made
                finally:
                    await asyncio.to_thread(made.stop)
    finally:
        await asyncio.to_thread(server.stop)


async def allowance(folder: Path, *, watchers: int, minutes: int, rpm: int, tpm: int) -> Figures:
    """Many watchers for some minutes: no window above the limits, and nearly all of them used."""
    figures = Figures()
    async with stand(folder, Limits(rpm=rpm, tpm=tpm)) as there:
        await there.submit(jobs=watchers * 10, calls=rpm * (minutes + 2))
        await there.start(watchers)
        await wait_until(lambda: there.gemini.calls, 60, what="a first call")
        begun = there.gemini.calls[0].at
        await asyncio.sleep(minutes * MINUTE + 5 - (time.time() - begun))
        calls = [call for call in there.gemini.calls if call.at < begun + minutes * MINUTE]
        requests, tokens = densest(calls, MINUTE), densest(calls, MINUTE, lambda call: call.tokens)
        figures.must("requests in the densest minute", requests, most=rpm)
        figures.must("tokens in the densest minute", tokens, most=tpm)
        used = max(len(calls) / (rpm * minutes), sum(call.tokens for call in calls) / (tpm * minutes))
        figures.must("share of the allowance used", round(used, 4), least=0.95)
        figures.must("calls that the API refused", len(there.gemini.violations), most=0)
        figures.seen["calls"] = len(calls)
    return figures


async def closing(folder: Path, *, watchers: int, rpm: int, seconds: float) -> Figures:
    """A 429 that names some seconds: every process stops within one, for as long, and no attempt is used."""
    figures = Figures()
    async with stand(folder, Limits(rpm=rpm)) as there:
        await there.submit(jobs=watchers * 10, calls=3)
        await there.start(watchers)
        await wait_until(lambda: len(there.gemini.calls) > watchers, 60, what="calls of all")
        there.gemini.script(Rule("429_minute", seconds=seconds))
        await wait_until(lambda: any(call.status == 429 for call in there.gemini.calls), 60, what="the 429")
        refused = next(call for call in there.gemini.calls if call.status == 429)
        await asyncio.sleep(seconds + 10)
        later = [call.at - refused.at for call in there.gemini.calls if call.at > refused.at]
        during = [at for at in later if at < seconds]
        figures.must("last call after the 429, s", round(max(during, default=0.0), 3), most=1.0)
        figures.must("calls later than a second after it", sum(at > 1.0 for at in during), most=0)
        figures.must(
            "first call when it is over, s",
            round(min((at for at in later if at >= seconds), default=-1.0), 2),
            least=seconds,
        )
        await wait_until(lambda: _all_ended(there, watchers * 10), 240, what="the end of all jobs")
        records = await there.records()
        figures.must("attempts used beyond the first", sum(each["attempt"] - 1 for each in records), most=0)
        figures.must("jobs not done", sum(each["status"] != "done" for each in records), most=0)
    return figures


async def _all_ended(there: Stand, count: int) -> bool:
    return len(await there.records()) >= count


async def day(folder: Path, *, watchers: int, rpd: int) -> Figures:
    """The requests of a day: used up, and never passed; the rest waits at no cost."""
    figures = Figures()
    async with stand(folder, Limits(rpm=rpd * 10, rpd=rpd)) as there:
        await there.submit(jobs=watchers * 5, calls=rpd)
        await there.start(watchers)
        await wait_until(lambda: len(there.gemini.calls) >= rpd, 120, what="a used-up day")
        await asyncio.sleep(5)
        figures.must("requests of the day", len(there.gemini.calls), most=rpd, least=rpd)
        figures.must("calls that the API refused", len(there.gemini.violations), most=0)
        figures.must("jobs failed", sum(each["status"] != "done" for each in await there.records()), most=0)
    return figures


async def budget(folder: Path, *, watchers: int, usd: float, seconds: float) -> Figures:
    """Racing watchers and a budget: the ledger never passes it, at any moment that can be seen."""
    figures = Figures()
    cap = round(usd * MICRO)
    prices = folder / "prices.yaml"
    # So dear that the day is over in seconds, and that each call reserves more than it then takes.
    prices.write_text(f"models: {{{MODEL}: {{input: 50, output: 200}}}}\n")
    async with stand(folder, Limits(), BUDGET_PER_DAY_USD=usd, PRICES_FILE=prices) as there:
        await there.submit(jobs=watchers * 10, calls=100_000)
        await there.start(watchers)
        most, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            now = await spend.today(there.queue)
            most = max(most, now.total)
            await asyncio.sleep(0.005)
        last = await spend.today(there.queue)
        figures.must("most ever in the ledger, $", most / MICRO, most=cap / MICRO)
        figures.must("settled, $", last.settled / MICRO, least=0.9 * usd)
        figures.must("reserved at the end, $", last.reserved / MICRO)
        said = sum("Budget of the day reached" in each.log for each in there.watchers)
        figures.must("watchers that say so", said, least=1)
    return figures
