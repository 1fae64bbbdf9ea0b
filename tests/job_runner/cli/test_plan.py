"""`job-runner plan`: jobs checked and priced without a server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner

TEN_MISTAKES = Path(__file__).parents[2] / "data" / "ten_mistakes.yaml"


def test_the_table(runner: JobRunner, three: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line a job and the totals by voice; Redis is not asked."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    shown = runner("plan", three)
    assert shown.code == 0
    assert re.sub(r"(\S+ \d\d|\d\d):\d\d(?=        0)", "<time>", shown.out) == (
        "REQUEST ID  SOURCE          CHARS    EST\n"
        "story:one   voice:newsroom      4  0.2 s\n"
        "story:two   voice:newsroom      4  0.2 s\n"
        "nap         sleep               0  3.2 s\n"
        "\n"
        "SOURCE          JOBS  CHARS    EST\n"
        "sleep              1      0  3.2 s\n"
        "voice:newsroom     2      8  0.4 s\n"
        "total              3      8  3.6 s\n"
        "\n"
        "WAY             P50    P90  DONE P90  USD P50  USD P90  RISK\n"
        "local only *  3.6 s  4.2 s     <time>        0        0     -\n"
        "  3 on metal\n"
        "* recommended: local only: the cheapest\n"
        "\n"
        "3 jobs; estimates: built-in\n"
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
        "warnings": ["speaker Ryan: the bundled voice speaks in its place, at a pace of its own"],
    }
    quote = document.pop("quote")
    assert [row["way"] for row in quote["rows"]] == ["local only"]
    assert document == {
        "schema_version": 1,
        "job_count": 1,
        "estimates": "built-in",
        "totals": {"jobs": 1, "characters": 5, "est_seconds": 0.2, "est_usd": 0.0},
        "voices": {"speaker:Ryan": {"jobs": 1, "characters": 5, "est_seconds": 0.2, "est_usd": 0.0}},
        "errors": [],
    }


def test_the_same_plan_twice(runner: JobRunner, three: str) -> None:
    """Nothing in a plan depends on the time of day but the times of its quote."""

    def planned() -> tuple[list[str], dict[str, object]]:
        document = runner("plan", three, "--json").document
        return list(document), document | {"quote": None}

    assert planned() == planned()


def test_an_unknown_voice_is_a_mistake_like_any_other(runner: JobRunner) -> None:
    """Voice, speaker, language or letters that the voice cannot say: each at its line, and nothing is queued."""
    jobs = runner.file(
        """\
        defaults: {voice: newsrom, language: English}
        jobs:
          - {output_name: a, text: Hi}
          - {output_name: b, voice: null, speaker: ryan, text: Hi}
          - {output_name: c, voice: newsroom, language: Elvish, text: Mellon}
          - {output_name: d, voice: newsroom, text: "\u041f\u0440"}
          - {output_name: e, text: Hi}
        """
    )
    shown = runner("plan", jobs)
    assert (shown.code, shown.out) == (2, "")
    lines = shown.err.splitlines()
    assert lines[:2] == [
        "jobs.yaml:1: defaults.voice: no voice is named 'newsrom'; near names: newsroom",
        "jobs.yaml:4: jobs[1].speaker: no speaker is named 'ryan'; near names: Ryan, Dylan",
    ]
    assert lines[2].startswith(
        "jobs.yaml:5: jobs[2].language: nothing here speaks 'Elvish' with the voice newsroom: hibari does not speak it;"
    )
    assert lines[3].startswith("jobs.yaml:6: jobs[3].text: hibari reads Latin letters only")
    # A plan queues nothing in any case.
    assert lines[4] == "error: 4 problems"

    refused = runner("enqueue", jobs)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines()[:5] == [*lines[:4], "error: 4 problems, nothing was queued"]
    assert "--any-voice takes voices that only the watcher's machine has" in refused.err
    assert runner("status", "--json").document["totals"]["submitted"] == 0

    planned = runner("plan", jobs, "--any-voice")
    assert (planned.code, planned.err) == (0, "next: `job-runner enqueue jobs.yaml --any-voice` queues them\n")
    assert runner("enqueue", jobs, "--any-voice", "--json").document["summary"] == {"queued": 5}


def test_a_voice_is_checked_without_its_engine(runner: JobRunner) -> None:
    """Neither plan, compile, enqueue nor a dry run loads a model or the libraries of one."""
    jobs = runner.file("- {output_name: a, voice: newsroom, text: Hi}\n")
    code = (
        "import sys\n"
        "from job_runner.cli.app import main\n"
        f"codes = [main([*words, {jobs!r}]) for words in (['plan'], ['enqueue'], ['compile', '--out', 'batch'])]\n"
        f"codes += [main(['run', '--dry-run', {jobs!r}])]\n"
        "heavy = {'numpy', 'onnxruntime', 'hibari'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or max(codes))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_has_no_effect_is_noted_once(runner: JobRunner) -> None:
    """A default that the bundled voice cannot obey is a calm line, however many jobs inherit it."""
    rows = "".join(f"  - {{output_name: '{name}', voice: newsroom, text: Hi}}\n" for name in "abc")
    shown = runner("plan", runner.file("defaults: {profile: stable}\njobs:\n" + rows))
    assert shown.code == 0
    assert shown.out.count("profile") == 1
    assert "\nnote: profile has no effect with the bundled voice (engine hibari); " in shown.out


def test_that_nothing_is_rented_without_a_cap_is_noted(
    runner: JobRunner, three: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, in both forms: the row that somebody looks for is not there."""
    monkeypatch.setenv("VAST_API_KEY", "vast-of-a-test-0123456789")
    assert runner("plan", three).out.count("note: nothing that costs is rented without BUDGET_PER_DAY_USD") == 1
    (note,) = runner("plan", three, "--json").document["quote"]["notes"]
    assert "BUDGET_PER_DAY_USD" in note
    monkeypatch.setenv("BUDGET_PER_DAY_USD", "5")
    assert "BUDGET_PER_DAY_USD" not in runner("plan", three).out


