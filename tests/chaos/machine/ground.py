"""Everything that runs during a run: a server, a wire to it for each watcher, watchers, producers; ended by pid.

It starts and ends processes and writes down each start and each death; what is broken when is decided elsewhere.
The programs run from a copy of the code, so that a bug can be planted there and nobody's edit changes a run.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.chaos.machine import options as machine
from tests.chaos.machine.bodies import MODULE
from tests.chaos.machine.options import PREFIX, Options
from tests.chaos.machine.producer import Orders
from tests.chaos.machine.schedule import MACHINE_LIFE_SECONDS, MACHINE_RENEW_SECONDS, MACHINE_SWEEP_SECONDS
from tests.chaos.machine.stopping import in_thread
from tests.chaos.machine.wires import Wire
from tests.support.servers import ValkeyServer
from tests.support.wait import wait_until
from tests.support.watchers import ROOT, START_DEADLINE_SECONDS, WatcherProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.chaos.machine.workload import Step

CODE: Final = ("lib", "job_watcher", "job_runner")
TESTS: Final = ("tests/__init__.py", "tests/chaos/__init__.py", "tests/chaos/machine", "tests/support")
TEND_SECONDS: Final = 0.05
_END_SECONDS: Final = 20.0
HOPELESS_ENDS: Final = 12
HOPELESS_SECONDS: Final = 10.0


class HopelessError(Exception):
    """The programs of this run do not run: nothing can be learnt from it."""


def copy_code(to: Path) -> None:
    """The code as it is now, with its compiled files, so that a start costs no compiling."""
    for name in (*CODE, *TESTS, "tests/conformance"):
        source, target = ROOT / name, to / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(to)], check=False, stdout=subprocess.DEVNULL)


def commit() -> str:
    """The commit of the code, and whether files were changed since; `unknown` where this is no clone."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_END_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return said.stdout.strip() or "unknown"


