"""Every mistake of a file at once, each with its place and its mend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lib.errors import InvalidJobsError
from lib.jobfile import FileRules, check_file, read_jobs
from lib.jobqueue.problems import FieldProblem
from tests.lib.jobfile.written import JOB, jobs, said, written

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec

TEN_MISTAKES = Path(__file__).parents[2] / "data" / "ten_mistakes.yaml"

# Line, place and the words of the mend.
EXPECTED = [
    (11, "jobs[1].output_name", "name the place below the output root directly"),
    (16, "jobs[2].voise", "did you mean 'voice'?"),
    (22, "jobs[3].variants", "a whole number such as 3"),
    (25, "jobs[4].voice", "keep one"),
    (31, "jobs[5].text", "write what is to be said"),
    (36, "jobs[6].task", "did you mean 'speak'?"),
    (41, "jobs[7].text", "first on line 40; keep one of them"),
    (44, "jobs[8].voice", "remove it"),
    (50, "jobs[9].deadline", "add Z"),
    (52, "jobs[10].output_name", "jobs[0] on line 7 too; give each job its own"),
]


def test_ten_mistakes_are_ten_lines() -> None:
    """Each with file, line, field and mend, in the order of the file, and not one line more."""
    problems = check_file(TEN_MISTAKES, FileRules()).problems
    assert [(problem.line, problem.where) for problem in problems] == [(line, where) for line, where, _ in EXPECTED]
    for problem, (line, where, mend) in zip(problems, EXPECTED, strict=True):
        assert mend in problem.message
        assert str(problem).startswith(f"{TEN_MISTAKES}:{line}: {where}: ")


def test_no_job_of_a_wrong_file_is_handed_on() -> None:
    """All or nothing, and before the first job, not after it."""
    with pytest.raises(InvalidJobsError) as caught:
        read_jobs(TEN_MISTAKES, FileRules())
    assert len(caught.value.problems) == len(EXPECTED)
    assert caught.value.exit_code == 2


def test_the_line_is_that_of_the_field(tmp_path: Path) -> None:
    """Below it too: in callback_data, in a payload, in a list, under a block of text."""
    lines = said(
        tmp_path,
        """\
- output_name: a
  voice: v
  text: |
    one
    two
  variants:
    1.9
  callback_data:
    list:
      - 1
      - .inf
- task: sleep
  request_id: s
  payload:

    secnods: 5
""",
    )
    assert [line.split(": ")[:2] for line in lines] == [
        ["6", "jobs[0].variants"],
        ["11", "jobs[0].callback_data.list[1]"],
        ["14", "jobs[1].payload.seconds"],
        ["16", "jobs[1].payload.secnods"],
    ]


def test_a_missing_field_is_said_at_the_row(tmp_path: Path) -> None:
    """There is no better line."""
    (line,) = said(tmp_path, "\n\n- output_name: a\n  voice: v\n")
    assert line.startswith("3: jobs[0].text: is missing")


def test_a_refused_field_is_not_called_missing_as_well(tmp_path: Path) -> None:
    """One mistake, one line."""
    assert len(said(tmp_path, "- {output_name: a, speaker: &x Ryan, text: t}\n")) == 1
    assert len(said(tmp_path, "- {output_name: !t a, voice: v, text: t}\n")) == 1
    assert len(said(tmp_path, "- {output_name: a, voice: v, txet: t}\n")) == 1


def test_broken_syntax_is_one_line_after_all_that_was_found_before_it(tmp_path: Path) -> None:
    """What cannot be read ends the reading, not the report."""
    lines = said(tmp_path, '- {output_name: a, text: t}\n- {output_name: b, voice: v, text: "never closed}\n')
    assert lines[0].startswith("1: jobs[0].voice: is missing")
    assert "is no YAML" in lines[1]
    assert "quotes" in lines[1]


@pytest.mark.parametrize(
    ("content", "line"),
    [("jobs:\n- a: b\n  - c\n", 3), ("a: [1,\n", 2), ("a: b: c\n", 1), ("\tjobs: []\n", 1), ("jobs: []\n}\n", 2)],
)
def test_syntax_errors_have_their_line(tmp_path: Path, content: str, line: int) -> None:
    """Of the place where libyaml noticed."""
    found = said(tmp_path, content)
    assert found[-1].startswith(f"{line}: ")
    assert "is no YAML" in found[-1]


def test_a_hundred_problems_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    """A terminal is no place for a thousand lines."""
    path = written(tmp_path, "".join(f"- {{output_name: r{at}, voice: v}}\n" for at in range(250)))
    report = check_file(path, FileRules())
    assert (len(report.problems), report.more, report.jobs) == (100, 150, 0)
    with pytest.raises(InvalidJobsError) as caught:
        report.raise_if_bad()
    assert caught.value.problems[-1].message == "and 150 more problems"


def test_reading_stops_after_a_thousand_problems(tmp_path: Path) -> None:
    """A file that is wrong all over does not fill memory with problems."""
    path = written(tmp_path, "-\n" * 1_000_000)
    report = check_file(path, FileRules())
    assert (len(report.problems), report.more) == (100, 900)


def test_a_file_without_mistakes_raises_nothing(tmp_path: Path) -> None:
    """And counts its jobs."""
    report = check_file(written(tmp_path, JOB), FileRules())
    report.raise_if_bad()
    assert (report.jobs, report.problems, report.more) == (1, (), 0)


def test_what_is_queued_is_what_was_checked(tmp_path: Path) -> None:
    """A file that is changed between check and queueing changes nothing."""
    path = written(tmp_path, JOB)
    accepted = read_jobs(path, FileRules())
    path.write_text("- {broken")
    assert [job.spec.output_name for job in accepted] == ["a"]


def test_jobs_beyond_the_spools_memory_come_back_in_order(tmp_path: Path) -> None:
    """On disk as in memory."""
    text = "x" * 100_000
    rows = "".join(f"- {{output_name: r{at}, voice: v, text: '{text}'}}\n" for at in range(120))
    assert [job.spec.output_name for job in jobs(tmp_path, rows)] == [f"r{at}" for at in range(120)]


def test_the_rules_reach_every_row(tmp_path: Path) -> None:
    """Limits and hosts come from settings."""
    (job,) = jobs(
        tmp_path,
        '- {output_name: a, voice: v, text: t, callback_url: "https://example.com/"}',
        callback_hosts=frozenset({"example.com"}),
        max_attempts=9,
    )
    assert job.spec.max_attempts == 9
    assert "JOBS_MAX_JOB_BYTES" in said(tmp_path, JOB, max_job_bytes=100)[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("jobs:\n\t- {text: a}\n", "2: is no YAML: a tab stands in the indentation; indent with spaces"),
        (
            "jobs:\n  - request_id: a\n\tvoice: v\n",
            "3: is no YAML: a tab stands in the indentation; indent with spaces",
        ),
        ("- text: a: b\n", "1: is no YAML: there is a second colon in this line"),
        ("- voice: v\n  text: He said: go\n", "2: is no YAML: there is a second colon in this line"),
        ("- voice: v\n  text: @home\n", "2: is no YAML: a value starts with @, ` or %; put the text in quotes"),
        ("- voice: v\n  text: \t`x\n", "2: is no YAML: a value starts with a tab"),
    ],
)
def test_usual_slips_are_named(tmp_path: Path, content: str, expected: str) -> None:
    """A tab, a colon in bare text and a sign that YAML keeps for itself: said in words, not in the parser's."""
    (line,) = said(tmp_path, content)
    assert line.startswith(expected)


