"""Why nothing is rented for the time being: said once, kept for so long, and never longer than it is true."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from job_watcher.backends.vast import restraint
from job_watcher.backends.vast.restraint import Restraint
from lib.errors import SettingsError, UnreachableError
from lib.market.deciding import Decision
from lib.market.errors import CreditError
from lib.market.instance import Instance
from lib.redisqueue.instances import RentRefused
from tests.support.hand_clock import HandClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RENT = Decision(1, (), "1 rented machine for 5 jobs: nobody else can do it", "only_rented")
BROKEN = Instance("i1", "1", "vast", "gone", 0.0, 0.0, 0.0, reason="probe: no worker", failed=True)


@pytest.fixture
def clock() -> HandClock:
    """Moved by hand."""
    return HandClock()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Every line of the log."""
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(message.record["message"]), level="INFO")
    yield heard
    logger.remove(sink)


@pytest.fixture
def held(clock: HandClock) -> Restraint:
    """Of a watcher that wants to rent."""
    made = Restraint(clock)
    made.decided(RENT)
    return made


@pytest.mark.parametrize(
    ("refuse", "blocks"),
    [
        (lambda held: held.no_offer(markets=True), True),
        (lambda held: held.search_failed(SettingsError("VAST_QUERY: no such field", hint="see")), True),
        (lambda held: held.search_failed(UnreachableError("no answer", hint="wait")), False),
        (lambda held: held.market_refused(CreditError("no credit")), True),
        (lambda held: held.queue_refused(RentRefused("budget", 5)), True),
        (lambda held: held.queue_refused(RentRefused("replicas")), True),
    ],
)
def test_what_was_refused_is_said_until_it_is_tried_again(
    held: Restraint, clock: HandClock, refuse: Callable[[Restraint], None], *, blocks: bool
) -> None:
    """The sums still say yes: they do not cover the reason, and nothing is tried; then they count again."""
    refuse(held)
    said = held.why
    assert (held.pausing, bool(held.blocked)) == (True, blocks)
    held.decided(RENT)
    assert (held.why, bool(held.blocked)) == (said, blocks)
    clock.at += restraint.REFUSED_SECONDS
    held.decided(RENT)
    assert (held.pausing, held.blocked, held.why) == (False, "", RENT.why)


@pytest.mark.parametrize("why", ["raced", "enough", "session"])
def test_what_another_did_first_is_no_reason_to_wait(held: Restraint, why: str) -> None:
    """The next look tells."""
    held.queue_refused(RentRefused(why))  # type: ignore[arg-type]  # of the codes
    assert not held.pausing


def test_the_same_is_not_said_again(held: Restraint, clock: HandClock, said: list[str]) -> None:
    """A market without offers for a night is one line, until something was rented."""
    for _ in range(5):
        held.no_offer(markets=True)
        clock.at += restraint.AGAIN_SECONDS
        held.decided(RENT)
    assert sum(restraint.NO_OFFER in line for line in said) == 1
    held.rented()
    held.no_offer(markets=True)
    assert sum(restraint.NO_OFFER in line for line in said) == 2


def test_a_budget_blocks_only_while_the_sums_say_so(held: Restraint) -> None:
    """It is there again tomorrow."""
    held.decided(Decision(0, (), "$0.01 of BUDGET_PER_DAY_USD is left", "budget"))
    assert held.blocked
    held.decided(Decision(0, (), "nothing waits", "nothing_waits"))
    assert not held.blocked


def test_the_pause_stays_however_many_have_failed(held: Restraint) -> None:
    """Nobody may look for weeks."""
    for _ in range(2000):
        held.ended(BROKEN, 0)
    assert held.pausing


def test_machines_that_fail_one_after_the_other_are_not_rented_for_ever(held: Restraint, clock: HandClock) -> None:
    """From the third on a pause that doubles, to half an hour; the reason is told. It is not lifted by one more."""
    pauses = []
    for _ in range(12):
        held.ended(BROKEN, 0)
        begun = clock.elapsed()
        while held.pausing:
            clock.at += 10.0
        pauses.append(clock.elapsed() - begun)
        held.decided(RENT)
        held.rented()
    assert pauses[:6] == [0.0, 0.0, 60.0, 120.0, 240.0, 480.0]
    assert pauses[-1] == restraint.LONGEST_BRAKE_SECONDS
    held.ended(BROKEN, 0)
    assert held.blocked == "13 machines in a row failed before their first job: probe: no worker"


def test_a_job_that_was_done_shows_that_it_can_be_done(held: Restraint) -> None:
    """After it, two failures are bad luck again; a machine that was given back as it was wanted is none."""
    for failures in (2, 2):
        for _ in range(failures):
            held.ended(BROKEN, 0)
        held.ended(replace(BROKEN, failed=False, reason="told: its watcher ends"), 0)
        assert not held.pausing
        held.ended(BROKEN, 1)
    held.ended(replace(BROKEN, failed=False, reason="dropped: OSError"), 0)
    held.ended(BROKEN, 0)
    assert not held.pausing
    held.ended(replace(BROKEN, failed=False, reason="dropped: OSError"), 0)
    assert held.pausing


def test_machines_to_which_no_job_comes_are_not_rented_for_ever(held: Restraint) -> None:
    """What waits is held up elsewhere, as by a store that is away: it is waited for, and not paid for meanwhile."""
    unused = replace(BROKEN, failed=False, reason="idle")
    for jobs in (0, 0, 4, 0, 0):
        held.ended(unused, jobs)
        assert not held.pausing
    held.ended(unused, 0)
    assert held.pausing
    assert held.why == "3 machines in a row ended without one job: idle"
    assert not held.blocked


def test_own_hosts_alone_are_told_of_what_is_theirs(held: Restraint) -> None:
    """No word of a market's settings."""
    held.no_offer(markets=False)
    assert "SSH_HOSTS" in held.why
    assert "VAST" not in held.why
