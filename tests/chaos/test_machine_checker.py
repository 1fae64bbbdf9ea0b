"""The chaos machine's checker on histories written by hand: a sound one passes, each broken one is found, and named."""

from __future__ import annotations

import pytest

from tests.chaos.machine.checker import check
from tests.chaos.machine.written import INTAKE, LANE, A, B, Script, broken, said, two_sessions


@pytest.fixture
def script() -> Script:
    """A queue with two sessions."""
    return two_sessions()


def test_a_sound_history_passes(script: Script) -> None:
    """Two jobs, a duplicate, a conflict, a replacement and a recovery: nothing is wrong, and all of it is counted."""
    script.whole("one")
    script.asked("one", "already_done")
    script.asked("one", "conflict", identity="other")
    again = script.submit("one", mode="replace")
    script.move("one", again)
    fence = script.start("one", again, A, body="")
    script.died("w1")
    script.passes(3.2, alive=B)
    script.sweep(A)
    script.take_back("one", again)
    script.move("one", again)
    second = script.start("one", again, B)
    script.commit("one", again, second)
    findings = check(script.end())
    assert findings.verdicts == []
    assert (findings.accepted, findings.runs, findings.runs_again) == (2, 3, 1)
    assert findings.statuses == {"done": 2}
    assert findings.recovery.deaths == 1
    assert 3 < findings.recovery.worst < 5
    assert fence != second


def test_an_answer_without_a_job_breaks_promise_1(script: Script) -> None:
    """A producer that was told `queued` and whose job never began."""
    script.asked("lost", "queued")
    assert broken(script) == {1}


def test_a_job_without_an_end_breaks_promise_1(script: Script) -> None:
    """It began, all is quiet, and there is no record."""
    script.whole("one")
    script.submit("two")
    assert "promise 1 (accepted is kept): two: accepted, and it has no end" in said(script)


def test_a_run_that_was_cut_short_says_nothing_of_what_is_left(script: Script) -> None:
    """A planted bug is found long before its queue would be empty."""
    script.submit("one")
    script.history.ground.append({"at": script.now, "is": "cut short"})
    assert broken(script) == set()


def test_a_file_that_lost_its_end_breaks_promise_1(script: Script) -> None:
    """The server's file became shorter than what had been read: answers were given for what is gone."""
    script.history.broken.append("it ends at 3, and was read up to 9")
    assert broken(script) == {1}


def test_a_row_that_goes_without_a_record_breaks_promise_1(script: Script) -> None:
    """The index forgets a job."""
    gen = script.submit("one")
    script.step(("row", "one", None), ("gone", INTAKE, f"{gen}-0"))
    assert {1, 8} <= broken(script)


def test_a_second_acceptance_breaks_promise_2(script: Script) -> None:
    """The same id twice, nobody having asked for a retry or a replacement."""
    script.whole("one")
    script.whole("one")
    assert broken(script) == {2}


def test_a_generation_over_an_active_one_breaks_promise_2(script: Script) -> None:
    """The same id accepted while it waits."""
    script.submit("one")
    assert 2 in broken_after_submit(script)


def broken_after_submit(script: Script) -> set[int]:
    """Submit it once more, accepted again."""
    gen = script.submit("one")
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A))
    return broken(script)


@pytest.mark.parametrize(
    ("code", "identity"), [("conflict", "same"), ("already_done", "other"), ("duplicate_request", "other")]
)
def test_a_wrong_answer_breaks_promise_2(script: Script, code: str, identity: str) -> None:
    """The same content is no conflict, and other content is one."""
    script.whole("one")
    script.now += 2
    script.asked("one", code, identity=identity)
    assert broken(script) - {3} == {2}


def test_an_unanswered_call_may_have_come_through_or_not(script: Script) -> None:
    """A lost reply is no promise, either way."""
    gen = script.submit("one", code="queued")
    script.history.calls.clear()
    script.asked("one", None, sent=script.now - 0.2)
    script.asked("never", None)
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A))
    assert broken(script) == set()


def test_a_second_record_breaks_promise_3(script: Script) -> None:
    """One generation, two records."""
    gen = script.submit("one")
    script.move("one", gen)
    fence = script.start("one", gen, A)
    script.commit("one", gen, fence)
    script.step(script.record("one", gen, fence, nonce="other"))
    assert 3 in broken(script)


def test_a_record_that_vanishes_breaks_promise_3(script: Script) -> None:
    """It goes, and neither a new generation nor an expiry explains it."""
    script.whole("one")
    script.step(("record", "one", "result", None))
    assert 3 in broken(script)


def test_a_record_of_other_content_breaks_promise_3(script: Script) -> None:
    """The bytes are not those that were asked for."""
    gen = script.submit("one")
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A), echo="something else")
    assert broken(script) == {3}


