"""`verify` believes no record: it looks at what each task was asked for, and at what it says that it did."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from job_runner.service import verifying

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.jobqueue.protocol import Lease
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher

PLAN = """\
    {"task": "debug", "args": ["hello"], "meta": {"id": "echo", "plan": "p"}}
    {"task": "sleep", "args": [2.5], "meta": {"id": "nap", "plan": "p"}}
    {"task": "fast_crud", "args": [{"a": 1}], "meta": {"id": "round", "plan": "p"}}
    """
SOUND: dict[str, dict[str, Any]] = {
    "echo": {"message": "hello", "attempt": 1},
    "nap": {"slept_seconds": 2.5},
    "round": {"lifecycle": ["created", "read", "updated", "verified", "deleted", "confirmed_gone"]},
}


@pytest.fixture
def manifest(runner: JobRunner) -> str:
    """Three tasks, dispatched to a backlog of their own."""
    name = runner.file(PLAN, "m.jsonl")
    assert runner("dispatch", name, "--target", "backlog:gap_fill").code == 0
    return name


def worked_off(runner: JobRunner, results: Mapping[str, dict[str, Any]] = SOUND) -> None:
    """A watcher does what is named in `results`, and nothing else."""

    async def work(watcher: HandWatcher) -> None:
        for lease in await watcher.lease():
            result = results.get(_entry_id(lease))
            if result is not None:
                await watcher.done(lease, result=result)

    runner.by_hand(work)


def _entry_id(lease: Lease) -> str:
    return lease.request_id.rpartition(":")[2]


def tampered(runner: JobRunner, entry_id: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Somebody changes a record by hand."""

    async def write(watcher: HandWatcher) -> None:
        key, name = watcher.queue.keys.of("result"), f"gap_fill:p:{entry_id}"
        kept = await watcher.queue.client.hget(key, name)
        assert kept is not None
        record = json.loads(kept)
        change(record)
        await watcher.queue.client.hset(key, name, json.dumps(record))

    runner.by_hand(write)


def test_sound_work_exits_0(runner: JobRunner, manifest: str) -> None:
    """Found in whatever backlog it was sent to, or in the one that is named."""
    worked_off(runner)
    shown = runner("verify", manifest)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == "3 jobs in backlog gap_fill: 3 done; all sound\n"
    assert runner("verify", manifest, "--target", "backlog:gap_fill", "--wait").code == 0
    document = runner("verify", manifest, "--json").document
    assert {key: document[key] for key in ("manifest", "backlog", "job_count", "sound", "summary")} == {
        "manifest": "m.jsonl",
        "backlog": "gap_fill",
        "job_count": 3,
        "sound": 3,
        "summary": {"done": 3},
    }
    assert document["rows"][1] == {
        "line": 2,
        "request_id": "gap_fill:p:nap",
        "task": "sleep",
        "status": "done",
        "problem": None,
        "error_type": "",
        "sound": True,
    }


