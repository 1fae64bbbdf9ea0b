"""A cancel reaches the body at once, and only that body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.job_watcher.watching import Gate
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand

SLOW: dict[str, Any] = {
    "WATCHER_SESSION_TTL": "3600",
    "WATCHER_POLL_INTERVAL": "600",
    "WATCHER_SESSION_RENEW_EVERY": "300",
}


async def test_a_cancelled_body_is_stopped_at_once(stand: Stand) -> None:
    """With renewals five minutes apart it is the word on `control` that stops it."""
    watcher = await stand.watcher(**SLOW).start()
    await stand.sleep("a")
    await stand.leased("a")
    await wait_until(lambda: watcher.life.control.after and watcher.life.in_hand.unanswered)
    assert await stand.cancel("a") == "cancelled"
    await wait_until(lambda: watcher.life.in_hand.leases() == [], 5, what="the body is stopped")
    (record,) = await stand.ended("a")
    assert record["status"] == "cancelled"
    assert watcher.tally.done == watcher.tally.failed == 0
    await stand.debug("next")
    await stand.ended("next")


async def test_a_word_for_another_stops_nobody(stand: Stand) -> None:
    """Neither an unknown fence nor a word of another kind."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate, **SLOW).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running and watcher.life.control.after)
    control = stand.queue.keys.of("control")
    await stand.queue.client.xadd(control, {"type": "cancel", "id": "a", "fence": "1"})
    await stand.queue.client.xadd(control, {"type": "dance", "id": "a", "fence": gate.begun[0].fence})
    last = await stand.add(control, {"odd": "entry"})
    await wait_until(lambda: watcher.life.control.after == last)
    assert gate.stopped == []
    gate.open.set()
    assert (await stand.ended("a"))[0]["status"] == "done"


async def test_an_old_word_does_not_reach_a_new_life(stand: Stand) -> None:
    """It listens from its own beginning on: a fence never repeats, and nothing is read twice."""
    control = stand.queue.keys.of("control")
    old = await stand.add(control, {"type": "cancel", "id": "a", "fence": "1"})
    watcher = await stand.watcher().start()
    await wait_until(lambda: watcher.life.control.after == old)
    await stand.debug("a")
    await stand.ended("a")
