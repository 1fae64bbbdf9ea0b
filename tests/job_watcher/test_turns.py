"""Short bodies: the next job is leased ahead and waits; it begins when the slot is free, or goes back unharmed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher import turns
from job_watcher.in_hand import Held, InHand
from job_watcher.turns import SHORT_SECONDS, TOO_SHORT_SECONDS, Turns
from lib.errors import UnreachableError
from lib.jobqueue.protocol import SUSPECT_PAUSE_MS, Lease
from tests.job_watcher.watching import Gate
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand, Watcher


class Row:
    """Turns of a watcher with so many slots, on a clock that the test turns."""

    def __init__(self, slots: int = 1) -> None:
        self.clock = HandClock()
        self.in_hand = InHand()
        self.back: list[str] = []
        self.fresh = True
        self.away = False
        self.turns = Turns(self.in_hand, slots, self.clock, lambda: self.fresh, self._hand_back)

    async def _hand_back(self, lease: Lease) -> None:
        if self.away:
            raise UnreachableError("nobody answers")
        self.back.append(lease.fence)

    def take(self, fence: str) -> Held:
        """Lease one."""
        held = self.in_hand.add(Lease(fence, "1", fence, "lane:metal:any", f"{fence}-0", 0, 0, 0, "home", b"{}"))
        self.turns.admit(held)
        return held

    def over(self, held: Held) -> None:
        """Its body is over."""
        self.in_hand.put(held, "aside")
        self.turns.over(held)

    async def body(self, fence: str, seconds: float) -> None:
        """One body from its lease to its end."""
        held = self.take(fence)
        assert await self.turns.wait(held)
        self.clock.at += seconds
        self.over(held)
        self.in_hand.release(fence)

    async def short(self, count: int = 4, seconds: float = 0.1) -> None:
        """So many bodies one after the other."""
        for number in range(count):
            await self.body(f"short-{number}", seconds)


async def test_one_is_leased_ahead_once_some_bodies_in_a_row_were_short() -> None:
    """Not before, not while a slot's body has been running for long, and not after a long one."""
    row = Row()
    await row.short(3)
    row.turns.admit(held := row.in_hand.add(Lease("a", "1", "a", "lane:metal:any", "a-0", 0, 0, 0, "home", b"{}")))
    assert await row.turns.wait(held)
    assert row.turns.room() == 0
    row.clock.at += 0.1
    row.over(held)
    row.in_hand.release("a")
    running = row.take("b")
    assert await row.turns.wait(running)
    assert row.turns.room() == 1
    row.take("c")
    assert row.turns.room() == 0
    row.in_hand.release("c")
    row.clock.at += SHORT_SECONDS + 0.1
    assert row.turns.room() == 0
    row.over(running)
    row.in_hand.release("b")
    held = row.take("d")
    assert await row.turns.wait(held)
    assert row.turns.room() == 0


@pytest.mark.parametrize(("seconds", "room"), [(TOO_SHORT_SECONDS / 2, 0), (0.1, 2), (SHORT_SECONDS * 1.5, 0)])
async def test_only_bodies_that_gain_by_it_are_leased_ahead(seconds: float, room: int) -> None:
    """Bodies of no time at all keep the loop busy anyway, long ones lose next to nothing; one a slot at most."""
    row = Row(slots=2)
    await row.short(seconds=seconds)
    for fence in "ab":
        assert await row.turns.wait(row.take(fence))
    assert row.turns.room() == room


async def test_as_many_as_slots_are_stored_ahead_or_not() -> None:
    """A slow store piles up nothing: while one is stored for each slot, no lease is taken ahead."""
    row = Row()
    await row.short()
    stored = row.take("stored")
    assert await row.turns.wait(stored)
    row.clock.at += 0.1
    row.over(stored)
    assert await row.turns.wait(row.take("runs"))
    assert row.turns.room() == 0
    row.in_hand.put(stored, "answered")
    assert row.turns.room() == 1


async def test_a_free_slot_goes_to_the_first_that_waits() -> None:
    """In the order of their leases, one a slot, at the moment the body before is over."""
    row = Row()
    first = row.take("1")
    assert await row.turns.wait(first)
    second, third = row.take("2"), row.take("3")
    waiting = [asyncio.create_task(row.turns.wait(each)) for each in (second, third)]
    await asyncio.sleep(0)
    assert (row.in_hand.in_slots, row.in_hand.unanswered) == (1, 3)
    row.over(first)
    assert await waiting[0]
    assert (second.place, third.place) == ("slot", "line")
    row.over(second)
    assert await waiting[1]
    assert row.back == []


async def test_a_job_that_is_cancelled_while_it_waits_leaves_its_place() -> None:
    """Its slot, when there is one, goes to the next."""
    row = Row()
    first = row.take("1")
    assert await row.turns.wait(first)
    second, third = row.take("2"), row.take("3")
    gone, stays = (asyncio.create_task(row.turns.wait(each)) for each in (second, third))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    row.in_hand.release("2")
    row.turns.over(second)
    assert not stays.done()
    row.over(first)
    assert await stays


async def test_behind_a_long_body_it_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another watcher may be free: it goes back, and no slot is kept for it."""
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", 0.01)
    row = Row()
    first = row.take("1")
    assert await row.turns.wait(first)
    second = row.take("2")
    assert not await row.turns.wait(second)
    assert row.back == ["2"]
    row.over(first)
    assert second.place != "slot"


async def test_what_was_sent_back_is_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer it may be another watcher's by now, or another job of its key may run: it is asked until then.

    The slot that is free meanwhile goes to the next one.
    """
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", 0.01)
    row = Row()
    row.away = True
    first = row.take("1")
    assert await row.turns.wait(first)
    second = row.take("2")
    waiting = asyncio.create_task(row.turns.wait(second))
    await wait_until(lambda: row.clock.sleepers)
    row.over(first)
    assert second.place == "aside"
    assert await row.turns.wait(row.take("3"))
    row.away = False
    await row.clock.move(1.0)
    assert not await waiting
    assert row.back == ["2"]


