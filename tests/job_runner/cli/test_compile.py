"""`compile` writes a folder that can be executed anywhere, or says what stands in the way, with lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_runner.conftest import JobRunner

TWO = """\
    defaults: {voice: newsroom}
    jobs:
      - {output_name: story/one, text: "One."}
      - {output_name: story/two, text: "Two."}
    """


def test_the_folder(runner: JobRunner, home: Path) -> None:
    """The manifest's path on stdout, the rest on stderr; no server is asked."""
    done = runner("compile", runner.file(TWO), "--out", "batch")
    assert (done.code, done.out) == (0, "batch/manifest.json\n")
    assert "2 jobs compiled as run-" in done.err
    assert "next: `job-runner execute-manifest batch/manifest.json`" in done.err
    assert (home / "batch/story/one/text.txt").read_text() == "One."


def test_json(runner: JobRunner, home: Path) -> None:
    """The document of the contract and nothing else; the same again, byte for byte."""
    runner.file(TWO)
    done = runner("compile", "jobs.yaml", "--out", "batch", "--run-id", "monday", "--json", "--quiet")
    assert done.document == {
        "schema_version": 1,
        "run_id": "monday",
        "job_count": 2,
        "manifest": "batch/manifest.json",
    }
    assert done.err == ""
    first = (home / "batch/manifest.json").read_bytes()
    runner("compile", "jobs.yaml", "--out", "elsewhere", "--run-id", "monday")
    assert (home / "elsewhere/manifest.json").read_bytes() == first


def test_all_mistakes_of_all_files(runner: JobRunner, home: Path) -> None:
    """Each with its file and line; nothing is written."""
    runner.file(TWO)
    runner.file(
        """\
        - {output_name: story/two, voice: newsroom, text: "Two."}
        - {request_id: nap, task: sleep, payload: {seconds: 1}}
        - {output_name: manifest.json, voice: newsroom, text: "M."}
        - {output_name: story/x, voice: newsrom, text: "X."}
        - {output_name: y, request_id: "story:one", voice: newsroom, text: "Y."}
        - {output_name: z/.text.txt.part, voice: newsroom, text: "Z."}
        """,
        "more.yaml",
    )
    refused = runner("compile", "jobs.yaml", "more.yaml", "--out", "batch", "--json")
    assert (refused.code, refused.out) == (2, "")
    lines = refused.err.splitlines()
    assert lines[0] == (
        "more.yaml:1: jobs[0].output_name: 'story/two' is the job 'story:two' of jobs.yaml too; give each job its own"
    )
    assert lines[1].startswith("more.yaml:2: jobs[1].task: is sleep; without a queue only speak jobs run")
    assert lines[2].startswith("more.yaml:3: jobs[2].output_name: begins with 'manifest.json'")
    assert lines[3].startswith("more.yaml:4: jobs[3].voice: no voice is named 'newsrom'")
    assert lines[4].startswith("more.yaml:5: jobs[4].request_id: 'story:one' is the job 'story:one' of jobs.yaml too")
    assert lines[5].startswith(
        "more.yaml:6: jobs[5].output_name: has a part '.text.txt.part', the name of a job's file"
    )
    assert lines[6] == "error: 6 problems, nothing was compiled"
    assert "--any-voice" in lines[7]
    assert not (home / "batch").exists()


def test_two_jobs_of_one_file_in_one_place(runner: JobRunner) -> None:
    """Also when one of the places is made of a request_id; the same name twice is said once."""
    refused = runner(
        "compile",
        runner.file(
            """\
            - {request_id: "a:b", voice: newsroom, text: "One."}
            - {request_id: other, output_name: a/b, voice: newsroom, text: "Two."}
            - {request_id: third, output_name: a/b, voice: newsroom, text: "Three."}
            """
        ),
        "--out",
        "batch",
    )
    assert refused.code == 2
    assert refused.err.splitlines()[:2] == [
        "jobs.yaml:2: jobs[1].output_name: 'a/b' is the job 'a:b' too; give each job its own",
        "jobs.yaml:3: jobs[2].output_name: 'a/b' is the job 'a:b' too; give each job its own",
    ]


def test_a_voice_of_another_machine(runner: JobRunner) -> None:
    """`--any-voice` compiles what can only be spoken elsewhere."""
    jobs = runner.file('- {output_name: a, voice: stranger, text: "A."}\n')
    assert runner("compile", jobs, "--out", "batch").code == 2
    assert runner("compile", jobs, "--out", "batch", "--any-voice").code == 0
    failed = runner("execute-manifest", "batch", "--json")
    assert failed.code == 1
    assert "no voice is named 'stranger'" in failed.document["jobs"][0]["error"]


def test_an_edited_file_leaves_no_stale_text(runner: JobRunner, home: Path) -> None:
    """It says how many texts it removed."""
    runner("compile", runner.file(TWO), "--out", "batch")
    again = runner("compile", runner.file('- {output_name: new, voice: newsroom, text: "N."}'), "--out", "batch")
    assert "2 texts of an earlier compile removed" in again.err
    assert sorted(path.name for path in (home / "batch").iterdir()) == ["manifest.json", "new"]


def test_no_jobs(runner: JobRunner) -> None:
    """Zero jobs is an answer."""
    done = runner("compile", runner.file(""), "--out", "batch")
    assert done.code == 0
    assert "no jobs in jobs.yaml" in done.err


def test_a_beatsheet_is_compiled_too(runner: JobRunner, home: Path) -> None:
    """One that names its voices; a notice does not stop it."""
    sheet = {
        "topicId": "t",
        "totalBeats": 9,
        "ttsDefaults": {"voice": "newsroom"},
        "beats": [{"id": 1, "narration": "A 😀."}],
    }
    (home / "beats.json").write_text(json.dumps(sheet))
    done = runner("compile", "beats.json", "--out", "batch")
    assert done.code == 0
    assert "warning: beats.json:1: totalBeats is 9, the file has 1" in done.err
    assert (home / "batch/t/beat-001/text.txt").read_text() == "A 😀."
