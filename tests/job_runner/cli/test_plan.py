"""`job-runner plan`: jobs checked and priced without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.job_runner.conftest import JobRunner

TEN_MISTAKES = Path(__file__).parents[2] / "data" / "ten_mistakes.yaml"


def test_the_table(runner: JobRunner, three: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line a job and the totals by voice; Redis is not asked."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    shown = runner("plan", three)
    assert shown.code == 0
    assert shown.out == (
        "REQUEST ID  SOURCE          CHARS    EST\n"
        "story:one   voice:newsroom      4  0.2 s\n"
        "story:two   voice:newsroom      4  0.2 s\n"
        "nap         sleep               0  3.2 s\n"
        "\n"
        "SOURCE          JOBS  CHARS    EST   USD\n"
        "sleep              1      0  3.2 s  0.00\n"
        "voice:newsroom     2      8  0.4 s  0.00\n"
        "total              3      8  3.6 s  0.00\n"
        "\n"
        "3 jobs; estimates: built-in, for one slot of this machine\n"
    )
    assert shown.err == "next: `job-runner enqueue jobs.yaml` queues them\n"


def test_json_is_the_contracts_document(runner: JobRunner) -> None:
    """One job in full, with its hash, where it may run and what it will cost."""
    document = runner("plan", runner.file("- {output_name: a/b, speaker: Ryan, text: Hello}\n"), "--json").document
    (job,) = document.pop("jobs")
    assert job.pop("content_hash").startswith("sha256:v1:")
    assert job == {
        "index": 0,
        "file": "jobs.yaml",
        "source": "speaker:Ryan",
        "request_id": "a:b",
        "output_name": "a/b",
        "characters": 5,
        "backends": ["metal"],
        "est_seconds": 0.21,
        "est_usd": 0.0,
        "warnings": ["hibari speaks Ryan with a voice of its own"],
        "failing": "",
    }
    assert document == {
        "schema_version": 1,
        "job_count": 1,
        "estimates": "built-in",
        "totals": {"jobs": 1, "characters": 5, "est_seconds": 0.2, "est_usd": 0.0},
        "voices": {"speaker:Ryan": {"jobs": 1, "characters": 5, "est_seconds": 0.2, "est_usd": 0.0}},
        "errors": [],
    }


def test_the_same_plan_twice(runner: JobRunner, three: str) -> None:
    """Nothing in a plan depends on the time of day."""
    assert runner("plan", three, "--json").out == runner("plan", three, "--json").out


def test_what_would_not_work_here_is_said(runner: JobRunner) -> None:
    """An unknown voice may be known on a watcher elsewhere: said at the job, not refused."""
    jobs = runner.file(
        """\
        defaults: {profile: stable}
        jobs:
          - {output_name: a, voice: newsrom, text: Hi}
          - {output_name: b, voice: newsroom, text: Hi}
          - {output_name: c, voice: newsroom, text: Hi}
        """
    )
    shown = runner("plan", jobs)
    assert shown.code == 0
    assert "  would fail here: no voice is named 'newsrom' (near names: newsroom)\n" in shown.out
    assert "warning: hibari ignores profile (2 jobs)\n" in shown.out


def test_mistakes_stand_beside_the_plan(runner: JobRunner) -> None:
    """The valid jobs are planned, the mistakes are listed, exit code 2; in JSON they are in `errors`."""
    shown = runner("plan", str(TEN_MISTAKES), "--json")
    assert shown.code == 2
    errors = shown.document["errors"]
    assert len(errors) == 10
    assert errors[0]["line"] == 11
    assert errors[0]["where"] == "jobs[1].output_name"
    assert len(shown.err.splitlines()) == 12


def test_a_pin_is_where_it_runs(runner: JobRunner) -> None:
    """A pinned job has its one backend."""
    document = runner("plan", runner.file("- {request_id: a, task: debug, backend: cloud}\n"), "--json").document
    assert document["jobs"][0]["backends"] == ["cloud"]


def test_an_empty_file(runner: JobRunner) -> None:
    """Zero jobs is an answer."""
    shown = runner("plan", runner.file("jobs: []\n"))
    assert (shown.code, shown.out, shown.err) == (0, "", "no jobs in there\n")
