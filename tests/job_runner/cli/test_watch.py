"""`job-runner watch`: lines into a pipe, a picture on a terminal."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

from rich.console import Console

from job_runner.cli.live import drawn
from job_runner.cli.watch import _Lines
from job_runner.service.watching import Snapshot, snapshots
from lib.command_line.output import Output
from lib.jobqueue.protocol import Progress
from lib.redisqueue import leasing, reader
from lib.redisqueue.connection import connect
from lib.redisqueue.overview import overview
from lib.settings import Settings
from tests.job_runner.conftest import PROGRAM
from tests.support.hand import hand_watcher, open_test_queue

if TYPE_CHECKING:
    import pytest

    from lib.redisqueue.queue import Queue
    from tests.job_runner.conftest import JobRunner
    from tests.support.servers import RealServer


def test_until_empty_ends_at_once_on_an_empty_queue(runner: JobRunner) -> None:
    """Nothing to wait for: one line, exit code 0."""
    shown = runner("watch", "--until-empty")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == "0 queued, 0 leased, 0 delayed, 0 done, 0 failed, 0 cancelled\n"


def test_redis_down_at_the_start(runner: JobRunner) -> None:
    """Exit code 3: there is nothing to watch."""
    assert runner("watch", "--redis-url", "redis://127.0.0.1:1/0").code == 3


def _settings(url: str, prefix: str) -> Settings:
    return Settings.load({"REDIS_URL": url, "JOBS_PREFIX": prefix, "HOME": "/tmp"})  # noqa: S108 - nothing is written


async def test_snapshots_follow_the_events(valkey_url: str, prefix: str, runner: JobRunner) -> None:
    """Each change comes with what happened, progress included, until nothing is left."""
    jobs = runner.file("- {request_id: a, task: debug}\n")
    await asyncio.to_thread(runner, "enqueue", jobs)
    blocking = connect(valkey_url, block_seconds=2)
    async with hand_watcher(valkey_url, prefix) as watcher:
        following = snapshots(watcher.queue, blocking, _settings(valkey_url, prefix))
        first = await anext(following)
        assert first.document["totals"]["queued"] == 1
        assert not first.empty

        (lease,) = await watcher.lease()
        told = Progress("a", lease.fence, b'{"percent":40,"message":"half"}')
        await leasing.report_progress(watcher.queue, watcher.session, [told])
        running = await _next_with(following, "progress")
        assert running.progress == {"a": {"percent": 40, "message": "half"}}

        await watcher.done(lease)
        last = await _next_with(following, "done")
        assert last.empty
        assert last.progress == {}
        await following.aclose()  # type: ignore[attr-defined]  # it is an async generator
    await blocking.aclose()


async def test_a_callback_that_was_given_up_says_where_and_why(runner: JobRunner) -> None:
    """Into a pipe: the id, the host and the reason, as the page on callbacks says."""
    async with open_test_queue(runner.url, runner.prefix) as queue:
        fields = {"type": "delivery_failed", "ids": '["a"]', "host": "x.example", "why": "it answered 500\x1b[2J"}
        await queue.client.xadd(queue.keys.of("events"), fields)  # type: ignore[arg-type]  # redis-py's are invariant
        (event,) = await reader.events_after(queue, "0-0")
        document = await overview(queue, lease_idle_ms=1000)
    runner.capture.readouterr()
    _Lines(Output())(Snapshot(document, {}, (event,)))
    assert runner.capture.readouterr().out.splitlines()[0] == (
        r"delivery_failed: a (x.example: it answered 500\x1b[2J)"
    )


async def _next_with(following: object, kind: str) -> Snapshot:
    async for snapshot in following:  # type: ignore[attr-defined]  # an async iterator of snapshots
        if any(event.kind == kind for event in snapshot.events):
            assert isinstance(snapshot, Snapshot)
            return snapshot
    raise AssertionError("it ended")


async def test_an_empty_queue_has_told_of_its_last_end(
    valkey_url: str, prefix: str, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops at the first empty snapshot has heard of every job, however the reads fall."""
    jobs = runner.file("- {request_id: a, task: debug}\n")
    await asyncio.to_thread(runner, "enqueue", jobs)
    blocking = connect(valkey_url, block_seconds=2)
    async with hand_watcher(valkey_url, prefix) as watcher:
        following = snapshots(watcher.queue, blocking, _settings(valkey_url, prefix))
        await anext(following)
        await watcher.move_all()

        async def late_overview(queue: Queue, **limits: Any) -> dict[str, Any]:
            # The job ends between the event that woke the reader and the figures.
            await watcher.all_done()
            return await overview(queue, **limits)

        monkeypatch.setattr("job_runner.service.watching.overview", late_overview)
        snapshot = await anext(following)
        assert snapshot.empty
        assert ("done", ("a",)) in [(event.kind, event.request_ids) for event in snapshot.events]
        await following.aclose()  # type: ignore[attr-defined]  # it is an async generator
    await blocking.aclose()


