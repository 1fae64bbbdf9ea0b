"""The checker on when bodies begin and stop: before their time, under a lease that was over, long after a cancel."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.chaos.machine.checker import check
from tests.chaos.machine.history import Call
from tests.chaos.machine.observer import unpublished
from tests.chaos.machine.replay import HASTENED_MS
from tests.chaos.machine.written import ECHO, IDENTITY, LANE, A, B, Script, broken, said, two_sessions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def script() -> Script:
    """A queue with two sessions."""
    return two_sessions()


# --- not before its time -------------------------------------------------------------------------------------------


def delayed(script: Script, seconds: float, *, do: str = "submit", identity: str = IDENTITY) -> str:
    """Asked for with a `run_after` in so many seconds, and put off until then; the generation."""
    due, gen = script.ms + int(seconds * 1000), script.fence()
    script.step(("fence", gen), ("kept", "one", True), ("due", "one", float(due)), script.row("D", "one", gen))
    rows = (("one", identity, due, ECHO),)
    script.history.calls.append(Call(do, script.now - 0.11, ("one",), rows, script.now, ("queued",)))
    script.submit("other")
    script.history.calls.pop()
    return gen


def freed(script: Script, gen: str) -> str:
    """It is due, and comes to its end; what the checker says."""
    script.back("one", gen)
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A))
    return said(script)


@pytest.mark.parametrize(("waits", "right"), [(0.5, False), (3.5, True)])
def test_a_job_that_begins_before_its_time_breaks_promise_3(script: Script, waits: float, *, right: bool) -> None:
    """It was to wait for three seconds."""
    gen = delayed(script, 3.0)
    script.passes(waits, alive=A)
    assert ("one: it was free to begin" not in freed(script, gen)) is right


def test_a_delay_that_is_ignored_at_once_breaks_promise_3(script: Script) -> None:
    """It never was delayed: its first row waits in an intake."""
    gen = script.submit("one")
    call = script.history.calls.pop()
    script.history.calls.append(replace(call, rows=(("one", IDENTITY, script.ms + 5000, ECHO),)))
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A))
    assert "promise 3 (one record): one: it was free to begin 5" in said(script)
    assert broken(script) == {3}


def test_a_server_whose_clock_was_put_on_lets_it_go(script: Script) -> None:
    """The time that counts is the server's own, and it may be back by the time the job runs."""
    gen = delayed(script, 60.0)
    script.step(("sweep", script.ms + 90_000))
    assert "free to begin" not in freed(script, gen)


def test_what_the_drain_hastens_may_begin(script: Script) -> None:
    """Nobody waits for minutes at the end of a run."""
    gen = delayed(script, 60.0)
    script.step(("due", "one", float(HASTENED_MS)))
    assert "free to begin" not in freed(script, gen)


def test_the_earliest_wish_of_the_same_content_counts(script: Script) -> None:
    """A producer that got no answer asks again, and its `run_after` is later then."""
    gen = delayed(script, 1.0)
    rows = (("one", IDENTITY, script.ms + 9000, ECHO),)
    script.history.calls.append(Call("submit", script.now - 0.5, ("one",), rows))
    script.passes(1.2, alive=A)
    assert "free to begin" not in freed(script, gen)


@pytest.mark.parametrize(("do", "identity"), [("retry", IDENTITY), ("submit", "other")])
def test_a_time_that_was_not_asked_of_this_generation_says_nothing(script: Script, do: str, identity: str) -> None:
    """A retry begins at once; and other content was another's wish."""
    gen = delayed(script, 9.0, do=do, identity=identity)
    assert "free to begin" not in freed(script, gen)


# --- under its own lease -------------------------------------------------------------------------------------------


def handed_back(script: Script) -> tuple[str, str]:
    """Leased ahead by A, and given back before a body began; generation and fence."""
    gen = script.submit("one")
    script.move("one", gen)
    fence = script.start("one", gen, A)
    script.history.runs.pop()
    script.take_back("one", gen)
    return gen, fence


def begins(script: Script, fence: str, session: str = A) -> None:
    """A body under a fence, now."""
    donor = Script(now=script.now)
    donor.start("one", "0", session)
    script.history.runs.append(replace(donor.history.runs[0], fence=fence, nonce=f"late{fence}"))


def runs_elsewhere(script: Script, gen: str) -> None:
    """The other watcher takes it to its end."""
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, B))


def test_a_body_that_begins_after_its_hand_back_breaks_promise_4(script: Script) -> None:
    """Its watcher had given the job away, and knew."""
    gen, fence = handed_back(script)
    begins(script, fence)
    runs_elsewhere(script, gen)
    assert "promise 4 (fence): one: a body began 0" in said(script)
    assert broken(script) == {4}