def test_bodies_that_begin_out_of_contact_break_promise_5(script: Script) -> None:
    """One for each slot may have been past the check when it was paused; one more may not, and none without a pause."""
    for number in range(3):
        gen = script.submit(f"job-{number}")
        script.move(f"job-{number}", gen)
        script.start(f"job-{number}", gen, A, body="")
    late = [type(run)(run.id, run.fence, run.session_dir, 1, run.nonce, script.now + 9) for run in script.history.runs]
    script.history.runs[:] = late[:2]
    assert 5 in broken(script)
    script.fault("long_pause", "watcher-1", 8.9)
    assert 5 not in broken(script)
    script.history.runs[:] = late
    assert 5 in broken(script)


@pytest.mark.parametrize(("late", "promises"), [(0.1, set[int]()), (1.0, {5})])
def test_a_renewal_may_be_seen_a_moment_after_what_followed_it(script: Script, late: float, promises: set[int]) -> None:
    """The server's file is looked at now and then; a body writes its line at once."""
    script.now += 5
    script.open(B)
    gen = script.submit("one")
    script.move("one", gen)
    fence = script.start("one", gen, B)
    script.commit("one", gen, fence)
    run = script.history.runs[0]
    script.history.runs[:] = [type(run)(run.id, fence, run.session_dir, 1, run.nonce, 105.3 - late, run.ended, "ok")]
    assert broken(script) & {5} == promises


@pytest.mark.parametrize(("kind", "target"), [("pause", "watcher-2"), ("half_open", "wire-1"), ("pause", "watcher-1")])
def test_one_body_out_of_contact_is_too_many_where_nothing_held_it_up(script: Script, kind: str, target: str) -> None:
    """Another watcher was paused, or this one long before; or only its renewals are held back, and it works on."""
    gen = script.submit("one")
    script.move("one", gen)
    script.start("one", gen, A, body="")
    run = script.history.runs[0]
    script.history.runs[:] = [type(run)(run.id, run.fence, run.session_dir, 1, run.nonce, script.now + 9)]
    script.fault(kind, target, 2.0 if target == "watcher-1" else 9.0)
    assert "a body began on it, out of contact for" in said(script)


def test_a_living_session_that_is_swept_away_breaks_promise_6(script: Script) -> None:
    """It renewed less than a life ago, in time in which the server was seen."""
    script.passes(2.0, alive=B)
    script.sweep(A)
    assert broken(script) == {6}


def test_time_in_which_nobody_saw_the_server_does_not_age_a_session(script: Script) -> None:
    """The server was away for longer than a life: nobody may be ended for that."""
    script.now += 5
    script.sweep(A)
    assert broken(script) == {6}


def test_a_dead_ones_job_that_is_not_taken_back_breaks_promise_6(script: Script) -> None:
    """Longer than L and S after the death, the server being there."""
    gen = script.submit("one")
    script.move("one", gen)
    script.start("one", gen, A, body="")
    script.died("w1")
    script.passes(9, alive=B)
    script.sweep(A)
    script.take_back("one", gen)
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, B))
    assert broken(script) == {6}


def test_a_silent_session_that_nobody_ends_breaks_promise_6(script: Script) -> None:
    """It may be paused or cut off, and hold nothing: the others must end it."""
    script.passes(9, alive=B)
    text = said(script)
    assert "promise 6 (recovery): w1:a: silent for 8.9" in text
    assert "w2:b" not in text


def test_what_was_added_by_hand_and_never_began_breaks_promise_1(script: Script) -> None:
    """The inlet's entries are taken in by the queue itself; one that vanished was lost."""
    script.asked("foreign", "added", mode="foreign")
    assert broken(script) == {1}


def test_an_outage_is_no_part_of_a_recovery(script: Script) -> None:
    """The same wait, most of it with the server away."""
    gen = script.submit("one")
    script.move("one", gen)
    script.start("one", gen, A, body="")
    script.died("w1")
    script.fault("long_server_pause", "server", 7)
    script.now += 7
    script.passes(3.5, alive=B)
    script.sweep(A)
    script.take_back("one", gen)
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, B))
    findings = check(script.end())
    assert findings.verdicts == []
    assert findings.recovery.worst == 0
    assert findings.recovery.worst_disturbed < 6


@pytest.mark.parametrize(
    ("gap", "fault", "promises"), [(1.8, "blackhole", set[int]()), (1.5, "blackhole", {6}), (1.8, "", {6})]
)
def test_a_gap_between_sweeps_is_no_part_of_a_recovery(
    script: Script, gap: float, fault: str, promises: set[int]
) -> None:
    """Longer than 2 S, it moves every expiry by itself; shorter, or for no reason, it counts like any other time."""
    gen = script.submit("one")
    script.move("one", gen)
    script.start("one", gen, A, body="")
    script.died("w1")
    script.passes(3, alive=B)
    script.sweep()
    if fault:
        script.fault(fault, "wire-2", gap)
    script.now = round(script.now - 0.1 + gap / 2, 3)
    script.open(B)
    script.now = round(script.now - 0.1 + gap / 2, 3)
    script.passes(1.9, alive=B)
    script.sweep(A)
    script.take_back("one", gen)
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, B))
    assert broken(script) == promises


