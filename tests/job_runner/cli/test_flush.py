"""`job-runner flush`: soft keeps records, hard does not, and neither harms a living watcher by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.hand import HandWatcher

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner


def test_soft_keeps_what_was_done(runner: JobRunner, three: str) -> None:
    """Waiting jobs go; records and so their idempotency stay."""
    runner("enqueue", three)
    runner.by_hand(HandWatcher.all_done)
    runner("enqueue", runner.file("- {request_id: new, task: debug}\n", "new.yaml"))
    done = runner("flush", "--yes")
    assert (done.code, done.out) == (0, "removed 1 job and 0 records\n")
    assert runner("enqueue", three, "--json").document["summary"] == {"already_done": 3}
    assert runner("result", "new").code == 4


def test_hard_makes_every_id_new(runner: JobRunner, three: str) -> None:
    """Records go too; the counter of fences stays, so the next generation is still a later one."""
    runner("enqueue", three)
    runner.by_hand(HandWatcher.all_done)
    before = runner("result", "nap", "--json").document["record"]["generation"]
    done = runner("flush", "--hard", "--yes", "--json")
    assert done.code == 0
    document = done.document
    assert {name: document[name] for name in ("deleted", "jobs", "records", "hard")} == {
        "deleted": 3,
        "jobs": 0,
        "records": 3,
        "hard": True,
    }
    assert f"{runner.prefix}:jobs:result" in document["keys"]
    assert runner("enqueue", three, "--json").document["summary"] == {"queued": 3}
    runner.by_hand(HandWatcher.all_done)
    assert runner("result", "nap", "--json").document["record"]["generation"] > before


def test_refused_while_a_watcher_is_alive(runner: JobRunner, three: str) -> None:
    """Exit code 1 and its name, unless forced."""
    runner("enqueue", three)

    async def stay(watcher: HandWatcher) -> None:
        # The session is left open on purpose.
        watcher.session, watcher.name = "gone:run0", "gone"

    runner.by_hand(stay)
    refused = runner("flush", "--yes")
    assert refused.code == 1
    assert refused.err.startswith("error: watchers are alive: hand\nhint: ")
    assert runner("status", "--json").document["totals"]["queued"] == 3
    assert runner("flush", "--yes", "--force").code == 0
    assert runner("status", "--json").document["totals"]["queued"] == 0


def test_needs_a_yes_off_a_terminal(runner: JobRunner, three: str) -> None:
    """Nothing goes without one, and the question says what would."""
    runner("enqueue", three)
    refused = runner("flush", "--hard")
    assert refused.code == 2
    place = f"from the queue '{runner.prefix}' on {runner.url} (from REDIS_URL)?\n"
    assert refused.err.startswith(
        f"error: not done: remove every job that waits or runs and every record of finished ones {place}"
    )
    assert f"that waits or runs (records of finished ones stay) {place}" in runner("flush").err
    assert runner("status", "--json").document["totals"]["queued"] == 3
