"""Answers to leases: sent until the server has said something, recorded once, and never for somebody else's job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loguru import logger

from job_watcher.outcomes import Tally
from tests.job_watcher.watching import Gate
from tests.support.proxy import FaultProxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Ending, Retry
    from tests.job_watcher.watching import Stand
    from tests.support.servers import RealServer


class Told:
    """Hears what the outcomes tell."""

    def __init__(self) -> None:
        self.ended_ids: list[str] = []
        self.delayed_ids: list[str] = []
        self.stopped_ids: list[str] = []

    def ended(self, ending: Ending) -> None:
        """A job ended."""
        self.ended_ids.append(ending.request_id)

    def delayed(self, retry: Retry) -> None:
        """A job is tried again."""
        self.delayed_ids.append(retry.lease.request_id)

    def stopped(self, request_id: str) -> None:
        """A job is somebody else's."""
        self.stopped_ids.append(request_id)


async def test_a_lost_commit_reply_is_answered_already_and_published(stand: Stand, valkey: RealServer) -> None:
    """The commit was applied, its reply lost: sent again, one record, counted once, and its outputs get their name."""
    gate = Gate(real=True)
    async with FaultProxy(valkey.port) as proxy:
        watcher = await stand.watcher(execution=gate, url=proxy.url).start()
        # The server knows the commit's script from here on: the reply that is dropped is that of a commit.
        gate.let("before")
        await stand.debug("before")
        await wait_until(lambda: watcher.tally.done == 1)
        job = {"request_id": "a", "output_name": "a", "task": "write_output_inline"}
        await stand.submit({**job, "payload": {"files": {"best.wav": "x"}}})
        await wait_until(lambda: gate.running)
        trap = proxy.trap_reply(b'"completed_at":', then="reset")
        gate.open.set()
        await wait_until(trap.caught.is_set, what="the reply of the commit was dropped")
        (record,) = await stand.ended("a")
        await wait_until(lambda: watcher.tally.done == 2)
        assert watcher.tally == Tally(done=2)
        assert record["fence"] == int(gate.begun[1].fence)
        assert gate.ids() == ["before", "a"]
        assert await stand.told("done") == ["before", "a"]

        async def published() -> bool:
            return await stand.outbox() == 0

        await wait_until(published, 5, what="the outbox is empty although the commit's reply named no entry")
        assert (stand.directory / "output" / "a" / "best.wav").read_text() == "x"
        await watcher.finish()


async def test_results_are_kept_while_the_server_is_away(stand: Stand, valkey: RealServer) -> None:
    """Bodies that end meanwhile are committed when it is back, as far as their session still stands."""
    gate = Gate()
    async with FaultProxy(valkey.port) as proxy:
        watcher = await stand.watcher(
            execution=gate, url=proxy.url, METAL_CONCURRENCY="3", WATCHER_SESSION_TTL="60"
        ).start()
        await stand.debug("a", "b", "c")
        await wait_until(lambda: len(gate.running) == 3)
        await proxy.refuse()
        gate.open.set()
        await wait_until(lambda: not gate.running and watcher.life.in_hand.unanswered == 0)
        assert len(watcher.life.in_hand.leases()) == 3, "answered only when the queue has the record"
        assert await stand.record("a") is None
        await proxy.listen()
        records = await stand.ended("a", "b", "c")
        assert {record["attempt"] for record in records} == {1}
        assert len(gate.begun) == 3
        await wait_until(lambda: watcher.tally.done == 3)
        await watcher.finish()


async def test_an_ending_that_is_refused_is_dropped(stand: Stand) -> None:
    """A job that was cancelled in the last moment keeps its record; the late ending is counted nowhere."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    told = Told()
    watcher.life.outcomes.listeners.append(told)
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    watcher.life.in_hand.stop = lambda _fence: None  # type: ignore[method-assign,assignment]  # no word reaches the body in time
    assert await stand.cancel("a") == "cancelled"
    gate.open.set()
    await wait_until(lambda: not watcher.life.in_hand.leases())
    (record,) = await stand.ended("a")
    assert record["status"] == "cancelled"
    assert watcher.tally == Tally()
    assert told.ended_ids == []
    assert told.stopped_ids == ["a"]


async def test_what_is_stopped_is_told(stand: Stand) -> None:
    """Cancelled, and handed back at a second signal: whoever shows a job must not show it for ever."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="2").start()
    told = Told()
    watcher.life.outcomes.listeners.append(told)
    await stand.debug("a", "b")
    await wait_until(lambda: len(gate.running) == 2)
    assert await stand.cancel("a") == "cancelled"
    await wait_until(lambda: told.stopped_ids == ["a"])
    await watcher.finish(hurry=True)
    assert told.stopped_ids == ["a", "b"]
    assert (told.ended_ids, told.delayed_ids) == ([], [])