async def test_it_goes_on_after_an_outage(own_valkey: RealServer, prefix: str) -> None:
    """While the server is away the last figures stay with the trouble; then it goes on by itself."""
    blocking = connect(own_valkey.url, block_seconds=2)
    async with hand_watcher(own_valkey.url, prefix) as watcher:
        following = snapshots(watcher.queue, blocking, _settings(own_valkey.url, prefix))
        await anext(following)
        await asyncio.to_thread(own_valkey.kill)
        while not (seen := await anext(following)).trouble:
            pass
        assert "does not answer" in seen.trouble
        await asyncio.to_thread(own_valkey.start)
        while (seen := await anext(following)).trouble:
            pass
        assert seen.empty
        await following.aclose()  # type: ignore[attr-defined]  # it is an async generator
    await blocking.aclose()


def _document() -> dict[str, Any]:
    totals = {"queued": 2, "leased": 1, "delayed": 0, "done": 5, "failed": 1, "cancelled": 0, "outstanding": 3}
    lane = {"backend": "metal", "capability": "speech", "running": 1, "waiting": 1, "length": 2}
    return {
        "totals": totals,
        "outbox": {"publish": 0},
        "lanes": {"lane:metal:speech": lane},
        "rate": {"jobs_per_min": 30.0, "cloud_moves_in_window": 0, "cloud_per_min": 2.0},
        "eta_sec": 6,
        "pools": [],
        "instances": [],
        "spend": {"today_usd": 0.0, "reserved_usd": 0.0, "budget_usd": None},
    }


def _drawn(snapshot: Snapshot) -> str:
    console = Console(file=io.StringIO(), width=80, no_color=True, force_terminal=False)
    console.print(drawn(snapshot))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_picture() -> None:
    """Bars, lanes, totals, rate and ETA; an id cannot drive the terminal."""
    progress = {"story:one\x1b[2J": {"percent": 50, "message": "take 1 of 2"}}
    text = _drawn(Snapshot(_document(), progress))
    assert "story:one\\x1b[2J" in text
    assert " 50 %  take 1 of 2" in text
    assert "metal speech: 1 running, 1 waiting" in text
    assert "2 queued  1 leased  0 delayed  5 done  1 failed  0 cancelled\n30 jobs/min  ETA 6.0 s\n" in text
    assert "\x1b" not in text


def test_the_picture_stays_small() -> None:
    """More running jobs than bars are a number."""
    progress = {f"r{i:02d}": {"percent": i} for i in range(20)}
    text = _drawn(Snapshot(_document(), progress))
    assert "r11" in text
    assert "r12" not in text
    assert "and 8 more" in text


def _paid(**changes: Any) -> dict[str, Any]:
    pool = {"key": "k", "model": "gemini-2.5-flash", "closed_sec": 17.0, "why": "429", "requests_last_min": 9}
    return {
        **_document(),
        "rate": {"jobs_per_min": 30.0, "cloud_moves_in_window": 2, "cloud_per_min": 2.0},
        "pools": [pool | {"tokens_last_min": 700}],
        "spend": {"today_usd": 0.12, "reserved_usd": 0.01, "budget_usd": 3.0},
        "eta": {"p50_sec": 90.0, "p90_sec": 110.0},
    } | changes


