"""Cancel and retry against jobs that move under their hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from job_runner.service import again
from job_runner.service.cancel import LOOKS_MAX, cancel
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.jobqueue.protocol import Retry
from lib.redisqueue import leasing, producing, reader
from lib.redisqueue.submissions import submission_of
from lib.settings import Settings
from tests.support.hand import HandWatcher, hand_watcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from lib.redisqueue.queue import Queue


def _settings(url: str, prefix: str) -> Settings:
    return Settings.load({"REDIS_URL": url, "JOBS_PREFIX": prefix, "HOME": "/tmp"})  # noqa: S108 - nothing is written


async def _submit(queue: Queue, *request_ids: str) -> None:
    jobs = [normalize_job_spec({"request_id": each, "task": "debug"}) for each in request_ids]
    await producing.submit(queue, [submission_of(job, BUILT_IN) for job in jobs])


class _Between:
    """Runs something between the look and the step, as another program may."""

    def __init__(self, *steps: Any) -> None:
        self._look = reader.look
        self._steps = list(steps)
        self.looks = 0

    async def __call__(self, queue: Queue, request_ids: Sequence[str]) -> list[reader.Looked]:
        looked = await self._look(queue, request_ids)
        self.looks += 1
        if self._steps:
            await self._steps.pop(0)()
        return looked


async def test_a_job_of_another_generation_is_looked_at_again(
    valkey_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wish is for the job of that name, so its new generation is ended too."""
    settings = _settings(valkey_url, prefix)
    async with hand_watcher(valkey_url, prefix) as watcher:
        await _submit(watcher.queue, "a")

        async def fail_and_retry() -> None:
            (lease,) = await watcher.lease()
            await watcher.failed(lease)
            assert not (await again.retry(watcher.queue, settings, ["a"])).refused

        between = _Between(fail_and_retry)
        monkeypatch.setattr(reader, "look", between)
        done = await cancel(watcher.queue, ["a"])
        assert done.rows[0].status == "cancelled"
        assert between.looks == 2


async def test_a_job_that_ends_meanwhile_is_said(valkey_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One winner: the record that was first stays."""
    async with hand_watcher(valkey_url, prefix) as watcher:
        await _submit(watcher.queue, "a")
        monkeypatch.setattr(reader, "look", _Between(watcher.all_done))
        done = await cancel(watcher.queue, ["a"])
        assert done.rows[0].status == "already_done"
        assert done.refused
        assert (await reader.results(watcher.queue, ["a"]))[0].status == "done"


async def test_the_looks_are_bounded(valkey_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that never stands still is given up as busy, and nothing is lost."""
    settings = _settings(valkey_url, prefix)
    async with hand_watcher(valkey_url, prefix) as watcher:
        await _submit(watcher.queue, "a")

        async def renew() -> None:
            (lease,) = await watcher.lease()
            await watcher.failed(lease)
            await again.retry(watcher.queue, settings, ["a"])

        monkeypatch.setattr(reader, "look", _Between(*[renew] * LOOKS_MAX))
        done = await cancel(watcher.queue, ["a"])
        assert done.rows[0].status == "busy"
        assert (await reader.results(watcher.queue, ["a"]))[0].status == "queued"


async def test_a_delayed_job_keeps_its_content_in_the_record(valkey_url: str, prefix: str) -> None:
    """Cancelled between two tries, it can be retried from its record."""
    settings = _settings(valkey_url, prefix)
    async with hand_watcher(valkey_url, prefix) as watcher:
        await _submit(watcher.queue, "a")
        (lease,) = await watcher.lease()
        await leasing.retry(watcher.queue, watcher.session, [Retry(lease, "attempt", 60_000)])
        assert (await cancel(watcher.queue, ["a"])).rows[0].status == "cancelled"
        retried = await again.retry(watcher.queue, settings, ["a"])
        assert [row.status for row in retried.rows] == ["queued"]
        assert await _ids(watcher) == ["a"]


async def test_two_retries_at_once_make_one_generation(valkey_url: str, prefix: str) -> None:
    """The second finds the job queued, or the record gone that it had read."""
    settings = _settings(valkey_url, prefix)
    async with hand_watcher(valkey_url, prefix) as watcher:
        await _submit(watcher.queue, "a")
        (lease,) = await watcher.lease()
        await watcher.failed(lease)
        (found,) = await reader.results(watcher.queue, ["a"])
        assert found.record is not None
        job = normalize_job_spec({"request_id": "a", "task": "debug"})
        late = submission_of(job, BUILT_IN, expected_fence=str(found.record["fence"]))
        assert not (await again.retry(watcher.queue, settings, ["a"])).refused
        (reply,) = await producing.submit(watcher.queue, [late], mode="again")
        assert reply.code == "duplicate_request"
        (lease,) = await watcher.lease()
        await watcher.failed(lease)
        (reply,) = await producing.submit(watcher.queue, [late], mode="again")
        assert reply.code == "changed"


async def _ids(watcher: HandWatcher) -> list[str]:
    return [lease.request_id for lease in await watcher.lease()]
