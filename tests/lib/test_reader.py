"""Views of the queue: what they say is what the scripts wrote, in few round trips and without a write."""

from __future__ import annotations

import asyncio
import functools
import operator
from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.jobqueue.protocol import Progress, Retry
from lib.redisqueue import leasing, overview, producing, reader
from lib.redisqueue.connection import connect
from lib.redisqueue.rows import IndexRow
from lib.redisqueue.submissions import submission_of
from tests.support.hand import HandWatcher, hand_watcher, open_test_queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lib.redisqueue.queue import Queue
    from tests.support.servers import RealServer


@pytest.fixture(params=["valkey_url", "redis7_url"])
def url(request: pytest.FixtureRequest) -> str:
    """Both ends of what is supported."""
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.fixture
async def watcher(url: str, prefix: str) -> AsyncIterator[HandWatcher]:
    """A watcher by hand on an empty queue."""
    async with hand_watcher(url, prefix) as opened:
        yield opened


async def _submit(queue: Queue, *request_ids: str, backlog: str = "default", **fields: object) -> None:
    jobs = [normalize_job_spec({"request_id": each, "task": "debug", **fields}) for each in request_ids]
    await producing.submit(queue, [submission_of(job, BUILT_IN, backlog=backlog) for job in jobs])


async def _commands_during(queue: Queue, work: Any) -> dict[str, int]:
    """How often each command was called while `work` ran."""

    async def calls() -> dict[str, int]:
        stats: dict[str, Any] = await queue.client.info("commandstats")
        return {name: int(about["calls"]) for name, about in stats.items()}

    before = await calls()
    await work
    after = await calls()
    return {name.removeprefix("cmdstat_"): count - before.get(name, 0) for name, count in after.items()}


class TestRows:
    """The index row as Python reads it."""

    def test_a_queued_row(self) -> None:
        """Empty parts are zero or empty."""
        row = IndexRow.parse(b"Q|1700000000000000|0|||stream|5-1|ident||||")
        assert row == IndexRow(
            state="queued",
            generation="1700000000000000",
            attempts_used=0,
            deaths=0,
            crashes=0,
            stream="stream",
            entry="5-1",
            identity="ident",
            session="",
            fence="",
            reason="",
            key="",
        )

    def test_a_key_may_hold_the_separator(self) -> None:
        """The conflict key is last and keeps every bar in it."""
        row = IndexRow.parse(b"L|17|2|1|3|lane:metal:any|5-1|ident|w:run|18|retry|a|b|\xff")
        assert (row.attempts_used, row.deaths, row.crashes, row.session, row.fence) == (2, 1, 3, "w:run", "18")
        assert row.key == "a|b|\udcff"

    @pytest.mark.parametrize("raw", [b"", b"Q|1", b"X|1|0|||s|e|i||||", b"Q|x|0|||s|e|i||||", b'{"state":"Q"}'])
    def test_what_the_scripts_did_not_write(self, raw: bytes) -> None:
        """Is refused, not guessed."""
        with pytest.raises(ValueError, match="not a row"):
            IndexRow.parse(raw)

    async def test_rows_are_what_lua_writes(self, watcher: HandWatcher) -> None:
        """Each state of a real job parses to what was done to it."""
        await _submit(watcher.queue, "a", conflict_key="k|1")
        waiting = await _row(watcher.queue, "a")
        assert (waiting.state, waiting.stream, waiting.key) == ("queued", "stream:normal:any", "k|1")
        (lease,) = await watcher.lease()
        running = await _row(watcher.queue, "a")
        assert (running.state, running.stream, running.session) == ("leased", "lane:metal:any", watcher.session)
        assert (running.fence, running.generation) == (lease.fence, lease.generation)
        await leasing.retry(watcher.queue, watcher.session, [Retry(lease, "attempt", 60_000)])
        delayed = await _row(watcher.queue, "a")
        assert (delayed.state, delayed.reason, delayed.attempts_used) == ("delayed", "retry", 1)


async def _row(queue: Queue, request_id: str) -> IndexRow:
    raw: Any = await queue.client.hget(queue.keys.of("index"), request_id)
    return IndexRow.parse(raw)


