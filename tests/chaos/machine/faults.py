"""Carries out the faults of a schedule, each to its end, and writes down when it began and when it was over.

Nothing is decided here but which job a hand meddles with. A fault that finds nothing to break says so in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from lib.redisqueue.connection import connect
from tests.chaos.machine.options import PREFIX
from tests.chaos.machine.schedule import as_json
from tests.chaos.machine.stopping import in_thread
from tests.conformance import truth
from tests.support.servers import ServerFailedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lib.redisqueue.connection import Client
    from tests.chaos.machine.ground import Ground, Post, ProducerProcess
    from tests.chaos.machine.schedule import Fault

_LOOK_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.05
LEADER: Final = "wire-leader"
"""For directed schedules: whoever leads when the time comes."""
LANE: Final = "lane:metal:any"
JUNK: Final = (b"{no job", b"\xff\xfe\x00", b"[]", b'{"task":"sleep"}', b'{"request_id":"huge","x":"' + b"x" * 600_000)


class Breaker:
    """Breaks the ground on schedule."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._ways: dict[str, Callable[[Fault], Awaitable[str]]] = {
            "kill": self._kill,
            "term": self._term,
            **dict.fromkeys(("pause", "long_pause"), self._pause),
            "reset": self._reset,
            "lose_reply": self._lose_reply,
            **dict.fromkeys(("blackhole", "long_blackhole"), self._blackhole),
            "half_open": self._half_open,
            "delay": self._delay,
            "producer_kill": self._producer_kill,
            **dict.fromkeys(("server_kill", "long_server_kill", "server_restart"), self._server_down),
            **dict.fromkeys(("server_pause", "long_server_pause"), self._server_pause),
            "clock": self._clock,
            "server_full": self._server_full,
            "script_flush": self._script_flush,
            "disk_full": self._disk_full,
            "stale_entry": self._stale_entry,
            "junk": self._junk,
            "group_lost": self._group_lost,
        }

    async def carry_out(self, number: int, fault: Fault) -> None:
        """One fault from its begin to its end; an error of the machine is written down, not raised."""
        words: dict[str, Any] = {"fault": number, **{k: v for k, v in as_json(fault).items() if k != "at"}}
        self._ground.log.note(**{"is": "begin", **words})
        said = "?"
        try:
            said = await self._ways[fault.kind](fault)
        except (RedisError, OSError, ServerFailedError) as exc:
            said = f"not done: {exc}"
        finally:
            self._ground.log.note(**{"is": "end", "fault": number, "kind": fault.kind, "said": said})

    def _post(self, fault: Fault) -> Post:
        return self._ground.posts[int(fault.target.rpartition("-")[2]) - 1]

    def _producer(self, fault: Fault) -> ProducerProcess:
        return self._ground.producers[int(fault.target.rpartition("-")[2]) - 1]

    async def _kill(self, fault: Fault) -> str:
        post = self._post(fault)
        post.spared = True
        post.ends += 1
        await in_thread(post.process.kill)
        self._ground.note_death(post, "killed")
        return await self._again(post, fault)

    async def _again(self, post: Post, fault: Fault) -> str:
        """Start a post's watcher after the fault's time, unless it was told to end once more meanwhile."""
        mine = post.ends
        await asyncio.sleep(fault.seconds)
        if post.ends == mine:
            self._ground.start_watcher(post, new_name=fault.detail != "same name")
        return post.process.name

    async def _term(self, fault: Fault) -> str:
        post = self._post(fault)
        if not post.process.running:
            return "it was dead"
        post.spared = True
        post.ends += 1
        mine = post.ends
        post.process.term()
        with contextlib.suppress(AssertionError):
            await post.process.ended()
        if post.ends != mine:
            return "it was killed while it stopped"
        await in_thread(post.process.kill)
        self._ground.note_death(post, "stopped")
        return await self._again(post, fault)

    async def _pause(self, fault: Fault) -> str:
        process = self._post(fault).process
        if not process.running:
            return "it was dead"
        process.pause()
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.resume()
        return process.name

    async def _reset(self, fault: Fault) -> str:
        self._ground.wires[fault.target].reset()
        return ""

    async def _lose_reply(self, fault: Fault) -> str:
        then = "silence" if fault.detail == "silence" else "reset"
        self._ground.wires[fault.target].trap_reply(b"EVALSHA", skip=int(fault.at * 1000) % 4, then=then)  # type: ignore[arg-type]  # one of two literals
        return ""

    async def _blackhole(self, fault: Fault) -> str:
        wire = self._ground.wires[fault.target]
        wire.blackhole()
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            # Slow wires stay slow: only the end of that fault ends it.
            slow = wire.delay_seconds
            wire.restore()
            wire.delay(slow)
        return ""

    async def _half_open(self, fault: Fault) -> str:
        wire = (await self._leader()).wire if fault.target == LEADER else self._ground.wires[fault.target]
        wire.deafen()
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            wire.hear()
        return ""

    async def _leader(self) -> Post:
        """The post of the watcher that leads now; the first when nobody does."""
        client = self._direct()
        try:
            session: Any = await client.hget(f"{PREFIX}:watcher:lock", "session")
        finally:
            await client.aclose()
        name = truth.text(session or b"").partition(":")[0]
        posts = self._ground.posts
        return next((post for post in posts if post.process.name == name), posts[0])

    async def _delay(self, fault: Fault) -> str:
        wire = self._ground.wires[fault.target]
        wire.delay(int(fault.detail.partition(" ")[0]) / 1000)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            wire.delay(0.0)
        return ""

    async def _producer_kill(self, fault: Fault) -> str:
        producer = self._producer(fault)
        if producer.done:
            return "it was done"
        producer.spared = True
        await in_thread(producer.kill)
        await asyncio.sleep(fault.seconds)
        self._ground.start_producer(producer)
        return ""

    async def _server_down(self, fault: Fault) -> str:
        server = self._ground.server
        await in_thread(server.stop if fault.kind == "server_restart" else server.kill)
        await asyncio.sleep(fault.seconds)
        await in_thread(server.start)
        return ""

    async def _server_pause(self, fault: Fault) -> str:
        server = self._ground.server
        server.pause()
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            server.resume()
        return ""

    async def _clock(self, fault: Fault) -> str:
        place = self._ground.home / "clock"
        fresh = place.with_suffix(".new")
        fresh.write_text(fault.detail)
        fresh.replace(place)
        return ""

    async def _server_full(self, fault: Fault) -> str:
        client = self._direct()
        try:
            await client.config_set("maxmemory", "1mb")
            await asyncio.sleep(fault.seconds)
        finally:
            await client.config_set("maxmemory", "0")
            await client.aclose()
        return ""

    async def _script_flush(self, _fault: Fault) -> str:
        client = self._direct()
        try:
            await client.script_flush()
        finally:
            await client.aclose()
        return ""

    async def _disk_full(self, fault: Fault) -> str:
        filler = self._ground.home / "disk" / "filler"
        for size in (65536, 4096):
            with contextlib.suppress(OSError), filler.open("ab", buffering=0) as target:
                while target.write(b"x" * size) == size:
                    pass
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            filler.unlink(missing_ok=True)
        return ""

    async def _stale_entry(self, fault: Fault) -> str:
        """The entry of a job once more in a lane, as a restored backup or a careless hand would leave it."""
        client = self._direct()
        end = time.monotonic() + _LOOK_SECONDS
        try:
            while time.monotonic() < end:
                found = await self._copy_one(client, "Q" if fault.detail == "waiting" else "L")
                if found:
                    return found
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await client.aclose()
        return "no job was in a lane"

    async def _copy_one(self, client: Client, state: str) -> str:
        ids: Any = await client.hrandfield(f"{PREFIX}:jobs:req:index", 100)
        for request_id in ids or ():
            raw: Any = await client.hget(f"{PREFIX}:jobs:req:index", request_id)
            row = truth.parse_row(truth.text(raw)) if raw else None
            if row is None or row.state != state or (state == "Q" and row.stream == LANE):
                continue
            page: Any = await client.xrange(f"{PREFIX}:jobs:{row.stream}", row.entry, row.entry)
            if page:
                await client.xadd(f"{PREFIX}:jobs:{LANE}", {"home": "stream:high:any", **page[0][1]})
                return truth.text(request_id)
        return ""

    async def _junk(self, fault: Fault) -> str:
        client = self._direct()
        try:
            await client.xadd(f"{PREFIX}:jobs:stream", {"job": JUNK[int(fault.at * 1000) % len(JUNK)]})
        finally:
            await client.aclose()
        return ""

    async def _group_lost(self, _fault: Fault) -> str:
        """The lane forgets what it has given to whom."""
        client = self._direct()
        try:
            await client.xgroup_destroy(f"{PREFIX}:jobs:{LANE}", "watchers")
        finally:
            await client.aclose()
        return ""

    def _direct(self) -> Client:
        return connect(self._ground.server.url)


def lift(ground: Ground) -> None:
    """Whatever is still broken is whole again: wires, clock and disk; faults that go on have ended by themselves."""
    for wire in ground.wires.values():
        wire.restore()
        wire.hear()
        wire.reset()
    clock = ground.home / "clock"
    if clock.exists():
        clock.write_text("+0")
    (ground.home / "disk" / "filler").unlink(missing_ok=True)
