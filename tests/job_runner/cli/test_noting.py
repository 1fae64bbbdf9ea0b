"""What a person is told when another voice speaks than the one that was asked for, before and after it has spoken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from job_runner.cli.noting import spoken_by_another

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher

SPEAKERS = """\
    jobs:
      - {output_name: a/1, speaker: Ryan, text: "One."}
      - {output_name: a/2, speaker: Ryan, text: "Two."}
      - {output_name: a/3, speaker: Vivian, text: "Three."}
      - {output_name: a/4, voice: newsroom, text: "Four."}
    """
SAID = [
    "note: speaker Ryan: the bundled voice speaks in its place, at a pace of its own (2 jobs)",
    "note: speaker Vivian: the bundled voice speaks in its place, at a pace of its own (1 job)",
]


def notes(err: str) -> list[str]:
    """The notes among what was said."""
    return [line for line in err.splitlines() if line.startswith("note: ")]


@pytest.mark.parametrize("words", [("enqueue",), ("enqueue", "--any-voice"), ("run", "--dry-run")])
def test_another_voice_is_said_before_it_speaks(runner: JobRunner, words: tuple[str, ...]) -> None:
    """As `plan` does, counted; a person who never planned would otherwise hear it first."""
    assert notes(runner(*words, runner.file(SPEAKERS)).err) == SAID


@pytest.mark.parametrize("words", [("enqueue", "--json"), ("enqueue", "--quiet"), ("run", "--dry-run", "--json")])
def test_scripts_are_not_told(runner: JobRunner, words: tuple[str, ...]) -> None:
    """JSON and --quiet ask for less."""
    assert notes(runner(*words, runner.file(SPEAKERS)).err) == []


def test_a_file_with_mistakes_has_no_notes(runner: JobRunner) -> None:
    """The mistakes come first; nothing will speak yet."""
    refused = runner("enqueue", runner.file(SPEAKERS + "  - {output_name: a/5, voice: nobody, text: x}\n"))
    assert refused.code == 2
    assert notes(refused.err) == []


def test_a_report_says_who_spoke_in_whose_place(runner: JobRunner) -> None:
    """By the records, counted; the others are as they were asked for."""
    jobs = runner.file(SPEAKERS)
    runner("enqueue", jobs)

    async def speak(watcher: HandWatcher) -> None:
        for lease in await watcher.lease(4):
            other = {"asked": "Ryan", "used": "heart", "engine": "hibari"} if lease.request_id < "a:3" else None
            await watcher.done(lease, result={"substituted_voice": other})

    runner.by_hand(speak)
    assert notes(runner("report", jobs).err) == ["note: Ryan was spoken by hibari's heart (2 jobs)"]
    assert notes(runner("report", jobs, "--quiet").err) == []
    assert notes(runner("report", jobs, "--json").err) == []


@pytest.mark.parametrize("record", [{}, {"result": None}, {"result": {"substituted_voice": 3}}, {"result": [1]}])
def test_any_record_is_read(record: dict[str, object]) -> None:
    """Failed ones, those of other tasks, and damaged ones say nothing of voices."""
    assert spoken_by_another(record) == ()