async def test_results_in_the_order_asked(watcher: HandWatcher) -> None:
    """Active, finished and unknown ids, each with what is known, in one round trip a page."""
    await _submit(watcher.queue, "done", "failed", "running")
    leases = {lease.request_id: lease for lease in await watcher.lease()}
    await _submit(watcher.queue, "queued", "cancelled")
    await watcher.done(leases["done"], result={"n": 1})
    await watcher.failed(leases["failed"])
    told = Progress("running", leases["running"].fence, b'{"percent":7}')
    await leasing.report_progress(watcher.queue, watcher.session, [told])
    row = await _row(watcher.queue, "cancelled")
    await producing.cancel(watcher.queue, [_cancellation("cancelled", row.generation)])
    asked = ["nobody", "queued", "running", "done", "failed", "cancelled"]
    found = await reader.results(watcher.queue, asked)
    assert [each.request_id for each in found] == asked
    assert [each.status for each in found] == ["not_found", "queued", "leased", "done", "failed", "cancelled"]
    assert found[2].progress == {"percent": 7}
    assert found[3].record is not None
    assert found[3].record["result"] == {"n": 1}
    assert [each.record is None for each in found] == [True, True, True, False, False, False]


def _cancellation(request_id: str, generation: str) -> Any:
    from lib.jobqueue.protocol import Cancellation  # noqa: PLC0415 - beside its one use

    tail = b'"request_id":"%b","status":"cancelled","job":null}' % request_id.encode()
    return Cancellation(request_id, generation, tail)


async def test_no_round_trip_a_job(watcher: HandWatcher) -> None:
    """A thousand ids cost as many commands as two."""
    names = [f"r{i}" for i in range(1000)]
    await _submit(watcher.queue, *names)
    seen = await _commands_during(watcher.queue, reader.results(watcher.queue, names))
    assert seen["hmget"] == 8  # four hashes, two pages
    assert seen.get("hget", 0) == 0
    looks = await _commands_during(watcher.queue, overview.overview(watcher.queue, lease_idle_ms=1000))
    assert sum(count for name, count in looks.items() if name != "info") < 60


async def test_look_finds_payloads_wherever_they_are(watcher: HandWatcher) -> None:
    """In an intake, in a lane and among the delayed; an id without a job has neither row nor payload."""
    await _submit(watcher.queue, "leased")
    await watcher.lease()
    await _submit(watcher.queue, "queued")
    await _submit(watcher.queue, "delayed", run_after="2999-01-01T00:00:00Z")
    looked = await reader.look(watcher.queue, ["leased", "nobody", "delayed", "queued"])
    assert [each.row.state if each.row else None for each in looked] == ["leased", None, "delayed", "queued"]
    for each in looked:
        assert (each.job is None) == (each.row is None)
        assert each.job is None or f'"request_id":"{each.request_id}"'.encode() in each.job
    assert [each.intake for each in looked] == ["stream:high:any", "", "stream:normal:any", "stream:normal:any"]


async def test_look_at_a_lost_payload(watcher: HandWatcher) -> None:
    """An entry that somebody trimmed leaves the row without a job."""
    await _submit(watcher.queue, "a")
    await watcher.queue.client.xtrim(watcher.queue.keys.stream("stream:normal:any"), maxlen=0, approximate=False)
    (looked,) = await reader.look(watcher.queue, ["a"])
    assert looked.row is not None
    assert looked.job is None


async def test_history_goes_on_past_gaps(watcher: HandWatcher) -> None:
    """Hundreds of entries without a record do not hide the older ones."""
    names = [f"r{i:03d}" for i in range(300)]
    await _submit(watcher.queue, *names)
    await watcher.all_done()
    await watcher.queue.client.hdel(watcher.queue.keys.of("result"), *names[10:])
    found = await reader.history(watcher.queue, "all", 5)
    assert [each.request_id for each in found] == ["r009", "r008", "r007", "r006", "r005"]
    assert len(await reader.history(watcher.queue, "done", 1000)) == 10


async def test_failed_ids_are_those_of_failures_alone(watcher: HandWatcher) -> None:
    """Page by page, without the cancelled."""
    names = [f"r{i:04d}" for i in range(reader.PAGE + 3)]
    await _submit(watcher.queue, *names, "done")
    for lease in await watcher.lease(1000):
        await (watcher.done(lease) if lease.request_id == "done" else watcher.failed(lease))
    pages = [page async for page in reader.failed_ids(watcher.queue)]
    assert [len(page) for page in pages] == [reader.PAGE, 3]
    assert sorted(functools.reduce(operator.iadd, pages, [])) == names


