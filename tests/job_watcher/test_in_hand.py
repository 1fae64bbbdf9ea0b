"""What a watcher has in hand, by fence: from the start of a lease until its ending was committed."""

from __future__ import annotations

import asyncio

from job_watcher.in_hand import Held, InHand
from lib.jobqueue.protocol import Lease


def lease(fence: str, *, request_id: str = "a", deaths: int = 0) -> Lease:
    """A lease."""
    return Lease(request_id, "1", fence, "lane:metal:any", f"{fence}-0", 0, deaths, 0, "home", b"{}")


def with_body(in_hand: InHand, given: Lease, ended: list[str]) -> Held:
    """Taken in hand with a body that waits for ever and cleans up."""

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(given.fence)

    held = in_hand.add(given)
    held.body = asyncio.create_task(body())
    return held


def test_a_slot_is_free_when_the_body_has_ended_and_the_lease_stands_until_it_is_answered() -> None:
    """A result that waits for its commit takes no slot, and is still renewed and known to the comparison."""
    in_hand = InHand()
    in_hand.add(lease("1"))
    second = in_hand.add(lease("2", deaths=2))
    assert (in_hand.unanswered, in_hand.suspects_running) == (2, 1)
    in_hand.put(second, "answered")
    assert (in_hand.unanswered, in_hand.suspects_running) == (1, 0)
    assert [each.fence for each in in_hand.leases()] == ["1", "2"]
    assert in_hand.entries() == {("lane:metal:any", "1-0"), ("lane:metal:any", "2-0")}
    in_hand.release("2")
    assert [each.fence for each in in_hand.leases()] == ["1"]


def test_what_is_stored_takes_no_slot_and_is_bounded_all_the_same() -> None:
    """A body that is over has left its slot, a suspect's too; as many may be storing as there are slots."""
    in_hand = InHand()
    first, second = in_hand.add(lease("1", deaths=2)), in_hand.add(lease("2"))
    assert (in_hand.free(2), in_hand.in_slots) == (0, 2)
    in_hand.put(first, "aside")
    assert (in_hand.free(2), in_hand.in_slots, in_hand.unanswered, in_hand.suspects_running) == (1, 1, 2, 0)
    third = in_hand.add(lease("3"))
    in_hand.put(second, "aside")
    in_hand.add(lease("4"))
    in_hand.put(third, "aside")
    assert (in_hand.free(2), in_hand.in_slots, in_hand.unanswered) == (0, 1, 4)
    in_hand.put(first, "answered")
    assert in_hand.free(2) == 1


async def test_what_was_gathered_and_has_not_begun_is_stopped_alone() -> None:
    """A watcher that stops hands it back at once; a body that runs, and an outcome on its way, are left."""
    in_hand, ended = InHand(), list[str]()
    begun, waits, answered = (with_body(in_hand, lease(fence), ended) for fence in ("1", "2", "3"))
    waits.gathered = answered.gathered = True
    in_hand.put(answered, "answered")
    await asyncio.sleep(0)
    assert [each.fence for each in await in_hand.stop_gathered()] == ["2"]
    assert ended == ["2"]
    assert begun.body is not None
    assert not begun.body.done()
    await in_hand.stop_all()
    assert answered.body is not None
    answered.body.cancel()


def test_what_is_not_in_hand_any_more_takes_no_place_again() -> None:
    """A body that is still being stopped when its lease is answered moves nothing that is counted."""
    in_hand = InHand()
    held = in_hand.add(lease("1"))
    in_hand.release("1")
    in_hand.put(held, "aside")
    assert (in_hand.free(1), in_hand.unanswered, held.place) == (1, 0, "gone")


def test_two_generations_of_one_job_are_two_leases() -> None:
    """The body of a cancelled generation is still being stopped while the next one runs."""
    in_hand = InHand()
    in_hand.add(lease("1"))
    in_hand.add(lease("2"))
    in_hand.release("1")
    assert [each.fence for each in in_hand.leases()] == ["2"]


def test_a_fence_that_nobody_has_is_no_error() -> None:
    """A cancel word for another watcher, an answer that came twice."""
    in_hand = InHand()
    assert in_hand.release("9") is None
    assert in_hand.stop("9") is None


async def test_stop_cancels_exactly_one_body() -> None:
    """The body of that fence is cancelled; its neighbour goes on."""
    in_hand, ended = InHand(), list[str]()
    one, two = with_body(in_hand, lease("1"), ended), with_body(in_hand, lease("2"), ended)
    await asyncio.sleep(0)
    assert in_hand.stop("1") is one
    assert one.body is not None
    await asyncio.wait([one.body])
    assert ended == ["1"]
    assert two.body is not None
    assert not two.body.done()
    await in_hand.stop_all()


async def test_stop_all_returns_when_every_body_has_cleaned_up() -> None:
    """Nothing of a body is left when the watcher goes on; what had ended before is not handed back."""
    in_hand, ended = InHand(), list[str]()
    held = [with_body(in_hand, lease(fence), ended) for fence in "123"]
    await asyncio.sleep(0)
    in_hand.put(held[2], "answered")
    stopped = await in_hand.stop_all()
    assert [each.fence for each in stopped] == ["1", "2"]
    assert ended == ["1", "2"]
    last = in_hand.stop("3")
    assert last is not None
    assert last.body is not None
    await asyncio.wait([last.body])


async def test_a_body_that_misses_a_cancellation_is_cancelled_again() -> None:
    """`asyncio.wait_for` of Python 3.11 may swallow one; a stop that waits for ever would be the result."""
    in_hand, seen = InHand(), list[int]()

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(1)
        await asyncio.Event().wait()

    in_hand.add(lease("1")).body = asyncio.create_task(body())
    await asyncio.sleep(0)
    await asyncio.wait_for(in_hand.stop_all(), 20)
    assert seen == [1]


async def test_wait_idle_ends_with_the_last_body() -> None:
    """Not with the first, and at once when nothing runs."""
    in_hand = InHand()
    await asyncio.wait_for(in_hand.wait_idle(), 5)
    first, second = in_hand.add(lease("1")), in_hand.add(lease("2"))
    waiting = asyncio.create_task(in_hand.wait_idle())
    in_hand.put(first, "answered")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    in_hand.put(second, "answered")
    await asyncio.wait_for(waiting, 5)
