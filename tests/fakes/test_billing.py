"""The bill of the fake market is right, so that a renter's own books can be held against it."""

from __future__ import annotations

import pytest

from tests.fakes.billing import BillLine, MarketClock, Meter, as_table


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now


def meter(dph: float = 0.36, storage_dph: float = 0.036, began: float = 0.0) -> Meter:
    """A tenth of a thousandth of a dollar a second, and a tenth of that for storage."""
    return Meter(7, "label", "main", "m1", dph, storage_dph, began)


def test_a_clock_runs_as_many_times_as_fast_as_it_is_told() -> None:
    """Its seconds are the real ones up to the start, and `speed` a real one from then on."""
    hand = Hand()
    clock = MarketClock(60.0, hand)
    assert clock.time() == 1000.0
    hand.now += 2.0
    assert clock.time() == 1120.0
    assert clock.real(120.0) == 2.0


def test_it_costs_from_the_first_moment_and_in_every_status_but_stopped() -> None:
    """Loading is paid for as running is; what is stopped pays for its storage."""
    counted = meter()
    for at, status in enumerate(("loading", "running", "exited", "offline", "stopped")):
        counted.turn(status, at * 10.0)
    line = counted.line(50.0)
    assert line.by_status == dict.fromkeys(("loading", "running", "exited", "offline", "stopped"), 10.0)
    assert line.micros == 40 * 110 + 10 * 10
    assert line.seconds == 50.0
    assert line.ended is None


def test_after_its_end_it_costs_no_more_whatever_is_said() -> None:
    """A status that comes late, or a second end, changes nothing."""
    counted = meter()
    counted.turn("running", 0.0)
    counted.end(10.0)
    counted.turn("running", 20.0)
    counted.end(30.0)
    assert counted.line(1000.0) == BillLine(7, "label", "main", "m1", 0.0, 10.0, 10.0, 1100, {"running": 10.0})
    assert counted.line(1000.0).dollars == pytest.approx(0.0011)


def test_a_status_that_comes_back_is_added_up() -> None:
    """Started, stopped and started again: two stretches of running are one sum."""
    counted = meter(storage_dph=0.0)
    counted.turn("running", 0.0)
    counted.turn("stopped", 10.0)
    counted.turn("running", 30.0)
    counted.end(35.0)
    line = counted.line(99.0)
    assert line.by_status == {"running": 15.0, "stopped": 20.0}
    assert line.micros == 1500


def test_the_table_names_what_is_still_there_and_the_sum() -> None:
    """Whoever reads it sees at once what costs on."""
    gone, left = meter(), meter()
    for each in (gone, left):
        each.turn("running", 0.0)
    gone.end(10.0)
    first, second, total = as_table([gone.line(20.0), left.line(20.0)]).splitlines()[1:]
    assert "gone" in first
    assert "STILL THERE" in second
    assert total.split() == ["30.0", "0.003300"]


def test_a_line_goes_through_json() -> None:
    """As other processes get it."""
    counted = meter()
    counted.turn("running", 0.0)
    assert counted.line(10.0).as_json()["dollars"] == pytest.approx(0.0011)
