"""One course of the stress test with the real programs: plan, conduct, work, dispatch, wait, verify. What was seen.

Nothing here judges: `judging` does, from what `run` brings back.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue.connection import as_text, connect
from lib.redisqueue.keys import Keys
from tests.support.servers import ValkeyServer
from tests.support.wait import wait_until
from tests.support.watchers import RUNNER, WATCHER, command_of, environment_of

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG: Final = "backlog:stress"
PREFIX: Final = "stress"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many naps of how many seconds, and how many jobs a minute the cloud may have."""

    count: int = 10
    seconds_min: int = 90
    seconds_max: int = 150
    seed: int = 1
    rate: float = 2.0


@dataclass(frozen=True, slots=True)
class Nap:
    """One job as it went; times in seconds since the first was moved."""

    name: str
    seconds: float
    backend: str
    moved: float
    started: float
    ended: float
    status: str


@dataclass(frozen=True, slots=True)
class Line:
    """What the conductor said, and when, in seconds since the first job was moved."""

    at: float
    text: str
    jobs: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that a judgement is made from."""

    plan: Plan
    naps: tuple[Nap, ...]
    lines: tuple[Line, ...]
    verified: int
    sent: int


async def run(plan: Plan, folder: Path) -> Seen:
    """Run the course in `folder`, on a server of its own; ends every process that it started."""
    server = ValkeyServer(folder / "valkey")
    await asyncio.to_thread(server.start)
    stage = _Stage(folder, server.url)
    manifest = folder / "stress.jsonl"
    try:
        words = ("--count", plan.count, "--seconds-min", plan.seconds_min, "--seconds-max", plan.seconds_max)
        await stage.runner("workflow", "stress", "plan", *words, "--seed", plan.seed, "--out", manifest)
        conductor = await stage.watcher("conduct", "--backlog", BACKLOG, "--rate-limit", plan.rate, name="conductor")
        await wait_until(lambda: "leading" in stage.log("conductor"), 60, what="a conductor that leads")
        await stage.watcher("--backends", "metal,cloud", name="worker")
        await wait_until(lambda: "watching" in stage.log("worker"), 60, what="a worker")
        _, said = await stage.runner("dispatch", manifest, "--target", BACKLOG)
        most = 60 + plan.count * plan.seconds_max
        client = connect(server.url, prefix=PREFIX)
        try:
            keys = Keys(PREFIX)

            async def all_ended() -> bool:
                done = await client.hlen(keys.of("result"))
                return done + await client.hlen(keys.of("failed")) >= plan.count

            await wait_until(all_ended, most, what="the end of every nap")
            code, _ = await stage.runner("verify", manifest, "--target", BACKLOG, check=False)
            records: Any = await client.hgetall(keys.of("result"))
            failed: Any = await client.hgetall(keys.of("failed"))
            moves: Any = await client.xrange(keys.of("events"))
        finally:
            await client.aclose()
        await stage.end(conductor)
        return _seen(plan, manifest, {**records, **failed}, moves, stage.log("conductor"), code, said)
    finally:
        await stage.aclose()
        await asyncio.to_thread(server.stop)


@dataclass(slots=True)
class _Stage:
    """The processes of one course."""

    folder: Path
    url: str
    _running: list[asyncio.subprocess.Process] | None = None

    def _environment(self) -> dict[str, str]:
        more = {name: os.environ[name] for name in ("NO_COLOR",) if name in os.environ}
        return environment_of(self.url, PREFIX, self.folder, {"METAL_CONCURRENCY": "1", **more})

    async def runner(self, *words: object, check: bool = True) -> tuple[int, str]:
        """Run one command; its exit code and all that it said."""
        process = await asyncio.create_subprocess_exec(
            *command_of(RUNNER, *map(str, words)),
            env=self._environment(),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        code = process.returncode or 0
        if check and code:
            raise RuntimeError(f"job-runner {' '.join(map(str, words))} ended with {code}:\n{out.decode()}")
        return code, out.decode()

    async def watcher(self, *words: object, name: str) -> asyncio.subprocess.Process:
        """Start a watcher that logs JSON lines to a file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command_of(WATCHER, *map(str, words), "--consumer-name", name, "--log-json"),
                env=self._environment(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self._running = [*(self._running or ()), process]
        return process

    def log(self, name: str) -> str:
        """What a watcher said so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    async def end(self, process: asyncio.subprocess.Process) -> None:
        """SIGTERM, and wait."""
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()

    async def aclose(self) -> None:
        """End what still runs."""
        for process in self._running or ():
            await self.end(process)


def _seen(plan: Plan, manifest: Path, records: dict[bytes, bytes], moves: Any, log: str, code: int, said: str) -> Seen:
    entries = [json.loads(line) for line in manifest.read_text().splitlines() if line.strip()]
    seconds = {entry["meta"]["id"]: float(entry["args"][0]) for entry in entries}
    moved = _moved(moves)
    begin = min(moved.values(), default=0.0)
    naps = []
    for raw_id, raw in records.items():
        request_id, record = as_text(raw_id), json.loads(raw)
        name = request_id.rsplit(":", 1)[-1]
        naps.append(
            Nap(
                name,
                seconds.get(name, 0.0),
                record.get("backend", "?"),
                moved.get(request_id, 0.0) - begin,
                _unix(record.get("started_at")) - begin,
                _unix(record.get("completed_at") or record.get("failed_at")) - begin,
                record.get("status", "?"),
            )
        )
    lines = tuple(
        Line(_unix(each["at"]) - begin, each["message"], each.get("jobs", 0))
        for each in map(json.loads, filter(None, log.splitlines()))
    )
    return Seen(plan, tuple(sorted(naps, key=lambda nap: nap.moved)), lines, code, said.count("Job Sent"))


def _moved(events: Any) -> dict[str, float]:
    """When each job was moved, by the server's clock; once, since no nap comes back."""
    found: dict[str, float] = {}
    for entry, fields in events:
        if fields.get(b"type") == b"moved":
            for request_id in json.loads(fields[b"ids"]):
                found[request_id] = int(as_text(entry).partition("-")[0]) / 1000
    return found


def _unix(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
