"""The three servers, each test with a prefix of its own, and what must hold at the end of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fakeredis
import pytest

from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.conformance.stage import Stage
from tests.conformance.truth import read_truth, unknown_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REAL = ("valkey", "redis7")


async def _stage(request: pytest.FixtureRequest, server: str, prefix: str) -> AsyncIterator[Stage]:
    if server == "fakeredis":
        fake = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), protocol=2)
        queue = Queue.over(fake, "redis://fake", prefix, flags=False)
    else:
        url = request.getfixturevalue(server).url
        queue = Queue.over(connect(url), url, prefix)
    await queue.refresh_streams()
    stage = Stage(queue, server)
    yield stage
    truth = await read_truth(queue)
    assert not unknown_keys(queue, truth), "a script made a key that keys.py does not declare"
    if not stage.damage:
        await stage.check()
    if server != "fakeredis" and truth.keys:
        await queue.client.unlink(*truth.keys)
    await queue.client.aclose()


@pytest.fixture(params=["fakeredis", *REAL])
async def stage(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Stage]:
    """A queue on each of the three servers in turn; sound at the end, unless the test said why not."""
    async for found in _stage(request, request.param, prefix):
        yield found


@pytest.fixture(params=REAL)
async def real_stage(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Stage]:
    """The same on the real servers only, for what fakeredis does not have."""
    async for found in _stage(request, request.param, prefix):
        yield found
