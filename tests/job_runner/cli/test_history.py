"""`job-runner history`: newest first, by status, over pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.hand import HandWatcher
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner


@pytest.fixture
def mixed(runner: JobRunner) -> JobRunner:
    """Ten finished jobs: every third failed, the last cancelled."""
    rows = "".join(f"- {{request_id: 'r{i}', task: debug}}\n" for i in range(10))
    runner("enqueue", runner.file(rows))
    assert runner("cancel", "r9", "--yes").code == 0

    async def work(watcher: HandWatcher) -> None:
        for lease in await watcher.lease():
            if int(lease.request_id[1:]) % 3 == 0:
                await watcher.failed(lease, f"broke in {lease.request_id}")
            else:
                await watcher.done(lease)
            await _next_millisecond(watcher)

    runner.by_hand(work)
    return runner


async def _next_millisecond(watcher: HandWatcher) -> None:
    """Wait until the server's clock has moved on: ends within one millisecond have no order between histories."""

    async def millisecond() -> tuple[int, int]:
        seconds, micros = await watcher.queue.client.time()
        return int(seconds), int(micros) // 1000

    before = await millisecond()

    async def moved_on() -> bool:
        return await millisecond() != before

    await wait_until(moved_on)


def test_newest_first_in_a_table(mixed: JobRunner) -> None:
    """What ended last stands first; a failure says why on its own line."""
    shown = mixed("history", "--limit", "4")
    assert shown.code == 0
    assert shown.settled == (
        "REQUEST ID  STATUS  ENDED (UTC)           TOOK\n"
        "r8          done    <time>  1.5 s\n"
        "r7          done    <time>  1.5 s\n"
        "r6          failed  <time>      -\n"
        "  permanent: broke in r6\n"
        "r5          done    <time>  1.5 s\n"
    )


@pytest.mark.parametrize(
    ("status", "ids"),
    [
        ("done", ["r8", "r7", "r5", "r4", "r2", "r1"]),
        ("failed", ["r6", "r3", "r0"]),
        ("cancelled", ["r9"]),
        ("all", ["r8", "r7", "r6", "r5", "r4", "r3", "r2", "r1", "r0", "r9"]),
    ],
)
def test_by_status(mixed: JobRunner, status: str, ids: list[str]) -> None:
    """Each history alone, and all merged by the time of their end."""
    document = mixed("history", "--status", status, "--json").document
    assert document["count"] == len(ids)
    assert [each["request_id"] for each in document["records"]] == ids
    assert all(each["kind"] == each["record"]["status"] for each in document["records"])


def test_a_replaced_job_is_listed_once(mixed: JobRunner) -> None:
    """An old generation's place does not show the new one's record."""
    mixed("retry", "r0")
    mixed.by_hand(HandWatcher.all_done)
    ids = [each["request_id"] for each in mixed("history", "--json").document["records"]]
    assert ids[0] == "r0"
    assert sorted(ids) == [f"r{i}" for i in range(10)]


def test_records_that_have_gone_are_passed_over(mixed: JobRunner) -> None:
    """A history entry whose record was removed costs a place on no page."""

    async def remove(watcher: HandWatcher) -> None:
        await watcher.queue.client.hdel(watcher.queue.keys.of("result"), "r8", "r7")

    mixed.by_hand(remove)
    document = mixed("history", "--limit", "2", "--json").document
    assert [each["request_id"] for each in document["records"]] == ["r6", "r5"]


def test_nothing_yet(runner: JobRunner) -> None:
    """An empty history is said, not drawn."""
    shown = runner("history")
    assert (shown.code, shown.out, shown.err) == (0, "", "nothing has finished yet\n")
    assert runner("history", "--json").document == {"schema_version": 1, "count": 0, "records": []}


def test_a_status_that_there_is_not(runner: JobRunner) -> None:
    """Named with those that there are, in plain words."""
    shown = runner("history", "--status", "bad")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.endswith(
        "Invalid value for '--status': 'bad' is not one of 'done', 'failed', 'cancelled', 'all'.\n"
    )


def test_a_limit_that_cannot_be(runner: JobRunner) -> None:
    """Bad usage: exit code 2."""
    assert runner("history", "--limit", "0").code == 2
    assert runner("history", "--status", "lost").code == 2
