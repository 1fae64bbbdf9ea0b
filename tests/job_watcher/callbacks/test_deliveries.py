"""The duty that empties the outbox of callbacks: at once, again after failures, one at a time, nobody in the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from job_watcher.callbacks.deliveries import CONCURRENCY, PER_HOST, TRIES
from job_watcher.cancelling import cancel_all
from tests.job_watcher.callbacks.receiving import Receiver, receiving
from tests.job_watcher.callbacks.telling import (
    callback_sender,
    deliveries,
    left,
    none_left,
    submitted,
    waiting,
    with_sender,
)
from tests.job_watcher.watching import Gate
from tests.support.proxy import FaultProxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from job_watcher.callbacks.deliveries import Deliveries
    from lib.jobqueue.outbox import Callback
    from tests.job_watcher.watching import Stand


@contextlib.asynccontextmanager
async def going(*duties: Deliveries) -> AsyncIterator[None]:
    """Duties that go on for the length of a block."""

    async def rounds(duty: Deliveries) -> None:
        while True:
            await duty.run_once()

    tasks = [asyncio.create_task(rounds(duty)) for duty in duties]
    try:
        yield
    finally:
        await cancel_all(tasks)
        for duty in duties:
            await duty.aclose()


async def test_the_watcher_that_ran_a_job_tells_at_once(stand: Stand) -> None:
    """Not at the next interval: the commit wakes it. Done and failed, whole records."""
    async with receiving() as receiver, callback_sender(receiver) as sender:
        watcher = await with_sender(
            stand.watcher(WATCHER_POLL_INTERVAL="60", WATCHER_SESSION_TTL="600"), sender
        ).start()
        await submitted(stand, receiver.url(), "a", callback_data={"n": [1, {}]})
        await submitted(stand, receiver.url("/f"), "f", task="fail_permanent")
        await wait_until(lambda: len(receiver.requests) == 2)
        await watcher.finish()
        told = {request.record["request_id"]: request for request in receiver.requests}
        assert [told[each].record for each in ("a", "f")] == [await stand.record("a"), await stand.record("f")]
        assert told["a"].record["callback_data"] == {"n": [1, {}]}
        assert (told["a"].record["status"], told["f"].record["status"]) == ("done", "failed")
        assert await none_left(stand)


async def test_what_others_left_is_told_within_an_interval(stand: Stand) -> None:
    """A job that a person cancelled, or whose watcher has no secret: whoever delivers finds it."""
    async with receiving() as receiver, callback_sender(receiver) as sender:
        silent = await stand.watcher("silent").start()
        await submitted(stand, receiver.url(), "a")
        await stand.ended("a")
        assert await waiting(stand) == 1
        await with_sender(stand.watcher("telling"), sender).start()
        await wait_until(lambda: receiver.records() == ["a"])
        await silent.finish()


async def test_a_failed_try_comes_again_with_the_same_body_and_key(stand: Stand) -> None:
    """Until the far side takes it; then never again."""
    async with receiving(Receiver(answers=deque([500, 302, 404]))) as receiver, callback_sender(receiver) as sender:
        await left(stand, receiver.url(), "a")
        async with going(deliveries(stand, sender)):
            await wait_until(lambda: none_left(stand))
        assert len(receiver.requests) == 4
        assert len({(each.body, each.headers["idempotency-key"]) for each in receiver.requests}) == 1
        assert await stand.told("delivery_failed") == []


@pytest.mark.parametrize(("status", "tries"), [(500, TRIES), (410, 1)])
async def test_one_event_says_that_it_was_given_up(stand: Stand, status: int, tries: int) -> None:
    """After the last delay, or at once where the far side said that it is gone for good."""
    async with receiving(Receiver(usual=status)) as receiver, callback_sender(receiver) as sender:
        await left(stand, receiver.url(), "a")
        async with going(deliveries(stand, sender)):
            await wait_until(lambda: none_left(stand))
        assert len(receiver.requests) == tries
        assert await stand.told("delivery_failed") == ["a"]


async def test_two_watchers_send_each_callback_once(stand: Stand) -> None:
    """They look at the same outbox at the same moments."""
    async with receiving() as receiver, callback_sender(receiver) as sender:
        ids = [f"j{i}" for i in range(40)]
        await left(stand, receiver.url(), *ids)
        async with going(deliveries(stand, sender), deliveries(stand, sender)):
            await wait_until(lambda: none_left(stand))
        assert sorted(receiver.records()) == sorted(ids)


async def test_a_callback_whose_watcher_died_on_the_way_comes_due_again(stand: Stand) -> None:
    """Taken, perhaps delivered, and never settled: at least once, and the key tells the far side."""
    async with receiving(Receiver(answers=deque([0]))) as receiver, callback_sender(receiver) as sender:
        await left(stand, receiver.url(), "a")
        dead = deliveries(stand, sender, hold_ms=300)
        async with going(dead):
            await wait_until(lambda: receiver.requests)
        assert await waiting(stand) == 1
        async with going(deliveries(stand, sender)):
            await wait_until(lambda: none_left(stand))
        first, second = receiver.requests
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_a_lost_reply_to_the_settling_is_harmless(stand: Stand) -> None:
    """The server had taken it; said again it is `gone`, and nothing is sent twice."""
    port = int(stand.queue.url.rpartition(":")[2].partition("/")[0])
    async with FaultProxy(port) as proxy, receiving() as receiver, callback_sender(receiver) as sender:
        await left(stand, receiver.url(), "a")
        watcher = stand.watcher(url=f"redis://127.0.0.1:{proxy.port}/0")
        duty = deliveries(stand, sender)
        duty.queue = watcher.queue
        await duty.run_once()
        await wait_until(lambda: receiver.requests and not duty._flights)
        trap = proxy.trap_reply(b"delivered")
        with pytest.raises(Exception, match="does not answer"):
            await duty.run_once()
        assert trap.caught.is_set()
        assert duty.in_flight == 1
        await duty.run_once()
        assert (duty.in_flight, len(receiver.requests), await waiting(stand)) == (0, 1, 0)


async def test_a_dead_host_keeps_nobody_else_waiting(stand: Stand) -> None:
    """It never answers; meanwhile another host is told of all, jobs run, and few connections hang."""
    async with receiving(Receiver(usual=0)) as hangs, receiving() as sound, callback_sender(hangs, sound) as sender:
        await left(stand, hangs.url(), *(f"h{i}" for i in range(30)))
        await with_sender(stand.watcher(), sender).start()
        await wait_until(lambda: hangs.at_once == PER_HOST)
        await submitted(stand, sound.url(), *(f"s{i}" for i in range(30)))
        await wait_until(lambda: len(sound.requests) == 30)
        assert (hangs.most_at_once, len(hangs.requests)) == (PER_HOST, PER_HOST)
        assert sound.most_at_once <= PER_HOST
        hangs.usual = 200
        hangs.open.set()
        await wait_until(lambda: none_left(stand))
        assert len(hangs.requests) == 30


async def test_there_are_never_too_many_at_once(stand: Stand) -> None:
    """Many hosts that hang: as many connections as one watcher has, and not one more."""
    async with contextlib.AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(receiving(Receiver(usual=0))) for _ in range(CONCURRENCY + 4)]
        sender = await stack.enter_async_context(callback_sender(*hosts))
        for i, host in enumerate(hosts):
            await left(stand, host.url(), f"j{i}")
        duty = deliveries(stand, sender)
        async with going(duty):
            await wait_until(lambda: sum(host.at_once for host in hosts) == CONCURRENCY)
            duty._news.set()
            await wait_until(lambda: not duty._news.is_set())
            assert sum(host.connections for host in hosts) == CONCURRENCY
            for host in hosts:
                host.open.set()
            await wait_until(lambda: none_left(stand))


async def test_a_bug_in_a_sender_loses_nothing(stand: Stand) -> None:
    """It is logged whole and counts as a failed try."""

    class Broken:
        """Fails in a way that nobody foresaw, once."""

        def __init__(self) -> None:
            self.tries: list[int] = []

        async def deliver(self, callback: Callback) -> None:
            """Break, then succeed."""
            self.tries.append(callback.tries)
            if len(self.tries) == 1:
                raise ZeroDivisionError

    broken = Broken()
    await left(stand, "http://127.0.0.1:1/", "a")
    async with going(deliveries(stand, broken)):
        await wait_until(lambda: none_left(stand))
    assert broken.tries == [0, 1]


async def test_stopping_waits_for_those_on_their_way_and_takes_no_more(stand: Stand) -> None:
    """SIGTERM: a delivery that is under way is ended and settled; the rest waits for the next watcher."""
    async with receiving(Receiver(usual=0)) as receiver, callback_sender(receiver) as sender:
        await left(stand, receiver.url(), *(f"j{i}" for i in range(PER_HOST + 3)))
        watcher = await with_sender(stand.watcher(), sender).start()
        await wait_until(lambda: receiver.at_once == PER_HOST)
        watcher.stop.set()
        duty = watcher.life.deliveries
        assert duty is not None
        await wait_until(lambda: duty._closing)
        receiver.open.set()
        await watcher.ended()
        assert (len(receiver.requests), await waiting(stand)) == (PER_HOST, 3)


async def test_a_drain_ends_when_all_are_told_or_given_up(stand: Stand) -> None:
    """Retries too, as with jobs."""
    async with receiving(Receiver(answers=deque([500, 500]))) as receiver, callback_sender(receiver) as sender:
        await submitted(stand, receiver.url(), "a", "b")
        watcher = await with_sender(stand.watcher(), sender, delay=0.5).start("drain")
        await watcher.ended()
        assert len(receiver.requests) == 4
        assert await none_left(stand)


@pytest.mark.parametrize(
    ("mode", "delivers", "words"),
    [
        ("once", True, "1 callback waits for another try"),
        ("drain", False, "1 callback waits for a watcher with CALLBACK_SECRET and CALLBACK_ALLOWED_HOSTS"),
    ],
)
async def test_what_waits_at_the_end_is_told(stand: Stand, mode: str, words: str, *, delivers: bool) -> None:
    """`--once` does not wait for another try, and nobody waits for what he cannot do."""
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    async with receiving(Receiver(usual=500)) as receiver, callback_sender(receiver) as sender:
        await submitted(stand, receiver.url(), "a")
        watcher = stand.watcher()
        if delivers:
            with_sender(watcher, sender, delay=600)
        await watcher.start("once" if mode == "once" else "drain")
        await watcher.ended()
        assert len(receiver.requests) == delivers
    logger.remove(sink)
    assert words in said
    assert await waiting(stand) == 1


async def test_no_token_reaches_a_log_or_an_event(stand: Stand) -> None:
    """Whatever becomes of it: delivered, tried again, given up."""
    said: list[str] = []
    sink = logger.add(said.append, level=0)
    async with (
        receiving(Receiver(answers=deque([200, 500]), usual=410)) as receiver,
        callback_sender(receiver) as sender,
    ):
        await left(stand, receiver.url("/canary?token=canary"), "a", "b", "c")
        async with going(deliveries(stand, sender)):
            await wait_until(lambda: none_left(stand))
    logger.remove(sink)
    events = await stand.queue.client.xrange(stand.queue.keys.of("events"))
    assert any("given up" in text for text in said)
    assert not [text for text in [*said, repr(events)] if "canary" in text]


async def test_nobody_is_asked_while_nothing_waits(stand: Stand) -> None:
    """Gate: a watcher whose jobs have no callbacks makes no call to a sender, and is not woken by their ends."""
    gate = Gate()
    gate.open.set()
    async with receiving() as receiver, callback_sender(receiver) as sender:
        watcher = await with_sender(
            stand.watcher(execution=gate, WATCHER_POLL_INTERVAL="60", WATCHER_SESSION_TTL="600"), sender
        ).start()
        duty = watcher.life.deliveries
        assert duty is not None
        await stand.debug("a")
        await stand.ended("a")
        assert not duty._news.is_set()
        assert receiver.connections == 0