@pytest.mark.parametrize(
    ("entry_id", "change", "said"),
    [
        ("echo", lambda r: r["result"].update(message="hullo"), "message is 'hullo', not 'hello'"),
        ("echo", lambda r: r.pop("result"), "message is None, not 'hello'"),
        ("nap", lambda r: r["result"].update(slept_seconds=2.4), "slept 2.4 s, not 2.5"),
        ("nap", lambda r: r.update(result=[1]), "slept_seconds is None, no number"),
        ("round", lambda r: r["result"]["lifecycle"].pop(), "lifecycle lacks confirmed_gone"),
        ("round", lambda r: r["result"]["lifecycle"].reverse(), "lifecycle is out of order"),
        ("round", lambda r: r.update(task="debug"), "task debug was done, not fast_crud"),
        ("round", lambda r: r.update(request_id="x"), "its record is that of another job, or was changed"),
        ("round", lambda r: r.update(status="failed"), "its record is that of another job, or was changed"),
        ("round", lambda r: r.update(content_hash="sha256:v1:0"), "done with other content than the manifest has"),
        ("round", lambda r: r.pop("completed_at"), "its record does not say when and where it was done"),
        ("round", lambda r: r.clear(), "its record is that of another job, or was changed"),
    ],
)
def test_a_tampered_record_exits_1(
    runner: JobRunner, manifest: str, entry_id: str, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """The entry is named with its line and the reason; the others are sound all the same."""
    worked_off(runner)
    tampered(runner, entry_id, change)
    shown = runner("verify", manifest)
    assert shown.code == 1
    assert f"  {said}" in shown.out
    assert f"gap_fill:p:{entry_id}" in shown.out
    assert shown.out.endswith("3 jobs in backlog gap_fill: 3 done; 2 sound, 1 not\n")
    assert "done, but not sound: `job-runner result ID` shows the record; `job-runner dispatch m.jsonl" in shown.err


def test_what_is_not_done_is_named(runner: JobRunner, manifest: str) -> None:
    """Waiting, failed and cancelled ones, each with what to do next."""

    async def work(watcher: HandWatcher) -> None:
        for lease in await watcher.lease():
            if _entry_id(lease) == "echo":
                await watcher.failed(lease, "the line is dead", kind="transient_exhausted")

    runner.by_hand(work)
    runner("cancel", "gap_fill:p:round", "--yes")
    shown = runner("verify", manifest)
    assert shown.code == 1
    rows = {row["request_id"].rpartition(":")[2]: row for row in runner("verify", manifest, "--json").document["rows"]}
    assert (rows["echo"]["problem"], rows["echo"]["error_type"]) == ("the line is dead", "transient_exhausted")
    assert rows["nap"]["problem"] == "not done yet"
    assert "failed (transient_exhausted): may go well the next time; `job-runner retry gap_fill:p:echo`" in shown.err
    assert "`job-runner verify m.jsonl --target backlog:gap_fill --wait` waits for the end" in shown.err


def test_what_was_never_sent(runner: JobRunner) -> None:
    """All of it, or the lines that came since; nothing is queued by looking."""
    name = runner.file(PLAN, "m.jsonl")
    shown = runner("verify", name)
    assert shown.code == 1
    assert "  not in the queue, and no record of it\n" in shown.out
    assert shown.err == "not_found: `job-runner dispatch m.jsonl` queues what is missing\n"
    runner("dispatch", name, "--target", "backlog:b")
    runner.file(PLAN + '    {"task": "debug", "id": "more", "meta": {"plan": "p"}}\n', "m.jsonl")
    more = runner("verify", name)
    assert "not_found: `job-runner dispatch m.jsonl --target backlog:b` queues what is missing\n" in more.err
    assert runner("verify", name, "--json").document["summary"] == {"queued": 3, "not_found": 1}


def test_other_content_is_not_sound(runner: JobRunner, manifest: str) -> None:
    """A longer nap in the manifest than the one that was slept."""
    worked_off(runner)
    runner.file(PLAN.replace("2.5", "2.6"), "m.jsonl")
    shown = runner("verify", manifest)
    assert (shown.code, "  done with other content than the manifest has\n" in shown.out) == (1, True)


def test_two_backlogs_must_be_told_apart(runner: JobRunner, manifest: str) -> None:
    """A manifest that was sent twice means two sets of jobs."""
    runner("dispatch", manifest, "--target", "backlog:other")
    shown = runner("verify", manifest)
    assert (shown.code, shown.out) == (2, "")
    assert "this manifest was dispatched to 2 backlogs: gap_fill, other" in shown.err
    assert "hint: say which one is meant: --target backlog:gap_fill" in shown.err
    assert runner("verify", manifest, "--target", "backlog:other").code == 1


def test_waiting_ends_with_the_last_entry(runner: JobRunner, manifest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """--wait says for how many, and judges them when they have ended."""
    monkeypatch.setattr(verifying, "_POLL_SECONDS", 0.01)
    began = threading.Event()
    monkeypatch.setattr("job_runner.cli.verify.wait_until_ended", _announced(began))

    def work() -> None:
        began.wait(20)
        worked_off(runner)

    worker = threading.Thread(target=work)
    worker.start()
    shown = runner("verify", manifest, "--wait")
    worker.join(20)
    assert (shown.code, shown.out) == (0, "3 jobs in backlog gap_fill: 3 done; all sound\n")
    assert shown.err == "waiting for 3 of 3; `job-watcher` works on them\n"


def _announced(began: threading.Event) -> Callable[..., Any]:
    async def wait(*words: Any, **named: Any) -> None:
        began.set()
        await verifying.wait_until_ended(*words, **named)

    return wait


def test_mistakes_are_those_of_the_file(runner: JobRunner) -> None:
    """As in `dispatch`, and nothing is said of the queue."""
    shown = runner("verify", runner.file('{"task": "debug"}\n', "m.jsonl"))
    assert (shown.code, shown.out) == (2, "")
    assert "m.jsonl:1: meta.id: is missing; give each entry an id of its own\n" in shown.err
    assert runner("verify", "nowhere.jsonl").code == 2
