"""Entries that another program added by hand: taken in, or kept as failed, and never in the way of others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand


async def by_hand(stand: Stand, fields: dict[Any, Any]) -> str:
    """XADD to the inlet; the entry's id."""
    return await stand.add(stand.queue.keys.stream("stream"), fields)


def raw(request_id: str, **more: Any) -> dict[str, str]:
    """A job as another program writes it."""
    return {"job": json.dumps({"request_id": request_id, "task": "debug", "payload": {}, **more})}


async def test_a_valid_entry_runs_like_any_other(stand: Stand) -> None:
    """With every default, in the class and priority that it names."""
    await stand.watcher().start()
    await by_hand(stand, raw("a", priority="high", callback_data={"k": [1]}))
    (record,) = await stand.ended("a")
    assert record["status"] == "done"
    assert record["callback_data"] == {"k": [1]}


async def test_what_cannot_be_read_is_kept_as_failed_and_its_neighbours_run(stand: Stand) -> None:
    """Row 18: junk, bad UTF-8, no field, no id, an unknown task and 600 KB between two good ones."""
    bad: list[dict[Any, Any]] = [
        {"job": "{not json"},
        {"job": b"\xff\xfe\x00"},
        {"something": "else"},
        {"job": "[1, 2]"},
        {"job": json.dumps({"task": "debug", "payload": {}})},
        {"job": json.dumps({"request_id": "x", "task": "no-such-task"})},
        {"job": "[" * 100_000},
        raw("huge", callback_data={"filler": "x" * 600_000}),
    ]
    await by_hand(stand, raw("first"))
    entries = [await by_hand(stand, fields) for fields in bad]
    await by_hand(stand, raw("last"))
    await stand.debug("submitted")
    watcher = await stand.watcher().start()
    assert {record["status"] for record in await stand.ended("first", "last", "submitted")} == {"done"}
    records = await stand.ended(*(f"foreign:stream:{entry}" for entry in entries))
    for record in records:
        assert (record["status"], record["error_type"], record["stage"]) == ("failed", "permanent", "validate")
        assert record["error"]
    assert "JOBS_MAX_JOB_BYTES" in records[-1]["error"]
    assert max(len(json.dumps(record)) for record in records) < 20_000, "only the beginning is kept in the record"
    assert await stand.length("stream") == 0
    assert watcher.tally.done == 3


async def test_the_same_again_is_dropped_and_another_under_its_name_is_set_aside(stand: Stand) -> None:
    """Same content as a finished id: nothing happens; other content: its bytes are kept, its name is not taken."""
    await stand.watcher().start()
    await by_hand(stand, raw("a"))
    (record,) = await stand.ended("a")
    await by_hand(stand, raw("a"))
    await by_hand(stand, raw("a", payload={"message": "another"}))
    await by_hand(stand, raw("b"))
    await stand.ended("b")

    async def told() -> bool:
        return "a" in await stand.told("dropped") and "a" in await stand.told("rejected")

    await wait_until(told)
    assert await stand.record("a") == record
    rejected: Any = await stand.queue.client.xrange(stand.queue.keys.of("rejected"))
    assert [json.loads(fields[b"job"])["payload"] for _, fields in rejected] == [{"message": "another"}]


async def test_a_crowd_of_large_entries_is_taken_in_within_the_limit_of_a_call(stand: Stand) -> None:
    """A call carries at most 512 KiB: forty jobs of 100 KB go in several, all of them."""
    ids = [f"job-{i}" for i in range(40)]
    for each in ids:
        await by_hand(stand, raw(each, callback_data={"filler": "x" * 100_000}))
    await stand.queue.client.config_resetstat()
    await stand.watcher(METAL_CONCURRENCY="8").start()
    await stand.ended(*ids, seconds=30)
    assert await stand.length("stream") == 0