def test_mistakes_stand_beside_no_table(runner: JobRunner) -> None:
    """A list of good rows would look like success: the mistakes alone, and how many jobs are sound."""
    shown = runner("plan", str(TEN_MISTAKES))
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("beside the mistakes below, 1 job would be sound\n")
    assert len(shown.err.splitlines()) == 13


def test_errors_of_the_json_name_the_jobs_by_the_same_index(runner: JobRunner) -> None:
    """`index` is the place among the rows of the file, as in `jobs[i]` of a problem; exit code 2."""
    shown = runner("plan", str(TEN_MISTAKES), "--json")
    assert shown.code == 2
    document = shown.document
    assert len(document["errors"]) == 10
    later = runner.file("- {request_id: '', task: debug}\n- {request_id: b, task: debug}\n")
    assert [job["index"] for job in runner("plan", later, "--json").document["jobs"]] == [1]
    assert document["errors"][0]["line"] == 11
    assert document["errors"][0]["where"] == "jobs[1].output_name"
    assert [job["index"] for job in document["jobs"]] == [0]
    assert runner("plan", str(TEN_MISTAKES), "--quiet").out == ""


def test_quiet_is_silent(runner: JobRunner, three: str) -> None:
    """The exit code is the answer."""
    shown = runner("plan", three, "--quiet")
    assert (shown.code, shown.out, shown.err) == (0, "", "")


def test_a_pin_is_where_it_runs(runner: JobRunner) -> None:
    """A pinned job has its one backend."""
    document = runner("plan", runner.file("- {request_id: a, task: debug, backend: cloud}\n"), "--json").document
    assert document["jobs"][0]["backends"] == ["cloud"]


@pytest.mark.parametrize("text", ["", "jobs: []\n", "jobs:\n", "# nothing yet\n"])
def test_an_empty_file(runner: JobRunner, three: str, text: str) -> None:
    """A file that was cut off is no sound one: exit 2, with the file and what belongs there; others do not hide it."""
    empty = runner.file(text, "empty.yaml")
    said = (
        "empty.yaml:1: nothing in it: there is no job; "
        "write jobs as a list below `jobs:`, each with a dash, a name and a text\n"
    )
    shown = runner("plan", empty, "--quiet")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(said)
    for words in (("plan", empty, three), ("plan", three, empty, "--json"), ("enqueue", three, empty)):
        refused = runner(*words)
        assert refused.code == 2
        assert said in refused.err
    assert runner("status", "--json").document["totals"]["submitted"] == 0
    (error,) = runner("plan", empty, "--json").document["errors"]
    assert (error["source"], error["line"]) == ("empty.yaml", 1)


def test_the_same_job_in_two_files_is_counted_once(runner: JobRunner, three: str) -> None:
    """As enqueue queues it once; the files stay sound."""
    shown = runner("plan", three, runner.file("- {output_name: story/one, voice: newsroom, text: One.}\n", "more.yaml"))
    assert shown.code == 0
    assert "\n3 jobs; " in shown.out
    assert shown.err.startswith(
        "1 job stands in an earlier file too, with the same content: counted once, and queued once\n"
    )


def test_one_name_with_other_content_in_two_files_is_a_mistake(runner: JobRunner, three: str) -> None:
    """Both places are named; the first one still counts as sound."""
    more = runner.file("\n- {output_name: story/one, voice: newsroom, text: Other.}\n", "more.yaml")
    shown = runner("plan", three, more, "--json")
    assert shown.code == 2
    (error,) = shown.document["errors"]
    assert (error["source"], error["line"], error["where"]) == ("more.yaml", 2, "request_id")
    assert error["message"] == (
        "'story:one' stands in jobs.yaml on line 2 too, with other content; give each job its own"
    )
    assert shown.document["job_count"] == 3


def test_two_jobs_that_want_one_conflict_key(runner: JobRunner) -> None:
    """What enqueue will refuse is said before; one that is content to wait, and the first, are no matter."""
    rows = "".join(
        f"- {{request_id: {name}, task: debug, conflict_key: {key}, on_conflict: {what}}}\n"
        for name, key, what in (("a", "k", "refuse"), ("b", "k", "queue"), ("c", "k", "refuse"), ("d", "m", "refuse"))
    )
    jobs = runner.file(rows)
    shown = runner("plan", jobs)
    assert shown.code == 0
    (note,) = [line for line in shown.out.splitlines() if line.startswith("note: ")]
    assert note.startswith(
        "note: an earlier job of the same plan has the same conflict_key, so enqueue answers key_busy;"
    )
    assert note.endswith("(1 job)")
    warned = [bool(job["warnings"]) for job in runner("plan", jobs, "--json").document["jobs"]]
    assert warned == [False, False, True, False]
    rows_of = runner("enqueue", jobs, "--json").document["rows"]
    assert [row["status"] for row in rows_of] == ["queued", "queued", "key_busy", "queued"]
