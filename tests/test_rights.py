"""The users of docs/how-to/redis-acl.md: their lines are read out of the page and tried on real servers.

Under `jobs`, watchers live and die and every command of `job-runner` is run, and the server logs no refusal; every
right that the line gives is one that was used. What a user lacks is named before anything fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from job_runner.cli.app import main as job_runner
from lib.redisqueue import instances
from lib.redisqueue.connection import connect
from lib.redisqueue.fsck import fsck
from lib.redisqueue.overview import overview
from lib.redisqueue.queue import Queue
from lib.redisqueue.rights import COMMANDS, ENVELOPE, ROLES, missing_rights
from tests.chaos.yard import MODULES, Yard
from tests.conformance.renting import Renting
from tests.conformance.stage import Stage
from tests.support.wait import wait_until
from tests.support.watchers import environment_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lib.redisqueue.rights import Role
    from tests.support.servers import RealServer

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "redis-acl.md"
LUA = Path(__file__).parents[1] / "lib" / "redisqueue"
USERS: dict[Role, str] = {"watcher": "jobs", "producer": "producer", "reader": "reader"}
# Replicas, a transaction that is given up, an entry that comes back to its living owner, callbacks, a foreign name.
_FOR_RARE_MOMENTS = {"wait", "discard", "xclaim", "exists", "srem"}
_CALL = re.compile(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?")


def _line(user: str) -> list[str]:
    (line,) = re.findall(rf"^ACL SETUSER {user} reset .*$", PAGE.read_text(), re.MULTILINE)
    return str(line).split()


def _granted(user: str) -> set[str]:
    return {word[1:] for word in _line(user) if word.startswith("+")}


@pytest.mark.parametrize("role", ROLES)
def test_the_page_shows_what_the_program_tries(role: Role) -> None:
    """Page and program cannot drift apart."""
    assert _granted(USERS[role]) == {*COMMANDS[role], *ENVELOPE}


def test_every_command_of_every_script_is_granted() -> None:
    """A script that sends a new command makes this fail before any user meets it."""
    sent: set[str] = set()
    for file in (*LUA.rglob("*.lua"), LUA / "scripts.py"):
        for command, sub in _CALL.findall(file.read_text()):
            sent.add(f"{command}|{sub}".lower() if command in {"XGROUP", "XINFO"} else command.lower())
    assert sent <= COMMANDS["watcher"].keys(), "add it to lib/redisqueue/rights.py and to the page"


@dataclass
class Place:
    """A server where the page's users are, a queue of the all-powerful, and the programs under one of the users."""

    server: RealServer
    yard: Yard
    home: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    user: str = "jobs"

    def url(self, user: str) -> str:
        """By which a user connects."""
        return self.server.url.replace("redis://", f"redis://{user}:PASSWORD@")

    async def run(self, *words: str, code: int = 0) -> str:
        """One command line of `job-runner`; what it said. In this process: what is asked of the server is promised."""
        environ = environment_of(
            self.url(self.user), self.yard.prefix, self.home / "host", {"JOBS_TASK_MODULES": MODULES}
        )
        for name in set(os.environ) - environ.keys():
            self.monkeypatch.delenv(name)
        for name, value in environ.items():
            self.monkeypatch.setenv(name, value)
        self.capture.readouterr()
        ended = await asyncio.to_thread(job_runner, words)
        out, err = self.capture.readouterr()
        assert ended == code, (words, out, err)
        return out + err

    async def run_each(self, *commands: tuple[str, ...]) -> None:
        """Several, one after the other."""
        for words in commands:
            await self.run(*words)

    async def refusals(self) -> list[str]:
        """What the server has refused since the last look."""
        client = self.yard.queue.client
        entries: Any = await client.execute_command("ACL", "LOG")  # type: ignore[no-untyped-call]  # redis-py
        await client.execute_command("ACL", "LOG", "RESET")  # type: ignore[no-untyped-call]  # redis-py
        return [f"{entry[b'reason'].decode()}: {entry[b'object'].decode()}" for entry in map(_pairs, entries)]

    def file(self, name: str, *rows: dict[str, Any]) -> str:
        """A job file."""
        (self.home / name).write_text(json.dumps(rows))
        return str(self.home / name)


