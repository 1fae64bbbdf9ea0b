"""A file that was named where another kind is wanted: one sentence that says what it is, and what takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lib.jobfile import FileRules, check_file
from lib.jobfile.kinds import kind_of
from lib.jobfile.source import JobFile

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "defaults: {voice: v}\njobs:\n  - output_name: a\n    text: t\n  - output_name: b\n    text: t\n"
SHEET = "topicId: rome\nbeats:\n  - {id: 1, narration: hi}\n"
PRICES = "# mine\nmodels:\n  gemini-2.5-flash: {input: 1, output: 2}\n"
SCENARIO = "title: a night\npolicy: cheapest\nwatchers:\n  - {name: desk, slots: {metal: 1}}\njobs:\n  - {id: a}\n"


def said(folder: Path, content: str, name: str = "f.yaml", **rules: Any) -> list[str]:
    """Every problem as `LINE: MESSAGE`, with FILE for its path."""
    path = folder / name
    path.write_text(content)
    found = check_file(path, FileRules(**rules)).problems
    return [str(problem).removeprefix(f"{path}:").replace(str(path), "FILE") for problem in found]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (ROWS, "job file"),
        ("text: t\nvoice: v\n", "job"),
        ('{"jobs": []}', "job file"),
        ("- output_name: a\n", "list"),
        ("[1]", "list"),
        (SHEET, "beatsheet"),
        ('{"title": "x", "beats": []}', "beatsheet"),
        (PRICES, "prices"),
        (SCENARIO, "scenario"),
        ("", None),
        ("just text", None),
        ("nobody: [knows, {jobs: 1}]", None),
        ("a: [", None),
        ("[" * 100, "list"),
    ],
)
def test_the_first_keys_tell(tmp_path: Path, content: str, kind: str | None) -> None:
    """Those of the root alone; what tells nothing is none of them."""
    (tmp_path / "f").write_text(content)
    assert kind_of(JobFile(tmp_path / "f", 10_000)) == kind


@pytest.mark.parametrize("name", ["f.yaml", "f.jsonl"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (ROWS, "is a job file, no task manifest; `job-runner enqueue FILE` queues it, `job-runner report FILE`"),
        ("output_name: a\ntext: t\n", "is a job file, no task manifest; `job-runner enqueue FILE`"),
        ("- output_name: a\n  text: t\n", "is a job file, no task manifest; `job-runner enqueue FILE`"),
        ('{\n "jobs": [\n  {"output_name": "a"}\n ]\n}', "is a job file, no task manifest"),
        ('{"jobs": [{"output_name": "a"}]}', "is a job file, no task manifest"),
        (SHEET, "is a beatsheet, no task manifest; `job-runner enqueue-beatsheet FILE` queues it"),
        (PRICES, "is a file of prices, no task manifest; name it in PRICES_FILE"),
        (SCENARIO, "is what `job-watcher simulate FILE` plays, no task manifest"),
    ],
)
def test_what_is_no_manifest_is_said_once(tmp_path: Path, content: str, told: str, name: str) -> None:
    """Not once a line; and what takes it is named."""
    (line,) = said(tmp_path, content, name, manifest=True)
    assert line.startswith(f"1: {told}")


@pytest.mark.parametrize(
    ("content", "first"),
    [
        ('{"task": "sleep", "args": [1], "meta": {"id": 1}\n', "1: is no JSON"),
        ('{"tusk": "sleep"}\n', "1: "),
        ('[{"task": "sleep"}]\n', "1: "),
        ("sleep 5\n", "1: is no JSON"),
        ('{\n "task": "sleep",\n "args": [1]\n}\n', "1: is no entry; a manifest has each whole entry on one line"),
    ],
)
def test_a_manifest_with_mistakes_is_still_one(tmp_path: Path, content: str, first: str) -> None:
    """Its lines are told as ever."""
    lines = said(tmp_path, content, manifest=True)
    assert lines[0].startswith(first)
    assert not any("no task manifest" in line for line in lines)


def test_what_holds_no_jobs_is_said_once(tmp_path: Path) -> None:
    """Prices and scenarios were read as one job with four mistakes."""
    assert said(tmp_path, PRICES) == ["1: is a file of prices, no job file; name it in PRICES_FILE"]
    assert said(tmp_path, SCENARIO) == ["1: is what `job-watcher simulate FILE` plays, no job file"]
    assert said(tmp_path, PRICES, by_hand={}) == ["1: is a file of prices, no beatsheet; name it in PRICES_FILE"]
