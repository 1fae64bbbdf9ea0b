"""Whether and when a job is tried again: a pure policy, so its promises are properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_watcher.retrying import LONGEST_DELAY_SECONDS, Again, GiveUp, RetryPolicy, as_task_error, middle
from lib.errors import (
    BudgetError,
    InvalidInputError,
    JobRunnerError,
    PausedError,
    PermanentError,
    QuotaError,
    TaskError,
    TaskTimeoutError,
    TemporaryError,
    UnreachableError,
    WaitError,
)

chances = st.floats(0, 1, exclude_max=True)
counts = st.integers(0, 1000)


def policy(chance: float = 0.5, max_crashes: int = 3) -> RetryPolicy:
    """A policy with one fixed chance."""
    return RetryPolicy(max_crashes, chance=lambda: chance)


@given(used=counts, most=st.integers(1, 1000), chance=chances)
def test_temporary_errors_end_exactly_at_the_limit(used: int, most: int, chance: float) -> None:
    """`max_attempts` tries are made, not one more and not one less."""
    decision = policy(chance).after_error(TemporaryError("x"), attempts_used=used, max_attempts=most)
    assert isinstance(decision, GiveUp) == (used + 1 >= most)


@given(used=st.integers(0, 50), chance=chances)
def test_delays_are_the_table_within_a_fifth(used: int, chance: float) -> None:
    """30 s, 2 min, then 10 min for ever, spread so that jobs that failed together do not return together."""
    decision = policy(chance).after_error(TemporaryError("x"), attempts_used=used, max_attempts=1000)
    table = [30_000, 120_000, 600_000][min(used, 2)]
    assert isinstance(decision, Again)
    assert decision.kind == "attempt"
    assert 0.8 * table - 1 <= decision.delay_ms <= 1.2 * table + 1


def test_without_jitter_the_table_is_exact() -> None:
    """The middle of the spread is the table itself."""
    delays = []
    for used in range(4):
        decision = RetryPolicy(3, chance=middle).after_error(TemporaryError("x"), attempts_used=used, max_attempts=9)
        assert isinstance(decision, Again)
        delays.append(decision.delay_ms)
    assert delays == [30_000, 120_000, 600_000, 600_000]


def test_jitter_spreads() -> None:
    """Different chances give different delays, and a policy has chances unless told otherwise."""
    assert RetryPolicy(3).chance() != RetryPolicy(3).chance()
    seen = {
        policy(chance).after_error(TemporaryError("x"), attempts_used=0, max_attempts=3) for chance in (0, 0.3, 0.9)
    }
    assert len(seen) == 3


@given(wished=st.floats(0, 86_400), chance=chances, used=st.integers(0, 5))
def test_a_wish_of_the_far_side_is_never_undercut(wished: float, chance: float, used: int) -> None:
    """When it said how long to wait, the retry comes then or a little later, never a moment before."""
    error = TemporaryError("x", delay_seconds=wished)
    decision = policy(chance).after_error(error, attempts_used=used, max_attempts=9)
    assert isinstance(decision, Again)
    longest = LONGEST_DELAY_SECONDS * 1000
    assert min(longest, round(wished * 1000)) <= decision.delay_ms <= min(longest, round(wished * 1100) + 1)


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf, -1.0])
def test_a_senseless_wish_falls_back_to_the_table(nonsense: float) -> None:
    """No retry in the past, none that never comes."""
    error = TemporaryError("x", delay_seconds=nonsense)
    assert policy().after_error(error, attempts_used=0, max_attempts=3) == Again("attempt", 30_000)


@given(used=counts, most=st.integers(1, 1000))
def test_permanent_errors_are_never_tried_again(used: int, most: int) -> None:
    """Whatever is left of the attempts."""
    for error in (PermanentError("x"), TaskError("x")):
        assert policy().after_error(error, attempts_used=used, max_attempts=most) == GiveUp("permanent")


def test_the_record_says_what_used_up_the_attempts() -> None:
    """A deadline is a timeout, anything else temporary is transient_exhausted."""
    assert policy().after_error(TaskTimeoutError("x"), attempts_used=2, max_attempts=3) == GiveUp("timeout")
    assert policy().after_error(TemporaryError("x"), attempts_used=2, max_attempts=3) == GiveUp("transient_exhausted")
    assert isinstance(policy().after_error(TaskTimeoutError("x"), attempts_used=1, max_attempts=3), Again)


@given(crashes=counts, most=st.integers(1, 1000), chance=chances)
def test_crashes_end_exactly_at_their_own_limit(crashes: int, most: int, chance: float) -> None:
    """WATCHER_MAX_CRASHES deaths make poison; until then a crash is tried again as a crash, soon."""
    decision = policy(chance, most).after_crash(crashes=crashes)
    if crashes + 1 >= most:
        assert decision == GiveUp("poison")
    else:
        assert isinstance(decision, Again)
        assert decision.kind == "crash"
        assert 1_000 <= decision.delay_ms <= 72_001


@pytest.mark.parametrize(
    "error", [OSError("disk"), ConnectionResetError(), TimeoutError(), MemoryError(), UnreachableError("ollama")]
)
def test_what_may_pass_is_temporary(error: BaseException) -> None:
    """The operating system's errors and a service that is down."""
    assert isinstance(as_task_error(error), TemporaryError)


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError("x"), AssertionError(), RecursionError(), SystemExit(2), InvalidInputError("x")],
)
def test_what_the_input_will_meet_again_is_permanent(error: BaseException) -> None:
    """A mistake in the code or the input is not cured by time."""
    assert isinstance(as_task_error(error), PermanentError)


