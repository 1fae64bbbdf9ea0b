"""The lines of a simulation are those that a conductor says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from loguru import logger

from job_watcher.herald import Herald
from job_watcher.simulation.telling import Told
from lib.jobqueue.moves import Move
from lib.routing.view import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

METAL = Move("stream:normal:any", "lane:metal:any", 2, 2, ("lane:metal:any",), 2)
CLOUD = Move("stream:normal:any", "lane:cloud:any", 2, 9, ("lane:cloud:any",), 9, rated=True)
STEPS = [
    (Decision((METAL, CLOUD), frozenset({"metal_full", "near_limit", "rate_paused", "holding"})), (2, 2)),
    (Decision((), frozenset({"metal_full", "near_limit", "rate_paused", "holding"})), ()),
    (Decision((CLOUD,), frozenset({"metal_full"})), (1,)),
    (Decision((), frozenset()), ()),
    (Decision((CLOUD, METAL), frozenset({"metal_full", "budget_reached"})), (0, 1)),
    (Decision((), frozenset({"api_closed", "holding"})), ()),
]


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(sink)


@pytest.mark.parametrize("fed_first", [True, False])
def test_it_says_what_the_herald_says(heard: list[str], *, fed_first: bool) -> None:
    """Word for word and in the same order, whether a move comes by hearsay or after a look."""
    herald, told = Herald(), Told()
    for step, (decision, counts) in enumerate(STEPS):
        for turn in (0, 1) if fed_first else (1, 0):
            if turn == 0:
                herald.fed(decision, counts)
                told.fed(step, decision, counts)
            else:
                herald.seen(decision)
                told.seen(step, decision)
    assert [text for _, text in told.lines] == heard
    assert heard
