"""The parts of the chaos machine that decide without running anything: the schedule, the work, and how it is read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.chaos.machine import history, recovery, report, schedule, workload
from tests.chaos.machine.__main__ import main
from tests.chaos.machine.aof import AofReader, BrokenFileError, UnknownCommandError, Vocabulary, split
from tests.chaos.machine.ground import commit
from tests.chaos.machine.options import Options
from tests.chaos.machine.run import drawn, written
from tests.chaos.machine.wiretap import Listening

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FULL = Options(seed=7)
FIRST_OF_SEED_7 = "   19.199 s  pause            watcher-2    0.958 s"


# --- schedule and work ---------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_schedule_and_work() -> None:
    """Byte for byte, so that what was found once can be looked for again."""
    assert schedule.text(drawn(FULL)) == schedule.text(drawn(FULL))
    assert written(FULL) == written(FULL)
    other = replace(FULL, seed=8)
    assert schedule.text(drawn(other)) != schedule.text(drawn(FULL))
    assert written(other) != written(FULL)


def test_a_schedule_does_not_change_unseen(capsys: pytest.CaptureFixture[str]) -> None:
    """The first fault of a seed, as it stands in reports: whoever changes the drawing makes old seeds worthless."""
    assert drawn(FULL)[0].line == FIRST_OF_SEED_7
    assert main(["schedule", "--seed", "7"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == FIRST_OF_SEED_7


@pytest.mark.parametrize("seed", range(20))
def test_a_full_run_has_its_faults_and_none_overlaps_another_on_its_target(seed: int) -> None:
    """200 of them, over all kinds of targets, each over before its target is hit again."""
    faults = drawn(replace(FULL, seed=seed))
    assert len(faults) == 200
    assert {fault.target.partition("-")[0] for fault in faults} >= {"watcher", "wire", "producer", "server", "hand"}
    over: dict[str, float] = {}
    for fault in faults:
        place = "server" if fault.target == "hand" else fault.target
        assert fault.at >= over.get(place, 0)
        assert fault.at + fault.seconds < FULL.seconds + 7
        over[place] = fault.at + fault.seconds


def test_every_kind_of_fault_comes_in_ten_seeds() -> None:
    """None is so rare that it is never tried."""
    seen = {fault.kind for seed in range(10) for fault in drawn(replace(FULL, seed=seed))}
    assert seen == set(schedule.KINDS)


def test_what_this_machine_cannot_do_is_left_out_and_the_rest_stays() -> None:
    """A laptop without libfaketime replays the same seed but for the clock."""
    faults = drawn(FULL)
    left = schedule.possible(faults, ["clock"])
    assert [fault for fault in faults if fault.kind != "clock"] == left
    assert len(left) < len(faults)


def test_only_the_kinds_that_are_wished_are_drawn() -> None:
    """For a closer look at one of them."""
    assert {fault.kind for fault in drawn(replace(FULL, only=("kill", "reset")))} == {"kill", "reset"}


def test_the_work_has_everything_that_a_queue_is_used_for() -> None:
    """About as many jobs as asked for; repeats, conflicts, keys, delays, cancels, retries, foreign entries."""
    steps = [step for producer in written(FULL) for step in producer]
    jobs = {job["id"]: job for step in steps for job in step.jobs}
    assert FULL.jobs <= len(jobs) <= FULL.jobs * 1.05
    assert {step.do for step in steps} == {"submit", "cancel", "retry", "replace", "foreign", "junk"}
    assert {job["do"] for job in jobs.values()} == {"ok", "slow", "flaky", "fatal", "child", "output", "poison"}
    assert any(len(step.jobs) == 1 for step in steps)
    assert any(len(step.jobs) > 100 for step in steps)
    assert {job.get("on_conflict") for job in jobs.values()} == {None, "queue", "refuse"}
    assert sum("delay" in job for job in jobs.values()) > FULL.jobs / 100
    assert {job.get("backlog") for job in jobs.values()} == {None, "second", "third"}
    for producer in written(FULL):
        assert [step.at for step in producer] == sorted(step.at for step in producer)
        assert producer[-1].at < FULL.seconds


def test_steady_work_is_more_than_three_watchers_can_do() -> None:
    """So that something always waits where a directed schedule looks for it."""
    steps = [step for producer in workload.steady(1, seconds=10, producers=3) for step in producer]
    seconds = {job["id"]: job["seconds"] for step in steps for job in step.jobs}
    assert sum(seconds.values()) > 10 * 3 * FULL.slots


@pytest.mark.parametrize("write", [workload.varied, workload.steady, workload.uneven])
def test_directed_work_is_the_same_each_time_and_in_order(write: Callable[..., list[list[workload.Step]]]) -> None:
    """A planted bug is looked for in the same work as last time."""
    work = write(1, seconds=12, producers=3)
    assert work == write(1, seconds=12, producers=3)
    for steps in work:
        assert [step.at for step in steps] == sorted(step.at for step in steps)


def test_varied_work_has_what_steady_work_has_not() -> None:
    """Delays, flaky jobs, outputs; a cancel, and more than a second before it the long job that it is for."""
    for steps in workload.varied(1, seconds=8, producers=2):
        jobs = {job["id"]: job for step in steps for job in step.jobs}
        assert {job["do"] for job in jobs.values()} == {"ok", "flaky", "output", "slow"}
        assert any("delay" in job for job in jobs.values())
        sent = {job["id"]: step.at for step in steps for job in step.jobs}
        cancels = [step for step in steps if step.do == "cancel"]
        assert cancels
        for step in cancels:
            assert step.at == pytest.approx(sent[step.ids[0]] + workload.CANCEL_SECONDS)
            assert jobs[step.ids[0]]["seconds"] > 3 * workload.CANCEL_SECONDS


def test_a_report_says_under_what_a_run_was_made() -> None:
    """L, S, the server and the code; of a run that noted less, that it is not known."""
    about = {"life": 3.0, "sweep": 0.8, "renew": 0.4, "server": "valkey 9.1", "commit": "abc-dirty"}
    said = report.conditions(about)
    assert said == "L 3 s, S 0.8 s, renewals every 0.4 s; server valkey 9.1; commit abc-dirty"
    assert "server unknown; commit unknown" in report.conditions({"life": 3.0, "sweep": 0.8})
    assert commit()


# --- the append-only file ------------------------------------------------------------------------------------------


def command(*words: str) -> bytes:
    """As the server writes it."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


