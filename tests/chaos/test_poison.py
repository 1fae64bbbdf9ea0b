"""Jobs that end whoever runs them, and entries that nobody can read: only the guilty are set aside."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.chaos.yard import Yard
    from tests.support.watchers import WatcherProcess

pytestmark = pytest.mark.chaos


@contextlib.asynccontextmanager
async def kept_running(watcher: WatcherProcess) -> AsyncIterator[list[int]]:
    """Start a watcher again whenever it has died, as systemd does; the list gets the pid of every start."""
    starts: list[int] = []

    async def supervise() -> None:
        while True:
            await wait_until(lambda: not watcher.running, 3600)
            watcher.start()
            starts.append(watcher.pid)

    task = asyncio.create_task(supervise())
    try:
        yield starts
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_job_that_kills_its_watcher_is_poison_and_it_alone(yard: Yard) -> None:
    """Faults row 18: two deaths of the watcher, then it dies apart; what ran beside it each time is done."""
    guilty = {"request_id": "guilty", "task": "kill_parent", "payload": {"run_log": str(yard.home / "runs" / "guilty")}}
    beside = ["beside-1", "beside-2"]
    later = [f"later-{i}" for i in range(4)]
    # Those beside are leased first, so that they run whenever the guilty one strikes.
    await yard.submit(*(yard.gated(each, gate="end") for each in beside), guilty, *(yard.gated(each) for each in later))
    watcher = yard.watcher("watcher", slots=3, WATCHER_MAX_CRASHES="2")
    async with kept_running(watcher) as starts:
        await wait_until(lambda: len(starts) >= 3, 60, what="two deaths")
        yard.open_gate("end")
        record = await yard.record("guilty")
        await yard.all_done(*beside, *later)
    assert (record["status"], record["error_type"]) == ("failed", "poison")
    assert record["job"]["payload"] == guilty["payload"]
    assert len(starts) == 3
    assert yard.runs("guilty") == 4  # two deaths of the watcher, two crashes of the child apart
    assert [yard.runs(each) for each in later] == [1] * 4
    assert await yard.history("failed") == ["guilty"]


async def test_a_child_that_dies_names_its_job_and_no_other(yard: Yard) -> None:
    """Faults row 18: a crash of the child is counted for the one job that ran in it; the watcher lives on."""
    guilty = {"request_id": "guilty", "task": "kill_self", "payload": {"run_log": str(yard.home / "runs" / "guilty")}}
    watcher = await yard.started("watcher", slots=2, WATCHER_MAX_CRASHES="2")
    ids = [f"job-{i}" for i in range(4)]
    await yard.submit(guilty, *(yard.gated(each, child=True) for each in ids))
    record = await yard.record("guilty")
    assert record["error_type"] == "poison"
    assert yard.runs("guilty") == 2
    await yard.all_done(*ids)
    assert [yard.runs(each) for each in ids] == [1] * 4
    assert watcher.running


UNREADABLE: dict[str, dict[str, bytes]] = {
    "no JSON": {"job": b"{nonsense"},
    "bad UTF-8": {"job": b'{"request_id": "\xff\xfe"}'},
    "no field": {"something": b"else"},
    "no object": {"job": b"[1, 2]"},
    "600 KB": {"job": json.dumps({"request_id": "huge", "task": "sleep", "payload": {"pad": "x" * 600_000}}).encode()},
    "deep": {"job": b"[" * 100_000},
    "unknown task": {"job": b'{"request_id": "strange", "task": "no_such_task", "payload": {}}'},
}


async def test_entries_that_nobody_can_read_stop_nobody(yard: Yard) -> None:
    """Faults row 18: junk, bad UTF-8 and 600 KB by raw XADD: each a failed record, bytes kept; the reader goes on."""
    await yard.started("watcher")
    inlet = yard.queue.keys.stream("stream")
    entries: dict[str, str] = {}
    for what, fields in UNREADABLE.items():
        entry: Any = await yard.queue.client.xadd(inlet, fields)  # type: ignore[arg-type]  # bytes are fields too
        entries[what] = entry.decode()
    sound = {"request_id": "by-hand", "task": "gated", "payload": {"run_log": str(yard.home / "runs" / "by-hand")}}
    await yard.queue.client.xadd(inlet, {"job": json.dumps(sound)})
    await yard.submit(yard.gated("neighbour"))
    await yard.all_done("by-hand", "neighbour")
    for entry in entries.values():
        record = await yard.record(f"foreign:stream:{entry}")
        assert (record["status"], record["stage"]) == ("failed", "validate")
    kept: Any = await yard.queue.client.xrange(yard.queue.keys.of("rejected"))
    assert {fields[b"entry"].decode() for _, fields in kept} == set(entries.values())
    assert {fields[b"job"] for _, fields in kept} >= {each["job"] for each in UNREADABLE.values() if "job" in each}


async def test_junk_in_a_lane_is_put_aside(yard: Yard) -> None:
    """Faults row 18: what somebody adds to a lane itself is nobody's job; its neighbours run, its bytes are kept."""
    await yard.started("watcher", slots=1)
    lane = yard.queue.keys.stream("lane:metal:any")
    await yard.queue.client.xadd(lane, {"job": b"\xff\x00junk"})
    await yard.queue.client.xadd(lane, {"id": "nobody", "gen": "1", "job": "{}"})
    await yard.submit(yard.gated("job"))
    await yard.all_done("job")

    async def empty() -> bool:
        return bool(await yard.queue.client.xlen(lane) == 0)

    await wait_until(empty, 30, what="an empty lane")
    kept: Any = await yard.queue.client.xrange(yard.queue.keys.of("rejected"))
    assert [fields[b"job"] for _, fields in kept] == [b"\xff\x00junk"]
