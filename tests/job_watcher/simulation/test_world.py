"""The queue of a simulation keeps to what move.lua keeps to, whatever it is told."""

from __future__ import annotations

from typing import Any

import pytest

from job_watcher.simulation.world import DAY_MS, Ledger, Standing, World
from lib.jobqueue.moves import Move
from tests.job_watcher.simulation.scenarios import job, scenario

CLOUD = ("lane:cloud:any",)
METAL = ("lane:metal:any",)
INTAKE = "stream:normal:any"


def world(count: int, **limits: Any) -> World:
    """A world in which so many jobs wait."""
    jobs = [job(f"j{i}") for i in range(count)]
    made = World(scenario(*jobs, **limits))
    for each in jobs:
        made.accept(Standing(each, str(each.intake)))
    return made


def moved(made: World, order: Move) -> list[str]:
    """The jobs that an order moved."""
    [found] = made.move([order])
    return [standing.job.id for standing in found]


def test_an_order_beyond_the_room_is_cut() -> None:
    """The lane's, and that of all lanes of its pool."""
    made = world(9)
    assert moved(made, Move(INTAKE, METAL[0], 9, 2, METAL, 5)) == ["j0", "j1"]
    assert moved(made, Move(INTAKE, METAL[0], 9, 5, METAL, 3)) == ["j2"]
    assert moved(made, Move(INTAKE, METAL[0], 9, 3, METAL, 3)) == []


def test_a_window_grants_so_many_and_tells_when_the_next_is_due() -> None:
    """Two in 60.5 seconds, counted from each move."""
    made = world(9)
    rated = Move(INTAKE, CLOUD[0], 9, 20, CLOUD, 20, rated=True)
    assert moved(made, rated) == ["j0", "j1"]
    assert made.survey().rate.left == 0
    assert made.survey().rate.next_ms == 60_501
    made.now_ms = 60_499
    assert moved(made, rated) == []
    made.now_ms = 60_500
    assert moved(made, rated) == ["j2", "j3"]


def test_picks_are_taken_from_wherever_they_stand() -> None:
    """One that is not there is passed over."""
    made = world(5)
    order = Move(INTAKE, METAL[0], 3, 9, METAL, 9, picks=("j3", "gone", "j1"))
    assert moved(made, order) == ["j3", "j1"]
    assert list(made.intakes[INTAKE]) == ["j0", "j2", "j4"]


def test_money_is_reserved_at_the_move_and_settled_at_the_end() -> None:
    """A third job finds nothing left until one has turned out cheaper."""
    made = world(5, budget=1_000)
    order = Move(INTAKE, CLOUD[0], 9, 20, CLOUD, 20, price=400)
    assert moved(made, order) == ["j0", "j1"]
    assert made.survey().rate.spent == 800
    [(slot, _), *_] = made.lease()
    made.end(slot, "done", 100)
    assert made.survey().rate.spent == 500
    assert moved(made, order) == ["j2"]
    made.now_ms = DAY_MS
    assert made.survey().rate.spent == 800, "a new day: what is settled is forgotten, what is reserved is not"


def test_what_comes_back_waits_in_the_high_intake_of_its_class() -> None:
    """As retries do."""
    made = world(1)
    moved(made, Move(INTAKE, METAL[0], 1, 2, METAL, 2))
    [(slot, standing)] = made.lease()
    assert made.survey().held[METAL[0]] == 1, "a running job holds its place"
    made.end(slot, "waiting", 0)
    assert standing.intake == "stream:high:any"
    assert made.survey().held[METAL[0]] == 0
    with pytest.raises(ValueError, match="nothing runs"):
        made.end(slot, "done", 0)


def test_a_ledger_never_passes_its_cap() -> None:
    """Nothing is refused without one, and what costs nothing never is."""
    capped = Ledger(100)
    assert [capped.reserve(60), capped.reserve(60), capped.reserve(40), capped.reserve(0)] == [True, False, True, True]
    assert Ledger(None).reserve(10**12)