async def test_events_as_they_come(watcher: HandWatcher, url: str) -> None:
    """A blocked reader gets what happens after it asked, one event a batch, and nothing twice."""
    blocking = connect(url, block_seconds=5)
    after = await reader.newest_event(watcher.queue)
    assert after == "0-0"
    waiting = asyncio.create_task(reader.wait_for_events(watcher.queue, blocking, after, 5000))
    await _submit(watcher.queue, "a", "b")
    (event,) = await waiting
    assert (event.kind, event.request_ids) == ("queued", ("a", "b"))
    assert await reader.newest_event(watcher.queue) == event.entry
    assert await reader.wait_for_events(watcher.queue, blocking, event.entry, 1) == []
    await blocking.aclose()


async def test_the_totals_are_conserved(watcher: HandWatcher) -> None:
    """Whatever happens to jobs, accepted is the sum of where they are."""
    await _submit(watcher.queue, *"abcdef")
    await _submit(watcher.queue, "late", run_after="2999-01-01T00:00:00Z")
    await _submit(watcher.queue, "other", backlog="night")
    leases = await watcher.lease(4)
    await watcher.done(leases[0])
    await watcher.failed(leases[1])
    document = await overview.overview(watcher.queue, lease_idle_ms=180_000)
    totals = document["totals"]
    assert totals == {
        "submitted": 8,
        "queued": 3,
        "leased": 2,
        "delayed": 1,
        "done": 1,
        "failed": 1,
        "cancelled": 0,
        "outstanding": 6,
    }
    assert document["backlogs"].keys() == {"default", "night"}
    assert document["retry_queue_size"] == 1
    assert document["stream"]["pending"] == 2


async def test_a_lane_without_its_group_is_no_error(watcher: HandWatcher) -> None:
    """A lost group is the sweep's to mend; the view shows what it can."""
    await _submit(watcher.queue, "a")
    await watcher.move_all()
    lane = watcher.queue.keys.stream("lane:metal:any")
    await watcher.queue.client.xgroup_destroy(lane, "watchers")
    document = await overview.overview(watcher.queue, lease_idle_ms=180_000)
    assert document["lanes"]["lane:metal:any"]["waiting"] == 1


async def test_the_rate_is_of_the_last_minutes(watcher: HandWatcher) -> None:
    """Old endings do not count, and a burst in the first second is not blown up to an hour's work."""
    history = watcher.queue.keys.of("history_done")
    seconds, _ = await watcher.queue.client.time()
    now_ms = int(seconds) * 1000
    for age_ms in (3_600_000, 600_000, 120_000, 60_000, 30_000, 1_000):
        await watcher.queue.client.xadd(history, {"id": "x"}, id=f"{now_ms - age_ms}-0")
    document = await overview.overview(watcher.queue, lease_idle_ms=180_000)
    assert document["rate"]["jobs_per_min"] == pytest.approx(2.0, abs=0.1)
    assert document["eta_sec"] == 0


async def test_the_oldest_entry_gives_the_age(watcher: HandWatcher) -> None:
    """By the server's own clock."""
    seconds, _ = await watcher.queue.client.time()
    stream = watcher.queue.keys.stream("stream")
    await watcher.queue.client.xadd(stream, {"job": "{}"}, id=f"{(int(seconds) - 90) * 1000}-0")
    document = await overview.overview(watcher.queue, lease_idle_ms=180_000)
    assert 90 <= document["stream"]["oldest_age_sec"] < 100


async def test_a_server_that_goes_away_is_our_error(own_valkey: RealServer, prefix: str) -> None:
    """No error of the client library leaves the room."""
    from lib.errors import UnreachableError  # noqa: PLC0415 - the error of this test

    async with open_test_queue(own_valkey.url, prefix) as queue:
        await overview.overview(queue, lease_idle_ms=1)
        own_valkey.kill()
        with pytest.raises(UnreachableError):
            await overview.overview(queue, lease_idle_ms=1)
        with pytest.raises(UnreachableError):
            await reader.results(queue, ["a"])
        with pytest.raises(UnreachableError):
            await reader.history(queue, "all", 1)
