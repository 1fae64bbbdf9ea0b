"""Calls that are sent before the reply to the one before has come: in order, and no reply is taken for another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import QueueError, UnreachableError
from lib.redisqueue import producing
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import BATCH_MAX_JOBS, Queue
from lib.redisqueue.scripts import load
from tests.conformance.stage import submission
from tests.support.proxy import FaultProxy

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

MANY = 2 * BATCH_MAX_JOBS + 1


def call(queue: Queue, request_id: str) -> dict[str, Any]:
    """The arguments of a submit of one job."""
    job = submission(request_id)
    queue.know_intakes([job.intake])
    return {
        "intakes": queue.intakes,
        "common": [(1, job.intake, job.backlog, 0, "", "refuse", 0, "", 0)],
        "rows": [(job.request_id, job.identity, job.job)],
        "mode": "new",
    }


async def intake_ids(queue: Queue) -> list[tuple[bytes, bytes]]:
    """(entry id, request_id) of everything in the inlet."""
    page: Any = await queue.client.xrange(queue.keys.stream("stream"))
    return [(entry, fields[b"id"]) for entry, fields in page]


async def test_batches_are_accepted_in_their_order(stage: Stage) -> None:
    """What is named twice is accepted where it stands first, though the second stands in another batch."""
    jobs = [submission(f"j{i:04d}") for i in range(MANY)]
    again = submission("j0000", content="other")
    replies = await stage.submit(*jobs, again)
    assert [reply.code for reply in replies] == ["queued"] * MANY + ["conflict"]
    assert [reply.request_id for reply in replies] == [*(job.request_id for job in jobs), "j0000"]
    assert [name.decode() for _, name in await intake_ids(stage.queue)] == [job.request_id for job in jobs]


async def test_a_server_that_forgets_its_scripts_is_told_them_again_in_order(stage: Stage) -> None:
    """Faults row 14: SCRIPT FLUSH before the first call, and between two of which the second is under way."""
    queue = stage.queue
    await queue.client.script_flush()
    async with queue.scripts.one_ahead() as conversation:
        replies = []
        for request_id in ("a", "b", "c"):
            replies += await conversation.call("submit", **call(queue, request_id))
            if request_id == "b":
                await queue.client.script_flush()
        replies += await conversation.rest()
    entries = await intake_ids(queue)
    assert [name for _, name in entries] == [b"a", b"b", b"c"]
    assert [reply[0] for reply in replies] == [entry for entry, _ in entries]


async def test_a_script_that_somebody_else_sends_again_answers_each_call_its_own(stage: Stage) -> None:
    """The second call may be run before the first: both are in, and the replies keep the order of the calls."""
    queue = stage.queue
    script = load("submit", flags=stage.server != "fakeredis")
    await queue.client.script_flush()
    async with queue.scripts.one_ahead() as conversation:
        replies = await conversation.call("submit", **call(queue, "a"))
        await queue.client.script_load(script.text)
        replies += await conversation.call("submit", **call(queue, "b"))
        replies += await conversation.rest()
    entries = {name: entry for entry, name in await intake_ids(queue)}
    assert [reply[0] for reply in replies] == [entries[b"a"], entries[b"b"]]


async def test_what_breaks_off_leaves_no_reply_for_the_next_command(real_stage: Stage) -> None:
    """Faults row 22: a caller that fails with a call under way hands no connection back that still has an answer."""
    queue = real_stage.queue

    async def fails_ahead() -> None:
        async with queue.scripts.one_ahead() as conversation:
            await conversation.call("submit", **call(queue, "a"))
            await conversation.call("submit", **{**call(queue, "b"), "rows": [("b",)]})

    with pytest.raises(QueueError, match="a row has 1 fields, not 3"):
        await fails_ahead()
    assert await queue.client.echo("mine") == b"mine"


async def test_a_lost_reply_in_the_middle_is_harmless(real_stage: Stage) -> None:
    """Faults row 1: the reply to a batch is lost while the next one is under way; sent again, each job is in once."""
    jobs = [submission(f"j{i:04d}") for i in range(MANY)]
    port = int(real_stage.queue.url.rpartition(":")[2].partition("/")[0])
    async with FaultProxy(port) as proxy:
        client = connect(proxy.url)
        seen = Queue.over(client, proxy.url, real_stage.queue.keys.prefix)
        await seen.refresh_streams()
        trap = proxy.trap_reply(b"EVALSHA", skip=1)
        with pytest.raises(UnreachableError):
            await producing.submit(seen, jobs)
        assert trap.caught.is_set()
        codes = {reply.code for reply in await producing.submit(seen, jobs)}
        await client.aclose()
    assert codes <= {"queued", "duplicate_request"}
    assert "duplicate_request" in codes
    assert await real_stage.queue.client.xlen(real_stage.queue.keys.stream("stream")) == MANY
