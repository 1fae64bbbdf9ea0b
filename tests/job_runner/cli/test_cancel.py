"""`job-runner cancel`: waiting, delayed and running jobs end in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from job_runner.service.cancel import cancel
from lib.jobqueue.protocol import Ending
from lib.redisqueue import leasing

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher


def test_waiting_and_delayed(runner: JobRunner) -> None:
    """Gone at once, with a record that keeps the job."""
    runner(
        "enqueue",
        runner.file(
            "- {request_id: a, task: debug}\n- {request_id: b, task: debug, run_after: 2999-01-01T00:00:00Z}\n"
        ),
    )
    done = runner("cancel", "a", "b", "--yes")
    assert done.code == 0
    assert done.out == "REQUEST ID  STATUS\na           cancelled\nb           cancelled\n"
    totals = runner("status", "--json").document["totals"]
    assert (totals["outstanding"], totals["cancelled"]) == (0, 2)
    record = runner("result", "b", "--json").document["record"]
    assert record["status"] == "cancelled"
    assert record["error"] == "cancelled by request"
    assert record["job"]["run_after"].startswith("2999-01-01")


def test_a_running_job_is_told_and_its_commit_is_refused(runner: JobRunner) -> None:
    """One winner: after a cancel nothing that the body still does counts."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))

    async def run(watcher: HandWatcher) -> tuple[str, str]:
        (lease,) = await watcher.lease()
        done = await cancel(watcher.queue, ["a"])
        ending = Ending("a", lease.fence, "done", b'"request_id":"a","status":"done"}')
        (late,) = await leasing.commit(watcher.queue, watcher.session, [ending])
        told: Any = await watcher.queue.client.xrange(watcher.queue.keys.of("control"))
        assert [fields[b"id"] for _, fields in told] == [b"a"]
        assert done.rows[0].was_running
        return done.rows[0].status, late.code

    # The record's fence is the lease's own, so the late commit is answered as one that was sent before.
    status, late = runner.by_hand(run)
    assert status == "cancelled"
    assert late in {"refused", "already"}
    assert runner("result", "a", "--json").document["status"] == "cancelled"


def test_again_is_harmless(runner: JobRunner) -> None:
    """A second cancel changes nothing and is no error."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))
    runner("cancel", "a", "--yes")
    before = runner("result", "a", "--json").document
    done = runner("cancel", "a", "--yes", "--json")
    assert done.code == 0
    assert done.document["rows"] == [{"request_id": "a", "status": "already_cancelled", "was_running": False}]
    assert runner("result", "a", "--json").document == before


def test_too_late(runner: JobRunner) -> None:
    """What had ended stays as it ended: exit code 1."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n- {request_id: b, task: debug}\n"))

    async def work(watcher: HandWatcher) -> None:
        first, second = await watcher.lease()
        await watcher.done(first)
        await watcher.failed(second)

    runner.by_hand(work)
    done = runner("cancel", "a", "b", "--yes", "--json")
    assert done.code == 1
    assert done.document["summary"] == {"already_done": 1, "already_failed": 1}


def test_not_found(runner: JobRunner) -> None:
    """Exit code 4."""
    assert runner("cancel", "nobody", "--yes").code == 4


def test_needs_a_yes_off_a_terminal(runner: JobRunner) -> None:
    """Nothing ends without one."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))
    refused = runner("cancel", "a")
    assert refused.code == 2
    assert refused.err.startswith("error: not done: cancel a (queued)?\n")
    assert runner("result", "a", "--json").document["status"] == "queued"


def test_the_question_names_what_would_end(runner: JobRunner) -> None:
    """It looks first: jobs by name and state, those that have ended left out, and no question about nothing."""
    rows = "".join(f"- {{request_id: j{i}, task: debug}}\n" for i in range(6))
    runner("enqueue", runner.file(rows + "- {request_id: late, task: debug, run_after: 2999-01-01T00:00:00Z}\n"))
    runner("cancel", "j0", "--yes")
    asked = runner("cancel", "j0", "j1", "late", "nobody").err
    assert asked.startswith("error: not done: cancel 2 jobs: j1 (queued), late (delayed)?\n")
    asked = runner("cancel", *(f"j{i}" for i in range(6)), "late").err
    assert "cancel 6 jobs: j1 (queued), j2 (queued), j3 (queued), j4 (queued), j5 (queued) and 1 more?" in asked
    assert runner("cancel", "j0").out == "REQUEST ID  STATUS\nj0          already_cancelled\n"
    assert runner("cancel", "nobody").code == 4


def test_a_key_goes_to_the_next(runner: JobRunner) -> None:
    """Cancelling the holder of a conflict key lets who waits for it run."""
    runner(
        "enqueue",
        runner.file(
            "- {request_id: a, task: debug, conflict_key: k}\n"
            "- {request_id: b, task: debug, conflict_key: k, on_conflict: queue}\n"
        ),
    )
    runner("cancel", "a", "--yes")

    async def leased(watcher: HandWatcher) -> list[str]:
        return [lease.request_id for lease in await watcher.lease()]

    assert runner.by_hand(leased) == ["b"]