STEP = b"".join(
    (command("MULTI"), command("HSET", "chaos:jobs:req:index", "one", "Q|1|0|||s|1-0|i||||"), command("EXEC"))
)


def test_a_step_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """However the file was cut when it was looked at."""
    for cut in range(len(STEP)):
        blocks, used = split(STEP[:cut])
        assert (blocks, used) == ([], 0)
    place = tmp_path / "aof"
    reader = AofReader(place)
    assert reader.read() == []
    place.write_bytes(STEP + STEP[:20])
    assert len(reader.read()) == 1
    assert reader.read() == []
    with place.open("ab") as file:
        file.write(STEP[20:] + command("SET", "chaos:jobs:fence", "5"))
    assert [len(block) for block in reader.read()] == [1, 1]


def test_an_unfinished_step_that_a_restart_cut_off_was_never_read(tmp_path: Path) -> None:
    """After a crash the server drops it and writes on from there."""
    place = tmp_path / "aof"
    place.write_bytes(STEP + STEP[:40])
    reader = AofReader(place)
    assert len(reader.read()) == 1
    place.write_bytes(STEP + command("SET", "chaos:jobs:fence", "5"))
    assert reader.read() == [[[b"SET", b"chaos:jobs:fence", b"5"]]]


def test_a_file_that_lost_what_was_read_is_an_error(tmp_path: Path) -> None:
    """Answers had been given for it."""
    place = tmp_path / "aof"
    place.write_bytes(STEP)
    reader = AofReader(place)
    reader.read()
    place.write_bytes(STEP[:10])
    with pytest.raises(BrokenFileError, match="was read up to"):
        reader.read()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("HSET", "chaos:jobs:req:index", "one", "row"), [["row", "one", "row"]]),
        (("HDEL", "chaos:jobs:req:index", "one", "two"), [["row", "one", None], ["row", "two", None]]),
        (("HSET", "chaos:jobs:result", "one", "{}"), [["record", "one", "result", "{}"]]),
        (("HDEL", "chaos:jobs:failed", "one"), [["record", "one", "failed", None]]),
        (("ZADD", "chaos:watcher:sessions", "XX", "5", "w:1"), [["session", "w:1", 5.0]]),
        (("ZREM", "chaos:watcher:sessions", "w:1"), [["session", "w:1", None]]),
        (("HSET", "chaos:watcher:lock", "session", "w:1", "epoch", "9"), [["lead", "w:1", "9"]]),
        (("DEL", "chaos:watcher:lock"), [["lead", None, None]]),
        (("HSET", "chaos:watcher:sweep", "at", "77"), [["sweep", 77]]),
        (("HINCRBY", "chaos:metrics:jobs", "accepted", "3"), [["count", "accepted", 3]]),
        (("SET", "chaos:jobs:fence", "12"), [["fence", "12"]]),
        (("HSET", "chaos:jobs:key", "k", "1|one"), [["key", "k", "1|one"]]),
        (
            ("XADD", "chaos:jobs:lane:metal:any", "5-0", "id", "one", "gen", "1", "job", "{}"),
            [["entry", "lane:metal:any", "5-0", "one", "1"]],
        ),
        (("XADD", "chaos:jobs:stream", "5-0", "job", "{}"), [["entry", "stream", "5-0", None, None]]),
        (("XDEL", "chaos:jobs:stream", "5-0"), [["gone", "stream", "5-0"]]),
        (("HSET", "chaos:jobs:delayed", "one", "{}"), [["kept", "one", True]]),
        (("HDEL", "chaos:jobs:delayed", "one"), [["kept", "one", False]]),
        (("ZADD", "chaos:jobs:retry:zset", "5", "one"), [["due", "one", 5.0]]),
        (("XADD", "chaos:jobs:events", "MAXLEN", "=", "9", "5-1", "type", "done", "ids", "[]"), []),
        (("XGROUP", "SETID", "chaos:jobs:lane:metal:any", "watchers", "5-0"), []),
        (
            ("XCLAIM", "chaos:jobs:lane:metal:any", "watchers", "w:1", "0", "5-0", "TIME", "6", "JUSTID"),
            [["held", "lane:metal:any", "5-0", "w:1"]],
        ),
        (("XACK", "chaos:jobs:lane:metal:any", "watchers", "5-0"), [["held", "lane:metal:any", "5-0", None]]),
        (
            ("XGROUP", "DELCONSUMER", "chaos:jobs:lane:metal:any", "watchers", "w:1"),
            [["forgot", "lane:metal:any", "w:1"]],
        ),
        (
            ("XGROUP", "DESTROY", "chaos:jobs:lane:metal:any", "watchers"),
            [["forgot", "lane:metal:any", None]],
        ),
        (("XADD", "chaos:jobs:wake", "MAXLEN", "=", "9", "5-1", "why", "room"), []),
        (("SET", "other:key", "1"), []),
        (("SELECT", "0"), []),
    ],
)
def test_commands_become_the_words_of_the_checker(words: tuple[str, ...], said: list[list[object]]) -> None:
    """Each that matters to a promise; of the rest nothing is said."""
    assert Vocabulary("chaos").operations([[word.encode() for word in words]]) == said