def test_a_silence_that_nothing_explains_is_part_of_a_recovery(script: Script) -> None:
    """All watchers stall, and no fault was noted: a queue with such a bug must not excuse itself."""
    script.now += 7
    script.passes(0.5, alive=B)
    script.sweep(A)
    assert "w1:a: silent for 7" in said(script)


@pytest.mark.parametrize(("target", "promises"), [("watcher-2", set[int]()), ("disk", {6})])
def test_a_silence_counts_where_every_watcher_is_dead_or_cut_off(
    script: Script, target: str, promises: set[int]
) -> None:
    """One is dead, the other paused: nobody was there to end the dead one's session."""
    script.died("w1")
    script.fault("long_pause", target, 7)
    script.now += 7
    script.passes(3.2, alive=B)
    script.sweep(A)
    assert broken(script) == promises


def test_an_innocent_set_aside_as_poison_breaks_promise_7(script: Script) -> None:
    """Only who is guilty may end so."""
    gen = script.submit("one")
    script.move("one", gen)
    fence = script.start("one", gen, A)
    script.commit("one", gen, fence, status="failed", tail={"error_type": "poison"})
    assert broken(script) == {7}
    script.history.guilty = frozenset({"one"})
    assert broken(script) == set()


def test_a_guilty_one_that_ends_well_breaks_promise_7(script: Script) -> None:
    """It kills what runs it, and is done all the same."""
    script.whole("one")
    script.history.guilty = frozenset({"one"})
    assert broken(script) == {7}


def test_an_entry_taken_away_before_its_record_breaks_promise_8(script: Script) -> None:
    """XACK and XDEL in a step of their own: a death in between would lose the job."""
    gen = script.submit("one")
    script.move("one", gen)
    fence = script.start("one", gen, A)
    script.step(("held", LANE, f"{gen}-1", None), ("gone", LANE, f"{gen}-1"))
    script.commit("one", gen, fence)
    assert broken(script) == {8}


def test_a_delay_keeps_its_job_and_its_time(script: Script) -> None:
    """A job that waits for its next try stands in no stream: what is kept of it, and when, must be there."""
    for name, kept, due in (("one", True, True), ("two", False, True), ("three", True, False)):
        gen = script.submit(name)
        script.move(name, gen)
        script.start(name, gen, A, body="")
        script.put_off(name, gen, kept=kept, due=due)
        if name == "one":
            script.back(name, gen)
            script.move(name, gen)
            script.commit(name, gen, script.start(name, gen, A))
    text = said(script)
    assert "two: delayed, and its job is kept nowhere" in text
    assert "three: delayed, and it is never due" in text
    assert "one:" not in text


def test_what_is_left_of_a_delay_breaks_promise_8(script: Script) -> None:
    """It waits in a stream, and would come back once more when it is due."""
    gen = script.submit("one")
    script.step(("due", "one", 5.0))
    script.move("one", gen)
    script.commit("one", gen, script.start("one", gen, A))
    assert broken(script) == {8}


def test_a_sum_that_is_off_breaks_promise_8(script: Script) -> None:
    """Accepted is counted, and nothing stands for it."""
    script.step(("count", "accepted", 1))
    assert broken(script) == {8}


def test_a_key_released_by_a_former_holder_breaks_promise_8(script: Script) -> None:
    """The holder is active, and its key goes to another."""
    gen = script.submit("one", key="k")
    script.step(("key", "k", f"{script.fence()}|two"))
    script.move("one", gen, key="k")
    assert 8 in broken(script)


@pytest.mark.parametrize("part", ["contradictions", "fsck", "unknown_keys"])
def test_a_last_look_that_finds_something_breaks_promise_8(script: Script, part: str) -> None:
    """Whatever the history says, the queue itself must be sound at the end."""
    history = script.end()
    history.final[part] = ["stranded one: delivered once, pending for nobody"]
    assert set(check(history).broken) == {8}


def test_a_history_that_tells_of_another_queue_breaks_promise_8(script: Script) -> None:
    """A record that only one of the two knows: one of them is wrong."""
    script.whole("one")
    history = script.end()
    history.final["records"]["two"] = ""
    assert set(check(history).broken) == {8}


def test_a_run_without_an_end_is_not_clean(script: Script) -> None:
    """No last look, no verdict of soundness."""
    script.whole("one")
    assert 8 in set(check(script.history).broken)


def test_a_verdict_names_the_job_the_promise_and_the_evidence(script: Script) -> None:
    """What a person needs to look further."""
    script.whole("one")
    script.whole("one")
    text = said(script)
    assert "promise 2 (once by name): one: generation" in text
    assert "submit sent" in text