@pytest.mark.parametrize("key", ["job", "Jobs", "jobbs"])
def test_a_misspelt_jobs_is_no_job(tmp_path: Path, key: str) -> None:
    """One line that names the key, not a list of what a job would need."""
    (line,) = said(tmp_path, f"{key}:\n  - {{output_name: a, voice: v, text: t}}\n")
    assert line == f"1: {key}: is no known key of a file; did you mean 'jobs'?"


def test_a_single_job_with_a_misspelt_field_is_still_a_job(tmp_path: Path) -> None:
    """Only a list or mapping under such a key makes the file one of jobs."""
    (line,) = said(tmp_path, "output_name: a\nvoice: v\ntext: t\njob: x\n")
    assert line.startswith("4: jobs[0].job: is no known field")


def test_whoever_looks_at_each_job_has_lines_too(tmp_path: Path) -> None:
    """What `inspect` finds stands at the field, in the defaults once, and ends the file."""
    seen: list[str] = []

    def inspect(spec: JobSpec) -> list[FieldProblem]:
        seen.append(spec.request_id)
        return [FieldProblem("voice", "is away")] if spec.voice == "gone" else []

    text = """\
defaults: {voice: gone}
jobs:
  - {request_id: a, text: t}
  - {request_id: b, text: t}
  - {request_id: c, voice: here, text: t}
  - request_id: d
    text: t
    voice: gone
  - {request_id: e, voice: gone}
"""
    assert said(tmp_path, text, inspect=inspect) == [
        "1: defaults.voice: is away",
        "8: jobs[3].voice: is away",
        "9: jobs[4].text: is missing; write what is to be said",
        "9: jobs[4].voice: is away",
    ]
    # One that is not valid is seen by its place, and never under a name that another row may have.
    assert seen == ["a", "b", "c", "d", "jobs[4]"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{request_id: a, voice: gone, txet: t}", ["jobs[0].txet", "jobs[0].voice"]),
        ("{request_id: a, voice: gone, text: 7}", ["jobs[0].text", "jobs[0].voice"]),
        ("{voice: gone, text: t}", ["jobs[0].request_id", "jobs[0].voice"]),
        ("{request_id: a, voice: gone, language: 7, text: t}", ["jobs[0].language", "jobs[0].voice"]),
        ("{request_id: a, voice: A!, text: 7}", ["jobs[0].text", "jobs[0].voice"]),
        ("{request_id: a, voice: gone, speaker: Ryan, text: t}", ["jobs[0].voice"]),
        ("{request_id: a, task: sleep, payload: {seconds: 1}, voice: gone}", ["jobs[0].voice"]),
        ("{request_id: a, task: 7, voice: gone}", ["jobs[0].task"]),
    ],
)
def test_a_voice_is_looked_at_beside_other_mistakes(tmp_path: Path, row: str, told: list[str]) -> None:
    """It is told in the same round as they are, and a field that is wrong already is told once."""

    def inspect(spec: JobSpec) -> list[FieldProblem]:
        assert spec.text == "One."
        return [FieldProblem("text", "of the plain job"), FieldProblem("voice", "is away")]

    lines = said(tmp_path, f"- {row}\n", inspect=inspect)
    assert sorted(line.split(": ")[1] for line in lines) == told


@pytest.mark.parametrize("content", ["{", '{"a": 1', "\x7fELF: [", "<html>: {"])
def test_a_json_file_is_called_no_json(tmp_path: Path, content: str) -> None:
    """Who wrote a .json file would wonder at a message about YAML alone."""
    path = tmp_path / "e4.json"
    path.write_text(content)
    (problem,) = check_file(path, FileRules()).problems
    assert problem.message.startswith(("is no JSON or YAML: ", "holds the control character"))
    assert said(tmp_path, "{")[0].startswith("2: is no YAML: ")
