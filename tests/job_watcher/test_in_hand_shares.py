"""Several backends in one watcher: each has its share of what is in hand, and the whole is their sum, always."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_watcher.in_hand import InHand
from tests.job_watcher.test_in_hand import lease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from job_watcher.in_hand import Held, Place

PLACES: tuple[Place, ...] = ("slot", "line", "aside", "answered", "gone")

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2), st.booleans()),
        st.tuples(st.sampled_from(PLACES), st.integers(0, 11), st.booleans()),
        st.tuples(st.just("release"), st.integers(0, 11), st.booleans()),
    ),
    max_size=40,
)


def check(whole: InHand, shares: Sequence[InHand], known: Sequence[tuple[Held, InHand]]) -> None:
    """The whole is the sum, and each share is what was added to it and has not gone."""
    assert whole.unanswered == sum(share.unanswered for share in shares)
    assert whole.in_slots == sum(share.in_slots for share in shares)
    assert {each.fence for each in whole.leases()} == {each.fence for share in shares for each in share.leases()}
    assert whole.entries() == set().union(*(share.entries() for share in shares))
    for share in shares:
        mine = [held for held, owner in known if owner is share and held.place != "gone"]
        assert share.unanswered == sum(held.place in {"slot", "line", "aside"} for held in mine)
        assert share.in_slots == sum(held.place == "slot" for held in mine)
        assert [held.lease.fence for held in share.waiting()] == [h.lease.fence for h in mine if h.place == "line"]
        assert share.leases() == [held.lease for held in mine]
        # One suspect at a time in the whole watcher, whichever backend it is on.
        assert share.suspects_running == whole.suspects_running
    suspects = [held for held, _ in known if held.place == "slot" and held.lease.suspect]
    assert whole.suspects_running == len(suspects)


@given(steps)
def test_the_whole_is_the_sum_of_its_shares(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever comes, moves on, is answered twice or is released by either: all counts agree at every step."""
    whole = InHand()
    shares = [whole.share() for _ in range(3)]
    known: list[tuple[Held, InHand]] = []
    for what, which, flag in steps:
        if what == "add":
            held = shares[which].add(lease(str(len(known) + 1), deaths=2 if flag else 0))
            known.append((held, shares[which]))
        elif which < len(known):
            held, share = known[which]
            # Whoever answers may know only the whole; a lane knows its share.
            hand = whole if flag else share
            if what == "release":
                there = held.place != "gone"
                assert hand.release(held.lease.fence) is (held if there else None)
            else:
                hand.put(held, next(place for place in PLACES if place == what))
        check(whole, shares, known)


def test_slots_are_counted_by_share() -> None:
    """A full backend takes none of another's slots."""
    whole = InHand()
    metal, cloud = whole.share(), whole.share()
    metal.add(lease("1"))
    assert (metal.free(1), cloud.free(1), cloud.free(3)) == (0, 1, 3)
    cloud.add(lease("2"))
    assert (cloud.free(3), whole.in_slots) == (2, 2)


def test_what_the_whole_releases_is_gone_from_its_share() -> None:
    """Outcomes are sent for the whole watcher: the lane's room comes back by that."""
    whole = InHand()
    metal, cloud = whole.share(), whole.share()
    held = metal.add(lease("1"))
    assert cloud.find("1") is None
    assert cloud.release("1") is None
    assert whole.release("1") is held
    assert (metal.leases(), metal.free(1), held.place) == ([], 1, "gone")


def test_one_seat_for_a_suspect_in_the_whole_watcher() -> None:
    """Two backends ask at the same moment: one call may bring a suspect; then its lease has the seat."""
    whole = InHand()
    metal, cloud = whole.share(), whole.share()
    with metal.suspect_seat() as first, cloud.suspect_seat() as second, whole.suspect_seat() as third:
        assert (first, second, third) == (1, 0, 0)
    with cloud.suspect_seat() as again:
        assert again == 1
        held = cloud.add(lease("1", deaths=2))
    with metal.suspect_seat() as beside:
        assert beside == 0
    cloud.put(held, "answered")
    with pytest.raises(RuntimeError), metal.suspect_seat():
        raise RuntimeError
    with metal.suspect_seat() as free:
        assert free == 1


async def test_a_change_is_told_to_the_share_and_to_the_whole_and_to_nobody_else() -> None:
    """The lane that waits for room wakes, and so does who waits for the whole; another lane sleeps on."""
    whole = InHand()
    metal, cloud = whole.share(), whole.share()
    held = metal.add(lease("1"))
    for hand in (whole, metal, cloud):
        hand.changed.clear()
    metal.put(held, "answered")
    assert (whole.changed.is_set(), metal.changed.is_set(), cloud.changed.is_set()) == (True, True, False)
    await asyncio.wait_for(whole.wait_idle(), 5)


async def test_stopping_the_whole_stops_the_bodies_of_every_share() -> None:
    """Session lost, or a second signal: nothing runs on, wherever it ran; what was running is named."""
    whole = InHand()
    metal, cloud = whole.share(), whole.share()
    bodies = []
    for share, fence in ((metal, "1"), (cloud, "2"), (cloud, "3")):
        held = share.add(lease(fence))
        held.body = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]  # what it returns is not read
        bodies.append(held.body)
    await asyncio.sleep(0)
    assert cloud.stop("1") is None
    assert {each.fence for each in await whole.stop_all()} == {"1", "2", "3"}
    assert all(body.cancelled() for body in bodies)


async def test_stopping_a_share_leaves_the_others() -> None:
    """Its bodies and no more."""
    whole = InHand()
    metal, cloud = whole.share(), whole.share()
    kept, stopped = metal.add(lease("1")), cloud.add(lease("2"))
    for held in (kept, stopped):
        held.body = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]  # as above
    await asyncio.sleep(0)
    assert [each.fence for each in await cloud.stop_all()] == ["2"]
    assert kept.body is not None
    assert not kept.body.done()
    await whole.stop_all()
