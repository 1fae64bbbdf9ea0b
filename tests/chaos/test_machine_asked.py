"""The checker on what was asked for: a status, a number of attempts or an answer that is not true is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.machine.history import Asked
from tests.chaos.machine.replay import UnknownWordError
from tests.chaos.machine.written import A, Script, broken, said, two_sessions


@pytest.fixture
def script() -> Script:
    """A queue with two sessions."""
    return two_sessions()


def run(script: Script, asked: Asked, **more: Any) -> str:
    """One job that is to end so, and its record; what the checker says."""
    script.history.asked["one"] = asked
    gen = script.submit("one")
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A), **more)
    return said(script)


FAILED = {"status": "failed", "tail": {"error_type": "permanent"}}
EXHAUSTED = {"status": "failed", "attempt": 1, "tail": {"error_type": "transient_exhausted"}}


@pytest.mark.parametrize("do", ["ok", "slow", "child", "output", "flaky"])
def test_a_job_that_fails_and_was_to_be_done_breaks_promise_3(script: Script, do: str) -> None:
    """A queue that fails every job keeps all other promises."""
    assert f"promise 3 (one record): one: it was to be done ({do}), and it ended as failed" in run(
        script, Asked(do), **FAILED
    )


def test_a_job_that_is_done_and_was_to_fail_breaks_promise_3(script: Script) -> None:
    """Its body cannot have made a result."""
    assert "one: it was to be failed (fatal), and it ended as done" in run(script, Asked("fatal"))


@pytest.mark.parametrize(("error_type", "promises"), [("permanent", set[int]()), ("transient_exhausted", {3})])
def test_a_fatal_job_fails_for_good(script: Script, error_type: str, promises: set[int]) -> None:
    """For the reason that its body gave, and at once."""
    run(script, Asked("fatal"), status="failed", tail={"error_type": error_type})
    assert broken(script) == promises


@pytest.mark.parametrize(("fails", "attempt", "right"), [(2, 3, True), (2, 2, False), (0, 1, True), (0, 2, False)])
def test_a_job_takes_as_many_attempts_as_its_body_needs(
    script: Script, fails: int, attempt: int, *, right: bool
) -> None:
    """A death of its watcher costs none; a flaky body costs what it says."""
    text = run(script, Asked("flaky" if fails else "ok", fails), attempt=attempt)
    assert (f"it ended in attempt {attempt}, and needs {fails + 1}" in text) is not right


@pytest.mark.parametrize(("do", "kind", "right"), [("output", "disk_full", True), ("ok", "disk_full", False)])
@pytest.mark.parametrize("more", [EXHAUSTED, {"attempt": 2}])
def test_a_full_disk_excuses_outputs_alone(
    script: Script, do: str, kind: str, more: dict[str, object], *, right: bool
) -> None:
    """They are what is written there: an attempt may be lost, or all of them."""
    script.fault(kind, "disk", 3.0)
    assert ("one: it" not in run(script, Asked(do), **more)) is right


def test_a_disk_that_was_full_at_another_time_excuses_nothing(script: Script) -> None:
    """It was whole again before the job came."""
    script.fault("disk_full", "disk", 3.0)
    script.passes(4, alive=A)
    assert "it was to be done (output)" in run(script, Asked("output"), **EXHAUSTED)


def test_what_is_no_job_cannot_be_done(script: Script) -> None:
    """Junk in the inlet becomes a failed record."""
    gen = script.submit("foreign:stream:1-0")
    script.history.calls.clear()
    script.move("foreign:stream:1-0", gen)
    script.commit("foreign:stream:1-0", gen, script.start("foreign:stream:1-0", gen, A))
    assert "it is no job, and it ended as done" in said(script)


# --- cancels and other answers -------------------------------------------------------------------------------------


def test_a_cancel_and_its_record_agree(script: Script) -> None:
    """Asked, answered, written: nothing is wrong, also where the first reply was lost."""
    for name, code in (("one", "cancelled"), ("two", "already_cancelled"), ("three", None)):
        gen = script.submit(name)
        sent = script.now
        script.cancelled(name, gen)
        script.asked(name, code, mode="cancel", sent=sent)
    assert broken(script) == set()


def test_a_cancelled_record_that_nobody_wished_breaks_promise_3(script: Script) -> None:
    """No cancel named it, or the one that did came to nothing."""
    script.cancelled("one", script.submit("one"))
    script.asked("one", "not_found", mode="cancel", sent=script.now + 5)
    assert "one: cancelled, and nobody asked for that" in said(script)


@pytest.mark.parametrize("how", ["it goes on", "it was cancelled long before"])
def test_an_answer_cancelled_without_its_record_breaks_promise_3(script: Script, how: str) -> None:
    """Somebody was told that it is over, and it ran to its end."""
    if how == "it goes on":
        script.whole("one")
    else:
        gen, sent = script.submit("one"), script.now
        script.cancelled("one", gen)
        script.asked("one", "cancelled", mode="cancel", sent=sent)
        script.now += 3
    script.asked("one", "cancelled", mode="cancel")
    assert "one: cancel was answered cancelled, and no such record came" in said(script)
    assert broken(script) == {3}


@pytest.mark.parametrize(
    ("mode", "code", "promises"),
    [
        ("cancel", "already_done", set[int]()),
        ("cancel", "already_failed", {3}),
        ("cancel", "already_cancelled", {3}),
        ("retry", "already_done", set[int]()),
        ("retry", "active", {3}),
        ("cancel", "not_found", {3}),
        ("submit", "already_done", set[int]()),
        ("submit", "already_failed", {3}),
        ("submit", "duplicate_request", {3}),
    ],
)
def test_an_answer_about_a_job_that_is_done_must_be_true(
    script: Script, mode: str, code: str, promises: set[int]
) -> None:
    """Whatever asks hears how it ended."""
    script.whole("one")
    script.now += 3
    script.asked("one", code, mode=mode)
    assert broken(script) == promises


@pytest.mark.parametrize("code", ["key_busy", "conflict"])
def test_what_was_refused_and_began_breaks_promise_2(script: Script, code: str) -> None:
    """The only call that named it was told no."""
    gen = script.submit("one", code=code)
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A))
    assert broken(script) == {2}


# --- moved and leased in one step ----------------------------------------------------------------------------------


def test_a_job_may_be_moved_and_leased_in_one_step(script: Script) -> None:
    """By a leader whose own watcher has a slot: from intake over the lane to a lease, nothing is wrong."""
    gen = script.submit("one")
    script.commit("one", gen, script.move_and_start("one", gen, A))
    assert broken(script) == set()


def test_a_lease_in_the_step_of_a_move_needs_its_delivery(script: Script) -> None:
    """The same step, but the lane has given the entry to nobody: it would be delivered once more."""
    gen = script.submit("one")
    script.commit("one", gen, script.move_and_start("one", gen, A, delivered=False))
    assert broken(script) == {4}


def test_a_word_that_nobody_hears_is_an_error(script: Script) -> None:
    """A renamed word would switch its check off, and every run would pass."""
    script.step(("rwo", "one", None))
    with pytest.raises(UnknownWordError, match="rwo"):
        broken(script)
