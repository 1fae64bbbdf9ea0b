"""What a watcher that ends by itself still waits for. Apart from `overview`, which commands load that start at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.jobqueue.protocol import Remaining
from lib.redisqueue.connection import edge

if TYPE_CHECKING:
    from lib.redisqueue.queue import Queue


async def remaining(queue: Queue, *, soon_ms: int) -> Remaining:
    """What a drain still waits for: all but jobs delayed by more than `soon_ms` and those that wait behind them."""
    await queue.refresh_streams()
    intakes, lanes = queue.intakes, queue.lanes
    async with edge(queue.url):
        seconds, micros = await queue.client.time()
        now = int(seconds) * 1000 + int(micros) // 1000
        horizon = now + soon_ms
        pipe = queue.client.pipeline(transaction=True)
        pipe.hlen(queue.keys.of("index"))
        for start, end in ((f"({horizon}", "+inf"), (f"({now}", str(horizon))):
            pipe.zcount(queue.keys.of("due"), start, end)
            pipe.zrangebyscore(queue.keys.of("due"), start, end, start=0, num=1, withscores=True)
        pipe.zcard(queue.keys.of("key_wait"))
        pipe.xlen(queue.keys.of("outbox"))
        pipe.zcount(queue.keys.of("callback_due"), "-inf", horizon)
        pipe.zcount(queue.keys.of("callback_due"), f"({horizon}", "+inf")
        for name in (*intakes, *lanes):
            pipe.xlen(queue.keys.stream(name))
        active, later, first_later, delayed, first_due, *rest = await pipe.execute()
    behind, outbox, callbacks, callbacks_later, *lengths = rest
    return Remaining(
        active=max(int(active) - int(later) - int(behind), 0),
        waiting=dict(zip(intakes, lengths, strict=False)),
        held=dict(zip(lanes, lengths[len(intakes) :], strict=True)),
        outbox=int(outbox),
        callbacks=int(callbacks),
        callbacks_later=int(callbacks_later),
        delayed=int(delayed),
        due_ms=int(first_due[0][1]) if first_due else 0,
        later=int(later),
        later_ms=int(first_later[0][1]) if first_later else 0,
    )
