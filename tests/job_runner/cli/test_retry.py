"""`job-runner retry`: failed and cancelled jobs begin a new generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_runner.service.cancel import cancel

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher


@pytest.fixture
def broken(runner: JobRunner) -> JobRunner:
    """A and b failed, c done, d cancelled, e waiting."""
    rows = "".join(f"- {{request_id: {name}, task: debug, payload: {{message: {name}}}}}\n" for name in "abcd")
    runner("enqueue", runner.file(rows))
    runner("cancel", "d", "--yes")

    async def work(watcher: HandWatcher) -> None:
        for lease in await watcher.lease():
            await (watcher.done(lease) if lease.request_id == "c" else watcher.failed(lease))

    runner.by_hand(work)
    runner("enqueue", runner.file("- {request_id: e, task: debug}\n", "e.yaml"))
    return runner


def test_one_answer_for_each_state(broken: JobRunner) -> None:
    """What failed or was cancelled is queued; for the rest it is said why not, and the exit code is 1."""
    done = broken("retry", "a", "c", "d", "e", "nobody")
    assert done.code == 1
    assert done.out == (
        "REQUEST ID  STATUS\n"
        "a           queued\n"
        "c           already_done\n"
        "  `job-runner enqueue --replace` makes changed content anew\n"
        "d           queued\n"
        "e           active\n"
        "  in the queue already\n"
        "nobody      not_found\n"
    )
    assert done.err == "next: `job-runner watch` follows them; `job-watcher` works on them\n"


def test_a_retried_job_is_a_new_generation_with_its_old_content(broken: JobRunner) -> None:
    """The same payload and hash, another generation, and one record in the end."""
    before = broken("result", "a", "--json").document["record"]
    done = broken("retry", "a", "--json")
    assert done.code == 0
    (row,) = done.document["rows"]
    assert row["status"] == "queued"
    assert row["stream_id"].count("-") == 1

    async def payloads(watcher: HandWatcher) -> list[bytes]:
        leases = await watcher.lease()
        for lease in leases:
            await watcher.done(lease)
        return [lease.job for lease in leases if lease.request_id == "a"]

    (job,) = broken.by_hand(payloads)
    assert b'"message":"a"' in job
    after = broken("result", "a", "--json").document["record"]
    assert after["status"] == "done"
    assert after["generation"] > before["generation"]
    assert after["content_hash"] == before["content_hash"]


def test_all_failed_needs_a_yes(broken: JobRunner) -> None:
    """Off a terminal nothing happens without --yes; with it, failed jobs go and cancelled ones stay."""
    refused = broken("retry", "--all-failed")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "error: not done: queue 2 failed jobs again?\nhint: add --yes: there is no terminal to ask on\n"
    )
    done = broken("retry", "--all-failed", "--yes", "--json")
    assert done.code == 0
    assert sorted((row["request_id"], row["status"]) for row in done.document["rows"]) == [
        ("a", "queued"),
        ("b", "queued"),
    ]
    assert broken("status", "--json").document["totals"]["cancelled"] == 1


def test_nothing_has_failed(runner: JobRunner) -> None:
    """No question is asked about nothing."""
    done = runner("retry", "--all-failed")
    assert (done.code, done.out, done.err) == (0, "", "nothing has failed\n")


def test_not_found(runner: JobRunner) -> None:
    """Exit code 4 when none of the ids is known."""
    assert runner("retry", "nobody").code == 4


@pytest.mark.parametrize("words", [(), ("a", "--all-failed")])
def test_ids_or_all(runner: JobRunner, words: tuple[str, ...]) -> None:
    """Neither, or both, is bad usage."""
    assert runner("retry", *words).code == 2


def test_an_id_given_twice_is_retried_once(broken: JobRunner) -> None:
    """The same word twice is one wish."""
    assert len(broken("retry", "a", "a", "--json").document["rows"]) == 1


def test_a_lost_payload_is_said(broken: JobRunner) -> None:
    """A record without its job cannot begin anew, and the mend is named."""

    async def lose(watcher: HandWatcher) -> None:
        head = b'{"schema_version":1,"generation":5,"fence":6,"attempt":0,"identity":"lost","history":"1-1",'
        raw = head + b'"status":"failed","request_id":"x","job":null}'
        await watcher.queue.client.hset(watcher.queue.keys.of("failed"), "x", raw)

    broken.by_hand(lose)
    done = broken("retry", "x")
    assert done.code == 1
    assert "x           payload_lost\n" in done.out
    assert "--replace" in done.out


@pytest.mark.parametrize("ended", ["cancelled waiting", "cancelled delayed", "cancelled running", "failed"])
def test_a_job_goes_back_to_its_own_backlog(runner: JobRunner, ended: str) -> None:
    """Whichever way it ended, its record names the backlog when it is not the default one."""
    when = ", run_after: 2999-01-01T00:00:00Z" if "delayed" in ended else ""
    runner("enqueue", runner.file(f"- {{request_id: a, task: debug{when}}}\n"), "--target", "backlog:night")

    async def work(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        if ended == "failed":
            await watcher.failed(lease)
        else:
            await cancel(watcher.queue, ["a"])

    if ended in {"failed", "cancelled running"}:
        runner.by_hand(work)
    else:
        runner("cancel", "a", "--yes")
    record = runner("result", "a", "--json").document["record"]
    assert (record["status"], record["backlog"]) == (ended.split(maxsplit=1)[0], "night")
    assert runner("retry", "a").code == 0
    if "delayed" in ended:
        assert runner("status", "--json").document["totals"]["delayed"] == 1
    else:
        backlogs = runner("status", "--json").document["backlogs"]
        assert (backlogs["default"]["waiting"], backlogs["night"]["waiting"]) == (0, 1)


def test_a_record_of_the_default_backlog_names_none(broken: JobRunner) -> None:
    """Nor does a name that somebody wrote by hand stop a retry."""
    assert "backlog" not in broken("result", "a", "--json").document["record"]

    async def write(watcher: HandWatcher) -> None:
        key = watcher.queue.keys.of("failed")
        raw: Any = await watcher.queue.client.hget(key, "a")
        await watcher.queue.client.hset(key, "a", raw[:-1] + b',"backlog":"No Such:Name"}')

    broken.by_hand(write)
    assert broken("retry", "a").code == 0
