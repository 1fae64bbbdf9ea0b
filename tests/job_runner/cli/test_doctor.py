"""`job-runner doctor`: one line each, with the mend; exit code 1 when something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.hand import HandWatcher
from tests.support.servers import RealServer, ValkeyServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_runner.conftest import JobRunner


def _states(document: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in document["checks"]}


def test_all_is_well(runner: JobRunner, tmp_path: Path) -> None:
    """A sound server and machine: every line ok, exit code 0."""
    shown = runner("doctor")
    assert shown.code == 0, shown.out
    lines = shown.out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "redis"],
        ["ok", "version"],
        ["ok", "persistence"],
        ["ok", "eviction"],
        ["ok", "time"],
        ["ok", "durability"],
        ["ok", "watchers"],
        ["ok", "callbacks"],
        ["ok", "state"],
        ["ok", "output"],
        ["ok", "tasks"],
        ["ok", "room"],
        ["ok", "sentences"],
        *[["ok", "engine"]] * 4,
        ["ok", "voices"],
    ]
    assert lines[3] == "ok      eviction     noeviction"
    assert lines[8] == f"ok      state        {tmp_path}/state (not there yet; it can be made)"
    assert lines[13].startswith("ok      engine       hibari (hibari-tts-")
    assert lines[17] == "ok      voices       newsroom"


def test_waiting_jobs_without_a_watcher_are_a_note(runner: JobRunner, three: str) -> None:
    """Not wrong, but worth a word."""
    runner("enqueue", three)
    document = runner("doctor", "--json").document
    assert document["ok"] is True
    (note,) = [check for check in document["checks"] if check["state"] == "note"]
    assert note == {
        "name": "watchers",
        "state": "note",
        "found": "0 alive, 3 jobs outstanding",
        "mend": "start one with `job-watcher`",
    }


def test_redis_down(runner: JobRunner) -> None:
    """The machine is checked all the same."""
    shown = runner("doctor", "--redis-url", "redis://:secret@127.0.0.1:1/0")
    assert shown.code == 1
    assert shown.out.startswith("wrong   redis        Redis at redis://:***@127.0.0.1:1/0 does not answer")
    assert "mend: start one with `job-runner server start`, or set REDIS_URL" in shown.out
    assert "ok      engine" in shown.out
    assert "secret" not in shown.out


@pytest.fixture
def careless(tmp_path: Path) -> Any:
    """A server that keeps nothing and evicts."""
    options = ("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    with ValkeyServer(tmp_path / "careless", options=options) as server:
        yield server


def test_a_server_that_loses_jobs(runner: JobRunner, careless: RealServer) -> None:
    """No persistence and an eviction policy are each a finding with its mend."""
    shown = runner("doctor", "--redis-url", careless.url)
    assert shown.code == 1
    assert (
        "wrong   persistence  no append-only file: a restart loses the queue; mend: set `appendonly yes` there\n"
        in (shown.out)
    )
    assert "mend: set `maxmemory-policy noeviction` there\n" in shown.out


def test_the_oldest_redis_will_do(runner: JobRunner, redis7_url: str) -> None:
    """Redis 7.0 is enough."""
    shown = runner("doctor", "--redis-url", redis7_url)
    assert shown.code == 0, shown.out
    assert "at least 7.0 is needed\n" in shown.out


def test_what_is_wrong_is_named_each_with_its_mend(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promise that the server cannot keep, a directory that cannot be written, an extension that is missing.

    None of them is a crash, and none hides another.
    """
    monkeypatch.setenv("JOBS_DURABILITY", "replicated:2")
    monkeypatch.setenv("JOBS_STATE_DIR", "/proc/1/nowhere")
    monkeypatch.setenv("JOBS_TASK_MODULES", "no_such_module")
    shown = runner("doctor")
    assert shown.code == 1
    assert "wrong   durability   " in shown.out
    assert "wrong   state        /proc/1/nowhere: " in shown.out
    assert "mend: make it writable, or set JOBS_STATE_DIR\n" in shown.out
    assert "wrong   tasks        JOBS_TASK_MODULES: no_such_module cannot be imported" in shown.out


def test_fsck_of_a_sound_queue(runner: JobRunner, three: str) -> None:
    """The sum in one line, nothing else to say."""
    runner("enqueue", three)
    shown = runner("doctor", "--fsck")
    assert shown.code == 0, shown.out
    assert shown.out.endswith("ok      sum          accepted 3 = intake 3\n")