async def test_a_watcher_that_lost_touch_begins_nothing_that_waited() -> None:
    """The self-stop: a job leased before is not begun after it; the first look when in touch again begins it."""
    row = Row()
    first = row.take("1")
    assert await row.turns.wait(first)
    second = row.take("2")
    waiting = asyncio.create_task(row.turns.wait(second))
    await asyncio.sleep(0)
    row.fresh = False
    row.over(first)
    await asyncio.sleep(0)
    assert second.place != "slot"
    row.fresh = True
    row.turns.give()
    assert await waiting


async def test_at_the_end_those_that_wait_go_back_at_once() -> None:
    """A watcher that stops finishes what runs and begins nothing; nothing more is leased ahead either."""
    row = Row()
    await row.short()
    first = row.take("1")
    assert await row.turns.wait(first)
    waiting = asyncio.create_task(row.turns.wait(row.take("2")))
    await asyncio.sleep(0)
    row.turns.close()
    assert not await waiting
    assert row.back == ["2"]
    row.in_hand.release("2")
    assert row.turns.room() == 0


async def test_after_a_suspect_was_met_ahead_no_lease_is_taken_ahead_for_a_while() -> None:
    """Or it would be put off for as long as there is other work."""
    row = Row()
    await row.short()
    assert await row.turns.wait(row.take("1"))
    row.turns.put_off()
    assert row.turns.room() == 0
    row.clock.at += 2.5 * SUSPECT_PAUSE_MS / 1000
    assert row.turns.room() == 0  # the body runs for long now
    assert row.in_hand.suspects_running == 0


class Paced(Gate):
    """Bodies that are over after a moment, but for those that the test holds."""

    def __init__(self, *held: str) -> None:
        super().__init__()
        self.held = held

    async def run(self, lease: Lease, on_progress: Any, on_room: Any) -> Any:
        """Hold it for 30 ms, or until it is let go."""
        if lease.request_id not in self.held:
            asyncio.get_running_loop().call_later(0.03, self.let, lease.request_id)
        return await super().run(lease, on_progress, on_room)


async def ahead_of_a_held_body(stand: Stand, gate: Paced) -> Watcher:
    """A watcher whose slot is held by `held` after short bodies, with `next` to come."""
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="1", METAL_QUEUE_MAX="9").start()
    await stand.debug(*(f"short-{number}" for number in range(5)), "held", "next")
    await wait_until(lambda: "held" in gate.ids(), what="the body that is held")
    return watcher


async def leased_ahead(watcher: Watcher) -> None:
    """Wait until one waits for its turn."""
    await wait_until(lambda: [held.lease.request_id for held in watcher.life.in_hand.waiting()] == ["next"])


async def test_the_next_job_is_leased_while_a_body_runs_and_never_two_run_in_one_slot(stand: Stand) -> None:
    """It is leased, told as started nowhere else, and begins when the slot is free; all end once, at one attempt."""
    gate = Paced("held")
    watcher = await ahead_of_a_held_body(stand, gate)
    await leased_ahead(watcher)
    row = await stand.row("next")
    assert row is not None
    assert row.state == "L"
    assert gate.ids()[-1] == "held"
    gate.let("held")
    records = await stand.ended("held", "next")
    assert [record["attempt"] for record in records] == [1, 1]
    assert gate.most == 1


async def test_a_cancel_takes_back_what_waits_and_stops_no_body(stand: Stand) -> None:
    """The job is cancelled, the body before it goes on, and nothing of it is ever begun."""
    gate = Paced("held")
    watcher = await ahead_of_a_held_body(stand, gate)
    await leased_ahead(watcher)
    await stand.cancel("next")
    await wait_until(lambda: not watcher.life.in_hand.waiting())
    assert gate.stopped == []
    gate.let("held")
    await stand.ended("held", "next")
    assert "next" not in gate.ids()


async def test_behind_a_body_that_proves_long_it_is_free_for_another_watcher(stand: Stand) -> None:
    """After a second at most it is in the queue again, at no cost, and another watcher runs it."""
    gate = Paced("held")
    watcher = await ahead_of_a_held_body(stand, gate)
    await leased_ahead(watcher)
    other = Paced()
    await stand.watcher("other", execution=other, state="elsewhere").start()
    (record,) = await stand.ended("next")
    assert other.ids() == ["next"]
    assert (record["attempt"], gate.ids()[-1]) == (1, "held")
    gate.let("held")
    await stand.ended("held")


async def test_a_watcher_that_stops_hands_back_what_waits_and_finishes_what_runs(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job that had not begun waits in the queue while the other one still runs."""
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", 60.0)
    gate = Paced("held")
    watcher = await ahead_of_a_held_body(stand, gate)
    await leased_ahead(watcher)
    finishing = asyncio.create_task(watcher.finish())

    async def back() -> bool:
        row = await stand.row("next")
        return row is not None and row.state == "Q" and row.deaths == 0

    await wait_until(back, what="the job that waited")
    assert not finishing.done()
    gate.let("held")
    await finishing
    assert "next" not in gate.ids()
    await stand.ended("held")
