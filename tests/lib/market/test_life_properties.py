"""What holds for every rented machine, whatever happens to it and in whatever order."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, get_args

from hypothesis import given
from hypothesis import strategies as st

from lib.market import events as ev
from lib.market.ending import APART_SECONDS, IN_FLIGHT_SECONDS, LONGEST_PAUSE_SECONDS, REASONS
from lib.market.instance import READY, STATES, Instance, seconds_by_state
from lib.market.life import MOVES, accrued, next_tick, step
from tests.lib.market.lives import EVENTS, LIMITS, NOW, Told, fresh, happenings, in_state, somewhere

if TYPE_CHECKING:
    from collections.abc import Sequence

Happenings = list[tuple[ev.Event, float]]


def _whole_life(events: Sequence[tuple[ev.Event, float]]) -> list[tuple[Instance, ev.Event, float, Instance]]:
    """Each step of a life from its intent: before, event, moment, after."""
    told, steps = Told(), []
    for event, after in events:
        before = told.instance
        told.hears(event, after=after)
        steps.append((before, event, told.now, told.instance))
    return steps


def test_every_kind_of_event_is_tried() -> None:
    """A new one is not forgotten here."""
    assert {type(event) for event in EVENTS} == set(get_args(ev.Event))


def _made(*, late: bool) -> set[tuple[str, str]]:
    """Every change of state: every state, every event, before or after its deadline, with and without its id."""
    made = set[tuple[str, str]]()
    for state in STATES:
        there = in_state(state)
        unknown = [replace(there.instance, market_id="", absent_at=NOW)] if state in {"creating", "destroying"} else []
        for instance in (there.instance, *unknown):
            passed = (instance.deadline, instance.expires_at, instance.expires_at + 9999)
            for event in EVENTS:
                for now in passed if late else (there.now,):
                    after = step(instance, event, now, LIMITS).instance
                    if after.state != state:
                        made.add((state, after.state))
    return made


def test_the_moves_are_those_of_the_table_and_all_of_them() -> None:
    """In time."""
    assert _made(late=False) == {(move.source, move.target) for move in MOVES if move.source}


def test_what_is_late_is_destroyed_and_gone_only_if_the_event_is_the_proof() -> None:
    """Of a create that is refused late there is nothing left to prove."""
    late = _made(late=True)
    assert late == {(state, "destroying") for state in STATES[:-2]} | {("creating", "gone"), ("destroying", "gone")}


@given(somewhere, happenings)
def test_every_life_ends(instance: Instance, events: Happenings) -> None:
    """From any state, after any events: by its end it is being destroyed, and with proof it is gone."""
    told = Told(instance, max(NOW, instance.since))
    for event, after in events:
        told.hears(event, after=after)
    ticks = 0
    while told.instance.state not in {"destroying", "gone"}:
        due = next_tick(told.instance, told.now)
        assert told.now <= due <= told.instance.deadline <= told.instance.expires_at
        told.hears(ev.Tick(), after=max(due - told.now, 0.001))
        ticks += 1
        assert ticks < 2000
    for _ in range(3):
        told.hears(ev.Absent(plain=False), after=IN_FLIGHT_SECONDS)
    assert told.instance.state == "gone"


@given(happenings)
def test_nothing_is_gone_without_proof(events: Happenings) -> None:
    """A plain word about the only request or id; or two whole listings, apart, late, nobody saw it between."""
    absent_at: float | None = None
    for before, event, now, after in _whole_life(events):
        if isinstance(event, ev.Shown) or (isinstance(event, ev.Created) and not before.market_id):
            absent_at = None
        if isinstance(event, ev.Absent) and not (event.plain and before.market_id) and before.state == "destroying":
            flying = not before.market_id and before.created_at and now < before.created_at + IN_FLIGHT_SECONDS
            absent_at = None if flying else now if absent_at is None else absent_at
        if after.state != "gone" or before.state == "gone":
            continue
        if isinstance(event, ev.Refused):
            assert not before.market_id
            assert before.state in {"creating", "destroying"}
        else:
            assert isinstance(event, ev.Absent)
            assert (event.plain and before.market_id) or (absent_at is not None and now - absent_at >= APART_SECONDS)


@given(happenings)
def test_only_the_proof_leads_out_of_destroying(events: Happenings) -> None:
    """And nothing out of what is gone; its reason stays the first one."""
    for before, _, _, after in _whole_life(events):
        if before.state == "destroying":
            assert after.state in {"destroying", "gone"}
            assert (after.reason, after.failed) == (before.reason, before.failed)
        if before.state == "gone":
            assert after == before
        if after.state in {"destroying", "gone"}:
            assert after.reason.partition(":")[0] in REASONS


@given(happenings)
def test_there_is_always_a_deadline_and_a_next_look(events: Happenings) -> None:
    """In every state and at every moment; never behind the end of the rent, but while it is being ended."""
    for _, _, now, after in _whole_life(events):
        if after.state == "gone":
            continue
        assert isfinite(after.deadline)
        assert now <= next_tick(after, now) <= max(now, after.deadline)
        if after.state == "destroying":
            assert after.deadline <= now + LONGEST_PAUSE_SECONDS
        else:
            assert now < after.deadline <= after.expires_at or LIMITS.seconds(after.state) == 0


@given(happenings)
def test_cost_never_falls_and_is_that_of_the_time(events: Happenings) -> None:
    """What was charged in all is what it costs at this moment, once the market has it; before that nothing."""
    for before, _, now, after in _whole_life(events):
        assert after.cost >= before.cost
        if after.state != "gone":
            assert after.cost == accrued(after, now)
        if not after.market_id:
            assert after.cost == 0


@given(happenings)
def test_the_seconds_of_a_life_add_up(events: Happenings) -> None:
    """All its states together are the time from its intent until now, or until it was gone."""
    for _, _, now, after in _whole_life(events):
        until = after.since if after.state == "gone" else now
        assert abs(sum(seconds_by_state(after, now).values()) - (until - NOW)) < 1e-3


@given(happenings)
def test_it_is_created_once_opened_once_and_closed_when_it_was_reached(events: Happenings) -> None:
    """One create in a whole life, whatever was lost; jobs only between `Open` and `Close`."""
    told = Told()
    for event, after in events:
        told.hears(event, after=after)
    done = [type(action) for action in told.actions]
    assert done.count(ev.Create) <= 1
    assert done.count(ev.Open) <= 1
    assert done.count(ev.End) == (told.instance.state == "gone")
    assert done.count(ev.Close) == (ev.Connect in done and told.instance.state in {"destroying", "gone"})
    assert (told.instance.state in READY) == (ev.Open in done and ev.Close not in done)
    if ev.Open in done and ev.Close in done:
        assert done.index(ev.Open) < done.index(ev.Close)


@given(happenings)
def test_only_what_the_market_has_is_asked_for_by_id(events: Happenings) -> None:
    """Without an id there is nothing to show or to destroy: only the label helps."""
    told = Told()
    for event, after in events:
        done = told.hears(event, after=after)
        if ev.Destroy() in done or ev.Show() in done:
            assert told.instance.market_id


@given(st.integers(0, 3600), st.sampled_from(["", "c1"]))
def test_a_market_that_never_obeys_is_asked_at_most_once_a_minute(seconds: int, market_id: str) -> None:
    """After the first five requests, which come within the first 75 s."""
    told = in_state("destroying")
    told.instance = replace(told.instance, market_id=market_id)
    began, end = told.now, told.now + seconds
    while next_tick(told.instance, told.now) <= end:
        told.hears(ev.Tick(), after=next_tick(told.instance, told.now) - told.now)
    assert told.instance.asked <= 5 + (end - began) / 60


@given(happenings)
def test_an_alarm_names_what_is_wrong(events: Happenings) -> None:
    """And how often its end was asked for."""
    told = Told()
    for event, after in events:
        for action in told.hears(event, after=after):
            if isinstance(action, ev.Alarm):
                assert action.why
                assert action.asked == told.instance.asked
            if isinstance(action, ev.Exclude):
                assert action.machine_id == fresh().machine_id
                assert told.instance.failed