@pytest.mark.parametrize(
    "words",
    [
        ("HSETNX", "chaos:jobs:req:index", "one", "row"),
        ("DEL", "chaos:jobs:req:index"),
        ("ZREMRANGEBYSCORE", "chaos:watcher:sessions", "-inf", "5"),
        ("ZINCRBY", "chaos:jobs:retry:zset", "5", "one"),
        ("INCR", "chaos:jobs:fence"),
        ("XTRIM", "chaos:jobs:stream", "MAXLEN", "0"),
        ("XGROUP", "OTHER", "chaos:jobs:stream", "watchers"),
        ("HDEL", "chaos:metrics:jobs", "accepted"),
    ],
)
def test_a_command_that_is_not_known_on_a_key_that_is_checked_is_an_error(words: tuple[str, ...]) -> None:
    """A script that begins to write in another way must not switch a check off."""
    with pytest.raises(UnknownCommandError, match=r"say in aof\.py what that changes"):
        Vocabulary("chaos").operations([[word.encode() for word in words]])


# --- the wiretap ---------------------------------------------------------------------------------------------------


def test_the_wiretap_hears_who_moved() -> None:
    """The call before a script's commands is theirs; reads and other scripts are nobody's move."""
    lines = [
        b'+1.5 [0 127.0.0.1:99] "EVALSHA" "abc" "2" "k1" "k2" "1" "w1:a" "77" "9" "stream" "lane"',
        b'+1.5 [0 lua] "HGET" "chaos:watcher:lock" "session"',
        b'+1.5 [0 lua] "XADD" "chaos:jobs:lane:metal:any" "*" "id" "a \\" lua] b"',
        b'+1.5 [0 lua] "XADD" "chaos:jobs:lane:metal:any" "*" "id" "b"',
        b'+1.6 [0 127.0.0.1:99] "XADD" "chaos:jobs:lane:metal:any" "*" "id" "by hand, not lua] either"',
        b'+1.7 [0 127.0.0.1:99] "EVALSHA" "abc" "1" "k1" "w2:b"',
        b'+1.7 [0 lua] "HSET" "chaos:watcher:lock" "session" "w2:b" "epoch" "78"',
    ]
    assert list(Listening().heard(lines)) == [
        {"is": "move", "session": "w1:a", "epoch": "77"},
        {"is": "lead", "session": "w2:b", "epoch": "78"},
    ]