async def test_cancel_and_finish_race_to_one_winner(stand: Stand) -> None:
    """Row 24: many races, each with exactly one record, which is what the loser was told."""
    await stand.watcher(METAL_CONCURRENCY="4", METAL_QUEUE_MAX="20").start()
    ids = [f"job-{i}" for i in range(40)]
    await stand.debug(*ids)
    codes = {each: await stand.cancel(each) for each in ids}
    records = {record["request_id"]: record for record in await stand.ended(*ids)}
    for each, code in codes.items():
        assert records[each]["status"] == ("cancelled" if code == "cancelled" else "done")
    assert sorted(await stand.told("done") + await stand.told("cancelled")) == sorted(ids)


async def test_what_the_commit_has_taken_is_not_told_again_when_the_retries_fail(
    stand: Stand, valkey: RealServer
) -> None:
    """One batch with an ending and a retry whose reply is lost: the ending is counted and told once."""
    gate = Gate(real=True)
    async with FaultProxy(valkey.port) as proxy:
        watcher = await stand.watcher(execution=gate, url=proxy.url, METAL_CONCURRENCY="2").start()
        told = Told()
        watcher.life.outcomes.listeners.append(told)
        await stand.submit(
            {"request_id": "good", "task": "debug", "payload": {}},
            {"request_id": "bad", "task": "fail_temporary", "payload": {}, "max_attempts": 2},
        )
        await wait_until(lambda: len(gate.running) == 2)
        outcomes = watcher.life.outcomes
        both = {gate.begun[0].request_id, gate.begun[1].request_id}
        assert both == {"good", "bad"}
        trap = proxy.trap_reply(b"$7\r\nattempt\r\n", then="reset")
        gate.let("good")
        gate.let("bad")
        await wait_until(trap.caught.is_set)
        await stand.ended("good", "bad")
        await wait_until(lambda: outcomes.tally.failed == 1)
        assert told.ended_ids.count("good") == 1
        assert watcher.tally.done == 1
        await watcher.finish()


async def test_a_temporary_failure_is_delayed_and_comes_back(stand: Stand) -> None:
    """The retry is one step; the attempt is counted; at the last one it is a failure for good."""
    watcher = await stand.watcher().start()
    told = Told()
    watcher.life.outcomes.listeners.append(told)
    await stand.submit({"request_id": "a", "task": "fail_temporary", "payload": {}, "max_attempts": 3})
    (record,) = await stand.ended("a")
    assert (record["status"], record["error_type"], record["attempt"]) == ("failed", "transient_exhausted", 3)
    await wait_until(lambda: told.ended_ids == ["a"])
    assert told.delayed_ids == ["a", "a"]
    assert watcher.tally == Tally(failed=1, delayed=2)


async def test_the_log_says_how_it_ended_and_why(stand: Stand) -> None:
    """A failure with its type, stage and error; done with how long it took, whatever a result may hold."""
    said: list[tuple[str, dict[str, Any]]] = []
    sink = logger.add(lambda message: said.append((message.record["message"], message.record["extra"])), level="INFO")
    watcher = await stand.watcher().start()
    await stand.submit(
        {"request_id": '"duration_sec":7', "task": "debug", "payload": {"message": '"duration_sec":9'}},
        {"request_id": "b", "task": "fail_permanent", "payload": {"message": "no such {voice}"}},
        {"request_id": "c", "task": "fail_temporary", "payload": {}, "max_attempts": 2},
    )
    await stand.ended('"duration_sec":7', "b", "c")
    await watcher.finish()
    logger.remove(sink)
    (took,) = [extra["seconds"] for message, extra in said if message == "done"]
    record = await stand.record('"duration_sec":7')
    assert record is not None
    assert took == record["duration_sec"]
    why = {extra["request_id"]: extra for message, extra in said if message == "failed"}
    assert (why["b"]["error_type"], why["b"]["stage"]) == ("permanent", "execute")
    assert "no such {voice}" in why["b"]["error"]
    assert why["c"]["error_type"] == "transient_exhausted"
    assert [extra["kind"] for message, extra in said if message.startswith("again in ")] == ["attempt"]
