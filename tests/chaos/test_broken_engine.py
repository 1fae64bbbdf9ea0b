"""One capability of a watcher is broken for good, and its other work goes on: faults row 25.

Every speech job finds an engine that hangs or fails; jobs that need nothing run on the same watcher, in the same slots.
What is shared is dealt out by turns. So a broken job costs the others at most the time that it has a slot: nothing
where it fails, its deadline where it hangs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue import normalize_job_spec
from lib.redisqueue import producing
from lib.redisqueue.submissions import submission_of
from tests.chaos.yard import CATALOGUE, MODULES
from tests.conformance import truth
from tests.support.bad_speech import TASKS as BROKEN
from tests.support.running import alive
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos

KINDS = CATALOGUE.with_kinds(*(task.kind for task in BROKEN))
ENVIRON = {"JOBS_TASK_MODULES": f"{MODULES},tests.support.bad_speech", "WATCHER_MAX_CRASHES": "1"}
SLOTS = 2
ROOM = 2 * SLOTS
"""METAL_QUEUE_MAX, by default, for each slot: what may be on the way when the turns are dealt."""
PLAIN = 20
FAULTS = {"memory_error": "transient_exhausted", "silent": "permanent", "killed": "poison", "nan": "permanent"}


async def _submit(yard: Yard, *rows: dict[str, Any]) -> None:
    jobs = [submission_of(normalize_job_spec(row, catalogue=KINDS), KINDS) for row in rows]
    assert {reply.code for reply in await producing.submit(yard.queue, jobs)} == {"queued"}


def _speech(yard: Yard, name: str, fault: str, **more: Any) -> dict[str, Any]:
    payload = {"fault": fault, "pid_file": str(yard.home / f"pid-{name}")}
    return {"request_id": f"speech-{name}", "task": "speak_badly", "payload": payload, **more}


def _plain(turn: str) -> list[dict[str, Any]]:
    return [{"request_id": f"plain-{turn}-{i:02}", "task": "debug"} for i in range(PLAIN)]


async def _begun(yard: Yard) -> list[str]:
    """Every start of a body, in order, by the word before the first dash."""
    page: Any = await yard.queue.client.xrange(yard.queue.keys.of("events"))
    starts = [fields[b"ids"] for _, fields in page if fields[b"type"] == b"started"]
    return [request_id.partition("-")[0] for ids in starts for request_id in json.loads(truth.text(ids))]


def _assert_by_turns(begun: list[str]) -> None:
    """While plain jobs waited, no more broken ones had begun than plain ones and the room of the lanes."""
    ahead = 0
    last = len(begun) - begun[::-1].index("plain")
    for name in begun[:last]:
        ahead += 1 if name == "speech" else -1
        assert ahead <= ROOM, begun


async def _all_ended(yard: Yard, rows: list[dict[str, Any]]) -> None:
    ids = {row["request_id"] for row in rows}

    async def ended() -> bool:
        return ids <= (await yard.records()).keys()

    await wait_until(ended, 60, what="the end of every job")


async def test_an_engine_that_fails_on_every_job_holds_nobody_up(yard: Yard) -> None:
    """Faults row 25: hour after hour the broken ones are tried again; the others all end at once, at their first try.

    Broken jobs end typed, each after all its tries; nothing is lost and the watcher is the same as ever.
    """
    broken = [_speech(yard, f"{fault}-{i}", fault, max_attempts=2) for fault in FAULTS for i in range(3)]
    await _submit(yard, *broken, *_plain("first"))
    watcher = await yard.started("watcher", slots=SLOTS, **ENVIRON)
    session = await yard.session("watcher")
    await _all_ended(yard, _plain("first"))
    _assert_by_turns(await _begun(yard))
    due = yard.queue.keys.of("due")
    again = [row["request_id"] for row in broken if row["payload"]["fault"] == "memory_error"]

    async def tried() -> bool:
        return await yard.queue.client.zcard(due) == len(again)

    await wait_until(tried, 60, what="first tries of all that may be tried again")
    await _submit(yard, *_plain("second"))
    # An hour later.
    await yard.queue.client.zadd(due, dict.fromkeys(again, 1), xx=True)
    await _all_ended(yard, [*broken, *_plain("second")])
    records = await yard.records()
    assert {each: records[each]["error_type"] for each in records if each.startswith("speech")} == {
        row["request_id"]: FAULTS[row["payload"]["fault"]] for row in broken
    }
    assert {each: records[each]["attempt"] for each in again} == dict.fromkeys(again, 2)
    plain = [record for each, record in records.items() if each.startswith("plain")]
    assert [(each["status"], each["attempt"]) for each in plain] == [("done", 1)] * 2 * PLAIN
    assert await yard.session("watcher") == session
    assert watcher.running


async def test_an_engine_that_hangs_on_every_job_costs_the_others_its_deadline_at_most(yard: Yard) -> None:
    """Faults row 25: slots are dealt by turns; each broken job gives its slot back at its deadline, its child dead."""
    broken = [_speech(yard, str(i), "hang", max_attempts=1, timeout_seconds=1) for i in range(6)]
    await _submit(yard, *broken, *_plain("all"))
    await yard.started("watcher", slots=SLOTS, **ENVIRON)
    session = await yard.session("watcher")
    await _all_ended(yard, [*broken, *_plain("all")])
    _assert_by_turns(await _begun(yard))
    records = await yard.records()
    for row in broken:
        record = records[row["request_id"]]
        assert (record["error_type"], record["stage"]) == ("timeout", "execute")
        assert not alive(int(Path(row["payload"]["pid_file"]).read_text()))
    assert {records[row["request_id"]]["status"] for row in _plain("all")} == {"done"}
    assert await yard.session("watcher") == session
