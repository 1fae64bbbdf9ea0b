"""The name of a queue at the markets: one for all who use it, another for every other queue, kept through a flush."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.market.labels import Label, parse_label
from lib.redisqueue.connection import connect
from lib.redisqueue.namespace import namespace
from lib.redisqueue.producing import flush
from lib.redisqueue.queue import Queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def queue(valkey_url: str, prefix: str) -> AsyncIterator[Queue]:
    """One queue."""
    client = connect(valkey_url, prefix=prefix)
    yield Queue.over(client, valkey_url, prefix)
    await client.aclose()


async def test_everybody_on_a_queue_has_the_same(queue: Queue) -> None:
    """Eight that ask at once for the first time, and one who asks later; a flush changes nothing."""
    first, *others = await asyncio.gather(*(namespace(queue) for _ in range(8)))
    assert set(others) == {first}
    assert first.startswith(f"{queue.keys.prefix}.")
    await flush(queue, hard=True, force=True)
    assert await namespace(queue) == first


async def test_two_queues_of_one_prefix_never_meet(queue: Queue) -> None:
    """On two servers, or after one has lost its data: the label of one is none of the other's."""
    first = await namespace(queue)
    await queue.client.delete(queue.keys.of("namespace"))
    second = await namespace(queue)
    assert first != second
    label = str(Label(first, "cafe0000cafe", "17", 1000))
    assert parse_label(label, first) is not None
    assert parse_label(label, second) is None


async def test_a_queue_that_lost_its_data_has_the_same_again(queue: Queue) -> None:
    """From whoever still knows it, once; nobody's word changes a name that stands."""
    first = await namespace(queue)
    await queue.client.delete(queue.keys.of("namespace"))
    assert await asyncio.gather(*(namespace(queue, first) for _ in range(4))) == [first] * 4
    assert await namespace(queue) == first
    assert await namespace(queue, "other.0123456789") == first


async def test_a_long_prefix_still_makes_a_label(valkey_url: str) -> None:
    """A prefix may be as long as a namespace may be."""
    prefix = "p" * 64
    client = connect(valkey_url, prefix=prefix)
    try:
        known_as = await namespace(Queue.over(client, valkey_url, prefix))
        assert parse_label(str(Label(known_as, "cafe0000cafe", "17", 1000)), known_as) is not None
    finally:
        await client.delete(f"{prefix}:watcher:namespace")
        await client.aclose()


async def test_what_somebody_else_wrote_there_breaks_no_label(queue: Queue) -> None:
    """Only letters and digits of it are taken."""
    await queue.client.set(queue.keys.of("namespace"), "a/b c\n")
    assert (await namespace(queue)).endswith(".abc")
