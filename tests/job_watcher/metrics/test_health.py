"""Alive by the last good round trip; ready while slots are offered."""

from __future__ import annotations

from dataclasses import dataclass, field

from job_watcher.metrics.counts import Counts
from job_watcher.metrics.health import Health
from tests.support.hand_clock import HandClock

LIFE = 20.0


@dataclass
class Life:
    """A life that says what it is told to."""

    session_id: str = "desk:1"
    running: int = 0
    slots: dict[str, int] = field(default_factory=lambda: {"metal": 1})
    paused: dict[tuple[str, str], bool] = field(default_factory=dict)
    stuck_publications: int = 0
    leads: bool = False
    renting: None = None


def test_before_the_first_round_trip_it_is_not_alive() -> None:
    """A watcher that waits for its server from the start is no use to anybody."""
    alive, document = Health(Counts(), HandClock(), LIFE, lambda: None).alive()
    assert not alive
    assert document["status"] == "unavailable"
    assert "no round trip" in document["reason"]
    assert document["last_round_trip_seconds_ago"] is None


def test_it_is_alive_for_a_session_s_life_after_the_last_round_trip() -> None:
    """And not a moment longer; the reason says for how long."""
    clock, counts = HandClock(), Counts()
    counts.renewed(elapsed=clock.elapsed(), unix_time=0.0)
    health = Health(counts, clock, LIFE, Life)
    clock.at += LIFE
    assert health.alive()[0]
    assert "reason" not in health.alive()[1]
    clock.at += 0.5
    alive, document = health.alive()
    assert not alive
    assert "for 20.5 s" in document["reason"]
    assert health.ready()[0] is False


def test_it_is_ready_while_slots_are_offered() -> None:
    """Not while it stops, nor between two sessions; it is alive all the same."""
    clock, counts = HandClock(), Counts()
    counts.renewed(elapsed=clock.elapsed(), unix_time=0.0)
    life = Life()
    health = Health(counts, clock, LIFE, lambda: life)
    assert health.ready() == (True, health.alive()[1])
    life.slots = {}
    ready, document = health.ready()
    assert (ready, document["status"]) == (False, "unavailable")
    assert "stopping" in document["reason"]
    assert health.alive()[0]
    assert not Health(counts, clock, LIFE, lambda: None).ready()[0]
