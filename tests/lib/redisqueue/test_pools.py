"""How the pools of the APIs stand, as the views and the leader read them: whatever somebody wrote beside them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from lib.errors import JobRunnerError
from lib.redisqueue import quota
from lib.redisqueue.quota import Pool
from tests.support.hand import open_test_queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lib.redisqueue.queue import Queue
    from tests.support.servers import RealServer

MINE = Pool("k", "flash")


@pytest.fixture
async def queue(valkey: RealServer, prefix: str) -> AsyncIterator[Queue]:
    """A queue of its own, with one pool that is closed."""
    async with open_test_queue(valkey.url, prefix) as opened:
        await quota.close(opened, MINE, 17_000, "429")
        yield opened
        async for key in opened.client.scan_iter(match=f"{prefix}:*"):
            await opened.client.unlink(key)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("closed x:y", "soon"),
        ("closed x:y", "-5"),
        ("closed x:y", "1.5e12"),
        ("closed x:y", "\u0661\u0662"),
        ("full x:y", ""),
        ("day x:y", "today"),
        ("day x:y", "1|many|few"),
        ("why x:y", b"\xff\xfe"),
        ("nobody", "nothing"),
        (b"closed \xff", b"\xff"),
    ],
)
async def test_a_field_that_somebody_damaged_hides_no_other(
    queue: Queue, field: str | bytes, value: str | bytes
) -> None:
    """The conductor asks in every round: it must hear of the pool that is closed, and never fail."""
    await queue.client.hset(queue.keys.of("quota"), field, value)
    found = {view.pool: view for view in await quota.pools(queue)}
    assert 15_000 < found.pop(MINE).closed_ms <= 17_000
    assert [(view.closed_ms, view.today) for view in found.values()] in ([], [(0, 0)])


async def test_a_time_that_never_comes_is_one_that_can_be_shown(queue: Queue) -> None:
    """As a date, whatever number stands there."""
    await queue.client.hset(queue.keys.of("quota"), "closed k:flash", "9" * 15)
    (view,) = await quota.pools(queue)
    assert datetime.now(UTC) + timedelta(milliseconds=view.closed_ms) > datetime(3000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("call", ["", "x", "many|h|0|k:flash", "5|h|0", b"\xff"])
async def test_a_call_that_cannot_be_read_counts_no_tokens(queue: Queue, call: str | bytes) -> None:
    """The others count."""
    now = time.time_ns() // 1_000_000
    await queue.client.zadd(queue.keys.of("quota_grants"), {"bad": now, "good": now, "gone": now})
    await queue.client.hset(queue.keys.of("quota_calls"), mapping={"bad": call, "good": "70|h|0|k:flash"})
    (view,) = await quota.pools(queue)
    assert view.tokens == 70


async def test_a_key_of_another_kind_is_an_error_of_ours(queue: Queue) -> None:
    """Which its caller can live with."""
    await queue.client.delete(queue.keys.of("quota"))
    await queue.client.set(queue.keys.of("quota"), "x")
    with pytest.raises(JobRunnerError):
        await quota.pools(queue)