def test_it_does_so_while_another_runs_the_job_too(script: Script) -> None:
    """The other has the newer fence, and the late one must not be taken for the first."""
    gen, fence = handed_back(script)
    runs_elsewhere(script, gen)
    begins(script, fence)
    assert "a body began" in said(script)


@pytest.mark.parametrize(
    ("kind", "target", "promises"),
    [("pause", "watcher-1", set[int]()), ("pause", "watcher-2", {4}), ("reset", "wire-1", set[int]())],
)
def test_only_its_own_trouble_excuses_a_watcher(script: Script, kind: str, target: str, promises: set[int]) -> None:
    """Held up between lease and begin, it may not have heard that somebody took the job back."""
    script.fault(kind, target, 1.0)
    gen, fence = handed_back(script)
    begins(script, fence)
    runs_elsewhere(script, gen)
    assert broken(script) == promises


def test_a_lease_that_a_sweep_or_a_cancel_ended_is_not_judged_here(script: Script) -> None:
    """Its watcher hears of it later."""
    gen = script.submit("one")
    script.move("one", gen)
    fence = script.start("one", gen, A, body="")
    script.history.runs.pop()
    script.passes(3.2, alive=B)
    script.sweep(A)
    script.take_back("one", gen)
    begins(script, fence)
    runs_elsewhere(script, gen)
    assert "after its own lease was over" not in said(script)


# --- stopped after a cancel ----------------------------------------------------------------------------------------


def cancelled(script: Script, *, runs_on: float, ended: bool = True) -> None:
    """Its body runs when it is cancelled, and so many seconds after that."""
    gen = script.submit("one", do="slow")
    script.move("one", gen)
    script.start("one", gen, A, body="")
    sent = script.now
    end = script.fence()
    ops = [("fence", end), script.record("one", gen, end, status="cancelled"), ("row", "one", None)]
    script.step(*ops, ("held", LANE, f"{gen}-1", None), ("gone", LANE, f"{gen}-1"))
    script.asked("one", "cancelled", mode="cancel", sent=sent)
    if ended:
        script.history.runs[-1] = replace(script.history.runs[-1], ended=sent + runs_on, how="stopped")


@pytest.mark.parametrize(("runs_on", "promises"), [(0.5, set[int]()), (4.0, {5})])
def test_a_body_that_runs_on_after_its_cancel_breaks_promise_5(
    script: Script, runs_on: float, promises: set[int]
) -> None:
    """Its watcher renewed again and again, and could know."""
    cancelled(script, runs_on=runs_on)
    script.passes(4.0, alive=A)
    assert broken(script) - {6} == promises


@pytest.mark.parametrize("why", ["no renewal", "its wire", "no end", "its begin"])
def test_who_cannot_know_is_not_blamed(script: Script, why: str) -> None:
    """Out of touch; or the process of the body was killed, and left no end."""
    if why == "its wire":
        script.fault("delay", "wire-1", 2.0)
    cancelled(script, runs_on=2.0, ended=why != "no end")
    if why == "its begin":
        # It began just before its end; whoever leased it had asked about its leases before that.
        run = script.history.runs[-1]
        script.history.runs[-1] = replace(run, begun=run.begun + 1.9)
    script.passes(2.5, alive=B if why == "no renewal" else A)
    assert "after its cancel" not in said(script)


# --- published -----------------------------------------------------------------------------------------------------


def output_record(content: str) -> str:
    """A done record with one output under a name."""
    best = {"name": "best.wav", "bytes": len(content), "sha256": hashlib.sha256(content.encode()).hexdigest()}
    return json.dumps({"request_id": "one", "output_name": "out/one", "outputs": {"best": best}})


@pytest.mark.parametrize(("there", "right"), [("new", True), ("old", False), (None, False)])
def test_a_published_name_holds_what_its_record_has(tmp_path: Path, there: str | None, *, right: bool) -> None:
    """Not an older one's bytes, and not nothing."""
    if there is not None:
        (tmp_path / "out/one").mkdir(parents=True)
        (tmp_path / "out/one/best.wav").write_text(there)
    found = unpublished([output_record("new"), json.dumps({"request_id": "two"})], tmp_path)
    assert found == ([] if right else ["one: out/one/best.wav does not hold what its record has"])


def test_what_is_not_published_breaks_promise_3(script: Script) -> None:
    """The last look says so; one of an older machine that did not look is no fault."""
    script.whole("one")
    history = script.end()
    assert check(history).verdicts == []
    history.final["published"] = ["one: out/one/best.wav does not hold what its record has"]
    assert set(check(history).broken) == {3}
