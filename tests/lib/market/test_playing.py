"""Plays against other ways to reckon the same: one group by bisection, several by single jobs, one after the other."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.market.playing import Hand, Play, Work, play

seconds = st.floats(0.05, 60.0)
kinds = st.sampled_from(["metal", "cloud", "rented"])
hands = st.builds(Hand, kinds, st.integers(0, 4), st.floats(0.0, 1000.0), st.one_of(st.none(), st.floats(0.01, 5.0)))
works = st.builds(Work, st.integers(0, 500), st.dictionaries(kinds, seconds))


def test_a_hand_works_from_its_arrival_on() -> None:
    """Ten jobs of a second each: four before the second one comes, three each then."""
    played = play([Work(10, {"metal": 1.0, "rented": 1.0})], [Hand("metal"), Hand("rented", since=4.0)])
    assert played == Play((7.0,), ((7.0,), (3.0,)))


def test_each_takes_the_first_that_it_can_do() -> None:
    """And helps with the next when that is done."""
    first, second = Work(4, {"metal": 1.0}), Work(12, {"metal": 1.0, "rented": 1.0})
    assert play([first, second], [Hand("metal"), Hand("rented")]).ends == (4.0, 8.0)


def test_what_nobody_can_do_never_ends() -> None:
    """The others do."""
    played = play([Work(1, {"cloud": 1.0}), Work(2, {"metal": 1.0})], [Hand("metal")])
    assert played.ends == (inf, 2.0)
    assert played.end == inf


def test_a_limit_of_jobs_a_second_holds_for_all_slots_together() -> None:
    """Ten slots do no more than two a second."""
    assert play([Work(10, {"cloud": 1.0})], [Hand("cloud", 10, per_second=2.0)]).end == 5.0


def test_nothing_to_do_is_done_at_once() -> None:
    """Without any work or hand."""
    assert play([], [Hand("metal")]).end == 0.0
    assert play([Work(0, {})], []).end == 0.0


@given(works, st.lists(hands, max_size=5))
def test_one_group_ends_when_all_together_have_done_it(work: Work, there: list[Hand]) -> None:
    """The moment is found by halving, from what each has done by then."""

    def done_by(moment: float) -> float:
        return sum(hand.rate(work) * max(0.0, moment - hand.since) for hand in there)

    end = play([work], there).end
    if work.jobs == 0:
        assert end == 0.0
    elif not any(hand.rate(work) for hand in there):
        assert end == inf
    else:
        low, high = 0.0, 1e6
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if done_by(middle) < work.jobs else (low, middle)
        assert end == pytest.approx(high, rel=1e-6, abs=1e-6)


@given(st.lists(works, max_size=4), st.lists(hands, max_size=5))
def test_every_job_is_done_once(there: list[Work], those: list[Hand]) -> None:
    """By those who can; of work that ends all of it, and of none more than there is."""
    played = play(there, those)
    for index, (work, end) in enumerate(zip(there, played.ends, strict=True)):
        total = sum(row[index] for row in played.done)
        assert total <= work.jobs * (1 + 1e-6) + 1e-6
        if end < inf:
            assert total == pytest.approx(work.jobs, rel=1e-6, abs=1e-6)
    for hand, row in zip(those, played.done, strict=True):
        assert all(jobs == 0 or hand.rate(work) > 0 for jobs, work in zip(row, there, strict=True))


def _one_by_one(groups: list[Work], slots: list[Hand]) -> float:
    """The end where whole jobs are dealt to slots, each to the one that is free first."""
    free = [(hand.since, index) for index, hand in enumerate(slots)]
    heapify(free)
    left, end = [round(group.jobs) for group in groups], 0.0
    while any(left) and free:
        moment, index = heappop(free)
        can = [at for at, group in enumerate(groups) if left[at] and slots[index].kind in group.seconds]
        if can:
            left[can[0]] -= 1
            moment += groups[can[0]].seconds[slots[index].kind]
            end = max(end, moment)
            heappush(free, (moment, index))
    return inf if any(left) else end


@given(
    st.lists(st.builds(Work, st.integers(0, 60), st.dictionaries(kinds, seconds)), max_size=3),
    st.lists(st.builds(Hand, kinds, st.just(1), st.floats(0.0, 300.0)), max_size=4),
)
def test_whole_jobs_end_at_most_one_job_later(groups: list[Work], slots: list[Hand]) -> None:
    """What is never done is the same; and equal jobs end too early by less than the longest that one of them takes."""
    whole, fluid = _one_by_one(groups, slots), play(groups, slots).end
    assert (whole == inf) == (fluid == inf)
    if whole < inf and len(groups) == 1:
        assert fluid - 1e-6 <= whole <= fluid + max(groups[0].seconds.values(), default=0.0) + 1e-6