def test_fsck_finds_and_repair_mends(runner: JobRunner, three: str) -> None:
    """A payload that somebody trimmed is named with its mend; --repair ends that job and harms no other."""
    runner("enqueue", three)

    async def trim(watcher: HandWatcher) -> None:
        key = watcher.queue.keys.stream("stream:normal:any")
        await watcher.queue.client.xtrim(key, maxlen=0, approximate=False)

    runner.by_hand(trim)
    found = runner("doctor", "--fsck")
    assert found.code == 1
    (line,) = [line for line in found.out.splitlines() if line.startswith("wrong")][:1]
    assert line.startswith("wrong   payload_lost  nap: ")
    assert line.endswith("; mend: run `job-runner doctor --fsck --repair`")

    refused = runner("doctor", "--repair")
    assert refused.code == 2
    assert "there is no terminal to ask on" in refused.err

    mended = runner("doctor", "--repair", "--yes", "--json")
    assert mended.code == 0, mended.out
    document = mended.document
    assert document["census"]["balance"] == 0
    assert [(each["kind"], each["subject"], each["repaired"]) for each in document["findings"]] == [
        ("payload_lost", "nap", True)
    ]
    assert runner("result", "nap", "--json").document["record"]["error_type"] == "payload_lost"
    assert runner("result", "story:one", "--json").document["status"] == "queued"
    assert runner("doctor", "--fsck").code == 0


def test_an_imbalance_is_mended_by_no_program(runner: JobRunner, three: str) -> None:
    """A removed record is found by the sum alone, and what to do is said."""
    runner("enqueue", three)
    runner.by_hand(HandWatcher.all_done)

    async def forget(watcher: HandWatcher) -> None:
        await watcher.queue.client.hdel(watcher.queue.keys.of("result"), "nap")

    runner.by_hand(forget)
    shown = runner("doctor", "--repair", "--yes")
    assert shown.code == 1
    assert "note    sum          accepted 3 = done 2\n" in shown.out
    (line,) = [line for line in shown.out.splitlines() if line.startswith("wrong")]
    assert line.startswith("wrong   imbalance")
    assert "`job-runner report` says which jobs are missing" in line


def test_fsck_without_redis(runner: JobRunner) -> None:
    """The checks say what is wrong; there is nothing to walk through."""
    shown = runner("doctor", "--fsck", "--redis-url", "redis://127.0.0.1:1/0")
    assert shown.code == 1
    assert "sum" not in shown.out


def test_a_misspelt_setting_is_named(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment and in .env: a note with the name that was meant, and no reason to call it all unsound."""
    monkeypatch.setenv("WATCHER_SESION_TTL", "30")
    monkeypatch.setenv("JOBS_RUNNERS", "4")
    (runner.home / ".env").write_text("METAL_CONCURENCY=2\nSOMEBODY_ELSES=1\n#JOBS_PREFX=x\n")
    shown = runner("doctor")
    assert shown.code == 0
    notes = [line.split(None, 2)[2] for line in shown.out.splitlines() if line.startswith("note    settings")]
    assert notes == [
        "JOBS_RUNNERS is set and is no setting; mend: see .env.example for every name",
        "METAL_CONCURENCY is set and is no setting; mend: did you mean METAL_CONCURRENCY?",
        "WATCHER_SESION_TTL is set and is no setting; mend: did you mean WATCHER_SESSION_TTL?",
    ]


def test_a_name_that_is_nearly_a_setting_is_named(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that begins like none of ours; what others set, and what is near a setting that is set, is not."""
    for name in ("MTAL_CONCURRENCY", "CALBACK_SECRET", "REDIS_ULR"):
        monkeypatch.setenv(name, "1")
    for name in (
        "REDIS_HOST",
        "AWS_S3_BUCKET",
        "JOB_NAME",
        "WORK_DIR",
        "VOICES_DIR",
        "BUCKET",
        "PREFIX",
    ):
        monkeypatch.setenv(name, "1")
    shown = runner("doctor")
    assert shown.code == 0
    named = [line.split()[2] for line in shown.out.splitlines() if line.startswith("note    settings")]
    assert named == ["CALBACK_SECRET", "MTAL_CONCURRENCY"]  # REDIS_URL itself is set
    monkeypatch.delenv("REDIS_URL")
    unset = runner("doctor", "--redis-url", runner.url)
    assert "note    settings     REDIS_ULR is set and is no setting; mend: did you mean REDIS_URL?\n" in unset.out


def test_a_misspelt_setting_is_told_by_every_command(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its work, without the value; help and completion say nothing of it."""
    monkeypatch.setenv("GEMINI_API_KY", "opensesame")
    (runner.home / ".env").write_text("BUDGET_PER_DY_USD=0.5\n")
    told = (
        "warning: BUDGET_PER_DY_USD is set and is no setting; did you mean BUDGET_PER_DAY_USD?\n"
        "warning: GEMINI_API_KY is set and is no setting; did you mean GEMINI_API_KEY?\n"
    )
    shown = runner("status", "--json")
    assert (shown.code, shown.err) == (0, told)
    assert "no setting" not in (asked := runner("status", "--help")).out + asked.err


def test_a_line_of_dotenv_that_is_no_setting_is_a_note(runner: JobRunner) -> None:
    """With file and line, and nothing of what stands there, which may be a secret."""
    (runner.home / ".env").write_text("# mine\nthis is a secret\nJOBS_MAX_JOB_BYTES=1000\n")
    shown = runner("doctor")
    assert shown.code == 0
    said = "note    settings     .env:2 is no setting and is left out; mend: write NAME=value, or # before a comment\n"
    assert said in shown.out
    assert "secret" not in shown.out + shown.err
    told = "warning: .env:2 is no setting and is left out; write NAME=value, or # before a comment\n"
    assert runner("status", "--json").err == told
