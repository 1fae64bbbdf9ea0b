"""Jobs that end and leave callbacks, and watchers that deliver them: what the tests of `Deliveries` share."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from job_watcher.callbacks.deliveries import Deliveries
from job_watcher.callbacks.delivery import CallbackSender, Deadlines
from job_watcher.retrying import RetryPolicy
from lib import wiring
from lib.clock import SystemClock
from lib.jobqueue import normalize_job_spec
from lib.jobqueue.protocol import Verdict
from lib.redisqueue import producing, upkeep
from lib.redisqueue.submissions import submission_of
from tests.job_watcher.callbacks.receiving import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from job_watcher.callbacks.deliveries import CallbackSender as AnySender
    from tests.job_watcher.callbacks.receiving import Receiver
    from tests.job_watcher.watching import Stand, Watcher


async def submitted(stand: Stand, url: str, *request_ids: str, **more: Any) -> None:
    """Jobs that end at once and tell `url`."""
    catalogue = wiring.catalogue(stand.settings())
    hosts = frozenset({url.partition("://")[2].partition("/")[0]})
    rows = [{"request_id": each, "task": "debug", "payload": {}, "callback_url": url, **more} for each in request_ids]
    specs = [normalize_job_spec(row, catalogue=catalogue, callback_hosts=hosts) for row in rows]
    jobs = [submission_of(spec, catalogue) for spec in specs]
    assert {reply.code for reply in await producing.submit(stand.queue, jobs)} == {"queued"}


async def left(stand: Stand, url: str, *request_ids: str) -> None:
    """Callbacks of jobs that were ended without a watcher."""
    await submitted(stand, url, *request_ids)
    for each in request_ids:
        row = await stand.row(each)
        assert row is not None
        tail = f'"request_id":"{each}"}}'.encode()
        verdict = Verdict(each, row.generation, row.stream, row.entry, tail, callback=url)
        assert await upkeep.condemn(stand.queue, [verdict]) == [True]


async def waiting(stand: Stand) -> int:
    """Callbacks still to be delivered."""
    return int(await stand.queue.client.xlen(stand.queue.keys.of("outbox_callback")))


async def none_left(stand: Stand) -> bool:
    """Whether all were delivered or given up."""
    return await waiting(stand) == 0


@contextlib.asynccontextmanager
async def callback_sender(*receivers: Receiver, **deadlines: float) -> AsyncIterator[CallbackSender]:
    """A real callback_sender that may call these receivers."""
    places = [each.place for each in receivers]
    made = CallbackSender(SECRET, places, version="0", clock=SystemClock(), deadlines=Deadlines(**deadlines))
    try:
        yield made
    finally:
        await made.aclose()


def deliveries(stand: Stand, sender: AnySender, *, delay: float = 0.05, hold_ms: int = 30_000) -> Deliveries:
    """The duty by itself, with short pauses between tries."""
    policy = RetryPolicy(3, error_delays=(delay,))
    return Deliveries(stand.queue, sender, policy, SystemClock(), 0.4, hold_ms=hold_ms)


def with_sender(watcher: Watcher, sender: AnySender, *, delay: float = 0.05) -> Watcher:
    """A watcher, not started yet, that delivers callbacks."""
    watcher.life._equipment.callback_sender = sender
    watcher.life._build()
    assert watcher.life.deliveries is not None
    watcher.life.deliveries.policy = RetryPolicy(3, error_delays=(delay,))
    return watcher
