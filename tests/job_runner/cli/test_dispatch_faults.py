"""`dispatch` when things break or happen at once: what was accepted stays accepted, and nothing is sent twice."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.job_runner.conftest import PROGRAM

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner

MANY = 1_201
"""Three batches of the queue."""


@pytest.fixture
def many(runner: JobRunner) -> str:
    """A manifest of many echoes."""
    lines = (json.dumps({"task": "debug", "args": [str(at)], "id": at}) for at in range(MANY))
    return runner.file("\n".join(lines), "many.jsonl")


def test_no_server(runner: JobRunner, many: str) -> None:
    """Exit code 3 and what to do; the script has started, and no job was sent."""
    for command in ("dispatch", "verify"):
        shown = runner(command, many, "--redis-url", "redis://127.0.0.1:1/0")
        assert (shown.code, shown.out, "Job Sent" in shown.err) == (3, "", False)
        assert "hint: start one with `job-runner server start`, or set REDIS_URL\n" in shown.err


def test_a_promise_that_the_server_cannot_keep(runner: JobRunner, many: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `enqueue`: nothing is queued, and it says what the server lacks."""
    monkeypatch.setenv("JOBS_DURABILITY", "fsynced")
    shown = runner("dispatch", many)
    assert (shown.code, shown.out, "Job Sent" in shown.err) == (2, "", False)
    assert "JOBS_DURABILITY=fsynced needs a server with appendfsync always" in shown.err


def test_two_at_once_send_each_entry_once(runner: JobRunner, many: str) -> None:
    """Who comes second is told so, entry by entry; together they sent every one."""
    command = [*PROGRAM, "dispatch", many, "--target", "backlog:race"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    sent = [line for _, said in ended for line in said.splitlines() if line.startswith("Job Sent: ")]
    assert sorted(sent) == sorted(f"Job Sent: race:many:{at}" for at in range(MANY))
    assert runner("status", "--json").document["backlogs"]["race"]["waiting"] == MANY


def test_one_that_was_cut_off_is_completed_by_the_next(runner: JobRunner, many: str) -> None:
    """A file that was half sent: only the rest is new, and all of it is there in the end."""
    lines = (runner.home / many).read_text().splitlines()
    (runner.home / "part").mkdir()
    (runner.home / "part" / many).write_text("\n".join(lines[:700]))
    assert runner("dispatch", f"part/{many}").code == 0
    rest = runner("dispatch", many, "--json")
    assert rest.document["summary"] == {"duplicate_request": 700, "queued": MANY - 700}
    assert rest.err.count("Job Sent: ") == MANY - 700


def test_a_reader_that_goes_away_does_not_stop_it(runner: JobRunner, many: str) -> None:
    """`dispatch … | head -1`: the jobs are queued all the same."""
    process = subprocess.Popen(
        [*PROGRAM, "dispatch", many, "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 0
    assert runner("status", "--json").document["totals"]["queued"] == MANY


def test_ids_of_any_script_are_said_as_they_are(runner: JobRunner) -> None:
    """Blanks, quotes and letters of other scripts, in logs, tables and what is to be typed next."""
    name = runner.file('{"task": "debug", "id": "Job 1 \'x\' ☃"}', "a b.jsonl")
    shown = runner("dispatch", name)
    assert "Job Sent: default:a b:Job 1 'x' ☃\n" in shown.err
    again = runner("verify", name)
    assert "`job-runner verify 'a b.jsonl' --target backlog:default --wait`" in again.err
    assert runner("result", "default:a b:Job 1 'x' ☃").code == 0