def test_a_task_error_stays_itself() -> None:
    """A body that knows is believed."""
    for error in (TemporaryError("x", delay_seconds=1), TaskTimeoutError("x"), PermanentError("x")):
        assert as_task_error(error) is error


def test_the_message_names_the_exception_and_keeps_a_hint() -> None:
    """A record must say more than `'voice'`."""
    assert as_task_error(KeyError("voice")).message == "KeyError: 'voice'"
    assert as_task_error(AssertionError()).message == "AssertionError"
    assert as_task_error(SystemExit(3)).message == "the task called sys.exit(3)"
    ours = as_task_error(JobRunnerError("said", hint="do this"))
    assert (ours.message, ours.hint) == ("said", "do this")


class MuteError(Exception):
    """Fails even to say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_that_cannot_be_shown_is_still_an_error_of_its_job() -> None:
    """A library's broken exception ends one job with a record, not the process that ran it."""
    error = as_task_error(MuteError())
    assert isinstance(error, PermanentError)
    assert error.message == "MuteError: (its message cannot be shown: RuntimeError)"


WAITS = (
    WaitError("x"),
    QuotaError("x", delay_seconds=41.0),
    QuotaError("x", window="day", delay_seconds=7200.0),
    BudgetError("x", delay_seconds=600.0),
    PausedError("x", capability="text_model"),
)


@pytest.mark.parametrize("error", WAITS, ids=lambda error: f"{error.code}-{error.delay_seconds}")
@given(used=counts, most=st.integers(1, 1000), chance=chances)
def test_waiting_costs_nothing_however_often(error: WaitError, used: int, most: int, chance: float) -> None:
    """A quota, the budget, a server that is down: no fault of the job, so it never gives up and no try is counted."""
    decision = policy(chance).after_error(error, attempts_used=used, max_attempts=most)
    assert isinstance(decision, Again)
    assert decision.kind == "free"
    if error.delay_seconds is None:
        assert 500 <= decision.delay_ms <= 6000
    else:
        assert round(error.delay_seconds * 1000) <= decision.delay_ms <= round(error.delay_seconds * 1100) + 1


@pytest.mark.parametrize(("told", "delay_ms"), [(-5.0, 0), (0.0, 0), (10**9, 86_400_000), (math.inf, 86_400_000)])
def test_a_wait_is_never_in_the_past_and_never_longer_than_a_day(told: float, delay_ms: int) -> None:
    """Whatever a far side says."""
    decision = policy(0.0).after_error(WaitError("x", delay_seconds=told), attempts_used=0, max_attempts=1)
    assert decision == Again("free", delay_ms)


def test_what_is_paused_goes_elsewhere_soon() -> None:
    """Its backend may be away for an hour; the job is free to run on another in a moment."""
    error = PausedError("x", capability="any", delay_seconds=3600.0)
    decision = policy(0.0).after_error(error, attempts_used=0, max_attempts=1)
    assert isinstance(decision, Again)
    assert (decision.kind, decision.delay_ms <= 6000) == ("free", True)


def test_a_wait_of_no_number_is_a_short_one() -> None:
    """NaN must not stop the watcher: it is a pause as if nothing had been said."""
    decision = policy(0.0).after_error(WaitError("x", delay_seconds=math.nan), attempts_used=0, max_attempts=1)
    assert isinstance(decision, Again)
    assert 0 <= decision.delay_ms <= 86_400_000
