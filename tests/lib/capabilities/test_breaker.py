"""The breaker: who is left alone, for how long, and what decides that it is over."""

from __future__ import annotations

import pytest

from lib.capabilities.breaker import Breaker
from lib.errors import (
    AnswerError,
    BlockedError,
    OverloadedError,
    PausedError,
    PermanentError,
    QuotaError,
    TaskError,
    TruncatedError,
)
from tests.support.hand_clock import HandClock


def call(breaker: Breaker, error: BaseException | None = None) -> None:
    """One call that ends so."""
    with breaker.call("The service", "text_model"):
        if error is not None:
            raise error


def fail(breaker: Breaker, times: int = 1) -> None:
    """So many calls that fail by the service."""
    for _ in range(times):
        with pytest.raises(OverloadedError):
            call(breaker, OverloadedError("it is on fire"))


@pytest.fixture
def clock() -> HandClock:
    """Stands still."""
    return HandClock()


@pytest.fixture
def breaker(clock: HandClock) -> Breaker:
    """Opens at the third failure for 10 s, then 20, 40, at most 45."""
    return Breaker(clock, failures=3, first_seconds=10, longest_seconds=45)


def test_it_opens_after_failures_in_a_row_and_says_why(breaker: Breaker) -> None:
    """Then no call goes, and nobody has asked the service."""
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)
    assert (breaker.state, breaker.why, breaker.wait_seconds()) == ("open", "it is on fire", 10)
    with pytest.raises(PausedError) as refused:
        call(breaker, AssertionError("the body must not run"))
    until = "1970-01-01T00:16:50.000Z"
    assert refused.value.message == f"The service is left alone until {until} after too many failures: it is on fire"
    assert (refused.value.capability, refused.value.delay_seconds) == ("text_model", 10)


def test_an_answer_between_failures_begins_the_count_anew(breaker: Breaker) -> None:
    """In a row means in a row."""
    for _ in range(3):
        fail(breaker, 2)
        call(breaker)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "error",
    [
        AnswerError("no JSON"),
        BlockedError("unsafe"),
        TruncatedError("cut"),
        QuotaError("used up", delay_seconds=1),
        PermanentError("wrong request"),
        PausedError("no model", capability="text_model"),
        RuntimeError("a bug of ours"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_wrong_with_one_request_never_opens_it(breaker: Breaker, error: Exception) -> None:
    """However many there are."""
    for _ in range(10):
        with pytest.raises(type(error)):
            call(breaker, error)
    assert breaker.state == "closed"


async def test_one_probe_decides(breaker: Breaker, clock: HandClock) -> None:
    """While it is out the others are refused; when it is answered, all go."""
    fail(breaker, 3)
    await clock.move(10)
    assert (breaker.state, breaker.wait_seconds()) == ("half-open", 0)
    with breaker.call("The service", "text_model"), pytest.raises(PausedError):
        call(breaker)
    assert (breaker.state, breaker.why) == ("closed", "")
    fail(breaker, 2)
    assert breaker.state == "closed"


async def test_it_stays_away_longer_each_time(breaker: Breaker, clock: HandClock) -> None:
    """Twice as long, up to a most; one failed probe is enough; after an answer it begins small again."""
    fail(breaker, 3)
    for seconds in (10, 20, 40, 45, 45):
        assert breaker.wait_seconds() == seconds
        await clock.move(seconds)
        if seconds != 45:
            fail(breaker)
        # The last two rounds: a failure, then the answer.
        else:
            fail(breaker)
    await clock.move(45)
    call(breaker)
    fail(breaker, 3)
    assert breaker.wait_seconds() == 10


@pytest.mark.parametrize("error", [TruncatedError("cut"), QuotaError("used up", delay_seconds=1)])
async def test_a_probe_that_is_answered_with_an_error_of_its_own_closes_it(
    breaker: Breaker, clock: HandClock, error: TaskError
) -> None:
    """The service is up."""
    fail(breaker, 3)
    await clock.move(10)
    with pytest.raises(type(error)):
        call(breaker, error)
    assert breaker.state == "closed"


@pytest.mark.parametrize("error", [GeneratorExit(), KeyboardInterrupt(), PausedError("x", capability="text_model")])
async def test_a_probe_that_was_given_up_makes_room_for_the_next(
    breaker: Breaker, clock: HandClock, error: BaseException
) -> None:
    """Nothing is known after it."""
    fail(breaker, 3)
    await clock.move(10)
    with pytest.raises(type(error)):
        call(breaker, error)
    assert (breaker.state, breaker.wait_seconds()) == ("half-open", 0)
    call(breaker)
    assert breaker.state == "closed"


def test_calls_that_began_before_it_opened_decide_nothing(breaker: Breaker) -> None:
    """Ten at once that fail are one outage: they do not make it stay away longer, nor does a late answer end it."""
    late = breaker.call("The service", "text_model")
    good = breaker.call("The service", "text_model")
    late.__enter__()
    good.__enter__()
    fail(breaker, 3)
    error = OverloadedError("late")
    assert not late.__exit__(type(error), error, None)
    good.__exit__(None, None, None)
    assert (breaker.state, breaker.wait_seconds(), breaker.why) == ("open", 10, "it is on fire")
