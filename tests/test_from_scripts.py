"""The page that leads from the conductor's scripts to job-runner: every line has a counterpart that works.

The lines stand here as data, since the requirement is not part of this house. Each counterpart is typed as it stands,
in the order of the page; what would not end by itself is only asked for its help.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.job_runner.conftest import home, runner
from tests.support.checkout import HOUSE
from tests.support.watchers import WATCHER, command_of

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner

__all__ = ["home", "runner"]

PAGE: Final = HOUSE / "docs/how-to/from-scripts-to-job-runner.md"

MANUAL: Final = """
docker exec -it movie_bible_shell /bin/bash
python scripts/jobs/workflows/system_test/plan.py --mode backlog --count 50
python scripts/jobs/core/dispatch.py scripts/jobs/manifests/gap_fill_v1.jsonl --target backlog:gap_fill
python scripts/jobs/core/conductor.py --backlog backlog:gap_fill
python scripts/jobs/workflows/system_test/verify.py --file scripts/jobs/manifests/gap_fill_v1.jsonl
docker logs -f movie_bible_shell
python scripts/jobs/workflows/system_test/plan.py --mode crud_stress
cat scripts/jobs/manifests/crud_stress_test.jsonl
python scripts/jobs/core/dispatch.py scripts/jobs/manifests/crud_stress_test.jsonl
python scripts/jobs/workflows/system_test/verify.py scripts/jobs/manifests/crud_stress_test.jsonl
python scripts/jobs/workflows/system_test/plan_stress.py
python scripts/jobs/core/dispatch.py scripts/jobs/manifests/stress_test_v1.jsonl --target backlog:stress
python scripts/jobs/core/conductor.py --backlog backlog:stress --rate-limit 2.0
"""

LOG_LINES: Final = (
    *("Start of script", "Job Sent", "Fed Metal", "Fed Cloud", "M1 is full, trying Gemini"),
    *("Gemini near rate limit", "Cloud Paused due to Rate Limit", "No compute available holding"),
)

# Exit 1: nobody has worked yet, so nothing can be sound.
NOT_YET: Final = {"verify": 1}


def rows() -> list[tuple[str, list[str]]]:
    """The first column of each table, and the commands in the second."""
    found = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [(left, re.findall(r"`((?:job-runner|job-watcher)[^`]*)`", right)) for left, right in found]


COMMANDS: Final = [command for _, commands in rows() for command in commands]


def test_every_line_of_the_requirement_has_a_counterpart() -> None:
    """Word for word on the left, and on the right a command, but for the shell that is not needed."""
    counterparts = {left.strip("`"): commands for left, commands in rows()}
    for line in filter(None, MANUAL.splitlines()):
        assert line in counterparts
        assert counterparts[line] or line.startswith("docker exec")


def test_every_log_line_is_named() -> None:
    """And by whom it is said."""
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert [line for line in LOG_LINES if f"`{line}`" not in text] == []


def test_the_commands_of_the_requester_work(runner: JobRunner) -> None:
    """Each in the order of the page, in one working directory, without a server of Celery's in sight."""
    typed = [command for command in COMMANDS if command.startswith("job-runner") and command != "job-runner watch"]
    assert len(typed) > 8
    for command in typed:
        words = shlex.split(command)[1:]
        shown = runner(*(word for word in words if word != "--wait"))
        assert shown.code == NOT_YET.get(words[0], 0), (command, shown.err)
    assert (runner.home / "manifests/gap_fill_v1.jsonl").exists()
    counted = {name: each["waiting"] for name, each in runner("status", "--json").document["backlogs"].items()}
    assert {name: counted[name] for name in ("gap_fill", "stress")} == {"gap_fill": 50, "stress": 10}


@pytest.mark.parametrize("command", sorted({each for each in COMMANDS if each.startswith("job-watcher")}))
def test_the_commands_of_the_workers_are_understood(command: str) -> None:
    """Every option that the page names is one."""
    words = [*shlex.split(command)[1:], "--help"]
    done = subprocess.run(command_of(WATCHER, *words), capture_output=True, text=True, check=False, cwd=HOUSE)
    assert done.returncode == 0, done.stderr
    asked = [word for word in words if word.startswith("--")]
    assert [option for option in asked if option not in done.stdout] == []