class Log:
    """A file of JSON lines, each with the time at which it was written."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, **words: Any) -> None:
        """One line."""
        os.write(self._file, json.dumps({"at": time.monotonic(), **words}).encode() + b"\n")


@dataclass(eq=False)
class Post:
    """A place for a watcher: its wire, and whoever holds it now. `spared`: it is down on purpose.

    `ends` counts how often it was told to end: of two who did so, only the last one starts it again.
    """

    number: int
    wire: Wire
    process: WatcherProcess
    names: int = 1
    spared: bool = False
    ends: int = 0


@dataclass(eq=False)
class ProducerProcess:
    """A producer; `start` again goes on where the last one stopped."""

    number: int
    orders: Path
    code: Path
    process: subprocess.Popen[bytes] | None = None
    spared: bool = False
    done: bool = False

    def start(self) -> None:
        """Start it and return at once."""
        environ = {**os.environ, "PYTHONPATH": str(self.code)}
        with self.orders.with_suffix(".err").open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.chaos.machine.producer", str(self.orders)],
                env=environ,
                cwd=self.code,
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL, and wait for it."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(_END_SECONDS)


@dataclass(eq=False)
class Ground:
    """One run's directory and processes."""

    home: Path
    options: Options
    log: Log
    server: ValkeyServer
    missing: tuple[str, ...]
    """Kinds of fault that this machine cannot do."""
    wires: dict[str, Wire] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    producers: list[ProducerProcess] = field(default_factory=list)
    _closing: bool = False
    _ends: list[float] = field(default_factory=list)

    @classmethod
    def make(cls, home: Path, options: Options) -> Ground:
        """The server and the code of a run in an empty directory; nothing runs yet."""
        for name in ("trace", "out", "disk"):
            (home / name).mkdir(parents=True)
        copy_code(home / "code")
        fake = machine.libfaketime()
        prefix: tuple[str, ...] = ()
        if fake is not None:
            (home / "clock").write_text("+0")
            words = (f"LD_PRELOAD={fake}", f"FAKETIME_TIMESTAMP_FILE={home / 'clock'}")
            prefix = ("env", *words, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")
        # `always`: under `everysec` the server answers while a slow fsync holds its write back, and a SIGKILL then
        # takes what was accepted. Never rewritten: the file is the history.
        server = ValkeyServer(
            home / "server", fsync="always", options=("--auto-aof-rewrite-percentage", "0"), prefix=prefix
        )
        missing = [] if fake else ["clock"]
        if not machine.can_mount(home / "disk"):
            missing.append("disk_full")
        return cls(home, options, Log(home / "ground.jsonl"), server, tuple(missing))

    async def start(self) -> None:
        """Start the server, the wires and the watchers."""
        await in_thread(self.server.start)
        if "disk_full" not in self.missing:
            machine.mount(self.home / "disk")
        for name in (*(f"wire-{i}" for i in range(1, self.options.watchers + 1)), "wire-p"):
            self.wires[name] = Wire(self.server.port)
            await self.wires[name].listen()
        for i in range(1, self.options.watchers + 1):
            wire = self.wires[f"wire-{i}"]
            self.posts.append(Post(i, wire, self._watcher(i, 1, wire)))
            self.start_watcher(self.posts[-1])

    async def ready(self) -> None:
        """Wait until the session of every watcher stands: what is broken before says little."""
        queue = await self.queue()
        try:

            async def all_there() -> bool:
                return int(await queue.client.zcard(queue.keys.of("sessions"))) >= self.options.watchers

            await wait_until(all_there, START_DEADLINE_SECONDS, what="the sessions of all watchers")
        finally:
            await queue.client.aclose()

    async def start_producers(self, work: Sequence[Iterable[Step]]) -> float:
        """Start all, wait until they are ready, and let them go; the monotonic seconds from which times count."""
        for i, steps in enumerate(work, 1):
            self.producers.append(self._producer(i, steps))
            self.start_producer(self.producers[-1])
        logs = [producer.orders.with_suffix(".jsonl") for producer in self.producers]
        await wait_until(
            lambda: all(log.exists() and log.stat().st_size for log in logs),
            START_DEADLINE_SECONDS,
            what="the first word of all producers",
        )
        begun = time.monotonic()
        fresh = self.home / "go.new"
        fresh.write_text(str(begun))
        fresh.rename(self.home / "go")
        self.log.note(**{"is": "begun"})
        return begun

    async def server_version(self) -> str:
        """Which server it is, as it says itself."""
        queue = await self.queue()
        try:
            said: Any = await queue.client.info("server")
        finally:
            await queue.client.aclose()
        return f"{said.get('server_name', 'redis')} {said.get('valkey_version', said.get('redis_version'))}"

    def _watcher(self, post: int, names: int, wire: Wire) -> WatcherProcess:
        host = self.home / "hosts" / f"{post}-{names}"
        environ = {
            "PYTHONPATH": str(self.home / "code"),
            "METAL_CONCURRENCY": str(self.options.slots),
            "METAL_QUEUE_MAX": "2",
            "WATCHER_SESSION_TTL": str(MACHINE_LIFE_SECONDS),
            "WATCHER_SESSION_RENEW_EVERY": str(MACHINE_RENEW_SECONDS),
            "WATCHER_POLL_INTERVAL": str(MACHINE_SWEEP_SECONDS),
            "JOBS_TASK_MODULES": MODULE,
            "WATCHER_OUTPUT_ROOT": str(self.home / "disk"),
        }
        return WatcherProcess(f"w{post}-{names}", _url(wire.port), PREFIX, host, environ)

    def _producer(self, number: int, steps: Iterable[Step]) -> ProducerProcess:
        place = self.home / f"producer-{number}"
        lines = [json.dumps(step.as_json()) for step in steps]
        place.with_suffix(".steps").write_text("\n".join(lines) + "\n")
        orders = Orders(
            url=_url(self.wires["wire-p"].port),
            prefix=PREFIX,
            trace=str(self.home / "trace"),
            log=str(place.with_suffix(".jsonl")),
            steps=str(place.with_suffix(".steps")),
            go=str(self.home / "go"),
        )
        place.with_suffix(".json").write_text(json.dumps(asdict(orders)))
        return ProducerProcess(number, place.with_suffix(".json"), self.home / "code")

    def start_watcher(self, post: Post, *, new_name: bool = False) -> None:
        """Start the watcher of a post, or another one under a new name on a new host."""
        if self._closing:
            return
        if new_name:
            post.names += 1
            post.process = self._watcher(post.number, post.names, post.wire)
        post.process.start()
        post.spared = False
        self.log.note(**{"is": "started", "post": post.number, "name": post.process.name, "pid": post.process.pid})

    def start_producer(self, producer: ProducerProcess) -> None:
        """Start or go on."""
        if not self._closing:
            producer.start()
            producer.spared = False

    def note_death(self, post: Post, how: str) -> None:
        """The watcher of a post is dead now."""
        self.log.note(**{"is": "dead", "post": post.number, "name": post.process.name, "how": how})

    async def tend(self) -> None:
        """Until cancelled: whoever ends without being told to is written down and started again."""
        while True:
            for post in self.posts:
                if not post.spared and not post.process.running:
                    self.note_death(post, "by itself")
                    self._count_end(f"{post.process.name} says: {post.process.log[-500:]}")
                    self.start_watcher(post)
            for producer in self.producers:
                code = None if producer.process is None else producer.process.poll()
                if code == 0:
                    producer.done = True
                elif code is not None and not producer.spared and not producer.done:
                    self.log.note(**{"is": "producer ended", "producer": producer.number, "code": code})
                    self._count_end(f"a producer says: {producer.orders.with_suffix('.err').read_text()[-500:]}")
                    self.start_producer(producer)
            await asyncio.sleep(TEND_SECONDS)

    def _count_end(self, said: str) -> None:
        """Poison ends a watcher now and then; programs that end again and again cannot run at all.

        Raises:
            HopelessError: so many have ended by themselves within a short time.

        """
        now = time.monotonic()
        self._ends = [*(at for at in self._ends if now - at < HOPELESS_SECONDS), now]
        if len(self._ends) >= HOPELESS_ENDS:
            raise HopelessError(f"{len(self._ends)} programs ended by themselves within {HOPELESS_SECONDS:g} s; {said}")

    async def queue(self) -> Queue:
        """The queue over a connection of its own, past every wire; the caller closes its client."""
        queue = Queue.over(connect(self.server.url), self.server.url, PREFIX)
        await queue.refresh_streams()
        return queue

    async def stop_watchers(self) -> None:
        """Tell all to stop, and end those that do not."""
        self._closing = True
        for post in self.posts:
            post.spared = True
            if post.process.running:
                post.process.term()
        end = time.monotonic() + _END_SECONDS
        while time.monotonic() < end and any(post.process.running for post in self.posts):  # noqa: ASYNC110  processes
            await asyncio.sleep(TEND_SECONDS)
        for post in self.posts:
            post.process.kill()

    def end(self) -> None:
        """SIGKILL everything that was started, each by its pid, and give the disk back; also after a failure."""
        self._closing = True
        for post in self.posts:
            post.process.kill()
        for producer in self.producers:
            producer.kill()
        self.server.kill()
        machine.unmount(self.home / "disk")

    async def close_wires(self) -> None:
        """No connection is carried any more."""
        for wire in self.wires.values():
            await wire.close()


def _url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"