def _pairs(entry: Any) -> dict[bytes, Any]:
    return entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))


@pytest.fixture(params=["own_valkey", "own_redis7"])
async def place(
    request: pytest.FixtureRequest,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Place]:
    """Both servers in turn; no watcher outlives the test."""
    server: RealServer = request.getfixturevalue(request.param)
    client = connect(server.url)
    for user in USERS.values():
        line = [word.replace("~pab:", f"~{prefix}:") for word in _line(user)]
        await client.execute_command(*line)  # type: ignore[no-untyped-call]  # redis-py
    queue = Queue.over(client, server.url, prefix)
    await queue.refresh_streams()
    for name in ("runs", "gates"):
        (tmp_path / name).mkdir()
    yard = Yard(server, queue, tmp_path)
    (tmp_path / "host").mkdir()
    try:
        yield Place(server, yard, tmp_path, monkeypatch, capsys)
    finally:
        yard.end_watchers()
        await client.aclose()
        for watcher in yard.watchers:
            # Shown only when the test has failed.
            print(f"--- {watcher.name}\n{watcher.log}")  # noqa: T201


@pytest.mark.timeout(240)  # two watchers, a dozen jobs and every command, on a machine that does other things too
async def test_a_whole_life_under_least_rights(place: Place) -> None:
    """Watchers and every command: the server refuses nothing, and nothing is granted that is not used."""
    yard = place.yard
    keyed: dict[str, Any] = {"conflict_key": "k", "on_conflict": "queue"}
    file = place.file(
        "jobs.json.yaml",
        {**yard.gated("spoken", payload={"output": "x"}), "output_name": "a/spoken"},
        yard.gated("first", **keyed),
        yard.gated("second", **keyed),
        {**yard.gated("gone"), "ttl_seconds": 1},
        {"request_id": "broken", "task": "fail_permanent", "payload": {"message": "no"}},
        {"request_id": "flaky", "task": "fail_temporary", "payload": {"delay_seconds": 0.1}, "max_attempts": 2},
        {**yard.gated("later"), "run_after": "2999-01-01T00:00:00Z"},
        yard.gated("held", gate="held"),
        yard.gated("cancelled", gate="never"),
    )
    await place.run("enqueue", file)
    killed = await yard.started("killed", url=place.url("jobs"), slots=3)
    await yard.runs_reach("held", 1)
    await yard.runs_reach("cancelled", 1)
    killed.kill()
    other = yard.watcher("other", url=place.url("jobs"), slots=3)
    # With a lane of the cloud each move keeps to its limits too.
    other.flags = ("--backends", "metal,cloud")
    other.start()
    await yard.opened(other)
    await yard.runs_reach("held", 2)
    await yard.runs_reach("cancelled", 2)
    await yard.queue.client.xadd(
        yard.queue.keys.stream("stream"), {"job": json.dumps({"request_id": "by-hand", "task": "debug", "payload": {}})}
    )
    await place.run("cancel", "cancelled", "--yes")
    yard.open_gate("held")
    await yard.all_done("spoken", "first", "second", "held", "by-hand")
    for name in ("broken", "flaky"):
        assert (await yard.record(name))["status"] == "failed"
    await place.run_each(("status",), ("history",), ("result", "spoken"), ("why", "later"))
    # Two of its jobs have failed.
    await place.run("report", file, code=1)
    await place.run("retry", "broken", "--yes")
    await place.run("cancel", "later", "--yes")
    await place.run("watch", "--until-empty")

    async def expired() -> bool:
        return not await yard.queue.client.hexists(yard.queue.keys.of("result"), "gone")

    await wait_until(expired, 30, what="a record that expires")
    await yard.submit(yard.gated("handed", gate="never"))
    await yard.runs_reach("handed", 1)
    other.term()
    await wait_until(lambda: "left to finish" in other.log, what="the first word to stop was heard")
    other.term()
    await other.ended()
    assert await place.refusals() == []
    await place.run("doctor", "--fsck", "--repair", "--yes")
    assert await place.refusals() == ["command: config|get"]
    await place.run("flush", "--yes")
    await place.run("flush", "--hard", "--force", "--yes")
    assert await place.refusals() == []
    stats: Any = await yard.queue.client.info("commandstats")
    used = {name.removeprefix("cmdstat_") for name, seen in stats.items() if seen["calls"] > 0}
    assert _granted("jobs") - used <= _FOR_RARE_MOMENTS


