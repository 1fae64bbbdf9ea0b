"""The three forms of a job file, and everything that is none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.jobfile import FileRules, scan_jobs
from tests.lib.jobfile.written import JOB, jobs, said, written

if TYPE_CHECKING:
    from pathlib import Path


def test_the_requirements_example_reads_as_it_is_meant(tmp_path: Path) -> None:
    """Defaults, a row that removes one of them, derived names."""
    first, second = jobs(
        tmp_path,
        """
defaults:
  language: English
  profile: balanced
  variants: 1
  select_best: false
  chunk: false

jobs:
  - output_name: topic/beat-001
    voice: newsroom
    text: "First line"

  - output_name: topic/beat-002
    speaker: Ryan
    voice: null
    text: "Second line"
""",
    )
    assert (first.index, first.line, first.spec.request_id) == (0, 10, "topic:beat-001")
    assert (first.spec.voice, first.spec.profile, first.spec.text) == ("newsroom", "balanced", "First line")
    assert (second.index, second.line, second.spec.request_id) == (1, 14, "topic:beat-002")
    assert (second.spec.voice, second.spec.speaker) == (None, "Ryan")


def test_a_list_of_jobs(tmp_path: Path) -> None:
    """The second form."""
    found = jobs(tmp_path, JOB + JOB.replace('"a"', "b"))
    assert [job.spec.output_name for job in found] == ["a", "b"]
    assert [job.line for job in found] == [1, 2]


def test_one_job(tmp_path: Path) -> None:
    """The third form."""
    (job,) = jobs(tmp_path, "# mine\noutput_name: a\nvoice: v\ntext: t\ncallback_data: {x: [1, {y: null}]}\n")
    assert (job.index, job.line, job.spec.callback_data) == (0, 2, {"x": [1, {"y": None}]})


def test_json_is_yaml(tmp_path: Path) -> None:
    """Programs write JSON."""
    (job,) = jobs(tmp_path, '{"jobs": [{"output_name": "a", "voice": "v", "text": "t", "variants": 2}]}')
    assert job.spec.variants == 2


@pytest.mark.parametrize(
    "content",
    ["", "\n\n", "# nothing yet\n", "---\n", "---\n...\n", "null", "~", "[]", "{}", "jobs:\n", "jobs: []\n"],
)
def test_a_file_without_jobs_is_zero_jobs(tmp_path: Path, content: str) -> None:
    """No error: a program may write an empty list."""
    assert jobs(tmp_path, content) == []


def test_a_job_with_defaults_only_needs_jobs(tmp_path: Path) -> None:
    """Somebody forgot the other half."""
    (line,) = said(tmp_path, "defaults:\n  voice: v\n")
    assert line.startswith("1: ")
    assert "write jobs:" in line


@pytest.mark.parametrize("content", ["just text\n", "42\n", '"jobs"\n', "true\n"])
def test_a_file_that_is_no_job_file_is_refused(tmp_path: Path, content: str) -> None:
    """With what it must hold instead."""
    (line,) = said(tmp_path, content)
    assert line.startswith("1: the file must hold jobs")


@pytest.mark.parametrize("content", ["jobs: {output_name: a, voice: v, text: t}", "jobs: all", "jobs: 7"])
def test_jobs_must_be_a_list(tmp_path: Path, content: str) -> None:
    """A missing dash is the commonest slip."""
    (line,) = said(tmp_path, content)
    assert "dash" in line


def test_a_row_must_be_a_mapping(tmp_path: Path) -> None:
    """Each odd row is named; the good one between them is not."""
    lines = said(tmp_path, "- text\n-\n" + JOB + "- [1]\n- null\n")
    assert [line.partition(": ")[0] for line in lines] == ["1", "2", "4", "5"]
    assert "jobs[1]: is empty" in lines[1]
    assert "jobs[3]: must be a mapping" in lines[2]


def test_defaults_must_be_a_mapping(tmp_path: Path) -> None:
    """And may be empty."""
    assert "defaults: must be a mapping" in said(tmp_path, "defaults: [a]\njobs: []\n")[0]
    assert jobs(tmp_path, "defaults:\njobs: []\n") == []


def test_defaults_after_jobs_are_refused_at_their_line(tmp_path: Path) -> None:
    """Rows pass one at a time: what comes later cannot have been under them."""
    lines = said(tmp_path, "jobs:\n  " + JOB + "defaults:\n  profile: stable\n")
    assert lines == ["3: defaults: stands after jobs, which were checked without it; move it above jobs"]


def test_a_field_beside_jobs_is_refused(tmp_path: Path) -> None:
    """It would have no effect; a misspelt `defaults` is recognised."""
    lines = said(tmp_path, "voice: v\ndefault: {profile: stable}\njobs: []\n")
    assert lines[0] == "1: voice: does not belong beside jobs; move it under defaults, or into a job"
    assert lines[1].startswith("2: default: does not belong beside jobs; did you mean 'defaults'?")


def test_jobs_twice_is_refused(tmp_path: Path) -> None:
    """Neither list may silently win."""
    (line,) = said(tmp_path, "jobs:\n  " + JOB + "jobs: []\n")
    assert line == "3: jobs: stands twice, first on line 1; keep one of them"


def test_a_second_document_is_refused(tmp_path: Path) -> None:
    """Its jobs would be lost in silence."""
    (line,) = said(tmp_path, JOB + "---\n" + JOB)
    assert line.startswith("2: a second document")


def test_scanning_gives_jobs_and_problems_in_one_reading(tmp_path: Path) -> None:
    """`plan` shows both."""
    content = JOB + "- {output_name: b, text: t}\n" + JOB.replace('"a"', "c")
    found = list(scan_jobs(written(tmp_path, content), FileRules()))
    assert [type(item).__name__ for item in found] == ["FileJob", "Problem", "FileJob"]
