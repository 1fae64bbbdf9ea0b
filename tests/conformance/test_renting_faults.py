"""Rented machines beside a real server that loses replies, is full, or was restarted on an older file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import UnreachableError
from lib.redisqueue import instances
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from lib.redisqueue.scripts import load
from tests.conformance.renting import USD, Renting
from tests.conformance.stage import Stage
from tests.support.proxy import FaultProxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.support.servers import RealServer


@pytest.fixture
async def proxied(real_stage: Stage) -> AsyncIterator[tuple[Renting, FaultProxy]]:
    """A watcher that sees the queue through a proxy which can lose replies; and the proxy."""
    port = int(real_stage.queue.url.rpartition(":")[2].partition("/")[0])
    async with FaultProxy(port) as proxy:
        client = connect(proxy.url)
        seen = Queue.over(client, proxy.url, real_stage.queue.keys.prefix)
        await seen.refresh_streams()
        yield await Renting(Stage(seen, real_stage.server)).opened(), proxy
        await client.aclose()


async def _repeated(proxy: FaultProxy, script: str, ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer to the second try, when the server has done the first and its reply was lost."""
    trap = proxy.trap_reply(load(script).sha.encode())
    with pytest.raises(UnreachableError):
        await ask()
    assert trap.caught.is_set()
    return await ask()


async def test_a_step_whose_reply_is_lost_is_done_once(proxied: tuple[Renting, FaultProxy]) -> None:
    """Intent, step, adoption and end: asked again, each answers as if nothing had been lost."""
    renting, proxy = proxied
    stage, queue = renting.stage, renting.stage.queue
    # So that the server knows every script.
    await instances.end(queue, renting.session, await renting.advanced(await renting.rent("warm0000")), 0)
    await instances.adopt(queue, renting.session, "warm0000")

    answer = await _repeated(proxy, "rent_intend", renting.ask)
    assert isinstance(answer, instances.Intended)
    assert await renting.money() == (0, USD)
    rented = await _repeated(proxy, "rent_advance", lambda: renting.advance(answer.instance, 700, state="idle"))
    assert (rented.version, rented.cost) == (2, 700)
    assert await renting.money() == (700, USD - 700)
    await stage.kill(renting.session)
    other = await Renting(stage).opened("other")
    await other.rent("warm0001", living=1, most=9, reserve=0)
    taken = await _repeated(proxy, "rent_adopt", lambda: instances.adopt(queue, other.session, rented.intent))
    assert (await other.rows())[rented.intent] == taken
    gone = replace(taken, state="gone")
    bill = await _repeated(proxy, "rent_end", lambda: instances.end(queue, other.session, gone, 50))
    assert bill.micro == 750
    assert [each.micro for each in await instances.bills(queue)] == [750]
    assert await other.money() == (750, 0)


@pytest.fixture(params=["own_valkey", "own_redis7"])
async def own(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[tuple[Renting, RealServer]]:
    """A watcher on a server that this test may fill or stop; and the server."""
    server: RealServer = request.getfixturevalue(request.param)
    queue = Queue.over(connect(server.url), server.url, prefix)
    await queue.refresh_streams()
    stage = Stage(queue, request.param)
    yield await Renting(stage).opened(), server
    await stage.check()
    await queue.client.aclose()


async def test_on_a_full_server_what_is_rented_can_be_charged_and_ended(own: tuple[Renting, RealServer]) -> None:
    """A bill that runs cannot wait for memory."""
    renting, _ = own
    client = renting.stage.queue.client
    rented = await renting.rent()
    await client.config_set("maxmemory", "1")
    rented = await renting.advanced(rented, 100)
    await instances.exclude(renting.stage.queue, "m-1", 60, "lost")
    assert await instances.end(renting.stage.queue, renting.session, replace(rented, state="gone"), 5) is not None
    await client.config_set("maxmemory", "0")
    assert await renting.money() == (105, 0)


async def test_a_server_that_was_killed_and_forgot_a_step_goes_on_with_the_owner(
    own: tuple[Renting, RealServer],
) -> None:
    """What it has forgotten is charged by the next step, whole and once; the sum stays right."""
    renting, server = own
    client, key = renting.stage.queue.client, renting.stage.queue.keys.of
    rented = await renting.advanced(await renting.rent(), 100)
    names = ("instances", "spend", "spend_open")
    older: Any = [await client.dump(key(name)) for name in names]
    newest = await renting.advanced(rented, 400)
    # As a file is that lost its end: all of a step is gone, or nothing.
    for name, value in zip(names, older, strict=True):
        await client.restore(key(name), 0, value, replace=True)
    server.restart(kill=True)

    async def answers() -> bool:
        try:
            return await renting.money() == (100, USD - 100)
        except UnreachableError:
            return False

    await wait_until(answers, what="the server has read its file")
    newest = await renting.advanced(newest, 50)
    assert newest.cost == 550
    assert await renting.money() == (550, USD - 550)
