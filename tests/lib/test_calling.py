"""Messages name commands as the reader can type them."""

from __future__ import annotations

import pytest

from lib.calling import RUN_VARIABLE, as_called, examples_as_called, program_as_called

MESSAGE = "start one with `job-runner server start`, or `job-watcher`; the job-runner of `job-runners` stays"
EXAMPLES = "Examples:\n  job-runner plan jobs.yaml\n  job-watcher\n  a job-runner\nSee `job-runner doctor`.\n"


def test_by_name_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the programs on the path reads their names."""
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    assert as_called(MESSAGE) == MESSAGE
    assert examples_as_called(EXAMPLES) == EXAMPLES
    assert program_as_called("job-runner") == "job-runner"


@pytest.mark.parametrize("run", ["./run", "../checkout/run", r"'/a \\1/run'"])
def test_through_run(monkeypatch: pytest.MonkeyPatch, run: str) -> None:
    """Commands in backquotes and lines that begin with one; prose and other words stay."""
    monkeypatch.setenv(RUN_VARIABLE, run.strip("'"))
    assert as_called(MESSAGE) == (
        f"start one with `{run} job-runner server start`, or `{run} job-watcher`; the job-runner of `job-runners` stays"
    )
    assert examples_as_called(EXAMPLES) == (
        f"Examples:\n  {run} job-runner plan jobs.yaml\n  {run} job-watcher\n  a job-runner\n"
        f"See `{run} job-runner doctor`.\n"
    )
    assert program_as_called("job-runner") == f"{run} job-runner"
