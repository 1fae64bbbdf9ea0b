"""What `doctor` says of rented machines: what may cost, and nobody sees to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from job_runner.service.doctor.instances import instance_checks
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.conformance.renting import Renting
from tests.conformance.stage import Stage
from tests.support.running import settings_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lib.settings import Settings
    from tests.support.servers import RealServer


@pytest.fixture
def settings(valkey: RealServer, prefix: str, tmp_path: Path) -> Settings:
    """Of a queue of its own."""
    return settings_in(tmp_path, REDIS_URL=valkey.url, JOBS_PREFIX=prefix)


@pytest.fixture
async def renting(valkey: RealServer, prefix: str) -> AsyncIterator[Renting]:
    """A watcher that has rented nothing yet."""
    queue = Queue.over(connect(valkey.url), valkey.url, prefix)
    await queue.refresh_streams()
    yield await Renting(Stage(queue, "valkey")).opened()
    await queue.client.unlink(*queue.keys.all_fixed().values())
    await queue.client.aclose()


async def _said(settings: Settings) -> list[tuple[str, str]]:
    checks = await instance_checks(settings)
    assert {check.name for check in checks} <= {"instances"}
    assert all(bool(check.mend) == (check.state != "ok") for check in checks)
    return [(check.state, check.found) for check in checks]


async def test_nothing_is_said_where_nothing_is_rented(renting: Renting, settings: Settings) -> None:
    """Nor where the server is away, which is told elsewhere."""
    assert renting.session
    assert await _said(settings) == []
    assert await _said(replace(settings, redis_url="redis://127.0.0.1:1/0")) == []


async def test_what_runs_and_what_it_cost(renting: Renting, settings: Settings) -> None:
    """One line for all of them."""
    await renting.advanced(await renting.rent(most=2, reserve=0), 120_000, state="idle")
    assert await _said(settings) == [("ok", "1 machine at $0.500 an hour, $0.1200 so far")]
    await renting.rent("bbbb0002", living=1, most=2, reserve=0)
    assert await _said(settings) == [("ok", "2 machines at $1.000 an hour, $0.1200 so far")]


async def test_what_may_cost_and_nobody_sees_to(renting: Renting, settings: Settings) -> None:
    """A row without a watcher, one that will not end, and one that cannot be read: each by name."""
    queue = renting.stage.queue
    await renting.advanced(await renting.rent(most=9), state="destroying", asked=5)
    assert await _said(settings) == [("wrong", "asked to end again and again, and not proven gone: aaaa0001")]
    await queue.client.hset(queue.keys.of("instances"), "broken00", "junk")
    await renting.stage.kill(renting.session)
    assert await _said(settings) == [
        ("wrong", "rows that cannot be read: broken00"),
        ("wrong", "nobody drives what may cost: aaaa0001"),
        ("wrong", "asked to end again and again, and not proven gone: aaaa0001"),
    ]