def test_the_picture_of_what_is_paid_for() -> None:
    """Spend against the budget, the limit of jobs a minute, what closed the API, and an ETA that was measured."""
    text = _drawn(Snapshot(_paid(), {}))
    assert "ETA 1:30 (p90 1:50)  today $0.1200 of $3.00, $0.0100 more reserved\n" in text
    assert "cloud: 2 jobs in the last minute, 2 a minute allowed\n" in text
    assert "cloud: gemini-2.5-flash is closed for 17.0 s: 429\n" in text


def test_a_line_when_money_is_spent_or_the_cloud_closes(capsys: pytest.CaptureFixture[str]) -> None:
    """Once a change, not once a look; and when it is open again."""
    lines = _Lines(Output())
    seconds_later = _paid(pools=[{**_paid()["pools"][0], "closed_sec": 15.0}])
    open_again = _paid(pools=[{**_paid()["pools"][0], "closed_sec": 0.0}])
    for document in (_document(), _paid(), seconds_later, open_again, open_again, _document()):
        lines(Snapshot(document, {}))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "spent today: $0.1200 of $3.00, gemini-2.5-flash is closed",
        "spent today: $0.1200 of $3.00",
        "nothing is closed, nothing spent today",
    ]


def _rented(*machines: dict[str, Any]) -> dict[str, Any]:
    """Two that work and have 34 jobs between them, and those that are given."""
    working = {
        "state": "draining",
        "damaged": False,
        "owner_alive": True,
        "jobs": 6,
        "usd": 0.005,
        "usd_per_hour": 0.36,
    }
    lane = {"backend": "vast", "capability": "speech", "running": 34, "waiting": 0, "length": 34}
    document = _document()
    lanes = {**document["lanes"], "lane:vast:speech": lane}
    return document | {"instances": [working, working, *(working | each for each in machines)], "lanes": lanes}


def test_the_picture_of_rented_machines() -> None:
    """How they are, what they have in hand and have done, and their dollars; nothing where none is rented."""
    document = _rented({"state": "loading", "jobs": 0, "usd": 0.0, "owner_alive": False})
    text = " ".join(_drawn(Snapshot(document, {})).split())
    assert (
        "rented: 3 machines (2 draining, loading), 34 jobs in hand, 12 done, $0.0100 at $1.080 an hour, "
        "1 without a watcher"
    ) in text
    unknown = dict.fromkeys(("state", "owner_alive", "jobs", "usd", "usd_per_hour"))
    assert "(2 draining, damaged), 34 jobs" in _drawn(Snapshot(_rented({**unknown, "damaged": True}), {}))
    assert "rented" not in _drawn(Snapshot(_document(), {}))


def test_a_line_when_the_state_of_a_rented_machine_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """Not with each cent."""
    lines = _Lines(Output())
    dearer = _rented({"state": "loading", "usd": 1.0})
    for document in (_document(), _rented({"state": "loading"}), dearer, _rented(), _document()):
        lines(Snapshot(document, {}))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "rented: 3 machines (2 draining, loading), 34 jobs in hand, 18 done, $0.0150 at $1.080 an hour",
        "rented: 2 machines (2 draining), 34 jobs in hand, 12 done, $0.0100 at $0.720 an hour",
        "nothing is rented",
    ]


async def test_lines_into_a_pipe(valkey_url: str, prefix: str, runner: JobRunner) -> None:
    """Into a pipe each change is a line, and --until-empty ends it when the last job is done."""
    jobs = runner.file("- {request_id: a, task: debug}\n")
    await asyncio.to_thread(runner, "enqueue", jobs)
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, "watch", "--until-empty"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    first = await process.stdout.readline()
    async with hand_watcher(valkey_url, prefix) as watcher:
        await watcher.all_done()
        rest, errors = await process.communicate()
    assert process.returncode == 0
    assert first == b"1 queued, 0 leased, 0 delayed, 0 done, 0 failed, 0 cancelled\n"
    lines = rest.decode().splitlines()
    assert "done: a" in lines
    assert lines[-1] == "0 queued, 0 leased, 0 delayed, 1 done, 0 failed, 0 cancelled"
    assert errors == b""