# --- what a run leaves ---------------------------------------------------------------------------------------------


def test_runs_and_calls_are_joined_with_their_ends() -> None:
    """A body that was killed has no end, a call whose reply was lost no answer."""
    run = {"id": "one", "fence": "5", "session_dir": "w", "pid": 1, "attempt": 1}
    lines = [
        {"is": "begin", "at": 1.0, "nonce": "a", **run},
        {"is": "begin", "at": 2.0, "nonce": "b", **run},
        {"is": "end", "at": 3.0, "nonce": "a", "how": "ok", **run},
    ]
    first, second = history.body_runs(lines)
    assert (first.ended, first.how, second.ended, second.how) == (3.0, "ok", None, "")
    said = {"step": 0, "do": "submit", "ids": ["one"], "rows": [["one", "identity", 0, "echo"]]}
    calls = history.calls(
        [
            {"is": "sent", "at": 1.0, "call": "1-1", **said},
            {"is": "lost", "at": 1.5, "call": "1-1", "error": "gone"},
            {"is": "sent", "at": 2.0, "call": "1-2", **said},
            {"is": "answer", "at": 2.5, "call": "1-2", "codes": ["queued"]},
        ]
    )
    assert [(call.answered, call.codes) for call in calls] == [(None, None), (2.5, ("queued",))]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """A process that is killed may leave half a line, which says nothing."""
    home = tmp_path / "run"
    (home / "trace").mkdir(parents=True)
    about = {"life": 3.0, "sweep": 0.8, "options": FULL.as_json()}
    (home / "run.json").write_text(json.dumps(about))
    (home / "queue.jsonl").write_text('{"at":1,"ops":[["fence","1"]]}\n{"at":2,"broken":"it ends"}\n{"at":2,"op')
    found = history.read(home)
    assert [line.ops for line in found.lines] == [(("fence", "1"),)]
    assert found.broken == ["it ends"]
    assert history.options_of(home) == FULL


def test_spans_that_touch_are_one() -> None:
    """An outage is counted once however many reasons it has."""
    assert recovery.merged([(5, 6), (1, 3), (2, 4), (4, 4.5)]) == [(1, 4.5), (5, 6)]


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--jobs", "0"), "0 is not above 0"),
        (("check",), "check needs the directory of a run"),
        (("check", "nowhere"), "check needs the directory of a run"),
        (("planted", "no-such-bug"), "no such planted bug: no-such-bug; there are nothing, commit-without-fence"),
        (("run", "what"), "what is what?"),
        (("--dir", "."), "exists already"),
    ],
)
def test_a_wrong_command_line_is_refused(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, and what would be right."""
    try:
        code = main(words)
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    told = capsys.readouterr()
    assert said in told.err + told.out


def test_a_history_with_words_that_nobody_hears_is_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checks would be off, and it would pass."""
    (tmp_path / "run.json").write_text(json.dumps({"life": 3.0, "sweep": 0.8, "options": FULL.as_json()}))
    (tmp_path / "queue.jsonl").write_text('{"at":1,"ops":[["told","done",5]]}\n')
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(tmp_path)])
    assert "no check hears the word `told`" in capsys.readouterr().err
