"""The checker on promise 4: whoever acts without a lease, a session or the lead that stands is found."""

from __future__ import annotations

import pytest

from tests.chaos.machine.written import LANE, A, B, Script, broken, two_sessions


@pytest.fixture
def script() -> Script:
    """A queue with two sessions."""
    return two_sessions()


def test_a_record_under_an_old_fence_breaks_promise_4(script: Script) -> None:
    """The first watcher comes back and commits what is the second one's by now."""
    gen = script.submit("one")
    script.move("one", gen)
    first = script.start("one", gen, A)
    script.passes(3.2, alive=B)
    script.sweep(A)
    script.take_back("one", gen)
    script.move("one", gen)
    script.start("one", gen, B)
    script.commit("one", gen, first)
    assert broken(script) == {4}


def test_a_record_by_a_session_that_has_ended_breaks_promise_4(script: Script) -> None:
    """Nobody has taken the job yet, and all the same it is not the dead one's any more."""
    gen = script.submit("one")
    script.move("one", gen)
    fence = script.start("one", gen, A)
    script.passes(3.2, alive=B)
    script.sweep(A)
    script.commit("one", gen, fence)
    assert broken(script) == {4}


def test_a_record_of_a_run_that_never_finished_breaks_promise_4(script: Script) -> None:
    """The record says done; the trace knows of no end."""
    gen = script.submit("one")
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A, body=""))
    assert broken(script) == {4}


def test_a_record_of_another_run_breaks_promise_4(script: Script) -> None:
    """The result is that of a run under another fence."""
    script.whole("one")
    other = script.history.runs[0].nonce
    gen = script.submit("two")
    script.move("two", gen)
    script.commit("two", gen, script.start("two", gen, A), nonce=other)
    assert broken(script) == {4}


def test_a_session_that_comes_back_breaks_promise_4(script: Script) -> None:
    """What was ended never returns, though it was never given anything."""
    script.passes(3.2, alive=B)
    script.sweep(A)
    assert broken(script) == set()
    script.open(A)
    assert broken(script) == {4}


def test_a_lease_over_a_living_ones_breaks_promise_4(script: Script) -> None:
    """The same job to a second session, the first of which lives."""
    gen = script.submit("one")
    script.move("one", gen)
    script.start("one", gen, A)
    fence = script.start("one", gen, B)
    script.commit("one", gen, fence)
    assert broken(script) == {4}


def test_a_lease_of_an_entry_that_is_not_the_jobs_place_breaks_promise_4(script: Script) -> None:
    """A copy of the entry was delivered, and the job started for it."""
    gen = script.submit("one")
    script.move("one", gen)
    script.step(("entry", LANE, "9-9", "one", gen))
    fence = script.fence()
    row = script.row("L", "one", gen, LANE, f"{gen}-1", session=A, fence=fence)
    script.step(("held", LANE, "9-9", A), ("fence", fence), row)
    assert 4 in broken(script)


def test_a_fence_of_old_breaks_promise_4(script: Script) -> None:
    """A lease whose fence the counter had passed already."""
    gen = script.submit("one")
    script.move("one", gen)
    script.fence()
    script.step(("fence", str(script.counter)))
    script.counter -= 1
    script.start("one", gen, A)
    assert 4 in broken(script)


def test_a_body_without_a_lease_breaks_promise_4(script: Script) -> None:
    """The trace has a run under a fence that nobody was given."""
    script.whole("one")
    run = script.history.runs[0]
    script.history.runs.append(type(run)(run.id, "77", run.session_dir, 1, "n77", run.begun + 1))
    assert broken(script) == {4}


def test_two_bodies_under_one_fence_break_promise_4(script: Script) -> None:
    """The trace has two begins under one lease."""
    script.whole("one")
    run = script.history.runs[0]
    script.history.runs.append(type(run)(run.id, run.fence, run.session_dir, 1, "again", run.begun + 0.01))
    assert broken(script) == {4}


def test_a_move_by_a_former_leader_breaks_promise_4(script: Script) -> None:
    """It leads no more, in an epoch that has passed, or its session has ended."""
    script.history.moves = [
        {"at": 1.0, "is": "lead", "session": A, "epoch": "5"},
        {"at": 2.0, "is": "move", "session": A, "epoch": "5"},
    ]
    assert broken(script) == set()
    late = {"at": 4.0, "is": "move", "session": A, "epoch": "5"}
    script.history.moves += [{"at": 3.0, "is": "lead", "session": B, "epoch": "6"}, late]
    assert broken(script) == {4}


def test_a_move_by_a_session_that_has_ended_breaks_promise_4(script: Script) -> None:
    """Nobody leads yet in its place, and all the same it does not lead any more."""
    script.step(("session", A, None))
    moves = [("lead", script.now - 2), ("move", script.now - 1)]
    script.history.moves = [{"at": at, "is": kind, "session": A, "epoch": "5"} for kind, at in moves]
    assert broken(script) == set()
    script.history.moves.append({"at": script.now + 1, "is": "move", "session": A, "epoch": "5"})
    assert broken(script) == {4}


def test_a_second_leader_breaks_promise_4(script: Script) -> None:
    """The lead is taken while the session that has it stands."""
    script.step(("lead", A, "1"))
    script.step(("lead", B, "2"))
    assert broken(script) == {4}
