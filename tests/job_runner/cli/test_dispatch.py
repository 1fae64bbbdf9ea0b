"""`dispatch` and `verify`: a manifest's entries into a backlog, once each, and whether their work was really done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner

PLAN = """\
    {"task": "tasks.debug_task", "args": ["one"], "kwargs": {}, "meta": {"id": "a 1", "plan": "p1"}}
    {"task": "debug", "kwargs": {"message": "two"}, "meta": {"plan": "p1"}, "id": "b", "description": "the second"}
    {"task": "debug", "args": ["three"], "meta": {"id": 3, "plan": "p1"}, "priority": "high"}
    """


@pytest.fixture
def manifest(runner: JobRunner) -> str:
    """Three echoes."""
    return runner.file(PLAN, "m.jsonl")


def test_entries_are_sent_once_and_told_word_for_word(runner: JobRunner, manifest: str) -> None:
    """The log lines of the requirement, in their order; names are backlog, plan and id; a second run sends nothing."""
    first = runner("dispatch", manifest, "--target", "backlog:gap_fill")
    assert first.code == 0
    said = first.err.splitlines()
    assert said[:4] == [
        "Start of script",
        "Job Sent: gap_fill:p1:a 1",
        "Job Sent: gap_fill:p1:b",
        "Job Sent: gap_fill:p1:3",
    ]
    assert first.out.endswith("\n3 jobs: 3 queued (durability: memory)\n")
    again = runner("dispatch", manifest, "--target", "backlog:gap_fill")
    assert (again.code, "Job Sent" in again.err) == (0, False)
    assert again.out.endswith("3 jobs: 3 duplicate_request (durability: memory)\n")
    assert runner("status", "--json").document["backlogs"]["gap_fill"]["waiting"] == 3


def test_quiet_and_json(runner: JobRunner, manifest: str) -> None:
    """One document on stdout, nothing on stderr; the default backlog has a name too."""
    shown = runner("dispatch", manifest, "--json", "--quiet")
    assert (shown.code, shown.err) == (0, "")
    assert [row["request_id"] for row in shown.document["rows"]] == ["default:p1:a 1", "default:p1:b", "default:p1:3"]
    assert shown.document["summary"] == {"queued": 3}
    assert shown.document["durability"] == "memory"


def test_another_plan_is_other_work(runner: JobRunner, manifest: str) -> None:
    """--plan does all of it once more; a name that would break the names of jobs is refused."""
    runner("dispatch", manifest)
    shown = runner("dispatch", manifest, "--plan", "tuesday", "--json")
    assert shown.document["summary"] == {"queued": 3}
    assert shown.document["rows"][1]["request_id"] == "default:tuesday:b"
    refused = runner("dispatch", manifest, "--plan", "a:b")
    assert (refused.code, refused.out) == (2, "")
    assert "--plan 'a:b' is no name of a plan" in refused.err


def test_changed_content_needs_to_be_asked_for(runner: JobRunner, manifest: str) -> None:
    """As in `enqueue`: a conflict while another content is known, replaced on demand once it has ended."""
    runner("dispatch", manifest)
    runner.file(PLAN.replace("two", "2"), "m.jsonl")
    assert runner("dispatch", manifest).code == 1
    assert runner("verify", manifest).code == 1
    runner("cancel", "default:p1:b", "--yes")
    shown = runner("dispatch", manifest, "--replace", "--json")
    assert (shown.code, shown.document["summary"]) == (0, {"duplicate_request": 2, "queued": 1})


def test_a_manifest_with_mistakes_queues_nothing(runner: JobRunner) -> None:
    """Every mistake with its line; exit code 2."""
    bad = runner.file(PLAN + '    {"task": "slep", "id": "x"}\n    {"task": "debug", "id": "b"\n', "bad.jsonl")
    shown = runner("dispatch", bad)
    assert (shown.code, shown.out) == (2, "")
    assert "bad.jsonl:4: task: 'slep' is no known task; did you mean 'sleep'?\n" in shown.err
    assert "bad.jsonl:5: is no JSON: Expecting ',' delimiter (column " in shown.err
    assert runner("status", "--json").document["totals"]["submitted"] == 0
    empty = runner("dispatch", runner.file("\n", "empty.jsonl"))
    assert (empty.code, "there is no entry; plan it again" in empty.err) == (2, True)
    jobs = runner("dispatch", runner.file("jobs: []\n", "jobs.yaml"))
    assert (jobs.code, "jobs.yaml:1: is a job file, no task manifest" in jobs.err) == (2, True)


def test_other_commands_know_the_names(runner: JobRunner, manifest: str) -> None:
    """`result`, `why` and `cancel` take them, `plan` reads the file, `report` asks after the default backlog."""
    runner("dispatch", manifest)
    runner("dispatch", manifest, "--target", "backlog:b", "--plan", "q")
    assert runner("result", "b:q:3", "--json").document["status"] == "queued"
    assert runner("result", "default:p1:a 1", "--json").document["status"] == "queued"
    assert runner("why", "default:p1:b").code == 0
    assert runner("report", manifest, "--json").document["summary"] == {"queued": 3}
    there = runner("report", manifest, "--target", "backlog:c")
    assert "not_found: `job-runner enqueue m.jsonl --target backlog:c` puts them into the queue\n" in there.err
    assert runner("enqueue", manifest, "--target", "backlog:c", "--json").document["summary"] == {"queued": 3}
    assert runner("report", manifest, "--target", "backlog:c", "--json").document["summary"] == {"queued": 3}
    assert runner("dispatch", manifest, "--target", "backlog:c", "--json").document["summary"] == {
        "duplicate_request": 3
    }
    planned = runner("plan", manifest, "--json")
    assert (planned.code, planned.document["job_count"]) == (0, 3)
    assert runner("cancel", "default:p1:3", "--yes").code == 0


def test_report_finds_a_manifest_in_its_backlog(runner: JobRunner, manifest: str) -> None:
    """Without --target too, while it is in one backlog alone; in two, it asks which is meant and names both."""
    runner("dispatch", manifest, "--target", "backlog:c")
    found = runner("report", manifest, "--json").document
    assert found["summary"] == {"queued": 3}
    assert found["rows"][0]["request_id"] == "c:p1:a 1"
    runner("dispatch", manifest, "--target", "backlog:d")
    refused = runner("report", manifest)
    assert (refused.code, refused.out) == (2, "")
    assert "2 backlogs: c, d" in refused.err
    assert "--target backlog:c" in refused.err
