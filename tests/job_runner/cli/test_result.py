"""`job-runner result`: one job, in each state that it can be in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lib.jobqueue.protocol import Progress
from lib.jobqueue.records import RecordedOutput
from lib.redisqueue import leasing

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner, Outcome
    from tests.support.hand import HandWatcher

WAV = RecordedOutput("take_01.wav", "take", "file:///out/.store/x/take_01.wav", 1234, "0" * 64)


def test_not_found(runner: JobRunner) -> None:
    """Exit code 4; the document still says what was asked."""
    missing = runner("result", "nobody", "--json")
    assert missing.code == 4
    assert missing.document == {"schema_version": 1, "request_id": "nobody", "status": "not_found", "record": None}
    assert runner("result", "nobody").err == (
        "error: no job 'nobody'\nhint: `job-runner history` lists the newest finished ones, `status` what waits\n"
    )


def test_queued(runner: JobRunner, three: str) -> None:
    """Where it waits."""
    runner("enqueue", three)
    assert runner("result", "nap").out == (
        "request_id:    nap\nstatus:        queued\nattempt:       1\nwaits in:      stream:normal:any\n"
        "in line:       number 1\n"
    )
    assert runner("result", "nap", "--json").document == {
        "schema_version": 1,
        "request_id": "nap",
        "status": "queued",
        "record": None,
        "position": 1,
        "eta": None,
    }


def test_running_with_progress(runner: JobRunner) -> None:
    """Which watcher has it and how far it is."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))

    async def half_way(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        told = Progress(lease.request_id, lease.fence, b'{"percent":50,"message":"half \\u001b[31m way"}')
        await leasing.report_progress(watcher.queue, watcher.session, [told])

    runner.by_hand(half_way)
    assert runner("result", "a").out == (
        "request_id:    a\n"
        "status:        leased\n"
        "attempt:       1\n"
        "watcher:       hand\n"
        "progress:      50 % half \\x1b[31m way\n"
    )
    assert runner("result", "a", "--json").document["progress"]["percent"] == 50


def test_delayed(runner: JobRunner) -> None:
    """What it waits for."""
    runner("enqueue", runner.file("- {request_id: a, task: debug, run_after: 2999-01-01T00:00:00Z}\n"))
    assert runner("result", "a").out == (
        "request_id:    a\nstatus:        delayed\nattempt:       1\nwaits for:     its time\n"
    )


def test_done(runner: JobRunner) -> None:
    """Its outputs, times and result; the JSON holds the whole record."""
    runner("enqueue", runner.file("- {output_name: a/b, voice: newsroom, text: Hi}\n"))

    async def finish(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        await watcher.done(lease, outputs=[WAV], result={"said": "Hi"})

    runner.by_hand(finish)
    shown = runner("result", "a:b")
    assert shown.code == 0
    assert shown.settled == (
        "request_id:    a:b\n"
        "status:        done\n"
        "take:          /out/.store/x/take_01.wav\n"
        "task:          speak\n"
        "backend:       metal\n"
        "attempt:       1\n"
        "queued_at:     <time>\n"
        "completed_at:  <time>\n"
        "took:          1.5 s\n"
        "said:          Hi\n"
    )
    record = runner("result", "a:b", "--json").document["record"]
    assert record["outputs"]["takes"][0]["sha256"] == "0" * 64
    assert record["generation"] > 0
    assert record["callback_data"] == {}


def test_the_published_file_comes_first_and_the_result_is_readable(runner: JobRunner) -> None:
    """The path to open stands above everything; a task's fields are lines, not a blob."""
    runner("enqueue", runner.file("- {output_name: a/b, voice: newsroom, text: Hi}\n"))
    spoken = {
        "model": {"engine": "hibari", "voice": None, "sample_rate": 24000},
        "ignored_fields": [],
        "substituted_voice": None,
        "selected_take": 1,
        "takes": [{"file": "take_01.wav", "seconds": 2.5}],
        "said": "two\nlines",
    }

    async def finish(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        await watcher.done(lease, outputs=[WAV], result=spoken, published=lambda name: f"file:///out/a%20b/{name}")

    runner.by_hand(finish)
    lines = runner("result", "a:b").out.splitlines()
    assert lines[2] == "take:          /out/a b/take_01.wav"
    assert lines[-4:] == [
        "model:         engine hibari, sample_rate 24000",
        "selected_take: 1",
        "takes:         file take_01.wav, seconds 2.5",
        "said:          two\\nlines",
    ]


def _annotated(runner: JobRunner, failed: list[dict[str, str]], cost: dict[str, Any] | None) -> Outcome:
    """What is shown of the record that a batch of one leaves."""
    made = {"version": "v1", "records": 1, "annotated": 1 - len(failed), "failed": failed, "asked": 1}
    record = {"request_id": "a", "status": "done", "task": "annotate", "backend": "cloud", "result": made, "cost": cost}

    async def leave(watcher: HandWatcher) -> None:
        queue = watcher.queue
        await queue.client.hset(queue.keys.of("result"), "a", json.dumps(record))

    runner.by_hand(leave)
    return runner("result", "a")


def test_an_annotate_job_shows_its_cost_and_what_next(runner: JobRunner) -> None:
    """In dollars, to the last digit that counts; and where the annotations are handed out."""
    shown = _annotated(runner, [], {"usd": 0.00042})
    assert "cost:          $0.00042\n" in shown.out
    assert shown.err == (
        "next: `job-runner workflow gap-fill export --corpus CORPUS --version v1` hands out the annotations\n"
    )


def test_an_annotate_job_that_was_free_says_so(runner: JobRunner) -> None:
    """And how what failed in it is planned again."""
    shown = _annotated(runner, [{"id": "r1", "error": "no answer"}], None)
    assert "cost:          nothing was paid\n" in shown.out
    assert "records failed: `job-runner workflow gap-fill plan … --retry-failed` with the flags of" in shown.err


def test_a_share_of_a_machines_bill_says_what_it_is(runner: JobRunner) -> None:
    """The bill is more than its shares, and who adds them up must know."""
    share = {"usd": 0.000321, "share_of": "cafe0000cafe", "seconds": 3.21, "usd_per_hour": 0.36}
    said = "$0.000321, its share of 3.21 s of rented machine cafe0000cafe; start-up and idle time are in the bill"
    assert f"cost:          {said}\n" in _annotated(runner, [], share).out


def test_what_was_made_already_says_that_nothing_was_paid(runner: JobRunner) -> None:
    """As its record does, with a cost of 0; a job that nobody could be paid for says nothing of it."""

    async def leave(watcher: HandWatcher) -> None:
        for name, cost in (("a", {"cost": {"usd": 0.0}}), ("b", {})):
            record = {"request_id": name, "status": "done", "task": "speak", "backend": "metal", **cost}
            await watcher.queue.client.hset(watcher.queue.keys.of("result"), name, json.dumps(record))

    runner.by_hand(leave)
    assert "cost:          nothing was paid\n" in runner("result", "a").out
    assert "cost" not in runner("result", "b").out


def test_failed_says_why_and_what_next(runner: JobRunner) -> None:
    """The error, typed and placed; exit code 0, since the question was answered."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))

    async def fail(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        await watcher.failed(lease, "no such voice: 'x'\x1b[2J")

    runner.by_hand(fail)
    shown = runner("result", "a")
    assert shown.code == 0
    assert shown.settled == (
        "request_id:    a\n"
        "status:        failed\n"
        "task:          debug\n"
        "attempt:       1\n"
        "error_type:    permanent\n"
        "stage:         execute\n"
        "error:         no such voice: 'x'\\x1b[2J\n"
        "failed_at:     <time>\n"
    )
    assert shown.err == (
        "failed for good: mend it in FILE, then `job-runner enqueue FILE --replace`; "
        "if the cause was elsewhere and is mended: `job-runner retry a`\n"
    )


def test_a_record_that_somebody_damaged_is_shown(runner: JobRunner) -> None:
    """One broken record is no reason to end with a traceback."""

    async def damage(watcher: HandWatcher) -> None:
        await watcher.queue.client.hset(watcher.queue.keys.of("result"), "a", b"{not json \xff")

    runner.by_hand(damage)
    found = runner("result", "a", "--json")
    assert found.code == 0
    assert found.document["record"] == {"unreadable": "{not json \\xff"}


def test_a_published_file_that_is_gone_is_shown_where_it_is_stored(runner: JobRunner) -> None:
    """A path that cannot be opened helps nobody while the bytes are there."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))
    stored = runner.home / "store" / "take_01.wav"
    stored.parent.mkdir()
    stored.write_bytes(b"RIFF")
    published = runner.home / "output" / "take_01.wav"
    output = RecordedOutput("take_01.wav", "take", stored.as_uri(), 4, "0" * 64)

    async def done(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        await watcher.done(lease, outputs=[output], published=lambda _: published.as_uri())

    runner.by_hand(done)
    assert f"take:          {stored}\n" in runner("result", "a").out
    published.parent.mkdir()
    published.write_bytes(b"RIFF")
    assert f"take:          {published}\n" in runner("result", "a").out


def test_a_file_that_is_gone_is_said(runner: JobRunner) -> None:
    """Behind the status and the path, in the JSON, and with what can be done; an answer all the same: exit 0."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))
    stored = runner.home / "take_01.wav"
    output = RecordedOutput("take_01.wav", "take", stored.as_uri(), 4, "0" * 64)

    async def done(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        await watcher.done(lease, outputs=[output])

    runner.by_hand(done)
    shown = runner("result", "a")
    assert shown.code == 0
    assert shown.out.splitlines()[1:3] == ["status:        done (file missing)", f"take:          {stored}  (missing)"]
    assert shown.err.startswith("file missing: what 1 job made is not on this machine any more")
    document = runner("result", "a", "--json").document
    assert document["status"] == "done"
    assert document["record"]["outputs"]["takes"][0]["missing"] is True
    stored.write_bytes(b"RIFF")
    assert "missing" not in runner("result", "a").out


def test_a_cancelled_job_is_not_told_as_a_failure(runner: JobRunner) -> None:
    """No kind of error and no stage, which would send people to mend a sound job; the record keeps its shape."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))
    runner("cancel", "a", "--yes")
    assert [line.partition(":")[0] for line in runner("result", "a").out.splitlines()] == [
        "request_id",
        "status",
        "task",
        "attempt",
        "error",
        "cancelled_at",
    ]
    assert runner("result", "a", "--json").document["record"]["error_type"] == "permanent"
