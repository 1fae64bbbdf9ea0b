"""`workflow … plan`: manifests of a known kind, and what to type next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.main

from job_runner.cli import workflow
from job_runner.cli.workflow import WORKFLOWS
from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner


@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_workflow_plans(runner: JobRunner, name: str) -> None:
    """Its help is its own, and it has a command `plan` with examples."""
    group = typer.main.get_command(workflow.app).get_command(None, name)  # type: ignore[attr-defined]  # it is the lazy group
    assert group.help.partition("\n")[0] == WORKFLOWS[name]
    shown = runner("workflow", name, "plan", "--help")
    assert shown.code == 0
    assert f"  job-runner workflow {name} plan" in shown.out.partition("Examples:")[2]


def test_a_plan_needs_no_server(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written where it is asked for, and the next command can be typed as it stands."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    shown = runner("workflow", "stress", "plan")
    assert (shown.code, shown.out) == (0, "manifests/stress_test_v1.jsonl: 10 tasks of plan stress-8fef118c\n")
    assert shown.err == (
        "next: `job-runner dispatch manifests/stress_test_v1.jsonl --target backlog:stress` queues them\n"
    )
    lines = (runner.home / "manifests/stress_test_v1.jsonl").read_text().splitlines()
    assert [json.loads(line)["meta"]["id"] for line in lines] == [f"Job {number}" for number in range(1, 11)]


def test_the_same_plan_again(runner: JobRunner) -> None:
    """Says so and writes nothing; another one is refused, unless it is asked for by force."""
    words = ("workflow", "system-test", "plan", "--mode", "debug")
    assert runner(*words).out.startswith("manifests/debug_test.jsonl: 10 tasks of plan debug-")
    again = runner(*words)
    assert (again.code, again.err.splitlines()[0]) == (0, "the same plan was there already")
    refused = runner(*words, "--seed", "2")
    assert (refused.code, refused.out) == (1, "")
    assert "manifests/debug_test.jsonl is there already and holds another plan; nothing was written" in refused.err
    assert runner(*words, "--seed", "2", "--force", "--quiet").err == ""
    document = runner(*words, "--seed", "2", "--json").document
    assert (document["manifest"], document["entries"], document["written"]) == ("manifests/debug_test.jsonl", 10, False)
    assert document["plan"].startswith("debug-")


def test_counts_seeds_and_places(runner: JobRunner) -> None:
    """As they are given; `-` and `_` in names of backlogs are those that are allowed."""
    shown = runner("workflow", "system-test", "plan", "--mode", "crud_stress", "--count", "4", "--out", "here.jsonl")
    assert shown.out.startswith("here.jsonl: 4 tasks of plan crud-stress-")
    assert "--target backlog:crud-stress` queues them" in shown.err
    assert runner("dispatch", "here.jsonl", "--target", "backlog:crud-stress").code == 0
    short = runner("workflow", "stress", "plan", "--count", "1", "--seconds-min", "3", "--seconds-max", "3")
    assert short.out.startswith("manifests/stress_test_v1.jsonl: 1 task of plan stress-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stress", "plan", "--seconds-min", "5", "--seconds-max", "4"), "--seconds-min 5 is more than"),
        (("stress", "plan", "--count", "0"), "'--count': Input should be greater than or equal to 1"),
        (("system-test", "plan"), "Missing option '--mode'"),
        (("system-test", "plan", "--mode", "crude"), "'crude' is not one of 'debug', 'sleep', 'crud'"),
        (("system-test", "plan", "--mode", "debug", "--out", "."), "cannot be written"),
        (("sytem-test", "plan"), "Did you mean 'system-test'?"),
        ((), "Usage"),
    ],
)
def test_bad_usage(runner: JobRunner, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, and nothing is written."""
    shown = runner("workflow", *words)
    assert shown.code == 2
    assert said in shown.err + shown.out
    assert not Path("manifests").exists()


def test_the_help_of_the_group_imports_no_planner() -> None:
    """Planners may need what is heavy: one that is not asked for costs nothing."""
    code = (
        "import sys\n"
        "from job_runner.cli.app import main\n"
        "main(['workflow', '--help'])\n"
        "found = [name for name in sys.modules if name.startswith('job_runner.workflows') or name == 'pydantic']\n"
        "sys.exit(', '.join(found) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
