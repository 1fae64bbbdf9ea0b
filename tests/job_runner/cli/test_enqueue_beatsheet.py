"""`enqueue-beatsheet`: beats into the queue, flags that win, mistakes with lines, the JSON of `enqueue`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_runner.conftest import JobRunner

BEATS: dict[str, Any] = {
    "topicId": "rome",
    "title": "Rome",
    "beats": [
        {"id": 1, "narration": "Rome was not built in a day. 😀", "source_ref": "p. 3"},
        {"id": 2, "narration": "It was burnt in six.", "tts": {"speaker": "Ryan", "instruct": "slowly"}},
    ],
}


def sheet(home: Path, **more: Any) -> str:
    """The sheet in the working directory, as JSON writers write it; its name."""
    (home / "beats.json").write_text(json.dumps({**BEATS, **more}, indent=2))
    return "beats.json"


def test_the_beats_are_queued(runner: JobRunner, home: Path) -> None:
    """The document of `enqueue`; a second time nothing is queued twice."""
    done = runner("enqueue-beatsheet", sheet(home), "--voice", "newsroom", "--json")
    assert done.code == 0
    assert done.document["summary"] == {"queued": 2}
    assert [(row["index"], row["request_id"], row["output_name"]) for row in done.document["rows"]] == [
        (0, "rome:beat-001", "rome/beat-001"),
        (1, "rome:beat-002", "rome/beat-002"),
    ]
    again = runner("enqueue-beatsheet", sheet(home), "--voice", "newsroom", "--json")
    assert again.document["summary"] == {"duplicate_request": 2}
    assert runner("status", "--json").document["totals"]["queued"] == 2


def test_flags_win_and_other_flags_are_other_content(runner: JobRunner, home: Path) -> None:
    """The same sheet by another voice is a conflict, whose mend is the whole command."""
    runner("enqueue-beatsheet", sheet(home), "--voice", "newsroom")
    other = runner("enqueue-beatsheet", sheet(home), "--speaker", "Vivian", "--variants", "2", "--no-chunk")
    assert other.code == 1
    assert "2 jobs: 2 conflict" in other.out
    assert "`job-runner enqueue-beatsheet beats.json --speaker Vivian --variants 2 --no-chunk --replace`" in other.err


def test_a_sheet_with_voices_needs_no_flag(runner: JobRunner, home: Path) -> None:
    """And then every command that takes job files takes it."""
    name = sheet(home, ttsDefaults={"voice": "newsroom"})
    planned = runner("plan", name, "--json").document
    assert [job["source"] for job in planned["jobs"]] == ["voice:newsroom", "speaker:Ryan"]
    assert runner("enqueue", name).code == 0
    assert runner("enqueue-beatsheet", name, "--json").document["summary"] == {"duplicate_request": 2}
    assert runner("report", name, "--json").document["summary"] == {"queued": 2}


def test_without_any_voice_it_says_what_to_give(runner: JobRunner, home: Path) -> None:
    """At the line of the beat; nothing is queued."""
    refused = runner("enqueue-beatsheet", sheet(home))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines()[0] == (
        "beats.json:5: beats[0]: has no voice: name voice or speaker in its tts or ttsDefaults, or give one to "
        "enqueue-beatsheet"
    )
    assert runner("status", "--json").document["totals"]["submitted"] == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--voice", "newsrom"), "beats.json:5: beats[0]: --voice: no voice is named 'newsrom'; near names: newsroom"),
        (("--speaker", "Rian"), "beats.json:5: beats[0]: --speaker: no speaker is named 'Rian'; near names: Ryan"),
        (("--voice", "newsroom", "--variants", "0"), "beats.json:5: beats[0]: --variants: must be at least 1, not 0"),
        (("--voice", "newsroom", "--top-p", "2"), "beats.json:5: beats[0]: --top-p: must be at most 1.0, not 2.0"),
        (("--voice", "newsroom", "--speaker", "Ryan"), "error: --voice and --speaker exclude each other"),
        (("--voice", "newsroom", "--language", "Gibberish"), "beats.json:5: beats[0]: --language: "),
    ],
)
def test_a_wrong_flag_is_named_once(runner: JobRunner, home: Path, flags: tuple[str, ...], said: str) -> None:
    """Not for every beat; exit 2."""
    refused = runner("enqueue-beatsheet", sheet(home), *flags)
    assert refused.code == 2
    assert refused.err.startswith(said)
    assert len(refused.err.splitlines()) <= 3


def test_mistakes_of_the_sheet(runner: JobRunner, home: Path) -> None:
    """All at once, before anything is queued."""
    name = sheet(home, beats=[{"id": "1", "narration": ""}, {"id": 2}], totalBeats=2)
    refused = runner("enqueue-beatsheet", name, "--voice", "newsroom", "--json")
    assert (refused.code, refused.out) == (2, "")
    assert [line.partition(": ")[2] for line in refused.err.splitlines()[:3]] == [
        "beats[0].id: must be a whole number such as 7, not '1'",
        "beats[0].narration: is blank; write text: what is to be said",
        "beats[1].narration: is missing; write text: what is to be said",
    ]


def test_a_wrong_total_is_a_warning(runner: JobRunner, home: Path) -> None:
    """The jobs are queued all the same, also with --quiet it is said."""
    done = runner("enqueue-beatsheet", sheet(home, totalBeats=60), "--voice", "newsroom", "--quiet")
    assert done.code == 0
    assert done.err == "warning: beats.json:19: totalBeats is 60, the file has 2; 60 is kept as total_beats\n"


def test_a_job_file_is_sent_to_its_own_command(runner: JobRunner, three: str) -> None:
    """By name."""
    refused = runner("enqueue-beatsheet", three, "--voice", "newsroom")
    assert refused.code == 2
    assert "belongs to a job file; queue that with `job-runner enqueue`" in refused.err


def test_a_named_backlog(runner: JobRunner, home: Path) -> None:
    """As with `enqueue`."""
    runner("enqueue-beatsheet", sheet(home), "--voice", "newsroom", "--target", "backlog:night")
    assert runner("status", "--json").document["backlogs"]["night"]["waiting"] == 2


def test_a_report_needs_no_voice(runner: JobRunner, home: Path) -> None:
    """The command that was just used: its jobs are found by name, and none is called other content."""
    name = sheet(home)
    before = runner("report", name)
    assert (before.code, before.out.count("not_found")) == (0, 3)
    assert before.err == (
        "not_found: `job-runner enqueue-beatsheet beats.json --voice VOICE` puts them into the queue\n"
    )
    runner("enqueue-beatsheet", name, "--voice", "newsroom")
    found = runner("report", name, "--json")
    assert (found.code, found.document["summary"], found.document["outdated"]) == (0, {"queued": 2}, 0)
    assert [row["current"] for row in found.document["rows"]] == [None, None]
