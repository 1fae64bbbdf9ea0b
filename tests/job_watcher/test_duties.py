"""A recurring duty goes on through every fault but the end of its session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from job_watcher.duties import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Contact, keep_going
from lib.errors import QueueError, SessionLostError, UnreachableError
from tests.support.hand_clock import HandClock

if TYPE_CHECKING:
    from collections.abc import Iterator


class Scripted:
    """A duty whose rounds end as they were told, and whose last one ends the session."""

    def __init__(self, *rounds: Exception | None) -> None:
        self.rounds = [*rounds, SessionLostError("over")]
        self.done = 0

    async def run_once(self) -> None:
        """One round."""
        await asyncio.sleep(0)
        end = self.rounds[self.done]
        self.done += 1
        if end is not None:
            raise end


class Pauses(HandClock):
    """Notes every pause and makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Note it."""
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log says from INFO on, as `LEVEL message`."""
    lines: list[str] = []
    sink = logger.add(
        lambda message: lines.append(f"{message.record['level'].name} {message.record['message']}"), level="INFO"
    )
    yield lines
    logger.remove(sink)


async def test_the_end_of_the_session_ends_the_duty() -> None:
    """And nothing else does."""
    duty = Scripted(None, None)
    with pytest.raises(SessionLostError, match="over"):
        await keep_going(duty, "lane", Pauses())
    assert duty.done == 3


async def test_a_server_that_is_away_is_waited_for_with_growing_pauses(said: list[str]) -> None:
    """Said once, never more than the longest pause, and from the beginning after a success."""
    clock = Pauses()
    away = UnreachableError("no answer")
    with pytest.raises(SessionLostError):
        await keep_going(Scripted(*[away] * 10, None, away), "lane", clock)
    assert len(clock.slept) == 11
    assert clock.slept[0] <= FIRST_PAUSE_SECONDS
    assert all(FIRST_PAUSE_SECONDS / 2 <= pause <= LONGEST_PAUSE_SECONDS for pause in clock.slept)
    assert clock.slept[9] >= LONGEST_PAUSE_SECONDS / 2
    assert clock.slept[10] <= FIRST_PAUSE_SECONDS
    assert said == [
        "WARNING no answer; waiting for it",
        "INFO the server answers again: going on",
        "WARNING no answer; waiting for it",
    ]


async def test_duties_of_one_server_say_once_that_it_is_away(said: list[str]) -> None:
    """Eight duties meet it, each in its own time: one line when it goes, one when the last of them gets on."""
    contact, away = Contact(), UnreachableError("no answer")
    duties = [Scripted(*[away] * rounds, None) for rounds in (3, 5, 1, 4)]
    ends = [keep_going(duty, f"duty {number}", Pauses(), contact) for number, duty in enumerate(duties)]
    await asyncio.gather(*ends, return_exceptions=True)
    assert said == ["WARNING no answer; waiting for it", "INFO the server answers again: going on"]


async def test_what_only_one_duty_meets_is_said_by_its_name(said: list[str]) -> None:
    """A damaged key is no server that is away; what it says of itself is not hidden by the others."""
    contact = Contact(without={"other"})
    with pytest.raises(SessionLostError):
        await keep_going(Scripted(QueueError("damaged"), QueueError("damaged"), None), "publish", Pauses(), contact)
    assert said == ["ERROR publish: damaged", "INFO publish: going on"]


async def test_a_bug_in_one_round_is_logged_whole_and_does_not_end_the_duty(said: list[str]) -> None:
    """Promise 13: one broken part never stops another."""
    clock = Pauses()
    with pytest.raises(SessionLostError):
        await keep_going(Scripted(ValueError("a bug"), QueueError("damaged"), None), "publish", clock)
    assert said[0] == "ERROR publish: this round failed"
    assert len(clock.slept) == 2


async def test_a_round_that_fails_at_once_is_no_hot_loop() -> None:
    """A thousand failures take as many pauses."""
    clock = Pauses()
    with pytest.raises(SessionLostError):
        await keep_going(Scripted(*[QueueError("damaged")] * 1000), "sweep", clock)
    assert len(clock.slept) == 1000
    assert sum(clock.slept) > 1000


async def test_cancellation_passes_through() -> None:
    """A stop is not a fault."""
    task = asyncio.create_task(keep_going(Scripted(*[None] * 5000), "x", Pauses()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