async def test_machines_are_rented_under_least_rights(place: Place) -> None:
    """Each step of a row's life, the sweep and the views: the server refuses nothing."""
    queue = Queue.over(connect(place.url("jobs")), place.url("jobs"), place.yard.prefix)
    await queue.refresh_streams()
    renting = await Renting(Stage(queue, "own")).opened()
    try:
        rented = await renting.advanced(await renting.rent(), 5, state="idle")
        assert await instances.ask_end(queue, rented.intent)
        await instances.exclude(queue, "m-1", 60, "probe")
        await queue.client.hset(queue.keys.of("instances"), "broken00", "junk")
        assert (await fsck(queue, repair=True))[0].repaired
        await renting.stage.kill(renting.session)
        assert len((await overview(queue, lease_idle_ms=1000))["instances"]) == 1
        other = await Renting(renting.stage).opened("other")
        taken = await instances.adopt(queue, other.session, rented.intent)
        assert taken is not None
        assert await instances.end(queue, other.session, taken, 5) is not None
        assert (len(await instances.bills(queue)), len(await instances.excluded(queue))) == (1, 1)
        assert await place.refusals() == []
    finally:
        await queue.client.aclose()


async def test_a_producer_may_queue_and_look_and_no_more(place: Place) -> None:
    """Its commands work without one refusal; a watcher under its name is told what it lacks."""
    place.user = "producer"
    file = place.file("jobs.yaml", place.yard.gated("a"), place.yard.gated("b"))
    await place.run("enqueue", file)
    await place.run("cancel", "a", "b", "--yes")
    await place.run("retry", "a", "--yes")
    await place.run("report", file)
    assert await place.refusals() == []
    watcher = place.yard.watcher("w", url=place.url("producer"))
    watcher.start()
    assert await watcher.ended() == 2
    assert "Redis refuses this user: it lacks +del, +srem, +unlink, +xclaim" in " ".join(watcher.log.split())
    assert await place.yard.members() == frozenset()


async def test_a_reader_may_look_and_change_nothing(place: Place) -> None:
    """Every view works; a submit is refused with the page that says how to mend it."""
    file = place.file("jobs.yaml", place.yard.gated("a"))
    await place.run("enqueue", file)
    place.user = "reader"
    await place.run_each(("status",), ("history",), ("result", "a"), ("why", "a"), ("report", file))
    assert await place.refusals() == []
    # It tries what it may not, so this leaves refusals.
    assert "user reader may only look; no watcher can run under it" in await place.run("doctor", "--fsck")
    said = await place.run("cancel", "a", "--yes", code=1)
    assert "docs/how-to/redis-acl.md" in said
    assert await place.refusals() != []
    assert await place.yard.row("a") is not None


@pytest.mark.parametrize("role", ROLES)
async def test_what_a_user_lacks_is_named(place: Place, role: Role) -> None:
    """Command by command, with what the server says; trying does nothing, and the connection is good afterwards."""
    url = place.url(USERS[role])
    client = connect(url)
    queue = Queue.over(client, url, place.yard.prefix)
    try:
        assert (await missing_rights(queue, "watcher")).keys() == COMMANDS["watcher"].keys() - COMMANDS[role].keys()
        assert await missing_rights(queue, role) == {}
        await place.yard.queue.client.execute_command("ACL", "SETUSER", USERS[role], "-hget", "resetkeys")  # type: ignore[no-untyped-call]  # redis-py
        lacking = await missing_rights(queue, role)
        assert "hget" in lacking["hget"]
        assert "key" in lacking["hset" if role != "reader" else "hlen"]
        assert await client.time()
        await place.yard.queue.client.execute_command("ACL", "SETUSER", USERS[role], "-multi")  # type: ignore[no-untyped-call]  # redis-py
        assert (await missing_rights(queue, role)).keys() == {"multi"}
        assert await place.yard.queue.client.dbsize() == 0
    finally:
        await client.aclose()
